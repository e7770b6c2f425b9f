import { describe, expect, it } from "vitest";
import { GradientError } from "../../../src/errors.ts";
import {
  AffineBijection,
  MaskedAutoregressive,
  type MaskedAutoregressiveOptions,
} from "../../../src/flows/transforms/index.ts";
import { nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, grad, input, type NdArray } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { normals, transformErrors, withRandomParameters } from "../check-transform.ts";

const largest = (values: Iterable<number>): number => Math.max(...Array.from(values, Math.abs));

/** Largest difference of two arrays of as many numbers. */
function difference(a: NdArray | undefined, b: NdArray | readonly number[] | undefined): number {
  const other = b !== undefined && "data" in b ? numbers(b) : (b ?? []);
  expect(numbers(a)).toHaveLength(other.length);
  return largest(numbers(a).map((value, i) => value - (other[i] ?? Number.NaN)));
}

const cases: readonly (readonly [string, number, MaskedAutoregressiveOptions])[] = [
  ["one dimension", 1, { hidden: [6] }],
  ["two dimensions", 2, { hidden: [16] }],
  ["five dimensions", 5, { hidden: [20, 20] }],
  ["a reversed order", 4, { hidden: [12, 15], order: [3, 2, 1, 0] }],
  ["a random order", 6, { hidden: [24], order: [4, 1, 5, 0, 3, 2] }],
  ["residual layers", 5, { hidden: [16, 16, 16], residual: true }],
  ["fewer units than elements", 7, { hidden: [3, 4] }],
];

describe("MaskedAutoregressive", () => {
  for (const [name, dimensions, options] of cases) {
    it(`${name}: log-determinant and inverse`, async () => {
      const transform = new MaskedAutoregressive(dimensions, new AffineBijection(), options);
      const errors = await transformErrors(transform, dimensions);
      expect(errors.logDet).toBeLessThan(1e-4);
      expect(errors.inverse).toBeLessThan(2e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-4);
      expect(errors.change).toBeGreaterThan(0.1);
    });
  }

  for (const [dimensions, contextSize] of [
    [1, 0],
    [1, 2],
    [6, 0],
    [6, 3],
  ] as const) {
    it(`in ${dimensions} dimensions, context ${contextSize}: unrolled and iterated inverse agree`, async () => {
      const options = { hidden: [24, 24], contextSize };
      const transform = new MaskedAutoregressive(dimensions, new AffineBijection(), options);
      const context = contextSize === 0 ? undefined : constant(normals(1, [9, contextSize]));
      const codes = normals(2, [9, dimensions], 2);
      const unrolled = transform.unrolledInverse(constant(codes), context);
      const iterated = transform.iteratedInverse(constant(codes), context);
      const there = transform.forward(unrolled.x, context);
      const outputs = [unrolled.x, unrolled.logDet, iterated.x, iterated.logDet, there.y, there.logDet.neg()];
      const values = await evaluate(withRandomParameters(transform, outputs, 4, 0.4));
      const [x, logDet, otherX, otherLogDet, back, opposite] = values;
      expect(difference(x, otherX)).toBeLessThan(1e-4);
      expect(difference(logDet, otherLogDet)).toBeLessThan(1e-4);
      expect(difference(back, codes)).toBeLessThan(1e-4);
      expect(difference(logDet, opposite)).toBeLessThan(1e-4);
    });
  }

  it("depends on its context in every element", async () => {
    const options = { hidden: [16], contextSize: 2 };
    const transform = new MaskedAutoregressive(3, new AffineBijection(), options);
    const x = constant(normals(1, [2, 3]));
    const outputs = [0, 1].map((k) => transform.forward(x, constant(normals(k, [2, 2]))).y);
    const [first, second] = await evaluate(withRandomParameters(transform, outputs, 4, 0.4));
    const other = numbers(second);
    for (const [i, value] of numbers(first).entries())
      expect(Math.abs(value - (other[i] ?? value))).toBeGreaterThan(1e-4);
  });

  it("differentiates the unrolled inverse: y of x(y) does not change with the parameters, nor with more than y", async () => {
    const transform = nameParameters(
      new MaskedAutoregressive(4, new AffineBijection(), { hidden: [12, 12], order: [2, 0, 3, 1] }),
    );
    const y = input("y", [5, 4]);
    const { x, logDet } = transform.unrolledInverse(y);
    const weights = constant(normals(9, [5, 4]));
    const there = transform.forward(x).y.mul(weights).sum();
    const parameters = parametersOf(transform);
    const outputs = [
      ...grad(there, [y, ...parameters]),
      ...grad(x.mul(weights).sum().add(logDet.sum()), parameters),
    ];
    const values = await evaluate(
      withRandomParameters(transform, outputs, 4, 0.4),
      new Map([[y, normals(2, [5, 4])]]),
    );
    expect(difference(values[0], normals(9, [5, 4]))).toBeLessThan(1e-4);
    for (const value of values.slice(1, 1 + parameters.length))
      expect(largest(numbers(value))).toBeLessThan(2e-4);
    for (const value of values.slice(1 + parameters.length)) {
      expect(largest(numbers(value))).toBeGreaterThan(1e-2);
      expect(numbers(value).every(Number.isFinite)).toBe(true);
    }
  });

  it("inverts many elements by iteration, of which there is no derivative", async () => {
    const transform = new MaskedAutoregressive(70, new AffineBijection(), { hidden: [100] });
    const codes = normals(2, [3, 70], 2);
    const { x } = transform.inverse(constant(codes));
    const outputs = withRandomParameters(
      transform,
      [x, transform.unrolledInverse(constant(codes)).x],
      4,
      0.15,
    );
    const [iterated, unrolled] = await evaluate(outputs);
    const size = largest(numbers(unrolled));
    expect(difference(iterated, unrolled) / size).toBeLessThan(1e-4);
    expect(() => grad(x.sum(), [transform.network.input.weight])).toThrow(GradientError);
  });
});
