import fc from "fast-check";
import { expect } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import type { NdArray } from "../../src/tensor/array.ts";
import { multiply, sum } from "../../src/tensor/core.ts";
import { grad, jvp, vjp } from "../../src/tensor/grad.ts";
import type { Tensor } from "../../src/tensor/graph.ts";
import { constant, input } from "../../src/tensor/leaves.ts";

// A second implementation of what the operations compute, in float64 and by plain loops over positions, and checks of
// values and derivatives against it. Nothing here uses ONNX Runtime or the folding rules of src to find what is right.

/** Float64 numbers with a shape, row-major. Booleans are 0 and 1. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** All positions of a shape in row-major order. */
export function positions(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, size) => all.flatMap((head) => Array.from({ length: size }, (_, i) => [...head, i])),
    [[]],
  );
}

/** Values computed position by position. */
export function build(shape: readonly number[], compute: (position: readonly number[]) => number): Values {
  return { shape, data: positions(shape).map(compute) };
}

/** The number at a position. */
export function at(x: Values, position: readonly number[]): number {
  const offset = x.shape.reduce((sum, size, axis) => sum * size + (position[axis] ?? Number.NaN), 0);
  const value = x.data[offset];
  if (value === undefined) throw new RangeError(`no position [${position}] in shape [${x.shape}]`);
  return value;
}

/** The number that broadcasting puts at a position of a larger shape. */
export function broadcastAt(x: Values, position: readonly number[]): number {
  const own = position.slice(position.length - x.shape.length);
  return at(
    x,
    own.map((value, axis) => (x.shape[axis] === 1 ? 0 : value)),
  );
}

/** The common shape of broadcasting. */
export function commonShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.flatMap((shape) => shape[axis - rank + shape.length] ?? []);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** Applies a function of numbers element by element, with broadcasting. */
export function mapValues(compute: (...numbers: number[]) => number, ...inputs: readonly Values[]): Values {
  return build(commonShape(...inputs.map((x) => x.shape)), (position) =>
    compute(...inputs.map((x) => broadcastAt(x, position))),
  );
}

/** Reduces axes with a function of all elements that fall together, in row-major order. */
export function reduceValues(
  x: Values,
  axes: readonly number[],
  keepDims: boolean,
  compute: (items: readonly number[]) => number,
): Values {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const inner = x.shape.map((size, axis) => (axes.includes(axis) ? size : 1));
  const reduced = build(kept, (outer) =>
    compute(
      positions(inner).map((offset) =>
        at(
          x,
          outer.map((value, axis) => value + (offset[axis] ?? 0)),
        ),
      ),
    ),
  );
  return keepDims ? reduced : { ...reduced, shape: x.shape.filter((_, axis) => !axes.includes(axis)) };
}

/** Pseudo-random numbers on [0, 1) from a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Sampling {
  /** Range of the numbers; default: −2 to 2. */
  readonly low?: number;
  readonly high?: number;
  /** Points at which the function has a kink or a jump: numbers keep their distance. */
  readonly kinks?: readonly number[];
}

/** Random numbers of a shape. No two are closer than 1e-3, so that maxima are no ties. */
export function randomValues(
  shape: readonly number[],
  random: () => number,
  { low = -2, high = 2, kinks = [] }: Sampling = {},
): Values {
  const count = shape.reduce((a, b) => a * b, 1);
  const order = Array.from({ length: count }, (_, i) => ({ i, key: random() })).sort((a, b) => a.key - b.key);
  const data = order.map(({ i }) => {
    const value = low + ((high - low) * (i + 0.25 + 0.5 * random())) / count;
    const kink = kinks.find((point) => Math.abs(value - point) < 0.02);
    return kink === undefined ? value : kink + (value < kink ? -0.05 : 0.05);
  });
  return { shape, data };
}

let shared: Promise<Runtime> | undefined;

/** One CPU runtime for all tests. */
export function testRuntime(): Promise<Runtime> {
  shared ??= nodeRuntime({ threads: 1 });
  return shared;
}

export function toArray(x: Values, dtype: NdArray["dtype"]): NdArray {
  switch (dtype) {
    case "float32":
      return { dtype, shape: x.shape, data: Float32Array.from(x.data) };
    case "float64":
      return { dtype, shape: x.shape, data: Float64Array.from(x.data) };
    case "int64":
      return { dtype, shape: x.shape, data: BigInt64Array.from(x.data, (value) => BigInt(value)) };
    case "bool":
      return { dtype, shape: x.shape, data: Uint8Array.from(x.data) };
  }
}

export function toValues(array: NdArray): Values {
  return { shape: array.shape, data: Array.from(array.data as ArrayLike<number | bigint>, Number) };
}

