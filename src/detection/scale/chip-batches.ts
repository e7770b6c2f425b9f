import type {
  Annotations,
  ByteImage,
  DetectionBatch,
  DetectionSplit,
  ImagePart,
} from "../../data/boxes/set.ts";
import { batchesPerEpoch, batchIndices, epochOrder } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import { Random } from "../../random.ts";
import {
  type Contents,
  contentsOf,
  type DetectionBatches,
  drawInto,
  emptyBatch,
  roomFor,
  wanted,
  writeObjects,
} from "../augment/batches.ts";
import { drawColorMap, type Placement } from "../augment/draw.ts";
import { type AugmentOptions, augmentSchema, type ResolvedAugmentOptions } from "../augment/options.ts";
import type { Recipe } from "../augment/recipe.ts";
import type { Box, Size } from "../boxes/boxes.ts";
import { type Chip, chipRoom, coverByChips, gridPositions, gridStep, holds } from "./chips.ts";
import { inRange, objectSize, type ValidRange } from "./ranges.ts";

// Training on chips (Singh, Najibi and Davis 2018, "SNIPER: Efficient multi-scale training"): which there are, and batches of them.

/** How images are cut into chips. */
export interface ChipOptions {
  /** Longer side of the images at scale 1, in pixels. */
  readonly size: number;
  /** Factors of that size. */
  readonly scales: readonly number[];
  /** Sizes of the objects that are learnt at each scale. */
  readonly ranges: readonly ValidRange[];
  /** Height and width of a chip, in pixels. */
  readonly side: number;
  /** Whether objects marked as difficult are learnt from; default: they are not. */
  readonly difficult?: boolean;
}

/** A chip of an image. */
export interface ImageChip extends Chip {
  /** The image's number in its split. */
  readonly image: number;
  /** The number of its scale. */
  readonly scale: number;
}

/** Chips that hold the objects of a split. */
export interface ChipPlan {
  readonly chips: readonly ImageChip[];
  /** Objects that are to be learnt. */
  readonly objects: number;
  /** Those of them that no chip of a scale at which they are valid holds wholly. */
  readonly nowhere: number;
}

/** The size of an image with its longer side so many times as long as at scale 1, in whole pixels; and that side. */
export function scaledImage(
  { width, height }: Size,
  size: number,
  scale: number,
): Size & { readonly longest: number } {
  const longest = Math.max(1, Math.round(size * scale));
  const factor = longest / Math.max(width, height);
  const scaled = (side: number) => Math.max(1, Math.round(side * factor));
  return { width: scaled(width), height: scaled(height), longest };
}

/** The boxes of an image that are to be learnt, in its pixels. */
export function learntBoxes(annotations: Annotations, difficult: boolean): readonly Box[] {
  const isWanted = wanted(difficult);
  return Array.from(annotations.labels.keys())
    .filter((i) => isWanted(annotations, i))
    .map((i) => {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = annotations.boxes.subarray(4 * i, 4 * i + 4);
      return [x1, y1, x2, y2];
    });
}

/**
 * Sizes of the objects of a split that are to be learnt, in pixels of images whose longer side is `size`; of the images as they are where
 * it is undefined.
 */
export function learntSizes(
  split: DetectionSplit,
  size: number | undefined,
  difficult = false,
): Float64Array {
  const sizes: number[] = [];
  for (let index = 0; index < split.count; index++) {
    const annotations = split.annotations(index);
    const factor = size === undefined ? 1 : size / Math.max(annotations.width, annotations.height);
    for (const box of learntBoxes(annotations, difficult)) sizes.push(factor * objectSize(box));
  }
  return Float64Array.from(sizes);
}

