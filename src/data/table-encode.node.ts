import { DataError } from "../errors.ts";
import type { Random } from "../random.ts";
import { type Column, columnWidth, encodeCategory, encodeNumber, tableWidth } from "./columns.ts";
import { GAP, type Rows, type Wanted } from "./table-rows.node.ts";

const READ_AS = { numeric: "number", binary: "bit", categorical: "text" } as const;

/** What is read of a table for a column of samples. */
export function wantedOf({ name, kind }: Column): Wanted {
  return { name, as: READ_AS[kind] };
}

/** True where the columns are those of zeros and ones, which have a way of their own to tell a header. */
export function areBinary(columns: readonly Column[]): boolean {
  return columns.some(({ kind }) => kind === "binary");
}

interface EncodeTarget {
  readonly target: Float32Array;
  readonly known?: Float32Array;
  /** Names the table in error messages. */
  readonly label: string;
}

/**
 * Encodes rows into samples, `[count, width]`, in `target`. Missing cells, where rows may have them, become zeros there
 * and in `known`, which is 1 elsewhere.
 */
export function encodeRows(
  columns: readonly Column[],
  rows: Rows,
  random: Random,
  { target, label, known }: EncodeTarget,
): void {
  const width = tableWidth(columns);
  let offset = 0;
  for (const [index, column] of columns.entries()) {
    const cells = rows.columns[index] ?? [];
    if (column.kind === "binary") {
      for (let row = 0; row < rows.count; row++) {
        const bit = Number(cells[row]);
        if (known !== undefined && bit === GAP) continue;
        target[row * width + offset] = bit;
        known?.fill(1, row * width + offset, row * width + offset + 1);
      }
    } else if (column.kind === "numeric") {
      for (let row = 0; row < rows.count; row++) {
        const value = Number(cells[row]);
        if (known !== undefined && Number.isNaN(value)) continue;
        encodeNumber(column, value, target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + 1);
      }
    } else {
      const noise = random.split(column.name);
      const places = new Map(column.categories.map((category, place) => [category, place]));
      for (let row = 0; row < rows.count; row++) {
        if (known !== undefined && cells[row] === null) continue;
        const place = places.get(String(cells[row]));
        if (place === undefined) {
          throw new DataError(
            `${label}: column "${column.name}", row ${rows.firstRow + row + 1}: the category ${JSON.stringify(cells[row])} ` +
              `was not there in training (${column.categories.slice(0, 8).join(", ")}${column.categories.length > 8 ? ", …" : ""})`,
          );
        }
        // A generator for each row: a row's noise does not depend on how the table is read.
        encodeCategory(column, place, noise.split(rows.firstRow + row), target, row * width + offset);
        known?.fill(1, row * width + offset, row * width + offset + columnWidth(column));
      }
    }
    offset += columnWidth(column);
  }
}
