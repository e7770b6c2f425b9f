import { z } from "zod";
import { ratio } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import { inputAt } from "../../tensor/index.operations.ts";
import { concat, constant, float32, type Tensor } from "../../tensor/index.ts";
import { type CellGrid, cellCenters } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { type Backbone, CspNet, type FeatureLevel, ResNet, scaledChannels } from "./backbones.ts";
import { ConvBlock } from "./blocks.ts";
import { type Neck, type NeckKind, neckOf } from "./necks.ts";
import { type Dilations, PLAIN, Trident, type TridentOptions, tridentOptions } from "./trident.ts";

/** Options of backbone and neck by the names that all detectors give them, beside `neck`. */
export const featureOptions = {
  backbone: z
    .enum(["csp", "resnet"])
    .default("csp")
    .describe("network that makes the features: cross-stage partial or residual blocks"),
  width: ratio()
    .default(1)
    .describe("channels of backbone, neck and head relative to the usual ones; rounded to multiples of 16"),
  depth: ratio().default(1).describe("blocks of the backbone relative to the usual ones"),
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
};

/** What a network of features is made from. */
export interface FeatureNetworkOptions extends TridentOptions {
  readonly backbone: "csp" | "resnet";
  readonly width: number;
  readonly depth: number;
  readonly neck: NeckKind;
  /** Stride of the finest map: 4, 8, 16 or 32. */
  readonly finestStride: number;
  /** Number of maps, each stride twice the one before. */
  readonly levels: number;
  /** Channels of the neck's maps for width 1; default: 64. */
  readonly neckChannels?: number;
}

/** Stride of a backbone's last map. */
const COARSEST = 32;

/**
 * Backbone and neck: images in bytes to maps of features, from the finest stride on. Maps coarser than those of the backbone are
 * made from the last one of the neck, by strides.
 */
export class FeatureNetwork {
  readonly levels: readonly FeatureLevel[];
  readonly backbone: Backbone;
  readonly neck: Neck;
  readonly coarser: readonly ConvBlock[];
  /** The branches of the backbone's last stage. */
  readonly trident: Trident;
  /** Maps of the backbone that are finer than the finest asked for. */
  private readonly skipped: number;

  /** @throws OptionError where there are to be branches of more than one map */
  constructor(options: FeatureNetworkOptions) {
    const { backbone, width, depth, neck, finestStride, levels, neckChannels = 64 } = options;
    const channels = scaledChannels(neckChannels, width);
    const strides = Array.from({ length: levels }, (_, i) => finestStride * 2 ** i);
    const inside = strides.filter((stride) => stride <= COARSEST);
    // Without paths between the maps nothing is seen of the coarser ones.
    const coarsestStride = neck === "none" ? Math.max(...inside) : COARSEST;
    const Network = backbone === "csp" ? CspNet : ResNet;
    this.backbone = new Network({ width, depth, coarsestStride });
    const taken = this.backbone.levels.filter(({ stride }) => stride >= finestStride);
    this.trident = new Trident(options);
    if (this.trident.trained.length > 1 && (levels > 1 || neck !== "none")) {
      throw new OptionError(
        `option trident: branches are of one map that stands alone, not of ${levels > 1 ? `${levels} maps` : `neck ${neck}`}; ${levels > 1 ? "choose levels 1 and neck none" : "choose neck none"}`,
      );
    }
    this.skipped = this.backbone.levels.length - taken.length;
    this.neck = neckOf(neck, taken, channels, inside.length);
    this.coarser = strides
      .slice(inside.length)
      .map(() => new ConvBlock(channels, channels, 3, { stride: 2 }));
    this.levels = strides.map((stride) => ({ channels, stride }));
  }

  /**
   * x [n, 3, H, W] in bytes → a map [n, channels, ⌈H / stride⌉, ⌈W / stride⌉] of each level.
   * @param dilations of the branches of a trident network: its only map is then [branches · n, …], branch by branch
   * @throws ShapeError
   */
  forward(x: Tensor, dilations: Dilations = PLAIN): readonly Tensor[] {
    const features = this.backbone.forward(x.mul(1 / 255), dilations);
    const maps = [...this.neck.forward(features.slice(this.skipped))];
    for (const block of this.coarser) maps.push(block.forward(inputAt(maps, maps.length - 1)));
    return maps;
  }
}

/** The size of the images that a detector is made for. @throws OptionError where a network cannot take them */
export function imageSize(name: string, sampleShape: readonly number[]): Size {
  const [channels, height, width] = sampleShape;
  if (sampleShape.length !== 3 || channels !== 3 || height === undefined || width === undefined) {
    throw new OptionError(`${name}: takes images [3, height, width], not samples [${sampleShape}]`);
  }
  if (!(height > 0 && width > 0 && height % COARSEST === 0 && width % COARSEST === 0)) {
    throw new OptionError(
      `${name}: images of ${width} × ${height} pixels do not divide by ${COARSEST}; choose a size that is a multiple of it`,
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

/** The locations of grids. */
export function featurePoints(grids: readonly CellGrid[]): FeaturePoints {
  const centers = grids.map(cellCenters);
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
