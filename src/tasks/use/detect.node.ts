import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { type CocoIds, cocoIds } from "../../data/boxes/formats/coco.node.ts";
import { readJson } from "../../data/boxes/formats/files.node.ts";
import { type OpenPhoto, openPhoto, type PhotoLimits } from "../../data/boxes/image.node.ts";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import type { Annotations, ByteImage, DetectionSplit } from "../../data/boxes/set.ts";
import { DataFolder, pathBelow } from "../../data/files/data-folder.node.ts";
import {
  FILE_KINDS,
  readRegularFile,
  UnreadFileError,
  writeFileAtomic,
} from "../../data/files/files.node.ts";
import { importSharp, MOST_PIXELS } from "../../data/image/sharp.node.ts";
import { type Shard, shareOf } from "../../data/sources/shard.ts";
import { drawImage, letterboxPlacement, PADDING } from "../../detection/augment/draw.ts";
import {
  type Detection,
  type Detections,
  limited,
  listDetections,
} from "../../detection/boxes/detections.ts";
import { FACE_LANDMARKS } from "../../detection/boxes/landmarks.ts";
import {
  type DetectOptions,
  detectOptionsOf,
  type LookReports,
  MANY_DETECTIONS,
} from "../../detection/models/detector.ts";
import { detectorViews, pyramidDetections } from "../../detection/models/image-pyramid.ts";
import { lookedAt, tiledDetections } from "../../detection/models/tiled-images.ts";
import type { TestTimeOptions } from "../../detection/scale/test-time.ts";
import { DataError, OptionError } from "../../errors.ts";
import { Interrupted } from "../../program/deadline.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import { boxColor, drawBoxes, rasterOfBytes } from "../../report/index.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import { askedConfidence, detectionDataOptions, looksOf } from "../run/detection-options.ts";
import type { NamedImage } from "../run/inputs.node.ts";
import type { DetectorRun } from "../run/load.node.ts";

/** Images that are decoded while the detector looks at one. */
const AHEAD = 3;

/** Images that are opened while the detector looks at the tiles of one: they may be huge. */
const AHEAD_IN_TILES = 1;

/** Score from which on detections count where the run has no better one. */
const USUAL_SCORE = 0.25;

/** Most pixels of an image that is decoded as a whole, where no limit is given. */
export const USUAL_PIXELS = detectionOptionsSchema.parse({}).pixelLimit;

/** Most pixels of an image that is looked at in tiles and decoded in parts, where no limit is given. */
export const TILED_PIXELS = 2_000_000_000;

export interface DetectFilesOptions extends DetectOptions, TestTimeOptions {
  /** Most detections of an image, of all its tiles and views together; default: 5,000. */
  readonly maximum?: number;
  /**
   * Images of more pixels are not decoded. Default: 64 million. With `tiles` it is 2,000 million for images that are decoded in parts: upright
   * JPEG and PNG that are neither progressive nor interlaced, and TIFF.
   */
  readonly pixelLimit?: number;
  /** With `tiles`: called with an image, how many of its tiles are done, and how many it has. */
  readonly onTiles?: (image: NamedImage, done: number, count: number) => void;
  /** Called with an image in which more windows pass the proposal network of a cascade than are kept, and how many are. */
  readonly onWindowLimit?: (image: NamedImage, most: number) => void;
  /** Called with the image and the reason where one cannot be read: it is left out. */
  readonly onUnreadable?: (image: NamedImage, reason: string) => void;
  /** Looks at the images of a shard alone: consecutive ones, in shares as equal as they can be. */
  readonly shard?: Shard | undefined;
  readonly signal?: AbortSignal;
}

/** An image with what was found in it. */
export interface DetectedImage extends NamedImage {
  /** Size in pixels of the image, turned upright by its EXIF data. */
  readonly width: number;
  readonly height: number;
  /** From the best down, in pixels of the upright image. */
  readonly found: readonly Detection[];
  /** Whether more was found than the maximum, of which the best are here. */
  readonly cut: boolean;
  /** The image with its longer side at most so long. @throws DataError where it can no longer be read */
  decode(longest?: number): Promise<ByteImage>;
}

/** What of validation.json gives the usual score. */
const validationSchema = z.object({ best: z.object({ score: z.number().min(0).max(1) }).optional() });

