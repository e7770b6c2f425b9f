import { beforeAll, describe, expect, it } from "vitest";
import { binarized } from "../../../src/data/sources/binarize.ts";
import { type DataSet, range, type Split, storedSplit } from "../../../src/data/sources/data-set.ts";
import { openDigits } from "../../../src/data/sources/digits.node.ts";
import { planePoints } from "../../../src/data/sources/toy.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { DistanceMeter, type DistanceOptions } from "../../../src/tasks/measure/distances.node.ts";
import { MEASURES, type SampleDistance } from "../../../src/tasks/measure/measures.ts";
import { float32, type NdArray } from "../../../src/tensor/array.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime();
});

const meterOf = (data: DataSet, options: Partial<DistanceOptions> = {}): DistanceMeter =>
  new DistanceMeter(data, { split: "test", seed: 0, extent: "all", runtime, ...options });

const valuesOf = (distances: readonly SampleDistance[]): Readonly<Record<string, number>> =>
  Object.fromEntries(distances.map(({ measure, value }) => [measure, value]));

/** Data of bits: element i is one with probability (i + 1) / (size + 1), a third of them copies of the first. */
function bitData(size: number, count: number): DataSet {
  const random = new Random(5);
  const draw = (rows: number) => {
    const bits = new Uint8Array(rows * size);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < size; i++) {
        bits[row * size + i] =
          i % 3 === 2 ? (bits[row * size] ?? 0) : Number(random.uniform() < (i + 1) / (size + 1));
      }
    }
    return storedSplit(bits, [size], range(0, rows));
  };
  return {
    name: "bits",
    kind: "binary",
    sampleShape: [size],
    splits: { train: draw(4 * count), validation: draw(count), test: draw(count) },
    fingerprint: "bits",
    describe: () => [],
  };
}

describe("of points", () => {
  const moons = planePoints("two-moons", { count: 5000 });
  const fresh = planePoints("two-moons", { count: 5000, seed: 1 }).splits.train.batch(range(0, 1000)).x;
  const board = planePoints("checkerboard", { count: 5000 }).splits.train.batch(range(0, 1000)).x;

  it("separate samples of the data from others by every measure", async () => {
    const meter = meterOf(moons);
    expect(meter.count).toBe(1000);
    const good = valuesOf(await meter.measure(fresh));
    const bad = valuesOf(await meter.measure(board));
    expect(Object.keys(good)).toEqual([
      ...["energy", "sliced", "discrepancy", "discrepancyP", "precision", "recall"],
      ...["density", "coverage", "memorization", "classifier"],
    ]);
    for (const measure of ["energy", "sliced", "discrepancy"]) {
      expect(bad[measure], measure).toBeGreaterThan(5 * Math.abs(good[measure] ?? Number.NaN));
    }
    expect(good.discrepancyP).toBeGreaterThan(0.01);
    expect(bad.discrepancyP).toBeLessThan(0.01);
    for (const measure of ["precision", "recall", "coverage"]) {
      expect(good[measure], measure).toBeGreaterThan(0.93);
      expect(bad[measure], measure).toBeLessThan(0.9);
    }
    expect(good.density).toBeCloseTo(1, 1);
    expect(Math.abs((good.memorization ?? 0) - 0.5)).toBeLessThan(0.04);
    expect(bad.memorization).toBeLessThan(0.35);
    expect(Math.abs((good.classifier ?? 0) - 0.5)).toBeLessThan(0.06);
    expect(bad.classifier).toBeGreaterThan(0.65);
  });

  it("of training samples, the control, are those of the data, and give copies away", async () => {
    const control = await meterOf(moons).control();
    const values = valuesOf(control);
    expect(Math.abs(values.energy ?? Number.NaN)).toBeLessThan(0.01);
    expect(values.memorization).toBe(1);
    expect(values.precision).toBeGreaterThan(0.93);
    expect(control.every(({ samples, real }) => samples === 1000 && real === 1000)).toBe(true);
    expect(control.find(({ measure }) => measure === "memorization")?.note).toMatch(/5000 training samples/);
  });

  it("are two where they are to be quick, of the validation split too", async () => {
    const quick = await meterOf(moons, { extent: "quick", split: "validation" }).measure(fresh);
    expect(quick.map(({ measure }) => measure)).toEqual(["energy", "sliced"]);
  });

  it("are the same for the same seed", async () => {
    const few = planePoints("two-moons", { count: 500 });
    const drawn = board.data.slice(0, 200);
    const measure = (seed: number) => meterOf(few, { seed }).measure(float32(drawn, [100, 2]));
    const first = await measure(1);
    expect(await measure(1)).toEqual(first);
    expect(await measure(2)).not.toEqual(first);
  });

  it("are none of a split that is too small", async () => {
    const meter = meterOf(planePoints("two-moons", { count: 40 }));
    expect(meter.count).toBe(0);
    expect(await meter.measure(fresh)).toEqual([]);
    expect(await meter.control()).toEqual([]);
  });
});

