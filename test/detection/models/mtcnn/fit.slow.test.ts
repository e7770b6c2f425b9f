import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareFit } from "../../../../src/tasks/fit/prepare.node.ts";
import { openRun } from "../../../../src/tasks/open-run.node.ts";
import type { BatchedData } from "../../../../src/train/batches.ts";
import { fitHere } from "../../../../src/train/fit.node.ts";
import { RunFolder } from "../../../../src/train/run-folder.node.ts";
import type { StagedBatches, StageEntering } from "../../../../src/train/stages.ts";
import { numbers, temporaryFolder } from "../../../support.ts";

// The three networks of MTCNN are trained one after the other, and a fit that is stopped within any of them goes on as if it had not been.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true, force: true }));

const request = {
  model: "mtcnn",
  data: "digit-scenes",
  scenes: 5,
  canvas: 48,
  objects: 2,
  smallest: 20,
  largest: 40,
  clutter: 1,
  batchSize: 20,
  validateEvery: 1000,
  samplePictures: 0,
  threads: 1,
  deterministic: true,
};

/** Fits, or goes on, up to so many steps, in this thread. */
async function fitted(
  out: string,
  options: Readonly<Record<string, unknown>>,
  {
    stopAfter = Number.POSITIVE_INFINITY,
    resume = false,
    onEnter = (entering: StageEntering) => entering,
  } = {},
): Promise<readonly string[]> {
  const { fit } = await prepareFit(
    resume
      ? { kind: "resume", folder: out, overrides: {} }
      : { kind: "new", request: { ...request, ...options, out } },
  );
  let done = 0;
  const warnings: string[] = [];
  const own = fit.data as BatchedData;
  const data: BatchedData = {
    ...own,
    batches(given) {
      const batches = own.batches(given) as StagedBatches;
      return {
        ...batches,
        enter: (stage: number, entering: StageEntering) => batches.enter(stage, onEnter(entering)),
        feeds(step, rows) {
          done = step + 1;
          return batches.feeds(step, rows);
        },
      };
    },
  };
  const { finish: _finish, ...others } = fit;
  await fitHere({
    ...others,
    data,
    shouldStop: () => done >= stopAfter,
    onWarning: (message) => warnings.push(message),
  });
  return warnings;
}

const timeless = (rows: readonly object[]) =>
  rows.map((row) => ({ ...row, seconds: 0, samplesPerSecond: 0 }));

describe("a fit of MTCNN", () => {
  it("stopped in any of its stages goes on bit for bit", async () => {
    const whole = join(root, "whole");
    const warnings = await fitted(whole, { steps: 10, logEvery: 3 });
    expect(warnings.join()).toMatch(/P-Net finds .* % of \d+ validation objects, where 95.0 % are wanted/);
    const expected = new RunFolder(whole);
    const rows = timeless(await expected.readMetrics());
    expect(rows.map((row) => "pnetRecall" in row)).toEqual(
      rows.map((row) => (row as { step?: number }).step === 4),
    );
    expect(rows.filter((row) => "rnetRecall" in row).length).toBe(1);
    expect(rows.at(-1)).toHaveProperty("validationAP");
    for (const stopAfter of [2, 4, 6, 9]) {
      const parts = join(root, `parts-${stopAfter}`);
      await fitted(parts, { steps: 10, logEvery: 3 }, { stopAfter });
      await fitted(parts, {}, { resume: true });
      const folder = new RunFolder(parts);
      expect(timeless(await folder.readMetrics())).toEqual(rows);
      expect((await folder.readCheckpoint())?.vectors).toEqual((await expected.readCheckpoint())?.vectors);
    }
  });

  it("that looked through fewer images for want of time looks through the same ones as it goes on", async () => {
    const options = { scenes: 40, steps: 10, logEvery: 3, seconds: 1000 };
    const given: StageEntering[] = [];
    const onEnter = (entering: StageEntering): StageEntering => {
      given.push(entering);
      // No time at all: as few images as there may be.
      return entering.samples === undefined ? { ...entering, seconds: 0 } : entering;
    };
    const whole = join(root, "hurried");
    const warnings = await fitted(whole, options, { onEnter });
    expect(warnings.join("\n")).toMatch(
      /R-Net learns from what P-Net lets through of 8 of 40 training images, and is validated on that of 8 of 8: .* at most 20.0 % of the time that is left/,
    );
    // Before P-Net nothing is looked through; then a fifth of what is left of the thousand seconds may be taken.
    expect(given.map(({ samples }) => samples)).toEqual([undefined, undefined, undefined]);
    expect(given.slice(1).every(({ seconds }) => seconds > 100 && seconds < 200)).toBe(true);
    const expected = (await new RunFolder(whole).readCheckpoint())?.vectors;
    for (const stopAfter of [5, 8]) {
      const parts = join(root, `hurried-${stopAfter}`);
      await fitted(parts, options, { stopAfter, onEnter });
      given.length = 0;
      await fitted(parts, {}, { resume: true, onEnter });
      expect(given[0]).toMatchObject({
        seconds: Number.POSITIVE_INFINITY,
        samples: { train: 8, validation: 8 },
      });
      expect((await new RunFolder(parts).readCheckpoint())?.vectors).toEqual(expected);
    }
  });

  it("trains one network in each stage, and leaves the others as they are", async () => {
    const weights: Map<string, number[]>[] = [];
    for (const stopAfter of [1, 4, 7, 10]) {
      const out = join(root, `stages-${stopAfter}`);
      await fitted(out, { steps: 10, averageDecay: 0 }, { stopAfter });
      const state = await new RunFolder(out).readWeights("last");
      weights.push(
        new Map(
          ["pnet.conv1.weight", "rnet.conv1.weight", "onet.conv1.weight"].map((name) => [
            name,
            numbers(state.get(name)),
          ]),
        ),
      );
    }
    const changes = (name: string) =>
      weights.slice(1).map((now, i) => now.get(name)?.join() !== weights[i]?.get(name)?.join());
    expect(changes("pnet.conv1.weight")).toEqual([true, false, false]);
    expect(changes("rnet.conv1.weight")).toEqual([false, true, false]);
    expect(changes("onet.conv1.weight")).toEqual([false, false, true]);
  });

  it("finds most digits, as objects of one class, by P-Net", async () => {
    const out = join(root, "digits");
    await fitted(out, {
      scenes: 100,
      canvas: 64,
      smallest: 24,
      batchSize: 96,
      steps: 2400,
      stageShares: [0.97, 0.01, 0.02],
      minedImages: 12,
    });
    const rows = await new RunFolder(out).readMetrics();
    const [recall] = rows.flatMap((row) => row.pnetRecall ?? []);
    expect(recall).toBeGreaterThan(0.8);
    await using run = await openRun(out);
    expect(run.isCascade).toBe(true);
    expect((await run.evaluateBoxes(undefined, { split: "validation" })).coco.objects).toBeGreaterThan(20);
  });
});