/**
 * The default score from which on detections count: that at which F₁ was highest on the validation split.
 * @param run with its model, where that is built: one that was not validated may have a score of its own
 * @throws DataError where the run's validation.json is damaged
 */
export async function usualConfidence({
  folder,
  model,
}: Pick<DetectorRun, "folder"> & Partial<Pick<DetectorRun, "model">>): Promise<number> {
  const usual = model?.usual?.confidence ?? USUAL_SCORE;
  const file = folder.file("validation.json");
  let bytes: Uint8Array;
  try {
    bytes = await readRegularFile(file, FILE_KINDS.text);
  } catch (error) {
    if (error instanceof UnreadFileError && error.reason === "missing") return usual;
    throw error;
  }
  const damaged = (why: string) =>
    new DataError(
      `${file}: ${why}, so that the score at which F₁ is highest is not known; give a confidence, or delete the file, which makes it ${usual}`,
    );
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw damaged("is damaged, no JSON");
  }
  const parsed = validationSchema.safeParse(json);
  if (!parsed.success) throw damaged("has no score from 0 to 1 as its best one");
  return parsed.data.best?.score ?? usual;
}

/** The score from which on detections count: that asked for, or the run's own. @throws DataError as `usualConfidence` */
export async function leastScore(run: DetectorRun, confidence: number | undefined): Promise<number> {
  return askedConfidence(confidence, run.cascade) ?? (await usualConfidence(run));
}

/** An image in the middle of a square canvas of that side, as a detector is validated with it: [1, 3, side, side]. */
export function letterboxed(
  image: ByteImage,
  whole: Pick<ByteImage, "width" | "height">,
  side: number,
): NdArray<"float32"> {
  const data = new Float32Array(3 * side * side).fill(PADDING);
  drawImage({ side, data }, image, letterboxPlacement(whole, side));
  return float32(data, [1, 3, side, side]);
}

/** An image that is ready for a detector, or the reason why it is not. */
type Ready =
  | {
      readonly ok: true;
      readonly image: NamedImage;
      readonly photo: OpenPhoto;
      /** The whole image; undefined where its tiles are looked at. */
      readonly small: ByteImage | undefined;
    }
  | Unreadable;

type Unreadable = { readonly ok: false; readonly image: NamedImage; readonly reason: string };

/** What is wrong with an image that cannot be read. @throws what is no DataError */
function unreadable(image: NamedImage, error: unknown): Unreadable {
  if (!(error instanceof DataError)) throw error;
  const { message } = error;
  const prefix = `${image.name}: `;
  return { ok: false, image, reason: message.startsWith(prefix) ? message.slice(prefix.length) : message };
}

/** How images are looked at: as a whole, with a longest side or at their own size, or in tiles. */
type Looked = { readonly kind: "whole"; readonly longest?: number } | { readonly kind: "tiles" };

async function ready(image: NamedImage, looked: Looked, limits: PhotoLimits): Promise<Ready> {
  try {
    const photo = await openPhoto(image.image, image.name, limits);
    const small = looked.kind === "tiles" ? undefined : await photo.decode(looked.longest);
    return { ok: true, image, photo, small };
  } catch (error) {
    const left = unreadable(image, error);
    if (looked.kind === "tiles" || !/ pixels, more than the limit of \d+$/.test(left.reason)) return left;
    return { ...left, reason: `${left.reason}; --tiles looks at it part by part, without decoding it whole` };
  }
}

/** A photo as the only image of a split, without objects. */
function splitOf(photo: OpenPhoto, file: string): DetectionSplit {
  const { width, height } = photo;
  const none: Omit<Annotations, "file"> = {
    width,
    height,
    boxes: new Float32Array(),
    labels: new Int32Array(),
    difficult: new Uint8Array(),
    crowd: new Uint8Array(),
    areas: new Float32Array(),
  };
  const annotations = { ...none, file };
  return {
    count: 1,
    annotations: () => annotations,
    async sample(_index, { longest } = {}) {
      const image = await photo.decode(longest);
      return { ...annotations, width: image.width, height: image.height, image };
    },
    part: (_index, _request, part) => photo.part(part),
  };
}

