import type { DType, NdArray } from "./array.ts";
import {
  addToConvolution,
  canBlock,
  lowerPerChannel,
  lowerPositionReduction,
  prefersBlocked,
} from "./blocked.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type LowerContext,
  type Lowered,
  type Node,
  type OnnxNode,
  type Operation,
  onlyGradient,
  outputAt,
  resolveAxis,
  shapeError,
  Tensor,
  type TensorType,
} from "./graph.ts";
import { constant, constantValue, filled, full, numberAt } from "./leaves.ts";
import {
  broadcastShapes,
  type Dim,
  divideDims,
  isConcrete,
  type Shape,
  sameShape,
  showShape,
  sizeOf,
  strides,
} from "./shape.ts";
import { steadyReduction } from "./steady.ts";

// The closed core of differentiation: reshape, broadcast, sum, cast, add and multiply. The gradient of each is made of
// the others, so they stand in one file; every other operation builds on them.

/** A tensor, or a number that takes the dtype of its partner. */
export type TensorLike = Tensor | number;

/** Largest constant that folding may make. */
const FOLD_LIMIT = 1 << 16;

/** Turns a number into a scalar constant of the partner's dtype. */
export function asTensor(value: TensorLike, dtype: DType = "float32"): Tensor {
  return value instanceof Tensor ? value : constant(value, dtype);
}

/** True for a constant whose every element is the number. */
export function isConstantOf(tensor: Tensor, number: number): boolean {
  const value = constantValue(tensor);
  return (
    value !== undefined &&
    value.data.length > 0 &&
    value.data.every((item: number | bigint) => Number(item) === number)
  );
}

/** Evaluates an element-wise function on constants, with broadcasting, in float64. */
export function evaluateElementwise(
  inputs: readonly NdArray[],
  type: TensorType,
  compute: (...values: number[]) => number,
): NdArray | undefined {
  if (!isConcrete(type.shape)) return undefined;
  const size = sizeOf(type.shape);
  if (typeof size !== "number" || size > FOLD_LIMIT) return undefined;
  const result = filled(type.dtype, type.shape, 0);
  const shape = type.shape;
  const outStrides = strides(shape);
  const inStrides = inputs.map((array) => {
    const own = strides(array.shape);
    return shape.map((_, axis) => {
      const at = axis - (shape.length - array.shape.length);
      return at < 0 || array.shape[at] === 1 ? 0 : (own[at] ?? 0);
    });
  });
  for (let i = 0; i < size; i++) {
    const values = inputs.map((array, k) => {
      let offset = 0;
      for (let axis = 0; axis < shape.length; axis++) {
        const position = Math.floor(i / (outStrides[axis] ?? 1)) % (shape[axis] ?? 1);
        offset += position * (inStrides[k]?.[axis] ?? 0);
      }
      return numberAt(array.data, offset);
    });
    const value = compute(...values);
    result.data[i] = result.dtype === "int64" ? BigInt(Math.trunc(value)) : value;
  }
  return result;
}

/** The common type of element-wise inputs. @throws ShapeError naming operation and shapes. */
export function broadcastType(operation: string, inputs: readonly Tensor[]): TensorType {
  const dtype = inputAt(inputs, 0).dtype;
  if (inputs.some((input) => input.dtype !== dtype)) {
    throw shapeError(operation, inputs, "dtypes differ; cast one of them");
  }
  const shape = broadcastShapes(...inputs.map((input) => input.shape));
  if (shape === undefined) throw shapeError(operation, inputs, "shapes do not broadcast together");
  return { shape, dtype };
}

/**
 * Lowers an element-wise operation. Where maps that it reads exist in blocked layout and the other inputs are scalars,
 * the operation is done on the blocked values and no reordering is needed.
 */
