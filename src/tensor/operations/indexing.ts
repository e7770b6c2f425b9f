import type { DType, NdArray } from "../array.ts";
import { broadcastTo, cast, reshape } from "../core.ts";
import {
  type Attributes,
  apply,
  applyAll,
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
import { constant, filled } from "../leaves.ts";
import { type Shape, sameShape, showShape, sizeOf } from "../shape.ts";
import { equal } from "./elementwise.ts";

interface AxisAttributes extends Attributes {
  readonly axis: number;
}

/** @throws ShapeError where the indices are no int64 tensor. */
function checkIndices(operation: string, inputs: readonly Tensor[], indices: Tensor): void {
  if (indices.dtype !== "int64") throw shapeError(operation, inputs, "the indices must be int64");
}

/** Zeros of any shape, broadcast from one number. */
function zeros(shape: Shape, dtype: DType): Tensor {
  return broadcastTo(constant(0, dtype), shape);
}

function gatheredShape(x: Tensor, indices: Tensor, axis: number): Shape {
  return [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
}

const gatherOperation: Operation<AxisAttributes> = {
  name: "gather",
  infer: (inputs, { axis }) => {
    const [x, indices] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    checkIndices("gather", inputs, indices);
    if (x.shape[axis] === 0 && sizeOf(indices.shape) !== 0) {
      throw shapeError("gather", inputs, `axis ${axis} has no elements to take`);
    }
    return [{ shape: gatheredShape(x, indices, axis), dtype: x.dtype }];
  },
  gradient: ({ inputs, attributes: { axis }, gradients }) => {
    const [x, indices] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    return [scatterAdd(zeros(x.shape, x.dtype), indices, onlyGradient(gradients), axis), undefined];
  },
  lower: (context, { inputs, attributes: { axis } }) => [
    context.emit1({
      op: "Gather",
      inputs: inputs.map((input) => context.value(input)),
      attributes: { axis: { int: axis } },
    }),
  ],
};

/**
 * Takes slices of an axis by number: the axis is replaced by the axes of `indices` (int64; negative ones count from the
 * end; outside of the axis the runtime fails).
 * @throws ShapeError
 */
export function gather(x: Tensor, indices: Tensor, axis = 0): Tensor {
  return apply(gatherOperation, [x, indices], { axis: resolveAxis("gather", x, axis) });
}

/** ScatterElements is serial. ScatterND with reduction is not: its CPU kernel loses updates to a race of threads. */
function emitScatter(context: LowerContext, inputs: readonly string[], axis: number): string {
  return context.emit1({
    op: "ScatterElements",
    inputs,
    attributes: { axis: { int: axis }, reduction: { string: "add" } },
  });
}

const scatterAddOperation: Operation<AxisAttributes> = {
  name: "scatterAdd",
  infer: (inputs, { axis }) => {
    const [x, indices, updates] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
    checkIndices("scatterAdd", inputs, indices);
    if (x.dtype === "bool" || updates.dtype !== x.dtype) {
      throw shapeError("scatterAdd", inputs, "wants numbers, and updates of the same dtype");
    }
    const expected = gatheredShape(x, indices, axis);
    if (!sameShape(updates.shape, expected)) {
      throw shapeError("scatterAdd", inputs, `the updates must be ${showShape(expected)}`);
    }
    return [x];
  },
  gradient: ({ inputs, attributes: { axis }, gradients }) => {
    const gradient = onlyGradient(gradients);
    return [gradient, undefined, gather(gradient, inputAt(inputs, 1), axis)];
  },
  lower: (context, node) => {
    const { axis } = node.attributes;
    const [x, indices, updates] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1), inputAt(node.inputs, 2)];
    const count = sizeOf(indices.shape);
    if (count === undefined)
      throw shapeError("scatterAdd", node.inputs, "the indices have two symbolic axes");
    const flat = x.shape.map((dim, at) => (at === axis ? count : dim));
    if (flat.includes(0)) return [context.emit1({ op: "Identity", inputs: [context.value(x)] })];
    // ScatterElements wants one index for every update.
    const column = x.shape.map((_, at) => (at === axis ? count : 1));
    const reshaped = (value: string, shape: Shape): string =>
      context.emit1({
        op: "Reshape",
        inputs: [value, context.shapeValue(shape)],
        attributes: { allowzero: { int: Number(shape.includes(0)) } },
      });
    const expanded = context.emit1({
      op: "Expand",
      inputs: [reshaped(context.value(indices), column), context.shapeValue(flat)],
    });
    return [emitScatter(context, [context.value(x), expanded, reshaped(context.value(updates), flat)], axis)];
  },
};

