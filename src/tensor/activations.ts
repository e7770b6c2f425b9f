import { neg, sub } from "./arithmetic.ts";
import { greater } from "./comparison.ts";
import { add, cast, lowerElementwise, lowerTo, multiply } from "./core.ts";
import { lowerBy, unaryOperation } from "./elementwise-operation.ts";
import { exp, square } from "./functions.ts";
import { inputAt, outputAt } from "./graph.ts";
import { extendConvolution } from "./layout.ts";

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

/**
 * log σ(x) = −log(1 + e⁻ˣ) = min(x, 0) − log(1 + e^−|x|), without overflow. It is exact in absolute terms, as a sum of
 * log-probabilities wants it: the runtime's Softplus, exact for large x in relative terms too, takes six times as long.
 */
export const logSigmoid = unaryOperation({
  name: "logSigmoid",
  lower: lowerBy((emit, [x = ""], scalar) => {
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
