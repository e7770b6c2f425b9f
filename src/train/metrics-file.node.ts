import { parseCsv } from "../data/boxes/formats/csv.node.ts";
import { csvText } from "../data/files/csv.ts";
import { WeightsError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";

// The rows of metrics.csv: as the file that people open, and as arrays inside a checkpoint, from which a file that was lost is written
// again.

/** A row of metrics.csv. */
export type MetricRow = Readonly<Record<string, number | undefined>> & { readonly step: number };

/** Columns of metrics.csv that earlier versions spelled otherwise. */
const OLD_COLUMNS: ReadonlyMap<string, string> = new Map([
  ["centreness", "centerness"],
  ["centre", "center"],
]);

const columnsOf = (rows: readonly MetricRow[]): readonly string[] => [
  ...new Set(rows.flatMap((row) => Object.keys(row))),
];

/** The value of a column that a row has itself: a measure may be called `constructor`. */
function valueIn(row: MetricRow, column: string): number | undefined {
  return Object.hasOwn(row, column) ? row[column] : undefined;
}

/** The text of metrics.csv; columns are those of all rows, in order of appearance. */
export function metricsText(rows: readonly MetricRow[]): string {
  const columns = columnsOf(rows);
  const lines = rows.map((row) => columns.map((column) => valueIn(row, column) ?? "").join());
  // Parts of a loss of one's own may be called anything.
  const head = columns.map((column) => csvText(column)).join();
  return `${[head, ...lines].join("\n")}\n`;
}

/** What metrics.csv holds. */
export interface ReadMetrics {
  /** Rows up to the first one that is damaged. */
  readonly rows: readonly MetricRow[];
  /** What is damaged, for a person: `line 7 has 3 cells, not 5`. */
  readonly damage?: string;
}

/** Reads the text of metrics.csv. */
export function parseMetrics(text: string): ReadMetrics {
  const [head = [], ...lines] = parseCsv(text);
  const columns = head.map((column) => OLD_COLUMNS.get(column) ?? column);
  if (!columns.includes("step")) return { rows: [], damage: "its first line does not name a column step" };
  const rows: MetricRow[] = [];
  for (const [i, cells] of lines.entries()) {
    const fault = faultOf(columns, cells, rows.at(-1)?.step ?? 0);
    if (fault !== undefined) return { rows, damage: `line ${i + 2} ${fault}` };
    const entries = columns.flatMap((column, j) => (cells[j] ? [[column, Number(cells[j])] as const] : []));
    rows.push({ step: 0, ...Object.fromEntries(entries) });
  }
  return { rows };
}

/** What is wrong with a line; undefined where nothing is. */
function faultOf(columns: readonly string[], cells: readonly string[], before: number): string | undefined {
  if (cells.length !== columns.length) return `has ${cells.length} cells, not ${columns.length}`;
  const bad = cells.findIndex((text) => text !== "" && text !== "NaN" && Number.isNaN(Number(text)));
  if (bad >= 0) return `holds no number under ${columns[bad]}: ${JSON.stringify(cells[bad]?.slice(0, 40))}`;
  const step = Number(cells[columns.indexOf("step")]);
  return step > before && Number.isInteger(step)
    ? undefined
    : `is of step ${step}, below one of step ${before}`;
}

/** Names of the arrays in which a checkpoint keeps rows. */
const ROWS = "metrics.csv";
const KNOWN = "metrics.csv.known";

/** Rows as arrays, to be kept in a checkpoint, and the names of their columns. */
export function packMetrics(rows: readonly MetricRow[]): {
  readonly arrays: ReadonlyMap<string, NdArray>;
  readonly columns: string;
} {
  const columns = columnsOf(rows);
  const shape = [rows.length, columns.length];
  const values = new Float64Array(rows.length * columns.length);
  const known = new Uint8Array(values.length);
  for (const [i, row] of rows.entries()) {
    for (const [j, column] of columns.entries()) {
      const value = valueIn(row, column);
      if (value === undefined) continue;
      values[i * columns.length + j] = value;
      known[i * columns.length + j] = 1;
    }
  }
  return {
    arrays: new Map<string, NdArray>([
      [ROWS, { dtype: "float64", shape, data: values }],
      [KNOWN, { dtype: "bool", shape, data: known }],
    ]),
    columns: JSON.stringify(columns),
  };
}

/**
 * The rows that a checkpoint keeps, which are taken out of its arrays; undefined for a checkpoint of an earlier version.
 * @param columns as `packMetrics` gave them
 * @throws WeightsError where they do not fit together
 */
export function unpackMetrics(
  arrays: Map<string, NdArray>,
  columns: string | undefined,
  file: string,
): MetricRow[] | undefined {
  if (columns === undefined) return undefined;
  const [values, known] = [arrays.get(ROWS), arrays.get(KNOWN)];
  arrays.delete(ROWS);
  arrays.delete(KNOWN);
  const names = namesOf(columns);
  const [count = 0, width] = values?.shape ?? [];
  const fits = values?.dtype === "float64" && known?.dtype === "bool" && width === names?.length;
  if (!fits || names === undefined || known.data.length !== values.data.length || !names.includes("step")) {
    if (count === 0 && names?.length === 0) return [];
    throw new WeightsError(`${file}: its rows of metrics.csv cannot be read; fit again into another folder`);
  }
  return Array.from({ length: count }, (_, i) => {
    const entries = names.flatMap((name, j) => {
      const at = i * names.length + j;
      return known.data[at] === 1 ? [[name, Number(values.data[at])] as const] : [];
    });
    return { step: 0, ...Object.fromEntries(entries) };
  });
}

function namesOf(columns: string): readonly string[] | undefined {
  let names: unknown;
  try {
    names = JSON.parse(columns);
  } catch {
    return undefined;
  }
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) return undefined;
  return names;
}

/** Milliseconds between two writings of rows for those who watch a run. */
const SHOW_EVERY = 1000;

/** Share of the time of a fit that such writings take at most. */
const SHOWING_SHARE = 0.02;

/** metrics.csv while a run is fitted: new rows are there about a second after they were measured. */
export class ShownMetrics {
  private readonly writeRows: (rows: readonly MetricRow[]) => Promise<void>;
  private count = 0;
  private nextAt = 0;

  /** @param writeRows writes all rows */
  constructor(writeRows: (rows: readonly MetricRow[]) => Promise<void>) {
    this.writeRows = writeRows;
  }

  /** Writes the rows where there are new ones and the last writing is long enough ago. */
  async show(rows: readonly MetricRow[]): Promise<void> {
    if (rows.length > this.count && performance.now() >= this.nextAt) await this.write(rows);
  }

  /** Writes the rows. */
  async write(rows: readonly MetricRow[]): Promise<void> {
    const begun = performance.now();
    await this.writeRows(rows);
    const now = performance.now();
    this.count = rows.length;
    this.nextAt = now + Math.max(SHOW_EVERY, (now - begun) / SHOWING_SHARE);
  }
}