/** Runs a program's outputs for several feeds. */
export async function runAll(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: readonly Readonly<Record<string, NdArray>>[],
  runtime?: Runtime,
): Promise<Readonly<Record<string, Values>>[]> {
  const program = await Program.build(outputs, runtime ?? (await testRuntime()));
  try {
    const results: Readonly<Record<string, Values>>[] = [];
    for (const feed of feeds) {
      const raw = await program.run(feed);
      results.push(Object.fromEntries(Object.entries(raw).map(([name, array]) => [name, toValues(array)])));
    }
    return results;
  } finally {
    await program.release();
  }
}

/** Runs a function of tensors once. */
export async function runOnce(
  apply: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Values[],
  dtype: NdArray["dtype"] = "float32",
): Promise<Values> {
  const tensors = inputs.map(({ shape }, i) => input(`x${i}`, shape, dtype));
  const feed = Object.fromEntries(inputs.map((x, i) => [`x${i}`, toArray(x, dtype)]));
  const [result] = await runAll({ y: apply(...tensors) }, [feed]);
  if (result?.y === undefined) throw new Error("no result");
  return result.y;
}

/** Fails unless shapes are equal and values agree to `tolerance`, relative to the larger of 1 and `scale`. */
export function expectClose(
  actual: Values | undefined,
  expected: Values,
  tolerance: number,
  what: string,
  scale: "each" | "largest" = "each",
): void {
  expect(actual?.shape, `${what}: shape`).toEqual(expected.shape);
  const largest = expected.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  expected.data.forEach((value, i) => {
    const got = actual?.data[i] ?? Number.NaN;
    const bound = tolerance * (scale === "largest" ? largest : Math.max(1, Math.abs(value)));
    if (Object.is(got, value) || got === value || Math.abs(got - value) <= bound) return;
    expect.fail(`${what}: element ${i} of [${expected.shape}] is ${got}, expected ${value} ± ${bound}`);
  });
}

/** An operation and what it ought to compute. */
export interface Subject {
  readonly name: string;
  readonly apply: (...inputs: Tensor[]) => Tensor;
  readonly reference: (...inputs: Values[]) => Values;
  /** ONNX Runtime has no float64 kernels for it or for its gradient. */
  readonly float32Only?: boolean;
  /** The derivative is zero or does not exist: values only. */
  readonly valueOnly?: boolean;
}

function scaled(x: Values, direction: Values, step: number): Values {
  return { shape: x.shape, data: x.data.map((value, i) => value + step * (direction.data[i] ?? 0)) };
}

function dot(a: Values, b: Values): number {
  return a.data.reduce((sum, value, i) => sum + value * broadcastFlat(b, a.shape, i), 0);
}

function broadcastFlat(x: Values, shape: readonly number[], index: number): number {
  let rest = index;
  const position = [...shape];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    position[axis] = rest % size;
    rest = Math.floor(rest / size);
  }
  return broadcastAt(x, position);
}

/** Central differences of ⟨weights, reference⟩ with respect to every element of every input. */
function differences(subject: Subject, inputs: readonly Values[], weights: readonly Values[]): Values[][] {
  const step = 1e-5;
  const gradients = weights.map(() => inputs.map((x) => ({ shape: x.shape, data: [] as number[] })));
  inputs.forEach((x, k) => {
    x.data.forEach((_, i) => {
      const moved = (by: number): Values => {
        const data = x.data.map((value, j) => (j === i ? value + by : value));
        return subject.reference(...inputs.map((other, j) => (j === k ? { shape: x.shape, data } : other)));
      };
      const [up, down] = [moved(step), moved(-step)];
      weights.forEach((weight, w) => {
        gradients[w]?.[k]?.data.push((dot(up, weight) - dot(down, weight)) / (2 * step));
      });
    });
  });
  return gradients;
}

/**
 * Checks an operation on given inputs: its value (computed by the runtime, and folded from constants) against the
 * reference; its gradients for two cotangents (a full one, and one that is constant along a random set of axes, which
 * the rules receive with axes of size 1) against central differences of the reference; in float64 also the
 * Jacobian–vector product and the second derivative along random directions.
 */
