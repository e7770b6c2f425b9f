import type { DetectionSet } from "../../data/boxes/set.ts";
import { type Column, columnWidth, gapWidth, valueWidth } from "../../data/sources/columns.ts";
import { type DataSet, range, type SplitName } from "../../data/sources/data-set.ts";
import { decodeNumber, isMissing } from "../../data/table/codec/index.ts";
import { Random } from "../../random.ts";
import { contactSheet, type SheetPicture } from "../../report/boxes/contact-sheet.ts";
import { encodePng, rasterOfBytes } from "../../report/raster/raster.ts";
import { elementCount } from "../../tensor/array.ts";

/** How often ones occur in the training split of zeros and ones. */
export interface BitSummary {
  /** Share of ones among all values. */
  readonly ones: number;
  /** Ones in a sample. */
  readonly perSample: { readonly minimum: number; readonly mean: number; readonly maximum: number };
  /** Share of rows with a one in each column, the largest first; of vectors only. */
  readonly columns: readonly { readonly name: string; readonly ones: number }[];
}

/** Rows taken from a split at once. */
const BIT_ROWS = 1024;

/** Counts the ones of a data set of kind `binary`. */
function summarizeBits({ splits, sampleShape, columns = [] }: DataSet): BitSummary {
  const split = splits.train;
  const size = elementCount(sampleShape);
  const counts = new Float64Array(size);
  let [total, minimum, maximum] = [0, size, 0];
  for (let first = 0; first < split.count; first += BIT_ROWS) {
    const length = Math.min(BIT_ROWS, split.count - first);
    const { data } = split.batch(range(first, length)).x;
    for (let row = 0; row < length; row++) {
      let ones = 0;
      for (let i = 0; i < size; i++) {
        const value = data[row * size + i] ?? 0;
        counts[i] = (counts[i] ?? 0) + value;
        ones += value;
      }
      total += ones;
      minimum = Math.min(minimum, ones);
      maximum = Math.max(maximum, ones);
    }
  }
  const share = (ones: number, of: number): number => Number((ones / of).toPrecision(7));
  const shares = columns.map(({ name }, i) => ({ name, ones: share(counts[i] ?? 0, split.count) }));
  return {
    ones: share(total, split.count * size),
    perSample: { minimum, mean: share(total, split.count), maximum },
    columns: shares.sort((a, b) => b.ones - a.ones),
  };
}

/** What the training split holds of one number of a sample, in the data's own units. */
export interface NumericSummary {
  readonly name: string;
  readonly minimum: number;
  readonly mean: number;
  readonly deviation: number;
  readonly maximum: number;
}

/** How often each category, or class, occurs in the training split, most frequent first. */
export interface CategorySummary {
  readonly name: string;
  readonly counts: readonly { readonly category: string; readonly count: number }[];
}

export interface DataSummary {
  readonly numbers: readonly NumericSummary[];
  readonly categories: readonly CategorySummary[];
  /** Of zeros and ones, whose numbers are left out. */
  readonly bits?: BitSummary;
}

/** Rows taken from a split at once. */
const ROWS = 1024;

/** A number of a sample, or all of them together, and how its value is read. */
interface Watched {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** The value at a place of a sample in its own units; undefined where it is missing. */
  readonly read: (data: ArrayLike<number>, at: number) => number | undefined;
}

/**
 * The numbers and categories of a data set: columns of a table, coordinates of points, bytes of images, how often zeros and
 * ones are one, and classes.
 */
