import { describe, expect, it } from "vitest";
import { monotoneRoot } from "../../../src/flows/transforms/transform.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, float32, grad, input, type Tensor } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";

const vector = (values: readonly number[]): Tensor => constant(float32(values, [values.length]));

const cubic = (x: Tensor) => ({ value: x.mul(x).mul(x), derivative: x.square().mul(3) });

/** x + a · tanh(8 x): steep at 0 and nearly flat besides, where Newton's method alone runs away for a > 0. */
const steep = (a: Tensor) => (x: Tensor) => {
  const t = x.mul(8).tanh();
  return { value: x.mul(0.01).add(a.mul(t)), derivative: t.square().neg().add(1).mul(a).mul(8).add(0.01) };
};

describe("monotoneRoot", () => {
  it("finds cube roots to float32, from 0 to ±1e9, a triple root among them", async () => {
    const targets = [0, 1e-9, -1e-3, 2, -27, 1e3, -1e6, 1e9];
    const [roots] = await evaluate([monotoneRoot(cubic, vector(targets), -1100, 1200)]);
    numbers(roots).forEach((root, i) => {
      const expected = Math.cbrt(targets[i] ?? 0);
      expect(Math.abs(root - expected)).toBeLessThanOrEqual(1e-6 * Math.abs(expected) + 1e-9);
    });
  });

  it("finds roots where Newton's method alone diverges", async () => {
    const targets = [-3, -0.9, -1e-4, 0, 0.3, 0.99, 1.02, 11];
    const a = constant(1);
    const found = monotoneRoot(steep(a), vector(targets), -1200, 1201, { start: 700 });
    const [roots] = await evaluate([found]);
    numbers(roots).forEach((x, i) => {
      const target = targets[i] ?? 0;
      // Where the function is flat, a rounding error of the value weighs 100 times in x.
      expect(Math.abs(0.01 * x + Math.tanh(8 * x) - target)).toBeLessThan(
        5e-7 * Math.max(1, Math.abs(target)),
      );
    });
    // The plain iteration from the same start jumps between the flat parts.
    let x = 700;
    for (let i = 0; i < 100; i++) {
      const t = Math.tanh(8 * x);
      x -= (0.01 * x + t - 0.3) / (0.01 + 8 * (1 - t * t));
    }
    expect(Math.abs(0.01 * x + Math.tanh(8 * x) - 0.3)).toBeGreaterThan(0.1);
  });

  it("takes bounds for every element, and returns the bound where the root lies outside", async () => {
    const found = monotoneRoot(cubic, vector([8, 8, 8]), vector([0, 3, -5]), vector([10, 4, 1]));
    const [roots] = await evaluate([found]);
    expect(numbers(roots)[0]).toBeCloseTo(2, 6);
    expect(numbers(roots)[1]).toBeCloseTo(3, 5);
    expect(numbers(roots)[2]).toBeCloseTo(1, 5);
  });

  it("has the gradients of the implicit function", async () => {
    const target = input("target", [3]);
    const a = input("a", []);
    const found = monotoneRoot(steep(a), target, -1000, 1000);
    const [byTarget, byA] = grad(found.sum(), [target, a]);
    const run = async (outputs: readonly Tensor[], targets: readonly number[], value: number) =>
      (
        await evaluate(
          outputs,
          new Map([
            [target, float32(targets, [3])],
            [a, float32([value], [])],
          ]),
        )
      ).map(numbers);
    const targets = [-0.7, 0.1, 0.8];
    const [roots = [], ofTarget = [], ofA = []] = await run([found, byTarget, byA], targets, 1.3);
    const slope = (x: number): number => 0.01 + 1.3 * 8 * (1 - Math.tanh(8 * x) ** 2);
    roots.forEach((x, i) => {
      expect(ofTarget[i] ?? 0).toBeCloseTo(1 / slope(x), 5);
    });
    const expected = roots.reduce((total, x) => total - Math.tanh(8 * x) / slope(x), 0);
    expect(ofA[0]).toBeCloseTo(expected, 4);
    const total = async (value: number) => {
      const [found_ = []] = await run([found], targets, value);
      return found_.reduce((sum, x) => sum + x, 0);
    };
    const difference = ((await total(1.31)) - (await total(1.29))) / 0.02;
    expect(Math.abs((ofA[0] ?? 0) - difference)).toBeLessThan(1e-3);
  });

  it("passes NaN on", async () => {
    const [roots] = await evaluate([monotoneRoot(cubic, vector([Number.NaN, 8]), 0, 10)]);
    expect(numbers(roots)[0]).toBeNaN();
    expect(numbers(roots)[1]).toBeCloseTo(2, 6);
  });
});