/** The scales of an image, and its boxes there that are valid. */
function* scalesOf(
  annotations: Annotations,
  { size, scales, ranges, difficult = false }: ChipOptions,
): Generator<{
  readonly scale: number;
  readonly image: Size;
  readonly boxes: readonly Box[];
  readonly indices: readonly number[];
}> {
  const all = learntBoxes(annotations, difficult);
  for (const [scale, factor] of scales.entries()) {
    const range = ranges[scale];
    if (range === undefined) throw new OptionError(`chips: scale ${factor} has no range of sizes`);
    const image = scaledImage(annotations, size, factor);
    const [sx, sy] = [image.width / annotations.width, image.height / annotations.height];
    const placed = all.map(([x1, y1, x2, y2]): Box => [sx * x1, sy * y1, sx * x2, sy * y2]);
    const indices = [...placed.keys()].filter((i) => inRange(objectSize(placed[i] ?? [0, 0, 0, 0]), range));
    yield { scale, image, indices, boxes: indices.map((i) => placed[i] ?? [0, 0, 0, 0]) };
  }
}

/** The positive chips of a split: at each scale a cover of the boxes that are valid there (section 3.1). */
export function planChips(split: DetectionSplit, options: ChipOptions): ChipPlan {
  const chips: ImageChip[] = [];
  let [objects, nowhere] = [0, 0];
  for (let image = 0; image < split.count; image++) {
    const annotations = split.annotations(image);
    const held = new Set<number>();
    for (const { scale, image: scaled, boxes, indices } of scalesOf(annotations, options)) {
      const cover = coverByChips(boxes, scaled, options.side);
      for (const chip of cover.chips) chips.push({ ...chip, image, scale });
      const uncovered = new Set(cover.uncovered);
      for (const [k, i] of indices.entries()) if (!uncovered.has(k)) held.add(i);
    }
    const count = learntBoxes(annotations, options.difficult ?? false).length;
    objects += count;
    nowhere += count - held.size;
  }
  return { chips, objects, nowhere };
}

/** Chips of background of an epoch that are a share of all its chips, for so many that hold objects. */
export function backgroundCount(positive: number, share: number): number {
  return Math.round((positive * share) / (1 - share));
}

/** The pixels of so many chips in parts of those of as many images as the split has, at scale 1 and padded to squares. */
export function pixelShare(chips: number, split: DetectionSplit, { side, size }: ChipOptions): number {
  return (chips * side ** 2) / (split.count * size ** 2);
}

export interface ChipBatchOptions extends ChipOptions {
  readonly batchSize: number;
  readonly seed: number;
  /**
   * How chips are changed: flips, colors, and where they lie, as far as they still hold the objects that they are for. Zoom, stretch,
   * mosaic and mix-up are without effect: sizes are what chips are chosen by. `false` changes nothing.
   */
  readonly augment?: AugmentOptions | false | undefined;
  /** Share of background among the chips of an epoch, 0 … 0.9. */
  readonly background: number;
  /**
   * Chips with what a detector took for objects where there are none, which are taken as background first; what is missing is taken from
   * anywhere.
   */
  readonly negatives?: readonly ImageChip[] | undefined;
}

/** Batches of chips, each a pure function of seed and step. */
export interface ChipBatches extends DetectionBatches {
  /** Chips of an epoch. */
  readonly count: number;
  readonly plan: ChipPlan;
}

/** Chips drawn to see how many rows objects need. */
const TRIALS = 256;

/** Scaled images of more pixels are never decoded as a whole: only the part that a chip shows is. */
const LARGE = 4e6;

/** A chip in its place: a recipe, and the part of the scaled image that it shows. */
interface DrawnChip {
  readonly chip: ImageChip;
  readonly scaled: ReturnType<typeof scaledImage>;
  readonly recipe: Recipe;
}

/** Lays a chip on its canvas, the image mirrored or not. */
function drawnChip(
  chip: ImageChip,
  scaled: DrawnChip["scaled"],
  side: number,
  changes: Partial<Pick<Placement, "mirrored" | "flipped">> & Pick<Recipe["parts"][number], "colors"> = {},
): DrawnChip {
  const { mirrored = false, flipped = false, colors } = changes;
  const placement: Placement = {
    left: mirrored ? side - scaled.width + chip.left : -chip.left,
    top: flipped ? side - scaled.height + chip.top : -chip.top,
    width: scaled.width,
    height: scaled.height,
    mirrored,
    flipped,
    window: [0, 0, side, side],
  };
  return { chip, scaled, recipe: { parts: [{ index: chip.image, placement, colors }] } };
}

