import { centerNetDefinition } from "./center-net.ts";
import type { DetectorDefinition } from "./detector.ts";
import { ultraLightRfbDefinition } from "./faces/ultra-light-rfb.ts";
import { yunetDefinition } from "./faces/yunet.ts";
import { fasterRcnnDefinition } from "./faster-rcnn.ts";
import { fcosDefinition } from "./fcos.ts";
import { retinaNetDefinition } from "./retina-net.ts";
import { slidingWindowDefinition } from "./sliding-window.ts";
import { yoloDefinition } from "./yolo.ts";
import { yoloV1Definition } from "./yolo-v1.ts";
import { yoloV3Definition } from "./yolo-v3.ts";

/** Every detector. A new one is one line here: the catalogue takes the list as it is. */
export const detectorDefinitions = [
  yoloDefinition,
  fcosDefinition,
  centerNetDefinition,
  retinaNetDefinition,
  yoloV1Definition,
  yoloV3Definition,
  fasterRcnnDefinition,
  slidingWindowDefinition,
  yunetDefinition,
  ultraLightRfbDefinition,
] as const;

/** Every detector by name. */
export const detectors: ReadonlyMap<string, DetectorDefinition> = new Map(
  detectorDefinitions.map((definition) => [definition.name, definition as DetectorDefinition]),
);
