import { readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { objectsApart, pixelsOf, type Shipped, shipped, writeScript } from "../shipping.ts";
import { temporaryFolder } from "../support.ts";
import { findChromium } from "./browser.ts";

// The page of docs/guide/shipping.md says what eidos says.

const executablePath = findChromium();
const LIBRARY = fileURLToPath(new URL("../../node_modules/onnxruntime-web/dist", import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

/** What the page offers. */
interface PageModel {
  score(folder: string, rows: unknown): Promise<readonly number[]>;
  sample(
    folder: string,
    count: number,
    noise: readonly number[],
  ): Promise<{ readonly bytes: readonly number[] }>;
  detect(folder: string, image: unknown): Promise<Shipped["expected"]["objects"]>;
}

describe.skipIf(executablePath === undefined)("the page of the guide", () => {
  let all: Shipped;
  let server: Server;
  let browser: Browser;
  let address: string;

  beforeAll(async () => {
    all = await shipped(await temporaryFolder());
    await writeScript("use.html", all.folder);
    server = createServer(async (request, response) => {
      const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
      const file = path.startsWith("/ort/") ? join(LIBRARY, path.slice(5)) : join(all.folder, path);
      try {
        const body = await readFile(file);
        response
          .writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" })
          .end(body);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const bound = server.address();
    address = `http://127.0.0.1:${typeof bound === "object" ? bound?.port : 0}/use.html`;
    browser = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    await rm(all.folder, { recursive: true, force: true });
  });

  it("scores rows, draws images and finds objects as eidos does", async () => {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(address);
    await page.waitForFunction(() => "model" in globalThis);
    const { width, height, pixels } = await pixelsOf(join(all.folder, "photo.png"));
    const rgba = Array.from({ length: 4 * width * height }, (_, i) =>
      i % 4 === 3 ? 255 : (pixels[3 * Math.floor(i / 4) + (i % 4)] ?? 0),
    );
    const found = await page.evaluate(
      async ({ rows, noise, image }) => {
        const { model } = globalThis as unknown as { readonly model: PageModel };
        return {
          scores: await model.score("table", rows),
          bytes: (await model.sample("image", 2, noise)).bytes,
          objects: await model.detect("detector", { ...image, data: Uint8ClampedArray.from(image.data) }),
        };
      },
      { rows: all.rows, noise: all.noise.flat(), image: { width, height, data: rgba } },
    );
    expect(errors).toEqual([]);
    const { scores, bytes, objects } = all.expected;
    const furthest = (own: readonly number[], other: readonly number[]): number => {
      expect(own.length).toBe(other.length);
      return own.reduce((most, value, i) => Math.max(most, Math.abs(value - (other[i] ?? Number.NaN))), 0);
    };
    expect(furthest(found.scores, scores)).toBeLessThan(1e-3);
    expect(furthest(found.bytes, bytes)).toBeLessThanOrEqual(1);
    const apart = objectsApart(found.objects, objects);
    expect(apart.scores).toBeLessThan(1e-3);
    expect(apart.boxes).toBeLessThan(1);
  });
});
