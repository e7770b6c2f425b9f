import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { nearest } from "../../nearest.ts";
import { firstNames } from "../../printable.ts";
import type { NdArray } from "../../tensor/array.ts";
import type { Tensor } from "../../tensor/graph.ts";
import type { SplitName } from "../sources/data-set.ts";

/** What can be wrong with an image or an object of a detection set, and what is done about it. */
export const FAULTS = {
  outside: "files outside of the data's folder; left out (--follow-links follows links out of it)",
  "not-looked-into": "folders too deep, or links in circles; left out",
  "unreadable-annotations": "annotations that cannot be read; their image is left out",
  "missing-annotations": "images listed in a split without annotations; left out",
  "missing-image": "annotations of an image that is not there; left out",
  "ambiguous-image":
    "images under an id that another image has, too, so that nothing tells whose boxes are whose; left out",
  "unreadable-image": "images that cannot be decoded; left out",
  "huge-image": "images with more pixels than the limit; left out",
  "repeated-image": "images listed more than once; kept once",
  "merged-annotations": "images with objects in several entries or files of annotations; all are taken",
  "shared-image": "images in more than one split; kept in the one held out",
  "same-splits": "training images that are all held out, too; splits are drawn anew from them",
  "identical-images": "files with the same bytes as another one; kept, in one split where splits are drawn",
  "similar-images":
    "pictures that are nearly another one, saved, scaled or compressed again; kept, in one split where splits are drawn",
  "shared-twin":
    "pictures of which a twin is in another split; kept, though what is measured on them is too good",
  "guessed-split": "folders taken for a split by a name that is not its own",
  "other-spelling":
    "images found by another spelling of their name (case, letters with marks, %20, slashes, extension)",
  "unused-annotations": "files of annotations that were found and not used (--format chooses)",
  "not-read": "annotations that are no boxes of objects (points, lines, texts, tracks); left out",
  "guessed-shares":
    "tables of which all edges lie within 0 … 1: taken as shares of width and height (--box-unit pixels takes them as they are)",
  "similar-classes":
    "classes whose names differ by case, spaces or marks alone; kept apart (--classes, or rename them)",
  "not-in-a-split": "images with annotations that no split lists; left out",
  "turned-image": "images that EXIF data turn; pixels and boxes are upright",
  "other-size": "images of another size than their annotations state; the size of the image counts",
  "unknown-class": "objects of an unknown class; dropped",
  "other-count":
    "images with more or fewer faces than their annotations count; those that are listed are kept",
  "invalid-face": "faces marked as invalid; kept, but as ones that need not be found",
  "other-faces":
    "images whose faces in the lists of easy, medium and hard ones are not those of the annotations; their subsets are not read",
  "unknown-difficulty": "files with a difficulty of objects that is not easy, medium or hard; not read",
  "outline-box": "objects with an outline and no box; the box around it is taken",
  "broken-box": "boxes with a coordinate that is no number; dropped",
  "empty-box": "boxes of zero or negative area; dropped",
  "outside-box": "boxes wholly outside of their image; dropped",
  "clipped-box": "boxes that reach beyond their image; clipped to it",
  "repeated-box": "objects marked twice with the same box and class; dropped",
  "other-landmarks": "objects with another number of landmarks than most; kept without landmarks",
} as const;

export type FaultKind = keyof typeof FAULTS;

/** Something wrong with a detection set. */
export interface DetectionFault {
  readonly kind: FaultKind;
  /** The file at fault: an image, or annotations; with `/` between folders, within the data set. */
  readonly file: string;
  /** What exactly, as in `object 13 (RBC): [504, 337, 504, 337]`. */
  readonly detail: string;
}

/** How many faults there are of each kind that occurs, in the order of `FAULTS`. */
export function countFaults(faults: readonly DetectionFault[]): ReadonlyMap<FaultKind, number> {
  const counts = new Map<FaultKind, number>();
  for (const kind of Object.keys(FAULTS) as FaultKind[]) {
    const count = faults.filter((fault) => fault.kind === kind).length;
    if (count > 0) counts.set(kind, count);
  }
  return counts;
}

