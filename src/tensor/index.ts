import "./methods.ts";

export * from "./array.ts";
export * from "./attention.ts";
export { conv1d, conv2d, convTranspose2d } from "./convolution.ts";
export { add, broadcastTo, cast, multiply, reshape, sum, type TensorLike } from "./core.ts";
export * from "./einsum.ts";
export * from "./elementwise.ts";
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
export * from "./indexing.ts";
export {
  Buffer,
  constant,
  full,
  type Initialiser,
  input,
  isInitialising,
  isTraining,
  normal,
  Parameter,
  traceInitialisation,
  traceTraining,
  uniform,
} from "./leaves.ts";
export { type LoopOptions, type LoopRound, whileLoop } from "./loop.ts";
export * from "./matmul.ts";
// also keeps the declaration of the methods in the published types
export type { TensorMethods } from "./methods.ts";
export * from "./normalisation.ts";
export * from "./pooling.ts";
export * from "./reduce.ts";
export * from "./resize.ts";
export type { Dim, Shape } from "./shape.ts";
export * from "./shaping.ts";
