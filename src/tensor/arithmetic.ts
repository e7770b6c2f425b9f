import { greater, greaterEqual, less, lessEqual } from "./comparison.ts";
import { binary, cast, isConstantOf, lowerTo, multiply, type TensorLike } from "./core.ts";
import { binaryOperation, unaryOperation } from "./elementwise-operation.ts";
import type { Tensor } from "./graph.ts";
import { broadcastShapes, sameShape } from "./shape.ts";

const negOperation = unaryOperation({
  name: "neg",
  lower: lowerTo("Neg"),
  compute: (x) => -x,
  gradient: (_x, _y, g) => neg(g),
});

/** −x. */
export function neg(x: Tensor): Tensor {
  return negOperation(x);
}

const subOperation = binaryOperation({
  name: "sub",
  onnx: "Sub",
  compute: (a, b) => a - b,
  gradient: (_a, _b, _y, g) => [() => g, () => neg(g)],
  simplify: (a, b) =>
    isConstantOf(b, 0) && sameShape(broadcastShapes(a.shape, b.shape) ?? [], a.shape) ? a : undefined,
});

/** a − b with broadcasting. @throws ShapeError */
export function sub(a: TensorLike, b: TensorLike): Tensor {
  return binary(subOperation, a, b);
}

const divOperation = binaryOperation({
  name: "div",
  onnx: "Div",
  compute: (a, b) => a / b,
  gradient: (_a, b, y, g) => [() => div(g, b), () => neg(div(multiply(g, y), b))],
  simplify: (a, b) =>
    isConstantOf(b, 1) && sameShape(broadcastShapes(a.shape, b.shape) ?? [], a.shape) ? a : undefined,
});

/** a / b with broadcasting. @throws ShapeError */
export function div(a: TensorLike, b: TensorLike): Tensor {
  return binary(divOperation, a, b);
}

const maximumOperation = binaryOperation({
  name: "maximum",
  onnx: "Max",
  compute: Math.max,
  gradient: (a, b, _y, g) => [
    () => multiply(g, cast(greaterEqual(a, b), g.dtype)),
    () => multiply(g, cast(less(a, b), g.dtype)),
  ],
});

/** The larger of a and b; where they are equal the gradient goes to a. @throws ShapeError */
export function maximum(a: TensorLike, b: TensorLike): Tensor {
  return binary(maximumOperation, a, b);
}

const minimumOperation = binaryOperation({
  name: "minimum",
  onnx: "Min",
  compute: Math.min,
  gradient: (a, b, _y, g) => [
    () => multiply(g, cast(lessEqual(a, b), g.dtype)),
    () => multiply(g, cast(greater(a, b), g.dtype)),
  ],
});

/** The smaller of a and b; where they are equal the gradient goes to a. @throws ShapeError */
export function minimum(a: TensorLike, b: TensorLike): Tensor {
  return binary(minimumOperation, a, b);
}

/** x limited to [low, high]; the gradient is 0 outside. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  return minimum(maximum(x, low), high);
}
