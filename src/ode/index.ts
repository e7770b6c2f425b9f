export {
  type AdaptiveOptions,
  type AdaptiveResult,
  dormandPrince,
  dormandPrinceTableau,
} from "./dormand-prince.ts";
export { dormandPrinceGraph, type GraphVelocity, SOLVED_INSIDE } from "./graph.ts";
export {
  addScaled,
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
export { integrateUnrolled, type SymbolicVelocity, stageTimes, type UnrolledOptions } from "./symbolic.ts";
