import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alongAxes, kNearestRows, principalAxes } from "../../../src/metrics/index.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Random } from "../../../src/random.ts";
import { featureRows, standardizationOf, withLabels } from "../../../src/representation/probe/features.ts";
import {
  type FeatureSplit,
  logisticRegression,
  predictLogistic,
  predictNeighbors,
  probeFeatures,
} from "../../../src/representation/probe/index.ts";
import { lbfgs } from "../../../src/representation/probe/lbfgs.ts";
import { drawRows } from "../../../src/representation/probe/probe.ts";
import { float32 } from "../../../src/tensor/array.ts";
import fixture from "../../fixtures/representation/probe.json" with { type: "json" };
import { largestDifference, present } from "../../support.ts";

const { size, classes } = fixture;
const count = fixture.labels.length;
const x = float32(fixture.x, [count, size]);
/** Rows in float64, as scikit-learn had them. */
const rows = { count, size, data: Float64Array.from(fixture.x) };
const labeled = withLabels(rows, fixture.labels);

describe("logistic regression", () => {
  it.each(fixture.regressions)(`agrees with ${fixture.by} at l2 $l2`, ({ l2, weights, bias, predicted }) => {
    const model = logisticRegression(labeled, { l2, tolerance: 1e-9 });
    const mean = model.bias.reduce((a, b) => a + b, 0) / classes;
    expect(largestDifference(model.weights, weights)).toBeLessThan(1e-4);
    expect(
      largestDifference(
        model.bias.map((value) => value - mean),
        bias,
      ),
    ).toBeLessThan(1e-4);
    expect([...predictLogistic(model, rows)]).toEqual(predicted);
    expect(model.converged).toBe(true);
  });

  it("refuses rows of one class, and no penalty", () => {
    const one = withLabels(rows, new Array(count).fill(2));
    expect(() => logisticRegression(one, { l2: 0.1 })).toThrow(/all 120 rows are of class 2/);
    expect(() => logisticRegression(labeled, { l2: 0 })).toThrow(/l2 must be above 0/);
  });
});

describe("L-BFGS", () => {
  it("finds the minimum of any convex quadratic", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: 0.01, max: 100, noNaN: true }),
            fc.double({ min: -5, max: 5, noNaN: true }),
          ),
          {
            minLength: 1,
            maxLength: 8,
          },
        ),
        (terms) => {
          const { x: found } = lbfgs(
            (point, gradient) =>
              terms.reduce((sum, [weight, center], i) => {
                const from = present(point[i]) - center;
                gradient[i] = weight * from;
                return sum + (weight * from * from) / 2;
              }, 0),
            new Float64Array(terms.length),
            { tolerance: 1e-8 },
          );
          for (const [i, [, center]] of terms.entries()) expect(found[i]).toBeCloseTo(center, 5);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("finds the minimum of Rosenbrock's function", () => {
    const { x: found, converged } = lbfgs(
      (point, gradient) => {
        const [a, b] = [present(point[0]), present(point[1])];
        gradient.set([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)]);
        return (1 - a) ** 2 + 100 * (b - a * a) ** 2;
      },
      Float64Array.of(-1.2, 1),
    );
    expect(converged).toBe(true);
    expect(largestDifference(found, [1, 1])).toBeLessThan(1e-5);
  });
});

describe("nearest neighbors", () => {
  const { k } = fixture.neighbors;
  const part = (from: number, to: number) => ({
    count: to - from,
    size,
    data: rows.data.subarray(from * size, to * size),
  });

  it(`agree with ${fixture.by}`, () => {
    const nearest = kNearestRows(part(80, count), part(0, 80), k);
    expect(Array.from(nearest.rows)).toEqual(fixture.neighbors.rows);
    expect(largestDifference(nearest.distances, fixture.neighbors.distances)).toBeLessThan(1e-9);
  });

  it("vote, and of equally many votes the nearest one decides", () => {
    const training = withLabels({ count: 4, size: 1, data: Float64Array.of(0, 1, 2.1, 3) }, [0, 1, 1, 0]);
    const row = { count: 1, size: 1, data: Float64Array.of(0.2) };
    expect([1, 2, 3, 4].map((neighbors) => predictNeighbors(training, row, neighbors)[0])).toEqual([
      0, 0, 1, 0,
    ]);
  });

  it("are no more than there are, and a row is none of itself", () => {
    const same = part(0, 3);
    expect(() => kNearestRows(same, same, 3, true)).toThrow(/3 neighbors are asked for, and there are 2/);
    expect(kNearestRows(same, same, 1, true).rows.some((row, i) => row === i)).toBe(false);
  });
});

