export { AttentionBlock, type AttentionBlockOptions } from "./attention.ts";
export { causalAttention } from "./causal-attention.ts";
export * from "./codes.ts";
export { Conv2d, type Conv2dOptions, ConvTranspose2d, type ConvTranspose2dOptions } from "./convolution.ts";
export { Dropout } from "./dropout.ts";
export { ConditionEmbedding, Embedding, FourierFeatures, sinusoidalEmbedding } from "./embedding.ts";
export * as initialisers from "./initialisers.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export { degreeMask, MaskedLinear } from "./masked-linear.ts";
export {
  type Activation,
  Mlp,
  type MlpOptions,
  TimeConditionedMlp,
  type TimeConditionedMlpOptions,
} from "./mlp.ts";
export * from "./model.ts";
export * from "./module.ts";
export {
  BatchNorm1d,
  BatchNorm2d,
  type BatchNormOptions,
  GroupNorm,
  InstanceNorm,
  LayerNorm,
  type NormOptions,
} from "./normalisation.ts";
export {
  type AdamOptions,
  adam,
  adamW,
  clipByGlobalNorm,
  movingAverage,
  type Optimiser,
  type SgdOptions,
  sgd,
  type Update,
  type UpdateContext,
} from "./optimiser.ts";
export { ResidualBlock, type ResidualBlockOptions } from "./residual.ts";
export { readSafetensors, type Safetensors, writeSafetensors } from "./safetensors.ts";
export { learningRateSchedule, type Schedule, type ScheduleOptions } from "./schedule.ts";
export { SpectralConv2d, SpectralLinear, SpectralWeight } from "./spectral-norm.ts";
export { checkState } from "./state.ts";
export {
  CausalSelfAttention,
  type KeysAndValues,
  type StepMemory,
  type StepResult,
  TransformerLayer,
  type TransformerLayerOptions,
} from "./transformer.ts";
export { UNet, type UNetOptions } from "./u-net.ts";
