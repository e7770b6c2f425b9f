import type { NdArray } from "./array.ts";
import { broadcastTo } from "./core.ts";
import { outputAt, type Tensor, type TensorType } from "./graph.ts";
import { filled } from "./leaves.ts";
import { isConcrete, type Shape, sizeOf, strides } from "./shape.ts";

// What the rules of several operations share.

/** Largest constant that folding may make. */
const FOLD_LIMIT = 1 << 16;

/** Folds an operation that only moves elements: `offset` says which element of the constant stands at a position. */
export function pickElements(
  x: NdArray | undefined,
  type: TensorType,
  offset: (position: readonly number[], strides: readonly number[]) => number,
): NdArray | undefined {
  const { shape } = type;
  const size = sizeOf(shape);
  if (x === undefined || !isConcrete(shape) || typeof size !== "number" || size > FOLD_LIMIT)
    return undefined;
  const result = filled(type.dtype, shape, 0);
  const from = strides(x.shape);
  const to = strides(shape);
  for (let i = 0; i < size; i++) {
    const position = shape.map((dim, axis) => Math.floor(i / outputAt(to, axis)) % dim);
    result.data[i] = x.data[offset(position, from)] ?? 0;
  }
  return result;
}

/** The gradient of an operation's only output. */
export function onlyGradient(gradients: readonly (Tensor | undefined)[]): Tensor {
  const [gradient] = gradients;
  if (gradient === undefined) throw new RangeError("a gradient rule was called without a gradient");
  return gradient;
}

/** Repeats a gradient along those axes for which a rule needs it in full; other axes of size 1 stay as they are. */
export function materialise(gradient: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return broadcastTo(
    gradient,
    gradient.shape.map((dim, axis) => (axes.includes(axis) ? outputAt(shape, axis) : dim)),
  );
}
