import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { assign, optimalTransport, wasserstein1d } from "../../src/metrics/index.ts";
import { transport } from "../../src/metrics/transport.ts";
import { Random } from "../../src/random.ts";
import { float32 } from "../../src/tensor/array.ts";
import { fixture } from "./fixture.ts";
import { gaussian, matrix } from "./support.ts";

const [weightsX, weightsY] = fixture.weights;

describe("one-dimensional Wasserstein distance", () => {
  const x = fixture.x.map((row) => row[0] ?? 0);
  const y = fixture.y.map((row) => row[0] ?? 0);

  it(`agrees with ${fixture.by}`, () => {
    const { order1, order2, weighted1, weighted2 } = fixture.oneDimensional;
    // The fixture's numbers are float32 values that JSON rounds.
    const [a, b] = [Float32Array.from(x), Float32Array.from(y)];
    expect(wasserstein1d(a, b)).toBeCloseTo(order1, 10);
    expect(wasserstein1d(a, b, { order: 2 })).toBeCloseTo(order2, 10);
    expect(wasserstein1d(a, b, { weightsX, weightsY })).toBeCloseTo(weighted1, 10);
    expect(wasserstein1d(a, b, { order: 2, weightsX, weightsY })).toBeCloseTo(weighted2, 10);
  });

  it("by hand", () => {
    expect(wasserstein1d([3, 1, 2], [10, 30, 20])).toBeCloseTo((9 + 18 + 27) / 3, 12);
    // {0} against {0, 0, 3}: a third of the mass moves by 3.
    expect(wasserstein1d([0], [0, 3, 0])).toBeCloseTo(1, 12);
    expect(wasserstein1d([0], [0, 3, 0], { order: 2 })).toBeCloseTo(Math.sqrt(3), 12);
    expect(wasserstein1d([0], [0, 3, 0], { order: 3 })).toBeCloseTo(9 ** (1 / 3), 12);
    expect(wasserstein1d([0, 1], [0, 1], { weightsX: [3, 1], weightsY: [1, 3] })).toBeCloseTo(0.5, 12);
    expect(wasserstein1d([5, 1], [1, 5, 1, 5, 5, 1])).toBe(0);
  });

  it("counts a value with weight 2 as two values", () => {
    const weights = y.map((_, i) => 1 + (i % 3));
    const repeated = y.flatMap((value, i) => Array<number>(weights[i] ?? 0).fill(value));
    const weighted = wasserstein1d(x, y, { order: 2, weightsY: weights });
    expect(weighted).toBeCloseTo(wasserstein1d(x, repeated, { order: 2 }), 10);
  });

  it("refuses what has no answer", () => {
    expect(() => wasserstein1d([], [1])).toThrow(OptionError);
    expect(() => wasserstein1d([1], [1], { order: 0.5 })).toThrow(/order 0.5/);
    expect(() => wasserstein1d([1, 2], [1], { weightsX: [1] })).toThrow(/1 weights do not belong to 2/);
    expect(() => wasserstein1d([1, 2], [1], { weightsX: [1, -1] })).toThrow(/weight 1 is -1/);
    expect(() => wasserstein1d([1, 2], [1], { weightsX: [0, 0] })).toThrow(/all weights are 0/);
    expect(() => wasserstein1d([1, Number.NaN], [1])).toThrow(/value 1 is NaN/);
  });
});

/** The cheapest assignment, by trying all. */
function bruteForce(cost: Float64Array, rows: number, columns: number): number {
  const search = (row: number, taken: ReadonlySet<number>): number => {
    if (row === rows) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let column = 0; column < columns; column++) {
      if (taken.has(column)) continue;
      const rest = search(row + 1, new Set([...taken, column]));
      best = Math.min(best, (cost[row * columns + column] ?? 0) + rest);
    }
    return best;
  };
  return search(0, new Set());
}

describe("assignment", () => {
  it("is the best of all permutations", () => {
    const random = new Random(3);
    for (let round = 0; round < 60; round++) {
      const rows = 1 + random.integer(6);
      const columns = rows + random.integer(3);
      // Small whole numbers make many ties; some are negative.
      const cost = Float64Array.from(
        { length: rows * columns },
        () => random.integer(round % 2 ? 5 : 100) - 2,
      );
      const { columns: chosen, cost: total } = assign(cost, rows, columns);
      expect(new Set(chosen).size).toBe(rows);
      expect(chosen.every((column) => column >= 0 && column < columns)).toBe(true);
      expect(total).toBe(bruteForce(cost, rows, columns));
    }
  });

  it("of 1,000 rows has the cost that theory expects", () => {
    const random = new Random(0);
    const cost = Float64Array.from({ length: 1e6 }, () => random.uniform());
    const { columns, cost: total } = assign(cost, 1000, 1000);
    expect(new Set(columns).size).toBe(1000);
    // Aldous 2001: the cost of uniform costs tends to π²/6, with deviation about 1/√n.
    expect(Math.abs(total - Math.PI ** 2 / 6)).toBeLessThan(0.15);
  });

  it("refuses what is no cost matrix", () => {
    expect(() => assign(new Float64Array(6), 3, 2)).toThrow(/no more rows than columns/);
    expect(() => assign(new Float64Array([0, Number.NaN]), 1, 2)).toThrow(/row 0, column 1 is NaN/);
  });
});

