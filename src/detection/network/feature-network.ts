import { z } from "zod";
import { type Backbone, type FeatureLevel, STAGE_COUNT, scaledChannels } from "../../backbones/backbone.ts";
import { BACKBONES, type BackboneName, backboneByName, usualNormalization } from "../../backbones/by-name.ts";
import { ConvBlock } from "../../backbones/conv-block.ts";
import { type Dilations, PLAIN } from "../../backbones/dilations.ts";
import {
  NORMALIZATIONS,
  type NormalizationKind,
  normalizedImages,
} from "../../backbones/image-normalization.ts";
import { isPublished } from "../../backbones/published/index.ts";
import { ratio } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { namedTensors } from "../../nn/module.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { concat, constant, float32, type Tensor } from "../../tensor/index.ts";
import { type CellGrid, type CellOrigin, cellPoints } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { COARSER_LEVELS, type CoarserLevels, type Neck, type NeckKind, neckOf } from "./necks.ts";
import { Trident, type TridentOptions, tridentOptions } from "./trident.ts";

/** Options of backbone and neck by the names that all detectors give them, beside `neck`. */
export const featureOptions = {
  backbone: z
    .enum(BACKBONES)
    .default("csp")
    .describe(
      "network that makes the features: csp and resnet are small and meant for training from scratch; the others are published networks, for weights that others have trained",
    ),
  width: ratio()
    .default(1)
    .describe(
      "channels of backbone, neck and head relative to the usual ones; rounded to multiples of 16; published backbones keep theirs",
    ),
  depth: ratio()
    .default(1)
    .describe("blocks of the backbone relative to the usual ones; published backbones have theirs"),
  normalize: z
    .enum(NORMALIZATIONS)
    .optional()
    .describe(
      "how bytes x become inputs of the backbone. imagenet: minus ImageNet's mean, divided by its deviation; half: (x − 127) / 128; unit: x / 255 (default: as the authors of a published backbone trained it; unit for csp and resnet)",
    ),
  frozenStages: z
    .int()
    .min(0)
    .max(STAGE_COUNT)
    .default(0)
    .describe(
      "so many stages of the backbone are not trained, which needs --weights: the first is the stem, the second to fifth end at strides 4 to 32",
    ),
  frozenNorm: z
    .boolean()
    .optional()
    .describe(
      "keep batch norms of the backbone as the weights have them: statistics, factors and shifts (default: true where a published backbone begins with weights)",
    ),
  backboneRate: ratio()
    .default(1)
    .describe("learning rate of the backbone relative to that of neck and head"),
  ...tridentOptions,
};

/** Options of the maps that have a head, for detectors with several. */
export const pyramidOptions = {
  finestStride: z
    .literal([4, 8, 16, 32])
    .default(8)
    .describe("pixels between locations of the finest map; 4 for very small objects"),
  levels: z
    .int()
    .min(1)
    .max(5)
    .default(3)
    .describe("maps with a head, each of twice the stride of the one before"),
  coarser: z
    .enum(COARSER_LEVELS)
    .default("blocks")
    .describe(
      "how maps beyond stride 32 are made. blocks: by convolutions with normalization; with neck plain-fpn also as in torchvision, pool: of every other location, p6p7-of-c5, p6p7-of-p5: by convolutions of the coarsest map of the backbone or the neck",
    ),
};