/** The images of a shard. */
export function imagesOfShard<T>(images: readonly T[], shard: Shard): readonly T[] {
  const { first, count } = shareOf(shard, images.length, 1);
  return images.slice(first, first + count);
}

/**
 * What a detector finds in image files, one after the other; while it looks at one the next are decoded. One that was fitted with SNIP or
 * SNIPER looks at its own scales, each for the objects that were learnt there, unless `testScales` are given; one that was fitted on tiles looks
 * at tiles, unless `tiles` are given.
 * @throws OptionError where an option is not acceptable; MissingPackageError where sharp is not installed
 */
export async function* detectFiles(
  run: DetectorRun,
  all: readonly NamedImage[],
  options: DetectFilesOptions = {},
): AsyncGenerator<DetectedImage> {
  const { onUnreadable, shard, signal } = options;
  const images = shard === undefined ? all : imagesOfShard(all, shard);
  const { model, session } = run;
  const looks = looksOf(run.config, options);
  const { sides, tiling } = detectorViews(model, looks);
  const longest = sides.length === 0 ? {} : { longest: Math.max(...sides) };
  const looked: Looked = tiling === undefined ? { kind: "whole", ...longest } : { kind: "tiles" };
  const { bits, valueRange } = detectionDataOptions(run.config.dataOptions).reading;
  const limits = { ...limitsOf(options.pixelLimit, tiling !== undefined), bits, valueRange };
  const confidence = await leastScore(run, options.confidence);
  const { maximum = MANY_DETECTIONS } = options;
  const counted = detectOptionsOf(model, { ...options, confidence });
  const settingsOf = (image: NamedImage): DetectOptions & TestTimeOptions & LookReports => ({
    ...looks,
    ...counted,
    // One more than counts: so it is known whether any is left out.
    maximum: maximum + 1,
    onWindowLimit: (most) => options.onWindowLimit?.(image, most),
  });
  const ahead = tiling === undefined ? AHEAD : AHEAD_IN_TILES;
  const coming = images.slice(0, ahead).map((image) => ready(image, looked, limits));
  for (let next = coming.length; coming.length > 0; next++) {
    const taken = await coming.shift();
    const following = images[next];
    if (following !== undefined) coming.push(ready(following, looked, limits));
    if (taken === undefined || signal?.aborted) break;
    const { image } = taken;
    if (!taken.ok) {
      onUnreadable?.(image, taken.reason);
      continue;
    }
    const { photo, small } = taken;
    const { width, height } = photo;
    const whole = { width, height };
    let found: Detections | undefined;
    if (small !== undefined) {
      const seen = {
        sizes: [whole],
        at: (side: number) => letterboxed(small, whole, side),
        whole: async () => small,
      };
      try {
        [found] = await pyramidDetections(model, session, seen, settingsOf(image));
      } catch (error) {
        if (!(error instanceof Interrupted) || !signal?.aborted) throw error;
        break;
      }
    } else if (tiling !== undefined) {
      const tiles = lookedAt(model, splitOf(photo, image.name), tiling);
      const onTiles = (done: number, count: number) => options.onTiles?.(image, done, count);
      try {
        found = await tiledDetections(model, session, tiles, 0, settingsOf(image), { onTiles, signal });
      } catch (error) {
        if (error instanceof Interrupted && signal?.aborted) break;
        const { reason } = unreadable(image, error);
        onUnreadable?.(image, reason);
        continue;
      } finally {
        photo.release();
      }
      // Of an image that the signal ended nothing is given.
      if (found === undefined) break;
    }
    const best = found && limited(found, maximum);
    yield {
      ...image,
      ...whole,
      found: best === undefined ? [] : listDetections(best.found),
      cut: best?.cut === true,
      decode: (longest) => photo.decode(longest),
    };
  }
  await Promise.allSettled(coming);
}

/**
 * How large images may be. Those that are looked at in tiles and decoded in parts are never in memory as a whole.
 * @throws OptionError where the limit given is more than is decoded
 */
