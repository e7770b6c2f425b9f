import { DataError } from "../../../errors.ts";
import type { Table, Wanted } from "../rows.node.ts";
import { dateNumber, dateText } from "./dates.ts";
import { type ColumnDeclaration, listed, missingColumns } from "./declare.ts";
import { type ColumnFacts, declaredForm, declaredKind, type Finding, findKind, surely } from "./kinds.ts";
import { missingTest } from "./missing.ts";
import { type NumberShape, numberShape } from "./numeric.ts";
import type { ColumnOf, TableColumn } from "./schema.ts";
import { beyond, ColumnTally, divisor } from "./tally.ts";

// The columns of a table: one pass over all cells for their kinds, and one over the numbers for their shapes.

/** What of a table's columns is decided by a person. */
export interface FindOptions {
  /** Columns to look at, in this order; all where undefined. Those that are named are left out only where no model takes them. */
  readonly columns?: readonly string[] | undefined;
  readonly categorical?: readonly string[];
  /** Columns that are not looked at. */
  readonly without?: readonly string[];
  /** Texts that are gaps, beside those that always are. */
  readonly missing?: readonly string[];
  readonly declared?: readonly ColumnDeclaration[] | undefined;
  /** Levels seen fewer times than this count as one. */
  readonly poolRare?: number | undefined;
  /** Into how many levels texts of many values are hashed. */
  readonly hashText?: number | undefined;
  /** Whether numbers are learned on scales that tame long tails (default), or are standardized alone. */
  readonly columnScale?: "found" | "standard" | undefined;
  /** What they are found for: all that is known of them (default), or their types, which columns with odd cells are texts for. */
  readonly purpose?: "columns" | "types";
}

/** A column, and what its numbers look like. */
export interface FoundColumn {
  readonly column: TableColumn;
  /** Of numbers and dates. */
  readonly shape?: NumberShape;
}

export interface FoundColumns {
  readonly columns: readonly FoundColumn[];
  readonly rows: number;
  /** Lines for a person: guesses, and cells that lie far from all others. */
  readonly notes: readonly string[];
}

/** Different texts that are counted of all columns together, and of one at least. */
const COUNTED = 2 ** 22;
const LEAST_COUNTED = 1024;

/** Numbers held at once while their shapes are found. */
const HELD = 2 ** 24;

/**
 * Finds the columns of a table.
 * @throws DataError that lists everything that is wrong with the table under what was declared, or found
 */
export async function findColumns(table: Table, options: FindOptions = {}): Promise<FoundColumns> {
  const { declared = [], categorical = [], without = [], missing } = options;
  const absent = missingColumns(
    declared,
    table.columns.map(({ name }) => name),
  );
  const declarations = new Map(declared.map((column) => [column.name, column]));
  const left = new Set(without);
  const asked = new Set(options.columns);
  const categories = new Set(categorical);
  const names = (options.columns ?? table.columns.map(({ name }) => name)).filter((name) => !left.has(name));
  const isMissing = missingTest(missing);
  const byName = new Map(table.columns.map((column) => [column.name, column]));
  const columnNamed = (name: string) => byName.get(name);
  const most = Math.max(LEAST_COUNTED, Math.floor(COUNTED / Math.max(1, names.length)));
  const tallies = names.map(
    (name) => new ColumnTally(most, columnNamed(name)?.numbers, declaredForm(declarations.get(name))),
  );
  const wanted = names.map((name): Wanted => ({ name, as: "cell" }));
  for await (const chunk of table.cells(wanted)) {
    for (const [i, tally] of tallies.entries()) {
      for (const cell of chunk.values(i)) {
        if (typeof cell !== "string" || isMissing(cell)) tally.gap();
        else tally.add(cell);
      }
    }
  }
  const rows = tallies[0]?.rows ?? 0;
  if (rows === 0) throw new DataError(`${table.label}: the table has no rows`);
  const many = names.filter((_, i) => tallies[i]?.overflow);
  const distinct = new Map(many.length === 0 ? [] : await table.countDistinct(many));
  const findings = names.map((name, i): Finding => {
    const tally = tallies[i];
    const source = columnNamed(name);
    if (tally === undefined || source === undefined) throw new RangeError(`column "${name}" was not read`);
    const facts: ColumnFacts = {
      name,
      distinct: distinct.get(name) ?? tally.texts.size,
      type: source.type,
      unnamed: source.unnamed === true,
      asked: asked.has(name),
      categorical: categories.has(name),
      pool: options.poolRare,
      hash: options.hashText,
      rowName: (row) => table.rowName(row),
    };
    const declaration = declarations.get(name);
    return declaration === undefined ? findKind(tally, facts) : declaredKind(tally, facts, declaration);
  });
  if (options.purpose === "types") {
    const columns = findings.map(({ column, problems }): FoundColumn => {
      const { name, why, gaps, distinct } = column;
      return { column: problems.length === 0 ? column : { kind: "text", name, why, gaps, distinct } };
    });
    return { columns, rows, notes: [] };
  }
  const faulty = findings.flatMap(({ problems }) => problems);
  const problems = [...absent, ...faulty];
  if (faulty.length === 0 && absent.length > 0) throw new DataError(`${table.label}: ${listed(absent)}`);
  if (problems.length > 0) {
    throw new DataError(
      `${table.label}: ${listed(problems)}. Correct or remove these rows, declare the column as categorical, name what stands for a gap (--missing), or choose other columns`,
    );
  }
  return shaped(table, findings, { rows, declarations, isMissing, columnScale: options.columnScale });
}

type Numeric = ColumnOf<"real" | "whole" | "date">;

