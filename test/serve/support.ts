import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { EidosServer } from "../../src/serve/index.node.ts";
import { built } from "../cli/support.ts";

// A server starts processes of its own, which start much faster from the build: these tests run the build, as those of the command do.

export const {
  fit,
  openRun,
  rows,
  float32,
}: typeof import("../../src/index.ts") & Pick<typeof import("../../src/tensor/index.ts"), "float32"> = {
  ...(await import(built("index.js"))),
  ...(await import(built("tensor/index.js"))),
};
export const { serve }: typeof import("../../src/serve/index.node.ts") = await import(
  built("serve/index.node.js")
);

/** A run that is kept as a fixture. */
export const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

/** Removes a folder. */
export const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });

/** A copy of a kept run, which a test may change. */
export async function copied(name: string, folder: string): Promise<string> {
  const target = join(folder, name);
  await cp(fixture(name), target, { recursive: true });
  return target;
}

/** Fits a model to a table with numbers and categories, in a moment. */
export async function fitTable(out: string, model: "nice" | "rectified-flow" = "nice"): Promise<string> {
  const kinds = ["setosa", "virginica", "versicolor"];
  const data = rows(
    Array.from({ length: 200 }, (_, i) => ({
      length: 5 + (i % 3) + 0.01 * (i % 17),
      width: 3 - 0.5 * (i % 3) + 0.01 * (i % 13),
      kind: kinds[i % 3],
    })),
  );
  await fit({
    model,
    data,
    categorical: ["kind"],
    out,
    steps: 4,
    width: 8,
    batchSize: 16,
    threads: 1,
    samplePictures: 0,
    seed: 1,
  });
  return out;
}

/** Fits a flow to images of digits, in a moment. */
export async function fitImages(out: string): Promise<string> {
  const request = { steps: 2, width: 8, batchSize: 4, threads: 1, samplePictures: 0, seed: 1 } as const;
  await fit({ model: "nice", data: "digits", count: 50, out, ...request });
  return out;
}

/** Fits a conditional VAE to images of digits, in a moment. */
export async function fitConditional(out: string): Promise<string> {
  const request = { steps: 2, batchSize: 4, threads: 1, samplePictures: 0, seed: 1, report: "none" } as const;
  await fit({ model: "vae", data: "digits", count: 50, conditional: true, out, ...request });
  return out;
}

/** A picture of one color as a file. */
export async function picture(width = 80, height = 60): Promise<Uint8Array> {
  const image = sharp({ create: { width, height, channels: 3, background: { r: 200, g: 40, b: 40 } } });
  return new Uint8Array(await image.png().toBuffer());
}

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are JSON of any form
  readonly body: any;
}

/** Asks a server: JSON, or the bytes of an image. */
export async function ask(
  server: Pick<EidosServer, "url">,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const isBytes = body instanceof Uint8Array;
  const response = await fetch(server.url + path, {
    ...(body !== undefined && {
      method: "POST",
      body: isBytes ? (body as BodyInit) : typeof body === "string" ? body : JSON.stringify(body),
    }),
    headers: {
      ...(body !== undefined && { "content-type": isBytes ? "image/png" : "application/json" }),
      ...headers,
    },
  });
  const type = response.headers.get("content-type") ?? "";
  const answer = type.startsWith("application/json")
    ? await response.json()
    : type.startsWith("text/")
      ? await response.text()
      : new Uint8Array(await response.arrayBuffer());
  return { status: response.status, type, headers: response.headers, body: answer };
}