/** What a network of features is made from. */
export interface FeatureNetworkOptions extends TridentOptions {
  readonly backbone: BackboneName;
  readonly width: number;
  readonly depth: number;
  readonly neck: NeckKind;
  /** Stride of the finest map: 4, 8, 16 or 32. */
  readonly finestStride: number;
  /** Number of maps, each stride twice the one before. */
  readonly levels: number;
  /** How maps beyond those of the backbone are made; default: `blocks`. */
  readonly coarser?: CoarserLevels;
  /** Neck `fpn`: stride of the map at which the path down begins, 8, 16 or 32; default: 32. */
  readonly topDownFrom?: number;
  /** Channels of the neck's maps for width 1; default: 64. */
  readonly neckChannels?: number;
  /** Default: as the weights of a published backbone want it, and 0 … 1 for the others. */
  readonly normalize?: NormalizationKind | undefined;
  /** Stages of the backbone that are not trained, from the stem on; default: 0. */
  readonly frozenStages?: number;
  /** Whether no batch norm of the backbone changes; default: those of frozen stages alone. */
  readonly frozenNorm?: boolean | undefined;
  /** Learning rate of the backbone relative to that of the rest; default: 1. */
  readonly backboneRate?: number;
}

/** Stride of a backbone's last map. */
const COARSEST = 32;

/**
 * Backbone and neck: images in bytes to maps of features, from the finest stride on. Maps coarser than those of the backbone are
 * made from the last one of the neck, by strides.
 */
export class FeatureNetwork {
  readonly levels: readonly FeatureLevel[];
  readonly backboneName: BackboneName;
  readonly backbone: Backbone;
  readonly neck: Neck;
  readonly coarser: readonly ConvBlock[];
  /** The branches of the backbone's last stage. */
  readonly trident: Trident;
  /** Maps of the backbone that are finer than the finest asked for. */
  private readonly skipped: number;
  private readonly normalize: NormalizationKind;
  /** By name, where it is not 1. Not a field of a state: a map's entries are no properties. */
  private readonly rates: ReadonlyMap<string, number>;

  /**
   * @throws OptionError where a published backbone is to have another depth, there are to be branches of more than one map, or the neck has
   * no such path down
   */
  constructor(options: FeatureNetworkOptions) {
    const { backbone, width, neck, finestStride, levels, neckChannels = 64 } = options;
    const { topDownFrom = COARSEST } = options;
    checkTopDown(topDownFrom, options);
    const channels = scaledChannels(neckChannels, width);
    const strides = Array.from({ length: levels }, (_, i) => finestStride * 2 ** i);
    const inside = strides.filter((stride) => stride <= COARSEST);
    // Without paths between the maps, and beyond the start of those, nothing is seen of the coarser ones.
    const coarsestStride = neck === "none" ? Math.max(...inside) : Math.max(topDownFrom, ...inside);
    this.backboneName = backbone;
    this.backbone = backboneOf(options, coarsestStride);
    this.normalize = options.normalize ?? usualNormalization(backbone);
    const taken = this.backbone.levels.filter(({ stride }) => stride >= finestStride);
    this.trident = new Trident(options);
    if (this.trident.trained.length > 1 && (levels > 1 || neck !== "none")) {
      throw new OptionError(
        `option trident: branches are of one map that stands alone, not of ${levels > 1 ? `${levels} maps` : `neck ${neck}`}; ${levels > 1 ? "choose levels 1 and neck none" : "choose neck none"}`,
      );
    }
    this.skipped = this.backbone.levels.length - taken.length;
    const { coarser = "blocks" } = options;
    this.neck = neckOf(neck, taken, channels, { outputs: inside.length, coarser, topDownFrom });
    checkLevels(this.neck.levels.length, strides.length, options);
    this.coarser = strides
      .slice(this.neck.levels.length)
      .map(() => new ConvBlock(channels, channels, 3, { stride: 2 }));
    this.levels = strides.map((stride) => ({ channels, stride }));
    this.rates = backboneRates(this.backbone, options);
  }

  /** The share of the learning rate of a parameter, by its name in this network; 0: it stays as it is. */
  rateOf(name: string): number {
    return this.rates.get(name) ?? 1;
  }

