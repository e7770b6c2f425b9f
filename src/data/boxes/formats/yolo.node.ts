import { dirname, isAbsolute, join, resolve } from "node:path";
import { isScalar, LineCounter, parseDocument, visit } from "yaml";
import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { printable } from "../../../printable.ts";
import { FILE_KINDS, UnreadFileError } from "../../files/files.node.ts";
import { forEachLimited } from "../../image/decode-all.node.ts";
import { type SplitName, splitNamed } from "../../sources/data-set.ts";
import type { RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import { MOST_LANDMARKS, NO_BOX } from "../check.ts";
import { reasonOf } from "../image.node.ts";
import type { DetectionFault } from "../set.ts";
import {
  type DetectionFiles,
  isClassList,
  linesOf,
  readClassList,
  readHead,
  readText,
} from "./files.node.ts";
import { isKittiLine } from "./kitti.node.ts";
import { fileNameOf, folderOf, isImagePath, splitOfFolders, stemOf } from "./paths.node.ts";

// YOLO's text files: one for each image, in a folder `labels` where images are in a folder `images`, beside the image, or in another folder,
// with a line for each object: the number of its class, and center, width and height as shares of the image's. `data.yaml` names classes and
// splits; Darknet has `obj.data`, `obj.names` and lists of images, labeling tools a `classes.txt`.

const locations = z.union([z.string(), z.array(z.string())]).nullish();

const yamlSchema = z.object({
  path: z.string().nullish(),
  train: locations,
  val: locations,
  valid: locations,
  test: locations,
  names: z.union([z.array(z.coerce.string()), z.record(z.coerce.number().int().min(0), z.coerce.string())]),
  /** Of poses: landmarks of an object, and the numbers of each, x, y and perhaps whether it is marked. */
  kpt_shape: z.tuple([z.int().min(1).max(MOST_LANDMARKS), z.union([z.literal(2), z.literal(3)])]).nullish(),
});

type YoloYaml = z.output<typeof yamlSchema>;

/** What describes a data set in YOLO's format: a YAML file, or nothing besides the labels of images. */
export type YoloSource =
  | { readonly yaml: string; readonly content: YoloYaml }
  | { readonly yaml: undefined; readonly labels: readonly string[] };

/** The most references to other places of a YAML text: each is looked for in all of it. */
const MOST_ALIASES = 100;

/**
 * The value of a YAML text. The parser's own look for keys that come twice takes the square of their number.
 * @throws Error where the text is no YAML, or a key comes twice
 */
function parseYaml(text: string): unknown {
  const lineCounter = new LineCounter();
  // Errors would each quote their whole line.
  const document = parseDocument(text, {
    uniqueKeys: false,
    logLevel: "error",
    prettyErrors: false,
    lineCounter,
  });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    throw new Error(`${error.message} at line ${line}, column ${col}`, { cause: error });
  }
  let aliases = 0;
  visit(document, {
    Alias() {
      if (++aliases > MOST_ALIASES) throw new Error(`more than ${MOST_ALIASES} aliases`);
    },
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) throw new Error(`the key ${key.value} comes twice`);
        seen.add(key.value);
      }
    },
  });
  return document.toJS();
}

