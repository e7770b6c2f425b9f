import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { defineModel } from "../../../src/model/definition.ts";
import { Linear } from "../../../src/nn/index.ts";
import { type FitHooks, fit } from "../../../src/tasks/fit/fit.node.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../../support.ts";

// What a hook throws comes out of `fit`; it never becomes an uncaught exception, and the run is whole.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const mean = defineModel({
  name: "mean",
  summary: "moves points to the origin",
  paper: "none",
  dataKinds: ["points"],
  can: [],
  options: z.strictObject({ scale: z.number().default(1) }),
  build: () => {
    const layer = new Linear(2, 2);
    return { layer, loss: ({ x }) => ({ total: layer.forward(x).square().mean() }) };
  },
});

const boom = (): never => {
  throw new TypeError("mine");
};

const hooks: readonly (readonly [string, FitHooks])[] = [
  ["onBegin", { onBegin: boom }],
  ["an asynchronous onBegin", { onBegin: async () => boom() }],
  ["onProgress, later", { onProgress: ({ step }) => step > 2 && boom() }],
  ["an asynchronous onProgress", { onProgress: async () => boom() }],
];

/** What a fit is rejected with. */
const reasonOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => undefined,
    (reason: unknown) => reason,
  );

const common = { data: "two-moons", count: 64, batchSize: 8, threads: 1, steps: 400 } as const;

async function expectSaved(out: string, error: unknown): Promise<void> {
  expect(error).toBeInstanceOf(TypeError);
  expect(String(error)).toBe("TypeError: mine");
  const folder = new RunFolder(out);
  expect((await folder.readCheckpoint())?.progress.finished).toBe(false);
  expect(await readdir(out)).not.toContain("run.lock");
}

describe("a fit is rejected with what a hook throws, and has saved", () => {
  test.each(hooks)("%s, in this thread", async (name, given) => {
    const out = join(root, name.replaceAll(/\W+/g, "-"));
    const error = await reasonOf(fit<typeof mean>({ ...common, model: mean, out }, given));
    await expectSaved(out, error);
  });

  test.each(hooks.slice(2, 4))("%s, with a worker", async (name, given) => {
    const out = join(root, `worker-${name.replaceAll(/\W+/g, "-")}`);
    const request = { ...common, model: "nice", width: 8, couplings: 2, samplePictures: 0, out } as const;
    await expectSaved(out, await reasonOf(fit(request, given)));
  });
});
