import { Linear } from "../../nn/linear.ts";
import { LayerNorm } from "../../nn/normalization.ts";
import { arange, concat, oneHot, slice, stack, type Tensor } from "../../tensor/index.ts";
import type { PartScores } from "./losses.ts";

/** Names of the scorers. */
export const SCORERS = ["encode-and-dot-product", "concat-and-convolve"] as const;

export type ScorerName = (typeof SCORERS)[number];

/** Scores codes [n, codeSize] with parts of images [n, parts, size], whose order is that of the codes. */
export interface Scorer {
  forward(parts: Tensor, codes: Tensor): PartScores;
}

export interface ScorerOptions {
  /** Numbers of a part. */
  readonly partSize: number;
  readonly codeSize: number;
  /** Units of hidden layers and embeddings. */
  readonly units: number;
  /** concat-and-convolve: other images that a code is compared with. */
  readonly negatives: number;
}

/** A layer with a rectifier and one without, and a linear map beside them. */
class ShortcutBlock {
  readonly hidden: Linear;
  readonly output: Linear;
  readonly shortcut: Linear;

  constructor(inputs: number, units: number) {
    this.hidden = new Linear(inputs, units);
    this.output = new Linear(units, units);
    this.shortcut = new Linear(inputs, units, { bias: false });
  }

  forward(x: Tensor): Tensor {
    return this.output.forward(this.hidden.forward(x).relu()).add(this.shortcut.forward(x));
  }
}

/**
 * Code and parts go through networks of their own; the score is the product of what these make of them, divided by the root of its length (Hjelm et
 * al. 2019, appendix A.2, "encode and dot-product"). All images of the batch are compared by one product of matrices.
 */
class EncodeAndDotProduct implements Scorer {
  readonly part: ShortcutBlock;
  readonly partNorm: LayerNorm;
  readonly code: ShortcutBlock;
  private readonly units: number;

  constructor({ partSize, codeSize, units }: ScorerOptions) {
    this.part = new ShortcutBlock(partSize, units);
    this.partNorm = new LayerNorm(units);
    this.code = new ShortcutBlock(codeSize, units);
    this.units = units;
  }

  forward(parts: Tensor, codes: Tensor): PartScores {
    const [images = 1, count = 1] = parts.shape.map(Number);
    const flat = this.partNorm.forward(this.part.forward(parts)).reshape([images * count, this.units]);
    const embedded = this.code.forward(codes).mul(1 / Math.sqrt(this.units));
    return {
      scores: embedded.matmul(flat, { transposeB: true }).reshape([images, images, count]),
      isOwn: oneHot(arange(0, images), images).greater(0).unsqueeze(2),
    };
  }
}

/**
 * The code is put beside the features of each location, and convolutions of 1×1 make a score of both (Hjelm et al. 2019, appendix A.2, "concat and
 * convolve"). A code is compared with the images that follow its own in the batch, as many as `negatives`. The first layer is a sum of one of the part
 * and one of the code, so that each is computed once for all comparisons.
 */
class ConcatAndConvolve implements Scorer {
  readonly part: Linear;
  readonly code: Linear;
  readonly hidden: Linear;
  readonly output: Linear;
  private readonly negatives: number;

  constructor({ partSize, codeSize, units, negatives }: ScorerOptions) {
    this.part = new Linear(partSize, units);
    this.code = new Linear(codeSize, units, { bias: false });
    this.hidden = new Linear(units, units);
    this.output = new Linear(units, 1);
    this.negatives = negatives;
  }

  forward(parts: Tensor, codes: Tensor): PartScores {
    const images = Number(parts.shape[0]);
    const compared = 1 + Math.min(this.negatives, images - 1);
    const seen = this.part.forward(parts);
    const shifted = Array.from({ length: compared }, (_, k) =>
      k === 0 ? seen : concat([slice(seen, 0, k, images), slice(seen, 0, 0, k)], 0),
    );
    const code = this.code.forward(codes).unsqueeze(1).unsqueeze(1);
    const hidden = this.hidden.forward(stack(shifted, 1).add(code).relu()).relu();
    return {
      scores: this.output.forward(hidden).squeeze(3),
      isOwn: arange(0, compared).equal(0).reshape([1, compared, 1]),
    };
  }
}

/** A scorer with random weights. */
export function buildScorer(name: ScorerName, options: ScorerOptions): Scorer {
  switch (name) {
    case "encode-and-dot-product":
      return new EncodeAndDotProduct(options);
    case "concat-and-convolve":
      return new ConcatAndConvolve(options);
  }
}