/** Whether the scaled image of a chip is never decoded as a whole. */
function isLarge(split: DetectionSplit, { chip, scaled }: DrawnChip): boolean {
  const { width, height } = split.annotations(chip.image);
  return scaled.longest <= Math.max(width, height) && scaled.width * scaled.height > LARGE;
}

/** Draws a chip as image `row` of a batch. */
async function drawChip(
  split: DetectionSplit,
  drawn: DrawnChip,
  side: number,
  batch: DetectionBatch,
  row: number,
): Promise<void> {
  const { chip, scaled, recipe } = drawn;
  const { longest } = scaled;
  if (split.part === undefined || !isLarge(split, drawn)) {
    const { image } = await split.sample(chip.image, { longest });
    drawInto(batch, row, recipe, () => image);
    return;
  }
  const part: ImagePart = {
    left: chip.left,
    top: chip.top,
    width: Math.min(side, scaled.width - chip.left),
    height: Math.min(side, scaled.height - chip.top),
  };
  const image: ByteImage = await split.part(chip.image, { longest }, part);
  const parts = recipe.parts.map(({ placement, ...rest }) => ({
    ...rest,
    placement: {
      ...placement,
      left: placement.mirrored ? side - part.width : 0,
      top: placement.flipped ? side - part.height : 0,
      width: part.width,
      height: part.height,
    },
  }));
  drawInto(batch, row, { parts }, () => image);
}

/** Tries to find a chip of background that holds no object. */
const TRIES = 8;

/** A chip from anywhere, at any scale: one that wholly holds no valid object, if one is found soon. */
function backgroundChip(split: DetectionSplit, options: ChipOptions, random: Random): ImageChip {
  const { scales, side } = options;
  let chip: ImageChip = { image: 0, scale: 0, left: 0, top: 0, hull: undefined };
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const image = random.integer(split.count);
    const number = random.integer(scales.length);
    for (const { scale, image: scaled, boxes } of scalesOf(split.annotations(image), options)) {
      if (scale !== number) continue;
      const along = (length: number) => {
        const positions = gridPositions(length, side, gridStep(side));
        return positions[random.integer(positions.length)] ?? 0;
      };
      const [left, top] = [along(scaled.width), along(scaled.height)];
      chip = { image, scale, left, top, hull: undefined };
      if (!boxes.some((box) => holds(chip, side, box))) return chip;
    }
  }
  return chip;
}

/** Moves a chip by chance as far as it still holds its objects, mirrors it and changes its colors. */
function changedChip(
  chip: ImageChip,
  scaled: DrawnChip["scaled"],
  side: number,
  options: ResolvedAugmentOptions | undefined,
  random: Random,
): DrawnChip {
  if (options === undefined) return drawnChip(chip, scaled, side);
  const room = chipRoom(chip, scaled, side);
  const within = ([least, most]: readonly [number, number]) => least + random.integer(most - least + 1);
  const moved = { ...chip, left: within(room.left), top: within(room.top) };
  const mirrored = random.uniform() < options.flip;
  const flipped = random.uniform() < options.flipVertical;
  return drawnChip(moved, scaled, side, { mirrored, flipped, colors: drawColorMap(random, options) });
}

/**
 * Batches of chips for training a detector: epochs over all positive chips in random order, among them chips of background, which are others
 * in each epoch. What a chip shows of an object is learnt where its whole box is of a size that is valid at the chip's scale, and enough of
 * it is seen; boxes are cut off at the chip. All other objects are neither found nor background. A batch depends on the seed, the step and
 * the split alone.
 * @param planned positive chips; default: `planChips` of the split
 * @throws OptionError where the split is empty, no object is valid at any scale, or an option is not acceptable
 */
