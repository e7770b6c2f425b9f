import "./methods.ts";

export { type DataOf, type DType, elementCount, float32, int64, type NdArray, zeros } from "./array.ts";
export { conv2d, convTranspose2d } from "./convolution/convolution.ts";
export type { TensorLike } from "./core.ts";
export { grad, jacobian, jvp, vjp } from "./grad.ts";
export { Tensor, type TensorType } from "./graph.ts";
export {
  Buffer,
  constant,
  full,
  type Initializer,
  input,
  isTraining,
  normal,
  Parameter,
  uniform,
} from "./leaves.ts";
// also keeps the declaration of the methods in the published types
export type { TensorMethods } from "./methods.ts";
export { logicalAnd, logicalNot, logicalOr, where } from "./operations/arithmetic.ts";
export { einsum } from "./operations/einsum.ts";
export { arange, gather, gatherElements, oneHot, topK } from "./operations/indexing.ts";
export { type LoopOptions, type LoopRound, whileLoop } from "./operations/loop.ts";
export {
  type AttentionOptions,
  linear,
  type MatmulOptions,
  scaledDotProductAttention,
} from "./operations/matmul.ts";
export {
  groupNorm,
  type LayerNormOptions,
  layerNorm,
  type NormalizationOptions,
} from "./operations/normalization.ts";
export { averagePool2d, maxPool2d, type PoolingOptions } from "./operations/pooling.ts";
export type { CumSumOptions } from "./operations/reduce.ts";
export { concat, type Pieces, split, stack } from "./operations/shaping.ts";
export { type PadMode, pad, slice } from "./operations/slicing.ts";
export type { Dim, Shape } from "./shape.ts";
