import { extendConvolution } from "../blocked.ts";
import {
  add,
  binary,
  cast,
  evaluateElementwise,
  isConstantOf,
  lowerElementwise,
  lowerTo,
  multiply,
  type TensorLike,
} from "../core.ts";
import {
  type Attributes,
  apply,
  inputAt,
  type Operation,
  onlyGradient,
  outputAt,
  type Tensor,
} from "../graph.ts";
import { filled } from "../leaves.ts";
import { binaryOperation, lowerBy, unaryOperation } from "../rules.ts";
import { broadcastShapes, sameShape } from "../shape.ts";
import { div, equal, greater, less, logicalAnd, neg, sub, where } from "./arithmetic.ts";

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
  lower: lowerBy((emit, x, scalar) => {
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
  lower: lowerBy((emit, x, scalar) => {
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

/** By the logarithm of Kahan (`log1p`), whose numbers do not depend on the number of threads; as fast as the runtime's Softplus. */
const steadySoftplus = lowerBy((emit, x, scalar) => {
  const power = emit("Exp", emit("Neg", emit("Abs", x)));
  const u = emit("Add", power, scalar(1));
  const ratio = emit("Div", power, emit("Sub", u, scalar(1)));
  const tail = emit("Where", emit("Equal", u, scalar(1)), power, emit("Mul", emit("Log", u), ratio));
  return emit("Add", emit("Max", x, scalar(0)), tail);
});

/** log(1 + eˣ) without overflow: max(x, 0) + log(1 + e^−|x|). */
export const softplus = unaryOperation({
  name: "softplus",
  lower: (context, node) =>
    (context.target.deterministic ? steadySoftplus : lowerTo("Softplus"))(context, node),
  compute: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (x, _y, g) => multiply(g, sigmoid(x)),
});

/**
 * log σ(x) = −log(1 + e⁻ˣ) = min(x, 0) − log(1 + e^−|x|), without overflow. It is exact in absolute terms, as a sum of
 * log-probabilities wants it: the runtime's Softplus, exact for large x in relative terms too, takes six times as long.
 */
export const logSigmoid = unaryOperation({
  name: "logSigmoid",
  lower: lowerBy((emit, x, scalar) => {
    const power = emit("Exp", emit("Neg", emit("Abs", x)));
    return emit("Sub", emit("Min", x, scalar(0)), emit("Log", emit("Add", power, scalar(1))));
  }),
  compute: (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (x, _y, g) => multiply(g, sigmoid(neg(x))),
});

/** max(x, 0); the derivative at 0 is 0. */
export const relu = unaryOperation({
  name: "relu",
  lower: (context, node) => {
    const fused = extendConvolution(context, inputAt(node.inputs, 0), (convolution) =>
      convolution.attributes?.activation === undefined
        ? { ...convolution, attributes: { ...convolution.attributes, activation: { string: "Relu" } } }
        : undefined,
    );
    return fused === undefined ? lowerTo("Relu")(context, node) : [{ blocked: fused }];
  },
  compute: (x) => Math.max(x, 0),
  // A comparison and a cast take about half the time of ONNX Runtime's Sign.
  gradient: (_x, y, g) => multiply(g, cast(greater(y, 0), y.dtype)),
});

/** Where the ReLU of a MobileNet ends. */
const SIX = 6;

/** min(max(x, 0), 6) (Howard et al. 2017, MobileNets); the derivative at 0 and at 6 is 0. */
export const relu6 = unaryOperation({
  name: "relu6",
  lower: (context, node) => {
    const fused = extendConvolution(context, inputAt(node.inputs, 0), (convolution) =>
      convolution.attributes?.activation === undefined
        ? {
            ...convolution,
            attributes: {
              ...convolution.attributes,
              activation: { string: "Clip" },
              activation_params: { floats: [0, SIX] },
            },
          }
        : undefined,
    );
    if (fused !== undefined) return [{ blocked: fused }];
    const { dtype } = outputAt(node.outputs, 0);
    const ends = [0, SIX].map((end) => context.constant(filled(dtype, [], end)));
    return [lowerElementwise(context, node, ([x]) => context.emit1({ op: "Clip", inputs: [x, ...ends] }))];
  },
  compute: (x) => Math.min(Math.max(x, 0), SIX),
  // Bytes are joined and cast once: that takes less than two products of floats.
  gradient: (_x, y, g) => multiply(g, cast(logicalAnd(greater(y, 0), less(y, SIX)), y.dtype)),
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
    lowerElementwise(context, node, ([x]) =>
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
  lower: lowerBy((emit, x, scalar) =>
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

interface SlopeAttributes extends Attributes {
  /** Above 0 and below 1. */
  readonly slope: number;
}

/** Times any float but the smallest, this is beyond −1 and 1. */
const STEEP = 1e30;

/**
 * The derivative of a leaky rectifier from its value: 1 above 0, the slope elsewhere. Clipping a steep line is less than
 * half the work of a comparison and a choice.
 */
const stepOperation: Operation<SlopeAttributes> = {
  name: "leakyReluStep",
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: () => [undefined],
  lower: (context, node) => {
    const { dtype } = outputAt(node.outputs, 0);
    const scalar = (value: number): string => context.constant(filled(dtype, [], value));
    return [
      lowerElementwise(context, node, ([y]) =>
        context.emit1({
          op: "Clip",
          inputs: [
            context.emit1({ op: "Mul", inputs: [y, scalar(STEEP)] }),
            scalar(node.attributes.slope),
            scalar(1),
          ],
        }),
      ),
    ];
  },
  evaluate: (inputs, { slope }, type) => evaluateElementwise(inputs, type, (y) => (y > 0 ? 1 : slope)),
};

const leakyReluOperation: Operation<SlopeAttributes> = {
  name: "leakyRelu",
  broadcastGradient: true,
  infer: (inputs) => [inputAt(inputs, 0)],
  gradient: ({ outputs, gradients, attributes }) => {
    const step = apply(stepOperation, [outputAt(outputs, 0)], attributes);
    return [multiply(onlyGradient(gradients), step)];
  },
  lower: (context, node) => {
    const { slope } = node.attributes;
    const fused = extendConvolution(context, inputAt(node.inputs, 0), (convolution) =>
      convolution.attributes?.activation === undefined
        ? {
            ...convolution,
            attributes: {
              ...convolution.attributes,
              activation: { string: "LeakyRelu" },
              activation_params: { floats: [slope] },
            },
          }
        : undefined,
    );
    if (fused !== undefined) return [{ blocked: fused }];
    return [
      lowerElementwise(context, node, ([x]) => {
        const { dtype } = outputAt(node.outputs, 0);
        if (dtype === "float32") {
          return context.emit1({ op: "LeakyRelu", inputs: [x], attributes: { alpha: { float: slope } } });
        }
        const less = context.emit1({ op: "Mul", inputs: [x, context.constant(filled(dtype, [], slope))] });
        return context.emit1({ op: "Max", inputs: [x, less] });
      }),
    ];
  },
  evaluate: (inputs, { slope }, type) => evaluateElementwise(inputs, type, (x) => (x > 0 ? x : slope * x)),
};

/** x where positive, `slope` · x elsewhere (Maas et al. 2013); the derivative at 0 is the slope. */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  if (slope > 0 && slope < 1) return apply(leakyReluOperation, [x], { slope });
  return where(greater(x, 0), x, multiply(x, slope));
}

export * from "./arithmetic.ts";

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
