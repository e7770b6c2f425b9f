export {
  type ContinuousFlow,
  type ContinuousFlowOptions,
  type ContinuousFlowSampleOptions,
  type ContinuousFlowScoreOptions,
  continuousFlow,
  continuousFlowDefinition,
  continuousFlowOptions,
} from "./continuous.ts";
export { defineFlow, type FlowSchema, type FlowSubject, type FlowSystem } from "./define.ts";
export { BASES, type Base, type BaseName, GaussianMixture } from "./densities/bases.ts";
export { Conditioning, type ConditioningOptions } from "./densities/conditioning.ts";
export type { Energy, ObjectiveOptions } from "./densities/objective.ts";
export {
  type FlowPlusPlusOptions,
  flowPlusPlus,
  flowPlusPlusDefinition,
  flowPlusPlusOptions,
} from "./flow-plus-plus.ts";
export { type GlowOptions, glow, glowDefinition, glowOptions } from "./glow.ts";
export { type IafOptions, iaf, iafDefinition, iafOptions } from "./iaf.ts";
export type { Dequantization, Dequantizer } from "./images/dequantize.ts";
export { type MafOptions, maf, mafDefinition, mafOptions } from "./maf.ts";
export { FlowModel, type FlowOptions, type FlowParts, type FlowSampleOptions, flowOptions } from "./model.ts";
export { type NiceOptions, nice, niceDefinition, niceOptions } from "./nice.ts";
export {
  Planar,
  type PlanarNumbers,
  type PlanarOptions,
  planar,
  planarDefinition,
  planarOptions,
} from "./planar.ts";
export { Radial, type RadialOptions, radial, radialDefinition, radialOptions } from "./radial.ts";
export { type RealNvpOptions, realNvp, realNvpDefinition, realNvpOptions } from "./real-nvp.ts";
export { type SplineFlowOptions, splineFlow, splineFlowDefinition, splineFlowOptions } from "./spline.ts";
export { type Bijection, LogisticMixtureBijection } from "./transforms/bijections.ts";
export { type Conditioner, Coupling, ReluNetwork } from "./transforms/coupling.ts";
export { BatchNormTransform } from "./transforms/normalization.ts";
export type { Transform } from "./transforms/transform.ts";
