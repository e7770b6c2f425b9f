import {
  cast,
  int64Vector,
  isFloat,
  lowerReduction,
  multiply,
  reducedShape,
  reduceTo,
  reshape,
  resolveAxes,
  restoreAxes,
  sum,
} from "../core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type LowerContext,
  type Node,
  type Operation,
  onlyGradient,
  outputAt,
  resolveAxis,
  shapeError,
  type Tensor,
  type TensorType,
} from "../graph.ts";
import { filled } from "../leaves.ts";
import { materialize } from "../rules.ts";
import { sizeOf } from "../shape.ts";
import { div, equal, exp, greater, logicalNot, maximum, square, sub } from "./elementwise.ts";

interface AxesAttributes extends Attributes {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

/** Largest finite float32; stands for infinity where an infinite shift would make NaN. */
const LARGEST = 3.4028234663852886e38;

/** How many elements go into one reduced value. @throws ShapeError where that is known only when running. */
function reducedCount(operation: string, x: Tensor, axes: readonly number[]): number {
  const count = sizeOf(axes.map((axis) => outputAt(x.shape, axis)));
  if (typeof count !== "number") {
    throw shapeError(operation, [x], `the sizes of axes [${axes}] must be known while tracing`);
  }
  return count;
}

function reducedType(
  operation: string,
  inputs: readonly Tensor[],
  { axes, keepDims }: AxesAttributes,
  wants: { readonly float?: true; readonly elements?: true },
): TensorType {
  const x = inputAt(inputs, 0);
  if (x.dtype === "bool" || (wants.float && !isFloat(x.dtype))) {
    throw shapeError(operation, inputs, `wants ${wants.float ? "floats" : "numbers"}; cast them first`);
  }
  const empty = axes.find((axis) => x.shape[axis] === 0);
  if (wants.elements && empty !== undefined) {
    throw shapeError(operation, inputs, `axis ${empty} is empty: the ${operation} of nothing is not defined`);
  }
  return { shape: reducedShape(x.shape, axes, keepDims), dtype: x.dtype };
}

/** Reducing nothing but axes of size 1 leaves the elements as they are. */
function withoutEffect([x]: readonly Tensor[], { axes, keepDims }: AxesAttributes): Tensor | undefined {
  return x !== undefined && axes.every((axis) => x.shape[axis] === 1)
    ? reshape(x, reducedShape(x.shape, axes, keepDims))
    : undefined;
}

function reduce(
  operation: Operation<AxesAttributes>,
  x: Tensor,
  axes: number | readonly number[] | undefined,
  keepDims: boolean,
): Tensor {
  const resolved = resolveAxes(operation.name, x, axes);
  return resolved.length === 0 ? x : apply(operation, [x], { axes: resolved, keepDims });
}

const meanOperation: Operation<AxesAttributes> = {
  name: "mean",
  broadcastGradient: true,
  infer: (inputs, attributes) => [reducedType("mean", inputs, attributes, { float: true, elements: true })],
  gradient: ({ inputs, attributes: { axes }, gradients }) => {
    const x = inputAt(inputs, 0);
    const gradient = restoreAxes(onlyGradient(gradients), x.shape, axes);
    return [multiply(gradient, 1 / reducedCount("mean", x, axes))];
  },
  lower: lowerReduction("ReduceMean"),
  simplify: withoutEffect,
};

/**
 * Arithmetic mean over axes (default: all), of floats. Shape: without the axes, or with size 1 where `keepDims`.
 * @throws ShapeError where an axis does not exist or is empty.
 */
export function mean(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  return reduce(meanOperation, x, axes, keepDims);
}

function extremum(name: "max" | "min", onnx: "ReduceMax" | "ReduceMin"): Operation<AxesAttributes> {
  return {
    name,
    broadcastGradient: true,
    infer: (inputs, attributes) => [reducedType(name, inputs, attributes, { elements: true })],
    gradient: ({ inputs, outputs, attributes: { axes }, gradients }) => {
      const x = inputAt(inputs, 0);
      const largest = cast(equal(x, restoreAxes(outputAt(outputs, 0), x.shape, axes)), x.dtype);
      const shared = div(restoreAxes(onlyGradient(gradients), x.shape, axes), sum(largest, axes, true));
      return [multiply(largest, shared)];
    },
    lower: lowerReduction(onnx),
    simplify: withoutEffect,
  };
}

const maxOperation = extremum("max", "ReduceMax");
const minOperation = extremum("min", "ReduceMin");

/**
 * Largest element over axes (default: all). The gradient is shared equally among equal largest elements.
 * @throws ShapeError where an axis does not exist or is empty.
 */
export function max(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  return reduce(maxOperation, x, axes, keepDims);
}

/**
 * Smallest element over axes (default: all). The gradient is shared equally among equal smallest elements.
 * @throws ShapeError where an axis does not exist or is empty.
 */
export function min(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  return reduce(minOperation, x, axes, keepDims);
}

/** log Σ eˣ as m + log Σ e^(x − m), where m is the maximum brought into the finite range. */
function lowerShifted(context: LowerContext, node: Node<AxesAttributes>): string {
  const x = inputAt(node.inputs, 0);
  const { axes, keepDims } = node.attributes;
  const emit = (op: string, inputs: readonly string[], keep?: boolean): string =>
    context.emit1({
      op,
      inputs,
      ...(keep !== undefined && { attributes: { keepdims: { int: Number(keep) } } }),
    });
  const value = context.value(x);
  const list = context.constant(int64Vector(axes));
  const bound = (limit: number): string => context.constant(filled(x.dtype, [], limit));
  const shift = emit("Clip", [emit("ReduceMax", [value, list], true), bound(-LARGEST), bound(LARGEST)]);
  const total = emit("ReduceSum", [emit("Exp", [emit("Sub", [value, shift])]), list], keepDims);
  return emit("Add", [emit("Log", [total]), keepDims ? shift : emit("Squeeze", [shift, list])]);
}

const logSumExpOperation: Operation<AxesAttributes> = {
  name: "logSumExp",
  broadcastGradient: true,
  infer: (inputs, attributes) => [reducedType("logSumExp", inputs, attributes, { float: true })],
  gradient: ({ inputs, outputs, attributes: { axes }, gradients }) => {
    const x = inputAt(inputs, 0);
    // Where every x is −∞ the weights are e^(−∞ + LARGEST) = 0 and no NaN.
    const y = maximum(restoreAxes(outputAt(outputs, 0), x.shape, axes), -LARGEST);
    return [multiply(restoreAxes(onlyGradient(gradients), x.shape, axes), exp(sub(x, y)))];
  },
  // The CPU kernel of ReduceLogSumExp shifts by the maximum; other providers are not known to.
  lower: (context, node) =>
    context.target.contrib ? lowerReduction("ReduceLogSumExp")(context, node) : [lowerShifted(context, node)],
  simplify: withoutEffect,
};

/**
 * log Σ eˣ over axes (default: all), without overflow; −∞ over an empty axis. @throws ShapeError
 */
export function logSumExp(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  return reduce(logSumExpOperation, x, axes, keepDims);
}

/**
 * Mean squared deviation from the mean over axes (default: all), divided by (count − `correction`): 0, the
 * default, gives the population's variance, 1 the unbiased estimate from a sample.
 * @throws ShapeError
 */
export function variance(
  x: Tensor,
  axes?: number | readonly number[],
  keepDims = false,
  correction = 0,
): Tensor {
  const deviations = square(sub(x, mean(x, axes, true)));
  if (correction === 0) return mean(deviations, axes, keepDims);
  const count = reducedCount("variance", x, resolveAxes("variance", x, axes));
  if (count <= correction) {
    throw shapeError("variance", [x], `${count} elements are too few for correction ${correction}`);
  }
  return multiply(sum(deviations, axes, keepDims), 1 / (count - correction));
}

/** Options of a running sum. */
export interface CumSumOptions {
  /** Leaves the element itself out: the first sum is 0. */
  readonly exclusive?: boolean;
  /** Runs from the last element to the first. */
  readonly reverse?: boolean;
}

interface CumSumAttributes extends Attributes {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

const cumSumOperation: Operation<CumSumAttributes> = {
  name: "cumSum",
  broadcastGradient: true,
  infer: (inputs) => {
    const x = inputAt(inputs, 0);
    if (x.dtype === "bool") throw shapeError("cumSum", inputs, "cannot sum booleans; cast them first");
    return [x];
  },
  gradient: ({ outputs, attributes: { axis, exclusive, reverse }, gradients }) => [
    cumSum(materialize(onlyGradient(gradients), outputAt(outputs, 0).shape, [axis]), axis, {
      exclusive,
      reverse: !reverse,
    }),
  ],
  lower: (context, { inputs, attributes: { axis, exclusive, reverse } }) => [
    context.emit1({
      op: "CumSum",
      inputs: [context.value(inputAt(inputs, 0)), context.constant(filled("int64", [], axis))],
      attributes: { exclusive: { int: Number(exclusive) }, reverse: { int: Number(reverse) } },
    }),
  ],
};

/** Running sum along an axis. @throws ShapeError */
export function cumSum(x: Tensor, axis: number, options: CumSumOptions = {}): Tensor {
  return apply(cumSumOperation, [x], {
    axis: resolveAxis("cumSum", x, axis),
    exclusive: options.exclusive ?? false,
    reverse: options.reverse ?? false,
  });
}

interface IndexAttributes extends Attributes {
  readonly axis: number;
  readonly keepDims: boolean;
}

function extremeIndex(name: "argMax" | "argMin", onnx: "ArgMax" | "ArgMin"): Operation<IndexAttributes> {
  return {
    name,
    infer: (inputs, { axis, keepDims }) => {
      const attributes = { axes: [axis], keepDims };
      return [{ ...reducedType(name, inputs, attributes, { elements: true }), dtype: "int64" }];
    },
    gradient: () => [undefined],
    lower: (context, { inputs, attributes: { axis, keepDims } }) => [
      context.emit1({
        op: onnx,
        inputs: [context.value(inputAt(inputs, 0))],
        attributes: { axis: { int: axis }, keepdims: { int: Number(keepDims) } },
      }),
    ],
  };
}

const argMaxOperation = extremeIndex("argMax", "ArgMax");
const argMinOperation = extremeIndex("argMin", "ArgMin");

/** Where along an axis the largest element stands (the first of equal ones), as int64. @throws ShapeError */
export function argMax(x: Tensor, axis: number, keepDims = false): Tensor {
  return apply(argMaxOperation, [x], { axis: resolveAxis("argMax", x, axis), keepDims });
}

/** Where along an axis the smallest element stands (the first of equal ones), as int64. @throws ShapeError */
export function argMin(x: Tensor, axis: number, keepDims = false): Tensor {
  return apply(argMinOperation, [x], { axis: resolveAxis("argMin", x, axis), keepDims });
}

/** Whether any of the booleans over axes (default: all) is true; false over an empty axis. @throws ShapeError */
export function any(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  if (x.dtype !== "bool") throw shapeError("any", [x], "wants booleans");
  return greater(sum(cast(x, "float32"), axes, keepDims), 0);
}

/** Whether all booleans over axes (default: all) are true; true over an empty axis. @throws ShapeError */
export function all(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
  if (x.dtype !== "bool") throw shapeError("all", [x], "wants booleans");
  return logicalNot(any(logicalNot(x), axes, keepDims));
}

interface SoftmaxAttributes extends Attributes {
  readonly axis: number;
}

function normalizedExponential(
  name: "softmax" | "logSoftmax",
  onnx: "Softmax" | "LogSoftmax",
  rule: (y: Tensor, gradient: Tensor, sumAlong: (x: Tensor) => Tensor) => Tensor,
): Operation<SoftmaxAttributes> {
  return {
    name,
    broadcastGradient: true,
    infer: (inputs) => {
      const x = inputAt(inputs, 0);
      if (!isFloat(x.dtype)) throw shapeError(name, inputs, "wants floats; cast them first");
      return [x];
    },
    gradient: ({ outputs, attributes: { axis }, gradients }) => {
      const y = outputAt(outputs, 0);
      const summed = reducedShape(y.shape, [axis], true);
      return [rule(y, onlyGradient(gradients), (x) => reduceTo(x, y.shape, summed))];
    },
    lower: (context, { inputs, attributes: { axis } }) => [
      context.emit1({
        op: onnx,
        inputs: [context.value(inputAt(inputs, 0))],
        attributes: { axis: { int: axis } },
      }),
    ],
  };
}

const softmaxOperation = normalizedExponential("softmax", "Softmax", (y, gradient, sumAlong) =>
  multiply(y, sub(gradient, sumAlong(multiply(gradient, y)))),
);

const logSoftmaxOperation = normalizedExponential("logSoftmax", "LogSoftmax", (y, gradient, sumAlong) =>
  sub(gradient, multiply(exp(y), sumAlong(gradient))),
);

/** eˣ / Σ eˣ along an axis (default: the last), without overflow. @throws ShapeError */
export function softmax(x: Tensor, axis = -1): Tensor {
  return apply(softmaxOperation, [x], { axis: resolveAxis("softmax", x, axis) });
}

/** x − log Σ eˣ along an axis (default: the last), without overflow. @throws ShapeError */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return apply(logSoftmaxOperation, [x], { axis: resolveAxis("logSoftmax", x, axis) });
}
