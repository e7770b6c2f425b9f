import { rm, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { EidosServer, ServeOptions } from "../../src/serve/index.node.ts";
import { built } from "../cli/support.ts";
import { numbers, present, temporaryFolder, until } from "../support.ts";
import { ask, copied, fixture, type Reply, serve } from "./support.ts";

// What a server does under load, when its workers die, when its weights change and when it is stopped.

const { RunFolder }: typeof import("../../src/train/run-folder.node.ts") = await import(
  built("train/run-folder.node.js")
);

let folder = "";
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let server: EidosServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function started(run: string, options: ServeOptions = {}): Promise<EidosServer> {
  server = await serve([run], { port: 0, workers: 1, threads: 1, log: "silent", reload: 0, ...options });
  return server;
}

const digits = fixture("rectified-flow-digits");

/** A request that takes as long as it is let. */
const ENDLESS = { count: 1, steps: 20_000 };

/** A request that takes some tenths of a second. */
const LONG = { count: 1, steps: 12 };

const QUICK = { count: 1, steps: 1 };

/** The number of a line of the metrics; 0 where there is none yet. */
async function metric({ url }: EidosServer, line: string): Promise<number> {
  const { body } = await ask({ url }, "/metrics");
  const found = String(body)
    .split("\n")
    .find((text) => text.startsWith(`${line} `));
  return Number(found?.split(" ").at(-1) ?? 0);
}

const statuses = (replies: readonly Reply[]): readonly number[] => replies.map(({ status }) => status);

describe("too many requests", () => {
  it("are refused with 503 and Retry-After, and those that are accepted are all answered", async () => {
    const here = await started(digits, { queue: 2, maxBatch: 1 });
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, seed) => ask(here, "/sample", { ...LONG, seed })),
    );
    const refused = replies.filter(({ status }) => status === 503);
    const answered = replies.filter(({ status }) => status === 200);
    expect(refused.length + answered.length).toBe(12);
    expect(refused.length).toBeGreaterThan(0);
    expect(answered.length).toBeGreaterThanOrEqual(2);
    for (const { headers, body } of refused) {
      expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(body.error).toMatch(/wait already; try again later/);
    }
    for (const { body } of answered) expect(body.samples.shape).toEqual([LONG.count, 1, 28, 28]);
    expect((await ask(here, "/sample", QUICK)).status).toBe(200);
  });

  it("are refused by their bytes before their bodies are read", async () => {
    const here = await started(digits, { queueSize: 0.001 });
    const long = ask(here, "/sample", { ...LONG, steps: 30 });
    await until(async () => (await metric(here, "eidos_running")) === 1);
    const { status, body } = await ask(here, "/score", new Uint8Array(2000));
    expect(status).toBe(503);
    expect(body.error).toMatch(/too many requests wait already/);
    expect((await long).status).toBe(200);
  });

  it("leave health and metrics answering", async () => {
    const here = await started(digits);
    const all = Array.from({ length: 4 }, (_, seed) => ask(here, "/sample", { ...LONG, seed }));
    await until(async () => (await metric(here, "eidos_running")) === 1);
    expect((await ask(here, "/v2/health/live")).body).toEqual({ live: true });
    expect((await ask(here, "/v2/health/ready")).status).toBe(200);
    expect(await metric(here, "eidos_queue_length")).toBeGreaterThan(0);
    expect(statuses(await Promise.all(all))).toEqual([200, 200, 200, 200]);
  });
});

describe("a deadline", () => {
  it("ends a request that is computed, and the worker goes on with the next one", async () => {
    const here = await started(digits);
    const { status, body } = await ask(here, "/sample", ENDLESS, { "x-timeout-ms": "300" });
    expect(status).toBe(504);
    expect(body.error).toBe("the deadline of this request has passed");
    const pids = here.workers;
    expect((await ask(here, "/sample", QUICK)).status).toBe(200);
    expect(here.workers).toEqual(pids);
  });

  it("takes a request out of the queue: it is not computed", async () => {
    const here = await started(digits);
    const first = ask(here, "/sample", ENDLESS, { "x-timeout-ms": "1500" });
    await until(async () => (await metric(here, "eidos_running")) === 1);
    const second = await ask(here, "/sample", QUICK, { "x-timeout-ms": "100" });
    expect(second.status).toBe(504);
    expect((await first).status).toBe(504);
    expect(await metric(here, 'eidos_batch_size_count{model="rectified-flow-digits",ability="sample"}')).toBe(
      1,
    );
    expect(await metric(here, 'eidos_deadline_total{model="rectified-flow-digits",ability="sample"}')).toBe(
      2,
    );
  });

  it("of the server holds where a client asks for more", async () => {
    const here = await started(digits, { timeout: 0.2 });
    expect((await ask(here, "/sample", ENDLESS, { "x-timeout-ms": "100000" })).status).toBe(504);
  });
});

