import type { Annotations, ByteImage, DetectionBatch, DetectionSplit } from "../../data/boxes/set.ts";
import { batchesPerEpoch, batchIndices } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import { type AugmentOptions, augmentSchema } from "./options.ts";
import {
  type DrawnObject,
  drawRecipe,
  drawRecipeImage,
  letterboxRecipe,
  type Recipe,
  type RecipeObject,
  type RecipeSource,
  recipeImages,
  recipeObjects,
  wanted,
} from "./recipe.ts";
import { pasting, type SmallObjects } from "./small-objects.ts";

export { wanted };

/** Sizes of images that change from step to step. */
export interface StepSizes {
  /** The largest one. */
  readonly largest: number;
  /** The size of the images of a step, from 0. */
  at(step: number): number;
}

export interface DetectionBatchOptions {
  /** Height and width of the images of a batch, S, or of those of each step. */
  readonly size: number | StepSizes;
  readonly batchSize: number;
  readonly seed: number;
  /** How images are changed; default: those of the schema. `false` leaves them as they are, in the middle of the canvas. */
  readonly augment?: AugmentOptions | false | undefined;
  /** Rows for the objects of an image, M; default: as many as the split's images need. */
  readonly places?: number | undefined;
  /**
   * Whether objects marked as difficult are learnt from. Default: they are not; crowds never are: they become ignored
   * regions, in which nothing is background.
   */
  readonly difficult?: boolean | undefined;
  /**
   * Whether objects of a size are learnt from at a step: the square root of the area of their whole box on the canvas. Others, and what
   * is left of those that are cut off too far, are neither found nor background (SNIP). Default: all are, and rests are background.
   */
  readonly learns?: ((size: number, step: number) => boolean) | undefined;
  /** Small objects that come more often, and copies of them, by `planSmallObjects` of the split; default: every image comes once, as it is. */
  readonly small?: SmallObjects | undefined;
  /** Which images of the split an epoch has; default: each once, and those again that `small` names. */
  readonly epochs?: EpochImages | undefined;
}

/** The images of an epoch, where those are not all of a split. */
export interface EpochImages {
  /** How many there are. As many of the first images of the split have the most objects, and are those that mosaics are made of. */
  readonly count: number;
  /** Number `slot` of epoch `epoch`, both from 0: a pure function of them. */
  at(slot: number, epoch: number): number;
}

/** Batches of a split for training, each a pure function of seed and step. */
export interface DetectionBatches extends DetectionRoom {
  /** Images of an epoch. */
  readonly count: number;
  /** Height and width of the images of a step, from 0. */
  sizeAt(step: number): number;
  /** Objects that found no row up to now, the smallest ones of their images. */
  readonly dropped: number;
  /**
   * The batch of a training step, from 0.
   * @param rows first row, and the one after the last: a part of the batch, as a replica takes it
   * @throws DataError naming the file where an image can no longer be read
   */
  batch(step: number, rows?: readonly [from: number, to: number]): Promise<DetectionBatch>;
}

/** Recipes drawn to see how many rows objects need; more where their number is by chance. */
const TRIALS = 256;
const COPIED_TRIALS = 1024;

/** Places come in multiples of this, so that about the same data give the same graph. */
const PLACES = 4;

/** What is ignored: all the rest. */
const unwanted =
  (difficult: boolean) =>
  (annotations: Annotations, i: number): boolean =>
    !wanted(difficult)(annotations, i);

export const sourceOf = (split: DetectionSplit): RecipeSource => ({
  count: split.count,
  sizeOf: (index) => split.annotations(index),
});

/** Places for what is in an image. */
export interface DetectionRoom {
  /** For objects, M. */
  readonly places: number;
  /** For ignored regions, R; with 0 batches have none. */
  readonly regions: number;
  /** For objects of sizes that are not learnt, I; with 0 batches have none. */
  readonly invalid: number;
}

