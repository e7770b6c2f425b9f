// All operations as functions, those that are methods of Tensor as well, and what one's own are defined with.
import "./methods.ts";

export { conv1d, conv2d, convTranspose2d } from "./convolution/convolution.ts";
export { add, broadcastTo, cast, multiply, reshape, sum } from "./core.ts";
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
  onlyGradient,
  outputAt,
  shapeError,
} from "./graph.ts";
export { isInitializing, traceInitialization, traceTraining } from "./leaves.ts";
export * from "./operations/arithmetic.ts";
export * from "./operations/einsum.ts";
export * from "./operations/elementwise.ts";
export * from "./operations/indexing.ts";
export * from "./operations/loop.ts";
export * from "./operations/matmul.ts";
export * from "./operations/normalization.ts";
export * from "./operations/pooling.ts";
export * from "./operations/reduce.ts";
export * from "./operations/resize.ts";
export * from "./operations/shaping.ts";
export * from "./operations/slicing.ts";