function limitsOf(given: number | undefined, inTiles: boolean): PhotoLimits {
  const pixelLimit = USUAL_PIXELS;
  if (inTiles) {
    return { pixelLimit: Math.min(given ?? pixelLimit, MOST_PIXELS), partsLimit: given ?? TILED_PIXELS };
  }
  if (given !== undefined && given > MOST_PIXELS) {
    throw new OptionError(
      `option pixelLimit: ${given} is more than the ${MOST_PIXELS} pixels that an image is decoded with as a whole; give tiles, or at most so many`,
    );
  }
  return { pixelLimit: given ?? pixelLimit };
}

/** Pictures have a longer side of at most so many pixels, and small images are enlarged so that boxes can be seen. */
const LARGEST = 2560;
const SMALLEST = 400;

/** COCO's mark of a point that is seen. */
const VISIBLE = 2;

/** What COCO has of the landmarks of a class: their names; nothing where none were found. */
function keypointNames(
  images: readonly Pick<DetectedImage, "found">[],
  label: number,
): { readonly keypoints?: readonly string[] } {
  for (const { found } of images) {
    const points = found.find((detection) => detection.class === label)?.landmarks?.length;
    if (points === undefined) continue;
    if (points === FACE_LANDMARKS.length) return { keypoints: FACE_LANDMARKS };
    return { keypoints: Array.from({ length: points }, (_, i) => `point ${i + 1}`) };
  }
  return {};
}

/**
 * The ids of a ground truth in COCO's format, for results that are compared with it.
 * @param path of its file
 * @throws DataError where it is none; FileError
 */
export async function readCocoIds(path: string): Promise<CocoIds> {
  const folder = await DataFolder.open(dirname(path), { named: path });
  return cocoIds(await readJson({ folder }, basename(path)));
}

/** The ids of what is written: those of a ground truth, or numbers from 1 on. */
class ResultIds {
  private readonly known: CocoIds | undefined;
  private readonly byName = new Map<string, number | string | undefined>();

  constructor(known: CocoIds | undefined) {
    this.known = known;
    for (const [file, id] of known?.images ?? []) {
      const name = basename(file.replaceAll("\\", "/"));
      // One of several images of that name is not guessed.
      this.byName.set(name, this.byName.has(name) ? undefined : id);
    }
  }

  /** The id of an image; undefined for one that is not in the ground truth. */
  image(name: string, position: number): number | string | undefined {
    if (this.known === undefined) return position + 1;
    return this.known.images.get(name) ?? this.byName.get(basename(name));
  }

  /** The id of a class; undefined for one that is not in the ground truth. */
  category(name: string, label: number): number | string | undefined {
    if (this.known === undefined) return label + 1;
    return this.known.categories.find((category) => category.name === name)?.id;
  }
}

/** What `finish` has written of results in COCO's format. */
export interface WrittenResults {
  readonly results: number;
  /** Images and classes that are not in the ground truth that was given; what was found there is no result. */
  readonly unknownImages: readonly string[];
  readonly unknownClasses: readonly string[];
}

/**
 * The picture of an image with what was found in it, as a JPEG file.
 * @throws DataError where the image can no longer be read; MissingPackageError
 */
export async function drawFound(
  { decode, ...image }: Pick<DetectedImage, "decode" | "width" | "height" | "found">,
  classes: readonly string[],
): Promise<Uint8Array> {
  const shown = await decode(LARGEST);
  const longest = Math.max(shown.width, shown.height);
  const enlarge = longest < SMALLEST ? Math.ceil(SMALLEST / longest) : 1;
  const [sx, sy] = [shown.width / image.width, shown.height / image.height];
  const drawn = drawBoxes(
    rasterOfBytes(shown),
    image.found.map(({ box: [x1, y1, x2, y2], class: label, score, landmarks = [] }) => ({
      box: [x1 * sx, y1 * sy, x2 * sx, y2 * sy] as const,
      points: landmarks.map(([x, y]) => [x * sx, y * sy] as const),
      label: `${classes[label] ?? label} ${score.toFixed(2)}`,
      color: boxColor(label),
    })),
    { enlarge },
  );
  const sharp = await importSharp();
  const { width, height, channels, data } = drawn;
  const plain = sharp(data, { raw: { width, height, channels } });
  const jpeg = plain.jpeg({ quality: 92, chromaSubsampling: "4:4:4" });
  return nativeCall(() => jpeg.toBuffer());
}