  /**
   * x [n, 3, H, W] in bytes → a map [n, channels, ⌈H / stride⌉, ⌈W / stride⌉] of each level.
   * @param dilations of the branches of a trident network: its only map is then [branches · n, …], branch by branch
   * @throws ShapeError
   */
  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    return this.withFinest(x, dilations).maps;
  }

  /** What `forward` gives, and the finest map of the backbone, which the neck has not seen. @throws ShapeError */
  withFinest(
    x: Tensor,
    dilations: Dilations = PLAIN,
  ): { readonly maps: readonly Tensor[]; readonly finest: Tensor } {
    const own = this.backbone.forward(normalizedImages(x, this.normalize), dilations);
    const maps = [...this.neck.forward(own.slice(this.skipped))];
    for (const block of this.coarser) maps.push(block.forward(inputAt(maps, maps.length - 1)));
    return { maps, finest: inputAt(own, 0) };
  }

  /** The maps of the backbone itself, which the neck has not seen, with their levels from the finest on. @throws ShapeError */
  backboneMaps(x: Tensor): { readonly maps: readonly Tensor[]; readonly levels: readonly FeatureLevel[] } {
    return {
      maps: this.backbone.forward(normalizedImages(x, this.normalize)),
      levels: this.backbone.levels,
    };
  }

  /** The finest map of the backbone: stride 4. */
  get finestLevel(): FeatureLevel {
    const [first] = this.backbone.levels;
    if (first === undefined) throw new RangeError("the backbone has no maps");
    return first;
  }
}

/** @throws OptionError where the neck has no path down from that map */
function checkTopDown(from: number, { neck, finestStride }: FeatureNetworkOptions): void {
  if (from === COARSEST) return;
  if (neck !== "fpn") {
    throw new OptionError(
      `option topDownFrom: is of the neck fpn, not of ${neck}; leave it out, or take that neck`,
    );
  }
  if (from <= finestStride) {
    throw new OptionError(
      `option topDownFrom: from the map of stride ${from} there is no way down to a finer one, as the finest is of stride ${finestStride}; choose a coarser one, or a finer finestStride`,
    );
  }
}

/** @throws OptionError where a neck that makes coarser maps of its own does not make as many as are asked for */
function checkLevels(made: number, asked: number, { neck, coarser = "blocks" }: FeatureNetworkOptions): void {
  if (coarser === "blocks" || made === asked) return;
  throw new OptionError(
    `option levels: ${neck} with coarser ${coarser} gives ${made} maps from this finest stride on, not ${asked}; set it to ${made}`,
  );
}

/** What a user may leave open of a backbone. */
type OpenFeatures = Partial<
  Pick<FeatureNetworkOptions, "backbone" | "normalize" | "frozenStages" | "frozenNorm">
>;

/**
 * What options leave open of a backbone, decided for a fit, which records it: how images are normalized, and whether batch norms are
 * frozen, which as in torchvision they are where a published backbone begins with weights.
 * @throws OptionError where something is to stay as it is given, and nothing is given
 */
export function settledFeatures(
  { backbone = "csp", normalize, frozenStages = 0, frozenNorm }: OpenFeatures,
  fromWeights: boolean,
): Required<Pick<OpenFeatures, "normalize" | "frozenNorm">> {
  if (!fromWeights && (frozenStages > 0 || frozenNorm === true)) {
    const option = frozenStages > 0 ? "frozenStages" : "frozenNorm";
    throw new OptionError(
      `option ${option}: without weights to begin with, random values would be kept; give weights, or leave it out`,
    );
  }
  return {
    normalize: normalize ?? usualNormalization(backbone),
    frozenNorm: frozenNorm ?? (fromWeights && isPublished(backbone)),
  };
}

/** The backbone of a network of features, up to a stride. @throws OptionError */
function backboneOf(options: FeatureNetworkOptions, coarsestStride: number): Backbone {
  const { backbone, width, depth, frozenStages = 0 } = options;
  const frozenNorm = (stage: number): boolean => options.frozenNorm === true || stage <= frozenStages;
  return backboneByName(backbone, { width, depth, coarsestStride, frozenNorm });
}

