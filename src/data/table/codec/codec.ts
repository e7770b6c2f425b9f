import { DataError } from "../../../errors.ts";
import type { Random } from "../../../random.ts";
import type { NdArray } from "../../../tensor/array.ts";
import {
  type BinaryColumn,
  type CategoricalColumn,
  type Cell,
  type Column,
  columnWidth,
  gapsOfColumn,
  gapWidth,
  type NumericColumn,
  tableWidth,
} from "../../sources/columns.ts";
import { dateNumber, dateText } from "../columns/index.ts";
import { TRUTHS } from "../columns/truths.ts";
import { atomOf, atomsOf, fromScale, isInAtom, logSlopeAt, toScale } from "./scales.ts";

// The one place where cells of a table become numbers of a sample, and numbers of a sample cells.

/** Digits of a value without a step that float32 keeps, relative to what a unit of the model's scale is there. */
const KEPT_DIGITS = 6;

/** A number without the digits that arithmetic on decimal fractions adds: 0.30000000000000004 is 0.3. */
const clean = (value: number): number => Number(value.toPrecision(15));

/** A value rounded to multiples of a step, from an offset on. */
function rounded(value: number, step: number, offset = 0): number {
  const multiple = Math.round((value - offset) / step) * step;
  if (Number.isInteger(step) && Number.isInteger(offset)) return multiple + offset;
  if (offset === 0) return clean(multiple);
  // The digits that the larger of the two has.
  const decimals = 15 - Math.ceil(Math.log10(Math.max(Math.abs(multiple), Math.abs(offset))));
  const sum = multiple + offset;
  return decimals < 0 || decimals > 100 ? sum : Number(sum.toFixed(decimals)) + 0;
}

/** The number of a sample that a value on the column's own units is. */
function numberOf({ mean, deviation, cells }: NumericColumn, value: number): number {
  const scaled = cells === undefined ? value : toScale(cells.scale, value);
  return (scaled - mean) / deviation;
}

/**
 * The value of a number of a sample in the column's own units: a multiple of the column's step, or as many digits as float32 carries.
 * It may lie beyond the column's bounds.
 */
function ownValue({ mean, deviation, cells }: NumericColumn, number: number): number {
  const w = number * deviation + mean;
  if (cells === undefined) return Number(w.toPrecision(7));
  const value = fromScale(cells.scale, w);
  if (cells.step !== undefined) return rounded(value, cells.step, cells.offset);
  if (isInAtom(cells.scale, w)) return value;
  const unit = Math.log10(deviation) - logSlopeAt(cells.scale, w) / Math.LN10;
  const digits = Math.floor(unit) - KEPT_DIGITS;
  return Number.isFinite(digits) ? rounded(value, 10 ** digits) : value;
}

/** Cells of a column that were set to its bounds, and the first of them as it was drawn. */
export interface Clipped {
  readonly column: string;
  count: number;
  readonly example: Cell;
  readonly minimum: Cell;
  readonly maximum: Cell;
}

/** Cells that were set to the bounds of their columns, gathered while rows are decoded. */
export class Clippings {
  private readonly found = new Map<string, Clipped>();
  cells = 0;

  /** The value within the column's bounds. */
  take(column: NumericColumn, value: number): number {
    const { cells } = column;
    if (cells === undefined) return value;
    this.cells++;
    const within = Math.min(cells.maximum, Math.max(cells.minimum, value));
    if (within === value || Number.isNaN(value)) return value;
    const known = this.found.get(column.name);
    if (known !== undefined) known.count++;
    else {
      this.found.set(column.name, {
        column: column.name,
        count: 1,
        example: isYear(column, value) ? written(column, value) : value,
        minimum: written(column, cells.minimum),
        maximum: written(column, cells.maximum),
      });
    }
    return within;
  }

  /** The columns with cells that were set to their bounds. */
  get columns(): readonly Clipped[] {
    return [...this.found.values()];
  }
}

/** Leaves values where they are, for rows that are as the table has them. */
export class Unclipped extends Clippings {
  override take(_column: NumericColumn, value: number): number {
    return value;
  }
}

/** A value as it is written in the table. */
function written({ name, cells }: NumericColumn, value: number): Cell {
  return cells?.of.kind === "date" ? dateText({ ...cells.of, name }, value) : value === 0 ? 0 : value;
}

/** False for a date that is so far away that it cannot be written. */
function isYear(column: NumericColumn, value: number): boolean {
  const year = plotted(column, value);
  return column.cells?.of.kind !== "date" || (year > 1 && year < 9999);
}

