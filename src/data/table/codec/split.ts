import type { Random } from "../../../random.ts";
import { type Column, columnWidth, tableWidth } from "../../sources/columns.ts";
import { type Split, storedSplit } from "../../sources/data-set.ts";
import { encodeGap, encodeValue, isNoisy } from "./codec.ts";

/** Rows of a table: encoded once, and as values to be encoded with other noise. */
export interface EncodedRows {
  readonly columns: readonly Column[];
  /** By column, `valuesOfRows`. */
  readonly values: readonly Float64Array[];
  /** `[rows, width]`, one draw of their noise. */
  readonly store: Float32Array;
  readonly labels?: ArrayLike<number> | undefined;
}

/** True where training draws the noise of a table anew: its columns have kinds. Runs of earlier versions keep one draw. */
function drawsAnew(columns: readonly Column[]): boolean {
  return (
    columns.some(isNoisy) &&
    columns.some((column) =>
      column.kind === "numeric" ? column.cells !== undefined : column.gaps !== undefined,
    )
  );
}

/**
 * A split of the rows of a table, whose `batch` has one draw of their noise and whose `redrawn` has others.
 * @param order which row is at each position
 */
export function tableSplit({ columns, values, store, labels }: EncodedRows, order: Uint32Array): Split {
  const width = tableWidth(columns);
  const split = storedSplit(store, [width], order, labels);
  if (!drawsAnew(columns)) return split;
  return {
    ...split,
    redrawn(indices, randomOf) {
      const batch = split.batch(indices);
      const { data } = batch.x;
      for (let i = 0; i < indices.length; i++) {
        const row = order[indices[i] ?? -1] ?? -1;
        const random = randomOf(i);
        let at = i * width;
        for (const [c, column] of columns.entries()) {
          if (isNoisy(column)) encodeAt(column, values[c]?.[row] ?? Number.NaN, random, data, at);
          at += columnWidth(column);
        }
      }
      return batch;
    },
  };
}

function encodeAt(column: Column, value: number, random: Random, target: Float32Array, at: number): void {
  if (Number.isNaN(value)) encodeGap(column, random, target, at);
  else encodeValue(column, value, random, target, at, false);
}
