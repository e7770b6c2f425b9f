import { cumSum, gatherElements, slice, type Tensor } from "../tensor/index.ts";
import { bernoulliLogProb } from "./bernoulli.ts";

/** The distribution of one element of an image, a pixel's channel, given the numbers that a network has for it. */
export interface PixelValues {
  /** How many numbers the network has for an element, K. */
  readonly logits: number;
  /** Data units to about [−1, 1], so that nothing inside an image looks like the zeros around it. */
  scale(x: Tensor): Tensor;
  /**
   * log p(x) of elements in nats.
   * @param logits with K along an axis
   * @param x in data units, of the shape of the logits without that axis
   */
  logProb(logits: Tensor, x: Tensor, axis: number): Tensor;
  /** Elements in data units from logits [n, K] and uniform numbers on [0, 1), [n] → [n]. */
  draw(logits: Tensor, uniforms: Tensor): Tensor;
}

/** Zeros and ones: the logit of a one. */
export const bits: PixelValues = {
  logits: 1,
  scale: (x) => x.mul(2).sub(1),
  logProb: (logits, x, axis) => bernoulliLogProb(logits.squeeze(axis), x),
  draw: (logits, uniforms) => uniforms.less(logits.squeeze(1).sigmoid()).cast("float32"),
};

/** Number of bytes. */
const BYTES = 256;

/** Keeps a level of probability 0, which rounding may pick, from dividing by it. */
const LEAST = 1e-30;

/**
 * Bytes in levels: a byte b belongs to level ⌊b L / 256⌋, which has one of L logits, and is uniform among the bytes of
 * its level. So log p(b) = log p(level) − log(bytes of the level) is a log-probability of the byte, and 256 levels are
 * van den Oord et al. 2016 ("Pixel Recurrent Neural Networks", section 3.3) to the letter. The network sees the level.
 */
export function byteLevels(levels: number): PixelValues {
  // ⌈level · 256 / L⌉; quotients of such whole numbers are never rounded across the next one.
  const first = (level: Tensor): Tensor =>
    level
      .mul(BYTES)
      .add(levels - 1)
      .div(levels)
      .floor();
  const levelOf = (x: Tensor): Tensor => x.mul(levels / BYTES).floor();
  const width = (level: Tensor): Tensor => first(level.add(1)).sub(first(level));
  return {
    logits: levels,
    scale: (x) =>
      levelOf(x)
        .mul(2 / (levels - 1))
        .sub(1),
    logProb: (logits, x, axis) => {
      const level = levelOf(x);
      const own = gatherElements(logits, level.cast("int64").unsqueeze(axis), axis).squeeze(axis);
      return own.sub(logits.logSumExp(axis)).sub(width(level).log());
    },
    draw: (logits, uniforms) => {
      const u = uniforms.unsqueeze(1);
      const probabilities = logits.softmax(1);
      const ends = cumSum(probabilities, 1);
      // The last end may have been rounded to below 1, so it does not count.
      const level = slice(ends, 1, 0, levels - 1)
        .lessEqual(u)
        .cast("float32")
        .sum(1, true);
      const at = level.cast("int64");
      const end = gatherElements(ends, at, 1);
      const size = gatherElements(probabilities, at, 1).maximum(LEAST);
      // What is left of the uniform number within its level is uniform again, and says which byte of it.
      const share = u.sub(end.sub(size)).div(size).clamp(0, 1);
      const count = width(level);
      return first(level)
        .add(share.mul(count).floor().minimum(count.sub(1)))
        .squeeze(1);
    },
  };
}