/** Reads a YAML file of a data set; undefined where it is about other things. @throws DataError where it is damaged */
async function readYoloYaml(files: DetectionFiles, file: string): Promise<YoloSource | undefined> {
  const text = await readText(files, file);
  let value: unknown;
  try {
    // Warnings would print parts of the text.
    value = parseYaml(text);
  } catch (error) {
    throw new DataError(`${file}: not valid YAML (${reasonOf(error)})`, { cause: error });
  }
  if (typeof value !== "object" || value === null || !("names" in value)) return undefined;
  const parsed = yamlSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new DataError(`${file}: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  return { yaml: file, content: parsed.data };
}

/** Finds a data set in YOLO's format. @throws DataError where its YAML file is damaged */
export async function findYolo(files: DetectionFiles): Promise<YoloSource | undefined> {
  const { all } = files;
  for (const file of all.filter((path) => /^[^/]+\.ya?ml$/i.test(path))) {
    const source = await readYoloYaml(files, file);
    if (source !== undefined) return source;
  }
  const labels = await findLabels(files);
  return labels.length === 0 ? undefined : { yaml: undefined, labels };
}

/** Files that are looked into to see whether they hold labels. */
const LOOKED_INTO = 20;

/** A line of labels: the number of a class and at least four numbers. */
const LABEL = /^\d+(\.0*)?(\s+[-+\d.eE]+){4,}$/;

/**
 * Files of labels by their names, each with an image of its name beside it or in another folder; all of them or none, as the first that are not
 * empty are labels or not.
 */
async function findLabels(files: DetectionFiles): Promise<readonly string[]> {
  const candidates = files.all.filter(
    (path) => /\.txt$/i.test(path) && !isClassList(path) && labelsFolder(path) && files.images.paths.size > 0,
  );
  const paired = candidates.filter((path) => files.images.partnerOf(path) !== undefined);
  const [first] = paired;
  if (first === undefined) return [];
  let labels = 0;
  for (const path of paired.slice(0, LOOKED_INTO)) {
    const [line] = linesOf(await readHead(files, path).catch(() => ""));
    if (line === undefined) continue;
    if (!LABEL.test(line)) return inLabels(first) && !isKittiLine(line) ? paired : [];
    labels++;
  }
  return labels > 0 || inLabels(first) ? paired : [];
}

const inLabels = (path: string): boolean => /(^|\/)labels\//i.test(path);

/** False for the lists of splits that VOC and Darknet have. */
const labelsFolder = (path: string): boolean => !/(^|\/)ImageSets\//i.test(path);

/** The names of classes by their numbers. @throws DataError where a number between has no name */
function classNames(yaml: string, names: YoloYaml["names"]): readonly string[] {
  if (Array.isArray(names)) return names;
  const list = Object.keys(names).map((_, i) => names[i]);
  const missing = list.indexOf(undefined);
  if (missing >= 0) throw new DataError(`${yaml}: names: there is none for class ${missing}`);
  return list.map((name) => name ?? "");
}

/** Where no names are given, classes have numbers below this one. */
const MOST_CLASSES = 10_000;

/** How landmarks follow the box of an object in a line of labels: their number, and the numbers of each. */
export type PoseShape = NonNullable<YoloYaml["kpt_shape"]>;

/** Landmarks behind a box. Where each has two numbers, one below 0 is not marked; where it has three, the last is 0. */
function poseLandmarks(numbers: readonly number[], [points, each]: PoseShape): readonly number[] {
  return Array.from({ length: points }, (_, point) => {
    const [x = Number.NaN, y = Number.NaN, mark = 1] = numbers.slice(each * point, each * (point + 1));
    const isMarked = each === 3 ? mark > 0 : x >= 0 && y >= 0;
    return isMarked ? [x, y] : [Number.NaN, Number.NaN];
  }).flat();
}

/** The lines of a file of labels as objects. @param pose of a set with landmarks */
export function parseYoloLabels(text: string, pose?: PoseShape | null): readonly RawObject[] {
  return linesOf(text).map((line, i): RawObject => {
    const [name = "", ...rest] = line.split(/\s+/);
    const number = Number(name);
    const valid = Number.isInteger(number) && number >= 0;
    const numbers = rest.map(Number);
    const isPose = pose != null && numbers.length === 4 + pose[0] * pose[1];
    return {
      class: valid ? number : name,
      box: valid ? boxOf(isPose ? numbers.slice(0, 4) : numbers) : NO_BOX,
      unit: "shares",
      location: `line ${i + 1}`,
      ...(isPose && { landmarks: poseLandmarks(numbers.slice(4), pose) }),
    };
  });
}

/** The box of center, width and height, or the one around the corners of an outline. */
function boxOf(numbers: readonly number[]): RawBox {
  if (numbers.length === 4) {
    const [x, y, width, height] = numbers as [number, number, number, number];
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
  }
  if (numbers.length < 6 || numbers.length % 2 !== 0) return NO_BOX;
  // An outline may have any number of corners, more than a call takes arguments.
  const most = Number.POSITIVE_INFINITY;
  const edges: [number, number, number, number] = [most, most, -most, -most];
  for (const [i, value] of numbers.entries()) {
    const axis = i % 2;
    edges[axis] = Math.min(edges[axis] ?? value, value);
    edges[axis + 2] = Math.max(edges[axis + 2] ?? value, value);
  }
  return edges;
}

/** The file of labels that belongs to an image by YOLO's rule: `labels` in place of the last folder `images`, or beside it. */
export function labelsOf(image: string): string {
  const parts = image.split("/");
  const at = parts.slice(0, -1).lastIndexOf("images");
  return `${stemOf(parts.map((part, i) => (i === at ? "labels" : part)).join("/"))}.txt`;
}

/** A path as it is written on any system. */
const withSlashes = (path: string): string => path.replaceAll("\\", "/");

/** What a YAML file names: a path below the root, or what is outside of it, where nothing is read. */
type Located =
  | { readonly kind: "file" | "folder"; readonly path: string }
  | { readonly kind: "outside"; readonly named: string }
  | { readonly kind: "missing" };

/**
 * The path below the root that a YAML file means; its own `path` may be of another machine, and exports begin with a `../` too many.
 * Outside of the root nothing is looked at.
 */
async function locate(
  { folder, root }: DetectionFiles,
  { path }: YoloYaml,
  location: string,
): Promise<Located> {
  const bases = [...(path ? [resolve(root, withSlashes(path))] : []), resolve(root)];
  const plain = withSlashes(location);
  const names = [plain, plain.replace(/^(\.\.\/)+/, "")];
  let outside: string | undefined;
  for (const name of names) {
    for (const base of bases) {
      const candidate = resolve(base, name);
      const below = folder.below(candidate);
      if (below === undefined) {
        outside ??= candidate;
        continue;
      }
      const found = await folder.look(below);
      if (found !== undefined) return { kind: found.isDirectory() ? "folder" : "file", path: below };
    }
  }
  return outside === undefined ? { kind: "missing" } : { kind: "outside", named: outside };
}

/** The images of a split: those in a folder, or those that a text file lists, by paths below the root or outside of it. */
async function imagesAt(
  files: DetectionFiles,
  { kind, path }: Extract<Located, { kind: "file" | "folder" }>,
): Promise<readonly string[]> {
  if (kind === "folder") {
    return files.all.filter((file) => isImagePath(file) && (path === "" || file.startsWith(`${path}/`)));
  }
  if (isImagePath(path)) return [path];
  return imagesOfList(files, path);
}

/** The images that a text file lists, a line each: below the folder of the list, below the root, or where their paths end as they do. */
async function imagesOfList(files: DetectionFiles, path: string): Promise<readonly string[]> {
  const lines = linesOf(await readText(files, path, FILE_KINDS.list));
  const located = new Map<string, string>();
  const locate = (line: string): string => {
    const plain = withSlashes(line);
    const named = isAbsolute(plain) ? plain : join(dirname(path), plain);
    const below = files.folder.below(named) ?? named;
    if (files.images.paths.has(below)) return below;
    const found = files.images.find(plain, [""]);
    return files.images.paths.has(found) ? found : below;
  };
  return lines.map((line) => {
    const image = located.get(line) ?? locate(line);
    located.set(line, image);
    return image;
  });
}

/** An image by its path below the root, and the part it belongs to. */
interface PlacedImage {
  readonly path: string;
  readonly split: SplitName | undefined;
}

/**
 * The images that a YAML file means. A folder that it names and that is not there, or is outside of the root, is a fault.
 * @throws DataError where all that it names is outside
 */
async function imagesOfYaml(
  files: DetectionFiles,
  { yaml, content }: Extract<YoloSource, { yaml: string }>,
  faults: DetectionFault[],
): Promise<readonly PlacedImage[]> {
  const images: PlacedImage[] = [];
  const parts = { train: content.train, validation: content.val ?? content.valid, test: content.test };
  let outside: string | undefined;
  for (const [name, locations] of Object.entries(parts)) {
    const located = new Map<string, Located>();
    const [taken, repeated] = [new Set<string>(), new Set<string>()];
    for (const location of typeof locations === "string" ? [locations] : (locations ?? [])) {
      const known = located.get(location);
      // What is not there was told.
      if (known !== undefined && known.kind !== "file" && known.kind !== "folder") continue;
      const found = known ?? (await locate(files, content, location));
      located.set(location, found);
      if (found.kind === "file" || found.kind === "folder") {
        const split = name as SplitName;
        if (taken.has(found.path)) {
          // Told once, however often and in whatever spelling.
          if (!repeated.has(found.path)) {
            const detail = `${yaml} names all of it again for ${name}`;
            faults.push({ kind: "repeated-image", file: printable(location), detail });
          }
          repeated.add(found.path);
          continue;
        }
        taken.add(found.path);
        for (const path of await imagesAt(files, found)) images.push({ path, split });
        continue;
      }
      const file = printable(location);
      if (found.kind === "outside") outside ??= `${name} is ${printable(found.named)}`;
      const isOutside = found.kind === "outside" && isAbsolute(location);
      faults.push({
        kind: isOutside ? "outside" : "missing-image",
        file,
        detail: isOutside
          ? `${yaml} names it for ${name}; nothing outside of ${files.root} is read`
          : `${yaml} names it for ${name}; there is no such file or folder below ${files.root}`,
      });
    }
  }
  if (images.length === 0 && outside !== undefined) {
    throw new DataError(
      `${join(files.root, yaml)}: ${outside}, outside of the folder of this file, where nothing is read; put a copy of the file into the folder of the data set, and give that`,
    );
  }
  return images;
}

/**
 * The images that have labels, and those in the same folders or below `images` that have none; in the splits that Darknet's lists give (`train.txt`,
 * `valid.txt`), or else those of their folders.
 */
async function imagesOfLabels(
  files: DetectionFiles,
  labels: readonly string[],
): Promise<readonly PlacedImage[]> {
  const listed: PlacedImage[] = [];
  for (const file of files.all) {
    const split = /^([^/]+\/)?[^/]+\.txt$/i.test(file) ? splitNamed(stemOf(fileNameOf(file))) : undefined;
    if (split === undefined || files.images.partnerOf(file) !== undefined) continue;
    const [first] = linesOf(await readHead(files, file).catch(() => ""));
    if (first === undefined || !isImagePath(first)) continue;
    for (const path of await imagesOfList(files, file)) listed.push({ path, split });
  }
  if (listed.length > 0) return listed;
  const labeled = new Set(labels.flatMap((path) => files.images.partnerOf(path) ?? []));
  const folders = new Set([...labeled].map(folderOf));
  return [...files.images.paths]
    .filter((path) => labeled.has(path) || folders.has(folderOf(path)) || /(^|\/)images\//i.test(path))
    .map((path) => ({ path, split: splitOfFolders(path) }));
}

/** Finds the file of labels of an image: where YOLO has it, or else a file of that name elsewhere. */
function labelFinder(files: DetectionFiles): (image: string) => string {
  const own = new Set(files.all);
  const byImage = new Map<string, string>();
  for (const path of files.all) {
    if (!/\.txt$/i.test(path) || isClassList(path) || !labelsFolder(path)) continue;
    const image = files.images.partnerOf(path);
    if (image !== undefined && !byImage.has(image)) byImage.set(image, path);
  }
  return (image) => {
    const usual = labelsOf(image);
    return own.has(usual) ? usual : (byImage.get(image) ?? usual);
  };
}

/** The objects of each file of labels, read once however often its image is listed: why it cannot be read, or undefined where there is none. */
async function readLabels(
  files: DetectionFiles,
  placed: readonly PlacedImage[],
  labelsOf: (image: string) => string,
  pose: PoseShape | null | undefined,
): Promise<ReadonlyMap<string, readonly RawObject[] | DataError | undefined>> {
  const names = [...new Set(placed.map(({ path }) => labelsOf(path)))];
  const labeled = new Map<string, readonly RawObject[] | DataError | undefined>();
  await forEachLimited(names, async (labels) => {
    try {
      labeled.set(labels, parseYoloLabels(await readText(files, labels), pose));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const isMissing = error instanceof UnreadFileError && error.reason === "missing";
      labeled.set(labels, isMissing ? undefined : error);
    }
  });
  return labeled;
}

/** Files of labels below the root that belong to no image. */
function orphans({ all }: DetectionFiles, labels: ReadonlySet<string>): readonly DetectionFault[] {
  return all
    .filter((file) => /(^|\/)labels\/.*\.txt$/.test(file) && !isClassList(file) && !labels.has(file))
    .map((file) => ({
      kind: "missing-image",
      file,
      detail: "labels of an image that is not there, or in no split",
    }));
}

/**
 * Reads annotations in YOLO's format. An image without a file of labels has no objects.
 * @param source what `findYolo` found
 * @throws DataError where there are no labels at all, or a list of classes cannot be read
 */
export async function readYolo(files: DetectionFiles, source: YoloSource): Promise<RawDetections> {
  const { root } = files;
  const faults: DetectionFault[] = [];
  const placed =
    source.yaml === undefined
      ? await imagesOfLabels(files, source.labels)
      : await imagesOfYaml(files, source, faults);

  const pose = source.yaml === undefined ? undefined : source.content.kpt_shape;
  const finder = labelFinder(files);
  const labeled = await readLabels(files, placed, finder, pose);
  const images: RawImage[] = [];
  const found = new Set<string>();
  let most = -1;
  for (const { path, split } of placed) {
    if (isAbsolute(path) || files.folder.below(path) === undefined) {
      faults.push({ kind: "outside", file: printable(path), detail: `nothing outside of ${root} is read` });
      continue;
    }
    const labels = finder(path);
    const read = labeled.get(labels);
    if (read instanceof DataError) {
      const detail = withoutName(read.message, labels);
      faults.push({ kind: "unreadable-annotations", file: printable(labels), detail });
      continue;
    }
    const objects = read ?? [];
    for (const { class: number } of found.has(labels) ? [] : objects) {
      if (typeof number === "number" && number > most && number < MOST_CLASSES) most = number;
    }
    if (read !== undefined) found.add(labels);
    images.push({ file: path, source: labels, split, objects });
  }
  if (found.size === 0 && images.length > 0) {
    throw new DataError(
      `${root}: ${images.length === 1 ? "its only image has no" : `none of its ${images.length} images has`} labels; YOLO's format has ${images[0]?.source} for ${images[0]?.file}`,
    );
  }
  const classes =
    source.yaml === undefined
      ? await classesBeside(files, most, faults)
      : classNames(source.yaml, source.content.names);
  return { format: "yolo", classes, images, faults: [...faults, ...orphans(files, found)] };
}

/**
 * The classes where no YAML file names them: those of `classes.txt` at the root, of another list that has as many as the labels, or numbers.
 * @param most the largest number of a class in the labels
 */
async function classesBeside(
  files: DetectionFiles,
  most: number,
  faults: DetectionFault[],
): Promise<readonly string[]> {
  const own = await readClassList(files);
  if (own !== undefined) return own;
  const other = await readClassList(files, true);
  if (other !== undefined && other.length > most) return other;
  if (other !== undefined) {
    const detail = `lists ${other.length} classes, where labels have numbers up to ${most}`;
    faults.push({ kind: "unused-annotations", file: files.all.find(isClassList) ?? "", detail });
  }
  return Array.from({ length: most + 1 }, (_, i) => String(i));
}

/** A message without the name of the file in front. */
function withoutName(message: string, file: string): string {
  const name = `${printable(file)}: `;
  return message.startsWith(name) ? message.slice(name.length) : message;
}
