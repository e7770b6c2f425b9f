export { type ViewOptions, Views, viewOptions } from "./augment/index.ts";
export {
  ConvolutionalEncoder,
  type Encoder,
  type EncoderOptions,
  encoderFor,
  encoderOptions,
  type Layers,
  RowEncoder,
} from "./encoders/index.ts";
export {
  donskerVaradhanLoss,
  infoNcePartLoss,
  jensenShannonPartLoss,
  PART_ESTIMATORS,
  type PartEstimator,
  type PartScores,
  partInformation,
} from "./infomax/losses.ts";
export { PriorMatching, type PriorName } from "./infomax/prior.ts";
export { buildScorer, type Scorer, type ScorerName, type ScorerOptions } from "./infomax/scorers.ts";
export { DeepInfoMax, deepInfoMax, deepInfoMaxDefinition } from "./models/deep-infomax.ts";
export { defineEncoder, EncoderModel, type EncoderSystem } from "./models/define.ts";
export * from "./mutual-information/index.ts";
export * from "./probe/index.ts";