/** What was found in an image, as it is written down: in JSON the same numbers. */
type KeptImage = Omit<DetectedImage, "decode" | "image"> & { readonly picture?: string };

/** What one shard has found. */
export interface DetectionPart {
  readonly classes: readonly string[];
  readonly images: readonly KeptImage[];
  readonly unreadable: readonly { readonly name: string; readonly reason: string }[];
}

/** Pictures of images with what was found in them, and all of it as JSON, in one folder. */
export class DetectionWriter {
  private readonly folder: string;
  private readonly classes: readonly string[];
  private readonly taken = new Set<string>();
  private readonly reserved = new Map<NamedImage["image"], string>();
  private readonly images: KeptImage[] = [];
  private readonly ids: ResultIds;
  private readonly unreadable: { readonly name: string; readonly reason: string }[] = [];

  /** @param coco the ids of a ground truth, which COCO's files then have; default: numbers from 1 on */
  constructor(folder: string, { classes }: Pick<DetectorRun, "classes">, coco?: CocoIds) {
    this.ids = new ResultIds(coco);
    this.folder = folder;
    this.classes = classes;
  }

  /**
   * Takes an image, and draws it where asked: NAME.jpg, or a name with a number where that is taken.
   * @throws OptionError where the picture would take the place of the image; FileError; DataError where the image can no longer be read
   */
  async add({ decode, image: photo, ...image }: DetectedImage, draw: boolean): Promise<void> {
    if (!draw) {
      this.images.push(image);
      return;
    }
    const picture = this.reserved.get(photo) ?? this.freeName(image.name);
    const target = join(this.folder, picture);
    if (typeof photo === "string" && resolve(target) === resolve(photo)) {
      throw new OptionError(`option out: ${target} would take the place of the image; choose another folder`);
    }
    const bytes = await drawFound({ decode, ...image }, this.classes);
    await writeFileAtomic(target, bytes);
    this.images.push({ ...image, picture });
  }

  /** Gives pictures their names before any is drawn, so that these do not depend on which images a process looks at, or can read. */
  reserve(images: readonly NamedImage[]): void {
    for (const { image, name } of images) this.reserved.set(image, this.freeName(name));
  }

  /** What was taken so far, for another process to `restore`. */
  part(): DetectionPart {
    return { classes: this.classes, images: this.images, unreadable: this.unreadable };
  }

  /** Takes what a shard has found; shards come in their order. */
  restore({ images, unreadable }: DetectionPart): void {
    for (const image of images) this.images.push(image);
    for (const file of unreadable) this.unreadable.push(file);
  }

  /** Notes an image that cannot be read. */
  leaveOut({ name }: NamedImage, reason: string): void {
    this.unreadable.push({ name, reason });
  }

  private freeName(name: string): string {
    // A name may come with an upload, or be the path of a photo: the picture stays in the folder.
    const stem = pathBelow(name).replace(/(?<=[^/])\.[^./]*$/, "");
    let free = `${stem}.jpg`;
    for (let n = 2; this.taken.has(free.toLowerCase()); n++) free = `${stem}-${n}.jpg`;
    this.taken.add(free.toLowerCase());
    return free;
  }

  /** What was found, image by image. @param about what else is worth knowing: the run, what counted as found */
  summary(about: Readonly<Record<string, unknown>>) {
    const named = (label: number): string => this.classes[label] ?? String(label);
    const images = this.images.map(({ name, picture, width, height, found, cut }) => ({
      file: name,
      width,
      height,
      ...(picture !== undefined && { picture }),
      ...(cut && { cut }),
      objects: found.map(({ class: label, score, box, landmarks }) => ({
        class: named(label),
        score,
        box,
        ...(landmarks && { landmarks }),
      })),
    }));
    return { ...about, classes: this.classes, images, unreadable: this.unreadable };
  }

