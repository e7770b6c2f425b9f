export { Gan, type GanSampleOptions, gan, ganDefinition } from "./gan.ts";
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
export {
  BernoulliObservation,
  byteToUnit,
  CategoryObservation,
  DequantizedGaussianObservation,
  DiscretizedLogisticObservation,
  discretizedLogisticLogProb,
  GaussianObservation,
  JointObservation,
  type LocationScale,
  type ObservationModel,
  SCALE_SOURCES,
  ScaledOutputs,
  type ScaleSource,
  tableObservation,
} from "./observation.ts";
export {
  type DrawnCodes,
  type Encoded,
  FlowPrior,
  gaussianDivergence,
  Posterior,
  type PosteriorOptions,
  PRIORS,
  type PriorName,
  type PriorOptions,
  priorOf,
} from "./prior-posterior.ts";
export { Vae, type VaeSampleOptions, type VaeScoreOptions, vae, vaeDefinition, WarmUp } from "./vae.ts";
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