export function lowerElementwise(
  context: LowerContext,
  node: Node,
  build: (inputs: readonly [string, ...string[]]) => string,
): Lowered {
  const output = outputAt(node.outputs, 0);
  const full = (input: Tensor): boolean => sameShape(input.shape, output.shape);
  if (
    canBlock(context, output) &&
    node.inputs.every((input) => full(input) || sizeOf(input.shape) === 1) &&
    prefersBlocked(context, node.inputs.filter(full))
  ) {
    const names = node.inputs.map((input) =>
      full(input) ? context.blockedValue(input) : context.value(input),
    );
    return { blocked: build([outputAt(names, 0), ...names.slice(1)]) };
  }
  const shape = scalarShape(output.shape);
  const names = node.inputs.map((input) => {
    const value = context.value(input);
    return sizeOf(input.shape) === 1 && input.shape.length < shape.length
      ? context.emit1({ op: "Reshape", inputs: [value, context.constant(int64Vector(shape))] })
      : value;
  });
  return build([outputAt(names, 0), ...names.slice(1)]);
}

/**
 * The shape for a number that meets a tensor of another shape. ONNX Runtime takes hundreds of times as long where the tensor's last
 * axis has length 1 and the number has fewer than two axes.
 */
export function scalarShape(shape: Shape): readonly number[] {
  return shape.length >= 2 && shape.at(-1) === 1 ? [1, 1] : [];
}

/** Lowering to one ONNX operator on the inputs in order. */
export function lowerTo(
  op: string,
  attributes: NonNullable<OnnxNode["attributes"]> = {},
): (context: LowerContext, node: Node) => readonly Lowered[] {
  return (context, node) => [
    lowerElementwise(context, node, (inputs) => context.emit1({ op, inputs, attributes })),
  ];
}

interface ReshapeAttributes extends Attributes {
  readonly shape: Shape;
}

