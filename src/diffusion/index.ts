export {
  type AdaptiveOptions,
  type AdaptiveResult,
  dormandPrince,
  dormandPrinceTableau,
} from "./dormand-prince.ts";
export { linearPath, type Path } from "./path.ts";
export {
  RectifiedFlow,
  type RectifiedFlowOptions,
  type RectifiedFlowSampleOptions,
  rectifiedFlowDefinition,
  rectifiedFlowOptions,
  rectifiedFlowSampleOptions,
} from "./rectified-flow.ts";
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