/**
 * A line for each kind of fault: what it is, how many there are, and the files.
 * @param most files named in a line
 */
export function faultLines(faults: readonly DetectionFault[], most = 4): readonly string[] {
  return [...countFaults(faults)].map(([kind, count]) => {
    const files = [...new Set(faults.filter((fault) => fault.kind === kind).map(({ file }) => file))];
    return `${FAULTS[kind]}: ${count} (${firstNames(files, most)})`;
  });
}

/** The subsets of WIDER FACE, in which faces are more and more difficult. */
export const FACE_SUBSETS = ["easy", "medium", "hard"] as const;

export type FaceSubset = (typeof FACE_SUBSETS)[number];

/** The subsets that a face counts in as a sum: 1 easy, 2 medium, 4 hard. */
export function subsetBits(subsets: readonly FaceSubset[]): number {
  return subsets.reduce((bits, subset) => bits | (1 << FACE_SUBSETS.indexOf(subset)), 0);
}

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
  /** The id that the annotations have for the image, where they have one (COCO). */
  readonly id?: number | string | undefined;
  /** Size in pixels of the image, turned upright by its EXIF data. */
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
  /**
   * `[m, 2 · points]`: x and y of each landmark of an object in pixels of the image, NaN for one that is not marked. Absent where the data
   * have none.
   */
  readonly landmarks?: Float32Array;
  /** `[m]`: area in square pixels; that of the outline where the annotations give it (COCO), otherwise that of the box. */
  readonly areas: Float32Array;
  /** `[m]`: the subsets of WIDER FACE that a face counts in, by `subsetBits`. Absent where no object of the image counts in one. */
  readonly subsets?: Uint8Array;
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
   * it (default: its own size).
   */
  readonly longest?: number;
}

/** A part of an image, in whole pixels. */
export interface ImagePart {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A copy of a part of an image. @throws RangeError where it reaches beyond the image */
export function cutOut({ width, height, data }: ByteImage, part: ImagePart): ByteImage {
  if (part.left < 0 || part.top < 0 || part.left + part.width > width || part.top + part.height > height) {
    throw new RangeError(
      `a part of ${part.width} × ${part.height} pixels at (${part.left}, ${part.top}) asked of an image of ${width} × ${height}`,
    );
  }
  const cut = new Uint8Array(3 * part.width * part.height);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < part.height; y++) {
      const from = (channel * height + part.top + y) * width + part.left;
      cut.set(data.subarray(from, from + part.width), (channel * part.height + y) * part.width);
    }
  }
  return { width: part.width, height: part.height, data: cut };
}

/** The file of an image. */
export interface OriginalImage {
  readonly path: string;
  /** Whether it is stored upright. */
  readonly upright: boolean;
  /** Its bytes. @throws DataError where it can no longer be read */
  read(): Promise<Uint8Array>;
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
  /**
   * A part of image `index` as `sample` gives it, in its pixels, without holding all of it in memory; not cached. Absent where images are
   * drawn.
   * @throws as `sample`
   */
  part?(index: number, request: SampleRequest, part: ImagePart): Promise<ByteImage>;
  /** The file of image `index`; undefined where images are drawn, or in memory. */
  original?(index: number): OriginalImage | undefined;
}

/** A class under the id that annotations have for it. */
export interface Category {
  readonly id: number | string;
  readonly name: string;
  readonly supercategory?: string | undefined;
}

/** Photographs, or other images, in which objects are marked by boxes. */
export interface DetectionSet {
  readonly name: string;
  readonly classes: readonly string[];
  /** The ids that the annotations have for classes, where they have some: COCO's categories. */
  readonly categories?: readonly Category[] | undefined;
  readonly splits: Readonly<Record<SplitName, DetectionSplit>>;
  /** What was wrong with the data: boxes clipped and dropped, files left out, with names. */
  readonly faults: readonly DetectionFault[];
  /** Changes whenever annotations, sizes, classes or splits change. */
  readonly fingerprint: string;
  /** Lines for a person: what it is, how many images and objects each split has, what was left out and why. */
  describe(): string[];
}

