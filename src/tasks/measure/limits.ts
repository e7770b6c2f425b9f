import type { DetectionSplit } from "../../data/boxes/set.ts";
import { COCO_MAXIMUM } from "../../detection/measure/coco.ts";
import { counted } from "../../memory.ts";

// Where a maximum of an evaluation leaves something out: what is told of it, once, with a count and an example.

/** Images of a kind, and the first of them. */
export interface Images {
  readonly images: number;
  readonly example: string;
}

/** The maximums of an evaluation, and where they bite. */
export interface SplitLimits {
  /** Most detections of an image. */
  readonly detections: number;
  /** Most detections of a class in an image that COCO's measures look at. */
  readonly coco: number;
  /** Images in which more was found than counts. */
  readonly cut?: Images;
  /** Images with more objects of a class than COCO's measures look at detections, or with more objects than detections that count. */
  readonly crowded?: Images & { readonly objects: number };
  /** Images in which more windows passed the proposal network of a cascade than are kept. */
  readonly windows?: Images & { readonly most: number };
}

/** Gathers where the maximums of an evaluation bite. */
export interface LimitNotes {
  /** More was found in an image than counts. */
  cut(file: string): void;
  /** More windows of an image passed a network than are kept. */
  windows(file: string, most: number): void;
  readonly all: SplitLimits;
}

/**
 * The maximums of an evaluation of a split.
 * @param detections most of an image that count
 * @param given the maximum that was asked for, which COCO's measures take, too; undefined for that of COCO
 */
export function limitsOf(split: DetectionSplit, detections: number, given: number | undefined): LimitNotes {
  const coco = given ?? COCO_MAXIMUM;
  const cut = new Set<string>();
  const windows = new Map<string, number>();
  return {
    cut: (file) => void cut.add(file),
    windows: (file, most) => void windows.set(file, most),
    get all() {
      const crowded = crowdedImages(split, { detections, coco });
      const [cutExample] = cut;
      const [windowExample] = windows;
      return {
        detections,
        coco,
        ...(cutExample !== undefined && { cut: { images: cut.size, example: cutExample } }),
        ...(crowded !== undefined && { crowded }),
        ...(windowExample !== undefined && {
          windows: { images: windows.size, example: windowExample[0], most: windowExample[1] },
        }),
      };
    },
  };
}

/** Images of which no detector can find all that is to be found; the example has the most objects. */
function crowdedImages(
  split: DetectionSplit,
  { detections, coco }: Pick<SplitLimits, "detections" | "coco">,
): SplitLimits["crowded"] {
  let images = 0;
  let fullest = { example: "", objects: 0 };
  for (let index = 0; index < split.count; index++) {
    const { file, labels, crowd, difficult } = split.annotations(index);
    const ofClass = new Map<number, number>();
    for (const [i, label] of labels.entries()) {
      if (crowd[i] === 1 || difficult[i] === 1) continue;
      ofClass.set(label, (ofClass.get(label) ?? 0) + 1);
    }
    const counts = [...ofClass.values()];
    const objects = counts.reduce((sum, count) => sum + count, 0);
    if (objects <= detections && counts.every((count) => count <= coco)) continue;
    images++;
    if (objects > fullest.objects) fullest = { example: file, objects };
  }
  return images === 0 ? undefined : { images, ...fullest };
}

/**
 * A line for each maximum that bites.
 * @param asked whether the maximum was given, or what is measured knows none: that a detector finds more than COCO's 100 of low scores in an
 * image is usual, and by its rules
 */
export function limitLines(
  { detections, coco, cut, crowded, windows }: SplitLimits,
  asked: boolean,
): readonly string[] {
  return [
    ...(crowded === undefined
      ? []
      : [
          `${counted(crowded.images, "image")} with more objects than detections that count (${detections} of an image, in COCO's measures ${coco} of a class): not all can be found; ${crowded.example} has ${crowded.objects}; --max raises both`,
        ]),
    ...(cut === undefined || !asked
      ? []
      : [
          `more than ${counted(detections, "detection")} in ${counted(cut.images, "image")}, of which the best ${detections === 1 ? "one counts" : `${detections} count`}, as in ${cut.example}; --max raises it, --confidence leaves out low scores`,
        ]),
    ...(windows === undefined ? [] : [windowsLine(windows)]),
  ];
}

/** A line on images in which more windows pass the proposal network of a cascade than are kept. */
export function windowsLine({ images, example, most }: Images & { readonly most: number }): string {
  return `more than ${most} windows passed the proposal network in ${counted(images, "image")}, of which the best ${most} went on, as in ${example}; --thresholds with a higher first one, a larger --minimum-size or --tiles pass fewer`;
}