const isNumeric = (column: TableColumn): column is Numeric =>
  column.kind === "real" || column.kind === "whole" || column.kind === "date";

/** Adds what the numbers of columns look like, and the scale that follows from it. */
async function shaped(
  table: Table,
  findings: readonly Finding[],
  {
    rows,
    declarations,
    isMissing,
    columnScale,
  }: {
    readonly rows: number;
    readonly declarations: ReadonlyMap<string, ColumnDeclaration>;
    readonly isMissing: (text: string) => boolean;
    readonly columnScale: FindOptions["columnScale"];
  },
): Promise<FoundColumns> {
  const numeric = findings.flatMap(({ column }) => (isNumeric(column) ? [column] : []));
  const together = Math.max(1, Math.floor(HELD / rows));
  const shapes = new Map<string, NumberShape>();
  const dates = new Map<string, DateRange>();
  for (let first = 0; first < numeric.length; first += together) {
    const group = numeric.slice(first, first + together);
    for (const [i, values] of (await numbersOf(table, group, rows, isMissing)).entries()) {
      const column = group[i];
      if (column === undefined) continue;
      shapes.set(column.name, numberShape(values));
      if (column.kind === "date")
        dates.set(column.name, dateRange(column, values, declarations.get(column.name)));
    }
  }
  const notes: string[] = [];
  const columns = findings.map(({ column: found }): FoundColumn => {
    const column = found.kind === "date" ? { ...found, ...dates.get(found.name) } : found;
    const shape = shapes.get(column.name);
    if (shape === undefined || !isNumeric(column)) return { column };
    const declaration = declarations.get(column.name);
    const isDeclared = declaration !== undefined && "scale" in declaration && declaration.scale !== undefined;
    const isKept = isDeclared || columnScale === "standard" || shape.scale === "standard";
    const scale = isKept ? column.scale : shape.scale;
    const why = [column.why, isKept ? "" : shape.reason].filter((text) => text !== "").join("; ");
    const grid = column.kind === "real" && column.resolution === undefined ? shape.grid : undefined;
    if (column.kind !== "date") notes.push(...outlierNotes(table, column, { ...shape, scale }));
    return { column: { ...column, ...grid, scale, why }, shape };
  });
  return { columns, rows, notes };
}

type DateRange = Pick<ColumnOf<"date">, "minimum" | "maximum" | "resolution" | "offset">;

/** The range of the dates of a column, and their step. */
function dateRange(
  column: ColumnOf<"date">,
  values: Float64Array,
  declared: ColumnDeclaration | undefined,
): DateRange {
  let [minimum, maximum, step] = [Infinity, -Infinity, 0];
  const first = values.find((value) => !Number.isNaN(value)) ?? 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    if (value < minimum) minimum = value;
    if (value > maximum) maximum = value;
    step = divisor(step, value - first);
  }
  const isDeclared = declared?.kind === "date" && declared.resolution !== undefined;
  const resolution = isDeclared ? column.resolution : surely(step, column.distinct);
  const offset = beyond(first, resolution);
  const range = {
    minimum: dateText(column, minimum),
    maximum: dateText(column, maximum),
    resolution,
    ...(!isDeclared && offset !== 0 && { offset }),
  };
  const { minimum: least, maximum: most } = column.declared ?? {};
  const outside = (bound: string | undefined, seen: string, isOutside: (limit: number) => boolean): void => {
    if (bound === undefined) return;
    const limit = dateNumber(column, bound);
    const place = `column "${column.name}" is declared as date`;
    if (limit === undefined) throw new DataError(`${place}: its bound ${bound} is no date (${column.form})`);
    if (isOutside(limit)) throw new DataError(`${place}: ${seen} lies outside of its bound ${bound}`);
  };
  outside(least, range.minimum, (limit) => minimum < limit);
  outside(most, range.maximum, (limit) => maximum > limit);
  return range;
}

/** A line on cells far from all others. */
function outlierNotes(table: Table, { name }: Numeric, { outliers, middle, scale }: NumberShape): string[] {
  const [first] = outliers;
  if (first === undefined) return [];
  const more = outliers.length > 1 ? `, and ${outliers.length - 1} more cells,` : "";
  const bounds = middle.map((value) => Number(value.toPrecision(4))).join(" … ");
  return [
    `column "${name}", ${table.rowName(first.row)}: ${first.value}${more} lies far outside of the rest (98 % within ${bounds}); ${
      scale === "standard" ? "" : `the column is learned on a scale (${scale}) that it does not flatten; `
    }correct it, or declare it missing (--missing ${first.value})`,
  ];
}

/** The numbers of columns, by row, NaN where there is a gap. */
async function numbersOf(
  table: Table,
  columns: readonly Numeric[],
  rows: number,
  isMissing: (text: string) => boolean,
): Promise<readonly Float64Array[]> {
  // What is no number has been told apart from gaps before.
  const wanted = columns.map(({ name, kind }): Wanted => {
    if (kind === "date") return { name, as: "cell" };
    return { name, as: "number" };
  });
  const all = columns.map(() => new Float64Array(rows));
  let first = 0;
  for await (const chunk of table.cells(wanted)) {
    for (const [i, column] of columns.entries()) {
      const values = all[i];
      for (const [row, cell] of chunk.values(i).entries()) {
        if (values === undefined) continue;
        if (column.kind !== "date") values[first + row] = typeof cell === "number" ? cell : Number.NaN;
        else {
          const isDate = typeof cell === "string" && !isMissing(cell);
          values[first + row] = isDate ? (dateNumber(column, cell) ?? Number.NaN) : Number.NaN;
        }
      }
    }
    first += chunk.count;
  }
  return all;
}