  /**
   * Writes detections.json, images with what was found in each; coco.json, the same as COCO has it; and coco-results.json, the bare list of
   * results that pycocotools' `loadRes` takes: image_id, category_id, bbox [x, y, width, height] and score, and with landmarks `keypoints` [x, y, 2, …] and `num_keypoints`.
   * @param about as in `summary`
   * @throws FileError
   */
  async finish(about: Readonly<Record<string, unknown>>): Promise<WrittenResults> {
    await writeFileAtomic(
      `${this.folder}/detections.json`,
      `${JSON.stringify(this.summary(about), null, 1)}\n`,
    );
    const unknownImages: string[] = [];
    const known = this.images.flatMap((image, position) => {
      const id = this.ids.image(image.name, position);
      if (id === undefined) unknownImages.push(image.name);
      return id === undefined ? [] : [{ ...image, id }];
    });
    const categories = this.classes.map((name, label) => ({ id: this.ids.category(name, label), name }));
    const results = known.flatMap(({ id: image_id, found }) =>
      found.flatMap(({ box: [x1, y1, x2, y2], score, class: label, landmarks }) => {
        const category_id = categories[label]?.id;
        if (category_id === undefined) return [];
        const keypoints = landmarks?.flatMap(([x, y]) => [x, y, VISIBLE]);
        const points = keypoints && { keypoints, num_keypoints: keypoints.length / 3 };
        return [{ image_id, category_id, bbox: [x1, y1, x2 - x1, y2 - y1], score, ...points }];
      }),
    );
    const coco = {
      images: known.map(({ id, name, width, height }) => ({ id, file_name: name, width, height })),
      categories: categories.flatMap(({ id, name }, i) =>
        id === undefined ? [] : [{ id, name, ...keypointNames(this.images, i) }],
      ),
      annotations: results.map(({ image_id, category_id, bbox, ...more }, i) => {
        const [, , width = 0, height = 0] = bbox;
        return { id: i + 1, image_id, category_id, bbox, area: width * height, iscrowd: 0, ...more };
      }),
    };
    await writeFileAtomic(`${this.folder}/coco.json`, `${JSON.stringify(coco)}\n`);
    await writeFileAtomic(`${this.folder}/coco-results.json`, `${JSON.stringify(results)}\n`);
    const unknownClasses = categories.filter(({ id }) => id === undefined).map(({ name }) => name);
    return { results: results.length, unknownImages, unknownClasses };
  }
}

/** Lines on what is not in the ground truth that was given, and has no results. */
export function unknownLines(
  { unknownImages, unknownClasses }: Pick<WrittenResults, "unknownImages" | "unknownClasses">,
  coco: string | undefined,
): readonly string[] {
  const [unknown] = unknownImages;
  return [
    ...(unknown === undefined
      ? []
      : [`not in ${coco}, and no results: ${unknownImages.length} images, the first is ${unknown}`]),
    ...(unknownClasses.length === 0
      ? []
      : [`not in ${coco}, and no results: classes ${unknownClasses.join(", ")}`]),
  ];
}

/** Average precision below which a detector has hardly learnt. */
const HARDLY = 0.05;

/** A run of fewer steps without a validation has hardly been trained. */
const FEW_STEPS = 100;

/** A line where a run is hardly trained: what was measured on validation as it ended is poor, or nothing was and it has few steps. */
export async function hardlyTrained(
  { folder, config }: Pick<DetectorRun, "folder" | "config">,
  step: number | undefined,
): Promise<string | undefined> {
  // Others have trained it, and how long is not known.
  if (config.imported !== undefined) return undefined;
  const bytes = await readRegularFile(folder.file("validation.json"), FILE_KINDS.text).catch(() => undefined);
  let ap50: unknown;
  try {
    ap50 = bytes && JSON.parse(new TextDecoder().decode(bytes))?.coco?.ap50;
  } catch {
    // A damaged report is none.
  }
  // Without a report, what validations during the fit have measured is there.
  ap50 ??= (await folder.readMetrics()).findLast(
    (row) => row.validationAP50 !== undefined && row.step <= (step ?? row.step),
  )?.validationAP50;
  const steps = step === undefined ? "" : ` after ${step} steps`;
  if (typeof ap50 === "number" && ap50 < HARDLY) {
    return `the run is hardly trained: AP50 was ${ap50.toFixed(3)} on its validation split${steps}; what it finds means little (eidos fit --resume goes on)`;
  }
  return typeof ap50 !== "number" && step !== undefined && step < FEW_STEPS
    ? `the run is hardly trained: ${step} steps, and not validated; what it finds means little`
    : undefined;
}