/** Years of the units of dates. */
const YEARS = {
  year: 1,
  month: 1 / 12,
  day: 1 / 365.2425,
  hour: 1 / 8765.82,
  minute: 1 / 525_949.2,
  second: 1 / 31_556_952,
  millisecond: 1 / 31_556_952e3,
  microsecond: 1 / 31_556_952e6,
} as const;

/** A value as it is drawn in a plot: dates as years with a fraction. */
function plotted({ cells }: NumericColumn, value: number): number {
  if (cells?.of.kind !== "date") return value;
  const { precision } = cells.of;
  const years = value * YEARS[precision];
  return precision === "year" || precision === "month" ? years : 1970 + years;
}

/** Noise of a code: 23 bits are exact in float32 on the whole of [−½, 1½), so the codes of two categories never touch. */
const codeNoise = (random: Random): number => Math.floor(random.uniform() * 2 ** 23) / 2 ** 23 - 0.5;

/** Writes the noisy one-hot code of one of `size` categories at `offset`. */
function writeCode(index: number, size: number, random: Random, target: Float32Array, offset: number): void {
  for (let k = 0; k < size; k++) target[offset + k] = codeNoise(random) + (k === index ? 1 : 0);
}

/** The category of a noisy code: the place of its largest number. */
function readCode(size: number, sample: ArrayLike<number>, offset: number): number {
  let best = 0;
  for (let k = 1; k < size; k++) {
    if ((sample[offset + k] ?? 0) > (sample[offset + best] ?? 0)) best = k;
  }
  return best;
}

/** Places of the code that says whether a cell is there. */
const [THERE, MISSING] = [0, 1];

/** Writes a number; values with a step are dequantized by noise of one step around them, atoms by noise over all of their scores. */
function encodeNumber(
  column: NumericColumn,
  value: number,
  random: Random,
  target: Float32Array,
  offset: number,
  isChecked: boolean,
): void {
  const { cells, mean, deviation } = column;
  const step = cells?.step;
  const atom = cells && atomOf(cells.scale, value);
  if (step !== undefined || atom !== undefined) {
    const draw = random.uniform();
    target[offset] =
      atom === undefined
        ? numberOf(column, value + (step ?? 0) * (draw - 0.5))
        : (atom.from + draw * (atom.to - atom.from) - mean) / deviation;
    if (!isChecked) return;
    // Near the ends of its step, or where steps are finer than float32, rounding may lead to a neighbor. What is no decimal fraction
    // comes back but for its last digits.
    const away = Math.abs(ownValue(column, target[offset] ?? 0) - value);
    const near = step === undefined ? 0 : Math.min(step / 4, 1e-9 * step + 1e-14 * Math.abs(value));
    if (away <= near) return;
  }
  target[offset] = numberOf(column, value);
}

/** A text's place among so many categories: a hash (FNV-1a) of its UTF-16 units. */
function hashOf(text: string, size: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash % size;
}

/** A category without what does not matter where there are only true and false: spreadsheets write TRUE for True. */
const plain = (text: string): string => text.trim().toLowerCase();

/** Positions of a column's categories; of true and false also by their plain texts. */
interface Positions {
  readonly exact: ReadonlyMap<string, number>;
  readonly plain?: ReadonlyMap<string, number>;
}

const positions = new WeakMap<CategoricalColumn, Positions>();

function positionsOf(column: CategoricalColumn): Positions {
  const known = positions.get(column);
  if (known !== undefined) return known;
  const { categories } = column;
  const texts = categories.map(plain);
  const isTruth = texts.length === 2 && TRUTHS.some((truth) => truth.every((text) => texts.includes(text)));
  const made = {
    exact: new Map(categories.map((category, position) => [category, position])),
    ...(isTruth && { plain: new Map(texts.map((text, position) => [text, position])) }),
  };
  positions.set(column, made);
  return made;
}

/** The position of a text among a column's categories; undefined for one that was not there in training. */
function categoryOf(column: CategoricalColumn, text: string): number | undefined {
  const { pooled, hash } = column;
  if (hash !== undefined) return hashOf(text, hash);
  const { exact, plain: truths } = positionsOf(column);
  return (
    exact.get(text) ?? truths?.get(plain(text)) ?? (pooled === undefined ? undefined : exact.get(pooled.as))
  );
}

/** The number of a numeric column's cell; undefined where it is none. */
function cellNumber({ cells }: NumericColumn, cell: number | string): number | undefined {
  if (cells?.of.kind === "date" && typeof cell === "string") return dateNumber(cells.of, cell);
  const number = typeof cell === "string" && cell.trim() === "" ? Number.NaN : Number(cell);
  return Number.isFinite(number) ? number : undefined;
}