describe("optimal transport", () => {
  const [x, y, same] = [matrix(fixture.x), matrix(fixture.y), matrix(fixture.same)];

  it(`agrees with ${fixture.by}`, () => {
    const { assignment, unequal, weighted } = fixture.transport;
    expect(optimalTransport(x, same, { order: 1 }).distance).toBeCloseTo(assignment.order1, 9);
    expect(optimalTransport(x, same).distance).toBeCloseTo(assignment.order2, 9);
    expect(optimalTransport(x, y, { order: 1 }).distance).toBeCloseTo(unequal.order1, 9);
    expect(optimalTransport(x, y).distance).toBeCloseTo(unequal.order2, 9);
    const weights = { weightsX, weightsY };
    expect(optimalTransport(x, y, { order: 1, ...weights }).distance).toBeCloseTo(weighted.order1, 9);
    expect(optimalTransport(x, y, weights).distance).toBeCloseTo(weighted.order2, 9);
  });

  it("moves all mass from where it is to where it belongs", () => {
    const { plan } = optimalTransport(x, y, { weightsX, weightsY });
    const [out, back] = [new Float64Array(40), new Float64Array(30)];
    for (const { from, to, mass } of plan) {
      expect(mass).toBeGreaterThan(0);
      out[from] = (out[from] ?? 0) + mass;
      back[to] = (back[to] ?? 0) + mass;
    }
    const share = (weights: readonly number[], i: number) =>
      (weights[i] ?? 0) / weights.reduce((sum, weight) => sum + weight, 0);
    for (let i = 0; i < 40; i++) expect(out[i]).toBeCloseTo(share(weightsX, i), 12);
    for (let j = 0; j < 30; j++) expect(back[j]).toBeCloseTo(share(weightsY, j), 12);
  });

  it("in one dimension is the distance of the quantiles", () => {
    const [a, b] = [gaussian(1, 37, 1), gaussian(2, 52, 1, 2, 1)];
    const weights = { weightsX: a.data.map((_, i) => 1 + (i % 4)), weightsY: b.data.map((_, i) => i % 3) };
    for (const order of [1, 2, 3]) {
      const exact = wasserstein1d(a.data, b.data, { order, ...weights });
      expect(optimalTransport(a, b, { order, ...weights }).distance).toBeCloseTo(exact, 9);
      expect(optimalTransport(a, b, { order }).distance).toBeCloseTo(
        wasserstein1d(a.data, b.data, { order }),
        9,
      );
    }
  });

  it("of a shifted set is the shift, and of equal weights the assignment", () => {
    const shifted = float32(
      x.data.map((value, i) => value + (i % 3 === 1 ? 2 : 0)),
      x.shape,
    );
    const shuffled = float32(matrix([...fixture.x].reverse()).data, x.shape);
    expect(optimalTransport(x, shifted).distance).toBeCloseTo(2, 6);
    expect(optimalTransport(x, shuffled).distance).toBe(0);
    const ones = Array<number>(40).fill(1);
    const plain = optimalTransport(x, same).distance;
    expect(optimalTransport(x, same, { weightsX: ones, weightsY: ones }).distance).toBeCloseTo(plain, 9);
  });

  it("of whole masses is that of samples repeated as often", () => {
    const random = new Random(8);
    const cost = Float64Array.from({ length: 6 * 9 }, () => random.integer(7));
    const [supply, demand] = [new Float64Array([3, 1, 4, 2, 5, 3]), new Float64Array(9).fill(2)];
    const total = transport(cost, supply, demand).reduce(
      (sum, { from, to, mass }) => sum + mass * (cost[from * 9 + to] ?? 0),
      0,
    );
    const rows = Array.from(supply, (mass, i) => Array<number>(mass).fill(i)).flat();
    const columns = Array.from(demand, (mass, j) => Array<number>(mass).fill(j)).flat();
    const repeated = Float64Array.from(rows.flatMap((i) => columns.map((j) => cost[i * 9 + j] ?? 0)));
    expect(total).toBe(assign(repeated, 18, 18).cost);
  });

  it("says when there are too many samples", () => {
    const many = float32(new Float32Array(3000), [3000, 1]);
    expect(() => optimalTransport(many, many)).toThrow(/too many for an exact plan/);
  });
});
