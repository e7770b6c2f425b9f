import { z } from "zod";
import { share } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { TileCut } from "./tiles.ts";

/** Least and largest side of a tile, in pixels. */
const [LEAST_TILE, LARGEST_TILE] = [16, 8192] as const;

/** Share of its side that a tile has in common with its neighbor where none is given, as in the paper. */
export const USUAL_OVERLAP = 0.2;

/** Overlap from which on detections of two tiles are one, where none is given. */
const USUAL_THRESHOLD = 0.5;

/** Share of background among the tiles of an epoch, and share of a box that must be seen, where none are given. */
export const [USUAL_EMPTY, USUAL_TILE_VISIBLE] = [0.1, 0.5] as const;

/** How detections of tiles become one set. */
const MERGES = ["nms", "ios", "union", "edges"] as const;

const tiles = z
  .int()
  .min(0)
  .max(LARGEST_TILE)
  .refine(
    (side) => side === 0 || side >= LEAST_TILE,
    `must be 0, or from ${LEAST_TILE} to ${LARGEST_TILE} pixels`,
  )
  .optional();

/** Options of images in tiles, for learning and for looking. */
const cutOptions = {
  overlap: z
    .number()
    .min(0)
    .max(0.9)
    .optional()
    .describe(
      `tiles: share of its side that a tile has in common with its neighbor; objects up to that size lie whole in a tile (default: ${USUAL_OVERLAP})`,
    ),
  fullImage: z
    .boolean()
    .optional()
    .describe("tiles: the whole image, too, as one more tile, for objects that are larger than one"),
};

/** Options of training on tiles. */
export const tileFitOptions = {
  tiles: tiles.describe(
    `train on tiles of images (SAHI): squares of so many pixels of the image as it is, ${LEAST_TILE} to ${LARGEST_TILE}; the detector sees each at --size (default of --size: the same); 0: none`,
  ),
  ...cutOptions,
  emptyTiles: z
    .number()
    .min(0)
    .max(0.9)
    .optional()
    .describe(
      `tiles: share of the tiles of an epoch that hold no object, other ones in each epoch (default: ${USUAL_EMPTY})`,
    ),
  tileVisible: share()
    .optional()
    .describe(
      `tiles: share of the box of an object that must lie in a tile for it to be learnt there; where less does, it counts neither as an object nor as background (default: ${USUAL_TILE_VISIBLE})`,
    ),
};

/** Options of looking at tiles. */
export const tileLookOptions = {
  tiles: tiles.describe(
    `look at tiles of an image (SAHI): squares of so many pixels of the image as it is, ${LEAST_TILE} to ${LARGEST_TILE}, each at the run's --size; 0: none (default: as the run was fitted)`,
  ),
  ...cutOptions,
  tileMerge: z
    .enum(MERGES)
    .optional()
    .describe(
      "tiles: how detections of different tiles become one set. nms: the best of those that overlap stays, by intersection over union; ios: by intersection over the smaller of the two; union: as ios, and it grows to hold those that it replaces; edges: it grows so where the edge of its tile cuts it off, by those at least half as sure (default: edges)",
    ),
  tileThreshold: share()
    .optional()
    .describe(
      `tiles: overlap from which on detections of different tiles are the same (default: ${USUAL_THRESHOLD})`,
    ),
  acrossClasses: z
    .boolean()
    .optional()
    .describe("tiles: detections of different classes that overlap so are the same, too"),
};

/** How a detector looks at tiles; the options of `eval` and `detect`. */
export interface TileOptions {
  /** Height and width of a tile in pixels of the image; 0, the default, looks at whole images. */
  readonly tiles?: number;
  /** Share of its side that a tile has in common with its neighbor, 0 … 0.9; default: 0.2. */
  readonly overlap?: number;
  /** Whether the whole image is looked at, too; default: false. */
  readonly fullImage?: boolean;
  /** How detections of different tiles become one set; default: `edges`. */
  readonly tileMerge?: (typeof MERGES)[number];
  /** Overlap from which on detections of different tiles are the same, 0 … 1; default: ½. */
  readonly tileThreshold?: number;
  /** Whether detections of different classes may be the same; default: false. */
  readonly acrossClasses?: boolean;
}

/** How a detector looks at tiles, with every default filled in. */
export interface Tiling extends TileCut {
  readonly fullImage: boolean;
  readonly merge: (typeof MERGES)[number];
  readonly threshold: number;
  readonly acrossClasses: boolean;
}

/** Options that are given, and whose values are not `undefined` or `false`. */
const given = (options: Readonly<Record<string, unknown>>): string | undefined =>
  Object.keys(options).find((name) => options[name] !== undefined && options[name] !== false);

/** @throws OptionError where an option of tiles is given without them */
export function refuseWithoutTiles(
  side: number | undefined,
  others: Readonly<Record<string, unknown>>,
): void {
  const idle = given(others);
  if (side !== undefined && side > 0) return;
  if (idle === undefined) return;
  const scenes =
    idle === "overlap" ? "; how far digits of digit-scenes may cover each other is digitOverlap" : "";
  throw new OptionError(
    `option ${idle}: is without effect without tiles; give them, or leave ${idle} out${scenes}`,
  );
}

/**
 * How options look at tiles; undefined where they look at whole images.
 * @throws OptionError where an option is not acceptable, or is without effect without tiles
 */
export function tilingOf({
  tiles: side,
  overlap,
  fullImage,
  tileMerge,
  tileThreshold,
  acrossClasses,
}: { readonly [Name in keyof TileOptions]: TileOptions[Name] | undefined }): Tiling | undefined {
  const others = { overlap, fullImage, tileMerge, tileThreshold, acrossClasses };
  refuseWithoutTiles(side, others);
  if (side === undefined || side === 0) return undefined;
  return {
    side,
    overlap: overlap ?? USUAL_OVERLAP,
    fullImage: fullImage ?? false,
    merge: tileMerge ?? "edges",
    threshold: tileThreshold ?? USUAL_THRESHOLD,
    acrossClasses: acrossClasses ?? false,
  };
}

/** The options that stand for a way of looking at tiles: the inverse of `tilingOf`. */
export function tileOptionsOf(tiling: Tiling | undefined): TileOptions {
  if (tiling === undefined) return {};
  const { side, overlap, fullImage, merge, threshold, acrossClasses } = tiling;
  return { tiles: side, overlap, fullImage, tileMerge: merge, tileThreshold: threshold, acrossClasses };
}
