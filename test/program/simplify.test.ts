import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lowerToOnnx } from "../../src/program/lower.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { simplify } from "../../src/program/simplify.ts";
import { float32 } from "../../src/tensor/array.ts";
import { reachableNodes } from "../../src/tensor/graph.ts";
import {
  constant,
  full,
  grad,
  input,
  normal,
  Parameter,
  type Tensor,
  uniform,
} from "../../src/tensor/index.ts";
import { constantValue } from "../../src/tensor/leaves.ts";

/** Names of the operations that are left after simplifying, sorted. */
function operations(...outputs: readonly Tensor[]): string[] {
  return reachableNodes(simplify(outputs))
    .map((node) => node.operation.name)
    .sort();
}

describe("simplify", () => {
  const x = input("x", [2, 3]);

  it("computes equal expressions once, also across outputs", () => {
    expect(operations(x.exp().add(x.exp()))).toEqual(["add", "exp", "input"]);
    expect(operations(x.exp().sin(), x.exp().cos())).toEqual(["cos", "exp", "input", "sin"]);
  });

  it("keeps expressions apart that differ in an attribute or in the order of operands", () => {
    expect(operations(x.sum(0, true), x.sum(1, true))).toEqual(["input", "sum", "sum"]);
    expect(operations(x.sub(x.exp()), x.exp().sub(x))).toEqual(["exp", "input", "sub", "sub"]);
  });

  it("merges what becomes equal only after its inputs were merged", () => {
    const deep = (): Tensor => x.exp().add(1).sin().reshape([6]);
    expect(operations(deep().mul(deep()))).toEqual([
      "add",
      "constant",
      "exp",
      "input",
      "mul",
      "reshape",
      "sin",
    ]);
  });

  it("never merges draws of random numbers, parameters or inputs", () => {
    expect(operations(normal([2]).add(normal([2])))).toEqual(["add", "random", "random"]);
    expect(operations(uniform([2]).add(normal([2])))).toEqual(["add", "random", "random"]);
    const [a, b] = [new Parameter([2], () => {}), new Parameter([2], () => {})];
    expect(operations(a.mul(b))).toEqual(["mul", "parameter", "parameter"]);
  });

  it("evaluates operations on constants", () => {
    const [folded] = simplify([constant(3).mul(2).add(1).exp().log()]);
    expect(folded && constantValue(folded)?.data[0]).toBeCloseTo(7, 5);
    expect(operations(x.mul(constant(3).mul(2)))).toEqual(["constant", "input", "mul"]);
  });

  it("drops additions of 0 and multiplications by 1 unless they broadcast", () => {
    expect(operations(x.add(0))).toEqual(["input"]);
    expect(operations(x.mul(1).add(full([2, 3], 0)))).toEqual(["input"]);
    const row = input("row", [3]);
    expect(simplify([row.add(full([2, 3], 0))])[0]?.shape).toEqual([2, 3]);
  });

  it("distinguishes 0 from −0 and keeps NaN", () => {
    const [a, b] = simplify([x.div(constant(0)), x.div(constant(-0))]);
    expect(a).not.toBe(b);
    const [nan] = simplify([constant(Number.NaN).add(1)]);
    expect(nan && constantValue(nan)?.data[0]).toBeNaN();
  });

  it("joins chains of reshapes and drops sums over axes of size 1", () => {
    expect(operations(x.reshape([6]).reshape([3, 2]))).toEqual(["input", "reshape"]);
    expect(operations(x.reshape([6]).reshape([2, 3]))).toEqual(["input"]);
    expect(operations(x.reshape([1, 6]).sum(0))).toEqual(["input", "reshape"]);
  });

  it("removes what no output needs: the forward pass of a gradient that does not use it", () => {
    const loss = x.mul(3).sum().sin().exp().sum();
    const linear = x.mul(3).sum();
    const [gradient] = grad(linear, [x]);
    if (gradient === undefined) throw new Error("no gradient");
    expect(operations(gradient)).toEqual(["constant"]);
    expect(operations(loss)).toContain("sin");
  });
});

// A random expression is written down as numbers: the operation and which earlier values it reads.
const unary = [
  (a: Tensor) => a.sin(),
  (a: Tensor) => a.tanh(),
  (a: Tensor) => a.neg(),
  (a: Tensor) => a.sum(0, true),
  (a: Tensor) => a.reshape([-1]).reshape(a.shape),
] as const;
const binary = [
  (a: Tensor, b: Tensor) => a.add(b),
  (a: Tensor, b: Tensor) => a.mul(b),
  (a: Tensor, b: Tensor) => a.sub(b),
  (a: Tensor, b: Tensor) => a.maximum(b),
] as const;

const step = fc.record({ operation: fc.nat(unary.length + binary.length - 1), a: fc.nat(), b: fc.nat() });

function expression(x: Tensor, steps: readonly { operation: number; a: number; b: number }[]): Tensor {
  const values: Tensor[] = [x, constant(0), constant(1), full([2, 1], 0.5), full([2, 3], 1)];
  for (const { operation, a, b } of steps) {
    const left = values[a % values.length] ?? x;
    const right = values[b % values.length] ?? x;
    // Sums over the first axis need one.
    const matrix = left.rank === 2 ? left : left.reshape([1, 1]);
    const one = unary[operation];
    values.push(one ? one(matrix) : (binary[operation - unary.length]?.(left, right) ?? left));
  }
  return values.at(-1) ?? x;
}

describe("simplified graphs", () => {
  it("compute what the graphs as written compute, in no more nodes", async () => {
    const runtime = await nodeRuntime({ threads: 1 });
    const data = float32([-1.5, 0, 0.3, 2, -0.7, 1], [2, 3]);
    const run = async (x: Tensor, output: Tensor) => {
      const outputs = new Map([["y", output]]);
      const session = await runtime.load(
        lowerToOnnx({ inputs: new Map([[x, "x"]]), outputs, weights: new Map() }, runtime.target),
      );
      const values = await (await session.run({ x: data })).y?.read();
      await session.release();
      return values;
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const x = input("x", [2, 3]);
        const written = expression(x, steps);
        const [simplified = written] = simplify([written]);
        expect(reachableNodes([simplified]).length).toBeLessThanOrEqual(reachableNodes([written]).length);
        const [expected, actual] = [await run(x, written), await run(x, simplified)];
        expect(actual?.shape).toEqual(expected?.shape);
        Array.from(expected?.data ?? [], Number).forEach((value, i) => {
          const error = Math.abs(Number(actual?.data[i]) - value);
          expect(error).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(value)));
        });
      }),
      { numRuns: 40, seed: 1 },
    );
  });
});