describe("of digits", () => {
  const noisy = (x: NdArray<"float32">, deviation: number): NdArray<"float32"> => {
    const noise = new Float32Array(x.data.length);
    new Random(3).fillNormal(noise);
    return float32(
      x.data.map((value, i) => value + deviation * (noise[i] ?? 0)),
      x.shape,
    );
  };

  /** Every third digit: splits stand in the order of the classes. */
  async function someDigits(): Promise<DataSet> {
    const { splits, ...rest } = await openDigits();
    const third = ({ batch }: Split): Split => ({
      count: 333,
      batch: (at) => batch(Array.from(at, (i) => 3 * i)),
    });
    const { train, validation, test } = splits;
    return { ...rest, splits: { train: third(train), validation: third(validation), test: third(test) } };
  }

  it("are taken in the features of the classifier, where noise is seen and validation digits are like test digits", async () => {
    const digits = await someDigits();
    const meter = meterOf(digits);
    expect(meter.count).toBe(333);
    const held = digits.splits.validation.batch(range(0, 333)).x;
    const good = await meter.measure(held);
    expect(good[0]).toMatchObject({ measure: "frechet", samples: 333, real: 333 });
    expect(good.every(({ note }) => note?.includes("features of a digit classifier"))).toBe(true);
    const values = valuesOf(await meter.measure(noisy(held, 80)));
    expect(valuesOf(good).frechet).toBeLessThan(0.2 * (values.frechet ?? 0));
    expect(values.frechet).toBeGreaterThan(150);
    expect(values.recall).toBeLessThan(0.1);
    expect(values.classifier).toBeGreaterThan(0.85);
    expect(meterOf(digits, { extent: "quick" }).count).toBe(0);
  });

  it("of zeros and ones are taken in the same features, with errors of pixels besides", async () => {
    const digits = binarized(await someDigits(), { protocol: "threshold", seed: 0 });
    const meter = meterOf(digits);
    const held = digits.splits.validation.batch(range(0, 333)).x;
    const values = valuesOf(await meter.measure(held));
    const grey = valuesOf(
      await meter.measure(
        float32(
          held.data.map((bit) => 0.5 * bit),
          held.shape,
        ),
      ),
    );
    expect(values.frechet).toBeLessThan(0.5 * (grey.frechet ?? 0));
    expect(values.marginals).toBeLessThan(0.12);
    expect(grey.marginals).toBeGreaterThan(0.2);
    expect(values.pairs).toBeLessThan(0.13);
  });
});

describe("of zeros and ones", () => {
  it("see wrong marginals, and pairs that are wrong where marginals are right", async () => {
    const data = bitData(9, 700);
    const meter = meterOf(data);
    const { x } = data.splits.validation.batch(range(0, 700));
    const good = valuesOf(await meter.measure(x));
    // Columns shuffled apart: every marginal is kept, and no two elements go together.
    const apart = Float32Array.from(
      x.data,
      (_, i) => x.data[((Math.floor(i / 9) + 37 * (i % 9)) % 700) * 9 + (i % 9)] ?? 0,
    );
    const bad = valuesOf(await meter.measure(float32(apart, x.shape)));
    expect(bad.marginals).toBeCloseTo(good.marginals ?? 0, 6);
    expect(good.pairs).toBeLessThan(0.05);
    expect(bad.pairs).toBeGreaterThan(0.07);
    expect(good.discrepancyP).toBeGreaterThan(0.01);
    expect(bad.discrepancyP).toBeLessThan(0.01);
    const flipped = valuesOf(
      await meterOf(data, { extent: "quick" }).measure(
        float32(
          x.data.map((bit) => 1 - bit),
          x.shape,
        ),
      ),
    );
    expect(flipped.marginals).toBeGreaterThan(0.7);
    expect(Object.keys(good).slice(0, 3)).toEqual(["energy", "discrepancy", "discrepancyP"]);
  });
});

describe("of other images", () => {
  it("are taken in pixels, and say so", async () => {
    const random = new Random(1);
    const pixels = Uint8Array.from({ length: 300 * 48 }, () => random.integer(256));
    const split = (from: number) => storedSplit(pixels, [3, 4, 4], range(from, 100));
    const images: DataSet = {
      name: "pictures",
      kind: "image",
      sampleShape: [3, 4, 4],
      splits: { train: split(0), validation: split(100), test: split(200) },
      fingerprint: "pictures",
      describe: () => [],
    };
    const distances = await meterOf(images).control();
    expect(distances.map(({ measure }) => measure)).toEqual(["energy", "sliced"]);
    expect(distances.every(({ note }) => note?.startsWith("of pixels"))).toBe(true);
  });
});

it("every measure describes what it measures", () => {
  for (const { name, short, meaning } of Object.values(MEASURES)) {
    expect([name, short, meaning].every((text) => text.length > 2)).toBe(true);
  }
});