/**
 * Shares of the learning rate of a backbone's parameters, by name from the network of features on: 0 in frozen stages and for frozen batch
 * norms, whose factor and shift go with their statistics, as in torchvision.
 */
function backboneRates(
  backbone: Backbone,
  { frozenStages = 0, frozenNorm = false, backboneRate = 1 }: FeatureNetworkOptions,
): ReadonlyMap<string, number> {
  const names = [...namedTensors(backbone).keys()];
  const norms = new Set(
    names.flatMap((name) => (name.endsWith("running_mean") ? [name.slice(0, -"running_mean".length)] : [])),
  );
  const isNorm = (name: string): boolean => norms.has(name.replace(/[^.]+$/, ""));
  return new Map(
    names.map((name) => {
      const frozen = backbone.stageOf(name) <= frozenStages || (frozenNorm && isNorm(name));
      return [`backbone.${name}`, frozen ? 0 : backboneRate];
    }),
  );
}

/**
 * The size of the images that a detector is made for.
 * @param unit that divides the sides; default: 32, the stride of a backbone's last map
 * @throws OptionError where a network cannot take them
 */
export function imageSize(name: string, sampleShape: readonly number[], unit = COARSEST): Size {
  const [channels, height, width] = sampleShape;
  if (sampleShape.length !== 3 || channels !== 3 || height === undefined || width === undefined) {
    throw new OptionError(`${name}: takes images [3, height, width], not samples [${sampleShape}]`);
  }
  if (!(height > 0 && width > 0 && height % unit === 0 && width % unit === 0)) {
    throw new OptionError(
      `${name}: images of ${width} × ${height} pixels do not divide by ${unit}; choose a size that is a multiple of it`,
    );
  }
  return { width, height };
}

/** The locations of all maps of a detector, map by map, row by row, as constants. */
export interface FeaturePoints {
  readonly count: number;
  /** x and y of the center of each location's cell in pixels of the image, [count, 2]. */
  readonly centers: Tensor;
  /** Side of each location's cell in pixels, [count, 1]. */
  readonly strides: Tensor;
}

/** The grid of locations that each level has over an image; cells at the right and lower border may reach beyond it. */
export function levelGrids({ width, height }: Size, levels: readonly FeatureLevel[]): readonly CellGrid[] {
  return levels.map(({ stride }) => ({
    rows: Math.ceil(height / stride),
    columns: Math.ceil(width / stride),
    stride,
  }));
}

/** Channels of maps that a head sees with the same weights. @throws OptionError where they differ or there are none */
export function sharedChannels(levels: readonly FeatureLevel[]): number {
  const [first] = levels;
  if (first === undefined || levels.some(({ channels }) => channels !== first.channels)) {
    throw new OptionError("a head for all levels needs maps of the same channels");
  }
  return first.channels;
}

/** The locations of grids. @param origin where in its cell a location stands; default: in the middle */
export function featurePoints(grids: readonly CellGrid[], origin: CellOrigin = {}): FeaturePoints {
  const centers = grids.map((grid) => cellPoints(grid, origin));
  const strides = grids.flatMap(({ rows, columns, stride }) =>
    new Array<number>(rows * columns).fill(stride),
  );
  const count = strides.length;
  return {
    count,
    centers: constant(float32(Float32Array.from(centers.flatMap((level) => [...level])), [count, 2])),
    strides: constant(float32(strides, [count, 1])),
  };
}

/** Maps [n, C, H, W] of several levels as rows [n, locations, C], in the order of `featurePoints`. @throws ShapeError */
export function featureRows(maps: readonly Tensor[]): Tensor {
  const rows = maps.map((map) => {
    const cells = sizeAt("featureRows", map, 2) * sizeAt("featureRows", map, 3);
    return map.reshape([dimAt(map, 0), dimAt(map, 1), cells]).transpose();
  });
  return concat(rows, 1);
}
