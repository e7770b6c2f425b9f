import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { DownloadProgress } from "../../../src/data/files/download.node.ts";
import { DownloadError } from "../../../src/errors.ts";
import { initialState } from "../../../src/nn/module.ts";
import { writeSafetensors } from "../../../src/nn/safetensors.ts";
import type { State } from "../../../src/program/program.ts";
import { train } from "../../../src/tasks/compare/model.node.ts";
import { fit } from "../../../src/tasks/fit/fit.node.ts";
import { type FitTask, type PreparedFit, prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { fitToPairs } from "../../../src/tasks/fit/reflow.node.ts";
import { loadRun } from "../../../src/tasks/run/load.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { sendFile, serve, type TestServer } from "../../server.ts";
import { numbers, present, temporaryFolder } from "../../support.ts";

// Runs that begin with weights which are elsewhere: fetched when asked for, the same ones again, and never for a stranger.

const REQUEST = {
  model: "rectified-flow",
  data: "two-moons",
  count: 300,
  width: 8,
  depth: 1,
  steps: 2,
  batchSize: 16,
  threads: 1,
  samplePictures: 0,
  report: "none",
} as const;

let root: string;
let server: TestServer;
let weights: State;
let bytes: Uint8Array;
/** What the server sends now. */
let sent: Uint8Array;
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await temporaryFolder();
  const { fit } = await prepareFit({ kind: "new", request: { ...REQUEST, seed: 9, out: at("other") } });
  await fit.folder.unlock();
  weights = initialState(fit.model, 9);
  bytes = writeSafetensors(weights);
  server = await serve((request, response) => {
    if (request.url?.startsWith("/a/b/resolve/main/model.safetensors")) {
      sendFile(request, response, sent, { headers: { "x-repo-commit": "c".repeat(40) } });
    } else response.writeHead(404).end();
  });
});
afterAll(async () => {
  await server.close();
  await rm(root, { recursive: true });
});

let asked: number;
beforeEach(() => {
  sent = bytes;
  asked = server.requests.length;
  vi.stubEnv("HF_ENDPOINT", server.origin);
  vi.stubEnv("HF_TOKEN", undefined);
  vi.stubEnv("EIDOS_OFFLINE", undefined);
  vi.stubEnv("HF_HUB_OFFLINE", undefined);
  vi.stubEnv("EIDOS_CACHE", at(`cache-${asked}-${Math.random()}`));
});
afterEach(() => vi.unstubAllEnvs());

/** Requests since the test began. */
const requests = (): number => server.requests.length - asked;

/** Prepares a fit, and gives its folder back as a process that is killed does not: without a checkpoint. */
async function prepared(
  task: FitTask,
  onDownload?: (progress: DownloadProgress) => void,
): Promise<PreparedFit> {
  const made = await prepareFit(task, onDownload && { onDownload });
  await made.fit.folder.unlock();
  return made;
}

const fresh = (name: string, options: Readonly<Record<string, unknown>> = {}): Promise<PreparedFit> =>
  prepared({ kind: "new", request: { ...REQUEST, weights: "hf:a/b", ...options, out: at(name) } });

