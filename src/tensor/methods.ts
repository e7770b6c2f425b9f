import * as core from "./core.ts";
import { Tensor } from "./graph.ts";
import * as elementwise from "./operations/elementwise.ts";
import * as matmul from "./operations/matmul.ts";
import * as reduce from "./operations/reduce.ts";
import * as shaping from "./operations/shaping.ts";

// Methods of Tensor are the functions of this room with the tensor as first argument. They are attached here, so that
// the files of operations need not import each other in a circle.
const methods = {
  add: core.add,
  mul: core.multiply,
  reshape: core.reshape,
  broadcastTo: core.broadcastTo,
  sum: core.sum,
  cast: core.cast,
  sub: elementwise.sub,
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
  stopGradient: elementwise.stopGradient,
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
  transpose: shaping.transpose,
  unsqueeze: shaping.unsqueeze,
  squeeze: shaping.squeeze,
} as const;

type Methods = typeof methods;
type AsMethod<F> = F extends (x: Tensor, ...rest: infer Rest) => infer Result
  ? (...rest: Rest) => Result
  : never;
/** The operations of this room as methods: `x.add(y)` for `add(x, y)`. */
export type TensorMethods = { readonly [Name in keyof Methods]: AsMethod<Methods[Name]> };

declare module "./graph.js" {
  interface Tensor extends TensorMethods {}
}

for (const [name, method] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return (method as (...all: unknown[]) => unknown)(this, ...rest);
    },
  });
}
