import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { meanLikelihood, momentErrors } from "../../src/metrics/index.ts";
import { float32 } from "../../src/tensor/array.ts";
import { gaussian, matrix } from "./support.ts";

describe("momentErrors", () => {
  it("by hand", () => {
    const x = matrix([
      [1, 1, 0],
      [1, 0, 0],
      [0, 1, 1],
      [0, 0, 1],
    ]);
    const y = matrix([
      [1, 1, 0],
      [1, 1, 0],
    ]);
    // Means ½ ½ ½ against 1 1 0; products of pairs ¼ 0 ¼ against 1 0 0.
    expect(momentErrors(x, y)).toEqual({ mean: 0.5, pair: 0.75 });
    expect(momentErrors(x, x)).toEqual({ mean: 0, pair: 0 });
  });

  it("equal those of all pairs one by one, for any numbers and counts", () => {
    const [x, y] = [gaussian(1, 37, 6), gaussian(2, 23, 6, 2)];
    const moment = ({ data, shape: [n = 0] }: typeof x, i: number, j?: number): number => {
      let sum = 0;
      for (let r = 0; r < n; r++)
        sum += (data[6 * r + i] ?? 0) * (j === undefined ? 1 : (data[6 * r + j] ?? 0));
      return sum / n;
    };
    let [mean, pair] = [0, 0];
    for (let i = 0; i < 6; i++) {
      mean = Math.max(mean, Math.abs(moment(x, i) - moment(y, i)));
      for (let j = i + 1; j < 6; j++) pair = Math.max(pair, Math.abs(moment(x, i, j) - moment(y, i, j)));
    }
    const found = momentErrors(x, y);
    expect(found.mean).toBeCloseTo(mean, 6);
    expect(found.pair).toBeCloseTo(pair, 6);
  });

  it("have no pairs of one element, and none of different sizes", () => {
    expect(momentErrors(float32([1, 0], [2, 1]), float32([1], [1, 1]))).toEqual({ mean: 0.5, pair: 0 });
    expect(() => momentErrors(gaussian(0, 3, 2), gaussian(0, 3, 3))).toThrow(OptionError);
  });
});

describe("meanLikelihood", () => {
  it("keeps a bound apart from a likelihood, and states bits of images alone", () => {
    expect(meanLikelihood("exact", -1.5)).toEqual({ kind: "exact", nats: -1.5 });
    expect(meanLikelihood("bound", -1.5)).toEqual({ kind: "bound", atLeastNats: -1.5 });
    const bound = meanLikelihood("bound", -10 * Math.log(256), 10);
    expect(bound).toMatchObject({ kind: "bound" });
    if (bound.kind === "bound") expect(bound.atMostBitsPerDimension).toBeCloseTo(8, 12);
  });
});