/** What is in an image: objects to be found, regions that are ignored, and objects of sizes that are not learnt. */
export interface Contents {
  readonly objects: readonly RecipeObject[];
  readonly ignored: readonly RecipeObject[];
  readonly invalid: readonly RecipeObject[];
}

/** Room for what is in some images. */
export function roomFor(images: Iterable<Contents>): DetectionRoom {
  let [places, regions, most] = [1, 0, 0];
  for (const { objects, ignored, invalid } of images) {
    places = Math.max(places, objects.length);
    regions = Math.max(regions, ignored.length);
    most = Math.max(most, invalid.length);
  }
  const rounded = (count: number) => PLACES * Math.ceil(count / PLACES);
  return { places: rounded(places), regions: rounded(regions), invalid: rounded(most) };
}

/** The largest ones, where there are too many. */
function largest(objects: readonly RecipeObject[], most: number): readonly RecipeObject[] {
  const area = ({ box: [x1, y1, x2, y2] }: RecipeObject) => (x2 - x1) * (y2 - y1);
  return objects.length <= most ? objects : objects.toSorted((a, b) => area(b) - area(a)).slice(0, most);
}

/** Puts what is in image `row` into a batch. @returns how many objects found no row */
export function writeObjects(
  batch: DetectionBatch,
  row: number,
  { objects, ignored, invalid }: Contents,
): number {
  const places = batch.labels.shape[1] ?? 0;
  const kept = largest(objects, places);
  for (const [i, { box, label }] of kept.entries()) {
    batch.boxes.data.set(box, 4 * (row * places + i));
    batch.labels.data[row * places + i] = BigInt(label);
  }
  const write = (rows: NdArray<"float32"> | undefined, those: readonly RecipeObject[]): number => {
    const most = rows?.shape[1] ?? 0;
    const written = largest(those, most);
    for (const [i, { box }] of written.entries()) rows?.data.set(box, 4 * (row * most + i));
    return those.length - written.length;
  };
  write(batch.ignored, ignored);
  return objects.length - kept.length + write(batch.invalid, invalid);
}

/** A batch of `count` images of size × size pixels, in which nothing is yet. */
export function emptyBatch(
  count: number,
  size: number,
  { places, regions, invalid }: DetectionRoom,
): DetectionBatch {
  const boxes = (rows: number) =>
    ({ dtype: "float32", shape: [count, rows, 4], data: new Float32Array(count * rows * 4) }) as const;
  return {
    x: { dtype: "float32", shape: [count, 3, size, size], data: new Float32Array(count * 3 * size * size) },
    boxes: boxes(places),
    labels: { dtype: "int64", shape: [count, places], data: new BigInt64Array(count * places).fill(-1n) },
    ...(regions > 0 && { ignored: boxes(regions) }),
    ...(invalid > 0 && { invalid: boxes(invalid) }),
  };
}

/** Decodes the images that recipes need, no larger than they will be drawn. */
export async function imagesFor(
  split: DetectionSplit,
  recipes: readonly Recipe[],
  longest: number,
): Promise<(index: number) => ByteImage> {
  const indices = [...new Set(recipes.flatMap(recipeImages))];
  const images = new Map(
    await Promise.all(
      indices.map(async (index) => [index, (await split.sample(index, { longest })).image] as const),
    ),
  );
  return (index) => {
    const image = images.get(index);
    if (image === undefined) throw new RangeError(`image ${index} is not among those of the batch`);
    return image;
  };
}

/** Draws the image of a recipe as image `row` of a batch. */
export function drawInto(
  batch: DetectionBatch,
  row: number,
  recipe: Recipe,
  imageOf: (index: number) => ByteImage,
): void {
  const side = batch.x.shape[3] ?? 0;
  const size = 3 * side * side;
  drawRecipeImage(recipe, imageOf, { side, data: batch.x.data.subarray(row * size, (row + 1) * size) });
}

