import { centerNetDefinition } from "./center-net.ts";
import type { DetectorDefinition } from "./detector.ts";
import { ultraLightRfbDefinition } from "./faces/ultra-light-rfb.ts";
import { yunetDefinition } from "./faces/yunet.ts";
import { fasterRcnnDefinition } from "./faster-rcnn.ts";
import { fcosDefinition } from "./fcos.ts";
import { mtcnnDefinition } from "./mtcnn/mtcnn.ts";
import { retinaNetDefinition } from "./retina-net.ts";
import { slidingWindowDefinition } from "./sliding-window.ts";
import { yoloDefinition } from "./yolo.ts";
import { yoloV1Definition } from "./yolo-v1.ts";
import { yoloV3Definition } from "./yolo-v3.ts";

/** Detectors that look at an image once. */
const single = [
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

/** Every detector. A new one is one line here, or in the list before: the catalogue takes the list as it is. */
export const detectorDefinitions = [...single, mtcnnDefinition] as const;

/** Every detector by name but cascades, which do not find objects by one graph. */
export const detectors: ReadonlyMap<string, DetectorDefinition> = new Map(
  single.map((definition) => [definition.name, definition as DetectorDefinition]),
);
