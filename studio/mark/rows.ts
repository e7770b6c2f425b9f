// Which cells of a long grid are seen.

/** Columns of so wide cells; at least one. */
export function columnsIn(width: number, cell: number): number {
  return Math.max(1, Math.floor(width / cell));
}

/** Rows beyond what is seen that are there already, above and below. */
const SPARE = 2;

/** The cells that are on the page, `from` included and `to` not, and rows of all. */
export function rowsSeen(
  count: number,
  columns: number,
  cell: number,
  top: number,
  height: number,
): { readonly from: number; readonly to: number; readonly rows: number } {
  const rows = Math.ceil(count / columns);
  const first = Math.max(0, Math.floor(top / cell) - SPARE);
  const last = Math.min(rows, Math.ceil((top + height) / cell) + SPARE);
  return { from: Math.min(count, first * columns), to: Math.min(count, last * columns), rows };
}
