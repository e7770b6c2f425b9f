import { type Column, gapsOfColumn, type NumericColumn } from "../../data/sources/columns.ts";
import type { ExportedPort } from "../../model/exported.ts";
import { inputTypeOf } from "./encode-graph.ts";

// What model.json says of the columns of a table.

/** The axis of rows. */
export const ROWS = "rows";

/** Names for values of a graph, each once: a column's own where that is possible. */
export class PortNames {
  private readonly taken = new Set<string>();

  take(name: string, otherwise = "column"): string {
    // Names of ONNX are plain texts; these would not survive every runtime.
    const plain = /^[^\p{Cc}]+$/u.test(name) ? name : otherwise;
    let free = plain;
    for (let n = 2; this.taken.has(free); n++) free = `${plain}_${n}`;
    this.taken.add(free);
    return free;
  }
}

const COUNTED = {
  year: "the year",
  month: "12 · year + month − 1, January being month 1",
  day: "whole days since 1970-01-01",
  hour: "whole hours since 1970-01-01T00:00",
  minute: "whole minutes since 1970-01-01T00:00",
  second: "whole seconds since 1970-01-01T00:00",
  millisecond: "whole milliseconds since 1970-01-01T00:00",
  microsecond: "whole microseconds since 1970-01-01T00:00",
} as const;

type DateCells = Extract<NonNullable<NumericColumn["cells"]>["of"], { kind: "date" }>;

function dateNote({ form, precision, zone }: DateCells): NonNullable<ExportedPort["date"]> {
  const calendar = precision === "year" || precision === "month";
  const place = calendar
    ? ""
    : form.includes("zone")
      ? ", in UTC"
      : ", the date taken as it is written, without a zone";
  return {
    precision,
    form,
    ...(zone !== undefined && { zone }),
    formula: `${COUNTED[precision]}${place}${calendar ? "" : "; a time of day alone counts from midnight; earlier dates are negative"}`,
  };
}

/** What an input or output of a column is. @param name in the graph */
export function columnPort(column: Column, name: string, as: "input" | "output"): ExportedPort {
  const hasGaps = gapsOfColumn(column) !== undefined;
  const common = { name, shape: [ROWS], ...(name !== column.name && { column: column.name }) } as const;
  const type = inputTypeOf(column);
  switch (column.kind) {
    case "numeric": {
      const { cells } = column;
      const kind = cells?.of.kind ?? "real";
      return {
        ...common,
        type,
        what: `column "${column.name}": ${kind === "real" ? "a number" : kind === "whole" ? "a whole number" : "a date, as a number"}`,
        ...(cells !== undefined && {
          minimum: cells.minimum,
          maximum: cells.maximum,
          ...(cells.step !== undefined && { step: cells.step }),
          ...(cells.offset !== undefined && { offset: cells.offset }),
        }),
        ...(cells?.of.kind === "date" && { date: dateNote(cells.of) }),
        ...(hasGaps && { missing: "NaN" }),
      };
    }
    case "binary":
      return {
        ...common,
        type,
        what: `column "${column.name}": 0 or 1${as === "output" ? ", or the probability of a 1" : ""}`,
        minimum: 0,
        maximum: 1,
        ...(hasGaps && { missing: "NaN" }),
      };
    case "categorical": {
      const { categories, pooled, hash } = column;
      return {
        ...common,
        type,
        what: `column "${column.name}": ${hash === undefined ? "a text" : "the number of a hashed text"}`,
        categories,
        ...(pooled !== undefined && as === "input" && { pooled: pooled.as }),
        ...(hash !== undefined && {
          hashed: `FNV-1a of the text's UTF-16 units: h = 2166136261; for each unit u: h = ((h xor u) · 16777619) mod 2^32; the code is h mod ${hash}`,
        }),
        ...(hasGaps && { missing: hash === undefined ? "" : -1 }),
      };
    }
  }
}