export function chipBatches(
  split: DetectionSplit,
  options: ChipBatchOptions,
  planned?: ChipPlan,
): ChipBatches {
  const {
    size,
    scales,
    ranges,
    side,
    difficult = false,
    batchSize,
    seed,
    augment = {},
    background,
    negatives = [],
  } = options;
  if (split.count === 0) throw new OptionError("chips: the split is empty; choose another");
  if (scales.length === 0 || scales.length !== ranges.length) {
    throw new OptionError(
      `chips: ${scales.length} scales with ${ranges.length} ranges; each scale needs one`,
    );
  }
  if (!Number.isInteger(side) || side < 1) {
    throw new OptionError(`option chip: ${side}; it must be a whole number of pixels`);
  }
  if (!(background >= 0 && background <= 0.9)) {
    throw new OptionError(`option background: ${background}; it must be a share from 0 to 0.9`);
  }
  const changes = augment === false ? undefined : parseOptions("augmentation", augmentSchema, augment);
  const { visible } = changes ?? augmentSchema.parse({});
  const plan = planned ?? planChips(split, options);
  const positive = plan.chips.length;
  if (positive === 0) {
    throw new OptionError(
      `chips: none of ${counted(plan.objects, "object")} is in the range of a scale and fits into a chip of ${side} pixels; give other --valid-ranges or a larger --chip`,
    );
  }
  const count = positive + backgroundCount(positive, background);
  const random = new Random(seed);
  const [orders, drawing] = [random.split("order"), random.split("augment")];
  const [elsewhere, poolOrders] = [random.split("background"), random.split("negatives")];

  const scaledOf = ({ image, scale }: ImageChip) =>
    scaledImage(split.annotations(image), size, scales[scale] ?? 1);
  const contents = ({ chip, recipe }: DrawnChip): Contents =>
    contentsOf(split, recipe, visible, difficult, (drawn) => {
      const range = ranges[chip.scale];
      return range !== undefined && inRange(drawn, range);
    });
  /** Chip `number` of an epoch. */
  const chipAt = (number: number, epoch: number): ImageChip => {
    const known = plan.chips[number];
    if (known !== undefined) return known;
    const slot = number - positive;
    const taken = negatives.length === 0 ? undefined : epochOrder(negatives.length, epoch, poolOrders)[slot];
    return (
      (taken === undefined ? undefined : negatives[taken]) ??
      backgroundChip(split, options, elsewhere.split(epoch).split(slot))
    );
  };
  const onTrial = function* () {
    for (const chip of plan.chips) yield contents(drawnChip(chip, scaledOf(chip), side));
    const trials = random.split("places");
    for (let trial = 0; trial < TRIALS; trial++) {
      const own = trials.split(trial);
      const chip = chipAt(own.integer(count), trial);
      yield contents(changedChip(chip, scaledOf(chip), side, changes, own));
    }
  };
  const room = roomFor(onTrial());

  const drawnOf = (step: number, [from, to]: readonly [number, number]): readonly DrawnChip[] => {
    const epoch = Math.floor(step / batchesPerEpoch(count, batchSize));
    const numbers = batchIndices(count, batchSize, step, orders).subarray(from, to);
    return Array.from(numbers, (number, i) => {
      const chip = chipAt(number, epoch);
      return changedChip(chip, scaledOf(chip), side, changes, drawing.split(step).split(from + i));
    });
  };
  let dropped = 0;
  return {
    ...room,
    count,
    plan,
    sizeAt: () => side,
    get dropped() {
      return dropped;
    },
    async batch(step, rows = [0, batchSize]) {
      const drawn = drawnOf(step, rows);
      const batch = emptyBatch(drawn.length, side, room);
      await Promise.all(drawn.map((chip, row) => drawChip(split, chip, side, batch, row)));
      // While a batch is used, images of the next one are decoded; what cannot be is reported when its own batch is asked for.
      for (const next of drawnOf(step + 1, rows)) {
        if (isLarge(split, next)) continue;
        split.sample(next.chip.image, { longest: next.scaled.longest }).catch(() => undefined);
      }
      for (const [row, chip] of drawn.entries()) dropped += writeObjects(batch, row, contents(chip));
      return batch;
    },
  };
}