/**
 * What a cell that is there is to its column: its number (of dates that of their precision), the position of its category, or its bit.
 * Undefined where the column has no such value.
 */
export function valueOfCell(column: Column, cell: number | string): number | undefined {
  switch (column.kind) {
    case "numeric":
      return cellNumber(column, cell);
    case "binary":
      return [0, 1].find((bit) => bit === cell || String(bit) === cell);
    case "categorical":
      return categoryOf(column, String(cell));
  }
}

/**
 * Writes a value, as `valueOfCell` gives it, with the code that says that it is there, at `offset`.
 * @param isChecked whether the value must come back when it is decoded, for which noise that rounding takes to a neighbor is left out;
 *   training does without
 */
export function encodeValue(
  column: Column,
  value: number,
  random: Random,
  target: Float32Array,
  offset: number,
  isChecked = true,
): void {
  const at = offset + encodeUnknown(column, random, target, offset);
  if (column.kind === "binary") target[at] = value;
  else if (column.kind === "numeric") encodeNumber(column, value, random, target, at, isChecked);
  else writeCode(value, column.categories.length, random, target, at);
}

/** A category by its shares, at a position on [0, 1). */
function drawCategory({ categories, shares }: CategoricalColumn, position: number): number {
  let end = 0;
  const found = shares?.findIndex((share) => {
    end += share;
    return position < end;
  });
  return found === undefined || found < 0 ? categories.length - 1 : found;
}

/**
 * Writes a cell that is missing: the code that says so, and noise of a known density in place of a value.
 * @throws RangeError for a column without gaps
 */
export function encodeGap(column: Column, random: Random, target: Float32Array, offset: number): void {
  const gap = gapWidth(column);
  if (gap === 0) throw new RangeError(`column "${column.name}" has no gaps`);
  if (column.kind === "binary") {
    target[offset] = 1;
    target[offset + 1] = 0;
    return;
  }
  writeCode(MISSING, gap, random, target, offset);
  if (column.kind === "numeric") target[offset + gap] = random.normal();
  else
    writeCode(drawCategory(column, random.uniform()), column.categories.length, random, target, offset + gap);
}

/** Writes for a cell that is to be filled in that it is there; its value is left open. @returns how many numbers that is */
export function encodeUnknown(column: Column, random: Random, target: Float32Array, offset: number): number {
  const gap = gapWidth(column);
  if (column.kind === "binary") {
    if (gap > 0) target[offset] = 0;
  } else if (gap > 0) writeCode(THERE, gap, random, target, offset);
  return gap;
}

/** True where a sample says that the cell of a column at `offset` is missing. */
export function isMissing(column: Column, sample: ArrayLike<number>, offset: number): boolean {
  const gap = gapWidth(column);
  if (gap === 0) return false;
  if (column.kind === "binary") return (sample[offset] ?? 0) > 0.5;
  return readCode(gap, sample, offset) === MISSING;
}

/** The value of a numeric column in a sample, in the column's own units and within its bounds; dates are numbers of their precision. */
export function decodeNumber(
  column: NumericColumn,
  sample: ArrayLike<number>,
  offset: number,
  clippings = new Clippings(),
): number {
  const number = sample[offset + gapWidth(column)];
  if (number === undefined) throw new DataError(`a sample has no number for column "${column.name}"`);
  return clippings.take(column, ownValue(column, number));
}

/**
 * The value of a column in a sample as `valueOfCell` has it, not set to bounds: its number, the position of its category, or its bit.
 * Undefined where the sample says that it is missing.
 */
export function sampleValue(column: Column, sample: ArrayLike<number>, offset: number): number | undefined {
  if (isMissing(column, sample, offset)) return undefined;
  const at = offset + gapWidth(column);
  switch (column.kind) {
    case "numeric":
      return ownValue(column, sample[at] ?? Number.NaN);
    case "binary":
      return (sample[at] ?? 0) > 0.5 ? 1 : 0;
    case "categorical":
      return readCode(column.categories.length, sample, at);
  }
}

/** The cell of a column in a sample; null where the sample says that it is missing. */
function decodeCell(
  column: Column,
  sample: ArrayLike<number>,
  offset: number,
  clippings: Clippings,
  write: (column: NumericColumn, value: number) => Cell = written,
): Cell | null {
  if (isMissing(column, sample, offset)) return null;
  switch (column.kind) {
    case "numeric":
      return write(column, decodeNumber(column, sample, offset, clippings));
    case "binary":
      return decodeBit(column, sample, offset);
    case "categorical": {
      const category =
        column.categories[readCode(column.categories.length, sample, offset + gapWidth(column))];
      if (category === undefined) throw new DataError(`column "${column.name}" has no categories`);
      return category;
    }
  }
}