describe("a client that goes away", () => {
  it("ends its request", async () => {
    const here = await started(digits);
    const gone = new AbortController();
    const asked = fetch(`${here.url}/sample`, {
      method: "POST",
      body: JSON.stringify(ENDLESS),
      headers: { "content-type": "application/json" },
      signal: gone.signal,
    });
    await until(async () => (await metric(here, "eidos_running")) === 1);
    gone.abort();
    await expect(asked).rejects.toThrow();
    await until(async () => (await metric(here, "eidos_running")) === 0);
    expect((await ask(here, "/sample", QUICK)).status).toBe(200);
  });
});

describe("a worker that is killed", () => {
  it("loses the requests that it computes, which are told so, and is replaced", async () => {
    const here = await started(digits);
    const computed = ask(here, "/sample", ENDLESS);
    await until(async () => (await metric(here, "eidos_running")) === 1);
    const waiting = ask(here, "/sample", QUICK);
    await until(async () => (await metric(here, "eidos_queue_length")) === 1);
    const [pid] = here.workers;
    process.kill(present(pid), "SIGKILL");
    const { status, body, headers } = await computed;
    expect(status).toBe(503);
    expect(body.error).toMatch(/the worker that computed this has died/);
    expect(headers.get("retry-after")).toBe("1");
    expect((await waiting).status).toBe(200);
    expect(here.workers).toHaveLength(1);
    expect(here.workers).not.toContain(pid);
    expect(await metric(here, "eidos_worker_deaths_total")).toBe(1);
  });

  it("loses every request of its batch, and none that waits", async () => {
    const here = await started(fixture("nice-two-moons"), { batchWindow: 60_000, maxBatch: 3 });
    const [pid] = here.workers;
    // It takes its batch, and does nothing with it.
    process.kill(present(pid), "SIGSTOP");
    const batch = Promise.all([1, 2, 3].map((x) => ask(here, "/score", [{ x, y: 0 }])));
    await until(async () => (await metric(here, "eidos_running")) === 3);
    const waiting = Promise.all([4, 5, 6].map((x) => ask(here, "/score", [{ x, y: 0 }])));
    await until(async () => (await metric(here, "eidos_queue_length")) === 3);
    process.kill(present(pid), "SIGKILL");
    expect(statuses(await batch)).toEqual([503, 503, 503]);
    expect(statuses(await waiting)).toEqual([200, 200, 200]);
  });

  it("loses no request of another worker", async () => {
    const here = await started(digits, { workers: 2 });
    await until(async () => (await metric(here, 'eidos_workers{state="idle"}')) === 2);
    const [pid] = here.workers;
    process.kill(present(pid), "SIGSTOP");
    const both = Promise.all([1, 2].map((seed) => ask(here, "/sample", { ...LONG, seed })));
    await until(async () => (await metric(here, "eidos_running")) === 1);
    process.kill(present(pid), "SIGKILL");
    expect([...statuses(await both)].sort()).toEqual([200, 503]);
    await until(async () => (await metric(here, 'eidos_workers{state="idle"}')) === 2);
    expect(here.workers).not.toContain(pid);
  });
});

