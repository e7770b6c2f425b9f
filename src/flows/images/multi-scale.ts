import { z } from "zod";
import { layerCount, positiveAmount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { DataInfo } from "../../model/data-info.ts";
import type { FitPreferences } from "../../model/definition.ts";
import { outputAt } from "../../tensor/graph.ts";
import { concat, elementCount, split, type Tensor } from "../../tensor/index.ts";
import {
  Composition,
  type Forward,
  type Inverse,
  noVolumeChange,
  type Transform,
} from "../transforms/transform.ts";

/** Channels, height and width of an image. */
export type ImageShape = readonly [channels: number, height: number, width: number];

/** Orders of the four pixels of a 2×2 block, numbered by row and then by column. */
export type BlockOrder = "rows" | "checkerboard";

/** A permutation of the four quarters of the channels that is its own inverse, or none. */
type QuarterOrder = readonly [number, number, number, number];

/**
 * Trades space for channels: each 2×2 block of pixels becomes four groups of channels, [n, c, h, w] →
 * [n, 4c, h/2, w/2] (Dinh et al. 2017, "RealNVP", section 3.6). In order `rows` the groups are the pixels 0, 1, 2, 3 of a
 * block; in order `checkerboard` they are 0, 3, 1, 2, so that the halves of the channels are the black and the white
 * squares of a checkerboard. Volume is preserved.
 */
export class Squeeze implements Transform {
  readonly order: BlockOrder;

  constructor(order: BlockOrder = "rows") {
    this.order = order;
  }

  /** @throws ShapeError unless height and width are even */
  forward(x: Tensor): Forward {
    const [c, h, w] = imageShape(x);
    const n = outputAt(x.shape, 0);
    const blocks = x.reshape([n, c, h / 2, 2, w / 2, 2]).transpose([0, 3, 5, 1, 2, 4]);
    const y = blocks.reshape([n, 4 * c, h / 2, w / 2]);
    return { y: this.order === "rows" ? y : regroup(y, [0, 3, 1, 2]), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    const [c, h, w] = imageShape(y);
    const n = outputAt(y.shape, 0);
    const rows = this.order === "rows" ? y : regroup(y, [0, 2, 3, 1]);
    const blocks = rows.reshape([n, 2, 2, c / 4, h, w]).transpose([0, 3, 4, 1, 5, 2]);
    return { x: blocks.reshape([n, c / 4, 2 * h, 2 * w]), logDet: noVolumeChange(y) };
  }
}

/**
 * Exchanges the second and the third quarter of the channels. After a checkerboard squeeze, the halves of the channels are
 * then the upper and the lower pixels of each block with their squares mixed: couplings of these halves are no repetition
 * of those of the checkerboard. Its own inverse; volume is preserved.
 */
export class ExchangeQuarters implements Transform {
  forward(x: Tensor): Forward {
    return { y: regroup(x, [0, 2, 1, 3]), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    return { x: regroup(y, [0, 2, 1, 3]), logDet: noVolumeChange(y) };
  }
}

/** Quarters of the channels in another order. */
function regroup(x: Tensor, order: QuarterOrder): Tensor {
  const quarters = split(x, 1, 4);
  return concat(
    order.flatMap((from) => quarters[from] ?? []),
    1,
  );
}

function imageShape(x: Tensor): ImageShape {
  return [Number(x.shape[1]), Number(x.shape[2]), Number(x.shape[3])];
}

/** A sample's shape as that of an image. @throws OptionError where it is none */
export function asImageShape(shape: readonly number[]): ImageShape {
  const [channels, height, width, ...rest] = shape;
  if (channels === undefined || height === undefined || width === undefined || rest.length > 0) {
    throw new OptionError(`images are [channels, height, width], not [${shape.join(", ")}]`);
  }
  return [channels, height, width];
}

/** The shape of an image after a squeeze. */
export function squeezed([channels, height, width]: ImageShape): ImageShape {
  return [4 * channels, height / 2, width / 2];
}

/** How many times an image can be squeezed: how often 2 divides its height and its width. */
export function squeezeLimit([, height, width]: ImageShape): number {
  return height % 2 === 0 && width % 2 === 0 && height > 0 && width > 0
    ? 1 + squeezeLimit([1, height / 2, width / 2])
    : 0;
}

/** A level of a multi-scale flow and the shape of the images that leave it. */
export interface Level {
  readonly transform: Transform;
  readonly shape: ImageShape;
}

/**
 * A flow of images in levels: after each level but the last, the second half of the channels is factored out, and the
 * first half goes on. The result is rows [n, D] of all factored numbers, those of the first level first, and of what
 * leaves the last level (Dinh et al. 2017, "RealNVP", section 3.6).
 */
export class MultiScale implements Transform {
  readonly levels: readonly Transform[];
  private readonly shapes: readonly ImageShape[];
  /** How many numbers of the code come from each level. */
  private readonly sizes: readonly number[];

  /** @throws OptionError where there is no level, or an odd number of channels to be halved */
  constructor(levels: readonly Level[]) {
    if (levels.length === 0) throw new OptionError("a multi-scale flow needs at least one level");
    if (levels.slice(0, -1).some(({ shape }) => shape[0] % 2 !== 0)) {
      throw new OptionError("a multi-scale flow halves the channels after each level: they must be even");
    }
    this.levels = levels.map(({ transform }) => transform);
    this.shapes = levels.map(({ shape }) => shape);
    this.sizes = this.shapes.map((shape, i) => elementCount(shape) / (i === levels.length - 1 ? 1 : 2));
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const n = outputAt(x.shape, 0);
    const codes: Tensor[] = [];
    let rest = x;
    let logDet = noVolumeChange(x);
    this.levels.forEach((level, i) => {
      const passed = level.forward(rest, context);
      logDet = logDet.add(passed.logDet);
      const last = i === this.levels.length - 1;
      const [kept, factored] = last ? [passed.y, passed.y] : split(passed.y, 1, 2);
      codes.push(factored.reshape([n, outputAt(this.sizes, i)]));
      rest = kept;
    });
    return { y: concat(codes, 1), logDet };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const n = outputAt(y.shape, 0);
    const codes = split(y, 1, this.sizes);
    let rest: Tensor | undefined;
    let logDet = noVolumeChange(y);
    for (const [i, level] of [...this.levels.entries()].reverse()) {
      const [channels, height, width] = outputAt(this.shapes, i);
      const code = outputAt(codes, i).reshape([n, rest ? channels / 2 : channels, height, width]);
      const before = level.inverse(rest ? concat([rest, code], 1) : code, context);
      rest = before.x;
      logDet = logDet.add(before.logDet);
    }
    if (rest === undefined) throw new RangeError("a multi-scale flow has no levels");
    return { x: rest, logDet };
  }
}

/**
 * The shape of images, and how many levels a flow of them may have, for a model that squeezes once a level.
 * @param wanted number of levels asked for; as many as 2 divides height and width, at most `most`, where it is undefined
 * @throws OptionError where height and width are not divisible by 2 so many times
 */
export function imageLevels(
  model: string,
  sampleShape: readonly number[],
  wanted: number | undefined,
  most = 3,
): { readonly shape: ImageShape; readonly count: number } {
  const shape = asImageShape(sampleShape);
  const [, height, width] = shape;
  const limit = squeezeLimit(shape);
  if (limit === 0) {
    throw new OptionError(
      `${model} halves images: height and width must be even, not ${height}×${width}; scale them (--size) or crop them`,
    );
  }
  if (wanted !== undefined && wanted > limit) {
    throw new OptionError(
      `option levels: ${wanted} levels halve height and width ${wanted} times; ${height}×${width} allows ${limit}`,
    );
  }
  return { shape, count: wanted ?? Math.min(limit, most) };
}

/**
 * A multi-scale flow of images: each level squeezes, transforms, and factors out half of the channels.
 * @param shape of the images, and the number of levels, as `imageLevels` gives them
 * @param level the transforms of a level, the squeeze first, from the number of channels inside it
 */
export function multiScaleFlow(
  { shape, count }: { readonly shape: ImageShape; readonly count: number },
  level: (channels: number, isLast: boolean) => readonly Transform[],
): MultiScale {
  const levels: Level[] = [];
  let next = shape;
  for (let i = 0; i < count; i++) {
    const inside = squeezed(next);
    const [channels, height, width] = inside;
    levels.push({ transform: new Composition(level(channels, i === count - 1)), shape: inside });
    next = [channels / 2, height, width];
  }
  return new MultiScale(levels);
}

/** The option of how often images are halved. */
export function levelsOption(most: number) {
  return layerCount()
    .optional()
    .describe(
      `levels of images, each at half the height and width (default: as many as fit, at most ${most})`,
    );
}

/** The depth of the perceptrons that stand in place of convolutions. */
export const hiddenLayersOption = layerCount()
  .default(2)
  .describe("hidden layers of a coupling's network, for points and tables");

/** The bound of log-scales; see `scaleLimitOf`. */
export const scaleLimitOption = positiveAmount()
  .optional()
  .describe(
    "largest absolute log-scale of an affine coupling (default: 3, or 24 over their number if that is less)",
  );

/** The margin of the logit of pixels. */
export function alphaOption(value: number, paper?: string) {
  const description = "how far from 0 and 1 pixels are kept before the logit, for images";
  return z
    .number()
    .min(0)
    .max(0.49)
    .default(value)
    .describe(paper === undefined ? description : `${description} (the paper: ${paper})`);
}

/** What multi-scale flows of images prefer in training; for other data their systems differ. */
export function imagePreferences(others: FitPreferences): (data: DataInfo) => FitPreferences {
  return ({ kind }) =>
    kind === "image"
      ? { warmupSteps: 100, learningRate: 2e-3, batchSize: 64, clipNorm: 50 }
      : { batchSize: 512, ...others };
}
