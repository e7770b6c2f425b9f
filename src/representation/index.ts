export { type ViewOptions, Views, viewOptions } from "./augment/index.ts";
export {
  BackboneEncoder,
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
export { spreadOf } from "./models/agreement.ts";
export {
  Autoencoder,
  type AutoencoderOptions,
  autoencoder,
  autoencoderDefinition,
  CORRUPTIONS,
  type Corruption,
} from "./models/autoencoder.ts";
export { barlowLoss, barlowTwins, barlowTwinsDefinition } from "./models/barlow-twins.ts";
export { DeepInfoMax, deepInfoMax, deepInfoMaxDefinition } from "./models/deep-infomax.ts";
export { defineEncoder, EncoderModel, type EncoderSystem } from "./models/define.ts";
export { Projector } from "./models/projector.ts";
export { RotationModel, rotation, rotationDefinition } from "./models/rotation.ts";
export { ntXent, simClr, simClrDefinition } from "./models/simclr.ts";
export { type Agreement, type ProjectorOptions, TwoViewModel } from "./models/two-views.ts";
export { vicReg, vicRegDefinition, vicRegLoss } from "./models/vicreg.ts";
export * from "./mutual-information/index.ts";
export * from "./probe/index.ts";
