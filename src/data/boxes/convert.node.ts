import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileError } from "../../errors.ts";
import { checkNames, type NamesOf } from "../../options.ts";
import { nativeCall } from "../../program/native-calls.node.ts";
import type { CsvWriting, MarkedCells } from "../files/csv.ts";
import { pathBelow } from "../files/data-folder.node.ts";
import { fileError, isMissing, makeFolder, writeFileAtomic } from "../files/files.node.ts";
import { forEachLimited } from "../image/decode-all.node.ts";
import { importSharp } from "../image/sharp.node.ts";
import type { SplitName } from "../sources/data-set.ts";
import type { DetectionFormat } from "./check.ts";
import { encodeDetections, LOST, type NamedImage } from "./formats/encode.ts";
import type { Annotations, ByteImage, DetectionSet } from "./set.ts";

/** What a conversion has written. */
export interface Conversion {
  readonly out: string;
  readonly format: DetectionFormat;
  readonly images: Readonly<Record<SplitName, number>>;
  readonly objects: number;
  /** Images that were drawn, or that EXIF data turn: they are written anew as PNG, upright. The others are copied. */
  readonly encoded: number;
  /**
   * Marks that the format has no words for: objects written as plain ones, crowds left out, faces without their subsets, and objects without
   * their landmarks.
   */
  readonly lost: Readonly<Record<"difficult" | "crowds" | "subsets" | "landmarks", number>>;
  /** Of the format csv: names of classes that were marked, since a spreadsheet would take them for formulas. */
  readonly marked?: MarkedCells;
}

/**
 * Names for files in one folder, of which no two differ by their extensions alone. They are names and no paths, and none is hidden,
 * whatever the images were called.
 */
function namesOf(files: readonly { readonly file: string; readonly encoded: boolean }[]): readonly string[] {
  const taken = new Set<string>();
  return files.map(({ file, encoded }) => {
    const [own = ""] = pathBelow(file).split("/").slice(-1);
    const name = own.replace(/^\.+/, "") || "unnamed";
    const dot = name.lastIndexOf(".");
    const stem = dot > 0 ? name.slice(0, dot) : name;
    const extension = encoded ? ".png" : dot > 0 ? name.slice(dot) : "";
    let free = stem;
    // Cases are one on some systems.
    for (let n = 2; taken.has(free.toLowerCase()); n++) free = `${stem}-${n}`;
    taken.add(free.toLowerCase());
    return free + extension;
  });
}

/** 1 for each object of which a landmark is marked. */
function markedObjects({ labels, landmarks }: Annotations): Uint8Array {
  const numbers = (landmarks?.length ?? 0) / Math.max(1, labels.length);
  return Uint8Array.from(labels, (_, i) =>
    landmarks?.subarray(numbers * i, numbers * (i + 1)).some(Number.isFinite) ? 1 : 0,
  );
}

async function refuseTaken(out: string): Promise<void> {
  const entries = await readdir(out).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw fileError(error, "write into", out);
  });
  if (entries.length > 0) throw new FileError(`${out} is not empty; choose another folder, or empty it`);
}

/** Writes an image as PNG. */
async function writePng({ width, height, data }: ByteImage, path: string): Promise<void> {
  const sharp = await importSharp();
  const pixels = new Uint8Array(data.length);
  const count = width * height;
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < 3; channel++) pixels[3 * i + channel] = data[channel * count + i] ?? 0;
  }
  const png = sharp(pixels, { raw: { width, height, channels: 3 } }).png();
  await writeFileAtomic(path, await nativeCall(() => png.toBuffer()));
}

/**
 * Writes a detection set as files of another format: classes, splits and boxes are kept, what was faulty is not. Images are
 * copied byte for byte where they are stored upright.
 * @param onProgress called with the share that is done, from 0 to 1
 * @param writing whether the table of the format csv marks what a spreadsheet would take for formulas (it does); reading takes marks off
 * @throws FileError where the folder is not empty or cannot be written; OptionError where the format cannot hold the name of a class, or
 * DataError that of an image, so that it is read again as it was; DataError where an image can no longer be read
 */
export async function convertDetections(
  set: DetectionSet,
  out: string,
  format: DetectionFormat,
  onProgress?: (share: number) => void,
  writing: Pick<CsvWriting, "csvSafe"> = {},
): Promise<Conversion> {
  checkNames("convertDetections", writing, { csvSafe: true } satisfies NamesOf<typeof writing>);
  const { csvSafe = true } = writing;
  await refuseTaken(out);
  const items = (Object.keys(set.splits) as SplitName[]).flatMap((split) =>
    Array.from({ length: set.splits[split].count }, (_, index) => {
      const original = set.splits[split].original?.(index);
      const annotations = set.splits[split].annotations(index);
      const copied = original?.upright === true ? original : undefined;
      return { split, index, annotations, copied };
    }),
  );
  const names = namesOf(
    items.map(({ annotations, copied }) => ({ file: annotations.file, encoded: copied === undefined })),
  );
  const bySplit: Record<SplitName, NamedImage[]> = { train: [], validation: [], test: [] };
  const named = items.map((item, i) => {
    const name = names[i];
    if (name === undefined) throw new RangeError(`${names.length} names for ${items.length} images`);
    return { ...item, name };
  });
  for (const { split, name, annotations } of named) bySplit[split].push({ name, annotations });
  const { texts, imagePath, marked } = encodeDetections(format, bySplit, set.classes, {
    csvSafe,
    categories: set.categories,
  });

  let done = 0;
  await forEachLimited(named, async ({ split, index, copied, name }) => {
    const path = join(out, imagePath(split, name));
    if (copied === undefined) await writePng((await set.splits[split].sample(index)).image, path);
    else await writeFileAtomic(path, await copied.read());
    onProgress?.(++done / items.length);
  });
  // Annotations come last: a folder with them is whole.
  for (const [path, text] of texts) {
    const full = join(out, path);
    await makeFolder(dirname(full));
    await writeFileAtomic(full, text);
  }

  const count = (of: (annotations: NamedImage["annotations"]) => Uint8Array | undefined) =>
    items.reduce(
      (sum, { annotations }) => sum + (of(annotations)?.filter((mark) => mark > 0).length ?? 0),
      0,
    );
  const crowds = LOST[format].crowd ? count(({ crowd }) => crowd) : 0;
  return {
    out,
    format,
    images: { train: bySplit.train.length, validation: bySplit.validation.length, test: bySplit.test.length },
    objects: items.reduce((sum, { annotations }) => sum + annotations.labels.length, 0) - crowds,
    encoded: items.filter(({ copied }) => copied === undefined).length,
    lost: {
      difficult: LOST[format].difficult ? count(({ difficult }) => difficult) : 0,
      crowds,
      subsets: LOST[format].subsets ? count(({ subsets }) => subsets) : 0,
      landmarks: LOST[format].landmarks ? count(markedObjects) : 0,
    },
    ...(marked !== undefined && { marked }),
  };
}
