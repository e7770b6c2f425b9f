import { OptionError } from "../../errors.ts";
import {
  type CandidateOptions,
  type Candidates,
  candidatesOf,
  checkShare,
  classMembers,
} from "./candidates.ts";

export interface SoftNmsOptions extends CandidateOptions {
  /** How a score sinks with the overlap; default: `gaussian`. */
  readonly method?: "linear" | "gaussian";
  /** For `linear`: the IoU from which on scores sink; default: 0.3. */
  readonly threshold?: number;
  /** For `gaussian`: σ, the larger the gentler; default: ½. */
  readonly sigma?: number;
  /** Boxes are left out once their score is lower; default: 0.001. */
  readonly minimumScore?: number;
  /** Most boxes to keep; default: all. */
  readonly maximum?: number;
}

/** Boxes with the scores that are left of theirs. */
export interface SoftSuppression {
  /** Indices of the kept boxes, from the best score down. */
  readonly places: Uint32Array;
  /** The score of each after the others have lowered it. */
  readonly scores: Float64Array;
}

/**
 * Soft-NMS (Bodla et al. 2017, "Soft-NMS: improving object detection with one line of code", figure 2): the best box is kept
 * and lowers the scores of all that overlap with it, then the best of the rest, and so on. A score s becomes s (1 − IoU) where
 * IoU ≥ threshold (`linear`), or s exp(−IoU² / σ) (`gaussian`). Within each class where `classes` are given.
 *
 * Of equal scores the one that was better before any was lowered comes first, then the one that stands first. NaN as in `nms`. The
 * cost is the square of the number of boxes: 10,000 take up to a second.
 * @throws OptionError where the arrays do not belong together or an option is not acceptable
 */
export function softNms(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: SoftNmsOptions = {},
): SoftSuppression {
  const { method = "gaussian", threshold = 0.3, sigma = 0.5, minimumScore = 0.001 } = options;
  const { maximum = Infinity } = options;
  checkShare("softNms", "threshold", threshold);
  if (!(sigma > 0)) throw new OptionError(`softNms: sigma ${sigma} must be positive`);
  if (!(minimumScore >= 0)) throw new OptionError(`softNms: minimumScore ${minimumScore} must be 0 or more`);
  if (!(maximum >= 0))
    throw new OptionError(`softNms: maximum ${maximum} must be a number of boxes, 0 or more`);
  const factor =
    method === "linear"
      ? (iou: number) => (iou >= threshold ? 1 - iou : 1)
      : (iou: number) => Math.exp(-(iou ** 2) / sigma);
  const candidates = candidatesOf("softNms", boxes, scores, { ...options, minimumScore });
  const left = candidates.scores.slice();
  const kept = classMembers(candidates, options.classes)
    .flatMap((members) => keepSoftly(candidates, members, left, factor, minimumScore))
    .sort((a, b) => (left[b] ?? 0) - (left[a] ?? 0) || a - b)
    .slice(0, Math.min(maximum, candidates.count));
  return {
    places: Uint32Array.from(kept, (i) => candidates.places[i] ?? 0),
    scores: Float64Array.from(kept, (i) => left[i] ?? 0),
  };
}

/** Lowers the scores `left` of the members; those that are kept, in the order in which they are. */
function keepSoftly(
  { x1, y1, x2, y2, areas }: Candidates,
  members: Uint32Array,
  left: Float64Array,
  factor: (iou: number) => number,
  minimumScore: number,
): readonly number[] {
  const kept: number[] = [];
  const rest = members.slice();
  let count = rest.length;
  // Members come sorted, so that the first is the best to begin with.
  for (let best = 0; count > 0; ) {
    const i = rest[best] ?? 0;
    kept.push(i);
    const [left1, top1, right1, bottom1] = [x1[i] ?? 0, y1[i] ?? 0, x2[i] ?? 0, y2[i] ?? 0];
    const area = areas[i] ?? 0;
    let [remaining, highest, next] = [0, -1, 0];
    for (let at = 0; at < count; at++) {
      if (at === best) continue;
      const j = rest[at] ?? 0;
      const width = Math.min(right1, x2[j] ?? 0) - Math.max(left1, x1[j] ?? 0);
      const height = Math.min(bottom1, y2[j] ?? 0) - Math.max(top1, y1[j] ?? 0);
      if (width > 0 && height > 0) {
        const shared = width * height;
        left[j] = (left[j] ?? 0) * factor(shared / (area + (areas[j] ?? 0) - shared));
      }
      const score = left[j] ?? 0;
      if (score < minimumScore) continue;
      if (score > highest) [highest, next] = [score, remaining];
      rest[remaining++] = j;
    }
    [count, best] = [remaining, next];
  }
  return kept;
}
