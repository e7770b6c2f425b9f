export { GaussianMixture } from "./density/mixture.ts";
export { Ddpm, type DdpmModelOptions, ddpmDefinition, ddpmOptions } from "./models/ddpm.ts";
export {
  DiffusionModel,
  type DiffusionParts,
  diffusionPreferences,
  type Preconditioning,
} from "./models/diffusion-model.ts";
export {
  DistilledFlow,
  type DistilledFlowOptions,
  distilledFlowDefinition,
  distilledFlowOptions,
} from "./models/distilled-flow.ts";
export { Edm, type EdmModelOptions, edmDefinition, edmOptions } from "./models/edm.ts";
export {
  measureStraightness,
  RectifiedFlow,
  type RectifiedFlowOptions,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
} from "./models/rectified-flow.ts";
export {
  RectifiedTransport,
  type RectifiedTransportOptions,
  rectifiedTransportDefinition,
  rectifiedTransportOptions,
} from "./models/rectified-transport.ts";
export { ScoreSde, type ScoreSdeOptions, scoreSdeDefinition, scoreSdeOptions } from "./models/score-sde.ts";
export { WEIGHTINGS } from "./objective/objective.ts";
export { PREDICTIONS } from "./objective/prediction.ts";
export { COUPLINGS, TIME_SAMPLINGS } from "./objective/training.ts";
export { GaussianPath, type Path } from "./path/gaussian.ts";
export { PATHS, type PathName } from "./path/paths.ts";
export { DiscreteSchedule } from "./path/schedule.ts";
export type { DiffusionCore, NetworkViews } from "./solver/follow.ts";
export { type Process, SPACINGS } from "./solver/levels.ts";
export {
  type DiffusionSampleOptions,
  diffusionSampleOptions,
  SOLVERS,
  type SolverName,
} from "./solver/options.ts";