const reshapeOperation: Operation<ReshapeAttributes> = {
  name: "reshape",
  infer: (inputs, { shape }) => {
    const x = inputAt(inputs, 0);
    const from = sizeOf(x.shape);
    const to = sizeOf(shape);
    if (from === undefined || from !== to)
      throw shapeError("reshape", [x], `cannot become ${showShape(shape)}`);
    return [{ shape, dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients }) => [reshape(onlyGradient(gradients), inputAt(inputs, 0).shape)],
  lower: (context, node) => {
    const symbolic = node.attributes.shape.filter((dim) => typeof dim !== "number").length;
    const shape =
      symbolic === 1 && !node.attributes.shape.includes(0)
        ? context.constant(
            int64Vector(node.attributes.shape.map((dim) => (typeof dim === "number" ? dim : -1))),
          )
        : context.shapeValue(node.attributes.shape);
    return [
      context.emit1({
        op: "Reshape",
        inputs: [context.value(inputAt(node.inputs, 0)), shape],
        attributes: { allowzero: { int: node.attributes.shape.includes(0) ? 1 : 0 } },
      }),
    ];
  },
  evaluate: ([x], _attributes, type) =>
    x !== undefined && isConcrete(type.shape) ? { ...x, shape: type.shape } : undefined,
  simplify: ([x], { shape }) => {
    if (x === undefined) return undefined;
    if (sameShape(x.shape, shape)) return x;
    return x.node.operation === reshapeOperation ? reshape(inputAt(x.node.inputs, 0), shape) : undefined;
  },
};

/** An int64 vector for ONNX operators that take shapes and axes as inputs. */
export function int64Vector(values: readonly number[]): NdArray<"int64"> {
  return {
    dtype: "int64",
    shape: [values.length],
    data: BigInt64Array.from(values, (value) => BigInt(value)),
  };
}

/**
 * The same elements in row-major order under another shape. One dimension may be −1: it takes what is left.
 * @throws ShapeError where the number of elements differs.
 */
export function reshape(x: Tensor, shape: readonly (Dim | -1)[]): Tensor {
  const open = shape.indexOf(-1);
  let target: Shape = shape;
  if (open >= 0) {
    const from = sizeOf(x.shape);
    const known = sizeOf(shape.filter((_, axis) => axis !== open));
    const rest = from === undefined || known === undefined ? undefined : divideDims(from, known);
    if (rest === undefined) throw shapeError("reshape", [x], `cannot become ${showShape(shape)}`);
    target = shape.map((dim, axis) => (axis === open ? rest : dim));
  }
  return sameShape(x.shape, target) ? x : apply(reshapeOperation, [x], { shape: target });
}

const broadcastOperation: Operation<ReshapeAttributes> = {
  name: "broadcastTo",
  broadcastGradient: true,
  infer: (inputs, { shape }) => {
    const x = inputAt(inputs, 0);
    const common = broadcastShapes(x.shape, shape);
    if (common === undefined || !sameShape(common, shape)) {
      throw shapeError("broadcastTo", [x], `does not broadcast to ${showShape(shape)}`);
    }
    return [{ shape, dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients, attributes }) => [
    reduceTo(onlyGradient(gradients), attributes.shape, inputAt(inputs, 0).shape),
  ],
  lower: (context, node) => {
    const x = inputAt(node.inputs, 0);
    const { shape } = node.attributes;
    // ONNX Runtime's optimizer takes an Expand from size 1 to size 0 for one without effect, unless the rank grows.
    const value = shape.includes(0) ? context.constant(filled(x.dtype, [], 0)) : context.value(x);
    return [context.emit1({ op: "Expand", inputs: [value, context.shapeValue(shape)] })];
  },
  evaluate: (inputs, _attributes, type) => evaluateElementwise(inputs, type, (value) => value),
};

/** Repeats axes of size 1 (and adds leading axes) until the tensor has the shape. @throws ShapeError */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(broadcastOperation, [x], { shape });
}

interface AxesAttributes extends Attributes {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

/** Axes counted from the front, sorted; all of them where none is given. @throws ShapeError */
export function resolveAxes(
  operation: string,
  x: Tensor,
  axes: number | readonly number[] | undefined,
): readonly number[] {
  if (axes === undefined) return x.shape.map((_, axis) => axis);
  const list = (typeof axes === "number" ? [axes] : axes).map((axis) => resolveAxis(operation, x, axis));
  if (new Set(list).size !== list.length)
    throw shapeError(operation, [x], `axes [${axes}] name one axis twice`);
  return list.sort((a, b) => a - b);
}

/** The shape after reducing axes, with or without axes of size 1 instead of them. */
export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return keepDims
    ? shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
    : shape.filter((_, axis) => !axes.includes(axis));
}

/** Reduction by one ONNX operator that takes its axes as an input. */
export function lowerReduction(
  op: string,
): (context: LowerContext, node: Node<AxesAttributes>) => readonly Lowered[] {
  return (context, { inputs, attributes: { axes, keepDims } }) => {
    const x = inputAt(inputs, 0);
    const blocked = lowerPositionReduction(context, op, x, axes, keepDims);
    if (blocked !== undefined) return [blocked];
    const name = context.value(x);
    return [
      steadyReduction(context, op, x, name, axes, keepDims) ??
        context.emit1({
          op,
          inputs: [name, context.constant(int64Vector(axes))],
          attributes: { keepdims: { int: keepDims ? 1 : 0 } },
        }),
    ];
  };
}

/** Puts axes of size 1 where a reduction removed them. */
export function restoreAxes(gradient: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return reshape(gradient, reducedShape(gradientShape(gradient, shape, axes), axes, true));
}

// The gradient of a reduction may itself have axes of size 1 that stand for repetition.
function gradientShape(gradient: Tensor, shape: Shape, axes: readonly number[]): Shape {
  if (gradient.rank === shape.length) return gradient.shape;
  let position = 0;
  return shape.map((_, axis) => (axes.includes(axis) ? 1 : outputAt(gradient.shape, position++)));
}

const sumOperation: Operation<AxesAttributes> = {
  name: "sum",
  broadcastGradient: true,
  infer: (inputs, { axes, keepDims }) => {
    const x = inputAt(inputs, 0);
    if (x.dtype === "bool") throw shapeError("sum", inputs, "cannot sum booleans; cast them first");
    return [{ shape: reducedShape(x.shape, axes, keepDims), dtype: x.dtype }];
  },
  gradient: ({ inputs, gradients, attributes }) => [
    restoreAxes(onlyGradient(gradients), inputAt(inputs, 0).shape, attributes.axes),
  ],
  lower: lowerReduction("ReduceSum"),
  simplify: ([x], { axes, keepDims }) =>
    x !== undefined && axes.every((axis) => x.shape[axis] === 1)
      ? reshape(x, reducedShape(x.shape, axes, keepDims))
      : undefined,
};

/** Sum over axes (default: all). Shape: without the axes, or with size 1 where `keepDims`. @throws ShapeError */
export function sum(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  const resolved = resolveAxes("sum", x, axes);
  return resolved.length === 0 ? x : apply(sumOperation, [x], { axes: resolved, keepDims });
}

/** Pads a shape with leading ones to a rank. */
function withRank(x: Tensor, rank: number): Tensor {
  return x.rank >= rank ? x : reshape(x, [...new Array<1>(rank - x.rank).fill(1), ...x.shape]);
}

/**
 * Carries the gradient of a broadcast result back to an operand: sums over the axes along which the operand was
 * repeated. Axes of size 1 in the gradient stand for repetition; summing over such an axis is a multiplication.
 */
export function reduceTo(gradient: Tensor, from: Shape, to: Shape): Tensor {
  const lead = from.length - to.length;
  let result = withRank(gradient, from.length);
  const summed: number[] = [];
  let factor = 1;
  from.forEach((dim, axis) => {
    const target = axis < lead ? 1 : (to[axis - lead] ?? 1);
    if (target !== 1 || dim === 1) return;
    if (result.shape[axis] !== 1) summed.push(axis);
    else if (typeof dim === "number") factor *= dim;
    else {
      result = broadcastTo(
        result,
        result.shape.map((own, i) => (i === axis ? dim : own)),
      );
      summed.push(axis);
    }
  });
  if (summed.length > 0) result = sum(result, summed, true);
  if (factor !== 1) result = multiply(result, factor);
  return lead > 0 ? reshape(result, result.shape.slice(lead)) : result;
}

/** Constant folding of an operation on two operands. */
export function fold(compute: (a: number, b: number) => number): NonNullable<Operation["evaluate"]> {
  return (inputs, _attributes, type) => evaluateElementwise(inputs, type, (a = 0, b = 0) => compute(a, b));
}

/** An operand that already has the result's shape; otherwise it would have to be broadcast, which gains nothing. */
function ifShape(x: Tensor, like: readonly Tensor[]): Tensor | undefined {
  const common = broadcastShapes(...like.map((tensor) => tensor.shape));
  return common !== undefined && sameShape(common, x.shape) ? x : undefined;
}

const addOperation: Operation = {
  name: "add",
  broadcastGradient: true,
  infer: (inputs) => [broadcastType("add", inputs)],
  gradient: ({ inputs, outputs, gradients }) => {
    const g = onlyGradient(gradients);
    return inputs.map((input) => reduceTo(g, outputAt(outputs, 0).shape, input.shape));
  },
  lower: (context, node) => {
    const [a, b] = [inputAt(node.inputs, 0), inputAt(node.inputs, 1)];
    // Gradients of a weight that several convolutions share.
    if (sameShape(a.shape, b.shape) && context.onlyKernel(a) && context.onlyKernel(b)) {
      const inputs = [a, b].map((weight) => {
        const flat = context.constant(int64Vector([-1]));
        return context.emit1({ op: "Reshape", inputs: [context.kernelValue(weight), flat] });
      });
      return [{ kernel: context.emit1({ op: "Add", inputs }) }];
    }
    if (a !== b && sameShape(a.shape, b.shape) && prefersBlocked(context, node.inputs)) {
      const sum = addToConvolution(context, a, b);
      if (sum !== undefined) return [{ blocked: sum }];
    }
    const lowered = lowerPerChannel(context, "Add", [a, b]);
    return lowered === undefined ? lowerTo("Add")(context, node) : [lowered];
  },
  evaluate: fold((a, b) => a + b),
  simplify: (inputs) => {
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (isConstantOf(a, 0)) return ifShape(b, inputs);
    if (isConstantOf(b, 0)) return ifShape(a, inputs);
    return undefined;
  },
};

/** a + b with broadcasting. @throws ShapeError */
export function add(a: TensorLike, b: TensorLike): Tensor {
  return binary(addOperation, a, b);
}

const multiplyOperation: Operation = {
  name: "mul",
  broadcastGradient: true,
  infer: (inputs) => [broadcastType("mul", inputs)],
  gradient: ({ inputs, outputs, gradients, needed }) => {
    const g = onlyGradient(gradients);
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    const shape = outputAt(outputs, 0).shape;
    return [
      needed[0] ? reduceTo(multiply(g, b), shape, a.shape) : undefined,
      needed[1] ? reduceTo(multiply(g, a), shape, b.shape) : undefined,
    ];
  },
  lower: (context, node) => {
    const lowered = lowerPerChannel(context, "Mul", [inputAt(node.inputs, 0), inputAt(node.inputs, 1)]);
    return lowered === undefined ? lowerTo("Mul")(context, node) : [lowered];
  },
  evaluate: fold((a, b) => a * b),
  simplify: (inputs) => {
    const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
    if (isConstantOf(a, 1)) return ifShape(b, inputs);
    if (isConstantOf(b, 1)) return ifShape(a, inputs);
    return undefined;
  },
};

/** a · b, element by element, with broadcasting. @throws ShapeError */
export function multiply(a: TensorLike, b: TensorLike): Tensor {
  return binary(multiplyOperation, a, b);
}

/** Applies a two-operand operation; a number takes the dtype of the other operand. */
export function binary(operation: Operation, a: TensorLike, b: TensorLike): Tensor {
  const dtype = a instanceof Tensor ? a.dtype : b instanceof Tensor ? b.dtype : "float32";
  return apply(operation, [asTensor(a, dtype), asTensor(b, dtype)], {});
}

interface CastAttributes extends Attributes {
  readonly dtype: DType;
}

/** ONNX's numbers for element types. */
export const ONNX_DTYPE: Readonly<Record<DType, number>> = { float32: 1, int64: 7, bool: 9, float64: 11 };

/** True for the dtypes that carry gradients. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64";
}

const castOperation: Operation<CastAttributes> = {
  name: "cast",
  broadcastGradient: true,
  infer: (inputs, { dtype }) => [{ shape: inputAt(inputs, 0).shape, dtype }],
  gradient: ({ inputs, gradients, attributes }) => {
    const x = inputAt(inputs, 0);
    const g = gradients[0];
    return [g !== undefined && isFloat(x.dtype) && isFloat(attributes.dtype) ? cast(g, x.dtype) : undefined];
  },
  lower: (context, node) => [
    lowerElementwise(context, node, (inputs) =>
      context.emit1({ op: "Cast", inputs, attributes: { to: { int: ONNX_DTYPE[node.attributes.dtype] } } }),
    ),
  ],
  evaluate: (inputs, { dtype }, type) =>
    evaluateElementwise(inputs, type, (value) => (dtype === "bool" ? Number(value !== 0) : value)),
};

/** The same values in another dtype: floats are truncated towards zero for int64; bool is "not zero". */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : apply(castOperation, [x], { dtype });
}

/** Zeros of a tensor's shape (which may be symbolic). */
export function zerosLike(x: Tensor): Tensor {
  return isConcrete(x.shape) ? full(x.shape, 0, x.dtype) : broadcastTo(constant(0, x.dtype), x.shape);
}
