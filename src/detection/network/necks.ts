import { z } from "zod";
import { CspBlock, type FeatureLevel } from "../../backbones/backbone.ts";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { OptionError } from "../../errors.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { kaimingUniform, zeros } from "../../nn/initializers.ts";
import { inputAt, upsampleNearest } from "../../tensor/index.operations.ts";
import { concat, maxPool2d, type Tensor } from "../../tensor/index.ts";

/**
 * A feature pyramid network (Lin et al. 2017, "Feature pyramid networks for object detection", section 3 and figure 3): from the
 * coarsest map down, what has been gathered so far is doubled in size by repetition and added to the next finer map, which a 1×1
 * convolution has brought to the same channels; a 3×3 convolution then smooths each sum. So a fine map knows what is seen only
 * from afar. Unlike in the paper, convolutions have batch normalization, the last ones SiLU: networks are trained from scratch
 * here.
 */
export class Fpn implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  readonly output: readonly ConvBlock[];
  /** Whether nothing is handed down to a map: it is as coarse as the one at which the path down begins, or coarser. */
  private readonly alone: readonly boolean[];

  /**
   * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
   * @param outputs how many maps it gives, the finest ones; default: all
   * @param from stride of the map at which the path down begins: coarser maps hand nothing down (the low-level feature pyramid of
   * PyramidBox, Tang et al. 2018, section 3.1); default: the coarsest map's
   */
  constructor(
    levels: readonly FeatureLevel[],
    channels: number,
    outputs = levels.length,
    from = Number.POSITIVE_INFINITY,
  ) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = levels.map((level) => new ConvBlock(level.channels, channels, 1, { activation: "none" }));
    this.output = used.map(() => new ConvBlock(channels, channels, 3));
    this.alone = levels.map(({ stride }) => stride >= from);
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const sums: Tensor[] = [];
    for (const [i, lateral] of [...this.lateral.entries()].reverse()) {
      const own = lateral.forward(inputAt(maps, i));
      const [coarser] = sums;
      const alone = coarser === undefined || this.alone[i] === true;
      sums.unshift(alone ? own : own.add(upsampleNearest(coarser, 2)));
    }
    return this.output.map((output, i) => output.forward(inputAt(sums, i)));
  }
}

/** Maps that a pyramid gives beyond its coarsest one, each of twice the stride: torchvision's `LastLevelMaxPool` and `LastLevelP6P7`. */
export type ExtraLevels = "none" | "pool" | "p6p7-of-c5" | "p6p7-of-p5";

/** A convolution of a pyramid without normalization, as torchvision starts it. */
function pyramidConvolution(inputs: number, outputs: number, kernel: 1 | 3, stride = 1): Conv2d {
  return new Conv2d(inputs, outputs, kernel, {
    stride,
    padding: (kernel - 1) / 2,
    initializeWeight: kaimingUniform(1),
    initializeBias: zeros,
  });
}

/** Two convolutions that halve the map, with ReLU between them (Lin et al. 2017, "Focal loss for dense object detection", section 4). */
class TwoCoarser {
  readonly p6: Conv2d;
  readonly p7: Conv2d;

  constructor(inputs: number, channels: number) {
    this.p6 = pyramidConvolution(inputs, channels, 3, 2);
    this.p7 = pyramidConvolution(channels, channels, 3, 2);
  }

  /** [n, inputs, H, W] → maps of half and of a quarter of its sides. @throws ShapeError */
  forward(x: Tensor): readonly [Tensor, Tensor] {
    const p6 = this.p6.forward(x);
    return [p6, this.p7.forward(p6.relu())];
  }
}

/**
 * A feature pyramid as the paper and torchvision have it (`FeaturePyramidNetwork`), with its names, for weights that were trained with it:
 * convolutions have a bias and neither normalization nor activation. Maps beyond the coarsest are every other location of it
 * (`pool`), or made by convolutions with strides of the coarsest map it takes (`p6p7-of-c5`) or gives (`p6p7-of-p5`).
 */