/**
 * x with slices of an axis added to: slice `indices[i]` of the axis grows by `updates[i]`; equal indices add up. The
 * shape of `updates` is that of `gather(x, indices, axis)`, of which this is the transpose.
 * @throws ShapeError
 */
export function scatterAdd(x: Tensor, indices: Tensor, updates: Tensor, axis = 0): Tensor {
  return apply(scatterAddOperation, [x, indices, updates], { axis: resolveAxis("scatterAdd", x, axis) });
}

/** @throws ShapeError where indices and data do not agree in the axes other than `axis`. */
function checkAlong(operation: string, inputs: readonly Tensor[], axis: number): void {
  const [x, indices] = [inputAt(inputs, 0), inputAt(inputs, 1)];
  checkIndices(operation, inputs, indices);
  const others = (tensor: Tensor): Shape => tensor.shape.filter((_, at) => at !== axis);
  if (indices.rank !== x.rank || !sameShape(others(indices), others(x))) {
    throw shapeError(operation, inputs, `data and indices may differ only in axis ${axis}`);
  }
}

const gatherElementsOperation: Operation<AxisAttributes> = {
  name: "gatherElements",
  infer: (inputs, { axis }) => {
    checkAlong("gatherElements", inputs, axis);
    const [x, indices] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (x.shape[axis] === 0 && sizeOf(indices.shape) !== 0) {
      throw shapeError("gatherElements", inputs, `axis ${axis} has no elements to take`);
    }
    return [{ shape: indices.shape, dtype: x.dtype }];
  },
  gradient: ({ inputs, attributes: { axis }, gradients }) => {
    const [x, indices] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    return [scatterElementsAdd(zeros(x.shape, x.dtype), indices, onlyGradient(gradients), axis), undefined];
  },
  lower: (context, { inputs, attributes: { axis } }) => [
    context.emit1({
      op: "GatherElements",
      inputs: inputs.map((input) => context.value(input)),
      attributes: { axis: { int: axis } },
    }),
  ],
};

/**
 * Takes elements along an axis, each row its own (NumPy's take_along_axis): `indices` (int64) has the rank of x and
 * differs from it only in that axis.
 * @throws ShapeError
 */
export function gatherElements(x: Tensor, indices: Tensor, axis = -1): Tensor {
  return apply(gatherElementsOperation, [x, indices], { axis: resolveAxis("gatherElements", x, axis) });
}

const scatterElementsAddOperation: Operation<AxisAttributes> = {
  name: "scatterElementsAdd",
  infer: (inputs, { axis }) => {
    checkAlong("scatterElementsAdd", inputs, axis);
    const [x, indices, updates] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
    if (x.dtype === "bool" || updates.dtype !== x.dtype || !sameShape(updates.shape, indices.shape)) {
      throw shapeError(
        "scatterElementsAdd",
        inputs,
        "wants updates of the indices' shape and the data's dtype",
      );
    }
    return [x];
  },
  gradient: ({ inputs, attributes: { axis }, gradients }) => {
    const gradient = onlyGradient(gradients);
    return [gradient, undefined, gatherElements(gradient, inputAt(inputs, 1), axis)];
  },
  lower: (context, { inputs, attributes: { axis } }) => [
    emitScatter(
      context,
      inputs.map((input) => context.value(input)),
      axis,
    ),
  ],
};

/**
 * x with elements along an axis added to, each row its own; equal indices add up. The transpose of `gatherElements`:
 * `updates` has the shape of `indices`.
 * @throws ShapeError
 */
export function scatterElementsAdd(x: Tensor, indices: Tensor, updates: Tensor, axis = -1): Tensor {
  return apply(scatterElementsAddOperation, [x, indices, updates], {
    axis: resolveAxis("scatterElementsAdd", x, axis),
  });
}

/** The numbers `start`, `start + step`, … before `end`, as a constant (default: int64). */
export function arange(start: number, end: number, step = 1, dtype: DType = "int64"): Tensor {
  const count = Math.max(0, Math.ceil((end - start) / step));
  const result = filled(dtype, [count], 0);
  for (let i = 0; i < count; i++) {
    const value = start + i * step;
    result.data[i] = result.dtype === "int64" ? BigInt(Math.trunc(value)) : value;
  }
  return constant(result);
}

/**
 * Vectors with a 1 at the index and 0 elsewhere, along a new last axis of size `depth`. An index outside of
 * [0, depth) gives a vector of zeros.
 * @throws ShapeError where the indices are not int64.
 */