/** Images to be trained on or validated with, all of size S × S, with room for M objects in each. */
export interface DetectionBatch {
  /** `[n, 3, S, S]`, bytes as floats 0 … 255. */
  readonly x: NdArray<"float32">;
  /** `[n, M, 4]`: [x1, y1, x2, y2] in pixels of `x`; zeros past the last object of an image. */
  readonly boxes: NdArray<"float32">;
  /** `[n, M]`: classes; −1 past the last object. */
  readonly labels: NdArray<"int64">;
  /**
   * `[n, R, 4]`: regions with objects that are not learnt from, in which nothing is background; zeros past the last one.
   * Absent where the data have none.
   */
  readonly ignored?: NdArray<"float32">;
  /**
   * `[n, I, 4]`: objects of a size that is not learnt at this scale, neither found nor background; zeros past the last one. Absent where
   * every size is learnt.
   */
  readonly invalid?: NdArray<"float32">;
}

/**
 * A detection batch while tracing: x [n, 3, S, S], boxes [n, M, 4], labels [n, M] (int64, −1 past the last object), and
 * perhaps ignored regions [n, R, 4] and objects of sizes that are not learnt [n, I, 4].
 */
export interface SymbolicDetectionBatch {
  readonly x: Tensor;
  readonly boxes: Tensor;
  readonly labels: Tensor;
  readonly ignored?: Tensor | undefined;
  readonly invalid?: Tensor | undefined;
}

/** Decoded images of a data set, the ones asked for last, up to a number of bytes. */
export class ImageCache {
  private readonly held = new Map<string, { image: Promise<ByteImage>; bytes: number }>();
  private readonly capacity: number;
  private bytes = 0;

  /** @param capacity in bytes; with 0 nothing is kept */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The image of that key, made if it is not held. One that is being made is not made twice. */
  get(key: string, make: () => Promise<ByteImage>): Promise<ByteImage> {
    const known = this.held.get(key);
    if (known !== undefined) {
      // A map keeps the order in which keys were set: the first is the one not asked for longest.
      this.held.delete(key);
      this.held.set(key, known);
      return known.image;
    }
    const entry = { image: make(), bytes: 0 };
    this.held.set(key, entry);
    entry.image.then(
      ({ data }) => this.grow(key, entry, data.length),
      () => this.held.delete(key),
    );
    return entry.image;
  }

  private grow(key: string, entry: { bytes: number }, bytes: number): void {
    if (this.held.get(key) !== entry) return;
    entry.bytes = bytes;
    this.bytes += bytes;
    for (const [oldest, { bytes }] of this.held) {
      if (this.bytes <= this.capacity) break;
      // One that is still being made has no size yet, and is counted when it has.
      if (bytes === 0) continue;
      this.held.delete(oldest);
      this.bytes -= bytes;
    }
  }
}

/** Annotations of an image that is made smaller. */
function resized(
  annotations: Annotations,
  { width, height }: Pick<Annotations, "width" | "height">,
): Annotations {
  const [x, y] = [width / annotations.width, height / annotations.height];
  if (x === 1 && y === 1) return annotations;
  return {
    ...annotations,
    width,
    height,
    boxes: annotations.boxes.map((edge, side) => edge * (side % 2 === 0 ? x : y)),
    ...(annotations.landmarks && {
      landmarks: annotations.landmarks.map((value, side) => value * (side % 2 === 0 ? x : y)),
    }),
    areas: annotations.areas.map((area) => area * x * y),
  };
}

/**
 * A split whose images are decoded when they are asked for.
 * @param name of the split, for errors and as a part of the keys in the cache
 */
