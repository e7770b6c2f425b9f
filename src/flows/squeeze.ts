import { concat, split, type Tensor } from "../tensor/index.ts";
import { type Forward, type Inverse, noVolumeChange, type Transform } from "./transform.ts";

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
    const n = x.shape[0] ?? 1;
    const blocks = x.reshape([n, c, h / 2, 2, w / 2, 2]).transpose([0, 3, 5, 1, 2, 4]);
    const y = blocks.reshape([n, 4 * c, h / 2, w / 2]);
    return { y: this.order === "rows" ? y : regroup(y, [0, 3, 1, 2]), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    const [c, h, w] = imageShape(y);
    const n = y.shape[0] ?? 1;
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
