import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterEach, describe, expect, it } from "vitest";
import {
  BusyError,
  connect,
  DeadlineError,
  RefusedError,
  ServiceError,
  UnreachableError,
} from "../../src/serve/client.ts";
import { type Handler, serve, type TestServer } from "../server.ts";
import { present, until } from "../support.ts";

// What the client makes of servers that are busy, slow, silent or something else altogether, and that it runs in pages.

const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** The address of a server that answers so. */
async function answering(handler: Handler): Promise<TestServer> {
  const server = await serve(handler);
  servers.push(server);
  return server;
}

const busy: Handler = (_, response) =>
  response
    .writeHead(503, { "retry-after": "0" })
    .end('{"error":"256 requests wait already; try again later"}');

const never: Handler = () => undefined;

const ready: Handler = (_, response) =>
  response.writeHead(200, { "content-type": "application/json" }).end('{"logLikelihood":[1],"model":"a"}');

const rows = [{ x: 1 }];

/** What a promise is rejected with. */
const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a busy server", () => {
  it("is told at once where no retries are asked for", async () => {
    const server = await answering(busy);
    const error = await rejection(connect(server.origin).model("a").score(rows));
    expect(error).toBeInstanceOf(BusyError);
    expect(error).toBeInstanceOf(ServiceError);
    expect(error).toMatchObject({
      status: 503,
      retryAfter: 0,
      message: "256 requests wait already; try again later",
    });
    expect(server.requests).toHaveLength(1);
  });

  it("is asked again as often as wanted, with the same body", async () => {
    const bodies: string[] = [];
    const server = await answering(async (request, response, count) => {
      let text = "";
      for await (const part of request) text += part;
      bodies.push(text);
      (count < 2 ? busy : ready)(request, response, count);
    });
    const { logLikelihood } = await connect(server.origin, { retries: 2 }).model("a").score(rows);
    expect(logLikelihood).toEqual([1]);
    expect(bodies).toEqual(Array(3).fill('{"rows":[{"x":1}]}'));
    const again = await rejection(
      connect((await answering(busy)).origin)
        .model("a")
        .score(rows, { retries: 1 }),
    );
    expect(again).toBeInstanceOf(BusyError);
    expect(present(servers.at(-1)).requests).toHaveLength(2);
  });

  it("is not ready", async () => {
    const server = await answering(busy);
    expect(await connect(server.origin, { retries: 5 }).isReady()).toBe(false);
    expect(server.requests).toHaveLength(1);
  });

  it("is not waited for beyond the timeout or the signal", async () => {
    const later: Handler = (_, response) => response.writeHead(503, { "retry-after": "600" }).end("{}");
    const server = await answering(later);
    const model = connect(server.origin, { retries: 9 }).model("a");
    expect(await rejection(model.sample({ timeout: 50 }))).toBeInstanceOf(DeadlineError);
    const gone = new AbortController();
    const asked = rejection(model.sample({ signal: gone.signal }));
    await until(() => server.requests.length === 2);
    gone.abort(new Error("enough"));
    expect(await asked).toMatchObject({ message: "enough" });
  });
});

describe("a silent server", () => {
  it("is given up after the timeout, of which it is told", async () => {
    let told: unknown;
    const server = await answering((request) => {
      told = request.headers["x-timeout-ms"];
    });
    const error = await rejection(connect(server.origin).model("a").score(rows, { timeout: 500 }));
    expect(error).toBeInstanceOf(DeadlineError);
    expect(error).toMatchObject({ status: 504, message: "no answer within 500 milliseconds" });
    if (told !== undefined) {
      expect(Number(told)).toBeGreaterThan(0);
      expect(Number(told)).toBeLessThanOrEqual(500);
    }
  });

  it("is left when the signal says so, also where it said so before", async () => {
    const server = await answering(never);
    const gone = new AbortController();
    const asked = rejection(connect(server.origin).models({ signal: gone.signal }));
    await until(() => server.requests.length === 1);
    gone.abort();
    expect(await asked).toMatchObject({ name: "AbortError" });
    expect(await rejection(connect(server.origin).models({ signal: gone.signal }))).toBe(gone.signal.reason);
    expect(server.requests).toHaveLength(1);
  });

  it("that ends in the middle of an answer is unreachable", async () => {
    const server = await answering((_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("[", () => response.destroy());
    });
    expect(await rejection(connect(server.origin).models())).toBeInstanceOf(UnreachableError);
  });
});

describe("an address", () => {
  it("at which nobody answers is told", async () => {
    const server = await answering(never);
    await server.close();
    const error = await rejection(connect(server.origin).isReady());
    expect(error).toBeInstanceOf(UnreachableError);
    expect(String(error)).toMatch(/no answer from http:\/\/127\.0\.0\.1:\d+: .*\(ECONNREFUSED\)/);
  });

  it("of something else is told", async () => {
    const server = await answering((_, response) => response.end("<!doctype html>"));
    expect(String(await rejection(connect(server.origin).models()))).toMatch(
      /no JSON; is that the address of eidos/,
    );
  });

  it.each([
    [404, "<h1>nothing here</h1>", RefusedError, "<h1>nothing here</h1>"],
    [502, "", ServiceError, "Bad Gateway"],
    [
      504,
      '{"error":"the deadline of this request has passed"}',
      DeadlineError,
      "the deadline of this request has passed",
    ],
  ])("that answers %d is an error of its class", async (status, body, Kind, message) => {
    const server = await answering((_, response) => response.writeHead(status).end(body));
    const error = await rejection(connect(server.origin).models());
    expect(error).toBeInstanceOf(Kind);
    expect(error).toMatchObject({ status, message });
  });
});

describe("in a page", () => {
  it("the client is small, and brings nothing of Node and no training code along", async () => {
    const entry = fileURLToPath(new URL("../../src/serve/client.ts", import.meta.url));
    const { metafile, outputFiles } = await build({
      entryPoints: [entry],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      // Modules of Node are errors here.
      platform: "browser",
      metafile: true,
      logLevel: "silent",
    });
    const files = Object.keys(metafile.inputs).map((path) => path.replace(/^.*src\//, ""));
    expect(files.sort()).toEqual([
      "errors.ts",
      "nearest.ts",
      "options.ts",
      "printable.ts",
      "serve/client.ts",
    ]);
    const [bundle] = outputFiles;
    expect(present(bundle).contents.length).toBeLessThan(10_000);
    expect(present(bundle).text).not.toMatch(/node:|\bprocess\.|\brequire\(/);
  });
});
