import { div, neg, sub } from "./arithmetic.ts";
import { equal, where } from "./comparison.ts";
import { add, binary, isConstantOf, lowerTo, multiply, type TensorLike } from "./core.ts";
import { binaryOperation, lowerBy, unaryOperation } from "./elementwise-operation.ts";
import type { Tensor } from "./graph.ts";
import { broadcastShapes, sameShape } from "./shape.ts";

/** eˣ. */
export const exp = unaryOperation({
  name: "exp",
  lower: lowerTo("Exp"),
  compute: Math.exp,
  gradient: (_x, y, g) => multiply(g, y),
});

/** Natural logarithm; −∞ at 0, NaN below. */
export const log = unaryOperation({
  name: "log",
  lower: lowerTo("Log"),
  compute: Math.log,
  gradient: (x, _y, g) => div(g, x),
});

/** log(1 + x), exact to rounding also near 0: with u = 1 + x it is log(u) · x / (u − 1) (Kahan). */
export const log1p = unaryOperation({
  name: "log1p",
  lower: lowerBy((emit, [x = ""], scalar) => {
    const u = emit("Add", x, scalar(1));
    const logU = emit("Log", u);
    const ratio = emit("Div", x, emit("Sub", u, scalar(1)));
    // u = 1: x itself. u infinite: log(u), since x / (u − 1) is NaN there.
    const regular = emit("Where", emit("IsInf", u), logU, emit("Mul", logU, ratio));
    return emit("Where", emit("Equal", u, scalar(1)), x, regular);
  }),
  compute: Math.log1p,
  gradient: (x, _y, g) => div(g, add(x, 1)),
});

/** eˣ − 1, exact to rounding also near 0: with u = eˣ it is (u − 1) · x / log(u) (Kahan). */
export const expm1 = unaryOperation({
  name: "expm1",
  lower: lowerBy((emit, [x = ""], scalar) => {
    const u = emit("Exp", x);
    const minus = emit("Sub", u, scalar(1));
    const regular = emit("Div", emit("Mul", minus, x), emit("Log", u));
    // u = 1: x itself. u − 1 = −1 or u infinite: u − 1, where log(u) is of no use.
    const saturated = emit("Or", emit("Equal", minus, scalar(-1)), emit("IsInf", u));
    const outer = emit("Where", saturated, minus, regular);
    return emit("Where", emit("Equal", u, scalar(1)), x, outer);
  }),
  compute: Math.expm1,
  gradient: (_x, y, g) => multiply(g, add(y, 1)),
});

/** √x. */
export const sqrt = unaryOperation({
  name: "sqrt",
  lower: lowerTo("Sqrt"),
  compute: Math.sqrt,
  gradient: (_x, y, g) => div(multiply(g, 0.5), y),
});

/** 1 / x. */
export const reciprocal = unaryOperation({
  name: "reciprocal",
  lower: lowerTo("Reciprocal"),
  compute: (x) => 1 / x,
  gradient: (_x, y, g) => neg(multiply(g, multiply(y, y))),
});

/** x². */
export function square(x: Tensor): Tensor {
  return multiply(x, x);
}

/** |x|; the derivative at 0 is 0. */
export const abs = unaryOperation({
  name: "abs",
  lower: lowerTo("Abs"),
  compute: Math.abs,
  gradient: (x, _y, g) => multiply(g, sign(x)),
});

/** −1, 0 or 1; its derivative is 0. */
export const sign = unaryOperation({
  name: "sign",
  lower: lowerTo("Sign"),
  compute: Math.sign,
  gradient: () => undefined,
});

/** Largest integer not above x; its derivative is 0. */
export const floor = unaryOperation({
  name: "floor",
  lower: lowerTo("Floor"),
  compute: Math.floor,
  gradient: () => undefined,
});

/** Smallest integer not below x; its derivative is 0. */
export const ceil = unaryOperation({
  name: "ceil",
  lower: lowerTo("Ceil"),
  compute: Math.ceil,
  gradient: () => undefined,
});

/** Nearest integer, halves to even; its derivative is 0. */
export const round = unaryOperation({
  name: "round",
  lower: lowerTo("Round"),
  compute: (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
  gradient: () => undefined,
});

/** sin x, in radians. */
export const sin = unaryOperation({
  name: "sin",
  lower: lowerTo("Sin"),
  compute: Math.sin,
  gradient: (x, _y, g) => multiply(g, cos(x)),
});

const cosOperation = unaryOperation({
  name: "cos",
  lower: lowerTo("Cos"),
  compute: Math.cos,
  gradient: (x, _y, g) => neg(multiply(g, sin(x))),
});

/** cos x, in radians. */
export function cos(x: Tensor): Tensor {
  return cosOperation(x);
}

/** Arc tangent of x, in radians: −π/2 … π/2. */
export const atan = unaryOperation({
  name: "atan",
  lower: lowerTo("Atan"),
  compute: Math.atan,
  gradient: (x, _y, g) => div(g, add(square(x), 1)),
});

const powOperation = binaryOperation({
  name: "pow",
  onnx: "Pow",
  compute: (a, b) => a ** b,
  gradient: (a, b, y, g) => [
    () => multiply(g, multiply(b, pow(a, sub(b, 1)))),
    // a = 0 with b > 0: the limit of y · log a is 0.
    () => multiply(g, where(equal(a, 0), 0, multiply(y, log(where(equal(a, 0), 1, a))))),
  ],
  simplify: (a, b) => {
    if (isConstantOf(b, 1))
      return sameShape(broadcastShapes(a.shape, b.shape) ?? [], a.shape) ? a : undefined;
    return isConstantOf(b, 2) && b.rank === 0 ? square(a) : undefined;
  },
});

/** aᵇ with broadcasting; NaN where a is negative and b is no integer. @throws ShapeError */
export function pow(a: TensorLike, b: TensorLike): Tensor {
  return binary(powOperation, a, b);
}
