import {
  add,
  asTensor,
  binary,
  broadcastType,
  cast,
  evaluateElementwise,
  isConstantOf,
  isFloat,
  lowerElementwise,
  lowerTo,
  multiply,
  reduceTo,
  type TensorLike,
} from "./core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type LowerContext,
  type Lowered,
  type Node,
  type Operation,
  outputAt,
  shapeError,
  type Tensor,
} from "./graph.ts";
import { constant, filled } from "./leaves.ts";
import { broadcastShapes, sameShape } from "./shape.ts";

type Lowering = (context: LowerContext, node: Node) => readonly Lowered[];

/** A function of one number, applied to every element of a float tensor. */
function unaryOperation(definition: {
  readonly name: string;
  readonly lower: Lowering;
  readonly compute: (x: number) => number;
  /** Derivative as a function of input and output, or its product with the incoming gradient. */
  readonly gradient: (x: Tensor, y: Tensor, g: Tensor) => Tensor | undefined;
  readonly simplify?: (x: Tensor) => Tensor | undefined;
}): (x: Tensor) => Tensor {
  const operation: Operation = {
    name: definition.name,
    broadcastGradient: true,
    infer: (inputs) => {
      const x = inputAt(inputs, 0);
      if (x.dtype === "bool") throw shapeError(definition.name, inputs, "wants numbers, not booleans");
      return [x];
    },
    gradient: ({ inputs, outputs, gradients }) => [
      definition.gradient(inputAt(inputs, 0), outputAt(outputs, 0), outputAt(gradients, 0) ?? constant(0)),
    ],
    lower: definition.lower,
    evaluate: (inputs, _attributes, type) => evaluateElementwise(inputs, type, definition.compute),
    ...(definition.simplify && {
      simplify: (inputs: readonly Tensor[]) => definition.simplify?.(inputAt(inputs, 0)),
    }),
  };
  return (x) => apply(operation, [x], {});
}

/** A lowering of several ONNX nodes, still element by element. */
function lowerBy(build: (emit: Emit, inputs: readonly string[], scalar: Scalar) => string): Lowering {
  return (context, node) => {
    const { dtype } = outputAt(node.outputs, 0);
    const emit: Emit = (op, ...inputs) => context.emit1({ op, inputs });
    const scalar: Scalar = (value) => context.constant(filled(dtype, [], value));
    return [lowerElementwise(context, node, (inputs) => build(emit, inputs, scalar))];
  };
}

type Emit = (op: string, ...inputs: readonly string[]) => string;
type Scalar = (value: number) => string;

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

/** Hyperbolic tangent. */
export const tanh = unaryOperation({
  name: "tanh",
  lower: lowerTo("Tanh"),
  compute: Math.tanh,
  gradient: (_x, y, g) => multiply(g, sub(1, square(y))),
});

/** Logistic function 1 / (1 + e⁻ˣ). */
export const sigmoid = unaryOperation({
  name: "sigmoid",
  lower: lowerTo("Sigmoid"),
  compute: (x) => 1 / (1 + Math.exp(-x)),
  gradient: (_x, y, g) => multiply(g, multiply(y, sub(1, y))),
});

/** log(1 + eˣ) without overflow: max(x, 0) + log(1 + e^−|x|). */
export const softplus = unaryOperation({
  name: "softplus",
  lower: lowerTo("Softplus"),
  compute: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (x, _y, g) => multiply(g, sigmoid(x)),
});

/** max(x, 0); the derivative at 0 is 0. */
export const relu = unaryOperation({
  name: "relu",
  lower: lowerTo("Relu"),
  compute: (x) => Math.max(x, 0),
  gradient: (_x, y, g) => multiply(g, sign(y)),
});

/** Gauss's error function. */
export const erf = unaryOperation({
  name: "erf",
  lower: lowerTo("Erf"),
  compute: erfOfNumber,
  gradient: (x, _y, g) => multiply(g, multiply(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))),
});

