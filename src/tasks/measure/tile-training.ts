import type { DetectionSet } from "../../data/boxes/set.ts";
import {
  refuseWithoutTiles,
  type Tiling,
  tileOptionsOf,
  tilingOf,
  USUAL_EMPTY,
  USUAL_TILE_VISIBLE,
} from "../../detection/scale/tile-options.ts";
import {
  type TileTraining,
  type TileTrainingOptions,
  tileTraining,
} from "../../detection/scale/tile-training.ts";
import { sharedPixels } from "../../detection/scale/tiles.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { DetectionDataOptions } from "../run/detection-options.ts";

/** What of the options of data decides which tiles are trained on. */
export type TilesOptions = Pick<DetectionDataOptions, "inTiles" | "bySize">;

/** How a fit cuts images into tiles: to learn from them, and to look at them. */
export interface FitTiling extends TileTrainingOptions {
  readonly tiling: Tiling;
}

/**
 * How images are cut into tiles; undefined where they are trained on as a whole.
 * @throws OptionError where options do not fit each other
 */
export function fitTiling({
  inTiles: { tiles, overlap, fullImage, emptyTiles, tileVisible },
  bySize: { sniper },
}: TilesOptions): FitTiling | undefined {
  refuseWithoutTiles(tiles, { overlap, fullImage, emptyTiles, tileVisible });
  const tiling = tilingOf({ tiles, overlap, fullImage });
  if (tiling === undefined) return undefined;
  if (sniper) {
    throw new OptionError("option tiles: sniper cuts chips out of images by itself; give one of the two");
  }
  return {
    tiling,
    side: tiling.side,
    overlap: tiling.overlap,
    fullImage: tiling.fullImage,
    visible: tileVisible ?? USUAL_TILE_VISIBLE,
    empty: emptyTiles ?? USUAL_EMPTY,
  };
}

/** What of the options a run keeps though it was not given. */
export function settledTiles(options: TilesOptions): Readonly<Record<string, unknown>> {
  const fit = fitTiling(options);
  if (fit === undefined) return {};
  const { tiles, overlap, fullImage } = tileOptionsOf(fit.tiling);
  return { tiles, overlap, fullImage, emptyTiles: fit.empty, tileVisible: fit.visible };
}

/** A set as a detector learns from it: with tiles in place of training images, where asked. */
export function trainedOn(set: DetectionSet, options: TilesOptions): DetectionSet {
  const fit = fitTiling(options);
  if (fit === undefined) return set;
  return { ...set, splits: { ...set.splits, train: tileTraining(set.splits.train, fit).split } };
}

/** Tiles of an epoch, where a set is trained on tiles. @throws OptionError where no training image has an object */
export function tilesOfEpoch({ splits: { train } }: DetectionSet, options: TilesOptions): number | undefined {
  const fit = fitTiling(options);
  return fit && tileTraining(train, fit).count;
}

/** Lines for a person: which tiles are trained on and validated with, and what that leaves out. */
export function describeTiles(
  { splits: { train } }: DetectionSet,
  size: number,
  { side, overlap, tiling, fullImage }: FitTiling,
  { split, busy, count, objects, nowhere }: TileTraining,
  validated: number,
): readonly string[] {
  const whole = fullImage ? ", whole images among them" : "";
  return [
    `tiles of ${side} × ${side} pixels of the images, seen at ${size} × ${size}; neighbors share ${counted(sharedPixels({ side, overlap }), "pixel")}: ${split.count} of ${counted(train.count, "training image")}${whole}, ${busy} of them with objects`,
    `${counted(count, "tile")} an epoch, ${count - busy} of them without an object`,
    ...(nowhere === 0
      ? []
      : [
          `${nowhere} of ${counted(objects, "object")} ${nowhere === 1 ? "lies" : "lie"} far enough in no tile, and nothing is learnt of ${nowhere === 1 ? "it" : "them"}; --full-image, larger tiles or more --overlap would help`,
        ]),
    `validation looks at ${counted(validated, "tile")} and merges what is found by ${tiling.merge}; --validation-samples counts tiles`,
  ];
}
