export {
  type Chains,
  type HamiltonianOptions,
  hamiltonianMonteCarlo,
  type Jump,
  type LogDensity,
  type LogDensityAt,
} from "./completion/hamiltonian.ts";
export {
  ContinuousFlow,
  type ContinuousFlowOptions,
  type ContinuousFlowSampleOptions,
  type ContinuousFlowScoreOptions,
  continuousFlow,
  continuousFlowDefinition,
  continuousFlowOptions,
  continuousFlowSampleOptions,
} from "./continuous.ts";
export { defineFlow, type FlowSchema, type FlowSubject, type FlowSystem } from "./define.ts";
export {
  BASE_NAMES,
  BASES,
  type Base,
  type BaseName,
  GaussianMixture,
  gaussian,
  LearnedGaussian,
  logistic,
  StudentBase,
  UniformBase,
} from "./densities/bases.ts";
export { Conditioning, type ConditioningOptions, conditioningOptions } from "./densities/conditioning.ts";
export {
  type Energy,
  energyFunction,
  energyOf,
  type ObjectiveOptions,
  objectiveOptions,
} from "./densities/objective.ts";
export {
  type FlowPlusPlusOptions,
  flowPlusPlus,
  flowPlusPlusDefinition,
  flowPlusPlusOptions,
} from "./flow-plus-plus.ts";
export { GlowNetwork, type GlowOptions, GlowStep, glow, glowDefinition, glowOptions } from "./glow.ts";
export { type IafOptions, iaf, iafDefinition, iafOptions } from "./iaf.ts";
export {
  BYTE_LEVELS,
  byteScaling,
  type Dequantization,
  type Dequantized,
  type Dequantizer,
  dequantizationOption,
  dequantizerFor,
  Scaling,
  uniformDequantizer,
  VariationalDequantizer,
  type VariationalDequantizerOptions,
} from "./images/dequantize.ts";
export {
  type BlockOrder,
  ExchangeQuarters,
  type ImageShape,
  type Level,
  MultiScale,
  Squeeze,
} from "./images/multi-scale.ts";
export {
  ContextBias,
  GatedBlock,
  GatedNetwork,
  type GatedNetworkOptions,
  NormalizedConv2d,
  SplitPrior,
  ZeroConv2d,
} from "./images/networks.ts";
export { affineAutoregressiveBlocks, type MafOptions, maf, mafDefinition, mafOptions } from "./maf.ts";
export {
  FlowModel,
  type FlowOptions,
  type FlowParts,
  type FlowSampleOptions,
  flowOptions,
  flowSampleOptions,
} from "./model.ts";
export { DiagonalScaling, type NiceOptions, nice, niceDefinition, niceOptions } from "./nice.ts";
export {
  Planar,
  type PlanarNumbers,
  type PlanarOptions,
  planar,
  planarDefinition,
  planarOptions,
} from "./planar.ts";
export { Radial, type RadialOptions, radial, radialDefinition, radialOptions } from "./radial.ts";
export {
  type RealNvpOptions,
  ResidualNetwork,
  realNvp,
  realNvpDefinition,
  realNvpOptions,
} from "./real-nvp.ts";
export {
  AngleNetwork,
  AngleUnits,
  type SplineFlowOptions,
  splineFlow,
  splineFlowDefinition,
  splineFlowOptions,
} from "./spline.ts";
export {
  AffineBijection,
  type Bijection,
  type Elementwise,
  LogisticMixtureBijection,
  scaleLimitOf,
  sumElements,
} from "./transforms/bijections.ts";
export { type ContinuousOptions, ContinuousTransform, type Course } from "./transforms/continuous.ts";
export {
  ConcatSquashField,
  type ConcatSquashOptions,
  type FieldAtTime,
  type FieldQuery,
  type FieldValues,
  type VelocityField,
} from "./transforms/continuous-field.ts";
export {
  AdditiveCoupling,
  type Conditioner,
  type CoupledHalf,
  Coupling,
  OddEvenOrder,
  ReluNetwork,
} from "./transforms/coupling.ts";
export {
  ElementwiseAffine,
  ElementwiseBijection,
  ExpTransform,
  FixedAffine,
  LeakyReluTransform,
  LogitTransform,
  LogTransform,
  SigmoidTransform,
  SoftplusTransform,
  TanhTransform,
} from "./transforms/element-wise.ts";
export {
  ELEMENT_ORDERS,
  type ElementOrders,
  elementOrders,
  MadeNetwork,
  type MadeOptions,
  MaskedAutoregressive,
  type MaskedAutoregressiveOptions,
} from "./transforms/masked-autoregressive.ts";
export { InvertibleLinear, Permutation, triangularInverse } from "./transforms/mixing.ts";
export { ActNorm, BatchNormTransform, type BatchNormTransformOptions } from "./transforms/normalization.ts";
export {
  CircularSpline,
  onCircle,
  RationalQuadraticSpline,
  type SplineOptions,
} from "./transforms/rational-quadratic.ts";
export {
  Composition,
  type Forward,
  type Inverse,
  Inverted,
  monotoneRoot,
  NumericalInverse,
  type NumericallyInvertible,
  Reshape,
  type RootOptions,
  type Slope,
  type Transform,
} from "./transforms/transform.ts";
