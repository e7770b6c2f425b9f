import { basename, join } from "node:path";
import { append } from "../../append.ts";
import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { firstNames, printable } from "../../printable.ts";
import { Random } from "../../random.ts";
import { FILE_KINDS } from "../files/files.node.ts";
import { forEachLimited } from "../image/decode-all.node.ts";
import { DepthWatch } from "../image/depth.node.ts";
import type { PixelValues } from "../image/format.ts";
import { importSharp } from "../image/sharp.node.ts";
import type { SplitName } from "../sources/data-set.ts";
import { Fingerprint, randomSplit } from "../sources/data-set.ts";
import type { PhotoImage, PlainPhotos } from "../sources/memory.ts";
import { familiesOf, findTwins, keepTogether, type Look, type Twin } from "../sources/twins.ts";
import type { RawImage, ReadFormat } from "./check.ts";
import { checkAnnotations, type Frame, frameShown, type ImageHeader, usualLandmarks } from "./check.ts";
import { onceEach } from "./entries.ts";
import { FORMATS_READ, readAnnotations } from "./formats/read.node.ts";
import { decodeRgb, examineImage, type ImageInput } from "./image.node.ts";
import type { DetectionOptions, ResolvedDetectionOptions } from "./options.ts";
import { resolveDetectionOptions } from "./options.ts";
import type { Annotations, DetectionFault, DetectionSet, ImagePart, SampleRequest } from "./set.ts";
import { faultLines, ImageCache, lazySplit, occurringLabels } from "./set.ts";
import { describeObjects } from "./statistics.ts";

/** Images with annotations, wherever they are. */
interface Annotated {
  /** What the data set is called. */
  readonly name: string;
  /** What messages call it: the path, or "photos in memory". */
  readonly label: string;
  /** What the annotations are: the name of a format. */
  readonly format: string;
  /** The classes, where the annotations list them. */
  readonly classes: readonly string[] | undefined;
  /** The ids of classes, where the annotations have some. */
  readonly categories?: DetectionSet["categories"];
  /** Every image once, in the order of the data set. */
  readonly images: readonly RawImage[];
  /** What was wrong with the annotations. */
  readonly faults: readonly DetectionFault[];
  /** The image of annotations. */
  imageOf(raw: RawImage): ImageInput;
  /** The path of its file; undefined for images in memory. */
  pathOf(raw: RawImage): string | undefined;
}

/** An image that can be used. */
interface Usable {
  readonly kind: "usable";
  readonly raw: RawImage;
  readonly header: ImageHeader;
  readonly bytes: number;
  readonly hash: string;
  readonly look: Look | undefined;
  /** The largest value of one of 16 bits, as a byte, where that was looked for. */
  readonly most: number | undefined;
  readonly values: PixelValues | undefined;
}

type Parts<T> = Readonly<Record<SplitName, readonly T[]>>;

const FORMAT_NAMES: Readonly<Record<ReadFormat, string>> = {
  voc: "Pascal VOC",
  coco: "COCO",
  yolo: "YOLO",
  createml: "Create ML",
  csv: "CSV",
  wider: "WIDER FACE",
  labelme: "labelme",
  cvat: "CVAT",
  "label-studio": "Label Studio",
  kitti: "KITTI",
};

/**
 * Whose pixels the boxes of each file of annotations are in, where EXIF data turn an image and nothing in it shows it: as most of the file's
 * images show. Files for one image each are judged together.
 */
function framesOf(images: readonly Usable[]): (raw: RawImage) => Frame | undefined {
  const bySource = new Map<string, number>();
  for (const { raw } of images) bySource.set(raw.source, (bySource.get(raw.source) ?? 0) + 1);
  const groupOf = ({ source }: RawImage) => ((bySource.get(source) ?? 0) > 1 ? source : "");
  const shown = new Map<string, Record<Frame, number>>();
  for (const { raw, header } of images) {
    if (header.orientation === 1) continue;
    const frame = frameShown(raw, header);
    if (frame === undefined) continue;
    const counts = shown.get(groupOf(raw)) ?? { stored: 0, upright: 0 };
    counts[frame]++;
    shown.set(groupOf(raw), counts);
  }
  return (raw) => {
    const counts = shown.get(groupOf(raw));
    if (counts === undefined || counts.stored === counts.upright) return undefined;
    return counts.stored > counts.upright ? "stored" : "upright";
  };
}

/** Classes named in a line. */
const NAMED = 20;

