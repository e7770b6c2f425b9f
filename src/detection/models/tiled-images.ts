import type { DetectionSplit } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import type { Session } from "../../program/program.ts";
import type { NdArray } from "../../tensor/array.ts";
import { letterboxBatch } from "../augment/batches.ts";
import { clipBoxes, shiftBoxes } from "../boxes/boxes.ts";
import { type Detections, limited } from "../boxes/detections.ts";
import type { TestTimeOptions, Views } from "../scale/test-time.ts";
import { mergeTiles } from "../scale/tile-merge.ts";
import type { TileOptions, Tiling } from "../scale/tile-options.ts";
import {
  bandedParts,
  type PartReader,
  type TilePlace,
  type TileSplit,
  tileSplit,
} from "../scale/tile-split.ts";
import { sharedPixels, type Tile } from "../scale/tiles.ts";
import { type AnyDetector, completeDetectOptions, type DetectOptions, type LookReports } from "./detector.ts";
import { detectorViews, type PyramidImages, pyramidDetections } from "./image-pyramid.ts";

/** Tiles that a detector looks at in one run of its program. */
const AT_ONCE = 4;

/** The tiles of a split as a detector looks at them. */
export interface LookedTiles extends TileSplit {
  /** Side of the smallest objects that a cascade looks for in sample `index`, in its pixels; undefined for its own. */
  smallest?(index: number): number | undefined;
}

/** Images of a split as a detector looks at them in all views. @throws DataError where one can no longer be read */
export async function splitImages(
  split: DetectionSplit & Pick<LookedTiles, "smallest">,
  indices: readonly number[],
  { sides }: Pick<Views, "sides">,
): Promise<PyramidImages> {
  const images = new Map<number, NdArray<"float32">>();
  for (const side of sides) images.set(side, (await letterboxBatch(split, indices, side)).x);
  return {
    sizes: indices.map((index) => split.annotations(index)),
    at(side) {
      const x = images.get(side);
      if (x === undefined) throw new RangeError(`images of ${side} pixels are not among those of the views`);
      return x;
    },
    whole: async (i) => (await split.sample(indices[i] ?? Number.NaN)).image,
    smallest: (i) => split.smallest?.(indices[i] ?? Number.NaN),
  };
}

/**
 * The tiles of a split that a detector looks at. A cascade, which looks at images at their own size, is given whole images made so small that
 * the smallest objects that it finds there are as large as those that lie whole in a tile, and no larger than its networks see them: none is
 * lost between the two, and a huge image is not held whole.
 * @param parts where pixels come from; default: images from the top down
 */
export function lookedAt(
  detector: AnyDetector,
  split: DetectionSplit,
  cut: Pick<Tiling, "side" | "overlap" | "fullImage">,
  parts: PartReader = bandedParts(split),
): LookedTiles {
  const { side, overlap, fullImage } = cut;
  // What is in the tiles is not asked for: no object is left out.
  const common = { side, overlap, fullImage, visible: 0, parts };
  if (detector.looks !== "cascade") return tileSplit(split, common);
  const smallest = Math.min(detector.smallestObject, detector.enoughDetail);
  const share = Math.min(1, smallest / sharedPixels(cut));
  const tiles = tileSplit(split, {
    ...common,
    padded: false,
    longest: ({ width, height }) => Math.ceil(share * Math.max(width, height)),
  });
  return { ...tiles, smallest: (index) => (tiles.place(index).tile === undefined ? smallest : undefined) };
}

/** What was found in a tile, in pixels of its image, and cut off where the tile ends. */
function inImage(found: Detections, tile: Tile | undefined): Detections {
  if (tile === undefined) return found;
  const { left, top } = tile;
  const { landmarks } = found;
  return {
    ...found,
    boxes: shiftBoxes(clipBoxes(found.boxes, tile), left, top),
    ...(landmarks && {
      landmarks: Float64Array.from(landmarks, (value, k) => value + (k % 2 === 0 ? left : top)),
    }),
  };
}

