import type { DType } from "./array.ts";
import type { TensorLike } from "./core.ts";
import * as core from "./core.ts";
import { Tensor } from "./graph.ts";
import * as elementwise from "./operations/elementwise.ts";
import * as matmul from "./operations/matmul.ts";
import * as reduce from "./operations/reduce.ts";
import * as shaping from "./operations/shaping.ts";
import type { Dim, Shape } from "./shape.ts";

/**
 * The operations of this room as methods: `x.add(y)` for `add(x, y)`. Binary ones broadcast as NumPy does. A number takes
 * the dtype of the tensor. All throw ShapeError where shapes or dtypes do not fit.
 */
export interface TensorMethods {
  /** this + b with broadcasting. */
  add(b: TensorLike): Tensor;
  /** this − b with broadcasting. */
  sub(b: TensorLike): Tensor;
  /** this · b, element by element, with broadcasting. */
  mul(b: TensorLike): Tensor;
  /** this / b with broadcasting. */
  div(b: TensorLike): Tensor;
  /** thisᵇ with broadcasting; NaN where this is negative and b is no integer. */
  pow(b: TensorLike): Tensor;
  /** −x. */
  neg(): Tensor;
  /** eˣ. */
  exp(): Tensor;
  /** Natural logarithm; −∞ at 0, NaN below. */
  log(): Tensor;
  /** log(1 + x), exact to rounding also near 0. */
  log1p(): Tensor;
  /** eˣ − 1, exact to rounding also near 0. */
  expm1(): Tensor;
  /** √x. */
  sqrt(): Tensor;
  /** x². */
  square(): Tensor;
  /** 1 / x. */
  reciprocal(): Tensor;
  /** |x|; the derivative at 0 is 0. */
  abs(): Tensor;
  /** −1, 0 or 1; the derivative is 0. */
  sign(): Tensor;
  /** Largest integer not above x; the derivative is 0. */
  floor(): Tensor;
  /** Smallest integer not below x; the derivative is 0. */
  ceil(): Tensor;
  /** Nearest integer, halves to even; the derivative is 0. */
  round(): Tensor;
  /** sin x, in radians. */
  sin(): Tensor;
  /** cos x, in radians. */
  cos(): Tensor;
  /** Arc tangent of x, in radians: −π/2 … π/2. */
  atan(): Tensor;
  /** Hyperbolic tangent. */
  tanh(): Tensor;
  /** Logistic function 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor;
  /** log(1 + eˣ), without overflow. */
  softplus(): Tensor;
  /** log σ(x) = −log(1 + e⁻ˣ), without overflow; exact in absolute terms. */
  logSigmoid(): Tensor;
  /** max(x, 0); the derivative at 0 is 0. */
  relu(): Tensor;
  /** x where positive, `slope` · x elsewhere (Maas et al. 2013). Default slope: 0.01. */
  leakyRelu(slope?: number): Tensor;
  /** x · sigmoid(x) (SiLU, swish). */
  silu(): Tensor;
  /** x · Φ(x), with Φ the normal distribution function (GELU, exact form). */
  gelu(): Tensor;
  /** Gauss's error function. */
  erf(): Tensor;
  /** The larger of this and b; where they are equal the gradient goes to this. */
  maximum(b: TensorLike): Tensor;
  /** The smaller of this and b; where they are equal the gradient goes to this. */
  minimum(b: TensorLike): Tensor;
  /** x limited to [low, high]; the gradient is 0 outside. */
  clamp(low: number, high: number): Tensor;
  /** this = b, as booleans. */
  equal(b: TensorLike): Tensor;
  /** this < b, as booleans. */
  less(b: TensorLike): Tensor;
  /** this ≤ b, as booleans. */
  lessEqual(b: TensorLike): Tensor;
  /** this > b, as booleans. */
  greater(b: TensorLike): Tensor;
  /** this ≥ b, as booleans. */
  greaterEqual(b: TensorLike): Tensor;
  /** The same values in another dtype: floats are truncated towards zero for int64; bool is "not zero". */
  cast(dtype: DType): Tensor;
  /** The same values, through which no gradient flows. */
  stopGradient(): Tensor;
  /** Sum over axes (default: all). Shape: without the axes, or with size 1 where `keepDims`. */
  sum(axes?: number | readonly number[], keepDims?: boolean): Tensor;
  /** Arithmetic mean of floats over axes (default: all). Shape: without the axes, or with size 1 where `keepDims`. */
  mean(axes?: number | readonly number[], keepDims?: boolean): Tensor;
  /** Largest element over axes (default: all). The gradient is shared equally among equal largest elements. */
  max(axes?: number | readonly number[], keepDims?: boolean): Tensor;
  /** Smallest element over axes (default: all). The gradient is shared equally among equal smallest elements. */
  min(axes?: number | readonly number[], keepDims?: boolean): Tensor;
  /** log Σ eˣ over axes (default: all), without overflow; −∞ over an empty axis. */
  logSumExp(axes?: number | readonly number[], keepDims?: boolean): Tensor;
  /**
   * Mean squared deviation from the mean over axes (default: all), divided by (count − `correction`): 0, the default,
   * gives the population's variance, 1 the unbiased estimate from a sample.
   */
  variance(axes?: number | readonly number[], keepDims?: boolean, correction?: number): Tensor;
  /** Running sum along an axis. */
  cumSum(axis: number, options?: reduce.CumSumOptions): Tensor;
  /** Index of the largest element along an axis (the first of equal ones), as int64. */
  argMax(axis: number, keepDims?: boolean): Tensor;
  /** eˣ / Σ eˣ along an axis (default: the last), without overflow. */
  softmax(axis?: number): Tensor;
  /** x − log Σ eˣ along an axis (default: the last), without overflow. */
  logSoftmax(axis?: number): Tensor;
  /**
   * Matrix product of the last two axes: [..., m, k] · [..., k, n] → [..., m, n]. Leading axes broadcast. Operands
   * flagged as transposed are given as [..., k, m] or [..., n, k].
   */
  matmul(b: Tensor, options?: matmul.MatmulOptions): Tensor;
  /** The same elements in row-major order under another shape. One dimension may be −1: it takes what is left. */
  reshape(shape: readonly (Dim | -1)[]): Tensor;
  /** Repeats axes of size 1 (and adds leading axes) until the tensor has the shape. */
  broadcastTo(shape: Shape): Tensor;
  /** Reorders the axes: axis i of the result is axis `permutation[i]` of this. Default: the last two are swapped. */
  transpose(permutation?: readonly number[]): Tensor;
  /** Puts an axis of size 1 before axis `axis`, counted in the result; negative from its end. */
  unsqueeze(axis: number): Tensor;
  /** Removes axes of size 1: those named (default: all). */
  squeeze(axes?: number | readonly number[]): Tensor;
}