/** Faults for classes whose names are the same but for case, spaces and marks. */
function similarClasses(classes: readonly string[]): readonly DetectionFault[] {
  const byKey = new Map<string, string[]>();
  for (const name of classes) {
    const key = name
      .normalize("NFKC")
      .toLowerCase()
      .replace(/[\s_\-.]+/g, "");
    append(byKey, key, name);
  }
  return [...byKey.values()].flatMap((names): DetectionFault[] => {
    const [first, ...others] = names;
    return first === undefined || others.length === 0
      ? []
      : [{ kind: "similar-classes", file: first, detail: `and ${firstNames(others, NAMED)}` }];
  });
}

/** Looks at every image; those that cannot be used are faults. */
async function examineAll(
  { images, imageOf }: Annotated,
  options: ResolvedDetectionOptions,
  faults: DetectionFault[],
): Promise<readonly Usable[]> {
  const findings = new Array<Usable | DetectionFault>(images.length);
  await forEachLimited(images, async (raw, i) => {
    const finding = await examineImage(imageOf(raw), options);
    findings[i] = finding.ok
      ? {
          kind: "usable",
          raw,
          header: finding.header,
          bytes: finding.bytes,
          hash: finding.hash,
          look: finding.look,
          most: finding.most,
          values: finding.values,
        }
      : { kind: finding.kind, file: printable(raw.file), detail: finding.detail };
  });
  const usable: Usable[] = [];
  // A link that leads out was found as the folder was listed, and is counted once.
  const outside = new Set(faults.filter(({ kind }) => kind === "outside").map(({ file }) => file));
  for (const finding of findings) {
    if (finding.kind !== "usable") {
      if (finding.kind !== "outside" || !outside.has(finding.file)) faults.push(finding);
      continue;
    }
    usable.push(finding);
  }
  return usable;
}

/** Faults for twins, and for those that are in two splits. */
function twinFaults(
  images: readonly Usable[],
  twins: readonly Twin[],
  parts: Parts<Usable>,
): readonly DetectionFault[] {
  const splitOf = new Map<Usable | undefined, SplitName>();
  for (const name of Object.keys(parts) as SplitName[]) {
    for (const image of parts[name]) splitOf.set(image, name);
  }
  return twins.flatMap(({ of, twin, equal }): DetectionFault[] => {
    const [first, second] = [images[of], images[twin]];
    if (first === undefined || second === undefined) return [];
    const { file } = second.raw;
    const detail = equal ? `the same bytes as ${first.raw.file}` : `nearly ${first.raw.file}`;
    const fault: DetectionFault = { kind: equal ? "identical-images" : "similar-images", file, detail };
    const [a, b] = [splitOf.get(first), splitOf.get(second)];
    if (a === b) return [fault];
    return [fault, { kind: "shared-twin", file, detail: `in ${b}; ${first.raw.file} is in ${a}` }];
  });
}

/**
 * Splits as given; a missing validation part is drawn from the training images, and all of them where none is given. What is drawn keeps twins
 * together.
 */
function divide(
  images: readonly Usable[],
  twins: readonly Twin[],
  { validation, test, splitSeed }: ResolvedDetectionOptions,
): { readonly parts: Parts<Usable>; readonly drawn: readonly SplitName[] } {
  const of = (split: SplitName) => images.filter(({ raw }) => raw.split === split);
  const given = { train: [...of("train")], validation: of("validation"), test: of("test") };
  const listed = images.some(({ raw }) => raw.split !== undefined);
  const open = listed ? images.filter(({ raw }) => (raw.split ?? "train") === "train") : images;
  if (listed && (given.validation.length > 0 || open.length === 0)) {
    return { parts: { ...given, train: open }, drawn: [] };
  }
  const positions = randomSplit(
    open.length,
    { validation, test: listed ? 0 : test },
    new Random(splitSeed).split("detection"),
  );
  const placeOf = new Map(open.map((image, place) => [image, place]));
  const places = new Map(images.map((image, position) => [position, placeOf.get(image)]));
  const families = familiesOf(
    open.length,
    twins.flatMap(({ of, twin, equal }) => {
      const [a = -1, b = -1] = [places.get(of), places.get(twin)];
      return a < 0 || b < 0 ? [] : [{ of: a, twin: b, equal }];
    }),
  );
  const sorted = (indices: Uint32Array) => [...indices].sort((a, b) => a - b);
  const drawn = keepTogether(
    {
      train: sorted(positions.train),
      validation: sorted(positions.validation),
      test: sorted(positions.test),
    },
    families,
  );
  const pick = (indices: readonly number[]) =>
    indices.toSorted((a, b) => a - b).flatMap((index) => open[index] ?? []);
  return {
    parts: {
      train: pick(drawn.train),
      validation: pick(drawn.validation),
      test: listed ? given.test : pick(drawn.test),
    },
    drawn: listed ? ["validation"] : ["train", "validation", "test"],
  };
}