export function lazySplit(
  name: string,
  count: number,
  annotationsOf: (index: number) => Annotations,
  decode: (index: number, request: SampleRequest) => Promise<ByteImage>,
  cache: ImageCache,
): DetectionSplit {
  const annotations = (index: number): Annotations => {
    if (!Number.isInteger(index) || index < 0 || index >= count) {
      throw new RangeError(`image ${index} asked of the ${name} split, which has ${count}`);
    }
    return annotationsOf(index);
  };
  return {
    count,
    annotations,
    async sample(index, request = {}) {
      const whole = annotations(index);
      const key = `${name} ${index} ${request.longest ?? ""}`;
      const image = await cache.get(key, () => decode(index, request));
      return { ...resized(whole, image), image };
    },
  };
}

/**
 * A set whose labels are numbers into another list of classes, as a detector wants it that was fitted on other data: the same
 * classes may be in another order, and classes that the set does not have may be among them.
 * @param whose what the classes are of, for errors: `the run runs/yolo-bccd`
 * @throws OptionError where the set has objects of a class that is not in the list
 */
export function withClasses(set: DetectionSet, classes: readonly string[], whose: string): DetectionSet {
  if (set.classes.join("\n") === classes.join("\n")) return set;
  const numberOf = new Map(classes.map((name, number) => [name, number]));
  const numbers = set.classes.map((name) => numberOf.get(name) ?? -1);
  const occurring = numbers.includes(-1) ? occurringLabels(Object.values(set.splits)) : new Set<number>();
  const unknown = set.classes.filter((_, label) => numbers[label] === -1 && occurring.has(label));
  const [first] = unknown;
  if (first !== undefined) {
    const meant = nearest(first, classes);
    throw new OptionError(
      `${set.name}: classes of ${whose} are ${classes.join(", ")}; the data have ${unknown.join(", ")} besides${meant === undefined ? "" : ` (is ${first} ${meant}?)`}. Rename them, or give --classes ${classes.join(",")}, which drops their objects`,
    );
  }
  const renumbered = <A extends Annotations>(annotations: A): A => ({
    ...annotations,
    labels: annotations.labels.map((label) => numbers[label] ?? -1),
  });
  const relabeled = (split: DetectionSplit): DetectionSplit => ({
    ...split,
    annotations: (index) => renumbered(split.annotations(index)),
    sample: async (index, request) => renumbered(await split.sample(index, request)),
  });
  return {
    ...set,
    classes,
    splits: {
      train: relabeled(set.splits.train),
      validation: relabeled(set.splits.validation),
      test: relabeled(set.splits.test),
    },
  };
}

/**
 * A set whose objects are all of one class, whatever classes they were of: for a detector that finds one.
 * @param name of that class
 */
export function asOneClass(set: DetectionSet, name: string): DetectionSet {
  if (set.classes.length === 1 && set.classes[0] === name) return set;
  const merged = <A extends Annotations>(annotations: A): A => ({
    ...annotations,
    labels: new Int32Array(annotations.labels.length),
  });
  const of = (split: DetectionSplit): DetectionSplit => ({
    ...split,
    annotations: (index) => merged(split.annotations(index)),
    sample: async (index, request) => merged(await split.sample(index, request)),
  });
  const { train, validation, test } = set.splits;
  return {
    ...set,
    classes: [name],
    splits: { train: of(train), validation: of(validation), test: of(test) },
    fingerprint: `${set.fingerprint}-one`,
    describe: () => [
      ...set.describe(),
      `objects of ${counted(set.classes.length, "class", "classes")} count as one class, ${name}`,
    ],
  };
}

/** Landmarks that each object of a set has; 0 where none are marked. */
export function landmarkCount({ splits }: Pick<DetectionSet, "splits">): number {
  for (const split of Object.values(splits)) {
    for (let index = 0; index < split.count; index++) {
      const { landmarks, labels } = split.annotations(index);
      if (landmarks !== undefined && labels.length > 0) return landmarks.length / labels.length / 2;
    }
  }
  return 0;
}

/** The numbers of the classes of which there is an object. */
export function occurringLabels(
  splits: readonly Pick<DetectionSplit, "count" | "annotations">[],
): ReadonlySet<number> {
  const labels = new Set<number>();
  for (const split of splits) {
    for (let index = 0; index < split.count; index++) {
      for (const label of split.annotations(index).labels) labels.add(label);
    }
  }
  return labels;
}
