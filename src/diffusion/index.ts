export {
  type AdaptiveOptions,
  type AdaptiveResult,
  dormandPrince,
  dormandPrinceTableau,
} from "./dormand-prince.ts";
export { linearPath, type Path } from "./path.ts";
export { RectifiedFlow, rectifiedFlowDefinition } from "./rectified-flow.ts";
export {
  type RectifiedFlowOptions,
  type RectifiedFlowSampleOptions,
  rectifiedFlowOptions,
  rectifiedFlowSampleOptions,
} from "./rectified-flow-options.ts";
export {
  type ButcherTableau,
  euler,
  evenTimes,
  FIXED_STEP_METHODS,
  type FixedStepMethod,
  type FloatType,
  heun,
  integrate,
  midpoint,
  rk4,
  rungeKuttaStep,
  type Velocity,
} from "./solver.ts";
export { type LogitNormal, sampleTimes, TIME_SAMPLINGS, type TimeSampling } from "./time-sampling.ts";
export type { VelocityNetwork } from "./velocity-network.ts";
