import type { MetricRows } from "eidos/serve";

// The rows of metrics.csv of a run, as they come in, and the curves in them.

/** Rows of a run up to now. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: MetricRows["rows"];
}

export const NO_ROWS: Rows = { columns: [], rows: [] };

/** Columns that no curve is drawn of. */
const NOT_MEASURES = new Set(["step", "epoch", "seconds"]);

/** Adds what came in. A run that was begun again, or resumed before its last row, is read anew: undefined. */
export function withRows(known: Rows, { columns, from, total, rows }: MetricRows): Rows | undefined {
  const isOn = from === known.rows.length && total >= from;
  const isSame = known.columns.every((column, i) => columns[i] === column);
  return isOn && isSame ? { columns, rows: [...known.rows, ...rows] } : undefined;
}

/** The measures of several runs, those of validation first. */
export function measuresOf(all: readonly Rows[]): readonly string[] {
  const names = [...new Set(all.flatMap(({ columns }) => columns))].filter((name) => !NOT_MEASURES.has(name));
  const isOfValidation = (name: string): boolean => /^validation/.test(name);
  return [...names.filter(isOfValidation), ...names.filter((name) => !isOfValidation(name))];
}

/** The measure that is shown first: the loss of validation where all runs have one, else the loss. */
export function firstMeasure(all: readonly Rows[]): string | undefined {
  const names = measuresOf(all);
  const inAll = (name: string): boolean => all.every(({ columns }) => columns.includes(name));
  return ["validationLoss", "loss"].find((name) => names.includes(name) && inAll(name)) ?? names[0];
}

/** A curve: where it has a value, and the values. */
export function curveOf(
  { columns, rows }: Rows,
  axis: string,
  measure: string,
): { readonly x: readonly number[]; readonly y: readonly number[] } {
  const [atX, atY] = [columns.indexOf(axis), columns.indexOf(measure)];
  const [x, y]: [number[], number[]] = [[], []];
  for (const row of rows) {
    const [where, value] = [row[atX], row[atY]];
    if (where === null || where === undefined || value === null || value === undefined) continue;
    // Time stands still between two rows of one moment; a curve goes on from left to right.
    if (x.length > 0 && where <= (x.at(-1) ?? where)) continue;
    x.push(where);
    y.push(value);
  }
  return { x, y };
}

/** The last value of a measure. */
export function lastOf(rows: Rows, measure: string): number | undefined {
  return curveOf(rows, "step", measure).y.at(-1);
}

/** A number for a person: four digits. */
export function showValue(value: number, tag: string): string {
  const size = Math.abs(value);
  const isPlain = value === 0 || (size >= 1e-3 && size < 1e6);
  return new Intl.NumberFormat(tag, {
    maximumSignificantDigits: isPlain && size >= 1000 ? 6 : 4,
    ...(isPlain ? {} : { notation: "scientific" }),
  })
    .format(value)
    .replace(/^-/, "−");
}
