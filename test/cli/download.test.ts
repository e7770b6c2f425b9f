import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { downloadLine } from "../../src/cli/progress.ts";
import { sendFile, serve, type TestServer } from "../server.ts";
import { temporaryFolder } from "../support.ts";
import { BARE, refused, succeed } from "./support.ts";

// Weights from a server of this machine by the command. What a hostile server does: test/data/files/download.test.ts; processes that are ended:
// download.slow.test.ts.

let cwd: string;
let server: TestServer;
beforeAll(async () => {
  cwd = await temporaryFolder();
  await succeed(["fit", "nice", "two-moons", "--steps", "1", "--out", "first", ...BARE], cwd);
  const bytes = await readFile(join(cwd, "first/weights/last.safetensors"));
  server = await serve((request, response) => {
    if (request.url === "/nice.safetensors") sendFile(request, response, bytes);
    else response.writeHead(404).end();
  });
});
afterAll(async () => {
  await server.close();
  await rm(cwd, { recursive: true });
});
beforeEach(() => {
  vi.stubEnv("EIDOS_CACHE", join(cwd, "cache"));
  vi.stubEnv("EIDOS_OFFLINE", undefined);
  vi.stubEnv("HF_HUB_OFFLINE", undefined);
});
afterEach(() => vi.unstubAllEnvs());

test("weights behind an address begin a fit, once fetched and then out of the cache", async () => {
  const url = `${server.origin}/nice.safetensors`;
  const fit = ["fit", "nice", "two-moons", "--steps", "1", "--weights", url, ...BARE];
  expect(await refused([...fit, "--offline", "--out", "none"], cwd)).toMatch(
    /nice\.safetensors is not in the cache \(.*cache\), and --offline forbids to fetch it/,
  );
  expect(server.requests).toHaveLength(0);
  const first = await succeed([...fit, "--out", "one"], cwd);
  expect(first.stderr).toMatch(
    /^weights http:.*nice\.safetensors: fetched, 0\.\d MB, SHA-256 [0-9a-f]{64} \(/m,
  );
  expect(first.stderr).not.toContain("fetching");
  const second = await succeed([...fit, "--offline", "--out", "two"], cwd);
  expect(second.stderr.match(/from the cache/g)).toHaveLength(1);
  expect(server.requests).toHaveLength(1);
  const config = JSON.parse(await readFile(join(cwd, "two/config.json"), "utf8"));
  expect(config).toMatchObject({ fit: { weights: url }, weights: { url } });
  expect(config.fit.offline).toBeUndefined();
  // With a checkpoint nothing of them is needed.
  await rm(join(cwd, "cache"), { recursive: true });
  await succeed(["fit", "--resume", "two", "--steps", "2"], cwd);
  expect(server.requests).toHaveLength(1);
});

test("what cannot be had is one line", async () => {
  const from = (weights: string): readonly string[] => ["fit", "nice", "two-moons", "--weights", weights];
  expect(await refused(from(`${server.origin}/gone.pth`), cwd)).toMatch(/gone\.pth is not there; tried/);
  expect(await refused(from("https://no-such-host.invalid/a.pth"), cwd)).toMatch(
    /cannot be fetched from https:\/\/no-such-host\.invalid\/a\.pth: .*give its path in place of the address/,
  );
  expect(await refused(from("http://example.org/a.pth"), cwd)).toMatch(/over http: anybody on the way could/);
  expect(await refused(from("hf:resnet18"), cwd)).toMatch(
    /named by its owner and its name; weights are a path/,
  );
  expect(await refused([...from("a.pth"), "--download"], cwd)).toMatch(/--download is of a run that goes on/);
  await writeFile(join(cwd, "file"), "");
  vi.stubEnv("EIDOS_CACHE", join(cwd, "file"));
  expect(await refused(from(`${server.origin}/nice.safetensors`), cwd)).toMatch(/EIDOS_CACHE sets another/);
  await mkdir(join(cwd, "runs"), { recursive: true });
  expect(await readdir(join(cwd, "runs"))).toEqual([]);
});

test("progress is one line of what came, the rate and the time left", () => {
  const progress = { source: "hf:a/b", received: 12_340_000, total: 46_800_000 };
  expect(downloadLine({ ...progress, bytesPerSecond: 8_100_000, secondsLeft: 4.3 })).toBe(
    "fetching hf:a/b  12.3 of 46.8 MB  8.1 MB/s  0:04 left",
  );
  const unknown = { ...progress, total: undefined, bytesPerSecond: undefined, secondsLeft: undefined };
  expect(downloadLine(unknown)).toBe("fetching hf:a/b  12.3 MB");
});