// Maclaurin series below 3, continued fraction of erfc above: both to double precision.
function erfOfNumber(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x) || a > 6) return Number.isNaN(x) ? x : Math.sign(x);
  if (a < 3) {
    let term = a;
    let total = a;
    for (let n = 1; Math.abs(term) > 1e-17 * total && n < 200; n++) {
      term *= -(a * a) / n;
      total += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * total) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

/** x · sigmoid(x) (SiLU, swish): one kernel where com.microsoft's QuickGelu is at hand. */
export const silu = unaryOperation({
  name: "silu",
  lower: (context, node) => [
    lowerElementwise(context, node, ([x = ""]) =>
      context.target.contrib && outputAt(node.outputs, 0).dtype === "float32"
        ? context.emit1({
            op: "QuickGelu",
            inputs: [x],
            attributes: { alpha: { float: 1 } },
            domain: "com.microsoft",
          })
        : context.emit1({ op: "Mul", inputs: [x, context.emit1({ op: "Sigmoid", inputs: [x] })] }),
    ),
  ],
  compute: (x) => x / (1 + Math.exp(-x)),
  // σ + y (1 − σ): the output is at hand already.
  gradient: (x, y, g) => {
    const s = sigmoid(x);
    return multiply(g, add(s, multiply(y, sub(1, s))));
  },
});

/** x · Φ(x), with Φ the normal distribution function (GELU, exact form). */
export const gelu = unaryOperation({
  name: "gelu",
  lower: lowerBy((emit, [x = ""], scalar) =>
    emit(
      "Mul",
      emit("Mul", x, scalar(0.5)),
      emit("Add", emit("Erf", emit("Mul", x, scalar(Math.SQRT1_2))), scalar(1)),
    ),
  ),
  compute: (x) => 0.5 * x * (1 + erfOfNumber(x * Math.SQRT1_2)),
  gradient: (x, _y, g) => {
    const cumulative = multiply(add(erf(multiply(x, Math.SQRT1_2)), 1), 0.5);
    const density = multiply(exp(multiply(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return multiply(g, add(cumulative, multiply(x, density)));
  },
});

/** x where positive, `slope` · x elsewhere. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return where(greater(x, 0), x, multiply(x, slope));
}

function fold(compute: (a: number, b: number) => number): NonNullable<Operation["evaluate"]> {
  return (inputs, _attributes, type) => evaluateElementwise(inputs, type, (a = 0, b = 0) => compute(a, b));
}

/** A two-operand operation whose gradient rule returns the full-shape gradients of both operands. */
function binaryOperation(definition: {
  readonly name: string;
  readonly onnx: string;
  readonly compute: (a: number, b: number) => number;
  readonly gradient: (a: Tensor, b: Tensor, y: Tensor, g: Tensor) => readonly [() => Tensor, () => Tensor];
  readonly simplify?: (a: Tensor, b: Tensor) => Tensor | undefined;
}): Operation {
  return {
    name: definition.name,
    broadcastGradient: true,
    infer: (inputs) => [broadcastType(definition.name, inputs)],
    gradient: ({ inputs, outputs, gradients, needed }) => {
      const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
      const y = outputAt(outputs, 0);
      const both = definition.gradient(a, b, y, outputAt(gradients, 0) ?? constant(0));
      return [
        needed[0] ? reduceTo(both[0](), y.shape, a.shape) : undefined,
        needed[1] ? reduceTo(both[1](), y.shape, b.shape) : undefined,
      ];
    },
    lower: lowerTo(definition.onnx),
    evaluate: fold(definition.compute),
    ...(definition.simplify && {
      simplify: (inputs: readonly Tensor[]) => definition.simplify?.(inputAt(inputs, 0), inputAt(inputs, 1)),
    }),
  };
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

function comparison(name: string, onnx: string, compute: (a: number, b: number) => boolean): Operation {
  return {
    name,
    infer: (inputs) => [{ ...broadcastType(name, inputs), dtype: "bool" }],
    gradient: () => [undefined, undefined],
    lower: (context, node) => [
      context.emit1({ op: onnx, inputs: node.inputs.map((input) => context.value(input)) }),
    ],
    evaluate: fold((a, b) => Number(compute(a, b))),
  };
}

const equalOperation = comparison("equal", "Equal", (a, b) => a === b);
const lessOperation = comparison("less", "Less", (a, b) => a < b);
const lessEqualOperation = comparison("lessEqual", "LessOrEqual", (a, b) => a <= b);
const greaterOperation = comparison("greater", "Greater", (a, b) => a > b);
const greaterEqualOperation = comparison("greaterEqual", "GreaterOrEqual", (a, b) => a >= b);
const andOperation = comparison("logicalAnd", "And", (a, b) => a !== 0 && b !== 0);
const orOperation = comparison("logicalOr", "Or", (a, b) => a !== 0 || b !== 0);

/** a = b, as booleans. @throws ShapeError */
export function equal(a: TensorLike, b: TensorLike): Tensor {
  return binary(equalOperation, a, b);
}
/** a < b, as booleans. @throws ShapeError */
export function less(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessOperation, a, b);
}
/** a ≤ b, as booleans. @throws ShapeError */
export function lessEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(lessEqualOperation, a, b);
}
/** a > b, as booleans. @throws ShapeError */
export function greater(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterOperation, a, b);
}
/** a ≥ b, as booleans. @throws ShapeError */
export function greaterEqual(a: TensorLike, b: TensorLike): Tensor {
  return binary(greaterEqualOperation, a, b);
}
/** Both, for booleans. @throws ShapeError */
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return binary(andOperation, a, b);
}
/** Either, for booleans. @throws ShapeError */
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  return binary(orOperation, a, b);
}

