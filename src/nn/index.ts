export {
  Conv2d,
  type Conv2dOptions,
  ConvTranspose2d,
  type ConvTranspose2dOptions,
} from "./convolution.ts";
export * as initializers from "./initializers.ts";
export {
  type Activation,
  ConditionEmbedding,
  Dropout,
  degreeMask,
  Embedding,
  FourierFeatures,
  Linear,
  type LinearOptions,
  MaskedLinear,
  Mlp,
  type MlpOptions,
  sinusoidalEmbedding,
  TimeConditionedMlp,
  type TimeConditionedMlpOptions,
} from "./linear.ts";
export * from "./module.ts";
export {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormOptions,
  GroupNorm,
  InstanceNorm,
  LayerNorm,
  type NormOptions,
  SpectralNorm,
  type WeightedLayer,
} from "./normalization.ts";
export { type OnnxAttributeValue, type OnnxGraph, type OnnxOperation, readOnnx } from "./onnx.ts";
export {
  type AdamOptions,
  adam,
  adamW,
  clipByGlobalNorm,
  movingAverage,
  type Optimizer,
  type SgdOptions,
  sgd,
  type Update,
  type UpdateContext,
} from "./optimizer.ts";
export { readSafetensors, type Safetensors, writeSafetensors } from "./safetensors.ts";
export { learningRateSchedule, type Schedule, type ScheduleOptions } from "./schedule.ts";
export { checkState } from "./state.ts";
export {
  CausalSelfAttention,
  type KeysAndValues,
  type StepMemory,
  type StepResult,
  TransformerLayer,
  type TransformerLayerOptions,
} from "./transformer.ts";
export {
  AttentionBlock,
  type AttentionBlockOptions,
  ResidualBlock,
  type ResidualBlockOptions,
  UNet,
  type UNetOptions,
} from "./u-net.ts";
export { readWeights, type Weights } from "./weights.ts";