export class PlainFpn implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly inner_blocks: readonly (readonly [Conv2d])[];
  readonly layer_blocks: readonly (readonly [Conv2d])[];
  readonly extra_blocks: TwoCoarser | undefined;
  private readonly extra: ExtraLevels;

  /**
   * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
   * @throws OptionError where there are none
   */
  constructor(levels: readonly FeatureLevel[], channels: number, extra: ExtraLevels = "none") {
    this.inner_blocks = levels.map((level) => [pyramidConvolution(level.channels, channels, 1)]);
    this.layer_blocks = levels.map(() => [pyramidConvolution(channels, channels, 3)]);
    const coarsest = levels.at(-1);
    if (coarsest === undefined) throw new OptionError("PlainFpn: a pyramid wants at least one map");
    if (extra === "p6p7-of-c5") this.extra_blocks = new TwoCoarser(coarsest.channels, channels);
    if (extra === "p6p7-of-p5") this.extra_blocks = new TwoCoarser(channels, channels);
    this.extra = extra;
    const times = { none: [], pool: [2], "p6p7-of-c5": [2, 4], "p6p7-of-p5": [2, 4] }[extra];
    const strides = [
      ...levels.map(({ stride }) => stride),
      ...times.map((factor) => factor * coarsest.stride),
    ];
    this.levels = strides.map((stride) => ({ channels, stride }));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const sums: Tensor[] = [];
    for (const [i, [inner]] of [...this.inner_blocks.entries()].reverse()) {
      const own = inner.forward(inputAt(maps, i));
      const [coarser] = sums;
      sums.unshift(coarser === undefined ? own : own.add(upsampleNearest(coarser, 2)));
    }
    const results = this.layer_blocks.map(([layer], i) => layer.forward(inputAt(sums, i)));
    const last = inputAt(results, results.length - 1);
    if (this.extra === "pool") return [...results, maxPool2d(last, { kernel: 1, stride: 2 })];
    const from = this.extra === "p6p7-of-c5" ? inputAt(maps, maps.length - 1) : last;
    return [...results, ...(this.extra_blocks?.forward(from) ?? [])];
  }
}

/** One step up: the finer map is halved and mixed with the map of the next level. */
class StepUp {
  readonly reduce: ConvBlock;
  readonly mix: CspBlock;

  constructor(channels: number) {
    this.reduce = new ConvBlock(channels, channels, 3, { stride: 2 });
    this.mix = new CspBlock(2 * channels, channels, 1);
  }

  forward(finer: Tensor, own: Tensor): Tensor {
    return this.mix.forward(concat([this.reduce.forward(finer), own], 1));
  }
}

/**
 * A path aggregation network (Liu et al. 2018, "Path aggregation network for instance segmentation", section 3.1) as YOLO has had
 * it since YOLOv4: down from the coarsest map as a feature pyramid, and up again from the finest, so that locations of coarse maps
 * know exact edges by a short path. Maps are joined by their channels, and cross-stage partial blocks mix them.
 */
export class Pan implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  /** On the path down, for every level but the coarsest. */
  readonly down: readonly CspBlock[];
  /** On the path up, for every level but the finest. */
  readonly up: readonly StepUp[];

  /**
   * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
   * @param outputs how many maps it gives, the finest ones; default: all
   */
  constructor(levels: readonly FeatureLevel[], channels: number, outputs = levels.length) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = levels.map((level) => new ConvBlock(level.channels, channels, 1));
    this.down = levels.slice(1).map(() => new CspBlock(2 * channels, channels, 1));
    this.up = used.slice(1).map(() => new StepUp(channels));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const own = this.lateral.map((lateral, i) => lateral.forward(inputAt(maps, i)));
    const gathered = own.slice(-1);
    for (const [i, mix] of [...this.down.entries()].reverse()) {
      const coarser = upsampleNearest(inputAt(gathered, 0), 2);
      gathered.unshift(mix.forward(concat([inputAt(own, i), coarser], 1)));
    }
    const results = gathered.slice(0, 1);
    for (const [i, step] of this.up.entries()) {
      results.push(step.forward(inputAt(results, i), inputAt(gathered, i + 1)));
    }
    return results;
  }
}