function checkCount(split: DetectionSplit, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new OptionError(
      `detection batches: option ${name} is ${value}; it must be a whole number of at least 1`,
    );
  }
  if (split.count === 0) throw new OptionError("detection batches: the split is empty; choose another");
}

/**
 * Batches for training a detector: epochs of random order, every image changed anew each time (flip, zoom, crop, colors, mosaic,
 * mix-up, copies of small objects; `augmentSchema`, `planSmallObjects`). A batch depends on the seed, the step and the split alone. Images
 * come from the split's cache, decoded no larger than they can be drawn; while a batch is used those of the next one are decoded.
 * @throws OptionError where the split is empty or an option is not acceptable
 */
export function detectionBatches(
  split: DetectionSplit,
  {
    size,
    batchSize,
    seed,
    augment = {},
    places,
    difficult = false,
    learns,
    small,
    epochs,
  }: DetectionBatchOptions,
): DetectionBatches {
  const sizes = typeof size === "number" ? { largest: size, at: () => size } : size;
  checkCount(split, "size", sizes.largest);
  checkCount(split, "batchSize", batchSize);
  if (places !== undefined) checkCount(split, "places", places);
  const options = augment === false ? undefined : parseOptions("augmentation", augmentSchema, augment);
  if (small?.copying !== undefined && options === undefined) {
    throw new OptionError("option copyPaste: is without effect where images are not changed; leave it out");
  }
  const again = small?.again ?? new Uint32Array();
  if (epochs !== undefined && again.length > 0) {
    throw new OptionError("option oversample: which images an epoch has is chosen already; leave it out");
  }
  // Others that share a canvas with an image are of the first ones.
  const images = epochs?.count ?? split.count;
  const source: RecipeSource = {
    ...sourceOf(split),
    count: images,
    ...(small?.copying && options && { pasted: pasting(split, small.copying, options) }),
  };
  const count = images + again.length;
  const orders = new Random(seed).split("order");
  const changes = new Random(seed).split("augment");
  // In a mosaic an image is drawn up to twice as large as a quarter of the canvas, which is the canvas at most.
  const longestOf = (side: number) =>
    Math.ceil(side * (options?.zoomIn ?? 1) * (1 + (options?.stretch ?? 0) / 2));

  const recipeAt = (random: Random, index: number, side: number): Recipe =>
    options === undefined
      ? letterboxRecipe(index, source, side)
      : drawRecipe(random, index, source, side, options);
  const contents = (recipe: Recipe, learnt?: (size: number) => boolean) =>
    contentsOf(split, recipe, options?.visible ?? 0, difficult, learnt);
  // Any object may be of a size that is not learnt at some step.
  const atMost = (recipe: Recipe): Contents =>
    learns === undefined
      ? contents(recipe)
      : { ...contents(recipe), invalid: contents(recipe, () => false).invalid };
  const onTrial = function* () {
    for (let index = 0; index < images; index++) {
      yield atMost(letterboxRecipe(index, source, sizes.largest));
    }
    const trials = new Random(seed).split("places");
    const most = source.pasted === undefined ? TRIALS : COPIED_TRIALS;
    for (let trial = 0; trial < most; trial++) {
      yield atMost(recipeAt(trials.split(trial), trials.integer(images), sizes.largest));
    }
  };
  const needed = roomFor(onTrial());
  const room: DetectionRoom = { ...needed, places: places ?? needed.places };
  const learntAt = (step: number) =>
    learns === undefined ? undefined : (size: number) => learns(size, step);

  const recipesOf = (step: number, [from, to]: readonly [number, number]): readonly Recipe[] => {
    const random = changes.split(step);
    const slots = batchIndices(count, batchSize, step, orders);
    const epoch = Math.floor(step / batchesPerEpoch(count, batchSize));
    const imageOf = (slot: number): number => epochs?.at(slot, epoch) ?? again[slot - split.count] ?? slot;
    const side = sizes.at(step);
    return Array.from(slots.subarray(from, to), (slot, i) =>
      recipeAt(random.split(from + i), imageOf(slot), side),
    );
  };
  const imagesOf = (recipes: readonly Recipe[], step: number) =>
    imagesFor(split, recipes, longestOf(sizes.at(step)));
  let dropped = 0;
  return {
    count,
    sizeAt: (step) => sizes.at(step),
    ...room,
    get dropped() {
      return dropped;
    },
    async batch(step, rows = [0, batchSize]) {
      const recipes = recipesOf(step, rows);
      const imageOf = await imagesOf(recipes, step);
      // What cannot be decoded is reported when its own batch is asked for.
      imagesOf(recipesOf(step + 1, rows), step + 1).catch(() => undefined);
      const batch = emptyBatch(recipes.length, sizes.at(step), room);
      for (const [row, recipe] of recipes.entries()) {
        drawInto(batch, row, recipe, imageOf);
        dropped += writeObjects(batch, row, contents(recipe, learntAt(step)));
      }
      return batch;
    },
  };
}

