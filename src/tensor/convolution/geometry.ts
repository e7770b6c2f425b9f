import type { DType } from "../array.ts";
import { BLOCKED_DOMAIN } from "../blocked.ts";
import { int64Vector } from "../core.ts";
import type { Attributes, LowerContext } from "../graph.ts";
import { filled } from "../leaves.ts";

/** Stride, zero padding [top, left, bottom, right], dilation and groups of a two-dimensional convolution. */
export interface Geometry extends Attributes {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

/** Output size of a convolution along one axis (0 vertical, 1 horizontal). */
export function convolutionSize(
  size: number,
  kernel: number,
  { stride, padding, dilation }: Geometry,
  axis: 0 | 1,
): number {
  const padded = size + padding[axis] + padding[axis === 0 ? 2 : 3];
  return Math.floor((padded - dilation[axis] * (kernel - 1) - 1) / stride[axis]) + 1;
}

/** Padding of the stride-1 convolution that computes the input gradient; undefined where there is none. */
export function flippedPadding(
  { stride, padding, dilation }: Geometry,
  kernel: readonly [number, number],
  size: readonly [number, number],
  outputSize: readonly [number, number],
): Geometry["padding"] | undefined {
  if (stride[0] !== 1 || stride[1] !== 1) return undefined;
  const reach = [dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1)] as const;
  const [top, left] = [reach[0] - padding[0], reach[1] - padding[1]];
  const bottom = size[0] + reach[0] - outputSize[0] - top;
  const right = size[1] + reach[1] - outputSize[1] - left;
  return Math.min(top, left, bottom, right) < 0 ? undefined : [top, left, bottom, right];
}

/** Short names for the ONNX nodes that move values about. */
export function movers(context: LowerContext) {
  const vector = (values: readonly number[]): string => context.constant(int64Vector(values));
  /** Elements of an axis by their positions. */
  const take = (x: string, axis: number, indices: readonly number[]): string =>
    context.emit1({ op: "Gather", inputs: [x, vector(indices)], attributes: { axis: { int: axis } } });
  return {
    reshape: (x: string, shape: readonly number[]): string =>
      context.emit1({ op: "Reshape", inputs: [x, vector(shape)] }),
    transpose: (x: string, perm: readonly number[]): string =>
      context.emit1({ op: "Transpose", inputs: [x], attributes: { perm: { ints: perm } } }),
    /**
     * Exchanges rows and columns of many small matrices [count, rows, columns], one side of which is a block, for a program with blocked kernels. It is what these do with maps of one block of
     * channels; `Transpose` hands each matrix to the threads by itself, by which two threads take ten times as long as one. The result has any shape.
     */
    exchange: (x: string, [count, rows, columns]: readonly [number, number, number]): string => {
      const { block } = context.target;
      if (rows !== block && columns !== block) throw new Error(`no side of ${rows}×${columns} is a block`);
      const positions = rows === block ? columns : rows;
      return context.emit1({
        op: rows === block ? "ReorderInput" : "ReorderOutput",
        inputs: [context.emit1({ op: "Reshape", inputs: [x, vector([1, count * block, positions, 1])] })],
        ...(rows !== block && { attributes: { channels: { int: count * block } } }),
        domain: BLOCKED_DOMAIN,
      });
    },
    take,
    /** Reverses an axis of a known size. */
    reverse: (x: string, axis: number, size: number): string =>
      size === 1
        ? x
        : take(
            x,
            axis,
            Array.from({ length: size }, (_, i) => size - 1 - i),
          ),
    /** Appends zeros to an axis of a float32 value. */
    extend: (x: string, rank: number, axis: number, count: number): string => {
      if (count === 0) return x;
      const pads = new Array<number>(2 * rank).fill(0);
      pads[rank + axis] = count;
      return context.emit1({
        op: "Pad",
        inputs: [x, vector(pads), context.constant(filled("float32", [], 0))],
      });
    },
    sum: (x: string, axes: readonly number[]): string =>
      context.emit1({
        op: "ReduceSum",
        inputs: [x, vector(axes)],
        attributes: { keepdims: { int: 0 } },
      }),
  };
}

/** A map with zeros around it. */
export function padMap(
  context: LowerContext,
  x: string,
  dtype: DType,
  { padding: [top, left, bottom, right] }: Geometry,
): string {
  if (Math.max(top, left, bottom, right) === 0) return x;
  const pads = context.constant(int64Vector([0, 0, top, left, 0, 0, bottom, right]));
  return context.emit1({ op: "Pad", inputs: [x, pads, context.constant(filled(dtype, [], 0))] });
}

/** Rows and columns of a map from `start` to before `end` in steps. */
export function sliceMap(
  context: LowerContext,
  x: string,
  start: readonly [number, number],
  end: readonly [number, number],
  step: readonly [number, number],
): string {
  const vector = (values: readonly number[]): string => context.constant(int64Vector(values));
  return context.emit1({
    op: "Slice",
    inputs: [x, vector(start), vector(end), vector([2, 3]), vector(step)],
  });
}
