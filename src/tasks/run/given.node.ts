import { type Column, columnsSchema, columnWidth } from "../../data/sources/columns.ts";
import type { DataSet, SplitName } from "../../data/sources/data-set.ts";
import { randomRows } from "../../data/sources/views.ts";
import { encodeValue, valueOfCell } from "../../data/table/codec/index.ts";
import { OptionError } from "../../errors.ts";
import type { SampleOptions } from "../../model/capabilities.ts";
import { nearest } from "../../nearest.ts";
import { firstNames } from "../../printable.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/array.ts";
import type { RunConfig } from "../../train/run-config.ts";

/** Values of table columns by name, as a person writes them. */
export type GivenValues = Readonly<Record<string, string | number>>;

/** Which samples are drawn: their number, their seed and the number of the first (default: 0). */
type Drawn = Pick<SampleOptions, "count" | "seed" | "first">;

/** A column that a model is conditioned on, and where it stands in a sample. */
interface GivenColumn {
  readonly column: Column;
  readonly start: number;
}

/** The columns that a run's model is conditioned on, in the order of a sample. */
function givenColumns({ modelOptions, dataInfo }: RunConfig): readonly GivenColumn[] {
  const { given } = modelOptions;
  if (!Array.isArray(given) || given.length === 0 || dataInfo.columns === undefined) return [];
  let start = 0;
  const placed = columnsSchema.parse(dataInfo.columns).map((column) => {
    const at = start;
    start += columnWidth(column);
    return { column, start: at };
  });
  return placed.filter(({ column }) => given.includes(column.name));
}

/** True where a run's model is conditioned on columns of its table. */
export function isGivenColumns(config: RunConfig): boolean {
  return givenColumns(config).length > 0;
}

/**
 * Values of the columns that a run's model is conditioned on, as the model sees them: numbers standardized, categories as
 * noisy codes, one row for each of `count` samples.
 * @throws OptionError naming the column that is missing, unknown or has no such value
 */
export function encodeGiven(
  config: RunConfig,
  values: GivenValues,
  { count, seed, first = 0 }: Drawn,
): NdArray<"float32"> {
  const columns = givenColumns(config);
  const names = columns.map(({ column }) => column.name);
  if (columns.length === 0) {
    throw new OptionError(
      "option given: this run's model is conditioned on no columns; fit one with --given COLUMN",
    );
  }
  for (const name of Object.keys(values)) {
    if (names.includes(name)) continue;
    const meant = nearest(name, names);
    throw new OptionError(
      `option given: the model is not conditioned on ${name}${meant === undefined ? ` but on ${names.join(", ")}` : `; did you mean ${meant}?`}`,
    );
  }
  const width = columns.reduce((sum, { column }) => sum + columnWidth(column), 0);
  const data = new Float32Array(count * width);
  const random = new Random(seed).split("given");
  let offset = 0;
  for (const { column } of columns) {
    // A word of all objects, such as constructor, is no value of theirs.
    const value = Object.hasOwn(values, column.name) ? values[column.name] : undefined;
    if (value === undefined) {
      throw new OptionError(
        `option given: column ${column.name} has no value; add --given ${column.name}=VALUE`,
      );
    }
    for (let row = 0; row < count; row++) {
      writeValue(column, value, random.split(first + row), data, row * width + offset);
    }
    offset += columnWidth(column);
  }
  return float32(data, [count, width]);
}

/** @throws OptionError where a value is no number or no category of its column */
function writeValue(
  column: Column,
  value: string | number,
  random: Random,
  target: Float32Array,
  offset: number,
): void {
  const known = valueOfCell(column, value);
  if (known !== undefined) {
    encodeValue(column, known, random.split(column.name), target, offset);
    return;
  }
  if (column.kind !== "categorical") {
    const what =
      column.kind === "binary"
        ? "0 and 1"
        : column.cells?.of.kind === "date"
          ? `dates (${column.cells.of.form})`
          : "numbers";
    throw new OptionError(`option given: column ${column.name} holds ${what}, not ${JSON.stringify(value)}`);
  }
  throw new OptionError(
    `option given: column ${column.name} has no category ${JSON.stringify(value)}; there are ${firstNames(column.categories, 8)}`,
  );
}

/**
 * Values of the given columns from rows of the training data chosen at random, one row for each of `count` samples:
 * samples under these follow the joint distribution.
 */
export function givenOfData(
  config: RunConfig,
  data: DataSet,
  { count, seed, first = 0 }: Drawn,
): NdArray<"float32"> {
  const random = new Random(seed).split("given");
  const { train } = data.splits;
  const { x } = train.batch(
    Array.from({ length: count }, (_, i) => random.split(first + i).integer(train.count)),
  );
  return givenOfSamples(config, x);
}

/** The given columns of samples [count, size], as the model sees them, one row for each. */
export function givenOfSamples(config: RunConfig, x: NdArray<"float32">): NdArray<"float32"> {
  const columns = givenColumns(config);
  const [count = 0, size = 1] = x.shape;
  const rows = Array.from({ length: count }, (_, row) =>
    columns.flatMap(({ column, start }) => {
      const from = row * size + start;
      return [...x.data.subarray(from, from + columnWidth(column))];
    }),
  );
  return float32(rows.flat(), [count, rows[0]?.length ?? 0]);
}

/** Reads name=value texts. @throws OptionError for a text without = or a name given twice */
export function parseGiven(texts: readonly string[]): GivenValues {
  const values = new Map<string, string>();
  for (const text of texts) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new OptionError(`option given: ${JSON.stringify(text)} must be NAME=VALUE`);
    }
    if (values.has(name)) throw new OptionError(`option given: ${name} has two values`);
    values.set(name, value);
  }
  return Object.fromEntries(values);
}

/**
 * Where samples of a model from one data set to another begin: samples of the source at random, of its test split where
 * that has any. Undefined for data without a source.
 */
export function sourceOfData(
  { source }: DataSet,
  { count, seed, first }: Drawn,
): NdArray<"float32"> | undefined {
  if (source === undefined) return undefined;
  const name: SplitName = source.splits.test.count > 0 ? "test" : "train";
  return randomRows(source.splits[name], count, new Random(seed).split("source"), first);
}
