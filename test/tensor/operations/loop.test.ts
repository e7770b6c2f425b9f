import { describe, expect, it } from "vitest";
import { GradientError, ShapeError } from "../../../src/errors.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { Program } from "../../../src/program/program.ts";
import { constant, float32, grad, input, type Tensor, whileLoop } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";

/** Newton's iteration for √a, which stops when the square is right to 1e-6. */
function root(a: Tensor, maximum = 50): readonly Tensor[] {
  return whileLoop(
    [a, constant(0)],
    ([x = a, rounds = a]) => {
      const next = x.add(a.div(x)).mul(0.5);
      const error = next.square().sub(a).abs().div(a).max();
      return { state: [next, rounds.add(1)], again: constant(1e-6).less(error) };
    },
    { maximum },
  );
}

describe("whileLoop", () => {
  it("repeats until the body says stop", async () => {
    const [x, rounds] = await evaluate(root(constant(float32([2, 9, 1e4], [3]))));
    expect(numbers(x)[0]).toBeCloseTo(Math.SQRT2, 6);
    expect(numbers(x)[1]).toBeCloseTo(3, 6);
    expect(numbers(x)[2]).toBeCloseTo(100, 3);
    // From 1e4 halving takes seven rounds before the convergence is quadratic.
    expect(numbers(rounds)[0]).toBeGreaterThan(7);
    expect(numbers(rounds)[0]).toBeLessThan(20);
  });

  it("stops at the maximum, and runs at least once", async () => {
    const [, two] = await evaluate(root(constant(float32([1e6], [1])), 2));
    expect(numbers(two)).toEqual([2]);
    const [, one] = await evaluate(root(constant(float32([1], [1]))));
    expect(numbers(one)).toEqual([1]);
  });

  it("knows the number of rounds done and what stands outside", async () => {
    const x = input("x", [2]);
    const outside = x.exp();
    const big = constant(
      float32(
        Array.from({ length: 200 }, () => 0.01),
        [100, 2],
      ),
    );
    const [total = x] = whileLoop(
      [x.mul(0)],
      ([sum = x], step) => ({
        state: [sum.add(outside.mul(step.cast("float32"))).add(big.sum(0))],
      }),
      { maximum: 4 },
    );
    const feeds = new Map([[x, float32([0, 1], [2])]]);
    // The value from outside is an output too, under a name of its own.
    const [sum, same] = await evaluate([total, outside], feeds);
    expect(numbers(same)[1]).toBeCloseTo(Math.E, 5);
    expect(numbers(sum)[0]).toBeCloseTo(6 + 4, 4);
    expect(numbers(sum)[1]).toBeCloseTo(6 * Math.E + 4, 4);
  });

  it("nests", async () => {
    const ten = constant(10);
    const [total = ten] = whileLoop(
      [constant(0)],
      ([sum = ten], i) => {
        const [inner = ten] = whileLoop(
          [sum],
          ([value = ten], j) => ({ state: [value.add(ten).add(i.add(j).cast("float32"))] }),
          { maximum: 3 },
        );
        return { state: [inner] };
      },
      { maximum: 2 },
    );
    // Six rounds of 10, and Σ_i Σ_j (i + j) = 3 · 1 + 2 · 3.
    expect(numbers((await evaluate([total]))[0])).toEqual([69]);
  });

  it("takes any batch", async () => {
    const x = input("x", ["batch", 2]);
    const program = await Program.build({ y: root(x)[0] ?? x }, await nodeRuntime());
    expect(root(x)[0]?.shape).toEqual(["batch", 2]);
    for (const rows of [1, 3]) {
      const { y } = await program.run({ x: float32(new Array<number>(2 * rows).fill(16), [rows, 2]) });
      for (const value of numbers(y)) expect(value).toBeCloseTo(4, 5);
    }
    await program.release();
  });

  it("computes the same after simplification as written, with equal parts in two loops", async () => {
    const a = constant(float32([5], [1]));
    const [first, second] = await evaluate([root(a)[0] ?? a, root(a.mul(1))[0] ?? a]);
    expect(numbers(first)).toEqual(numbers(second));
  });

  it("refuses a state that changes its type, and gradients", () => {
    const x = input("x", [3]);
    expect(() => whileLoop([x], ([s = x]) => ({ state: [s.sum()] }), { maximum: 2 })).toThrow(ShapeError);
    expect(() => whileLoop([x], () => ({ state: [] }), { maximum: 2 })).toThrow(ShapeError);
    expect(() => grad((root(x)[0] ?? x).sum(), [x])).toThrow(GradientError);
  });
});
