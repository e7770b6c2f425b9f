import { expect, test } from "vitest";
import { type DataSet, range, storedSplit } from "../../src/data/sources/data-set.ts";
import type { SymbolicBatch } from "../../src/model/data-info.ts";
import { Linear } from "../../src/nn/index.ts";
import { float32 } from "../../src/tensor/array.ts";
import { constant } from "../../src/tensor/index.ts";
import { fitHere } from "../../src/train/fit.node.ts";
import { fitOptions, resolveFitOptions } from "../../src/train/options.ts";
import { type MetricRow, RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";

const PROBABILITIES = [0, 0.1, 0.5, 0.8, 1];
const SIZE = PROBABILITIES.length;
const SAMPLES = 64;
const [BATCH, STEPS] = [32, 150];

/** Reports what it sees: the mean of each element over a batch, and how far elements are from being 0 or 1. */
class Watcher {
  readonly layer = new Linear(SIZE, 1);

  loss({ x }: SymbolicBatch) {
    const means = PROBABILITIES.map((_, i) => {
      const mask = PROBABILITIES.map((_, k) => Number(i === k));
      const own = x.mul(constant(float32(mask, [SIZE])));
      return [`x${i}`, own.mean().mul(SIZE)] as const;
    });
    const between = x.mul(x.neg().add(1)).abs().sum();
    // What validation sees shows in the total; the layer is there to be trained.
    const total = this.layer.forward(x).square().mean().mul(1e-6).add(x.mean());
    return { total, between, ...Object.fromEntries(means) };
  }
}

/** Samples whose elements are 1 with these probabilities each time that they are trained on, and 0 otherwise. */
const split = storedSplit(new Uint8Array(SAMPLES * SIZE), [SIZE], range(0, SAMPLES));
const data: DataSet = {
  name: "drawn",
  kind: "binary",
  sampleShape: [SIZE],
  splits: {
    train: {
      ...split,
      intensities: ({ length }) => ({
        x: float32(Array.from({ length }, () => PROBABILITIES).flat(), [length, SIZE]),
      }),
    },
    validation: split,
    test: split,
  },
  fingerprint: "drawn",
  describe: () => [],
};

/** The one row of metrics of a fit: means over all steps. */
async function fitWatcher(options: {
  readonly seed: number;
  readonly accumulate?: number;
}): Promise<MetricRow> {
  const folder = new RunFolder(await temporaryFolder());
  await folder.create();
  const parsed = fitOptions.parse({
    ...options,
    ...{ batchSize: BATCH, steps: STEPS, logEvery: STEPS, validateEvery: STEPS, threads: 1 },
  });
  const resolved = resolveFitOptions(parsed, {}, SAMPLES);
  await fitHere({ model: new Watcher(), data, options: resolved, folder, resume: false });
  const row = (await folder.readMetrics()).at(-1);
  if (row === undefined) throw new Error("a fit writes metrics");
  return row;
}

test.each([1, 4])(
  "a step in %i parts draws zeros and ones anew, with the given probabilities",
  async (accumulate) => {
    const row = await fitWatcher({ seed: 1, accumulate });
    expect(row.between).toBe(0);
    for (const [i, probability] of PROBABILITIES.entries()) {
      const deviation = Math.sqrt((probability * (1 - probability)) / (BATCH * STEPS));
      expect(Math.abs(Number(row[`x${i}`]) - probability)).toBeLessThanOrEqual(4 * deviation + 1e-6);
    }
    expect(row.loss).toBeGreaterThan(0.4);
    // Validation sees the fixed draw, which is all zeros here.
    expect(row.validationLoss).toBeLessThan(1e-3);
  },
);

test("the seed decides the draws", async () => {
  const [a, b, c] = [
    await fitWatcher({ seed: 2 }),
    await fitWatcher({ seed: 2 }),
    await fitWatcher({ seed: 3 }),
  ];
  expect([a?.x2, a?.loss]).toEqual([b?.x2, b?.loss]);
  expect(a?.x2).not.toBe(c?.x2);
});
