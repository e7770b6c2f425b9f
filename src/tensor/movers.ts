import { int64Vector } from "./core.ts";
import type { LowerContext } from "./graph.ts";
import { filled } from "./leaves.ts";

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
