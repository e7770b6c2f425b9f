import { z } from "zod";
import { list, MOST, positiveAmount, shapeCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { constant, float32 } from "../../tensor/index.ts";
import { type AnchorShape, anchorLevels, anchorShapes, type CellGrid } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import type { PlacedAnchors } from "../loss/anchor-assignment.ts";

// Where the anchors of RetinaNet's kind of detector stand: the layouts of three papers, and options that change them.

/** Whose anchors they are. */
const LAYOUTS = ["retina-net", "s3fd", "faceboxes"] as const;

/** What options of anchors come to. */
interface AnchorLayout {
  /** Side of a level's smallest anchors in strides. */
  readonly scale: number;
  /** Sizes of a level, in equal steps to twice the smallest. */
  readonly sizes: number;
  /** Height / width. */
  readonly ratios: readonly number[];
  /** Sides in strides of more anchors on the finest level. */
  readonly finest: readonly number[];
  /** Least side of an anchor in parts of the distance to the next one of its shape; 0: no anchor stands more than once in a cell. */
  readonly density: number;
}

const PUBLISHED: Readonly<Record<(typeof LAYOUTS)[number], AnchorLayout>> = {
  "retina-net": { scale: 2, sizes: 3, ratios: [0.5, 1, 2], finest: [], density: 0 },
  s3fd: { scale: 4, sizes: 1, ratios: [1], finest: [], density: 0 },
  faceboxes: { scale: 4, sizes: 1, ratios: [1], finest: [1, 2], density: 4 },
};

/** The option of where anchors stand. */
export const anchorOriginOption = z
  .enum(["center", "corner"])
  .default("center")
  .describe(
    "where anchors of a cell stand: around its center, or its corner and in whole pixels as torchvision's",
  );

/** Options of anchors. Those without a default have that of the layout. */
export const retinaAnchorOptions = {
  anchorLayout: z
    .enum(LAYOUTS)
    .default("retina-net")
    .describe(
      "whose anchors. retina-net: three sizes and three shapes in each cell; s3fd: one square of 4 strides, meant for --finest-stride 4; faceboxes: the same, and on the finest map also squares of 1 and 2 strides that stand as densely",
    ),
  anchorScale: positiveAmount()
    .optional()
    .describe(
      "side of a level's smallest anchors in strides (default: 2, of s3fd and faceboxes 4; 4 in RetinaNet's paper, for images of 800 pixels)",
    ),
  anchorSizes: shapeCount()
    .optional()
    .describe(
      "sizes of anchors of a level: this many steps to twice the smallest (default: 3, of s3fd and faceboxes 1)",
    ),
  anchorRatios: list(positiveAmount(), MOST.shapes)
    .min(1)
    .optional()
    .describe("shapes of anchors, height / width (default: 0.5,1,2, of s3fd and faceboxes 1)"),
  finestAnchors: list(positiveAmount(), MOST.shapes)
    .optional()
    .describe("sides in strides of more anchors on the finest map alone (default: none, of faceboxes 1,2)"),
  anchorDensity: z
    .number()
    .min(0)
    .max(MOST.shapes)
    .optional()
    .describe(
      "FaceBoxes' densification: an anchor whose side is less than this many strides stands several times in each cell, n × n, until the side is this many times the distance to the next one (default: 0, never; of faceboxes 4)",
    ),
  anchorOrigin: anchorOriginOption,
};

/** Options of anchors, parsed. */
export type RetinaAnchorOptions = z.output<z.ZodObject<typeof retinaAnchorOptions>>;

/** What the options come to: the layout of a paper, changed by what is given. */
function layoutOf({
  anchorLayout,
  anchorScale,
  anchorSizes,
  anchorRatios,
  finestAnchors,
  anchorDensity,
}: RetinaAnchorOptions): AnchorLayout {
  const usual = PUBLISHED[anchorLayout];
  return {
    scale: anchorScale ?? usual.scale,
    sizes: anchorSizes ?? usual.sizes,
    ratios: anchorRatios ?? usual.ratios,
    finest: finestAnchors ?? usual.finest,
    density: anchorDensity ?? usual.density,
  };
}

/** Most anchors of a shape along a side of a cell. */
const MOST_TILES = 16;

/** The sides in strides of the anchors of a level, and how often they stand along each side of a cell. */
interface LevelSides {
  readonly sides: readonly number[];
  readonly tiles: readonly number[];
}

/** @throws OptionError where an anchor would stand too often in a cell */
function sidesOf({ scale, sizes, finest, density }: AnchorLayout, isFinest: boolean): LevelSides {
  const usual = Array.from({ length: sizes }, (_, i) => scale * 2 ** (i / sizes));
  const sides = isFinest ? [...usual, ...finest] : usual;
  // Rounding must not count one more where the side divides exactly.
  const tiles = sides.map((side) => Math.max(1, Math.ceil(density / side - 1e-6)));
  const most = Math.max(...tiles);
  if (most > MOST_TILES) {
    throw new OptionError(
      `option anchorDensity: for a density of ${density}, anchors of ${Number(Math.min(...sides).toPrecision(3))} strides would stand ${most} × ${most} times in a cell, and at most ${MOST_TILES} × ${MOST_TILES} may; lower it, or take larger anchors`,
    );
  }
  return { sides, tiles };
}

/** Anchors of each location of the finest map, and of each of the others. @throws OptionError where one would stand too often */
export function anchorCounts(options: RetinaAnchorOptions): {
  readonly finest: number;
  readonly each: number;
} {
  const layout = layoutOf(options);
  const count = (isFinest: boolean): number =>
    layout.ratios.length * sidesOf(layout, isFinest).tiles.reduce((sum, tiles) => sum + tiles ** 2, 0);
  return { finest: count(true), each: count(false) };
}

/** Stride of the finest map of S³FD, conv3_3 (Zhang et al. 2017, "S³FD", table 1): its anchors there are of 16 pixels. */
const S3FD_STRIDE = 4;

/** Lines for a person where anchors are not those of the paper whose layout they have. */
export function layoutNotes({
  finestStride,
  ...options
}: RetinaAnchorOptions & { readonly finestStride: number }): readonly string[] {
  if (options.anchorLayout !== "s3fd" || finestStride === S3FD_STRIDE) return [];
  const smallest = Math.min(...sidesOf(layoutOf(options), true).sides) * finestStride;
  return [
    `anchorLayout s3fd: the finest map of S³FD has stride ${S3FD_STRIDE}, and anchors of ${PUBLISHED.s3fd.scale * S3FD_STRIDE} pixels; here it has stride ${finestStride}, and the smallest anchors are of ${Number(smallest.toPrecision(3))} pixels. --finest-stride ${S3FD_STRIDE} is as in the paper`,
  ];
}

/** The anchors of a cell of a level. */
function shapesOf(options: RetinaAnchorOptions, stride: number, isFinest: boolean): readonly AnchorShape[] {
  const layout = layoutOf(options);
  const { sides, tiles } = sidesOf(layout, isFinest);
  // Where anchors have whole pixels, torchvision cuts off their sizes, too: 40 for 32 · 2^(1/3).
  const whole = (size: number): number => (options.anchorOrigin === "corner" ? Math.floor(size) : size);
  const shapes = anchorShapes(
    sides.map((side) => whole(stride * side)),
    layout.ratios,
  );
  return shapes.map((shape, i) => ({ ...shape, tiles: tiles[i % sides.length] ?? 1 }));
}

/** The anchors over an image. @param grids of the levels, from the finest on. @throws OptionError where there would be too many */
export function retinaAnchors(
  options: RetinaAnchorOptions,
  grids: readonly CellGrid[],
  image: Size,
): PlacedAnchors {
  const { boxes, levels } = anchorLevels(
    grids.map((grid, i) => ({
      ...grid,
      shapes: shapesOf(options, grid.stride, i === 0),
      origin: options.anchorOrigin,
      image,
    })),
  );
  return { anchors: constant(float32(boxes, [boxes.length / 4, 4])), levels };
}
