import type { Annotations, ByteImage } from "../../data/boxes/set.ts";
import type { Random } from "../../random.ts";
import { area, type Box, boxAt, intersection, type Size } from "../boxes/boxes.ts";
import { drawPasted, type Pasted } from "./copies.ts";
import {
  type Canvas,
  type ColorMap,
  drawColorMap,
  drawImage,
  letterboxPlacement,
  PADDING,
  type Placement,
  placeBox,
  placeBoxes,
  type VisibilityRule,
} from "./draw.ts";
import type { ResolvedAugmentOptions } from "./options.ts";

/** An image of a split in its place. */
export interface RecipePart {
  /** Its number in the split. */
  readonly index: number;
  readonly placement: Placement;
  readonly colors?: ColorMap | undefined;
  /** Copies of its objects that are pasted into it. */
  readonly pasted?: Pasted | undefined;
}

/**
 * What a training image is made of, before a pixel is touched: parts that lie side by side on a canvas, and perhaps other parts that
 * shine through. Objects follow from it without decoding.
 */
export interface Recipe {
  readonly parts: readonly RecipePart[];
  readonly mixed?: { readonly parts: readonly RecipePart[]; readonly share: number } | undefined;
}

/** An object on a training image. */
export interface RecipeObject {
  readonly box: Box;
  readonly label: number;
}

/** How an object is drawn. */
export interface DrawnObject {
  /** Its size as a whole, cut off or not: the square root of its box's area in pixels of the canvas. */
  readonly size: number;
  /** The share of its box that is seen. */
  readonly seen: number;
}

/** Least side of what is seen of an object that is cut off, in pixels. */
const LEAST_SIDE = 2;

/** The images that recipes are drawn from. */
export interface RecipeSource {
  readonly count: number;
  sizeOf(index: number): Size;
  /** Copies of its own objects that are pasted into an image this time. */
  pasted?(random: Random, index: number): Pasted | undefined;
}

/** What is learnt from: objects that are to be found. */
export const wanted =
  (difficult: boolean) =>
  (annotations: Pick<Annotations, "crowd" | "difficult">, i: number): boolean =>
    annotations.crowd[i] !== 1 && (difficult || annotations.difficult[i] !== 1);

/** Lays an image into a window by chance: larger or smaller than one that fits, with what is too large cut off anywhere. */
function placeByChance(
  random: Random,
  size: Size,
  window: Box,
  options: ResolvedAugmentOptions,
  leave: (free: number, axis: "x" | "y") => number,
): Placement {
  const { zoomOut, zoomIn, stretch, flip, flipVertical } = options;
  const [width, height] = [window[2] - window[0], window[3] - window[1]];
  const fitting = Math.min(width / size.width, height / size.height);
  const zoom = fitting * zoomOut * (zoomIn / zoomOut) ** random.uniform();
  const ratio = Math.exp((stretch * (2 * random.uniform() - 1)) / 2);
  const drawn = { width: size.width * zoom * ratio, height: (size.height * zoom) / ratio };
  const offset = (free: number, axis: "x" | "y") => (free >= 0 ? leave(free, axis) : free * random.uniform());
  return {
    left: window[0] + offset(width - drawn.width, "x"),
    top: window[1] + offset(height - drawn.height, "y"),
    ...drawn,
    mirrored: random.uniform() < flip,
    flipped: random.uniform() < flipVertical,
    window,
  };
}

function plainPart(
  random: Random,
  index: number,
  source: RecipeSource,
  side: number,
  options: ResolvedAugmentOptions,
): RecipePart {
  const anywhere = (free: number) => free * random.uniform();
  return {
    index,
    placement: placeByChance(random, source.sizeOf(index), [0, 0, side, side], options, anywhere),
    colors: drawColorMap(random, options),
    pasted: source.pasted?.(random.split("copies"), index),
  };
}

/**
 * Four images around a point, `first` in any of the four windows.
 * @param leave where in a window an image lies that leaves room
 */
function fourParts(
  random: Random,
  first: number,
  source: RecipeSource,
  side: number,
  [x, y]: readonly [x: number, y: number],
  options: ResolvedAugmentOptions,
  leave: (window: Box) => (free: number, axis: "x" | "y") => number,
): readonly RecipePart[] {
  const windows: readonly Box[] = [
    [0, 0, x, y],
    [x, 0, side, y],
    [0, y, x, side],
    [x, y, side, side],
  ];
  const place = random.integer(4);
  return windows.map((window, i) => {
    const index = i === place ? first : random.integer(source.count);
    return {
      index,
      placement: placeByChance(random, source.sizeOf(index), window, options, leave(window)),
      colors: drawColorMap(random, options),
      pasted: source.pasted?.(random.split("copies").split(i), index),
    };
  });
}

/**
 * Four images around a point by chance, each cut off where the next begins (Bochkovskiy et al. 2020, "YOLOv4", section 3.3). One that
 * leaves room lies against the point.
 */
function mosaicParts(
  random: Random,
  first: number,
  source: RecipeSource,
  side: number,
  options: ResolvedAugmentOptions,
): readonly RecipePart[] {
  const middle = () => Math.round(side * (0.3 + 0.4 * random.uniform()));
  const [x, y] = [middle(), middle()];
  const inner = (window: Box) => (free: number, axis: "x" | "y") =>
    window[axis === "x" ? 0 : 1] === 0 ? free : 0;
  // A quarter of the canvas is half as wide: an image that fits it would be small, so that it may be twice as large.
  const larger = { ...options, zoomOut: 2 * options.zoomOut, zoomIn: 2 * options.zoomIn };
  return fourParts(random, first, source, side, [x, y], larger, inner);
}

