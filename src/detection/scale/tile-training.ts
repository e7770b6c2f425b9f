import type { DetectionSplit } from "../../data/boxes/set.ts";
import { epochOrder } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { EpochImages } from "../augment/batches.ts";
import { backgroundCount } from "./chip-batches.ts";
import { type TileSplitOptions, tileSplit } from "./tile-split.ts";

/** How tiles of images are trained on. */
export interface TileTrainingOptions extends Omit<TileSplitOptions, "parts"> {
  /** Share of the tiles of an epoch in which nothing is, 0 … 0.9, as far as there are so many. */
  readonly empty: number;
}

/** The tiles of a split, and how many an epoch has of them. */
export interface TileTraining {
  /** All tiles; those in which an object is learnt or a region is ignored come first. */
  readonly split: DetectionSplit;
  /** How many those are. */
  readonly busy: number;
  /** Tiles in which nothing is. */
  readonly empty: number;
  /** Tiles of an epoch: all that are busy, and some of the empty ones. */
  readonly count: number;
  /** Objects of the images, crowds left out. */
  readonly objects: number;
  /** Those of them of which no tile has enough: nothing is learnt of them. */
  readonly nowhere: number;
}

/**
 * The tiles of a split as they are trained on (SAHI, section 3.1).
 * @throws OptionError where no object is in any image
 */
export function tileTraining(split: DetectionSplit, options: TileTrainingOptions): TileTraining {
  const tiles = tileSplit(split, options);
  const { busy, objects, nowhere } = tiles;
  if (busy.length === 0) {
    throw new OptionError("option tiles: no training image has an object; train on other images");
  }
  const isBusy = new Uint8Array(tiles.count);
  for (const index of busy) isBusy[index] = 1;
  const order = new Uint32Array(tiles.count);
  order.set(busy);
  let next = busy.length;
  for (const [index, is] of isBusy.entries()) if (is === 0) order[next++] = index;
  const empty = tiles.count - busy.length;
  const at = (index: number): number => order[index] ?? tiles.count;
  return {
    split: {
      count: tiles.count,
      annotations: (index) => tiles.annotations(at(index)),
      sample: (index, request) => tiles.sample(at(index), request),
    },
    busy: busy.length,
    empty,
    count: busy.length + Math.min(empty, backgroundCount(busy.length, options.empty)),
    objects,
    nowhere,
  };
}

/** Which tiles each epoch has: all that are busy, and of the empty ones others in each. */
export function tileEpochs(
  { busy, empty, count }: Pick<TileTraining, "busy" | "empty" | "count">,
  seed: number,
): EpochImages {
  const random = new Random(seed).split("empty tiles");
  return {
    count,
    at: (slot, epoch) => (slot < busy ? slot : busy + (epochOrder(empty, epoch, random)[slot - busy] ?? 0)),
  };
}
