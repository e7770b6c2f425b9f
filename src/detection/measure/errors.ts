import { checkShare } from "../boxes/candidates.ts";
import { interpolatedPrecision } from "./coco.ts";
import type { EvaluatedImage } from "./matching.ts";
import { evaluationOverlaps } from "./matching.ts";

/** What can be wrong: see `detectionErrors`. */
export type ErrorKind = "class" | "localisation" | "both" | "duplicate" | "background" | "missed";

export const ERROR_KINDS: readonly ErrorKind[] = [
  "class",
  "localisation",
  "both",
  "duplicate",
  "background",
  "missed",
];

export interface ErrorOptions {
  /** The IoU that a detection must reach; default: ½. */
  readonly threshold?: number;
  /** An IoU below it is chance; default: 0.1. */
  readonly background?: number;
  /** How many detections of an image count; default: 100. */
  readonly maximum?: number;
}

/** How often each error was made, and what it costs. */
export interface DetectionErrors {
  /** Average precision at the threshold, in 0 … 1; NaN where there is no object. */
  readonly ap: number;
  readonly counts: Readonly<Record<ErrorKind, number>>;
  /** How much higher average precision would be without the errors of this kind alone. */
  readonly costs: Readonly<Record<ErrorKind, number>>;
}

/** A detection that counts. `fixed` is what it becomes when its error is undone: right, of that class; or it goes. */
interface Judged {
  readonly score: number;
  readonly class: number;
  readonly error?: ErrorKind;
  readonly fixed?: number;
}

/**
 * Why detections are wrong and objects not found (Bolya et al. 2020, "TIDE: a general toolbox for identifying object detection
 * errors", section 2; the question is that of Hoiem et al. 2012). At a threshold t_f and a background threshold t_b, a detection that is not
 * right is the first of these that it fits:
 *
 * - `localisation`: t_b ≤ IoU < t_f with an object of its class;
 * - `class`: IoU ≥ t_f with an object of another class;
 * - `duplicate`: IoU ≥ t_f with an object of its class that a better one has taken;
 * - `background`: IoU ≤ t_b with all objects;
 * - `both`: neither class nor location is right.
 *
 * An object is `missed` that neither a right detection nor one with an error of class or location has seen. The cost of a kind is
 * what average precision (at 101 recalls) gains when its errors are undone: the best detection with an error of class or location
 * becomes right where its object was not found, all other wrong ones of the kind go, missed objects are not asked for.
 * Detections in crowds and on objects to be ignored do not count.
 * @throws OptionError where a threshold is not in 0 … 1
 */
export function detectionErrors(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5, background = 0.1, maximum = 100 }: ErrorOptions = {},
): DetectionErrors {
  checkShare("errors", "threshold", threshold);
  checkShare("errors", "background", background);
  const judged: Judged[] = [];
  const objects = new Uint32Array(classCount);
  const missed = new Uint32Array(classCount);
  const counts = { class: 0, localisation: 0, both: 0, duplicate: 0, background: 0, missed: 0 };
  for (const image of images) {
    const result = judgeImage(image, threshold, background, maximum);
    judged.push(...result.judged);
    for (const { error } of result.judged) if (error !== undefined) counts[error]++;
    for (const label of result.objects) objects[label] = (objects[label] ?? 0) + 1;
    for (const label of result.missed) missed[label] = (missed[label] ?? 0) + 1;
    counts.missed += result.missed.length;
  }
  judged.sort((a, b) => b.score - a.score || 0);
  const ap = meanPrecision(judged, objects);
  const cost = (kind: ErrorKind): number => {
    const left =
      kind === "missed"
        ? meanPrecision(judged, objects, missed)
        : meanPrecision(undone(judged, kind), objects);
    return Math.max(0, left - ap);
  };
  const costs = {
    class: cost("class"),
    localisation: cost("localisation"),
    both: cost("both"),
    duplicate: cost("duplicate"),
    background: cost("background"),
    missed: cost("missed"),
  };
  return { ap, counts, costs };
}