/** Number of a class by name, or by its number in the list of the format. */
function classNumbers(
  listed: readonly string[] | undefined,
  classes: readonly string[],
): (name: string | number) => number | undefined {
  const numbers = new Map(classes.map((name, number) => [name, number]));
  return (name) => {
    const own = typeof name === "number" ? listed?.[name] : name;
    return own === undefined ? undefined : numbers.get(own);
  };
}

/** The names of the classes that occur, in order of letters. */
function occurring(images: readonly Usable[]): readonly string[] {
  const names = images.flatMap(({ raw }) => raw.objects.map((object) => String(object.class)));
  return [...new Set(names)].filter((name) => name !== "").sort((a, b) => (a < b ? -1 : 1));
}

/** Kinds of files that are counted where no annotations are found. */
const COUNTED = 6;

/** What a folder holds, as far as it helps: how many files of each kind are in which folder. */
function heldIn(files: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const file of files) {
    const folder = file.slice(0, file.lastIndexOf("/") + 1);
    const extension = /\.[^./]+$/.exec(file)?.[0].toLowerCase() ?? "files without extension";
    const key = `${extension} ${folder === "" ? "at the top" : `in ${folder}`}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  if (counts.size === 0) return "the folder is empty";
  const kinds = [...counts].sort(([, a], [, b]) => b - a);
  const shown = kinds.map(([kind, count]) => `${count} ${kind}`);
  return `found ${firstNames(shown, COUNTED)}`;
}

/**
 * Opens a folder of images with annotations in Pascal VOC's, COCO's, YOLO's, Create ML's, WIDER FACE's, labelme's, CVAT's, Label Studio's or
 * KITTI's format or in CSV, or one file of annotations beside its images. Everything is checked as it is opened: what is wrong is in `faults`, and named by `describe`.
 * Images are decoded when they are asked for. Regular files below the folder are read, and nothing else.
 * @throws DataError where there are no annotations, no image can be used or no object is marked; OptionError;
 * MissingPackageError where sharp is not installed; FileError
 */
export async function openDetectionFolder(
  path: string,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  const resolved = resolveDetectionOptions(options);
  await importSharp();
  const { files, raw } = await readAnnotations(path, resolved);
  if (raw === undefined) {
    const wanted = resolved.format === undefined ? "" : ` in the format ${FORMAT_NAMES[resolved.format]}`;
    const left = faultLines(files.leftOut).map((line) => `; ${line}`);
    throw new DataError(
      `${path}: no annotations of objects found${wanted}; ${heldIn(files.all)}; there may be ${FORMATS_READ}${left.join("")}`,
    );
  }
  const { folder } = files;
  const faults = [...files.leftOut, ...raw.faults];
  const images = onceEach(raw.images, faults);
  return detectionSet(
    {
      name: basename(files.root),
      label: path,
      format: FORMAT_NAMES[raw.format],
      classes: raw.classes,
      categories: raw.categories,
      images,
      faults,
      imageOf: ({ file }) => ({ read: () => folder.read(file, FILE_KINDS.image) }),
      pathOf: ({ file }) => join(files.root, file),
    },
    resolved,
  );
}

/**
 * Photos in memory as a detection set, checked as a folder of images with annotations is.
 * @throws DataError where no image can be used or no object is marked; OptionError; MissingPackageError where sharp is not installed
 */
export async function openPhotos(
  { photos }: PlainPhotos,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  const resolved = resolveDetectionOptions(options);
  await importSharp();
  const images = new Map<string, PhotoImage>(photos.map(({ name, image }) => [name, image]));
  const raws = photos.map(
    ({ name, split, boxes }): RawImage => ({
      file: name,
      source: name,
      split,
      objects: boxes.map(({ label, box, difficult = false, crowd = false }, i) => {
        return { class: label, box, unit: "pixels", difficult, crowd, location: `boxes[${i}]` };
      }),
    }),
  );
  return detectionSet(
    {
      name: "photos",
      label: "photos in memory",
      format: "boxes in pixels",
      classes: undefined,
      images: raws,
      faults: [],
      imageOf: ({ file }) => images.get(file) ?? missing("photos", file),
      pathOf: () => undefined,
    },
    resolved,
  );
}

/** All images of a set, in a sentence that says no. */
function anyOf(images: number): string {
  return images === 1 ? "its only image" : `any of its ${images} images`;
}

/** Images and annotations, all of them checked, as a detection set. */
async function detectionSet(annotated: Annotated, resolved: ResolvedDetectionOptions): Promise<DetectionSet> {
  const { name: setName, label, format, classes: listed, imageOf, pathOf } = annotated;
  const faults = [...annotated.faults];
  const images = await examineAll(annotated, resolved, faults);
  if (images.length === 0) {
    const lines = faults.length === 0 ? ["its annotations list none"] : faultLines(faults);
    throw new DataError(`${label}: no image can be used; ${lines.join("; ")}`);
  }
  const classes = resolved.classes ?? listed ?? occurring(images);
  if (classes.length === 0) throw new DataError(`${label}: no object is marked in ${anyOf(images.length)}`);

  const depths = new DepthWatch();
  for (const { raw, most, values = "bytes" } of images) {
    // Of those with bits that are given, the largest value is not looked for.
    if (values !== "deep" || most !== undefined) depths.see(printable(raw.file), values, most);
  }
  const twins = findTwins(images);
  const { parts, drawn } = divide(images, twins, resolved);
  // Of more than a call takes arguments.
  for (const fault of twinFaults(images, twins, parts)) faults.push(fault);
  for (const fault of similarClasses(classes)) faults.push(fault);
  const frameOf = framesOf(images);
  const cache = new ImageCache(resolved.cache * 1e6);
  const classOf = classNumbers(listed, classes);
  const points = usualLandmarks(images.map(({ raw }) => raw));
  const fingerprint = new Fingerprint().text(JSON.stringify(classes));
  const open = (name: SplitName) => {
    const checked = parts[name].map(({ raw, header, bytes }): Annotations => {
      const { annotations, faults: found } = checkAnnotations(raw, header, classOf, points, {
        frame: resolved.exif ?? frameOf(raw) ?? "upright",
        always: resolved.exif !== undefined,
      });
      for (const fault of found) faults.push(fault);
      const { file, width, height, boxes, labels, difficult, crowd, landmarks } = annotations;
      fingerprint.text(JSON.stringify([name, file, width, height, bytes]));
      if (annotations.subsets !== undefined) fingerprint.bytes(annotations.subsets);
      fingerprint.values(boxes).values(labels).bytes(difficult).bytes(crowd);
      if (landmarks !== undefined) fingerprint.values(landmarks);
      return annotations;
    });
    const imageAt = (index: number) => parts[name][index] ?? missing(name, index);
    const decode = async (index: number, { longest }: SampleRequest, part?: ImagePart) => {
      const { raw, header } = imageAt(index);
      const { pixelLimit, bits, valueRange } = resolved;
      return decodeRgb(imageOf(raw), raw.file, header, { longest, pixelLimit, bits, valueRange }, part);
    };
    const lazy = lazySplit(
      name,
      checked.length,
      (index) => checked[index] ?? missing(name, index),
      (index, request) => decode(index, request),
      cache,
    );
    const original = (index: number) => {
      const { raw, header } = imageAt(index);
      const path = pathOf(raw);
      const image = imageOf(raw);
      if (path === undefined || typeof image === "string" || !("read" in image)) return undefined;
      return { path, upright: header.orientation === 1, read: () => image.read() };
    };
    return { ...lazy, part: decode, original };
  };
  const splits = { train: open("train"), validation: open("validation"), test: open("test") };
  const objects = Object.values(splits).some((split) => {
    for (let i = 0; i < split.count; i++) if (split.annotations(i).labels.length > 0) return true;
    return false;
  });
  if (!objects) {
    const dropped = faultLines(faults).map((line) => `; ${line}`);
    throw new DataError(`${label}: no object is marked in ${anyOf(images.length)}${dropped.join("")}`);
  }
  const set: DetectionSet = {
    name: setName,
    classes,
    ...(annotated.categories && { categories: annotated.categories }),
    splits,
    faults,
    fingerprint: fingerprint.toString(),
    describe: () => [
      `${label}: ${format}, ${describeObjects(set)}`,
      `${splits.train.count} training, ${splits.validation.count} validation and ${counted(splits.test.count, "test image")}; ${describeDivision(drawn, resolved.splitSeed)}`,
      ...(points > 0 ? [`${counted(points, "landmark")} an object ${points === 1 ? "is" : "are"} read`] : []),
      ...unseenClasses(set),
      ...depths.lines(),
      ...faultLines(faults),
    ],
  };
  return set;
}

/** A line that names the classes of which no object is learnt from, where there are some. */
function unseenClasses({ classes, splits: { train } }: DetectionSet): readonly string[] {
  const seen = occurringLabels([train]);
  const unseen = classes.filter((_, label) => !seen.has(label));
  return unseen.length === 0 ? [] : [`classes without an object to learn from: ${firstNames(unseen, NAMED)}`];
}

function describeDivision(drawn: readonly SplitName[], seed: number): string {
  if (drawn.length === 0) return "splits as given";
  return drawn.length === 1 ? `validation drawn from training with seed ${seed}` : `split with seed ${seed}`;
}

function missing(name: string, index: number | string): never {
  throw new RangeError(`image ${index} asked of the ${name} split`);
}
