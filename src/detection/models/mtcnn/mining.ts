import { type Box, boxAt, iou } from "../../boxes/boxes.ts";
import type { StageWindows } from "./cascade.ts";
import type { MinedCrops } from "./crop-batches.ts";
import { type Crop, type CropImage, labeled } from "./crops.ts";

// What networks that are trained find in images: crops for the next one, and the share of the objects that they leave to it.

/** IoU from which on a window counts as one of an object, both as squares. */
export const RECALL_IOU = 0.5;

/** Windows of the cascade as boxes: its left and top edges count from 1. */
export function windowBoxes({ boxes }: StageWindows): readonly Box[] {
  return Array.from({ length: boxes.length / 4 }, (_, i): Box => {
    const [x1, y1, x2, y2] = boxAt(boxes, i);
    return [x1 - 1, y1 - 1, x2, y2];
  });
}

/** Crops among the windows that a network passes, the best scores first. @param most of each kind */
export function minedCrops(windows: StageWindows, image: CropImage, most: number): MinedCrops {
  const kinds: Record<"negative" | "part" | "positive", Crop[]> = { negative: [], part: [], positive: [] };
  const boxes = windowBoxes(windows);
  const order = boxes.map((_, i) => i).sort((a, b) => (windows.scores[b] ?? 0) - (windows.scores[a] ?? 0));
  for (const i of order) {
    const window = boxes[i];
    const crop = window && labeled(window, image);
    if (crop === undefined || crop.kind === "landmarks") continue;
    const list = kinds[crop.kind];
    if (list.length < most) list.push(crop);
  }
  return kinds;
}

/** Objects, and how many of them a network passes. */
export interface Recall {
  readonly objects: number;
  readonly found: number;
}

/** How many objects of an image have a window among those that a network passes. */
export function recallOf(windows: readonly Box[], { objects }: Pick<CropImage, "objects">): Recall {
  const found = objects.filter(({ square }) => windows.some((window) => iou(window, square) >= RECALL_IOU));
  return { objects: objects.length, found: found.length };
}

/** Recall over several images. */
export function addRecall(a: Recall, b: Recall): Recall {
  return { objects: a.objects + b.objects, found: a.found + b.found };
}

/** The share of the objects that are found; NaN where there are none. */
export function recallShare({ objects, found }: Recall): number {
  return found / objects;
}
