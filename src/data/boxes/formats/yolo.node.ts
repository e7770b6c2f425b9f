import { stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { DataError } from "../../../errors.ts";
import { isMissing } from "../../files/files.node.ts";
import type { SplitName } from "../../sources/data-set.ts";
import type { RawBox, RawDetections, RawImage, RawObject } from "../check.ts";
import { NO_BOX } from "../check.ts";
import { reasonOf } from "../image.node.ts";
import type { DetectionFault } from "../set.ts";
import {
  type DetectionFiles,
  isImagePath,
  linesOf,
  listTree,
  readClassList,
  readText,
  splitOfFolders,
  stemOf,
} from "./files.node.ts";

// YOLO's text files: one for each image, in a folder `labels` where images are in a folder `images`, with a line for each object:
// the number of its class, and center, width and height as shares of the image's. `data.yaml` names classes and splits.

const locations = z.union([z.string(), z.array(z.string())]).nullish();

const yamlSchema = z.object({
  path: z.string().nullish(),
  train: locations,
  val: locations,
  valid: locations,
  test: locations,
  names: z.union([z.array(z.coerce.string()), z.record(z.coerce.number().int().min(0), z.coerce.string())]),
});

type YoloYaml = z.output<typeof yamlSchema>;

/** What describes a data set in YOLO's format: a YAML file, or the folders `images` and `labels` alone. */
export type YoloSource = { readonly yaml: string; readonly content: YoloYaml } | { readonly yaml: undefined };

/** Reads a YAML file of a data set; undefined where it is about other things. @throws DataError where it is damaged */
async function readYoloYaml(root: string, file: string): Promise<YoloSource | undefined> {
  const text = await readText(join(root, file), file);
  let value: unknown;
  try {
    value = parse(text);
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
export async function findYolo({ root, all }: DetectionFiles): Promise<YoloSource | undefined> {
  for (const file of all.filter((path) => /^[^/]+\.ya?ml$/i.test(path))) {
    const source = await readYoloYaml(root, file);
    if (source !== undefined) return source;
  }
  const hasLabels = all.some((path) => /(^|\/)labels\/.*\.txt$/.test(path));
  return hasLabels && all.some((path) => /(^|\/)images\//.test(path) && isImagePath(path))
    ? { yaml: undefined }
    : undefined;
}

/** The names of classes by their numbers. @throws DataError where a number between has no name */
function classNames(yaml: string, names: YoloYaml["names"]): readonly string[] {
  if (Array.isArray(names)) return names;
  const list = Object.keys(names).map((_, i) => names[i]);
  const missing = list.indexOf(undefined);
  if (missing >= 0) throw new DataError(`${yaml}: names: there is none for class ${missing}`);
  return list.map((name) => name ?? "");
}

/** The lines of a file of labels as objects. */
export function parseYoloLabels(text: string): readonly RawObject[] {
  return linesOf(text).map((line, i): RawObject => {
    const [name = "", ...rest] = line.split(/\s+/);
    const number = Number(name);
    const valid = Number.isInteger(number) && number >= 0;
    return {
      class: valid ? number : name,
      box: valid ? boxOf(rest.map(Number)) : NO_BOX,
      unit: "shares",
      location: `line ${i + 1}`,
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
  const xs = numbers.filter((_, i) => i % 2 === 0);
  const ys = numbers.filter((_, i) => i % 2 === 1);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The file of labels that belongs to an image. */
function labelsOf(image: string): string {
  const at = image.lastIndexOf("images/");
  const beside = at < 0 || (at > 0 && image[at - 1] !== "/");
  const swapped = beside ? image : `${image.slice(0, at)}labels/${image.slice(at + "images/".length)}`;
  return `${stemOf(swapped)}.txt`;
}

/** An existing path that a YAML file means; its own `path` may be of another machine, and exports begin with a `../` too many. */
async function resolveLocation(
  root: string,
  { path }: YoloYaml,
  location: string,
): Promise<string | undefined> {
  const bases = [...(path ? [isAbsolute(path) ? path : resolve(root, path)] : []), root];
  const names = [location, location.replace(/^(\.\.\/)+/, "")];
  for (const name of names) {
    for (const base of bases) {
      const candidate = isAbsolute(name) ? name : resolve(base, name);
      const found = await stat(candidate).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      if (found !== undefined) return candidate;
    }
  }
  return undefined;
}

/** The images of a split, by absolute paths: those in a folder, or those that a text file lists. */
async function imagesAt(location: string): Promise<readonly string[]> {
  if ((await stat(location)).isDirectory()) {
    return (await listTree(location)).all.filter(isImagePath).map((file) => join(location, file));
  }
  if (isImagePath(location)) return [location];
  const lines = linesOf(await readText(location));
  return lines.map((line) => (isAbsolute(line) ? line : resolve(dirname(location), line)));
}

/** An image by its absolute path, and the part it belongs to. */
interface PlacedImage {
  readonly path: string;
  readonly split: SplitName | undefined;
}

/** The images that a YAML file means. A folder that it names and that is not there is a fault. */
async function imagesOfYaml(
  root: string,
  { yaml, content }: Extract<YoloSource, { yaml: string }>,
  faults: DetectionFault[],
): Promise<readonly PlacedImage[]> {
  const images: PlacedImage[] = [];
  const parts = { train: content.train, validation: content.val ?? content.valid, test: content.test };
  for (const [name, locations] of Object.entries(parts)) {
    for (const location of typeof locations === "string" ? [locations] : (locations ?? [])) {
      const found = await resolveLocation(root, content, location);
      if (found === undefined) {
        const detail = `${yaml} names it for ${name}; there is no such file or folder`;
        faults.push({ kind: "missing-image", file: location, detail });
        continue;
      }
      const split = name as SplitName;
      images.push(...(await imagesAt(found)).map((path) => ({ path, split })));
    }
  }
  return images;
}

/** Files of labels below the root that belong to no image. */
function orphans({ all }: DetectionFiles, labels: ReadonlySet<string>): readonly DetectionFault[] {
  return all
    .filter((file) => /(^|\/)labels\/.*\.txt$/.test(file) && !/classes\.txt$/.test(file) && !labels.has(file))
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
      ? [...files.images.paths]
          .filter((file) => /(^|\/)images\//.test(file))
          .map((file) => ({ path: join(root, file), split: splitOfFolders(file) }))
      : await imagesOfYaml(root, source, faults);

  const below = (path: string) => relative(root, path).replaceAll(sep, "/");
  const images: RawImage[] = [];
  const found = new Set<string>();
  let most = -1;
  for (const { path, split } of placed) {
    const labels = below(labelsOf(path.replaceAll(sep, "/")));
    let objects: readonly RawObject[] = [];
    try {
      objects = parseYoloLabels(await readText(join(root, labels), labels));
      found.add(labels);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      if (await exists(join(root, labels))) {
        faults.push({ kind: "unreadable-annotations", file: labels, detail: "not a text in UTF-8" });
        continue;
      }
    }
    most = objects.reduce((last, object) => Math.max(last, Number(object.class) || 0), most);
    images.push({ file: below(path), source: labels, split, objects });
  }
  if (found.size === 0 && images.length > 0) {
    throw new DataError(
      `${root}: none of its ${images.length} images has labels; YOLO's format has ${images[0]?.source} for ${images[0]?.file}`,
    );
  }
  const classes =
    source.yaml === undefined
      ? ((await readClassList(files)) ?? Array.from({ length: most + 1 }, (_, i) => String(i)))
      : classNames(source.yaml, source.content.names);
  return { format: "yolo", classes, images, faults: [...faults, ...orphans(files, found)] };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
