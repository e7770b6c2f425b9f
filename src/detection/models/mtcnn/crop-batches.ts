import type { ByteImage } from "../../../data/boxes/set.ts";
import { batchIndices } from "../../../data/sources/data-set.ts";
import { Random } from "../../../random.ts";
import { float32, type NdArray } from "../../../tensor/array.ts";
import type { Box } from "../../boxes/boxes.ts";
import { mirrorLandmarks } from "../../boxes/landmarks.ts";
import { drawArea } from "./area.ts";
import {
  type Crop,
  type CropImage,
  type CropKind,
  type CropObject,
  drawAround,
  drawNegative,
  landmarksWithin,
  mirroredIn,
  offsetsOf,
} from "./crops.ts";
import { kindNumber } from "./losses.ts";
import { pixelsOf } from "./windows.ts";

/** Crops of an image in a batch, about; an epoch has as many of each image. */
export const CROPS_OF_IMAGE = 32;

/** Kinds of crops in the ratios of the paper (section 3.1), 3 : 1 : 1 : 2, mixed; without landmarks there are no crops of them. */
const MIXED: Readonly<Record<"marked" | "plain", readonly CropKind[]>> = {
  marked: ["negative", "positive", "landmarks", "negative", "part", "landmarks", "negative"],
  plain: ["negative", "positive", "negative", "part", "negative"],
};

/** Windows of an image that networks before have passed, by what they teach; the best score comes first. */
export type MinedCrops = Readonly<Record<"negative" | "part" | "positive", readonly Crop[]>>;

/** Images that crops are taken from. */
export interface CropSource {
  readonly count: number;
  image(index: number): CropImage;
  pixels(index: number): Promise<ByteImage>;
}

export interface CropBatchOptions {
  /** Side of the crops as a network sees them. */
  readonly size: number;
  /** Landmarks of an object; with 0, batches have none. */
  readonly points: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Probability of mirrored crops. */
  readonly flip: number;
  /** Side of the smallest windows in pixels of the image. */
  readonly smallest: number;
  /** What networks before have passed, image by image; absent for the first one. */
  readonly mined?: readonly MinedCrops[] | undefined;
}

/** Crops to train a network on: x [n, 3, size, size] in bytes, and targets as `CropTargets` has them. */
export interface CropBatch {
  readonly x: NdArray<"float32">;
  readonly kinds: NdArray<"int64">;
  readonly offsets: NdArray<"float32">;
  readonly landmarks?: NdArray<"float32">;
  readonly marked?: NdArray<"float32">;
}

/** A crop of an image, and whether it is mirrored. */
interface PlacedCrop {
  readonly index: number;
  readonly crop: Crop;
  readonly mirrored: boolean;
}

/** Rows of batches that have no crop: they teach nothing. */
export interface BlankRows {
  readonly rows: number;
  readonly blank: number;
  /** Of the first of them: the image that was to have a crop, and of which kind. */
  readonly example: { readonly index: number; readonly kind: CropKind } | undefined;
}

/** Batches of crops, each a pure function of seed and step. */
export class CropBatches {
  /** Images of a step. */
  readonly images: number;
  private readonly source: CropSource;
  private readonly options: CropBatchOptions;
  private readonly orders: Random;
  private readonly crops: Random;
  /** Images with objects, and with landmarks. */
  private readonly withObjects: readonly number[];
  private readonly withLandmarks: readonly number[];

  constructor(source: CropSource, options: CropBatchOptions) {
    this.source = source;
    this.options = options;
    this.images = Math.max(1, Math.min(source.count, Math.round(options.batchSize / CROPS_OF_IMAGE)));
    this.orders = new Random(options.seed).split("order");
    this.crops = new Random(options.seed).split(`crops of ${options.size}`);
    const all = Array.from({ length: source.count }, (_, index) => index);
    this.withObjects = all.filter((index) => source.image(index).objects.length > 0);
    this.withLandmarks =
      options.points === 0
        ? []
        : all.filter((index) => source.image(index).objects.some(({ landmarks }) => landmarks !== undefined));
  }

