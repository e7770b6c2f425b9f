export { drawArea } from "./area.ts";
export {
  type CascadeLook,
  type CascadeNetworks,
  type CascadeStages,
  cascadeStages,
  pyramidScales,
  type StageWindows,
} from "./cascade.ts";
export { Mtcnn, mtcnnDefinition } from "./mtcnn.ts";
export {
  type CascadeOutputs,
  ceilMaxPool,
  flattened,
  type HeadOptions,
  INPUT_SIZES,
  normalizedPixels,
  ONet,
  PNet,
  PReLU,
  RNet,
  STAGES,
  type Stage,
} from "./networks.ts";
export { type CascadeLookOptions, type MtcnnOptions, mtcnnOptions } from "./options.ts";
