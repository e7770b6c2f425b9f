import { describe, expect, it } from "vitest";
import { drawnPoints, type Stroke, strokesDensity } from "../../../src/data/index.ts";
import { quadrature } from "../../../src/data/sources/toy.ts";
import { OptionError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";

const STROKES: readonly Stroke[] = [
  { points: [-2, -1, 0, 1.5, 0.5, 1.5, 2, -1], deviation: 0.2 },
  { points: [2.5, 2.5], deviation: 0.35 },
  { points: [-3, 2, -3.4, 2.1], deviation: 0.1 },
];

/** The density by a plain integral along the lines, which knows nothing of normal distribution functions. */
function byQuadrature(strokes: readonly Stroke[], px: number, py: number): number {
  const gaussian = (x: number, y: number, deviation: number): number =>
    Math.exp(-((px - x) ** 2 + (py - y) ** 2) / (2 * deviation ** 2)) / (2 * Math.PI * deviation ** 2);
  let [sum, total] = [0, 0];
  for (const { points, deviation } of strokes) {
    if (points.length === 2) {
      sum += deviation * gaussian(points[0] ?? 0, points[1] ?? 0, deviation);
      total += deviation;
    }
    for (let i = 0; i + 3 < points.length; i += 2) {
      const [x = 0, y = 0, toX = 0, toY = 0] = points.slice(i, i + 4);
      const length = Math.hypot(toX - x, toY - y);
      for (const { at, weight } of quadrature(0, 1, 60))
        sum += length * weight * gaussian(x + at * (toX - x), y + at * (toY - y), deviation);
      total += length;
    }
  }
  return sum / total;
}

describe("a drawing", () => {
  const { logDensity, sample } = strokesDensity(STROKES);

  it("has the density that an integral along its lines gives", () => {
    const random = new Random(3);
    for (let i = 0; i < 300; i++) {
      const [x, y] = [8 * random.uniform() - 4, 8 * random.uniform() - 4];
      const expected = byQuadrature(STROKES, x, y);
      if (expected > 1e-200) expect(logDensity([x, y])).toBeCloseTo(Math.log(expected), 6);
    }
  });

  it("has a density that integrates to 1", () => {
    const nodes = quadrature(-6, 6, 48);
    let sum = 0;
    for (const x of nodes)
      for (const y of nodes) sum += x.weight * y.weight * Math.exp(logDensity([x.at, y.at]));
    expect(sum).toBeCloseTo(1, 4);
  });

  it("has a finite log-density far away, which falls as a Gaussian does", () => {
    const [near, far] = [logDensity([0, 60]), logDensity([0, 120])];
    expect(Number.isFinite(far)).toBe(true);
    expect(far / near).toBeCloseTo(4, 0);
  });

  it("is drawn from as its density says", () => {
    const random = new Random(0);
    const count = 20_000;
    const moments = [0, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      const [x, y] = sample(random);
      for (const [k, value] of [x, y, x * x, y * y].entries()) moments[k] = (moments[k] ?? 0) + value / count;
    }
    const expected = [0, 0, 0, 0];
    for (const x of quadrature(-6, 6, 40)) {
      for (const y of quadrature(-6, 6, 40)) {
        const mass = x.weight * y.weight * Math.exp(logDensity([x.at, y.at]));
        for (const [k, value] of [x.at, y.at, x.at ** 2, y.at ** 2].entries())
          expected[k] = (expected[k] ?? 0) + mass * value;
      }
    }
    for (const [k, value] of expected.entries())
      expect(Math.abs((moments[k] ?? 0) - value)).toBeLessThan(0.08);
  });

  it("is data like any other", () => {
    const data = drawnPoints(strokesDensity(STROKES), { seed: 1, count: 50 });
    expect([data.name, data.splits.train.count, data.sampleShape]).toEqual(["drawing", 50, [2]]);
    expect(data.describe()[0]).toContain("3 strokes drawn by hand");
  });

  it.each([
    ["nothing", [], /nothing is drawn/],
    ["half a point", [{ points: [1, 2, 3], deviation: 1 }], /pairs of finite numbers/],
    ["no number", [{ points: [1, Number.NaN], deviation: 1 }], /pairs of finite numbers/],
    ["no width", [{ points: [1, 2], deviation: 0 }], /deviation must be a number above 0/],
  ])("cannot be made of %s", (_, strokes, message) => {
    expect(() => strokesDensity(strokes)).toThrow(OptionError);
    expect(() => strokesDensity(strokes)).toThrow(message);
  });
});
