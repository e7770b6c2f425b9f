import type { Transform } from "../../src/flows/transforms/transform.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { substitute } from "../../src/tensor/graph.ts";
import {
  constant,
  elementCount,
  float32,
  input,
  jacobian,
  type NdArray,
  stack,
  type Tensor,
} from "../../src/tensor/index.ts";

/** Normal numbers from a seed. */
export function normals(seed: number, shape: readonly number[], deviation = 1): NdArray<"float32"> {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  new Random(seed).fillNormal(data);
  return float32(
    data.map((value) => deviation * value),
    shape,
  );
}

/** Puts random values in the places of all parameters of a module, wilder than its own starting values. */
export function withRandomParameters(
  module: object,
  outputs: readonly Tensor[],
  seed: number,
  deviation = 0.5,
): readonly Tensor[] {
  nameParameters(module);
  const values = new Map<Tensor, Tensor>();
  let count = 0;
  for (const [name, tensor] of namedTensors(module)) {
    const drawn = normals(seed + count++, tensor.shape, deviation);
    // A variance is positive.
    const positive = float32(
      drawn.data.map((value) => 0.5 + Math.abs(value)),
      drawn.shape,
    );
    values.set(tensor, constant(name.endsWith("running_var") ? positive : drawn));
  }
  return substitute(outputs, values);
}

/** log |det| of a square matrix in rows, by Gaussian elimination with pivots in float64. */
export function logAbsDeterminant(rows: readonly (readonly number[])[]): number {
  const a = rows.map((row) => [...row]);
  let total = 0;
  for (let k = 0; k < a.length; k++) {
    let pivot = k;
    for (let i = k + 1; i < a.length; i++) {
      if (Math.abs(a[i]?.[k] ?? 0) > Math.abs(a[pivot]?.[k] ?? 0)) pivot = i;
    }
    const top = a[pivot] ?? [];
    [a[k], a[pivot]] = [top, a[k] ?? []];
    total += Math.log(Math.abs(top[k] ?? 0));
    for (let i = k + 1; i < a.length; i++) {
      const row = a[i] ?? [];
      const factor = (row[k] ?? 0) / (top[k] ?? 1);
      for (let j = k; j < row.length; j++) row[j] = (row[j] ?? 0) - factor * (top[j] ?? 0);
    }
  }
  return total;
}

export interface TransformErrors {
  /** Largest |logDet − log |det J|| of the forward map, J by automatic differentiation. */
  readonly logDet: number;
  /** Largest |inverse(forward(x)) − x|. */
  readonly inverse: number;
  /** Largest |forward logDet + inverse logDet|. */
  readonly inverseLogDet: number;
  /** Largest |forward(x) − x|: separates a transform from the identity. */
  readonly change: number;
}

const largest = (values: Iterable<number>): number => Math.max(...Array.from(values, Math.abs));

export interface CheckOptions {
  readonly seed?: number;
  /** Deviation of the random parameters. */
  readonly deviation?: number;
  /** Length of the context; 0 for none. */
  readonly contextSize?: number;
  /** Points to check at, where the transform does not take all numbers. */
  readonly points?: (random: NdArray<"float32">) => NdArray<"float32">;
}

/** Measures a transform against its Jacobian and its own inverse, with random parameters. */
export async function transformErrors(
  transform: Transform,
  sample: number | readonly number[],
  { seed = 1, deviation = 0.5, contextSize = 0, points: place = (x) => x }: CheckOptions = {},
): Promise<TransformErrors> {
  const count = 5;
  const shape = [count, ...(typeof sample === "number" ? [sample] : sample)];
  const dimensions = elementCount(shape) / count;
  const x = input("x", shape);
  const context = contextSize === 0 ? undefined : constant(normals(seed + 2000, [count, contextSize]));
  const forward = transform.forward(x, context);
  const back = transform.inverse(forward.y, context);
  // Rows do not depend on each other, so summing outputs over rows leaves each row's own derivatives.
  const rows = forward.y.reshape([count, dimensions]);
  const derivatives = stack(jacobian(rows.sum(0), x), 1);
  const outputs = withRandomParameters(
    transform,
    [forward.y, forward.logDet, back.x, back.logDet, derivatives],
    seed,
    deviation,
  );
  const points = place(normals(seed + 1000, shape));
  const values = await evaluate(outputs, new Map([[x, points]]));
  const [y, logDet, preimage, inverseLogDet, jacobians] = values.map((value) =>
    Array.from(value.data, Number),
  );
  if (!y || !logDet || !preimage || !inverseLogDet || !jacobians) throw new Error("an output is missing");
  const expected = Array.from({ length: count }, (_, n) =>
    logAbsDeterminant(
      Array.from({ length: dimensions }, (_, i) =>
        jacobians.slice((n * dimensions + i) * dimensions, (n * dimensions + i + 1) * dimensions),
      ),
    ),
  );
  return {
    logDet: largest(expected.map((value, n) => value - (logDet[n] ?? Number.NaN))),
    inverse: largest(preimage.map((value, i) => value - (points.data[i] ?? 0))),
    inverseLogDet: largest(logDet.map((value, n) => value + (inverseLogDet[n] ?? Number.NaN))),
    change: largest(y.map((value, i) => value - (points.data[i] ?? 0))),
  };
}
