import { describe, expect, it } from "vitest";
import * as initializers from "../../src/nn/initializers.ts";
import { Linear } from "../../src/nn/linear.ts";
import { initialState } from "../../src/nn/module.ts";
import { Random } from "../../src/random.ts";
import type { Initializer } from "../../src/tensor/index.ts";
import { numbers, tensorOf } from "./support.ts";

function drawn(initialize: Initializer, shape: readonly number[]): Float32Array {
  const target = new Float32Array(shape.reduce((a, b) => a * b, 1));
  initialize(target, shape, new Random(3));
  return target;
}

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((total, value) => total + value * value, 0) / values.length);
}

describe("initializers", () => {
  // Inputs 20·9 = 180, outputs 50·9 = 450.
  const shape = [50, 20, 3, 3];

  it.each([
    ["kaimingUniform", initializers.kaimingUniform(), 1 / Math.sqrt(3 * 180)],
    ["kaimingUniform of a rectifier", initializers.kaimingUniform(0), Math.sqrt(2 / 180)],
    ["kaimingNormal", initializers.kaimingNormal(), Math.sqrt(2 / 180)],
    ["xavierUniform", initializers.xavierUniform(2), 2 * Math.sqrt(2 / 630)],
    ["xavierNormal", initializers.xavierNormal(), Math.sqrt(2 / 630)],
    ["normal", initializers.normal(0.02), 0.02],
    ["uniform", initializers.uniform(3), Math.sqrt(3)],
  ])("%s has the deviation of its formula", (_name, initialize, expected) => {
    const values = drawn(initialize, shape);
    // 9,000 draws: four standard errors of the deviation are below 3.1 %.
    expect(Math.abs(deviation(values) / expected - 1)).toBeLessThan(0.031);
    expect(Math.abs(values.reduce((a, b) => a + b) / values.length)).toBeLessThan(4.3e-2 * expected);
  });

  it("uniform ones stay within PyTorch's bound for linear layers", () => {
    const state = initialState({ layer: new Linear(16, 64) }, 1);
    for (const name of ["layer.weight", "layer.bias"]) {
      const largest = Math.max(...numbers(tensorOf(state, name)).map(Math.abs));
      expect(largest).toBeLessThanOrEqual(0.25);
      expect(largest).toBeGreaterThan(0.23);
    }
  });

  it.each([[[4, 9]], [[9, 4]], [[6, 2, 3, 3]], [[5, 5]]])(
    "orthogonal makes rows or columns of %j orthogonal",
    (size) => {
      const values = drawn(initializers.orthogonal(2), size);
      const rows = size[0] ?? 1;
      const columns = values.length / rows;
      const at = (i: number, k: number): number =>
        values[rows <= columns ? i * columns + k : k * columns + i] ?? 0;
      for (let i = 0; i < Math.min(rows, columns); i++) {
        for (let j = 0; j < Math.min(rows, columns); j++) {
          let product = 0;
          for (let k = 0; k < Math.max(rows, columns); k++) product += at(i, k) * at(j, k);
          expect(product).toBeCloseTo(i === j ? 4 : 0, 5);
        }
      }
    },
  );

  it("zeros, ones and constant fill", () => {
    expect([...drawn(initializers.zeros, [2])]).toEqual([0, 0]);
    expect([...drawn(initializers.ones, [2])]).toEqual([1, 1]);
    expect([...drawn(initializers.constant(0.5), [2])]).toEqual([0.5, 0.5]);
  });
});