/** Gathers what is found in tile after tile of a split, and merges it where the last tile of an image comes. */
export class TileGatherer {
  private readonly tiles: Pick<TileSplit, "place" | "tilesOf">;
  private readonly tiling: Tiling;
  private image: number | undefined;
  private sets: Detections[] = [];
  private windows: (Tile | undefined)[] = [];

  constructor(tiles: Pick<TileSplit, "place" | "tilesOf">, tiling: Tiling) {
    this.tiles = tiles;
    this.tiling = tiling;
  }

  /**
   * Takes what was found in tile `index`, in its pixels; tiles of an image come in their order, from the first on.
   * @returns all that was found in the image, where this is its last tile
   */
  add(index: number, found: Detections): { readonly image: number; readonly found: Detections } | undefined {
    const { image, tile }: TilePlace = this.tiles.place(index);
    if (image !== this.image) {
      this.sets = [];
      this.windows = [];
    }
    this.image = image;
    this.windows.push(tile);
    this.sets.push(inImage(found, tile));
    const [first, end] = this.tiles.tilesOf(image);
    if (index !== end - 1) return undefined;
    if (this.sets.length !== end - first) {
      throw new RangeError(`tiles of image ${image}: ${this.sets.length} of ${end - first} were given`);
    }
    return { image, found: mergeTiles(this.sets, this.tiling, this.windows) };
  }
}

/** What is reported while a detector looks at tiles, and how it is ended. */
export interface TileReports {
  /** Called with the tiles of an image that are done, and how many it has. */
  readonly onTiles?: ((done: number, count: number) => void) | undefined;
  /** Ends it between tiles. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * What a detector finds in an image of a split that it looks at tile by tile (SAHI): of each tile as `pyramidDetections`, so that tiles are looked
 * at at several scales, or in the mirror, where asked; then merged. `maximum` is that of the image, and so of each tile. A large image is
 * decoded in bands of rows, never as a whole.
 * @param tiles those of the split, as `lookedAt` gives them for the same tiling
 * @returns from the best down, in pixels of the image; undefined where the signal ended it
 * @throws OptionError where an option is not acceptable; DataError where the image can no longer be read
 */
export async function tiledDetections(
  detector: AnyDetector,
  session: Session,
  tiles: LookedTiles,
  image: number,
  options: DetectOptions & TestTimeOptions & LookReports,
  { onTiles, signal }: TileReports = {},
): Promise<Detections | undefined> {
  const { tiling, ...views } = detectorViews(detector, options);
  if (tiling === undefined)
    throw new OptionError("option tiles: is not given; pyramidDetections looks at whole images");
  const gatherer = new TileGatherer(tiles, tiling);
  const [first, end] = tiles.tilesOf(image);
  let merged: Detections | undefined;
  for (let from = first; from < end; from += AT_ONCE) {
    if (signal?.aborted === true) return undefined;
    const indices = Array.from({ length: Math.min(AT_ONCE, end - from) }, (_, i) => from + i);
    const images = await splitImages(tiles, indices, views);
    const found = await pyramidDetections(detector, session, images, withoutTiles(options));
    for (const [i, index] of indices.entries()) {
      const own = found[i];
      if (own !== undefined) merged = gatherer.add(index, own)?.found;
    }
    onTiles?.(from + indices.length - first, end - first);
  }
  return merged && limited(merged, completeDetectOptions(options).maximum).found;
}

/** Options for a tile, or for the whole image as it is. */
export function withoutTiles<O extends TestTimeOptions>(options: O): Omit<O, keyof TileOptions> {
  const {
    tiles: _tiles,
    overlap: _overlap,
    fullImage: _fullImage,
    tileMerge: _tileMerge,
    tileThreshold: _tileThreshold,
    acrossClasses: _acrossClasses,
    ...others
  } = options;
  return others;
}
