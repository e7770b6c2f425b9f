import { broadcastTo, reshape, resolveAxes } from "./core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  outputAt,
  resolveAxis,
  shapeError,
  type Tensor,
} from "./graph.ts";
import { onlyGradient, pickElements } from "./rules.ts";
import { type Dim, multiplyDims, sizeOf } from "./shape.ts";

export { concat, split, stack } from "./joining.ts";
export { flip, type PadMode, pad, type SliceRange, slice, sliceRanges } from "./slicing.ts";

interface PermutationAttributes extends Attributes {
  readonly permutation: readonly number[];
}

function isIdentity(permutation: readonly number[]): boolean {
  return permutation.every((from, axis) => from === axis);
}

const transposeOperation: Operation<PermutationAttributes> = {
  name: "transpose",
  broadcastGradient: true,
  infer: (inputs, { permutation }) => {
    const x = inputAt(inputs, 0);
    const sorted = [...permutation].sort((a, b) => a - b);
    if (permutation.length !== x.rank || !isIdentity(sorted)) {
      throw shapeError("transpose", inputs, `[${permutation}] is not a permutation of its axes`);
    }
    return [{ shape: permutation.map((axis) => outputAt(x.shape, axis)), dtype: x.dtype }];
  },
  gradient: ({ attributes: { permutation }, gradients }) => [
    transpose(
      onlyGradient(gradients),
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
  ],
  lower: (context, node) => [
    context.emit1({
      op: "Transpose",
      inputs: [context.value(inputAt(node.inputs, 0))],
      attributes: { perm: { ints: node.attributes.permutation } },
    }),
  ],
  evaluate: ([x], { permutation }, type) =>
    pickElements(x, type, (position, from) =>
      position.reduce((offset, at, axis) => offset + at * outputAt(from, outputAt(permutation, axis)), 0),
    ),
  simplify: ([x], { permutation }) => {
    if (x === undefined) return undefined;
    // Where only axes of size 1 move, the elements keep their order.
    const moved = permutation.filter((axis) => x.shape[axis] !== 1);
    if (sizeOf(x.shape) !== undefined && moved.every((axis, i) => i === 0 || axis > outputAt(moved, i - 1))) {
      return reshape(
        x,
        permutation.map((axis) => outputAt(x.shape, axis)),
      );
    }
    if (x.node.operation !== transposeOperation) return undefined;
    const inner = (x.node.attributes as PermutationAttributes).permutation;
    return transpose(
      inputAt(x.node.inputs, 0),
      permutation.map((axis) => outputAt(inner, axis)),
    );
  },
};

/**
 * Reorders the axes: axis i of the result is axis `permutation[i]` of `x`. The last two are swapped unless told.
 * @throws ShapeError where the list is not a permutation of the axes.
 */
export function transpose(x: Tensor, permutation?: readonly number[]): Tensor {
  if (permutation === undefined && x.rank < 2) throw shapeError("transpose", [x], "needs two axes to swap");
  const order = permutation ?? x.shape.map((_, axis) => (axis < x.rank - 2 ? axis : 2 * x.rank - 3 - axis));
  return order.length === x.rank && isIdentity(order)
    ? x
    : apply(transposeOperation, [x], { permutation: order });
}

/** Puts an axis of size 1 before axis `axis` (counted in the result; negative from its end). @throws ShapeError */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = axis < 0 ? axis + x.rank + 1 : axis;
  if (!Number.isInteger(at) || at < 0 || at > x.rank) {
    throw shapeError("unsqueeze", [x], `there is no place ${axis} for an axis`);
  }
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Removes axes of size 1: those named, or all. @throws ShapeError where a named axis has another size. */
export function squeeze(x: Tensor, axes?: number | readonly number[]): Tensor {
  const named = axes === undefined ? undefined : resolveAxes("squeeze", x, axes);
  for (const axis of named ?? []) {
    if (x.shape[axis] !== 1) throw shapeError("squeeze", [x], `axis ${axis} has not size 1`);
  }
  return reshape(
    x,
    x.shape.filter((dim, axis) => (named === undefined ? dim !== 1 : !named.includes(axis))),
  );
}

/** The tensor `repeats[i]` times along each axis i, one after the other (NumPy's tile). @throws ShapeError */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  if (repeats.length !== x.rank || repeats.some((count) => !Number.isInteger(count) || count < 0)) {
    throw shapeError("tile", [x], `[${repeats}] is not one count for each axis`);
  }
  const apart = x.shape.flatMap((dim, axis): Dim[] => (repeats[axis] === 1 ? [dim] : [1, dim]));
  const repeated = x.shape.flatMap((dim, axis): Dim[] =>
    repeats[axis] === 1 ? [dim] : [outputAt(repeats, axis), dim],
  );
  return reshape(
    broadcastTo(reshape(x, apart), repeated),
    x.shape.map((dim, axis) => multiplyDims(dim, outputAt(repeats, axis)) ?? dim),
  );
}

/** Every element `count` times in a row along an axis (NumPy's repeat). @throws ShapeError */
export function repeat(x: Tensor, axis: number, count: number): Tensor {
  const at = resolveAxis("repeat", x, axis);
  if (!Number.isInteger(count) || count < 0) throw shapeError("repeat", [x], `cannot repeat ${count} times`);
  const apart = unsqueeze(x, at + 1);
  return reshape(
    broadcastTo(
      apart,
      apart.shape.map((dim, i) => (i === at + 1 ? count : dim)),
    ),
    x.shape.map((dim, i) => (i === at ? (multiplyDims(dim, count) ?? dim) : dim)),
  );
}
