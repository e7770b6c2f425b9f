import "./methods.ts";

export * from "./array.ts";
export { conv1d, conv2d, convTranspose2d } from "./convolution/convolution.ts";
export { add, broadcastTo, cast, multiply, reshape, sum, type TensorLike } from "./core.ts";
export { grad, jacobian, jvp, vjp } from "./grad.ts";
// what an operation of one's own is defined with
export {
  type Attributes,
  apply,
  applyAll,
  type GradientContext,
  inputAt,
  type LowerContext,
  type Lowered,
  type Node,
  type OnnxAttribute,
  type OnnxNode,
  type Operation,
  shapeError,
  Tensor,
  type TensorType,
} from "./graph.ts";
export {
  Buffer,
  constant,
  full,
  type Initializer,
  input,
  isInitializing,
  isTraining,
  normal,
  Parameter,
  traceInitialization,
  traceTraining,
  uniform,
} from "./leaves.ts";
// also keeps the declaration of the methods in the published types
export type { TensorMethods } from "./methods.ts";
export * from "./operations/einsum.ts";
export * from "./operations/elementwise.ts";
export * from "./operations/indexing.ts";
export { type LoopOptions, type LoopRound, whileLoop } from "./operations/loop.ts";
export * from "./operations/matmul.ts";
export * from "./operations/normalization.ts";
export * from "./operations/pooling.ts";
export * from "./operations/reduce.ts";
export * from "./operations/resize.ts";
export * from "./operations/shaping.ts";
export type { Dim, Shape } from "./shape.ts";
