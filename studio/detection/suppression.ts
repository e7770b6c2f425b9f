import {
  iou,
  listDetections,
  nms,
  pickDetections,
  softNms,
  toDetections,
  weightedBoxesFusion,
} from "eidos/detection/boxes";
import { Random } from "eidos/program";
import { type Edges, heldBox, KINDS, type SceneObject } from "./scene.ts";
import type { SuppressionKind } from "./state.ts";

// Detections that are made up around the objects of the scene, and what is left of them when duplicates are removed.

/** A detection of the scene. */
export interface Found {
  readonly box: Edges;
  readonly score: number;
  readonly class: number;
}

export interface SuppressionRequest {
  readonly objects: readonly SceneObject[];
  readonly kind: SuppressionKind;
  /** IoU from which on boxes are duplicates; of soft-gaussian it has no effect. */
  readonly iou: number;
  /** σ of soft-gaussian. */
  readonly sigma: number;
  /** Least score of what is left. */
  readonly score: number;
  readonly byClass: boolean;
  /** Detections of an object. */
  readonly each: number;
  readonly seed: number;
}

export interface Suppressed {
  readonly before: readonly Found[];
  readonly after: readonly Found[];
}

/** Detectors that the made-up detections come from by turns, for fusion. */
export const SETS = 3;

/** Deviation of centers in sides of the object, and of the logarithms of sides. */
const [APART, STRETCHED] = [0.1, 0.12];

/**
 * So many detections of each object: its box with center and sides changed at random, the score a little below the IoU of both. Those of an
 * object that is moved move along.
 */
export function madeUp(objects: readonly SceneObject[], each: number, seed: number): readonly Found[] {
  return objects.flatMap(({ kind, box }, object) => {
    const own = new Random(seed).split("detections").split(object);
    const [x1, y1, x2, y2] = box;
    return Array.from({ length: each }, (_, i): Found => {
      const random = own.split(i);
      const shift = (side: number): number => APART * side * random.normal();
      const half = (side: number): number => (side / 2) * Math.exp(STRETCHED * random.normal());
      const [x, y] = [(x1 + x2) / 2 + shift(x2 - x1), (y1 + y2) / 2 + shift(y2 - y1)];
      const [width, height] = [half(x2 - x1), half(y2 - y1)];
      const found = heldBox([x - width, y - height, x + width, y + height]);
      return {
        box: found,
        score: iou(found, box) * (0.8 + 0.2 * random.uniform()),
        class: KINDS.indexOf(kind),
      };
    });
  });
}

/** Detections without duplicates, from the best down. */
export function suppress({ objects, each, seed, ...options }: SuppressionRequest): Suppressed {
  const before = madeUp(objects, each, seed);
  return { before, after: withoutDuplicates(before, options) };
}

/** What a way of suppression leaves of detections; those below the least score are left out afterwards. */
export function withoutDuplicates(
  found: readonly Found[],
  { kind, iou: threshold, sigma, score, byClass }: Omit<SuppressionRequest, "objects" | "each" | "seed">,
): readonly Found[] {
  const all = toDetections(found);
  const classes = byClass ? { classes: all.classes } : {};
  const listed = (places: ArrayLike<number>, scores?: ArrayLike<number>): readonly Found[] =>
    listDetections(pickDetections(all, places)).map((one, i) => ({
      ...one,
      score: scores?.[i] ?? one.score,
    }));
  const left = (): readonly Found[] => {
    switch (kind) {
      case "nms":
      case "diou-nms":
        return listed(
          nms(all.boxes, all.scores, {
            threshold,
            overlap: kind === "nms" ? "iou" : "diou",
            ...classes,
          }),
        );
      case "soft-linear":
      case "soft-gaussian": {
        const method = kind === "soft-linear" ? "linear" : "gaussian";
        const { places, scores } = softNms(all.boxes, all.scores, { method, threshold, sigma, ...classes });
        return listed(places, scores);
      }
      case "fusion": {
        const sets = Array.from({ length: SETS }, (_, set) =>
          toDetections(
            found.filter((__, i) => i % SETS === set).map((one) => (byClass ? one : { ...one, class: 0 })),
          ),
        );
        const fused = listDetections(weightedBoxesFusion(sets, { threshold }));
        return byClass ? fused : fused.map((one) => ({ ...one, class: likest(one.box, found) }));
      }
    }
  };
  return left().filter((one) => one.score >= score);
}

/** The class of the detection that overlaps most with a box: boxes that are fused whatever their class have none of their own. */
function likest(box: Edges, found: readonly Found[]): number {
  const overlaps = found.map((one) => iou(one.box, box));
  return found[overlaps.indexOf(Math.max(...overlaps))]?.class ?? 0;
}