export function summarizeData(data: DataSet): DataSummary {
  const split = data.splits.train;
  const size = data.sampleShape.reduce((product, length) => product * length, 1);
  const { watched, coded } = layoutOf(data, size);
  // Sums are of differences from the first value, which may be far from zero.
  const sums = watched.map(() => ({
    first: 0,
    count: 0,
    minimum: Infinity,
    maximum: -Infinity,
    sum: 0,
    squares: 0,
  }));
  const counts = coded.map(({ column }) => new Array<number>(valueWidth(column)).fill(0));
  const classes = data.classes?.map(() => 0);
  for (let first = 0; first < split.count; first += ROWS) {
    const length = Math.min(ROWS, split.count - first);
    const { x, label } = split.batch(Uint32Array.from({ length }, (_, i) => first + i));
    for (let row = 0; row < length; row++) {
      for (const [w, { from, to, read }] of watched.entries()) {
        const sum = sums[w];
        if (sum === undefined) continue;
        for (let i = row * size + from; i < row * size + to; i++) {
          const value = read(x.data, i);
          if (value === undefined) continue;
          if (sum.count === 0) sum.first = value;
          sum.count++;
          sum.sum += value - sum.first;
          sum.squares += (value - sum.first) ** 2;
          if (value < sum.minimum) sum.minimum = value;
          if (value > sum.maximum) sum.maximum = value;
        }
      }
      for (const [c, { offset, column }] of coded.entries()) {
        if (isMissing(column, x.data, row * size + offset)) continue;
        // The largest number of a noisy one-hot code marks the category.
        const start = row * size + offset + gapWidth(column);
        const code = x.data.subarray(start, start + valueWidth(column));
        const position = code.indexOf(Math.max(...code));
        const held = counts[c];
        if (held !== undefined) held[position] = (held[position] ?? 0) + 1;
      }
      const held = label === undefined ? undefined : Number(label.data[row]);
      if (classes !== undefined && held !== undefined) classes[held] = (classes[held] ?? 0) + 1;
    }
  }
  const numbers = watched.map(({ name }, w): NumericSummary => {
    const { first = 0, count = 0, minimum = 0, maximum = 0, sum = 0, squares = 0 } = sums[w] ?? {};
    const average = sum / count;
    const deviation = Math.sqrt(Math.max(0, squares / count - average ** 2));
    const digits = Math.min(
      15,
      7 + Math.max(0, Math.ceil(Math.log10(Math.abs(average + first) / (deviation || 1)))),
    );
    return {
      name,
      minimum: Number(minimum.toPrecision(15)),
      mean: Number((first + average).toPrecision(digits)),
      deviation: Number(deviation.toPrecision(7)),
      maximum: Number(maximum.toPrecision(15)),
    };
  });
  const categories = coded.map(({ column }, c) => tally(column.name, column.categories, counts[c] ?? []));
  if (classes !== undefined) categories.push(tally("class", data.classes ?? [], classes));
  return { numbers, categories, ...(data.kind === "binary" && { bits: summarizeBits(data) }) };
}

function tally(name: string, names: readonly string[], counts: readonly number[]): CategorySummary {
  const entries = names.map((category, i) => ({ category, count: counts[i] ?? 0 }));
  return { name, counts: entries.sort((a, b) => b.count - a.count) };
}

type CodedColumn = Extract<Column, { kind: "categorical" }>;

/** Where in a sample the numbers and the codes of categories stand. */
function layoutOf(
  { kind, columns }: DataSet,
  size: number,
): {
  readonly watched: readonly Watched[];
  readonly coded: readonly { readonly offset: number; readonly column: CodedColumn }[];
} {
  const plain = { read: (data: ArrayLike<number>, at: number) => data[at] };
  if (kind === "image") return { watched: [{ name: "pixels", from: 0, to: size, ...plain }], coded: [] };
  if (kind === "binary") return { watched: [], coded: [] };
  const watched: Watched[] = [];
  const coded: { offset: number; column: CodedColumn }[] = [];
  let offset = 0;
  for (const column of columns ?? []) {
    if (column.kind === "numeric") {
      const read = (data: ArrayLike<number>, at: number) =>
        isMissing(column, data, at) ? undefined : decodeNumber(column, data, at);
      watched.push({ name: column.name, from: offset, to: offset + 1, read });
    } else if (column.kind === "categorical") coded.push({ offset, column });
    offset += columnWidth(column);
  }
  if (columns === undefined) {
    for (let i = 0; i < size; i++) {
      watched.push({ name: "xyz"[i] ?? `x${i}`, from: i, to: i + 1, ...plain });
    }
  }
  return { watched, coded };
}

/** Longer side of an image on a sheet, in pixels. */
const TILE = 320;

/** Some images of a set, by chance, in proportion to its splits and in their order. */
function chosen(set: DetectionSet, count: number, seed: number) {
  const all = (Object.keys(set.splits) as SplitName[]).flatMap((split) =>
    Array.from({ length: set.splits[split].count }, (_, index) => ({ split, index })),
  );
  const order = new Random(seed).split("contact sheet").permutation(all.length).subarray(0, count).sort();
  return Array.from(order, (position) => all[position]).filter((item) => item !== undefined);
}

/**
 * A contact sheet of a detection set as the bytes of a PNG file: some of its images with their boxes, broken lines around what
 * need not be found.
 * @param count of images, at most
 * @throws DataError where an image can no longer be read
 */
export async function detectionSheet(set: DetectionSet, count: number, seed = 0): Promise<Uint8Array> {
  const pictures: SheetPicture[] = [];
  for (const { split, index } of chosen(set, count, seed)) {
    const sample = await set.splits[split].sample(index, { longest: TILE });
    const { image, boxes, labels, difficult, crowd, file } = sample;
    pictures.push({
      image: rasterOfBytes(image),
      caption: `${split}  ${file.slice(file.lastIndexOf("/") + 1)}`,
      boxes,
      labels,
      // With one class there is nothing to tell apart.
      ...(set.classes.length > 1 && { texts: Array.from(labels, (label) => set.classes[label] ?? "") }),
      dashed: difficult.map((value, i) => value | (crowd[i] ?? 0)),
      enlarge: Math.max(1, Math.floor(TILE / Math.max(image.width, image.height))),
    });
  }
  const sheet = contactSheet(pictures, set.classes);
  return encodePng(sheet, `${pictures.length} of the images of ${set.name} with their boxes`);
}