/**
 * Four whole images, each in the middle of a quarter of the canvas that it just fits: half as wide and half as high as alone (Chen et al.
 * 2020, "Stitcher: Feedback-driven data provider for object detection", section 3.2).
 */
function stitchedParts(
  random: Random,
  first: number,
  source: RecipeSource,
  side: number,
  options: ResolvedAugmentOptions,
): readonly RecipePart[] {
  const middle = Math.round(side / 2);
  const whole = { ...options, zoomOut: 1, zoomIn: 1, stretch: 0 };
  return fourParts(random, first, source, side, [middle, middle], whole, () => (free) => free / 2);
}

/**
 * How image `index` of a split is changed this time: a pure function of the generator's key and what is given.
 * @param side of the square canvas, in pixels
 */
export function drawRecipe(
  random: Random,
  index: number,
  source: RecipeSource,
  side: number,
  options: ResolvedAugmentOptions,
): Recipe {
  const sharesByMosaic = random.uniform() < options.mosaic;
  const stitching = random.split("stitch");
  const parts =
    options.stitch > 0 && stitching.uniform() < options.stitch
      ? stitchedParts(stitching, index, source, side, options)
      : sharesByMosaic
        ? mosaicParts(random.split("mosaic"), index, source, side, options)
        : [plainPart(random.split("plain"), index, source, side, options)];
  const mixing = random.split("mix-up");
  if (mixing.uniform() >= options.mixUp) return { parts };
  // About Beta(32, 32): both images stay well visible, since both keep all of their objects (Zhang et al. 2018, "mixup").
  const share = Math.min(0.7, Math.max(0.3, 0.5 + 0.06 * mixing.normal()));
  return {
    parts,
    mixed: { parts: [plainPart(mixing, mixing.integer(source.count), source, side, options)], share },
  };
}

/** An image as it is, in the middle of the canvas: how images are seen outside of training. */
export function letterboxRecipe(index: number, source: RecipeSource, side: number): Recipe {
  return { parts: [{ index, placement: letterboxPlacement(source.sizeOf(index), side) }] };
}

const allParts = ({ parts, mixed }: Recipe): readonly RecipePart[] => [...parts, ...(mixed?.parts ?? [])];

/** The images of a split that a recipe needs. */
export function recipeImages(recipe: Recipe): readonly number[] {
  return [...new Set(allParts(recipe).map(({ index }) => index))];
}

/** How an object with a box is drawn where a placement puts its image. */
function drawnObject(box: Box, image: Size, placement: Placement): DrawnObject {
  const whole = placeBox(box, image, placement);
  const all = area(whole);
  return { size: Math.sqrt(all), seen: intersection(whole, placement.window) / all };
}

/**
 * The objects on the image of a recipe, copies among them.
 * @param annotationsOf image `index`, of the size that the recipe was drawn for
 * @param visible share of an object's box that must be seen for it to count
 * @param counts whether object i, or a copy of it, is one to be found
 */
export function recipeObjects(
  recipe: Recipe,
  annotationsOf: (index: number) => Annotations,
  visible: number,
  counts: (annotations: Annotations, i: number, drawn: () => DrawnObject) => boolean,
): readonly RecipeObject[] {
  const rule: VisibilityRule = { visible, leastSide: LEAST_SIDE };
  return allParts(recipe).flatMap(({ index, placement, pasted }) => {
    const annotations = annotationsOf(index);
    const copies = pasted?.copies ?? [];
    const own = annotations.labels.length;
    const all =
      copies.length === 0 ? annotations.boxes : [...annotations.boxes, ...copies.flatMap(({ box }) => box)];
    const { boxes, indices } = placeBoxes(all, annotations, placement, rule);
    return indices.flatMap((k, at): RecipeObject[] => {
      const box = boxes[at];
      const i = k < own ? k : copies[k - own]?.object;
      if (box === undefined || i === undefined) return [];
      if (!counts(annotations, i, () => drawnObject(boxAt(all, k), annotations, placement))) return [];
      return [{ box, label: annotations.labels[i] ?? 0 }];
    });
  });
}

/** Draws an image in its place, and over it the copies of its objects. */
function drawPart(canvas: Canvas, image: ByteImage, { placement, colors, pasted }: RecipePart): void {
  drawImage(canvas, image, placement, colors);
  if (pasted !== undefined) drawPasted(canvas, image, placement, pasted, colors);
}

/**
 * Draws the image of a recipe, bytes as floats.
 * @param imageOf image `index`, of any size in the proportions of the one that the recipe was drawn for
 * @param data where to draw, `[3, side, side]`
 */
export function drawRecipeImage(
  { parts, mixed }: Recipe,
  imageOf: (index: number) => ByteImage,
  { side, data }: Canvas,
): void {
  data.fill(PADDING);
  for (const part of parts) drawPart({ side, data }, imageOf(part.index), part);
  if (mixed === undefined) return;
  const other = new Float32Array(data.length).fill(PADDING);
  for (const part of mixed.parts) drawPart({ side, data: other }, imageOf(part.index), part);
  const { share } = mixed;
  for (let i = 0; i < data.length; i++)
    data[i] = share * (data[i] as number) + (1 - share) * (other[i] as number);
}
