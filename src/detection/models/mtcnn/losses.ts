import type { Losses } from "../../../model/capabilities.ts";
import { sizeAt } from "../../../tensor/graph.ts";
import {
  arange,
  constant,
  logicalAnd,
  logicalOr,
  slice,
  type Tensor,
  topK,
  where,
} from "../../../tensor/index.ts";
import { atLeastOne, binaryCrossEntropy } from "../../loss/losses.ts";
import { CROP_KINDS, type CropKind } from "./crops.ts";
import type { CascadeOutputs, Stage } from "./networks.ts";

/** How much the losses of classification, edges and landmarks count in each network (Zhang et al. 2016, section 3.2). */
export const LOSS_WEIGHTS: Readonly<Record<Stage, { class: number; box: number; landmarks: number }>> = {
  pnet: { class: 1, box: 0.5, landmarks: 0.5 },
  rnet: { class: 1, box: 0.5, landmarks: 0.5 },
  onet: { class: 1, box: 0.5, landmarks: 1 },
};

/** Share of the classified crops of a batch that are learnt from, those of the highest losses (section 3.2, online hard sample mining). */
export const HARD_SHARE = 0.7;

/** Kept from being cut off below a whole number by rounding. */
const ROUNDING = 1e-3;

/** What crops teach. */
export interface CropTargets {
  /** What each is, a number into `CROP_KINDS`; −1 where there is none: [n] (int64). */
  readonly kinds: Tensor;
  /** How edges of the object lie beside those of the crop: [n, 4]. */
  readonly offsets: Tensor;
  /** Landmarks within the crop, all x, then all y; 0 where one is not marked: [n, 2 points]. */
  readonly landmarks?: Tensor | undefined;
  /** 1 where a number of a landmark is marked, else 0: [n, 2 points]. */
  readonly marked?: Tensor | undefined;
}

/** The number of a kind of crops. */
export function kindNumber(kind: CropKind): number {
  return CROP_KINDS.indexOf(kind);
}

/**
 * The mean of the hardest losses among those that count: ⌊share · count⌋ of them, at least one; 0 where none counts.
 * @param losses [n], not negative
 * @param counts [n] (bool)
 * @throws ShapeError
 */
export function hardest(losses: Tensor, counts: Tensor, share = HARD_SHARE): Tensor {
  const count = sizeAt("hardest", losses, 0);
  const { values } = topK(where(counts, losses, -1), count, 0);
  const kept = counts.cast("float32").sum().mul(share).add(ROUNDING).floor().maximum(1);
  const places = arange(0, count, 1, "float32");
  const isKept = logicalAnd(places.less(kept), values.greaterEqual(0));
  return where(isKept, values, constant(0)).sum().div(kept);
}

/** The mean over crops of a kind of the sum of squares of each: both [n, m], of crops that count [n] (bool). */
function meanOfSquares(differences: Tensor, counts: Tensor): Tensor {
  const sums = differences.square().sum(1);
  return where(counts, sums, constant(0))
    .sum()
    .div(atLeastOne(counts.cast("float32")));
}

/**
 * Losses of a network on a batch of crops (Zhang et al. 2016, equations 1 to 4): cross entropy of negative and positive crops, the hardest
 * 70 % of them; squared distance of edges of positive crops and parts; squared distance of landmarks. Each is a mean over the crops that
 * count in it, and no crop counts in others.
 * @param outputs of crops, or maps of one location
 * @throws ShapeError
 */
export function cropLosses(stage: Stage, outputs: CascadeOutputs, targets: CropTargets): Losses {
  const count = sizeAt("cropLosses", outputs.logits, 0);
  const { kinds, offsets, landmarks, marked } = targets;
  const is = (kind: CropKind): Tensor => kinds.equal(kindNumber(kind));
  const logits = outputs.logits.reshape([count, 2]);
  const logit = slice(logits, 1, 1, 2)
    .sub(slice(logits, 1, 0, 1))
    .squeeze(1);
  const positive = is("positive");
  const judged = binaryCrossEntropy(logit, positive.cast("float32"));
  const ofClass = hardest(judged, logicalOr(positive, is("negative")));
  const ofBox = meanOfSquares(
    outputs.offsets.reshape([count, 4]).sub(offsets),
    logicalOr(positive, is("part")),
  );
  const weights = LOSS_WEIGHTS[stage];
  const total = ofClass.mul(weights.class).add(ofBox.mul(weights.box));
  if (outputs.landmarks === undefined || landmarks === undefined || marked === undefined) {
    return { total, class: ofClass, box: ofBox };
  }
  const numbers = sizeAt("cropLosses", landmarks, 1);
  const ofLandmarks = meanOfSquares(
    outputs.landmarks.reshape([count, numbers]).sub(landmarks).mul(marked),
    is("landmarks"),
  );
  return {
    total: total.add(ofLandmarks.mul(weights.landmarks)),
    class: ofClass,
    box: ofBox,
    landmarks: ofLandmarks,
  };
}
