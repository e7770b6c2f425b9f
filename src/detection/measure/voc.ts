import { checkShare } from "../boxes/candidates.ts";
import { type ClassGroup, type EvaluatedImage, evaluationOverlaps, groupByClass } from "./matching.ts";

export interface VocOptions {
  /** The IoU that a detection must reach; default: ½. */
  readonly threshold?: number;
  /**
   * How precision is integrated over recall: at the recalls 0, 0.1, … 1 (`11`, the rule up to VOC 2009) or exactly (`all`, from
   * 2010 on; the default).
   */
  readonly points?: 11 | "all";
}

/** Average precision by VOC's rules, in 0 … 1. */
export interface VocAccuracy {
  /** The mean over the classes with objects; NaN where there are none. */
  readonly ap: number;
  /** Of each class; NaN where it has no object to find. */
  readonly classes: readonly number[];
}

/**
 * Average precision by the rules of the Pascal VOC challenge (Everingham et al. 2010, "The Pascal visual object classes (VOC)
 * challenge", section 4.2; VOCevaldet of its development kit). From the best score down over all images, a detection belongs to
 * the object of its class and image with which it overlaps most, taken or not, and is right if by the threshold at least and
 * as the first one; a later one is wrong. Objects to be ignored (VOC's difficult ones, crowds too) need not be found, and a detection that
 * belongs to one is neither right nor wrong. Equal scores come in the order of the images, then as given.
 *
 * VOC's files count pixels from 1 and include the last one: the box of those numbers is [xmin − 1, ymin − 1, xmax, ymax].
 * @throws OptionError where the threshold is not in 0 … 1
 */
export function vocAccuracy(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5, points = "all" }: VocOptions = {},
): VocAccuracy {
  checkShare("voc", "threshold", threshold);
  const classes = groupByClass(images, classCount).map((groups) => classAccuracy(groups, threshold, points));
  const known = classes.filter((value) => !Number.isNaN(value));
  return { ap: known.reduce((sum, value) => sum + value, 0) / known.length, classes };
}

function classAccuracy(groups: readonly ClassGroup[], threshold: number, points: 11 | "all"): number {
  const objects = groups.reduce(
    (sum, { image, truth }) => sum + truth.filter((g) => image.truth.ignored[g] === 0).length,
    0,
  );
  if (objects === 0) return Number.NaN;
  const outcomes = groups
    .flatMap((group) => outcomesOf(group, threshold))
    .sort((a, b) => b.score - a.score || 0)
    .filter(({ right }) => right !== undefined);
  let found = 0;
  const curve = outcomes.map(({ right }, i) => {
    found += right ? 1 : 0;
    return { recall: found / objects, precision: found / (i + 1) };
  });
  return points === 11 ? elevenPoints(curve) : areaUnder(curve);
}

/** Detections of an image: right, wrong, or undefined where they do not count. */
function outcomesOf(
  { image, found, truth }: ClassGroup,
  threshold: number,
): readonly { readonly score: number; readonly right: boolean | undefined }[] {
  const overlaps = evaluationOverlaps(withoutCrowds(image), found, truth);
  const taken = new Set<number>();
  return found.map((d, row) => {
    const score = image.found.scores[d] ?? 0;
    let [most, match] = [-Infinity, -1];
    for (const column of truth.keys()) {
      const overlap = overlaps[row * truth.length + column] ?? 0;
      if (overlap > most) [most, match] = [overlap, column];
    }
    if (most < threshold) return { score, right: false };
    if (image.truth.ignored[truth[match] ?? 0] === 1) return { score, right: undefined };
    const right = !taken.has(match);
    taken.add(match);
    return { score, right };
  });
}

/** VOC knows no crowds: they overlap as any object. */
function withoutCrowds(image: EvaluatedImage): EvaluatedImage {
  return { ...image, truth: { ...image.truth, crowd: new Uint8Array(image.truth.crowd.length) } };
}

export interface CurvePoint {
  readonly recall: number;
  readonly precision: number;
}

/** The mean over eleven recalls of the highest precision at that recall or above. */
function elevenPoints(curve: readonly CurvePoint[]): number {
  const highest = Array.from({ length: 11 }, (_, i) =>
    curve.reduce((most, { recall, precision }) => (recall >= i / 10 ? Math.max(most, precision) : most), 0),
  );
  return highest.reduce((sum, precision) => sum + precision, 0) / 11;
}

/** The area under precision that is made to fall with recall. */
export function areaUnder(curve: readonly CurvePoint[]): number {
  let [area, highest] = [0, 0];
  for (const [i, { recall, precision }] of [...curve.entries()].reverse()) {
    highest = Math.max(highest, precision);
    area += (recall - (curve[i - 1]?.recall ?? 0)) * highest;
  }
  return area;
}