/** What is in the image of a recipe. Of a region that is ignored, or of an object that is not learnt, the smallest part counts. */
export function contentsOf(
  split: DetectionSplit,
  recipe: Recipe,
  visible: number,
  difficult: boolean,
  learns?: (size: number) => boolean,
): Contents {
  const annotationsOf = (index: number) => split.annotations(index);
  const objectsThat = (least: number, counts: Parameters<typeof recipeObjects>[3]) =>
    recipeObjects(recipe, annotationsOf, least, counts);
  const isWanted = wanted(difficult);
  const ignored = objectsThat(0, unwanted(difficult));
  if (learns === undefined) return { objects: objectsThat(visible, isWanted), ignored, invalid: [] };
  const isLearnt = ({ size, seen }: DrawnObject) => seen >= visible && learns(size);
  return {
    objects: objectsThat(0, (annotations, i, drawn) => isWanted(annotations, i) && isLearnt(drawn())),
    ignored,
    invalid: objectsThat(0, (annotations, i, drawn) => isWanted(annotations, i) && !isLearnt(drawn())),
  };
}

/** Room that the images of a split need as they are. @param learns as in `letterboxBatch` */
export function letterboxRoom(
  split: DetectionSplit,
  size: number,
  learns?: (size: number) => boolean,
): DetectionRoom {
  const recipes = Array.from({ length: split.count }, (_, index) =>
    letterboxRecipe(index, sourceOf(split), size),
  );
  return roomFor(recipes.map((recipe) => contentsOf(split, recipe, 0, false, learns)));
}

/**
 * Images of a split as they are, letterboxed, with their objects: what a detector is validated and tested with. `letterbox` of an
 * image's size and S × S leads boxes back.
 * @param room default: as much as these images need; the largest objects come first in need
 * @param learns whether objects of a size count, by the square root of the area of their box on the canvas; others are neither to be found nor
 * background. Default: all do
 * @throws DataError naming the file where an image can no longer be read
 */
export async function letterboxBatch(
  split: DetectionSplit,
  indices: readonly number[],
  size: number,
  room?: DetectionRoom,
  learns?: (size: number) => boolean,
): Promise<DetectionBatch> {
  const recipes = indices.map((index) => letterboxRecipe(index, sourceOf(split), size));
  const imageOf = await imagesFor(split, recipes, size);
  const contents = recipes.map((recipe) => contentsOf(split, recipe, 0, false, learns));
  const batch = emptyBatch(recipes.length, size, room ?? roomFor(contents));
  for (const [row, recipe] of recipes.entries()) {
    drawInto(batch, row, recipe, imageOf);
    writeObjects(batch, row, contents[row] ?? { objects: [], ignored: [], invalid: [] });
  }
  return batch;
}
