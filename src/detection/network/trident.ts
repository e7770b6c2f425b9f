import { z } from "zod";
import { type Dilations, PLAIN } from "../../backbones/dilations.ts";
import { amount, list } from "../../bounds.ts";
import type { SymbolicDetectionBatch } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import { concat, logicalAnd, logicalNot, type Tensor, where } from "../../tensor/index.ts";
import { squeezedSides } from "../boxes/decoding.ts";

// Trident blocks (Li et al. 2019, "Scale-aware trident networks for object detection"): the last stage of a backbone runs in branches that
// differ in the dilation of their 3×3 convolutions, and so in how far they see. All weights and normalizations are shared.

/** The three branches of the paper (section 3.2 and table 2). */
const BRANCHES = [1, 2, 3] as const;

/** The branch that looks for all three in Trident Fast (section 3.3). */
const MIDDLE: Dilations = [2];

/** Whether a detector has branches, and which of them look once it is trained. */
export const TRIDENT_MODES = ["off", "full", "fast"] as const;

export type TridentMode = (typeof TRIDENT_MODES)[number];

/** Options of the branches, for detectors with one map. */
export const tridentOptions = {
  trident: z
    .enum(TRIDENT_MODES)
    .default("off")
    .describe(
      "TridentNet, for a detector with one map: three branches of the last stage, of dilation 1, 2 and 3, are trained with the same weights. full: all three find objects, and results are merged; fast: the middle one finds them alone",
    ),
  tridentRanges: list(amount(), 2 * BRANCHES.length)
    .optional()
    .describe(
      "trident full: from and to of the sizes that each of the three branches is for, such as 0,90,30,160,90,1000000; the size of an object is √(width · height) in pixels of the image at --size (default: all sizes)",
    ),
};

export interface TridentOptions {
  readonly trident?: TridentMode | undefined;
  readonly tridentRanges?: readonly number[] | undefined;
}

/** The objects of a batch. */
type Rows = Omit<SymbolicDetectionBatch, "x">;

/** Sizes of objects that a branch is for: √(width · height) in pixels, both ends included. */
interface SizeRange {
  readonly from: number;
  readonly to: number;
}

/** @throws OptionError where the ranges do not fit the mode or are none */
function sizeRanges({ trident = "off", tridentRanges }: TridentOptions): readonly SizeRange[] | undefined {
  if (tridentRanges === undefined) return undefined;
  if (trident === "off") {
    throw new OptionError("option tridentRanges: is of branches; add --trident full, or leave it out");
  }
  if (trident === "fast") {
    throw new OptionError(
      "option tridentRanges: with trident fast one branch looks for objects of all sizes; leave it out, or choose --trident full",
    );
  }
  const ranges = BRANCHES.map((_, i) => ({
    from: tridentRanges[2 * i] ?? Number.NaN,
    to: tridentRanges[2 * i + 1] ?? Number.NaN,
  }));
  if (tridentRanges.length !== 2 * BRANCHES.length || !ranges.every(({ from, to }) => from < to)) {
    throw new OptionError(
      `option tridentRanges: ${tridentRanges.join()} is not from,to of ${BRANCHES.length} branches, each from below its to, such as 0,90,30,160,90,1000000`,
    );
  }
  return ranges;
}

/** Which boxes [..., 4] are of sizes in a range: [...] (bool). */
function fits(boxes: Tensor, { from, to }: SizeRange): Tensor {
  const [x1, y1, x2, y2] = squeezedSides(boxes);
  const size = x2.sub(x1).relu().mul(y2.sub(y1).relu()).sqrt();
  return logicalAnd(size.greaterEqual(from), size.lessEqual(to));
}

/** The branches of a detector: which are trained, which look, and which objects each of them is for. */
export class Trident {
  /** Branches that are stacked in the batch while training. */
  readonly trained: Dilations;
  /** Branches that look, each by itself, so that any number of images can be looked at. */
  readonly looking: readonly Dilations[];
  private readonly ranges: readonly SizeRange[] | undefined;

  /** @throws OptionError where the ranges do not fit the mode or are none */
  constructor(options: TridentOptions) {
    const { trident = "off" } = options;
    this.trained = trident === "off" ? PLAIN : BRANCHES;
    this.looking =
      trident === "off" ? [PLAIN] : trident === "fast" ? [MIDDLE] : BRANCHES.map((dilation) => [dilation]);
    this.ranges = sizeRanges(options);
  }

  /** Whether an object may be found by several branches. */
  get merges(): boolean {
    return this.looking.length > 1;
  }

  /**
   * The objects of a batch once for each branch that is trained, stacked as its maps are. Those of sizes that a branch is not for are
   * not learnt there: neither objects nor background.
   */
  objects(objects: Rows): Rows {
    if (this.trained.length === 1) return objects;
    const branches = this.trained.map((_, branch) => this.objectsOf(objects, branch));
    const names = Object.keys({ ...branches[0] }) as (keyof Rows)[];
    const joined = names.flatMap((name) => {
      const rows = branches.flatMap((own) => own[name] ?? []);
      return rows.length === 0 ? [] : [[name, concat(rows, 0)] as const];
    });
    return { ...objects, ...Object.fromEntries(joined) };
  }

  private objectsOf(objects: Rows, branch: number): Rows {
    const range = this.ranges?.[branch];
    if (range === undefined) return objects;
    const { boxes, labels, invalid } = objects;
    const own = fits(boxes, range);
    const other = logicalAnd(logicalNot(own), labels.greaterEqual(0));
    const others = where(other.unsqueeze(2), boxes, 0);
    return {
      ...objects,
      labels: where(own, labels, -1),
      invalid: invalid === undefined ? others : concat([invalid, others], 1),
    };
  }

  /**
   * What all branches that look have seen, one behind the other: boxes [n, k, 4] and scores [n, k, classes] of each → [n, branches · k,
   * …]. Scores of boxes of sizes that a branch is not for are 0.
   */
  merged(seen: readonly { readonly boxes: Tensor; readonly scores: Tensor }[]): {
    readonly boxes: Tensor;
    readonly scores: Tensor;
  } {
    const scores = seen.map(({ boxes, scores }, branch) => {
      const range = this.ranges?.[branch];
      return range === undefined ? scores : where(fits(boxes, range).unsqueeze(2), scores, 0);
    });
    return {
      boxes: concat(
        seen.map(({ boxes }) => boxes),
        1,
      ),
      scores: concat(scores, 1),
    };
  }
}
