import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import {
  dormandPrinceTableau,
  evenTimes,
  FIXED_STEP_METHODS,
  integrate,
  integrateUnrolled,
  rk4,
} from "../../src/ode/index.ts";
import { evaluate } from "../../src/program/node.ts";
import { substitute } from "../../src/tensor/graph.ts";
import {
  constant,
  float32,
  grad,
  input,
  type NdArray,
  Parameter,
  type Tensor,
} from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { fittedOrder } from "./fitted-order.ts";

const float64 = (...values: number[]): NdArray<"float64"> => ({
  dtype: "float64",
  shape: [values.length],
  data: Float64Array.from(values),
});

// dx/dt = cos(t) x has the solution x(t) = x(s) exp(sin t − sin s). In float64, so that rounding hides no order.
const swing = ([x]: readonly Tensor[], t: number): readonly Tensor[] =>
  x === undefined ? [] : [x.mul(constant(float64(Math.cos(t))))];

describe("integration inside a graph", () => {
  const methods = {
    euler: [FIXED_STEP_METHODS.euler, 1],
    midpoint: [FIXED_STEP_METHODS.midpoint, 2],
    heun: [FIXED_STEP_METHODS.heun, 2],
    rk4: [FIXED_STEP_METHODS.rk4, 4],
    "dormand-prince": [dormandPrinceTableau, 5],
  } as const;

  it.each(Object.entries(methods))("%s converges with its order, both ways", async (_, [method, order]) => {
    const counts = [20, 40, 80];
    for (const [from, to] of [
      [0, 2],
      [2, 0],
    ] as const) {
      const x = input("x", [2], "float64");
      const ends = counts.map(
        (steps) => integrateUnrolled(swing, [x], { method, steps, from, to })[0] as Tensor,
      );
      const found = await evaluate(ends, new Map([[x, float64(1, -2)]]));
      const exact = Math.exp(Math.sin(to) - Math.sin(from));
      const errors = found.map((end) =>
        Math.max(...numbers(end).map((value, i) => Math.abs(value - exact * (i === 0 ? 1 : -2)))),
      );
      expect(Math.abs(fittedOrder(counts, errors) - order)).toBeLessThan(0.25);
    }
  });

  it("computes what integration step by step does", async () => {
    const x = input("x", [3]);
    const start = float32([0.4, -1, 2], [3]);
    const [end] = integrateUnrolled(([state]) => [(state as Tensor).sin()], [x], {
      method: rk4,
      steps: 3,
      from: 1,
      to: 0,
    });
    const [inGraph] = await evaluate([end as Tensor], new Map([[x, start]]));
    const outside = await integrate(
      rk4,
      async (state) => float32(state.data.map(Math.sin), state.shape),
      start,
      evenTimes(3),
    );
    numbers(inGraph).forEach((value, i) => {
      expect(value).toBeCloseTo(outside.data[i] ?? Number.NaN, 6);
    });
  });

  it("integrates parts that follow another, and gives the gradient of the discrete steps", async () => {
    // One Euler step of dx/dt = a x, dq/dt = x² from x₀: x₁ = x₀ (1 + a h); two steps: x₀ (1 + a/2)², q = (x₀² + x₁²)/2.
    const a = new Parameter([1], (target) => target.fill(0));
    const x = input("x", [1]);
    const [end, area] = integrateUnrolled(
      ([state]) => [(state as Tensor).mul(a), (state as Tensor).square()],
      [x, constant(0).broadcastTo([1])],
      { method: FIXED_STEP_METHODS.euler, steps: 2, from: 0, to: 1 },
    ) as [Tensor, Tensor];
    const rate = input("a", [1]);
    const outputs = substitute([end, area, ...grad(end.sum(), [a, x])], new Map([[a, rate]]));
    const found = await evaluate(
      outputs,
      new Map([
        [x, float32([3], [1])],
        [rate, float32([0.5], [1])],
      ]),
    );
    const half = 3 * 1.25;
    const expected = [3 * 1.25 ** 2, (9 + half ** 2) / 2, 3 * 1.25, 1.25 ** 2];
    found.forEach((value, i) => {
      expect(numbers(value)[0]).toBeCloseTo(expected[i] ?? Number.NaN, 5);
    });
  });

  it("wants a whole number of steps", () => {
    const x = input("x", [1]);
    expect(() => integrateUnrolled((state) => state, [x], { method: rk4, steps: 0, from: 0, to: 1 })).toThrow(
      OptionError,
    );
  });
});
