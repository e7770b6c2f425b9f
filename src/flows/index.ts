export { ActNorm } from "./actnorm.ts";
export { BASE_NAMES, BASES, type Base, type BaseName, gaussian, logistic } from "./base.ts";
export { BatchNormTransform, type BatchNormTransformOptions } from "./batch-norm.ts";
export { AffineBijection, type Bijection, type Elementwise, scaleLimitOf, sumElements } from "./bijection.ts";
export { Conditioning, type ConditioningOptions, conditioningOptions } from "./conditioning.ts";
export { type ContinuousOptions, ContinuousTransform, type Course } from "./continuous.ts";
export {
  ConcatSquashField,
  type ConcatSquashOptions,
  type FieldAtTime,
  type FieldQuery,
  type FieldValues,
  type VelocityField,
} from "./continuous-field.ts";
export {
  ContinuousFlow,
  continuousFlow,
  continuousFlowDefinition,
} from "./continuous-flow.ts";
export {
  type ContinuousFlowOptions,
  type ContinuousFlowSampleOptions,
  type ContinuousFlowScoreOptions,
  continuousFlowOptions,
  continuousFlowSampleOptions,
} from "./continuous-flow-options.ts";
export { AdditiveCoupling, type Conditioner, type CoupledHalf, Coupling, OddEvenOrder } from "./coupling.ts";
export {
  BYTE_LEVELS,
  byteScaling,
  type Dequantised,
  type Dequantiser,
  Scaling,
  uniformDequantiser,
} from "./dequantise.ts";
export { ELEMENT_ORDERS, type ElementOrders, elementOrders } from "./element-orders.ts";
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
} from "./element-wise.ts";
export { type Energy, energyFunction } from "./energies.ts";
export { FlowModel, type FlowParts, type FlowSampleOptions } from "./flow-model.ts";
export {
  type FlowPlusPlusOptions,
  flowPlusPlus,
  flowPlusPlusDefinition,
  flowPlusPlusOptions,
} from "./flow-plus-plus.ts";
export { GatedBlock, GatedNetwork, type GatedNetworkOptions } from "./gated-network.ts";
export { GlowNetwork, type GlowOptions, GlowStep, glow, glowDefinition, glowOptions } from "./glow.ts";
export {
  type Chains,
  type HamiltonianOptions,
  hamiltonianMonteCarlo,
  type Jump,
  type LogDensity,
  type LogDensityAt,
} from "./hamiltonian.ts";
export { type IafOptions, iaf, iafDefinition, iafOptions } from "./iaf.ts";
export { ContextBias, NormalisedConv2d, SplitPrior, ZeroConv2d } from "./image-conditioner.ts";
export { InvertibleLinear, triangularInverse } from "./invertible-linear.ts";
export { GaussianMixture, LearnedGaussian } from "./learned-bases.ts";
export { LogisticMixtureBijection } from "./logistic-mixture.ts";
export { MadeNetwork, type MadeOptions } from "./made-network.ts";
export { affineAutoregressiveBlocks, type MafOptions, maf, mafDefinition, mafOptions } from "./maf.ts";
export { MaskedAutoregressive, type MaskedAutoregressiveOptions } from "./masked-autoregressive.ts";
export { monotoneRoot, type RootOptions, type Slope } from "./monotone-root.ts";
export { type Level, MultiScale } from "./multi-scale.ts";
export {
  DiagonalScaling,
  type NiceOptions,
  nice,
  niceDefinition,
  niceOptions,
  ReluNetwork,
} from "./nice.ts";
export { energyOf, type ObjectiveOptions, objectiveOptions } from "./objective.ts";
export { type FlowOptions, flowOptions, flowSampleOptions } from "./options.ts";
export { Permutation } from "./permutation.ts";
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
  CircularSpline,
  onCircle,
  RationalQuadraticSpline,
  type SplineOptions,
} from "./rational-quadratic.ts";
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
} from "./spline-flow.ts";
export { type BlockOrder, ExchangeQuarters, type ImageShape, Squeeze } from "./squeeze.ts";
export { StudentBase, UniformBase } from "./standard-bases.ts";
export {
  Composition,
  type Forward,
  type Inverse,
  Inverted,
  NumericalInverse,
  type NumericallyInvertible,
  Reshape,
  type Transform,
} from "./transform.ts";
export {
  type Dequantisation,
  dequantisationOption,
  dequantiserFor,
  VariationalDequantiser,
  type VariationalDequantiserOptions,
} from "./variational-dequantisation.ts";
