import { canBlock, prefersBlocked } from "../blocked.ts";
import { broadcastTo, int64Vector, reshape, resolveAxes } from "../core.ts";
import {
  type Attributes,
  apply,
  applyAll,
  dimAt,
  inputAt,
  type LowerContext,
  type Operation,
  onlyGradient,
  outputAt,
  resolveAxis,
  shapeError,
  sizeAt,
  type Tensor,
} from "../graph.ts";
import { constant } from "../leaves.ts";
import { materialize, pickElements } from "../rules.ts";
import { addDims, type Dim, inGroups, multiplyDims, type Shape, sameShape, sizeOf } from "../shape.ts";
import { slice } from "./slicing.ts";

// Joining and cutting: the gradient of each is the other.

interface AxisAttributes extends Attributes {
  readonly axis: number;
}

const concatOperation: Operation<AxisAttributes> = {
  name: "concat",
  broadcastGradient: true,
  infer: (inputs, { axis }) => {
    const first = inputAt(inputs, 0);
    if (inputs.some((x) => x.dtype !== first.dtype)) {
      throw shapeError("concat", inputs, "dtypes differ; cast one of them");
    }
    const others = (x: Tensor): Shape => x.shape.filter((_, at) => at !== axis);
    if (inputs.some((x) => x.rank !== first.rank || !sameShape(others(x), others(first)))) {
      throw shapeError("concat", inputs, `shapes differ in more than axis ${axis}`);
    }
    const size = inputs.reduce<Dim | undefined>(
      (sum, x) => (sum === undefined ? undefined : addDims(sum, dimAt(x, axis))),
      0,
    );
    if (size === undefined) {
      throw shapeError("concat", inputs, `axis ${axis} would mix symbolic and numeric sizes`);
    }
    return [{ shape: first.shape.map((dim, at) => (at === axis ? size : dim)), dtype: first.dtype }];
  },
  gradient: ({ inputs, outputs, attributes: { axis }, gradients, needed }) => {
    const gradient = materialize(onlyGradient(gradients), outputAt(outputs, 0).shape, [axis]);
    const sizes = inputs.map((x) => sizeAt("concat", x, axis));
    if (needed.filter((is) => is).length > 1) return split(gradient, axis, sizes);
    let start = 0;
    return sizes.map((size, i) => {
      start += size;
      return needed[i] ? slice(gradient, axis, start - size, start) : undefined;
    });
  },
  lower: (context, { inputs, attributes: { axis } }) => {
    // Samples and whole blocks of channels are joined in blocked layout just as in plain layout.
    const blocked = axis <= 1 && prefersBlocked(context, inputs);
    const names = inputs.map((x) => (blocked ? context.blockedValue(x) : context.value(x)));
    const joined = context.emit1({ op: "Concat", inputs: names, attributes: { axis: { int: axis } } });
    return [blocked ? { blocked: joined } : joined];
  },
};

/** Joins tensors along an axis, in which alone their shapes may differ. @throws ShapeError */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors;
  if (first === undefined) throw shapeError("concat", [], "there is nothing to join");
  return tensors.length === 1
    ? first
    : apply(concatOperation, tensors, { axis: resolveAxis("concat", first, axis) });
}

/** Joins tensors of one shape along a new axis, placed before axis `axis` of theirs. @throws ShapeError */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (first === undefined) throw shapeError("stack", [], "there is nothing to stack");
  if (tensors.some((x) => !sameShape(x.shape, first.shape))) {
    throw shapeError("stack", tensors, "shapes differ");
  }
  const at = axis < 0 ? axis + first.rank + 1 : axis;
  if (!Number.isInteger(at) || at < 0 || at > first.rank) {
    throw shapeError("stack", tensors, `there cannot be an axis ${axis}`);
  }
  return concat(
    tensors.map((x) => reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])),
    at,
  );
}

const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);

