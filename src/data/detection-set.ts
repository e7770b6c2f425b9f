import type { NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";
import type { SplitName } from "./data-set.ts";
import type { DetectionFault } from "./detection-faults.ts";

/** An image in memory: RGB bytes, channel after channel, `[3, height, width]`. */
export interface ByteImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** The objects marked in an image, as arrays of m objects. What cannot be used has been left out, and is among the set's faults. */
export interface Annotations {
  /** Path of the image within its data set, with `/` between folders. */
  readonly file: string;
  /** Size in pixels of the image, turned upright as its EXIF data say. */
  readonly width: number;
  readonly height: number;
  /** `[m, 4]`: [x1, y1, x2, y2], edges in pixels of that image; within it, of positive area. */
  readonly boxes: Float32Array;
  /** `[m]`: numbers into the set's `classes`. */
  readonly labels: Int32Array;
  /** `[m]`: 1 for an object that need not be found (VOC's `difficult`). */
  readonly difficult: Uint8Array;
  /** `[m]`: 1 for a region with many objects that nobody has counted (COCO's `iscrowd`). */
  readonly crowd: Uint8Array;
  /** `[m]`: area in square pixels; that of the box unless the annotations give that of the outline (COCO). */
  readonly areas: Float32Array;
}

/** An image with its objects. */
export interface DetectionSample extends Annotations {
  /** Of `width` × `height` pixels. */
  readonly image: ByteImage;
}

/** How a sample is wanted. */
export interface SampleRequest {
  /**
   * The longer side that the image has at most, in pixels: a larger one is made smaller as it is decoded, and its boxes and areas with
   * it. Its own size unless told.
   */
  readonly longest?: number;
}

/** One of the parts of a detection set; a part that the data do not have is empty. */
export interface DetectionSplit {
  readonly count: number;
  /** The objects of image `index`, 0 … count − 1, without decoding it. @throws RangeError where there is no such image */
  annotations(index: number): Annotations;
  /**
   * Image `index` with its objects, decoded when it is asked for; the last ones asked for are held in a bounded cache.
   * @throws DataError naming the file where it can no longer be read, RangeError where there is no such image
   */
  sample(index: number, request?: SampleRequest): Promise<DetectionSample>;
  /** The file of image `index`, and whether it is stored upright; where images are drawn there is none. */
  original?(index: number): { readonly path: string; readonly upright: boolean };
}

/** Photographs, or other images, in which objects are marked by boxes. */
export interface DetectionSet {
  readonly name: string;
  readonly classes: readonly string[];
  readonly splits: Readonly<Record<SplitName, DetectionSplit>>;
  /** What was wrong with the data: boxes clipped and dropped, files left out, with names. */
  readonly faults: readonly DetectionFault[];
  /** Changes whenever annotations, sizes, classes or splits change. */
  readonly fingerprint: string;
  /** Lines for a person: what it is, how many images and objects each split has, what was left out and why. */
  describe(): string[];
}

/** Images to be trained on or validated with, all of size S × S, with M places for the objects of each. */
export interface DetectionBatch {
  /** `[n, 3, S, S]`, bytes as floats 0 … 255. */
  readonly x: NdArray<"float32">;
  /** `[n, M, 4]`: [x1, y1, x2, y2] in pixels of `x`; zeros where a place is empty. Empty places come last. */
  readonly boxes: NdArray<"float32">;
  /** `[n, M]`: classes; −1 where a place is empty. */
  readonly labels: NdArray<"int64">;
  /**
   * `[n, R, 4]`: regions with objects that are not learnt from, in which nothing is background; zeros where a place is empty.
   * Absent where the data have none.
   */
  readonly ignored?: NdArray<"float32">;
}

/**
 * A detection batch while tracing: x [n, 3, S, S], boxes [n, M, 4], labels [n, M] (int64, −1 where a place is empty), and
 * perhaps ignored regions [n, R, 4].
 */
export interface SymbolicDetectionBatch {
  readonly x: Tensor;
  readonly boxes: Tensor;
  readonly labels: Tensor;
  readonly ignored?: Tensor | undefined;
}