const again = (
  name: string,
  options: Omit<Extract<FitTask, { kind: "resume" }>, "kind" | "folder" | "overrides"> = {},
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<PreparedFit> => prepared({ kind: "resume", folder: at(name), overrides, ...options });

/** The run begins with the numbers of the server's file. */
function expectStart({ fit }: PreparedFit, expected: State = weights): void {
  for (const [name, value] of expected) {
    expect(numbers(present(fit.start).get(name)), name).toEqual(numbers(value));
  }
}

describe("a new run", () => {
  test("begins with weights of the hub, records what they were, and fetches them once", async () => {
    const seen: DownloadProgress[] = [];
    const request = { ...REQUEST, weights: "hf:a/b", out: at("new") };
    const made = await prepared({ kind: "new", request }, (progress) => seen.push(progress));
    expectStart(made);
    expect(present(seen.at(-1))).toMatchObject({ source: "hf:a/b", received: bytes.length });
    const { weights: record, fit, paths } = await new RunFolder(at("new")).readConfig();
    expect(fit.weights).toBe("hf:a/b");
    expect(paths?.weights).toBeUndefined();
    expect(record).toEqual({
      url: `${server.origin}/a/b/resolve/main/model.safetensors`,
      revision: "c".repeat(40),
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      bytes: bytes.length,
    });
    expect(made.notes[0]).toMatch(/^weights hf:a\/b: fetched, 0\.0 MB, commit cccccccccc, SHA-256 /);
    const second = await fresh("second", { offline: true });
    expectStart(second);
    expect(second.notes[0]).toMatch(
      /^weights hf:a\/b: from the cache, fetched \d{4}-\d\d-\d\d, commit c+ \(/,
    );
    expect(second.notes.filter((note) => note.includes("from the cache"))).toHaveLength(1);
    expect(requests()).toBe(1);
  });

  test("asks no server where that is forbidden, and makes no folder", async () => {
    await expect(fresh("offline", { offline: true })).rejects.toThrow(
      /hf:a\/b is not in the cache .*--offline/,
    );
    await expect(fresh("offline", { offline: "yes" })).rejects.toThrow(
      /option offline: must be true or false/,
    );
    vi.stubEnv("EIDOS_OFFLINE", "1");
    await expect(fresh("offline")).rejects.toThrow(/EIDOS_OFFLINE forbids/);
    expect(requests()).toBe(0);
    expect(await new RunFolder(at("offline")).exists()).toBe(false);
  });

  test("asks no server where another option is wrong, or its name is", async () => {
    await expect(fresh("wrong", { width: -1 })).rejects.toThrow(/width/);
    for (const name of ["hf:b", "http://example.org/a.pth", "s3://a/b"]) {
      await expect(fresh("wrong", { weights: name, data: "no-such" })).rejects.toThrow(/option weights: /);
    }
    expect(requests()).toBe(0);
  });

  test("does not keep a page in place of weights", async () => {
    sent = new TextEncoder().encode("<!doctype html><html></html>");
    await expect(fresh("page")).rejects.toThrow(/^hf:a\/b: it is a page of HTML, /);
    sent = bytes;
    expectStart(await fresh("page"));
  });

  test("is ended while its weights are fetched", async () => {
    const slow = await serve((_, response) => response.writeHead(200, { "content-length": 1000 }).write("a"));
    try {
      const request = { ...REQUEST, weights: `${slow.origin}/a.pth`, out: at("ended") };
      const stopping = prepareFit({ kind: "new", request }, { shouldStop: () => slow.requests.length > 0 });
      await expect(stopping).rejects.toThrow(/download of http.*a\.pth was stopped/);
    } finally {
      await slow.close();
    }
  });
});

test("a hook that throws while weights are fetched ends the fit, in a worker too", async () => {
  const slow = await serve((_, response) => response.writeHead(200, { "content-length": 1000 }).write("a"));
  const boom = (): never => {
    throw new TypeError("mine");
  };
  try {
    const request = { ...REQUEST, weights: `${slow.origin}/a.pth`, out: at("hooked") } as const;
    await expect(fit(request, { onDownload: boom })).rejects.toThrow(/^mine$/);
    const controller = new AbortController();
    const hooks = { onDownload: () => controller.abort(), signal: controller.signal };
    await expect(fit(request, hooks)).rejects.toThrow(DownloadError);
    await expect(fit({ ...request, offline: true })).rejects.toThrow(/--offline forbids/);
    expect(slow.requests).toHaveLength(2);
  } finally {
    await slow.close();
  }
});

describe("a run that was killed before its first checkpoint", () => {
  test("begins again with the same bytes out of the cache", async () => {
    await fresh("killed");
    expectStart(await again("killed", { offline: true }));
    expect(requests()).toBe(1);
  });

  test("fetches them only where the user asks, and refuses others", async () => {
    await fresh("emptied");
    vi.stubEnv("EIDOS_CACHE", at("emptied-cache"));
    await expect(again("emptied")).rejects.toThrow(
      /not in the cache .* it is the run that asks for it: .*--download/,
    );
    await expect(again("emptied", { trust: { module: true, query: true } })).rejects.toThrow(/--download/);
    await expect(again("emptied", { trust: { download: true }, offline: true })).rejects.toThrow(/--offline/);
    expect(requests()).toBe(1);
    sent = writeSafetensors(weights, { other: "bytes" });
    await expect(again("emptied", { trust: { download: true } })).rejects.toThrow(
      /the bytes that came are not those of the run .*emptied/,
    );
    sent = bytes;
    expectStart(await again("emptied", { trust: { download: true } }));
    expectStart(await again("emptied"));
  });

  test("refuses other bytes that the cache has by now", async () => {
    await fresh("later");
    vi.stubEnv("EIDOS_CACHE", at("later-cache"));
    sent = writeSafetensors(weights, { made: "later" });
    await fresh("newer");
    const before = requests();
    await expect(again("later")).rejects.toThrow(/not in the cache/);
    expect(requests()).toBe(before);
  });

  test("begins with others that the user names now", async () => {
    await fresh("changed");
    const { weights: record, ...local } = await new RunFolder(at("changed")).readConfig();
    await writeFile(at("local.safetensors"), writeSafetensors(weights));
    await again("changed", {}, { weights: at("local.safetensors") });
    const now = await new RunFolder(at("changed")).readConfig();
    expect(now.weights).toBeUndefined();
    expect(now.paths?.weights).toBe(at("local.safetensors"));
    expect({ ...now, fit: local.fit, paths: local.paths }).toEqual(local);
    await again("changed", {}, { weights: "hf:a/b/model.safetensors" });
    expect((await new RunFolder(at("changed")).readConfig()).weights).toEqual(record);
  });
});

describe("a stranger's run", () => {
  /** A run with a checkpoint and weights, whose config.json a stranger has changed. */
  async function strangers(name: string, change: Readonly<Record<string, unknown>>): Promise<string> {
    await cp(at("trained"), at(name), { recursive: true });
    const config = JSON.parse(await readFile(at("trained/config.json"), "utf8"));
    const changed = { ...config, ...change, fit: { ...config.fit, ...(change.fit ?? {}) } };
    await writeFile(join(at(name), "config.json"), JSON.stringify(changed));
    return at(name);
  }
  beforeAll(async () => {
    const { fit } = await prepareFit({ kind: "new", request: { ...REQUEST, out: at("trained") } });
    const { draw: _d, finish: _f, ...rest } = fit;
    await fitHere(rest);
  });
  const evil = (): string => `${server.origin}/a/b/resolve/main/model.safetensors?evil`;

  test("with a checkpoint goes on without any file; it makes no request in any use", async () => {
    const folder = await strangers("stranger", { fit: { weights: evil() } });
    const made = await prepared({ kind: "resume", folder, overrides: { steps: 3 } });
    expect(made.fit.start).toBeUndefined();
    await (await loadRun(folder)).session.release();
    expect(requests()).toBe(0);
    await made.fit.folder.unlock();
    const before = await readFile(join(folder, "config.json"), "utf8");
    const overrides = { steps: 3, weights: at("trained") };
    await expect(prepared({ kind: "resume", folder, overrides })).rejects.toThrow(
      /^option weights: .* is past its beginning \(\d+ steps\), and goes on with its own/,
    );
    expect(await readFile(join(folder, "config.json"), "utf8")).toBe(before);
  });

  test.each([
    ["no checksum", undefined],
    ["a checksum", { url: "x", sha256: "0".repeat(64), bytes: 1 }],
  ])("without one, and with %s, is refused", async (what, record) => {
    const folder = await strangers(`stranger-${what}`, { fit: { weights: evil() }, weights: record });
    await rm(join(folder, "state.safetensors"));
    await expect(prepared({ kind: "resume", folder, overrides: {} })).rejects.toThrow(
      record === undefined ? /keeps no checksum of it/ : /it is the run that asks for it/,
    );
    expect(requests()).toBe(0);
  });

  test("in a comparison is not taken for what the user asked for", async () => {
    const record = { url: "x", sha256: "0".repeat(64), bytes: 1 };
    const folder = await strangers("stranger-compared", { fit: { weights: evil() }, weights: record });
    await rm(join(folder, "state.safetensors"));
    const stage = { folder: { run: () => folder }, comparison: {} } as unknown as Parameters<typeof train>[1];
    const contender = { name: "a", model: REQUEST.model, fit: {} } as Parameters<typeof train>[0];
    await expect(train(contender, stage, {})).rejects.toThrow(/it is the run that asks for it/);
    expect(requests()).toBe(0);
  });

  test("does not slip options of a fit into that of its pairs", async () => {
    const dataOptions = { count: 300, weights: evil(), out: at("slipped"), offline: "x", seed: 77 };
    const folder = await strangers("stranger-reflow", { dataOptions });
    const fit = {
      steps: 1,
      batchSize: 16,
      threads: 1,
      samplePictures: 0,
      report: "none",
      out: at("reflowed"),
    } as const;
    await fitToPairs({ kind: "reflow", run: folder, pairs: { count: 64 }, fit });
    const config = await new RunFolder(at("reflowed")).readConfig();
    expect(config.fit).toMatchObject({ seed: 0, weights: folder });
    expect(requests()).toBe(0);
  });
});
