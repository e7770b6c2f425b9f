import { describe, expect, test } from "vitest";
import { planeDensity, planeNames, planePoints } from "../../../src/data/sources/toy.ts";
import { Random } from "../../../src/random.ts";
import { CELLS, cellProbabilities, EXTENT, WIDTH } from "./cells.ts";

describe.each(planeNames)("%s", (name) => {
  const density = planeDensity(name);

  test("the density integrates to one, and samples fall into cells as it says", () => {
    const probabilities = cellProbabilities(density.logDensity);
    const total = probabilities.reduce((sum, p) => sum + p, 0);
    expect(total).toBeCloseTo(1, 4);

    const count = 20_000;
    const random = new Random(11);
    const observed = new Array<number>(CELLS * CELLS).fill(0);
    let inside = 0;
    for (let i = 0; i < count; i++) {
      const [x, y] = density.sample(random);
      if (Math.abs(x) <= 4 && Math.abs(y) <= 4) inside++;
      const cell = Math.floor((y + EXTENT) / WIDTH) * CELLS + Math.floor((x + EXTENT) / WIDTH);
      observed[cell] = (observed[cell] ?? 0) + 1;
    }
    expect(inside / count).toBeGreaterThan(0.995);

    // Pearson's chi-square, cells that expect fewer than 5 samples lumped together.
    let statistic = 0;
    let freedom = -1;
    let restExpected = 0;
    let restObserved = 0;
    for (const [cell, p] of probabilities.entries()) {
      const expected = (p / total) * count;
      if (expected < 5) {
        restExpected += expected;
        restObserved += observed[cell] ?? 0;
        continue;
      }
      statistic += ((observed[cell] ?? 0) - expected) ** 2 / expected;
      freedom++;
    }
    if (restExpected > 1) {
      statistic += (restObserved - restExpected) ** 2 / restExpected;
      freedom++;
    } else {
      expect(restObserved).toBeLessThan(10);
    }
    // Mean `freedom`, variance 2 `freedom`: 4.5 deviations allowed.
    expect(freedom).toBeGreaterThan(20);
    expect(statistic).toBeLessThan(freedom + 4.5 * Math.sqrt(2 * freedom));
    expect(statistic).toBeGreaterThan(freedom - 4.5 * Math.sqrt(2 * freedom));
  });
});

test("two-moons: where samples lie, the quadrature agrees with a fine Riemann sum along the curve", () => {
  const { logDensity } = planeDensity("two-moons");
  const steps = 120_000;
  for (const [x, y] of [
    [0.3, 0.1],
    [-3, 0],
    [1, 1.5],
    [2.2, 1.1],
    [3.9, 0.4],
  ] as const) {
    let sum = 0;
    for (let i = 0; i < steps; i++) {
      const angle = (Math.PI * (i + 0.5)) / steps;
      for (const [a, b] of [
        [2 * Math.cos(angle) - 1, 2 * Math.sin(angle) - 0.5],
        [1 - 2 * Math.cos(angle), 0.5 - 2 * Math.sin(angle)],
      ] as const) {
        sum += Math.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.08) / (0.08 * Math.PI);
      }
    }
    expect(Math.exp(logDensity([x, y]) - Math.log(sum / (2 * steps)))).toBeCloseTo(1, 7);
  }
});

test("the density of a far point stays finite where the support is the plane, and is none off the board", () => {
  for (const name of planeNames) {
    const value = planeDensity(name).logDensity([30, -20]);
    if (name === "checkerboard") expect(value).toBe(Number.NEGATIVE_INFINITY);
    else expect(value).toBeGreaterThan(-1e6);
  }
});

test("a data set is determined by its seed, and its splits differ", () => {
  const a = planePoints("two-moons", { seed: 3, count: 100 });
  const b = planePoints("two-moons", { seed: 3, count: 100 });
  const c = planePoints("two-moons", { seed: 4, count: 100 });
  expect(a.splits.train.batch([0, 99]).x).toEqual(b.splits.train.batch([0, 99]).x);
  expect(a.fingerprint).toBe(b.fingerprint);
  expect(a.fingerprint).not.toBe(c.fingerprint);
  expect([a.splits.train.count, a.splits.validation.count, a.splits.test.count]).toEqual([100, 20, 20]);
  expect(a.splits.train.batch([0]).x.data).not.toEqual(a.splits.test.batch([0]).x.data);
  expect(a.splits.train.batch([5, 5]).x.shape).toEqual([2, 2]);
  expect(() => a.splits.test.batch([20])).toThrow(/sample 20 asked of a split of 20/);
});