/** A network from the maps of a backbone to the maps that heads look at, all with the same channels. */
export interface Neck {
  /** What `forward` gives, from the finest map to the coarsest. */
  readonly levels: readonly FeatureLevel[];
  /** A map for each level that the neck was made for → a map for each of its own. @throws ShapeError */
  forward(maps: readonly Tensor[]): readonly Tensor[];
}

const NECKS = ["fpn", "plain-fpn", "pan", "none"] as const;

/** How maps of several strides are joined. */
export type NeckKind = (typeof NECKS)[number];

/** How maps coarser than those of the backbone are made: by blocks behind the neck, or by the neck as `ExtraLevels`. */
export const COARSER_LEVELS = ["blocks", "pool", "p6p7-of-c5", "p6p7-of-p5"] as const;

/** How maps coarser than those of the backbone are made. */
export type CoarserLevels = (typeof COARSER_LEVELS)[number];

/** What a neck gives. */
export interface NeckOutputs {
  /** How many maps of the strides that it takes, the finest ones; default: all. */
  readonly outputs?: number;
  /** How it makes coarser ones beside them; default: `blocks`, which makes none. */
  readonly coarser?: CoarserLevels;
  /** Of `fpn`: stride of the map at which the path down begins; default: the coarsest map's. */
  readonly topDownFrom?: number;
}

/** The option `neck` with a default of the detector's own. */
export function neckOption(usual: NeckKind) {
  return z
    .enum(NECKS)
    .default(usual)
    .describe(
      "how maps of several strides are joined. fpn: top down; plain-fpn: the same without normalization, as in torchvision; pan: top down and up again; none: not at all",
    );
}

/** Each map by itself through a 1×1 and a 3×3 convolution: a pyramid without its paths, to compare with. */
class SeparateLevels implements Neck {
  readonly levels: readonly FeatureLevel[];
  readonly lateral: readonly ConvBlock[];
  readonly output: readonly ConvBlock[];

  constructor(levels: readonly FeatureLevel[], channels: number, outputs: number) {
    const used = levels.slice(0, outputs);
    this.levels = used.map(({ stride }) => ({ channels, stride }));
    this.lateral = used.map((level) => new ConvBlock(level.channels, channels, 1, { activation: "none" }));
    this.output = used.map(() => new ConvBlock(channels, channels, 3));
  }

  forward(maps: readonly Tensor[]): readonly Tensor[] {
    const inner = this.lateral.map((lateral, i) => lateral.forward(inputAt(maps, i)));
    return this.output.map((output, i) => output.forward(inputAt(inner, i)));
  }
}

/**
 * A neck by name.
 * @param levels of the maps that it takes, from the finest to the coarsest, each stride twice the one before
 * @param channels of the maps that it gives
 * @throws OptionError where a kind does not give what is asked for
 */
export function neckOf(
  kind: NeckKind,
  levels: readonly FeatureLevel[],
  channels: number,
  { outputs = levels.length, coarser = "blocks", topDownFrom }: NeckOutputs = {},
): Neck {
  if (kind !== "plain-fpn" && coarser !== "blocks") {
    throw new OptionError(
      `option coarser: ${coarser} is of the neck plain-fpn, not of ${kind}; leave it out, or take that neck`,
    );
  }
  switch (kind) {
    case "fpn":
      return new Fpn(levels, channels, outputs, topDownFrom);
    case "plain-fpn":
      if (outputs < levels.length) {
        throw new OptionError(
          `option neck: plain-fpn gives all ${levels.length} maps of the backbone from the finest stride on, not ${outputs}; raise levels, or take fpn`,
        );
      }
      return new PlainFpn(levels, channels, coarser === "blocks" ? "none" : coarser);
    case "pan":
      return new Pan(levels, channels, outputs);
    case "none":
      return new SeparateLevels(levels, channels, outputs);
  }
}
