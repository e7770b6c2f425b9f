import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import {
  AdditiveCoupling,
  byteScaling,
  Composition,
  DiagonalScaling,
  Inverted,
  nice,
  OddEvenOrder,
  ReluNetwork,
  Scaling,
  type Transform,
} from "../../../src/flows/index.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, float32 } from "../../../src/tensor/index.ts";
import { logAbsDeterminant, transformErrors } from "../check-transform.ts";

const coupling = (dimensions: number, changes: "first" | "second"): AdditiveCoupling => {
  const first = Math.ceil(dimensions / 2);
  const sizes = [first, dimensions - first] as const;
  const [from, to] = changes === "second" ? sizes : [sizes[1], sizes[0]];
  return new AdditiveCoupling(sizes, changes, new ReluNetwork([from, 16, 16, to]));
};

const whole = (dimensions: number): Transform =>
  new Composition(nice({ width: 8, couplings: 4 }, { kind: "table", sampleShape: [dimensions] }).transforms);

const cases: readonly (readonly [string, number, Transform])[] = [
  ["scaling", 3, new Scaling(-0.25, 3)],
  ["scaling of bytes", 4, byteScaling(4)],
  ["diagonal scaling", 5, new DiagonalScaling(5)],
  ["diagonal scaling with a gain", 4, new DiagonalScaling(4, 3)],
  ["odd–even order, even", 6, new OddEvenOrder(6)],
  ["odd–even order, odd", 7, new OddEvenOrder(7)],
  ["coupling of the second half", 6, coupling(6, "second")],
  ["coupling of the first half", 6, coupling(6, "first")],
  ["coupling of unequal halves", 5, coupling(5, "first")],
  [
    "an inverted composition",
    5,
    new Inverted(new Composition([coupling(5, "second"), new DiagonalScaling(5)])),
  ],
  ["NICE in two dimensions", 2, whole(2)],
  ["NICE in an even number of dimensions", 6, whole(6)],
  ["NICE in an odd number of dimensions", 7, whole(7)],
];

describe("transforms", () => {
  for (const [name, dimensions, transform] of cases) {
    it(`${name}: log-determinant and inverse`, async () => {
      const errors = await transformErrors(transform, dimensions);
      expect(errors.logDet).toBeLessThan(1e-4);
      expect(errors.inverse).toBeLessThan(1e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-4);
      expect(errors.change).toBeGreaterThan(0.1);
    });
  }

  it("the empty composition is the identity", async () => {
    const x = constant(float32([1, 2, 3, 4], [2, 2]));
    const { y, logDet } = new Composition([]).forward(x);
    const [values, change] = await evaluate([y, logDet]);
    expect([...(values?.data ?? [])]).toEqual([1, 2, 3, 4]);
    expect([...(change?.data ?? [])]).toEqual([0, 0]);
  });

  it("odd places come first", async () => {
    const [y] = await evaluate([new OddEvenOrder(5).forward(constant(float32([1, 2, 3, 4, 5], [1, 5]))).y]);
    expect([...(y?.data ?? [])]).toEqual([1, 3, 5, 2, 4]);
  });

  it("a coupling needs two numbers", () => {
    expect(() => nice({}, { kind: "table", sampleShape: [1] })).toThrow(OptionError);
  });

  it("the determinant used in these tests is right", () => {
    // det = 2 · (3 · 5 − 1 · 4) − 1 · (1 · 5 − 4 · 0) = 17 by expansion along the first row.
    const rows = [
      [2, 1, 0],
      [1, 3, 4],
      [0, 1, 5],
    ];
    expect(logAbsDeterminant(rows)).toBeCloseTo(Math.log(17), 12);
    expect(logAbsDeterminant([rows[2], rows[0], rows[1]].map((row) => row ?? []))).toBeCloseTo(
      Math.log(17),
      12,
    );
  });
});
