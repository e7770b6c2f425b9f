export { linearPath, type Path } from "./path.ts";
export { RectifiedFlow, rectifiedFlowDefinition } from "./rectified-flow.ts";
export {
  type RectifiedFlowOptions,
  type RectifiedFlowSampleOptions,
  rectifiedFlowOptions,
  rectifiedFlowSampleOptions,
} from "./rectified-flow-options.ts";
export { type LogitNormal, sampleTimes, TIME_SAMPLINGS, type TimeSampling } from "./time-sampling.ts";
export type { VelocityNetwork } from "./velocity-network.ts";
