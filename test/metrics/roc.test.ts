import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { areaUnderRoc, averagePrecision, descendingOrder } from "../../src/metrics/index.ts";
import { Random } from "../../src/random.ts";

interface Fixture {
  readonly by: string;
  readonly cases: readonly {
    readonly scores: readonly number[];
    readonly labels: readonly number[];
    readonly areaUnderRoc: number;
    readonly averagePrecision: number;
  }[];
}

const fixture: Fixture = JSON.parse(
  await readFile(new URL("../fixtures/metrics/roc.json", import.meta.url), "utf8"),
);

describe("areaUnderRoc", () => {
  it("counts pairs in the right order, ties half", () => {
    expect(areaUnderRoc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBe(0.75);
    expect(areaUnderRoc([1, 2, 3, 4], [0, 0, 1, 1])).toBe(1);
    expect(areaUnderRoc([1, 2, 3, 4], [1, 1, 0, 0])).toBe(0);
    expect(areaUnderRoc([7, 7, 7], [1, 0, 1])).toBe(0.5);
    // Pairs of (1, 0): (2 > 1), (2 = 2), (3 > 1), (3 > 2).
    expect(areaUnderRoc([2, 3, 1, 2], [1, 1, 0, 0])).toBe(3.5 / 4);
    expect(areaUnderRoc([Infinity, 1, Infinity, 0], [1, 1, 0, 0])).toBe(2.5 / 4);
  });

  it("is the share of pairs, counted one by one", () => {
    const random = new Random(5);
    const scores = Array.from({ length: 300 }, () => random.integer(40));
    const labels = scores.map((score) => (random.integer(60) < score ? 1 : 0));
    let [right, pairs] = [0, 0];
    for (const [i, a] of scores.entries()) {
      for (const [j, b] of scores.entries()) {
        if (labels[i] !== 1 || labels[j] !== 0) continue;
        pairs++;
        right += a > b ? 1 : a === b ? 0.5 : 0;
      }
    }
    expect(areaUnderRoc(scores, labels)).toBeCloseTo(right / pairs, 12);
  });

  it("refuses what has no answer", () => {
    expect(() => areaUnderRoc([1, 2], [0, 0])).toThrow(/all labels are 0/);
    expect(() => areaUnderRoc([1, 2], [1])).toThrow(/2 scores and 1 labels/);
    expect(() => areaUnderRoc([1, Number.NaN], [0, 1])).toThrow(/score 1 is NaN/);
    expect(() => areaUnderRoc([1, 2], [0, 2])).toThrow(/label 1 is 2/);
  });
});

describe("averagePrecision", () => {
  it("sums precision over the steps of recall", () => {
    expect(averagePrecision([4, 3, 2, 1], [1, 0, 1, 0])).toBeCloseTo((1 + 2 / 3) / 2, 12);
    // The first two come together: precision ½ for both.
    expect(averagePrecision([4, 4, 2, 1], [1, 0, 1, 0])).toBeCloseTo((1 / 2 + 2 / 3) / 2, 12);
    expect(averagePrecision([1, 1, 1, 1], [1, 0, 0, 0])).toBe(0.25);
    expect(() => averagePrecision([1], [0])).toThrow(/no label is 1/);
  });
});

describe("both", () => {
  it.each(fixture.cases.map((one, i) => [i, one] as const))(`agree with ${fixture.by}, case %i`, (_, one) => {
    expect(areaUnderRoc(one.scores, one.labels)).toBeCloseTo(one.areaUnderRoc, 12);
    expect(averagePrecision(one.scores, one.labels)).toBeCloseTo(one.averagePrecision, 12);
  });
});

it("descendingOrder ranks infinities and keeps the order of ties", () => {
  expect([...descendingOrder([1, Infinity, 2, 1, -Infinity, Infinity])]).toEqual([1, 5, 2, 0, 3, 4]);
});
