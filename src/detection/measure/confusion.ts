import { checkShare } from "../boxes/candidates.ts";
import type { EvaluatedImage } from "./matching.ts";
import { evaluationOverlaps } from "./matching.ts";

export interface ConfusionOptions {
  /** The IoU that a detection must reach to belong to an object; default: ½. */
  readonly threshold?: number;
  /** Detections of a lower score do not count; default: ¼. */
  readonly minimumScore?: number;
}

/** Objects by what they are and what they were taken for. */
export interface ConfusionMatrix {
  readonly classCount: number;
  /**
   * Counts, `classCount` + 1 rows of as many: a row is what an object is, a column what it was detected as. The last row counts
   * detections where there is no object, the last column objects that were not detected.
   */
  readonly counts: Uint32Array;
}

/**
 * Which class is taken for which. Within an image, detections and objects of all classes are paired by IoU, the largest first,
 * each at most once; of equal ones, a pair of the same class comes first, then the better detection. Detections left over
 * that lie in a crowd of their class, or on an object of it to be ignored, by the threshold at least are not counted.
 * @throws OptionError where the threshold is not in 0 … 1
 */
export function confusionMatrix(
  images: readonly EvaluatedImage[],
  classCount: number,
  { threshold = 0.5, minimumScore = 0.25 }: ConfusionOptions = {},
): ConfusionMatrix {
  checkShare("confusion", "threshold", threshold);
  const size = classCount + 1;
  const counts = new Uint32Array(size * size);
  const count = (truth: number, found: number) => {
    counts[truth * size + found] = (counts[truth * size + found] ?? 0) + 1;
  };
  for (const image of images) {
    const objects = [...image.truth.classes.keys()];
    const found = [...image.found.scores.keys()].filter((d) => (image.found.scores[d] ?? 0) >= minimumScore);
    const overlaps = evaluationOverlaps(image, found, objects);
    const pairs = found
      .flatMap((d, row) =>
        objects.map((g) => {
          const same = image.found.classes[d] === image.truth.classes[g];
          return { row, g, same, overlap: overlaps[row * objects.length + g] ?? 0 };
        }),
      )
      .filter(({ overlap }) => overlap >= threshold && overlap > 0)
      .sort((a, b) => b.overlap - a.overlap || Number(b.same) - Number(a.same) || a.row - b.row || a.g - b.g);
    const counted = pairs.filter(({ g }) => image.truth.ignored[g] === 0);
    const takenObjects = new Set<number>();
    const takenDetections = new Set<number>();
    for (const { row, g } of counted) {
      if (takenObjects.has(g) || takenDetections.has(row)) continue;
      takenObjects.add(g);
      takenDetections.add(row);
      count(image.truth.classes[g] ?? 0, image.found.classes[found[row] ?? 0] ?? 0);
    }
    const excused = new Set(
      pairs.filter(({ g, same }) => same && image.truth.ignored[g] === 1).map(({ row }) => row),
    );
    for (const [row, d] of found.entries()) {
      if (!takenDetections.has(row) && !excused.has(row)) count(classCount, image.found.classes[d] ?? 0);
    }
    for (const g of objects) {
      if (!takenObjects.has(g) && image.truth.ignored[g] === 0)
        count(image.truth.classes[g] ?? 0, classCount);
    }
  }
  return { classCount, counts };
}
