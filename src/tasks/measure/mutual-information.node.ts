import { openData } from "../../data/open.node.ts";
import { type Column, columnWidth } from "../../data/sources/columns.ts";
import { type DataSet, range } from "../../data/sources/data-set.ts";
import type { RowsSource } from "../../data/sources/memory.ts";
import type { DataOptions } from "../../data/sources/options.ts";
import { DataError, OptionError } from "../../errors.ts";
import { checkNames, type NamesOf } from "../../options.ts";
import { nodeRuntime } from "../../program/node.ts";
import {
  type EstimateWatch,
  type MutualInformation,
  mutualInformation,
} from "../../representation/mutual-information/estimate.ts";
import {
  type MutualInformationOptions,
  mutualInformationOptions,
} from "../../representation/mutual-information/options.ts";
import { float32, type NdArray } from "../../tensor/array.ts";

/** Which columns of which table are compared, and how. */
export interface MutualInformationRequest extends MutualInformationOptions {
  /** A table by file or query, or rows in memory. */
  readonly data: string | RowsSource;
  /** Names of the columns of the first variable, and of the second one. */
  readonly x: readonly string[];
  readonly y: readonly string[];
  /** How the table is read. */
  readonly dataOptions?: Omit<DataOptions, "columns" | "validation" | "test">;
  /** Threads of one operation; default: all cores. */
  readonly threads?: number;
}

const NAMES: Readonly<Record<keyof MutualInformationRequest, unknown>> = {
  ...mutualInformationOptions.shape,
  data: true,
  x: true,
  y: true,
  dataOptions: true,
  threads: true,
};

const WATCH: NamesOf<EstimateWatch> = { signal: true, onProgress: true };

/** An estimate, and what it is of. */
export interface TableInformation extends MutualInformation {
  readonly data: string;
  readonly x: readonly string[];
  readonly y: readonly string[];
}

/**
 * The mutual information in nats between two groups of columns of a table. Columns named in `dataOptions.categorical` hold categories.
 *
 *     const { nats, pValue } = await tableInformation({ data: "wine.csv", x: ["alcohol"], y: ["density"], estimator: "ksg" });
 *
 * @throws OptionError where a column stands on both sides or a side has none; DataError where the table cannot be read or a column is missing; as
 * `mutualInformation`
 */
export async function tableInformation(
  request: MutualInformationRequest,
  watch: EstimateWatch = {},
): Promise<TableInformation> {
  checkNames("mutual information", request, NAMES);
  checkNames("mutual information", watch, WATCH);
  const { data, x, y, dataOptions, threads, ...options } = request;
  for (const [side, names] of Object.entries({ x, y })) {
    if (names.length === 0) throw new OptionError(`option ${side}: name at least one column`);
  }
  const both = x.find((name) => y.includes(name));
  if (both !== undefined) {
    throw new OptionError(
      `option y: column "${both}" is in x as well; of itself a column tells everything, so name it once`,
    );
  }
  const set = await openData(data, { ...dataOptions, columns: [...x, ...y], validation: 0, test: 0 });
  if (set.columns === undefined) {
    throw new DataError(`${set.name}: is no table; mutual information is of columns of a table`);
  }
  const runtime = await nodeRuntime(threads === undefined ? {} : { threads });
  const [left, right] = [columnsOf(set, set.columns, x), columnsOf(set, set.columns, y)];
  const found = await mutualInformation(left, right, options, runtime, watch);
  return { data: set.name, x, y, ...found };
}

/** Some columns of all rows of a table, as they are learnt from: [rows, numbers]. */
function columnsOf(
  { splits: { train } }: DataSet,
  columns: readonly Column[],
  names: readonly string[],
): NdArray<"float32"> {
  const starts = new Map<
    string,
    { readonly from: number; readonly width: number; readonly column: Column }
  >();
  let from = 0;
  for (const column of columns) {
    starts.set(column.name, { from, width: columnWidth(column), column });
    from += columnWidth(column);
  }
  const parts = names.map((name) => {
    const part = starts.get(name);
    if (part === undefined) throw new DataError(`there is no column "${name}"`);
    return part;
  });
  const width = parts.reduce((sum, part) => sum + part.width, 0);
  const { x } = train.batch(range(0, train.count));
  const picked = new Float32Array(train.count * width);
  for (let row = 0; row < train.count; row++) {
    let at = row * width;
    for (const part of parts) {
      const start = row * from + part.from;
      picked.set((x.data as Float32Array).subarray(start, start + part.width), at);
      at += part.width;
    }
  }
  checkVaried(picked, width, names, parts);
  return float32(picked, [train.count, width]);
}

/** @throws OptionError naming a column that is the same in all rows */
function checkVaried(
  rows: Float32Array,
  width: number,
  names: readonly string[],
  parts: readonly { readonly width: number; readonly column: Column }[],
): void {
  let at = 0;
  for (const [i, { width: own, column }] of parts.entries()) {
    if (own === 1 && isConstant(column, rows, at, width)) {
      throw new OptionError(
        `column "${names[i]}" is the same in all rows, so it says nothing of anything; leave it out`,
      );
    }
    at += own;
  }
}

/** Whether a column of one number, which begins there in rows of that width, has one value. Whole numbers and categories are learnt from with noise. */
function isConstant(column: Column, rows: Float32Array, from: number, width: number): boolean {
  if (column.kind === "categorical") return column.categories.length === 1;
  if (column.kind === "numeric" && column.cells !== undefined) {
    return column.cells.minimum === column.cells.maximum;
  }
  for (let at = from; at < rows.length; at += width) if (rows[at] !== rows[from]) return false;
  return true;
}