function predicate(
  name: string,
  onnx: string,
  wants: "bool" | "float",
  compute: (x: number) => boolean,
): Operation {
  return {
    name,
    infer: (inputs) => {
      const x = inputAt(inputs, 0);
      if (wants === "bool" ? x.dtype !== "bool" : !isFloat(x.dtype)) {
        throw shapeError(name, inputs, `wants a ${wants} tensor`);
      }
      return [{ shape: x.shape, dtype: "bool" }];
    },
    gradient: () => [undefined],
    lower: (context, node) => [context.emit1({ op: onnx, inputs: [context.value(inputAt(node.inputs, 0))] })],
    evaluate: (inputs, _attributes, type) => evaluateElementwise(inputs, type, (x) => Number(compute(x))),
  };
}

const notOperation = predicate("logicalNot", "Not", "bool", (x) => x === 0);
const isNaNOperation = predicate("isNan", "IsNaN", "float", Number.isNaN);

/** The opposite, for booleans. */
export function logicalNot(x: Tensor): Tensor {
  return apply(notOperation, [x], {});
}

/** True where x is not a number. */
export function isNan(x: Tensor): Tensor {
  return apply(isNaNOperation, [x], {});
}

const whereOperation: Operation = {
  name: "where",
  broadcastGradient: true,
  infer: (inputs) => {
    const condition = inputAt(inputs, 0);
    const { dtype } = broadcastType("where", inputs.slice(1));
    const shape = broadcastShapes(...inputs.map((input) => input.shape));
    if (shape === undefined) throw shapeError("where", inputs, "shapes do not broadcast together");
    if (condition.dtype !== "bool") throw shapeError("where", inputs, "the condition must be boolean");
    return [{ shape, dtype }];
  },
  gradient: ({ inputs, outputs, gradients, needed }) => {
    const [condition, a, b] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2)];
    const g = outputAt(gradients, 0) ?? constant(0);
    const { shape } = outputAt(outputs, 0);
    return [
      undefined,
      needed[1] ? reduceTo(where(condition, g, 0), shape, a.shape) : undefined,
      needed[2] ? reduceTo(where(condition, 0, g), shape, b.shape) : undefined,
    ];
  },
  lower: lowerTo("Where"),
  evaluate: (inputs, _attributes, type) =>
    evaluateElementwise(inputs, type, (condition, a = 0, b = 0) => (condition === 0 ? b : a)),
};

/** a where the condition holds, b elsewhere, with broadcasting. @throws ShapeError */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  const dtype = typeof a !== "number" ? a.dtype : typeof b !== "number" ? b.dtype : "float32";
  return apply(whereOperation, [condition, asTensor(a, dtype), asTensor(b, dtype)], {});
}

const stopGradientOperation: Operation = {
  name: "stopGradient",
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: () => [undefined],
  lower: lowerTo("Identity"),
  simplify: ([x]) => x,
};

/** The same values, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return apply(stopGradientOperation, [x], {} satisfies Attributes);
}