export async function checkOperation(
  subject: Subject,
  given: readonly Values[],
  options: {
    readonly dtype?: "float32" | "float64";
    readonly seed?: number;
    readonly runtime?: Runtime;
  } = {},
): Promise<void> {
  const dtype = subject.float32Only ? "float32" : (options.dtype ?? "float64");
  const exact = dtype === "float64";
  const random = generator(options.seed ?? 1);
  const inputs = given.map((x) => ({ ...x, data: exact ? x.data : x.data.map(Math.fround) }));
  const shapes = inputs.map(({ shape }) => `[${shape}]`).join(", ");
  const title = (what: string): string => `${subject.name}(${shapes}) in ${dtype}: ${what}`;
  const expected = subject.reference(...inputs);

  const tensors = inputs.map(({ shape }, i) => input(`x${i}`, shape, dtype));
  const y = subject.apply(...tensors);
  const outputs: Record<string, Tensor> = {
    y,
    folded: subject.apply(...inputs.map((x) => constant(toArray(x, dtype)))),
  };
  const partial = expected.shape.map((size) => (random() < 0.5 ? 1 : size));
  const weights = [expected.shape, partial].map((shape) => randomValues(shape, random));
  const directions = inputs.map(({ shape }) => randomValues(shape, random));
  const asConstant = (x: Values): Tensor => constant(toArray(x, dtype));
  if (!subject.valueOnly) {
    weights.forEach((weight, w) => {
      grad(sum(multiply(y, asConstant(weight))), tensors).forEach((gradient, k) => {
        outputs[`gradient${w}.${k}`] = gradient;
      });
    });
    if (exact) {
      const along = directions.map(asConstant);
      const [tangent] = jvp([y], tensors, along);
      if (tangent !== undefined) outputs.tangent = tangent;
      const first = tensors.flatMap((_, k) => outputs[`gradient0.${k}`] ?? []);
      vjp(first, along, tensors).forEach((second, k) => {
        outputs[`second.${k}`] = second;
      });
    }
  }

  const feed = (step: number): Readonly<Record<string, NdArray>> =>
    Object.fromEntries(
      inputs.map((x, k) => [`x${k}`, toArray(scaled(x, directions[k] ?? x, step), dtype)] as const),
    );
  const step = 1e-4;
  const runs = await runAll(
    outputs,
    exact && !subject.valueOnly ? [feed(0), feed(step), feed(-step)] : [feed(0)],
    options.runtime,
  );
  const [here, up, down] = runs;
  expectClose(here?.y, expected, exact ? 1e-9 : 1e-5, title("value"));
  expectClose(here?.folded, expected, exact ? 1e-9 : 1e-5, title("folded value"));
  if (subject.valueOnly) return;
  const tolerance = exact ? 1e-6 : 1e-4;
  differences(subject, inputs, weights).forEach((gradients, w) => {
    gradients.forEach((gradient, k) => {
      const what = title(
        `gradient of input ${k} (${w === 0 ? "full" : `constant along axes, [${partial}]`})`,
      );
      expectClose(here?.[`gradient${w}.${k}`], gradient, tolerance, what, "largest");
    });
  });
  if (up === undefined || down === undefined) return;
  const slope = (name: "reference" | "gradient", k: number): Values => {
    const [a, b] =
      name === "reference"
        ? [step, -step].map((by) =>
            subject.reference(...inputs.map((x, i) => scaled(x, directions[i] ?? x, by))),
          )
        : [up[`gradient0.${k}`], down[`gradient0.${k}`]];
    if (a === undefined || b === undefined) throw new Error("a result is missing");
    // Equal values have no slope, also where they are infinite.
    const slopes = a.data.map((value, i) =>
      value === b.data[i] ? 0 : (value - (b.data[i] ?? 0)) / (2 * step),
    );
    return { shape: a.shape, data: slopes };
  };
  expectClose(here?.tangent, slope("reference", 0), 1e-5, title("Jacobian–vector product"), "largest");
  inputs.forEach((_, k) => {
    const what = title(`second derivative of input ${k}`);
    expectClose(here?.[`second.${k}`], slope("gradient", k), 1e-5, what, "largest");
  });
}

/** Sizes of axes: mostly small, often 1, sometimes 0. */
const sizes = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.constant(1) },
  { weight: 8, arbitrary: fc.integer({ min: 2, max: 4 }) },
);

/** Random shapes, including scalars (where the rank may be 0), axes of size 1 and empty axes. */
export function shapes(
  minRank = 0,
  maxRank = 3,
  size: fc.Arbitrary<number> = sizes,
): fc.Arbitrary<readonly number[]> {
  return fc.array(size, { minLength: minRank, maxLength: maxRank });
}

/** Shapes without empty axes. */
export function filledShapes(minRank = 0, maxRank = 3): fc.Arbitrary<readonly number[]> {
  return shapes(minRank, maxRank, fc.integer({ min: 1, max: 4 }));
}

/** Shapes that broadcast together: axes of a common shape shrunk to 1, and leading axes left out. */
export function broadcastableShapes(count: number): fc.Arbitrary<readonly (readonly number[])[]> {
  return shapes().chain((common) => {
    const operand = fc
      .tuple(fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }), fc.nat(common.length), fc.boolean())
      .map(([shrunk, lost, keepsRank]) =>
        common.map((size, axis) => (shrunk[axis] ? 1 : size)).slice(keepsRank ? 0 : lost),
      );
    return fc.array(operand, { minLength: count, maxLength: count });
  });
}

/** What a random case needs besides its shapes. */
export const cases = fc.record({
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  dtype: fc.constantFrom<"float32" | "float64">("float64", "float64", "float32"),
});

/** Options of fast-check for checks that create sessions. The seed is fixed: a red test stays red. */
export function few(numRuns = 6): fc.Parameters<unknown> {
  return { numRuns, seed: 20240229, endOnFailure: false };
}
