import { readFile, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { EidosServer, ServeOptions } from "../../src/serve/index.node.ts";
import { temporaryFolder } from "../support.ts";
import { ask, fixture, remove, serve } from "./support.ts";

// Who may ask, over https.

const file = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/serve/tls/${name}`, import.meta.url));
const tls = { tlsCert: file("cert.pem"), tlsKey: file("key.pem") } as const;
const moons = fixture("nice-two-moons");
const quiet = { port: 0, workers: 1, threads: 1, log: "silent" } as const;

let folder = "";
let server: EidosServer;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, "token"), "from a file\n");
  await writeFile(join(folder, "empty"), " \n");
  server = await serve([moons], { ...quiet, ...tls, tokenFile: join(folder, "token") });
});
afterAll(async () => {
  await server?.close();
  await remove(folder);
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  // biome-ignore lint/suspicious/noExplicitAny: answers are JSON of any form
  readonly body: any;
}

/** Asks over https, trusting the certificate of the tests alone. */
async function secure(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const ca = await readFile(tls.tlsCert);
  return new Promise((resolve, reject) => {
    const options = {
      ca,
      method: body === undefined ? "GET" : "POST",
      headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
    };
    const asked = request(server.url + path, options, (response) => {
      let text = "";
      response.on("data", (part: Buffer) => {
        text += part;
      });
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode, headers: response.headers, body: JSON.parse(text) }),
      );
    });
    asked.on("error", reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

describe("a server with a certificate", () => {
  it("answers over https, and over nothing else", async () => {
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect((await secure("/v2/health/live")).body).toEqual({ live: true });
    const plain = { url: server.url.replace("https:", "http:") };
    await expect(ask(plain, "/v2/health/live")).rejects.toThrow();
    // A client that does not know the certificate leaves.
    await expect(ask(server, "/v2/health/live")).rejects.toThrow();
  });

  it.each([
    ["no token", {}],
    ["a wrong token", { authorization: "Bearer wrong" }],
    ["another scheme", { authorization: "Basic ZnJvbSBhIGZpbGU=" }],
    ["the token without its scheme", { authorization: "from a file" }],
  ])("refuses %s in one line, before the body is looked at", async (_what, headers) => {
    const { status, body, headers: answered } = await secure("/score", { any: "thing" }, headers);
    expect(status).toBe(401);
    expect(body).toEqual({ error: "the token is missing or wrong; send Authorization: Bearer TOKEN" });
    expect(answered["www-authenticate"]).toBe("Bearer");
  });

  it("takes the token of the file", async () => {
    const { status, body } = await secure("/score", [{ x: 0, y: 0 }], {
      authorization: "Bearer from a file",
    });
    expect(status).toBe(200);
    expect(body.logLikelihood).toHaveLength(1);
  });

  it("says in its document that it needs a token", async () => {
    const { body } = await secure("/openapi.json", undefined, { authorization: "Bearer from a file" });
    expect(body.security).toEqual([{ token: [] }]);
  });
});

describe("a start", () => {
  const refused: readonly (readonly [string, () => ServeOptions, RegExp])[] = [
    ["a certificate without a key", () => ({ tlsCert: tls.tlsCert }), /tlsCert and tlsKey: https needs both/],
    [
      "a key of another certificate",
      () => ({ ...tls, tlsKey: file("other-key.pem") }),
      /no certificate and its key in PEM \(.*\)/,
    ],
    [
      "a certificate that is none",
      () => ({ ...tls, tlsCert: join(folder, "token") }),
      /no certificate and its key in PEM/,
    ],
    ["a certificate that is not there", () => ({ ...tls, tlsCert: join(folder, "none.pem") }), /none\.pem/],
    ["two tokens", () => ({ token: "a", tokenFile: join(folder, "token") }), /token and tokenFile: give one/],
    ["an empty token", () => ({ token: " " }), /option token: is empty/],
    [
      "an empty file of the token",
      () => ({ tokenFile: join(folder, "empty") }),
      /option tokenFile: .*empty is empty/,
    ],
  ];

  it.each(refused)("is refused with %s", async (_what, options, message) => {
    await expect(serve([moons], { ...quiet, ...options() })).rejects.toThrow(message);
  });
});
