export {
  byteToUnit,
  DequantisedGaussianObservation,
  DiscretisedLogisticObservation,
  discretisedLogisticLogProb,
} from "./byte-observations.ts";
export { Gan, type GanSampleOptions, ganDefinition } from "./gan.ts";
export { discriminatorLoss, generatorLoss, gradientPenalty, r1Penalty } from "./gan-losses.ts";
export {
  ConvolutionalDiscriminator,
  ConvolutionalGenerator,
  type Discriminator,
  type Generator,
  MlpDiscriminator,
  MlpGenerator,
} from "./gan-networks.ts";
export {
  GAN_OBJECTIVES,
  type GanObjective,
  type GanOptions,
  ganOptions,
  ganSampleOptions,
} from "./gan-options.ts";
export { JointObservation, tableObservation } from "./joint-observation.ts";
export {
  BernoulliObservation,
  CategoryObservation,
  GaussianObservation,
  type LocationScale,
  type ObservationModel,
  SCALE_SOURCES,
  ScaledOutputs,
  type ScaleSource,
} from "./observation.ts";
export {
  type DrawnCodes,
  type Encoded,
  gaussianDivergence,
  Posterior,
  type PosteriorOptions,
} from "./posterior.ts";
export { FlowPrior, PRIORS, type PriorName, type PriorOptions, priorOf } from "./prior.ts";
export { Vae, type VaeScoreOptions, vaeDefinition } from "./vae.ts";
export {
  ConvolutionalDecoder,
  ConvolutionalEncoder,
  PerceptronNetwork,
  type RowNetwork,
} from "./vae-networks.ts";
export {
  LIKELIHOODS,
  type VaeLikelihood,
  type VaeOptions,
  vaeOptions,
  vaeSampleOptions,
} from "./vae-options.ts";
export type { VaeSampleOptions } from "./vae-sample.ts";
export { WarmUp } from "./warm-up.ts";
