import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Random } from "../../../src/random.ts";
import { ksgMutualInformation } from "../../../src/representation/mutual-information/ksg.ts";
import { pairedRows } from "../../../src/representation/mutual-information/pairs.ts";
import {
  gaussianMutualInformation,
  histogramMutualInformation,
} from "../../../src/representation/mutual-information/references.ts";
import { float32, type NdArray } from "../../../src/tensor/array.ts";
import { matrix } from "../../metrics/support.ts";

interface Pairs {
  readonly x: readonly (readonly number[])[];
  readonly y: readonly (readonly number[])[];
  /** With 1, 3 and 10 neighbors. */
  readonly ksg: readonly number[];
}

const fixture: {
  readonly by: string;
  readonly wave: Pairs & { readonly byScikitLearn: number };
  readonly several: Pairs;
} = JSON.parse(
  await readFile(new URL("../../fixtures/representation/mutual-information.json", import.meta.url), "utf8"),
);

/** Standard normal pairs of one column each, with a correlation. */
function correlated(correlation: number, count: number): readonly [NdArray<"float32">, NdArray<"float32">] {
  const random = new Random(5);
  const x = Float32Array.from({ length: count }, () => random.normal());
  const y = x.map((value) => correlation * value + Math.sqrt(1 - correlation ** 2) * random.normal());
  return [float32(x, [count, 1]), float32(y, [count, 1])];
}

const ofGaussians = (correlation: number): number => -0.5 * Math.log(1 - correlation ** 2);

describe(`nearest neighbors find what ${fixture.by} find`, () => {
  test.each([
    ["one column on each side", fixture.wave],
    ["two and three columns", fixture.several],
  ])("%s", (_, { x, y, ksg }) => {
    const pairs = pairedRows(matrix(x), matrix(y), 2);
    for (const [i, neighbors] of [1, 3, 10].entries()) {
      expect(ksgMutualInformation(pairs, neighbors)).toBeCloseTo(ksg[i] ?? Number.NaN, 6);
    }
  });

  test("and scikit-learn's own estimate, which adds a little noise", () => {
    const { x, y, byScikitLearn } = fixture.wave;
    expect(ksgMutualInformation(pairedRows(matrix(x), matrix(y), 2))).toBeCloseTo(byScikitLearn, 4);
  });
});

describe("closed form of Gaussians", () => {
  test.each([0, 0.5, 0.9, -0.99])("correlation %f", (correlation) => {
    const pairs = pairedRows(...correlated(correlation, 20_000), 2);
    expect(Math.abs(gaussianMutualInformation(pairs) - ofGaussians(correlation))).toBeLessThan(0.02);
    expect(
      Math.abs(ksgMutualInformation({ ...pairs, ...halved(pairs) }) - ofGaussians(correlation)),
    ).toBeLessThan(0.06);
    expect(Math.abs(histogramMutualInformation(pairs) - ofGaussians(correlation))).toBeLessThan(
      // Bins cannot see how exact a strong dependence is.
      correlation === -0.99 ? 0.4 : 0.05,
    );
  });

  test("no linear map of a side changes it", () => {
    const [x, y] = correlated(0.7, 500);
    const turned = float32(
      Float32Array.from(
        { length: 1000 },
        (_, i) => (i % 2 === 0 ? 3 : -1) * (y.data[i >> 1] ?? 0) + (i % 2) * Math.sin(i),
      ),
      [500, 2],
    );
    const mixed = float32(
      turned.data.map((value, i) => (i % 2 === 0 ? value + 2 * (turned.data[i + 1] ?? 0) : value)),
      [500, 2],
    );
    expect(gaussianMutualInformation(pairedRows(x, mixed, 2))).toBeCloseTo(
      gaussianMutualInformation(pairedRows(x, turned, 2)),
      5,
    );
  });
});

/** The first 2,000 pairs: nearest neighbors compare all of them with all. */
function halved({ x, y }: { readonly x: Float64Array; readonly y: Float64Array }) {
  return { count: 2000, x: x.subarray(0, 2000), y: y.subarray(0, 2000) };
}

describe("what cannot be estimated", () => {
  const [x, y] = correlated(0.5, 100);

  test("other numbers of rows", () => {
    expect(() => pairedRows(x, float32([1, 2], [2, 1]), 2)).toThrow(/x has 100 rows and y 2/);
  });

  test("a constant column, a value that is not finite, too few rows", () => {
    expect(() => pairedRows(x, float32(new Float32Array(100).fill(3), [100, 1]), 2)).toThrow(
      /column 0 of y is constant/,
    );
    const gap = float32(y.data.slice().fill(Number.NaN, 7, 8), [100, 1]);
    expect(() => pairedRows(x, gap, 2)).toThrow(/row 7, column 0 of y holds NaN/);
    expect(() => pairedRows(x, y, 101)).toThrow(/100 rows are too few; at least 101/);
  });

  test("not more rows than neighbors, a column that is another one", () => {
    expect(() => ksgMutualInformation(pairedRows(x, y, 2), 100)).toThrow(
      /100 neighbors need more than 100 rows/,
    );
    expect(() => gaussianMutualInformation(pairedRows(x, x, 2))).toThrow(/follows linearly from the others/);
  });

  test("a histogram of several columns", () => {
    const two = float32(
      new Float32Array(100).map((_, i) => Math.sin(i * i)),
      [50, 2],
    );
    const one = float32(
      new Float32Array(50).map((_, i) => Math.cos(i * i)),
      [50, 1],
    );
    expect(() => histogramMutualInformation(pairedRows(one, two, 2))).toThrow(/not of 1 and 2/);
  });

  test("an offset of a billion spoils nothing", () => {
    // Values that float32 holds exactly at that offset.
    const far = float32(
      Float32Array.from(x.data, (_, i) => 2 ** 30 + 128 * (i % 16)),
      [100, 1],
    );
    const near = float32(
      Float32Array.from(x.data, (_, i) => 128 * (i % 16)),
      [100, 1],
    );
    const [a, b] = [pairedRows(far, y, 2), pairedRows(near, y, 2)];
    expect(Array.from(a.x)).toEqual(Array.from(b.x, (value) => expect.closeTo(value, 5)));
  });
});