  /** Some rows of the batch of a step, from 0. @throws DataError naming the file where an image can no longer be read */
  async batch(step: number, [from, to]: readonly [number, number]): Promise<CropBatch> {
    const rows = this.rowsOf(step, from, to);
    const indices = [...new Set(rows.flatMap((row) => row?.index ?? []))];
    const pixels = new Map(
      await Promise.all(indices.map(async (index) => [index, await this.source.pixels(index)] as const)),
    );
    const { size, points } = this.options;
    const count = rows.length;
    const x = new Float32Array(count * 3 * size * size);
    const kinds = new BigInt64Array(count).fill(-1n);
    const offsets = new Float32Array(4 * count);
    const landmarks = new Float32Array(2 * points * count);
    const marked = new Float32Array(2 * points * count);
    for (const [row, placed] of rows.entries()) {
      const image = placed && pixels.get(placed.index);
      if (placed === undefined || image === undefined) continue;
      if (!drawCrop(image, placed, { data: x, offset: 3 * size * size * row, side: size })) continue;
      const { kind, window, object } = placed.crop;
      kinds[row] = BigInt(kindNumber(kind));
      if (object === undefined) continue;
      const box = placed.mirrored ? mirroredIn(window, object.box) : object.box;
      offsets.set(offsetsOf(window, box), 4 * row);
      if (points === 0 || object.landmarks === undefined) continue;
      const own = placed.mirrored
        ? mirrorLandmarks(object.landmarks, window[0] + window[2], 1)
        : object.landmarks;
      const within = landmarksWithin(window, own);
      for (const [i, value] of within.entries()) {
        // A landmark has both of its numbers, or is not marked.
        if (!Number.isFinite(value + (within[(i + points) % (2 * points)] ?? Number.NaN))) continue;
        landmarks[2 * points * row + i] = value;
        marked[2 * points * row + i] = 1;
      }
    }
    return {
      x: float32(x, [count, 3, size, size]),
      kinds: { dtype: "int64", shape: [count], data: kinds },
      offsets: float32(offsets, [count, 4]),
      ...(points > 0 && {
        landmarks: float32(landmarks, [count, 2 * points]),
        marked: float32(marked, [count, 2 * points]),
      }),
    };
  }

  /** How many of the crops of the first steps are blank, as none of the kind is found in their image, and an example. */
  blankRows(steps: number): BlankRows {
    const { batchSize } = this.options;
    let [blank, example]: [number, BlankRows["example"]] = [0, undefined];
    for (let step = 0; step < steps; step++) {
      for (const { index, kind, placed } of this.wantedRows(step, 0, batchSize)) {
        if (placed !== undefined) continue;
        blank++;
        example ??= { index, kind };
      }
    }
    return { rows: steps * batchSize, blank, example };
  }

  /** The crops of some rows; undefined for a row that finds none. */
  private rowsOf(step: number, from: number, to: number): readonly (PlacedCrop | undefined)[] {
    return this.wantedRows(step, from, to).map(({ placed }) => placed);
  }

  /** What is wanted in some rows, and the crop that is found for it. */
  private wantedRows(step: number, from: number, to: number) {
    const { source, options, images } = this;
    const order = batchIndices(source.count, images, step, this.orders);
    const random = this.crops.split(step);
    const ofImage = Math.ceil(options.batchSize / images);
    const kinds = MIXED[this.withLandmarks.length > 0 ? "marked" : "plain"];
    return Array.from({ length: to - from }, (_, i) => {
      const row = from + i;
      const index = order[Math.floor(row / ofImage)] ?? 0;
      const kind = kinds[row % kinds.length] ?? "negative";
      return { index, kind, placed: this.placed(random.split(row), index, kind) };
    });
  }

  /** A crop of a kind, of that image where it has one. */
  private placed(random: Random, index: number, kind: CropKind): PlacedCrop | undefined {
    const mirrored = random.uniform() < this.options.flip;
    const place = (own: number, crop: Crop | undefined): PlacedCrop | undefined =>
      crop && { index: own, crop, mirrored };
    if (kind === "negative") return place(index, this.negative(random, index));
    const among = kind === "landmarks" ? this.withLandmarks : this.withObjects;
    const has = (object: CropObject): boolean => kind !== "landmarks" || object.landmarks !== undefined;
    const own = this.source.image(index).objects.some(has) ? index : among[random.integer(among.length)];
    if (own === undefined) return undefined;
    const image = this.source.image(own);
    // Half of them as the network before has found them; in small data it finds few.
    const mined = kind === "landmarks" ? [] : (this.options.mined?.[own]?.[kind] ?? []);
    if (mined.length > 0 && random.uniform() < 0.5) return place(own, mined[random.integer(mined.length)]);
    const objects = image.objects.filter(has);
    const object = objects[random.integer(objects.length)];
    return place(own, object && drawAround(random, image, object, kind));
  }

  /** Background that the network before takes for an object; without any, and for the first network, any background, half of it near objects. */
  private negative(random: Random, index: number): Crop | undefined {
    const mined = this.options.mined?.[index]?.negative ?? [];
    if (mined.length > 0) return mined[random.integer(mined.length)];
    const image = this.source.image(index);
    const near = random.uniform() < 0.5 ? image.objects[random.integer(image.objects.length)] : undefined;
    return (
      drawNegative(random, image, this.options.smallest, near) ??
      drawNegative(random, image, this.options.smallest)
    );
  }
}

/** Draws the pixels of a crop as the cascade looks at windows. @returns false where none of them is in the image */
function drawCrop(
  image: ByteImage,
  { crop: { window }, mirrored }: PlacedCrop,
  canvas: { readonly data: Float32Array; readonly offset: number; readonly side: number },
): boolean {
  const [left, top, right, bottom]: Box = window;
  const part = pixelsOf(Float32Array.of(left + 1, top + 1, right, bottom), 0, image);
  if (part === undefined) return false;
  const { data, offset, side } = canvas;
  drawArea(image, part, { width: side, height: side }, canvas);
  if (!mirrored) return true;
  for (let row = 0; row < 3 * side; row++) {
    data.subarray(offset + row * side, offset + (row + 1) * side).reverse();
  }
  return true;
}