/** Cuts a value into pieces; where the target cuts few at once, into groups of them first. */
function cut(context: LowerContext, name: string, axis: number, sizes: readonly number[]): readonly string[] {
  const { mostJoined = sizes.length } = context.target;
  const groups =
    sizes.length <= mostJoined ? undefined : inGroups(sizes, Math.ceil(sizes.length / mostJoined));
  const own = groups?.map(total) ?? sizes;
  const pieces = context.emit({
    op: "Split",
    inputs: [name, context.constant(int64Vector(own))],
    attributes: { axis: { int: axis } },
    outputs: own.length,
  });
  return groups?.flatMap((group, i) => cut(context, outputAt(pieces, i), axis, group)) ?? pieces;
}

interface SplitAttributes extends AxisAttributes {
  readonly sizes: readonly number[];
}

const splitOperation: Operation<SplitAttributes> = {
  name: "split",
  broadcastGradient: true,
  infer: (inputs, { axis, sizes }) => {
    const x = inputAt(inputs, 0);
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (sizes.some((size) => !Number.isInteger(size) || size < 0) || sum !== sizeAt("split", x, axis)) {
      throw shapeError("split", inputs, `axis ${axis} cannot be cut into pieces of [${sizes}]`);
    }
    return sizes.map((size) => ({
      shape: x.shape.map((dim, at) => (at === axis ? size : dim)),
      dtype: x.dtype,
    }));
  },
  gradient: ({ inputs, outputs, attributes: { axis }, gradients }) => {
    const x = inputAt(inputs, 0);
    const received = gradients.filter((g) => g !== undefined);
    // Pieces are joined at the common shape of what was received; one that nobody used counts as zeros.
    const common = x.shape.map((dim, at) => (received.every((g) => g.shape[at] === 1) ? 1 : dim));
    const pieces = outputs.map((output, i) =>
      broadcastTo(
        gradients[i] ?? constant(0, x.dtype),
        common.map((dim, at) => (at === axis ? dimAt(output, axis) : dim)),
      ),
    );
    return [concat(pieces, axis)];
  },
  lower: (context, { inputs, outputs, attributes: { axis, sizes } }) => {
    const x = inputAt(inputs, 0);
    const blocked =
      axis <= 1 && prefersBlocked(context, [x]) && outputs.every((output) => canBlock(context, output));
    const pieces = cut(context, blocked ? context.blockedValue(x) : context.value(x), axis, sizes);
    return blocked ? pieces.map((piece) => ({ blocked: piece })) : pieces;
  },
};

/** A tuple of N tensors. */
type TensorTuple<N extends number, T extends readonly Tensor[] = readonly []> = T["length"] extends N
  ? T
  : TensorTuple<N, readonly [...T, Tensor]>;

/**
 * What `split` returns: a tuple where the count is a literal or the sizes are a tuple, and a list where it is only known while running.
 */
export type Pieces<S extends number | readonly number[]> = S extends number
  ? number extends S
    ? readonly Tensor[]
    : TensorTuple<S>
  : { readonly [Index in keyof S]: Tensor };

/**
 * Cuts an axis into pieces: so many equal ones, or pieces of these sizes.
 *
 *     const [low, high] = split(boxes, 2, 2);       // a tuple of two tensors
 *     const [codes, score] = split(cells, 3, [4, 1]);
 *
 * @throws ShapeError where the pieces do not make up the axis.
 */
export function split<const S extends number | readonly number[]>(
  x: Tensor,
  axis: number,
  pieces: S,
): Pieces<S>;
export function split(x: Tensor, axis: number, pieces: number | readonly number[]): readonly Tensor[] {
  const at = resolveAxis("split", x, axis);
  const size = sizeAt("split", x, at);
  if (typeof pieces === "number" && (!(pieces > 0) || size % pieces !== 0)) {
    throw shapeError("split", [x], `axis ${axis} cannot be cut into ${pieces} equal pieces`);
  }
  const sizes = typeof pieces === "number" ? new Array<number>(pieces).fill(size / pieces) : pieces;
  return sizes.length === 1 && sizes[0] === size ? [x] : applyAll(splitOperation, [x], { axis: at, sizes });
}

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
 * Reorders the axes: axis i of the result is axis `permutation[i]` of `x`. Default: the last two are swapped.
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
    throw shapeError("unsqueeze", [x], `there cannot be an axis ${axis}`);
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
