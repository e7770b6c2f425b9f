import { describe, expect, it } from "vitest";
import { z } from "zod";
import { adam, adamW, clipByGlobalNorm, movingAverage, type Optimizer, sgd } from "../../src/nn/optimizer.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { float32, type NdArray, zeros } from "../../src/tensor/array.ts";
import { constant, input } from "../../src/tensor/index.ts";
import { fixtureJson, largestError, numbers, tensorOf } from "./support.ts";

const vector = z.array(z.number());
const fixture = z
  .object({
    start: vector,
    gradients: z.array(vector),
    cases: z.array(
      z.object({
        name: z.enum(["sgd", "adam", "adamW"]),
        options: z.record(z.string(), z.union([z.number(), z.boolean()])),
        learningRate: z.number(),
        path: z.array(vector),
      }),
    ),
    clip: z.object({ maxNorm: z.number(), norm: z.number(), gradient: vector }),
  })
  .parse(fixtureJson("optimisers.json"));

const makers: Record<string, (options: object) => Optimizer> = { sgd, adam, adamW };

async function trajectory(optimizer: Optimizer, learningRate: number): Promise<number[][]> {
  const shape = [fixture.start.length];
  const slots = Object.fromEntries(optimizer.slots.map((name) => [name, input(name, shape)]));
  const update = optimizer.update({
    parameters: input("parameters", shape),
    gradient: input("gradient", shape),
    slots,
    learningRate: input("learningRate", []),
    step: input("step", []),
  });
  expect(Object.keys(update.slots)).toEqual([...optimizer.slots]);
  const program = await Program.build(
    { parameters: update.parameters, ...update.slots },
    await nodeRuntime({ threads: 1 }),
  );
  let state: Record<string, NdArray> = { parameters: float32(fixture.start, shape) };
  for (const name of optimizer.slots) state[name] = zeros("float32", shape);
  const path: number[][] = [];
  for (const [i, gradient] of fixture.gradients.entries()) {
    state = await program.run({
      ...state,
      gradient: float32(gradient, shape),
      learningRate: float32([learningRate], []),
      step: float32([i + 1], []),
    });
    path.push(numbers(tensorOf(new Map(Object.entries(state)), "parameters")));
  }
  await program.release();
  return path;
}

describe("optimizers follow PyTorch's", () => {
  it.each(fixture.cases.map((entry) => [entry.name, JSON.stringify(entry.options), entry] as const))(
    "%s %s",
    async (name, _options, { options, learningRate, path }) => {
      const got = await trajectory(makers[name]?.(options) ?? sgd(), learningRate);
      // Rounding is relative to the largest value that a parameter had on its way.
      const extent = fixture.start.map((value, k) =>
        Math.max(1, Math.abs(value), ...path.map((point) => Math.abs(point[k] ?? 0))),
      );
      const scaled = (points: readonly number[][]): number[] =>
        points.flatMap((point) => point.map((value, k) => value / (extent[k] ?? 1)));
      expect(largestError(scaled(got), scaled(path))).toBeLessThan(1e-6);
    },
  );
});

describe("clipByGlobalNorm", () => {
  it("scales as PyTorch's clip_grad_norm_", async () => {
    const { maxNorm, norm, gradient } = fixture.clip;
    const clipped = clipByGlobalNorm(input("g", [6]), maxNorm);
    const program = await Program.build({ ...clipped }, await nodeRuntime({ threads: 1 }));
    const got = new Map(Object.entries(await program.run({ g: float32(fixture.gradients[0] ?? [], [6]) })));
    await program.release();
    expect(largestError(numbers(tensorOf(got, "norm")), [norm])).toBeLessThan(1e-6);
    expect(largestError(numbers(tensorOf(got, "gradient")), gradient)).toBeLessThan(1e-6);
  });

  it("leaves a short gradient alone", async () => {
    const short = constant(float32([0.3, -0.4], [2]));
    const { gradient, norm } = clipByGlobalNorm(short, 1);
    const [g, n] = await evaluate([gradient, norm]);
    expect(g && numbers(g)).toEqual([Math.fround(0.3), Math.fround(-0.4)]);
    expect(Number(n?.data[0])).toBeCloseTo(0.5, 6);
  });
});

it("the moving average follows d = min(decay, (1 + n) / (10 + n))", async () => {
  const steps = [1, 5, 1000];
  const averages = steps.map((step) =>
    movingAverage(constant(float32([1, 2], [2])), constant(float32([3, -2], [2])), 0.95, constant(step)),
  );
  const got = await evaluate(averages);
  got.forEach((average, i) => {
    const d = Math.min(0.95, (1 + (steps[i] ?? 0)) / (10 + (steps[i] ?? 0)));
    expect(largestError(numbers(average), [d + 3 * (1 - d), 2 * d - 2 * (1 - d)])).toBeLessThan(1e-6);
  });
});

it("options out of range are named", () => {
  expect(() => adam({ beta1: 1 })).toThrow("adam beta1: 1");
  expect(() => adamW({ weightDecay: -1 })).toThrow("adamw weightDecay: -1");
  expect(() => sgd({ nesterov: true })).toThrow("nesterov");
  expect(() => clipByGlobalNorm(input("g", [1]), 0)).toThrow("clip norm");
});