describe("principal axes", () => {
  it(`agree with ${fixture.by}, by columns and by rows`, () => {
    const { axes, shares } = principalAxes(x, 3);
    const { axes: expected, shares: parts } = fixture.components;
    expect(
      largestDifference(
        axes.flatMap((axis) => [...axis.map(Math.abs)]),
        expected,
      ),
    ).toBeLessThan(1e-5);
    expect(largestDifference(shares, parts)).toBeLessThan(1e-6);
    const few = float32(x.data.slice(0, 4 * size), [4, size]);
    const wide = principalAxes(few, 2);
    // All distances between four rows are kept by as many axes as rows can vary in.
    const places = alongAxes(few, principalAxes(few, 3));
    const distance = (data: ArrayLike<number>, width: number) =>
      Math.hypot(...Array.from({ length: width }, (_, i) => present(data[i]) - present(data[width + i])));
    expect(distance(places.data, 3)).toBeCloseTo(distance(few.data, size), 4);
    expect(wide.axes.map((axis) => axis.reduce((sum, value) => sum + value * value, 0))).toEqual([
      expect.closeTo(1, 9),
      expect.closeTo(1, 9),
    ]);
  });
});

describe("probes of features", () => {
  const random = new Random(3);
  /** Three classes on a line of the plane, and a column that is the same everywhere. */
  const split = (rowCount: number): FeatureSplit => {
    const labels = Array.from({ length: rowCount }, (_, i) => i % 3);
    const data = labels.flatMap((label) => [3 * label + random.normal() / 3, random.normal(), 7]);
    return { features: float32(data, [rowCount, 3]), labels };
  };
  const splits = { train: split(300), validation: split(90), test: split(150) };

  it("find classes that are apart, and count constant columns", async () => {
    const found = await probeFeatures(
      splits,
      { labels: [6, 60, 5000], draws: 3, steps: 300, hidden: 16 },
      await nodeRuntime({ threads: 1 }),
    );
    expect([found.size, found.constant]).toEqual([3, 1]);
    for (const { accuracy } of [present(found.linear), present(found.mlp), present(found.neighbors)]) {
      expect(accuracy).toBeGreaterThan(0.97);
    }
    expect(found.few.map(({ labels }) => labels)).toEqual([6, 60]);
    expect(present(found.few[1]).accuracy).toBeGreaterThan(0.95);
  });

  it("of labels that have nothing to do with the features are no better than chance", async () => {
    const shuffled = (part: FeatureSplit): FeatureSplit => ({
      ...part,
      labels: Array.from(part.labels, () => random.integer(3)),
    });
    const found = await probeFeatures(
      { train: shuffled(splits.train), validation: shuffled(splits.validation), test: shuffled(splits.test) },
      { probes: ["linear", "neighbors"], labels: [] },
      await nodeRuntime({ threads: 1 }),
    );
    expect(present(found.linear).accuracy).toBeLessThan(0.5);
    expect(present(found.neighbors).accuracy).toBeLessThan(0.5);
  });

  it("refuse what cannot be probed, in one line", async () => {
    const runtime = await nodeRuntime({ threads: 1 });
    const probe = (change: Partial<typeof splits>, options = {}) =>
      probeFeatures({ ...splits, ...change }, { probes: ["neighbors"], labels: [], ...options }, runtime);
    const constant = { features: float32(new Array(12).fill(1), [6, 2]), labels: [0, 1, 0, 1, 0, 1] };
    await expect(probe({ train: constant })).rejects.toThrow(/all 2 columns are the same in all 6 rows/);
    await expect(probe({ train: { ...splits.train, labels: new Array(300).fill(1) } })).rejects.toThrow(
      /all 300 rows are of class 1/,
    );
    await expect(probe({}, { neighbors: 301 })).rejects.toThrow(/option neighbors: 301, and there are 300/);
    const bad = { features: float32([1, 2, Number.NaN, 4], [2, 2]), labels: [0, 1] };
    await expect(probe({ test: bad })).rejects.toThrow(/test split: row 1 holds NaN in column 0/);
  });

  it("draw few rows with every class among them", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { minLength: 5, maxLength: 60 }), fc.nat(1000), (labels, seed) => {
        const present = new Set(labels);
        const drawn = drawRows(labels, present.size, new Random(seed));
        expect(new Set(drawn.map((row) => labels[row]))).toEqual(present);
        expect(new Set(drawRows(labels, labels.length, new Random(seed))).size).toBe(labels.length);
      }),
    );
  });

  it("standardize by training rows alone", () => {
    const standard = standardizationOf(featureRows(float32([0, 5, 2, 5], [2, 2])));
    expect([...standard.apply({ count: 1, size: 2, data: Float64Array.of(3, 9) }).data]).toEqual([2]);
    expect(standard.constant).toBe(1);
  });
});