/** A zero or one, or the probability of a one where a model gives that. */
function decodeBit(column: BinaryColumn, sample: ArrayLike<number>, offset: number): number {
  const value = sample[offset + gapWidth(column)];
  if (value === undefined) throw new DataError(`a sample has no number for column "${column.name}"`);
  return Number(value.toPrecision(7));
}

/**
 * Undoes the encoding of one sample. Numbers are multiples of their column's step and within its bounds, dates are written as in the table,
 * categories are those of the largest numbers of their codes, and cells that the model makes gaps are null. Where a model gives the
 * probability of a one instead of zeros and ones, a binary column holds that.
 * @param clippings counts what lay beyond bounds
 */
export function decodeRow(
  columns: readonly Column[],
  sample: ArrayLike<number>,
  offset = 0,
  clippings = new Clippings(),
): (Cell | null)[] {
  let at = offset;
  return columns.map((column) => {
    const start = at;
    at += columnWidth(column);
    return decodeCell(column, sample, start, clippings);
  });
}

/**
 * Undoes the encoding of samples `[count, width]`.
 * @throws DataError where the width is not that of the columns.
 */
export function decodeTable(
  columns: readonly Column[],
  samples: NdArray<"float32">,
  clippings = new Clippings(),
): (Cell | null)[][] {
  const width = tableWidth(columns);
  const [count = 0, found] = samples.shape;
  if (samples.shape.length !== 2 || found !== width) {
    throw new DataError(
      `samples of shape [${samples.shape}] do not fit a table whose rows take ${width} numbers`,
    );
  }
  return Array.from({ length: count }, (_, row) => decodeRow(columns, samples.data, row * width, clippings));
}

/** Rows of samples `[count, width]` as plots take them: as `decodeTable`, but dates as years with a fraction. */
export function plottedTable(columns: readonly Column[], samples: NdArray<"float32">): (Cell | null)[][] {
  const width = tableWidth(columns);
  const clippings = new Clippings();
  return Array.from({ length: samples.shape[0] ?? 0 }, (_, row) => {
    let at = row * width;
    return columns.map((column) => {
      const start = at;
      at += columnWidth(column);
      return decodeCell(column, samples.data, start, clippings, plotted);
    });
  });
}

const HALF_LOG_TAU = 0.5 * Math.log(2 * Math.PI);

/** What `logUnits` adds for the value of a column. */
function logUnit(column: Column, sample: ArrayLike<number>, offset: number): number {
  if (column.kind === "binary") return 0;
  const at = offset + gapWidth(column);
  const missing = isMissing(column, sample, offset);
  if (column.kind === "categorical") {
    if (!missing) return 0;
    return -Math.log(column.shares?.[readCode(column.categories.length, sample, at)] ?? 1);
  }
  const number = sample[at] ?? 0;
  if (missing) return 0.5 * number * number + HALF_LOG_TAU;
  const { cells, deviation, mean } = column;
  if (cells === undefined) return -Math.log(deviation);
  const w = number * deviation + mean;
  const slope = logSlopeAt(cells.scale, w) - Math.log(deviation);
  if (cells.of.kind === "real" || cells.step === undefined || isInAtom(cells.scale, w)) return slope;
  return slope + Math.log(cells.step);
}

/**
 * What to add to the log-density of a sample's numbers, in nats, to get the log-likelihood of the row as the table has it: for real numbers
 * a density in the column's own units, for whole numbers, dates and categories the probability of the value, for missing cells that of the gap.
 * Noise makes it a lower bound in the mean, as of all dequantized data: E log p(x + u) ≤ log ∫ p(x + u) du; in place of a missing
 * value stands noise of density q, and E log p(x, fill) / q(fill) ≤ log p(x).
 * @param modeled the columns whose likelihood it is (default: all)
 */
export function logUnits(
  columns: readonly Column[],
  sample: ArrayLike<number>,
  offset = 0,
  modeled: ReadonlySet<Column> = new Set(columns),
): number {
  let at = offset;
  let sum = 0;
  for (const column of columns) {
    if (modeled.has(column)) sum += logUnit(column, sample, at);
    at += columnWidth(column);
  }
  return sum;
}

/** True where encoding a column draws noise: another draw is as good. */
export function isNoisy(column: Column): boolean {
  if (column.kind === "numeric")
    return (
      column.cells?.step !== undefined ||
      gapsOfColumn(column) !== undefined ||
      (column.cells !== undefined && atomsOf(column.cells.scale).length > 0)
    );
  return column.kind === "categorical";
}