describe("new weights", () => {
  it("are served without losing a request; damaged ones are not", async () => {
    const path = await copied("nice-two-moons", folder);
    const here = await started(path, { reload: 0.05, workers: 2 });
    const rows = [{ x: 0.5, y: 0.25 }];
    const before = await ask(here, "/score", rows);
    expect(before.body.version).toBe("4");
    const run = new RunFolder(path);
    const { weights, file } = await run.readWeightsFile();
    const halved = [...weights].map(([name, array]) => {
      const half = Float32Array.from(numbers(array).map((value) => 0.5 * value));
      return [name, { dtype: "float32", shape: array.shape, data: half }] as const;
    });
    const changed = new Map(halved);
    await run.writeWeights(file.includes("best") ? "best" : "last", changed, 9);
    const seen: Reply[] = [];
    await until(async () => {
      seen.push(...(await Promise.all([1, 2, 3, 4].map(() => ask(here, "/score", rows)))));
      return (await metric(here, 'eidos_reloads_total{model="nice-two-moons",outcome="loaded"}')) === 2;
    });
    expect(new Set(statuses(seen))).toEqual(new Set([200]));
    const after = await ask(here, "/score", rows);
    expect(after.body.version).toBe("9");
    expect(after.body.logLikelihood).not.toEqual(before.body.logLikelihood);
    for (const { body } of seen) {
      const { logLikelihood } = body.version === "9" ? after.body : before.body;
      expect(body.logLikelihood[0]).toBeCloseTo(logLikelihood[0], 4);
    }
    await writeFile(file, "nonsense");
    await until(
      async () => (await metric(here, 'eidos_reloads_total{model="nice-two-moons",outcome="failed"}')) === 2,
    );
    expect((await ask(here, "/score", rows)).body.version).toBe("9");
  });
});

describe("a server that is stopped", () => {
  it("answers the requests that it has, and takes no more", async () => {
    const here = await started(digits);
    const all = Array.from({ length: 3 }, (_, seed) => ask(here, "/sample", { ...LONG, seed }));
    await until(async () => (await metric(here, "eidos_queue_length")) === 2);
    const closed = here.close();
    expect(statuses(await Promise.all(all))).toEqual([200, 200, 200]);
    await closed;
    await expect(ask(here, "/v2/health/live")).rejects.toThrow();
    expect(here.workers).toEqual([]);
  });

  it("gives up what takes too long", async () => {
    const here = await started(digits, { drain: 0.1 });
    const long = ask(here, "/sample", ENDLESS);
    await until(async () => (await metric(here, "eidos_running")) === 1);
    await here.close();
    const { status, body } = await long;
    expect(status).toBe(503);
    expect(body.error).toBe("the server is stopping");
  });
});

describe("access", () => {
  it("needs the token, but for probes", async () => {
    const here = await started(fixture("nice-two-moons"), { token: "secret" });
    const rows = [{ x: 0, y: 0 }];
    const without = await ask(here, "/score", rows);
    expect(without.status).toBe(401);
    expect(without.headers.get("www-authenticate")).toBe("Bearer");
    expect((await ask(here, "/score", rows, { authorization: "Bearer wrong" })).status).toBe(401);
    expect((await ask(here, "/score", rows, { authorization: "Bearer secret" })).status).toBe(200);
    expect((await ask(here, "/metrics")).status).toBe(401);
    expect((await ask(here, "/nothing")).status).toBe(401);
    expect((await ask(here, "/v2/health/live")).status).toBe(200);
    expect((await ask(here, "/v2/health/ready")).status).toBe(200);
  });

  it("of pages is closed unless their origin is named", async () => {
    const origin = "https://example.org";
    const closed = await started(fixture("nice-two-moons"));
    expect(
      (await ask(closed, "/v2", undefined, { origin })).headers.get("access-control-allow-origin"),
    ).toBeNull();
    await closed.close();
    const open = await started(fixture("nice-two-moons"), { cors: [origin], token: "secret" });
    const headers = { origin, authorization: "Bearer secret" };
    expect((await ask(open, "/v2", undefined, headers)).headers.get("access-control-allow-origin")).toBe(
      origin,
    );
    const other = await ask(open, "/v2", undefined, { ...headers, origin: "https://example.com" });
    expect(other.headers.get("access-control-allow-origin")).not.toBe("https://example.com");
    const preflight = await fetch(`${open.url}/score`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(204);
  });
});

describe("a start", () => {
  it("is refused where a run cannot be opened, a name is taken or the port is", async () => {
    const options = { port: 0, workers: 1, threads: 1, log: "silent" } as const;
    const moons = fixture("nice-two-moons");
    await expect(serve(["/nowhere/at-all"], options)).rejects.toThrow(/at-all/);
    await expect(serve([moons, moons], options)).rejects.toThrow(/two runs have the name nice-two-moons/);
    await expect(serve([`a b=${moons}`], options)).rejects.toThrow(/a b is no name of a model/);
    await expect(serve([moons], { ...options, tlsCert: "cert.pem" })).rejects.toThrow(/https needs both/);
    const here = await started(moons);
    const port = Number(new URL(here.url).port);
    await expect(serve([moons], { ...options, port })).rejects.toThrow(
      /cannot listen on 127\.0\.0\.1 port \d+ \(EADDRINUSE\)/,
    );
  });
});
