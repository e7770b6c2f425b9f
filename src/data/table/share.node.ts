import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Random } from "../../random.ts";
import { type Column, tableWidth } from "../sources/columns.ts";
import { range, type Split, storedSplit } from "../sources/data-set.ts";
import { type DataOptions, type ResolvedDataOptions, resolveDataOptions } from "../sources/options.ts";
import type { SampleShare } from "../sources/sample-share.ts";
import { tableSplit } from "./codec/index.ts";
import { withTables } from "./input.node.ts";
import { inputsOf, type TableData } from "./parts.node.ts";
import {
  areBinary,
  columnAt,
  encodeRows,
  type Rows,
  readRows,
  type Table,
  valuesOfRows,
  wantedOf,
} from "./rows.node.ts";
import { bitsOf } from "./table.node.ts";

/** The samples of a share, row by row. */
interface Held {
  readonly store: Float32Array | Uint8Array;
  /** By column, what its cells are; none of zeros and ones. */
  readonly values: readonly Float64Array[];
  readonly labels: Uint32Array | undefined;
}

/** Rows of a table as samples, by the columns of a run. */
type Encoder = (rows: Rows, table: Table) => Pick<Held, "store" | "values">;

/**
 * Reads some training samples of a table, as `openTable` and `openBinaryTable` have them: of Parquet the row groups from the first of them to the
 * last, of other files no more than the lines up to the last.
 * @param columns of the run
 * @throws as they do; DataError where the table has fewer rows, or other classes
 */
export async function openTableShare(
  data: TableData,
  options: DataOptions,
  columns: readonly Column[],
  share: SampleShare,
): Promise<Split> {
  const resolved = resolveDataOptions(options);
  const isBinary = areBinary(columns);
  const random = new Random(resolved.splitSeed).split("table");
  const encode = isBinary ? bitsEncoder(columns) : valuesEncoder(columns, random);
  // Of several tables, the first is that for training.
  const [input] = inputsOf(data, resolved);
  if (input === undefined) throw new DataError("there are no tables");
  const held = await withTables(async (open) => {
    const table = await open(input, { binary: isBinary, missing: resolved.missing });
    return readShare(table, columns, encode, resolved, share);
  });
  const order = range(0, share.rows.length);
  return isBinary
    ? storedSplit(held.store, [tableWidth(columns)], order, held.labels)
    : tableSplit({ columns, ...held, store: held.store as Float32Array }, order);
}

function bitsEncoder(columns: readonly Column[]): Encoder {
  return (rows) => ({ store: bitsOf([{ ...rows, firstRow: 0 }], rows.count, columns), values: [] });
}

/** @param random of the table: the noise of a row depends on its number */
function valuesEncoder(columns: readonly Column[], random: Random): Encoder {
  return (rows, table) => {
    const store = new Float32Array(rows.count * tableWidth(columns));
    const values = valuesOfRows(columns, rows, table);
    encodeRows(columns, values, random, { target: store, firstRow: rows.firstRow });
    return { store, values };
  };
}

/** Reads from the first row of the share to the last, and keeps those that are in it. */
async function readShare(
  table: Table,
  columns: readonly Column[],
  encode: Encoder,
  { label }: Pick<ResolvedDataOptions, "label">,
  { rows, classes }: SampleShare,
): Promise<Held> {
  const width = tableWidth(columns);
  const count = rows.length;
  const isBinary = areBinary(columns);
  const held = {
    store: isBinary ? new Uint8Array(count * width) : new Float32Array(count * width),
    values: isBinary ? [] : columns.map(() => new Float64Array(count)),
    labels: label === undefined ? undefined : new Uint32Array(count),
  };
  const first = rows[0] ?? 0;
  const span = { first, count: (rows.at(-1) ?? first) - first + 1 };
  const wanted = columns.map(wantedOf);
  if (label !== undefined) wanted.push({ name: label, as: "text" });
  const classAt = new Map(classes?.map((name, number) => [name, number]));
  let next = 0;
  for await (const part of readRows(table, wanted, "rows", span)) {
    const { store, values } = encode(part, table);
    const cells = label === undefined ? undefined : columnAt(part, -1);
    for (; next < count && (rows[next] ?? 0) < part.firstRow + part.count; next++) {
      const row = (rows[next] ?? 0) - part.firstRow;
      held.store.set(store.subarray(row * width, (row + 1) * width), next * width);
      for (const [i, own] of held.values.entries()) own[next] = values[i]?.[row] ?? Number.NaN;
      if (cells === undefined || held.labels === undefined) continue;
      const number = classAt.get(String(cells[row]));
      if (number === undefined) {
        throw new DataError(
          `${table.label}: column "${label}", ${table.rowName(part.firstRow + row)}: rank 0 has no class ${JSON.stringify(cells[row])} in this table`,
        );
      }
      held.labels[next] = number;
    }
  }
  if (next < count) {
    throw new DataError(
      `${table.label}: ends before row ${(rows.at(-1) ?? 0) + 1}, where rank 0 has read ${counted(count, "row")} of it for this rank; it is not the same file`,
    );
  }
  return held;
}