export function oneHot(indices: Tensor, depth: number, dtype: DType = "float32"): Tensor {
  checkIndices("oneHot", [indices], indices);
  return cast(equal(reshape(indices, [...indices.shape, 1]), arange(0, depth)), dtype);
}

interface TriangleAttributes extends Attributes {
  readonly upper: boolean;
  readonly diagonal: number;
}

const triangleOperation: Operation<TriangleAttributes> = {
  name: "triangle",
  infer: (inputs) => {
    const x = inputAt(inputs, 0);
    if (x.rank < 2) throw shapeError("triangle", inputs, "needs two axes");
    return [x];
  },
  gradient: ({ attributes, gradients }) => [apply(triangleOperation, [onlyGradient(gradients)], attributes)],
  lower: (context, { inputs, attributes: { upper, diagonal } }) => [
    context.emit1({
      op: "Trilu",
      inputs: [context.value(inputAt(inputs, 0)), context.constant(filled("int64", [], diagonal))],
      attributes: { upper: { int: Number(upper) } },
    }),
  ],
};

/**
 * Matrices (the last two axes) with zeros above a diagonal: 0 is the main one, 1 the one above it. @throws ShapeError
 */
export function lowerTriangular(x: Tensor, diagonal = 0): Tensor {
  return apply(triangleOperation, [x], { upper: false, diagonal });
}

/**
 * Matrices (the last two axes) with zeros below a diagonal: 0 is the main one, 1 the one above it. @throws ShapeError
 */
export function upperTriangular(x: Tensor, diagonal = 0): Tensor {
  return apply(triangleOperation, [x], { upper: true, diagonal });
}

/** A boolean constant, true on and below a diagonal: what a causal model may look at. */
export function lowerTriangularMask(rows: number, columns = rows, diagonal = 0): Tensor {
  const data = new Uint8Array(rows * columns);
  for (let i = 0; i < data.length; i++) {
    data[i] = Number((i % columns) - Math.floor(i / columns) <= diagonal);
  }
  const mask: NdArray<"bool"> = { dtype: "bool", shape: [rows, columns], data };
  return constant(mask);
}

interface TopKAttributes extends AxisAttributes {
  readonly count: number;
  readonly largest: boolean;
}

const topKOperation: Operation<TopKAttributes> = {
  name: "topK",
  infer: (inputs, { axis, count }) => {
    const x = inputAt(inputs, 0);
    if (x.dtype === "bool") throw shapeError("topK", inputs, "wants numbers, not booleans");
    if (!Number.isInteger(count) || count < 0 || count > sizeAt("topK", x, axis)) {
      throw shapeError("topK", inputs, `axis ${axis} does not hold ${count} elements`);
    }
    const shape = x.shape.map((dim, at) => (at === axis ? count : dim));
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "int64" },
    ];
  },
  gradient: ({ inputs, outputs, attributes: { axis }, gradients }) => {
    const x = inputAt(inputs, 0);
    const [gradient] = gradients;
    return [gradient && scatterElementsAdd(zeros(x.shape, x.dtype), outputAt(outputs, 1), gradient, axis)];
  },
  lower: (context, { inputs, outputs, attributes: { axis, count, largest } }) => {
    // The CPU kernel divides by the number of elements.
    if (outputs.some((output) => output.shape.includes(0))) {
      return outputs.map(({ shape, dtype }) =>
        context.emit1({
          op: "Expand",
          inputs: [context.constant(filled(dtype, [], 0)), context.shapeValue(shape)],
        }),
      );
    }
    return context.emit({
      op: "TopK",
      inputs: [context.value(inputAt(inputs, 0)), context.constant(filled("int64", [1], count))],
      attributes: { axis: { int: axis }, largest: { int: Number(largest) } },
      outputs: 2,
    });
  },
};

/**
 * The `count` largest elements along an axis in descending order (or the smallest in ascending order) and where they
 * stand. The gradient flows through the values.
 * @throws ShapeError where the axis holds fewer elements.
 */
export function topK(
  x: Tensor,
  count: number,
  axis = -1,
  order: "largest" | "smallest" = "largest",
): { readonly values: Tensor; readonly indices: Tensor } {
  const attributes = { axis: resolveAxis("topK", x, axis), count, largest: order === "largest" };
  const outputs = applyAll(topKOperation, [x], attributes);
  return { values: outputAt(outputs, 0), indices: outputAt(outputs, 1) };
}