declare module "./graph.js" {
  interface Tensor extends TensorMethods {}
}

type AsFunction<M> = M extends (...rest: infer Rest) => Tensor ? (x: Tensor, ...rest: Rest) => Tensor : never;

// Methods are attached here, so that the files of operations need not import each other in a circle.
const methods: { readonly [Name in keyof TensorMethods]: AsFunction<TensorMethods[Name]> } = {
  add: core.add,
  sub: elementwise.sub,
  mul: core.multiply,
  div: elementwise.div,
  pow: elementwise.pow,
  neg: elementwise.neg,
  exp: elementwise.exp,
  log: elementwise.log,
  log1p: elementwise.log1p,
  expm1: elementwise.expm1,
  sqrt: elementwise.sqrt,
  square: elementwise.square,
  reciprocal: elementwise.reciprocal,
  abs: elementwise.abs,
  sign: elementwise.sign,
  floor: elementwise.floor,
  ceil: elementwise.ceil,
  round: elementwise.round,
  sin: elementwise.sin,
  cos: elementwise.cos,
  atan: elementwise.atan,
  tanh: elementwise.tanh,
  sigmoid: elementwise.sigmoid,
  softplus: elementwise.softplus,
  logSigmoid: elementwise.logSigmoid,
  relu: elementwise.relu,
  leakyRelu: elementwise.leakyRelu,
  silu: elementwise.silu,
  gelu: elementwise.gelu,
  erf: elementwise.erf,
  maximum: elementwise.maximum,
  minimum: elementwise.minimum,
  clamp: elementwise.clamp,
  equal: elementwise.equal,
  less: elementwise.less,
  lessEqual: elementwise.lessEqual,
  greater: elementwise.greater,
  greaterEqual: elementwise.greaterEqual,
  cast: core.cast,
  stopGradient: elementwise.stopGradient,
  sum: core.sum,
  mean: reduce.mean,
  max: reduce.max,
  min: reduce.min,
  logSumExp: reduce.logSumExp,
  variance: reduce.variance,
  cumSum: reduce.cumSum,
  argMax: reduce.argMax,
  softmax: reduce.softmax,
  logSoftmax: reduce.logSoftmax,
  matmul: matmul.matmul,
  reshape: core.reshape,
  broadcastTo: core.broadcastTo,
  transpose: shaping.transpose,
  unsqueeze: shaping.unsqueeze,
  squeeze: shaping.squeeze,
};

for (const [name, method] of Object.entries<(x: Tensor, ...rest: never[]) => Tensor>(methods)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: never[]) {
      return method(this, ...rest);
    },
  });
}

// What Node prints for a tensor: `console.log(x)` gives one line in place of the graph below it.
Object.defineProperty(Tensor.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  value(this: Tensor) {
    return `Tensor(${this})`;
  },
});
