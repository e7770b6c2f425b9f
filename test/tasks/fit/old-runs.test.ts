import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readNpy } from "../../../src/data/files/arrays.node.ts";
import { detections } from "../../../src/detection/index.ts";
import { oneLook } from "../../../src/detection/models/detector.ts";
import type { State } from "../../../src/program/program.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { asWritten } from "../../../src/tasks/run/outputs.node.ts";
import { sampleRun } from "../../../src/tasks/use/sample.node.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { RunFolder } from "../../../src/train/run-folder.node.ts";
import { largestDifference, numbers, present, temporaryFolder } from "../../support.ts";

// Run folders written by version 0.1.0 open, and go on as that version went on: test/fixtures/runs/README.md.

const FIXTURES = fileURLToPath(new URL("../../fixtures/runs", import.meta.url));
const RUNS = ["nice-two-moons", "rectified-flow-digits", "fcos-digit-scenes"] as const;

let root: string;
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Resumes a copy of a run folder to step 8, without what a fit writes besides weights. */
async function resumed(path: string, copy: string): Promise<RunFolder> {
  const folder = join(root, copy);
  await cp(path, folder, { recursive: true });
  await mkdir(join(folder, "samples"), { recursive: true });
  const { fit } = await prepareFit({ kind: "resume", folder, overrides: { steps: 8, threads: 1 } });
  const { draw: _d, finish: _f, ...rest } = fit;
  expect(await fitHere(rest)).toMatchObject({ step: 8, reason: "limit" });
  return fit.folder;
}

/** First value, sum and sum of squares of each of the weights. */
function sums(weights: State): ReadonlyMap<string, readonly number[]> {
  return new Map(
    [...weights].map(([name, value]) => {
      const values = numbers(value);
      const sum = (of: (value: number) => number): number => values.reduce((a, b) => a + of(b), 0);
      return [name, [present(values[0]), sum((v) => v), sum((v) => v * v)]];
    }),
  );
}

async function expectSame(one: RunFolder, other: RunFolder): Promise<void> {
  expect(await one.readWeights("last")).toEqual(await other.readWeights("last"));
  expect((await one.readCheckpoint())?.vectors).toEqual((await other.readCheckpoint())?.vectors);
}

describe.each(RUNS)("the run %s of version 0.1.0", (name) => {
  const path = join(FIXTURES, name);

  it("goes on to the weights of that version", async () => {
    const recorded: Record<string, [number, number, number]> = JSON.parse(
      await readFile(`${path}.resumed.json`, "utf8"),
    );
    const folder = await resumed(path, `${name}-one`);
    const found = sums(await folder.readWeights("last"));
    expect(new Set(found.keys())).toEqual(new Set([...Object.keys(recorded), ...counts(found)]));
    for (const [weight, [first, sum, squares]] of Object.entries(recorded)) {
      // Sums cancel: they are compared to what they may be.
      const size = Math.sqrt(squares) + 1e-3;
      const [a, b, c] = present(found.get(weight), weight);
      // Adam makes a step of rounding in a gradient near 0: where the learning rate is another by 2e-7, a bias here moves by 3e-6, and where kernels
      // add in another order, squares by 2e-4 of themselves. A step that is left out is a hundredth.
      expect(Math.abs((a ?? 0) - first), `${weight}, first`).toBeLessThan(1e-4 * size + 1e-5);
      expect(Math.abs((b ?? 0) - sum), `${weight}, sum`).toBeLessThan(1e-3 * size + 5e-5);
      expect(Math.abs((c ?? 0) - squares), `${weight}, squares`).toBeLessThan(1e-3 * squares + 1e-6);
    }
    // A detector takes its time to build; that it resumes bit for bit is tested with its evaluation.
    if (name !== "fcos-digit-scenes") await expectSame(folder, await resumed(path, `${name}-two`));
    // Older spellings have become the current ones.
    expect((await folder.readConfig()).fit).toMatchObject({
      steps: 8,
      optimizer: expect.stringMatching(/^adam/),
    });
    await expect(
      prepareFit({ kind: "resume", folder: folder.path, overrides: { steps: 8 } }),
    ).rejects.toThrow(/is finished/);
  });
});

/** Names of buffers that count, which were not recorded. */
function counts(weights: ReadonlyMap<string, unknown>): readonly string[] {
  return [...weights.keys()].filter((name) => name.endsWith("num_batches_tracked"));
}

it.each([
  ["nice-two-moons", 1e-4],
  // Bytes: where kernels differ, a value at the border between two is rounded the other way.
  ["rectified-flow-digits", 1],
] as const)("%s draws the samples of that version", async (name, most) => {
  const run = await loadRun(join(FIXTURES, name), { threads: 1 });
  try {
    const samples = asWritten(run.config.dataInfo, await sampleRun(run, { count: 2, seed: 3 }));
    const recorded = await readNpy(join(FIXTURES, `${name}.samples.npy`));
    expect(samples.shape).toEqual(recorded.shape);
    expect(largestDifference(numbers(samples), numbers(recorded))).toBeLessThanOrEqual(most);
  } finally {
    await run.session.release();
  }
});

it("fcos-digit-scenes finds objects of its classes", async () => {
  const run = detectorRun(await loadRun(join(FIXTURES, "fcos-digit-scenes"), { threads: 1 }));
  try {
    const x = float32(
      Float32Array.from({ length: 3 * 64 * 64 }, (_, i) => i % 251),
      [1, 3, 64, 64],
    );
    const [found] = await detections(oneLook(run.model, "a run"), run.session, x, { confidence: 0 });
    const { classes, scores } = present(found);
    expect(scores.length).toBeGreaterThan(0);
    expect(Array.from(classes).every((label) => run.classes[label] !== undefined)).toBe(true);
  } finally {
    await run.session.release();
  }
});

it("an uninterrupted fit with a constant rate is one of half its steps, resumed, bit for bit", async () => {
  const whole = await fitted(8, "whole");
  const half = await fitted(4, "half");
  await expectSame(whole, await resumed(half.path, "half-resumed"));
});

async function fitted(steps: number, name: string): Promise<RunFolder> {
  const { fit } = await prepareFit({
    kind: "new",
    request: {
      ...{ model: "nice", data: "two-moons", count: 600, width: 8, couplings: 2, hiddenLayers: 1 },
      ...{ batchSize: 16, schedule: "constant", warmupSteps: 0, threads: 1, samplePictures: 0 },
      ...{ steps, out: join(root, name) },
    },
  });
  const { finish: _f, ...rest } = fit;
  await fitHere(rest);
  return fit.folder;
}
