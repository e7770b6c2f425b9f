import { describe, expect, it } from "vitest";
import { SolverError } from "../../src/errors.ts";
import {
  frechetDistance,
  frechetDistanceOfGaussians,
  symmetricEigen,
  symmetricEigenvalues,
} from "../../src/metrics/index.ts";
import { Random } from "../../src/random.ts";
import { float32 } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian, matrix } from "./support.ts";

/** A random symmetric matrix of the given rank, at most n. */
function symmetric(seed: number, n: number, rank = n): Float64Array {
  const factors = new Float64Array(n * rank);
  new Random(seed).fillNormal(factors);
  return Float64Array.from({ length: n * n }, (_, place) => {
    const [i, j] = [Math.floor(place / n), place % n];
    let sum = 0;
    for (let k = 0; k < rank; k++) {
      sum += (k % 2 ? 1 : -1) * (factors[i * rank + k] ?? 0) * (factors[j * rank + k] ?? 0);
    }
    return sum;
  });
}

describe("eigenvalues of a symmetric matrix", () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 3],
    [10, 10],
    [40, 40],
    [40, 7],
    [100, 100],
  ])("of size %i and rank %i make it again, with orthonormal vectors", (n, rank) => {
    const a = symmetric(n + rank, n, rank);
    const { values, vectors } = symmetricEigen(a, n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let [again, product] = [0, 0];
        for (let k = 0; k < n; k++) {
          again += (values[k] ?? 0) * (vectors[k * n + i] ?? 0) * (vectors[k * n + j] ?? 0);
          product += (vectors[i * n + k] ?? 0) * (vectors[j * n + k] ?? 0);
        }
        expect(again).toBeCloseTo(a[i * n + j] ?? 0, 9);
        expect(product).toBeCloseTo(i === j ? 1 : 0, 11);
      }
    }
    const alone = symmetricEigenvalues(a, n);
    for (const [k, value] of values.entries()) expect(alone[k]).toBeCloseTo(value, 9);
    expect(values.filter((value) => Math.abs(value) > 1e-9).length).toBe(rank);
  });

  it("of known matrices", () => {
    const sorted = (a: readonly number[], n: number) => symmetricEigenvalues(Float64Array.from(a), n).sort();
    expect([...sorted([2, 0, 0, 0, -1, 0, 0, 0, 5], 3)]).toEqual([-1, 2, 5]);
    // The second difference of n points has eigenvalues 2 − 2 cos(πk / (n + 1)).
    const n = 30;
    const difference = Array.from({ length: n * n }, (_, place) => {
      const gap = Math.abs(Math.floor(place / n) - (place % n));
      return gap === 0 ? 2 : gap === 1 ? -1 : 0;
    });
    for (const [k, value] of sorted(difference, n).entries()) {
      expect(value).toBeCloseTo(2 - 2 * Math.cos((Math.PI * (k + 1)) / (n + 1)), 12);
    }
    expect([...sorted(new Array(16).fill(1), 4)].map((value) => Math.round(value * 1e12) / 1e12 + 0)).toEqual(
      [0, 0, 0, 4],
    );
    expect([...sorted(new Array(9).fill(0), 3)]).toEqual([0, 0, 0]);
  });

  it("are not made up for what is not finite", () => {
    expect(() => symmetricEigen(new Float64Array([1, Number.NaN, Number.NaN, 1]), 2)).toThrow(SolverError);
  });
});

describe("Fréchet distance", () => {
  it(`agrees with ${fixture.by}`, () => {
    expect(frechetDistance(matrix(fixture.x), matrix(fixture.y))).toBeCloseTo(fixture.frechet.small, 9);
    const [a, b] = fixture.wide;
    expect(frechetDistance(matrix(a), matrix(b))).toBeCloseTo(fixture.frechet.wide, 8);
  });

  it("of Gaussians with the same axes is that of their deviations", () => {
    const one = { mean: Float64Array.of(1, 2), covariance: Float64Array.of(4, 0, 0, 9) };
    const other = { mean: Float64Array.of(4, 6), covariance: Float64Array.of(1, 0, 0, 25) };
    expect(frechetDistanceOfGaussians(one, other)).toBeCloseTo(25 + 1 + 4, 12);
    expect(frechetDistanceOfGaussians(one, one)).toBeCloseTo(0, 12);
    // A turned by a right angle: the axes trade places.
    const turned = { mean: one.mean, covariance: Float64Array.of(9, 0, 0, 4) };
    expect(frechetDistanceOfGaussians(one, turned)).toBeCloseTo(2, 12);
  });

  it("is unchanged by a rotation of both, and counts a shift squared", () => {
    const [x, y] = [gaussian(1, 300, 2, 1.5), gaussian(2, 200, 2, 0.5, 1)];
    const rotate = ({ data, shape }: typeof x) =>
      float32(
        data.map((value, i) =>
          i % 2 ? 0.8 * value + 0.6 * (data[i - 1] ?? 0) : 0.8 * value - 0.6 * (data[i + 1] ?? 0),
        ),
        shape,
      );
    expect(frechetDistance(rotate(x), rotate(y))).toBeCloseTo(frechetDistance(x, y), 5);
    const shifted = float32(
      x.data.map((value) => value + 3),
      x.shape,
    );
    expect(frechetDistance(x, shifted)).toBeCloseTo(18, 4);
  });

  it("copes with fewer samples than features", () => {
    const [x, y] = [gaussian(1, 5, 20), gaussian(2, 6, 20)];
    const distance = frechetDistance(x, y);
    expect(distance).toBeGreaterThan(1);
    expect(frechetDistance(y, x)).toBeCloseTo(distance, 5);
    expect(frechetDistance(x, x)).toBeLessThan(1e-5);
  });

  it("compares only what fits", () => {
    expect(() => frechetDistance(gaussian(0, 9, 2), gaussian(0, 9, 3))).toThrow(/do not compare/);
    expect(() => frechetDistance(gaussian(0, 1, 2), gaussian(0, 9, 2))).toThrow(/at least 2/);
  });
});