function undone(judged: readonly Judged[], kind: ErrorKind): readonly Judged[] {
  return judged.flatMap((detection) => {
    if (detection.error !== kind) return [detection];
    return detection.fixed === undefined ? [] : [{ score: detection.score, class: detection.fixed }];
  });
}

/** The mean over the classes with objects. Where none is left to be asked for, a class counts 0 if it has detections. */
function meanPrecision(
  judged: readonly Judged[],
  objects: Uint32Array,
  excused = new Uint32Array(objects.length),
): number {
  const outcomes = Array.from(objects, (): number[] => []);
  for (const { class: label, error } of judged) outcomes[label]?.push(error === undefined ? 1 : 0);
  let [sum, count] = [0, 0];
  for (const [label, all] of objects.entries()) {
    const outcome = outcomes[label] ?? [];
    const asked = all - (excused[label] ?? 0);
    if (all === 0 || (asked === 0 && outcome.length === 0)) continue;
    count++;
    if (asked > 0) sum += mean(interpolatedPrecision(outcome, asked).precision);
  }
  return sum / count;
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What was right and wrong in an image; classes of its objects, and of those that nothing has seen. */
function judgeImage(image: EvaluatedImage, threshold: number, background: number, maximum: number) {
  const { truth } = image;
  const found = [...image.found.scores.keys()].slice(0, maximum);
  const asked = [...truth.classes.keys()].filter((g) => truth.ignored[g] === 0);
  const excusing = [...truth.classes.keys()].filter((g) => truth.ignored[g] === 1);
  const labels = asked.map((g) => truth.classes[g] ?? 0);
  const overlaps = evaluationOverlaps(image, found, asked);
  const excuses = evaluationOverlaps(image, found, excusing);
  const classOf = (row: number) => image.found.classes[found[row] ?? 0] ?? 0;
  /** The object, by its column, with which a detection overlaps most: of its class or of another, taken or not. */
  const nearest = (row: number, same: boolean, free = false) => {
    let [best, iou] = [-1, 0];
    for (let column = 0; column < asked.length; column++) {
      const overlap = overlaps[row * asked.length + column] ?? 0;
      if (overlap <= iou || (free && taken.has(column))) continue;
      if ((labels[column] === classOf(row)) === same) [best, iou] = [column, overlap];
    }
    return { column: best, iou };
  };

  const taken = new Set<number>();
  const right = new Set<number>();
  for (const row of found.keys()) {
    const match = nearest(row, true, true);
    if (match.column < 0 || match.iou < threshold) continue;
    taken.add(match.column);
    right.add(row);
  }
  const seen = new Set<number>();
  const judged = found.flatMap((d, row): readonly Judged[] => {
    const detection = { score: image.found.scores[d] ?? 0, class: classOf(row) };
    if (right.has(row)) return [detection];
    const excused = excusing.some(
      (g, column) =>
        truth.classes[g] === detection.class &&
        (excuses[row * excusing.length + column] ?? 0) >= Math.max(threshold, Number.MIN_VALUE),
    );
    if (excused) return [];
    const wrong = (error: ErrorKind, column = -1): readonly Judged[] => {
      // Detections come from the best down: the first to see an object is the one that would have found it.
      const first = column >= 0 && !taken.has(column) && !seen.has(column);
      if (first) seen.add(column);
      const label = labels[column];
      return [{ ...detection, error, ...(first && label !== undefined ? { fixed: label } : {}) }];
    };
    const own = nearest(row, true);
    if (own.iou >= background && own.iou < threshold && own.column >= 0)
      return wrong("localisation", own.column);
    const others = nearest(row, false);
    if (others.iou >= threshold && others.column >= 0) return wrong("class", others.column);
    if (own.iou >= threshold) return wrong("duplicate");
    return wrong(Math.max(own.iou, others.iou) <= background ? "background" : "both");
  });
  return {
    judged,
    objects: labels,
    missed: labels.filter((_, column) => !taken.has(column) && !seen.has(column)),
  };
}
