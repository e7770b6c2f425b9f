import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { writeSafetensors } from "../../src/nn/safetensors.ts";
import { float32 } from "../../src/tensor/array.ts";
import { sendFile, serve, type TestServer } from "../server.ts";
import { temporaryFolder } from "../support.ts";
import { QUICK, start, succeed } from "./support.ts";

// Processes that fetch weights: ended, killed, and two at once.

let cwd: string;
let bytes: Uint8Array;
let server: TestServer;
let held = true;
beforeEach(async () => {
  cwd = await temporaryFolder();
  vi.stubEnv("EIDOS_CACHE", join(cwd, "cache"));
  held = true;
  await succeed(["fit", "nice", "two-moons", "--steps", "1", "--out", "first", ...QUICK], cwd);
  bytes = await readFile(join(cwd, "first/weights/last.safetensors"));
  server = await serve((request, response) => {
    if (!held) return sendFile(request, response, bytes, { etag: '"one"' });
    response.writeHead(200, { "content-length": bytes.length, etag: '"one"' });
    response.write(bytes.subarray(0, 1000));
  });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await rm(cwd, { recursive: true });
});

const fit = (out: string): readonly string[] => [
  ...["fit", "nice", "two-moons", "--steps", "1", "--out", out],
  ...["--weights", `${server.origin}/nice.safetensors`, ...QUICK],
];

/** Waits until the first bytes of the file are in the cache. */
const begun = (): Promise<void> =>
  vi.waitFor(
    async () => {
      const part = (await readdir(join(cwd, "cache"))).find((name) => name.endsWith(".part"));
      expect((await stat(join(cwd, "cache", part ?? "none"))).size).toBe(1000);
    },
    { timeout: 60_000, interval: 50 },
  );

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s ends it with its own code, and the next one goes on", async (signal, code) => {
  const running = start(fit("a"), cwd);
  await begun();
  running.kill(signal);
  const outcome = await running.outcome;
  expect(outcome).toMatchObject({ code, signal: null, stdout: "" });
  expect(outcome.stderr).toMatch(/download of http.* was stopped; 0 MB are kept/);
  held = false;
  await succeed(fit("a"), cwd);
  expect(server.requests[1]?.range).toBe("bytes=1000-");
});

test("one that is killed leaves nothing that stops the next", async () => {
  const running = start(fit("a"), cwd);
  await begun();
  running.kill("SIGKILL");
  await running.outcome;
  expect((await readdir(join(cwd, "cache"))).some((name) => name.endsWith(".lock"))).toBe(true);
  held = false;
  await succeed(fit("a"), cwd);
  expect(server.requests[1]?.range).toBe("bytes=1000-");
});

test("two at once fetch it once", async () => {
  held = false;
  const outcomes = await Promise.all(["a", "b", "c"].map((out) => start(fit(out), cwd).outcome));
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(server.requests).toHaveLength(1);
  expect(outcomes.filter(({ stderr }) => stderr.includes(": fetched, "))).toHaveLength(1);
  expect(outcomes.filter(({ stderr }) => stderr.includes("from the cache"))).toHaveLength(2);
});

test("weights that fit nowhere are fetched, and told", async () => {
  bytes = writeSafetensors(new Map([["other.weight", float32([1, 2], [2])]]));
  held = false;
  const { code, stderr } = await start(fit("a"), cwd).outcome;
  expect(code).toBe(1);
  expect(stderr).toMatch(/nothing in it fits this model/);
});
