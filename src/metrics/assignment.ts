import { OptionError } from "../errors.ts";

/** Which column each row is assigned to, and what that costs together. */
export interface Assignment {
  readonly columns: Int32Array;
  readonly cost: number;
}

/**
 * The cheapest assignment of each row of a cost matrix to a column of its own: exact, by shortest augmenting paths with
 * dual prices (Jonker and Volgenant 1987, "A shortest augmenting path algorithm for dense and sparse linear assignment
 * problems", in the form of Crouse 2016, "On implementing 2D rectangular assignment algorithms", section II). Takes at
 * most rows² · columns steps.
 * @param cost row-major [rows, columns], with rows ≤ columns
 * @throws OptionError where the sizes do not fit or a cost is not finite
 */
export function assign(cost: Float64Array, rows: number, columns: number): Assignment {
  if (cost.length !== rows * columns || rows > columns) {
    throw new OptionError(
      `assign: ${cost.length} costs for ${rows} rows and ${columns} columns; it takes rows · columns of them, and no more rows than columns`,
    );
  }
  const bad = cost.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new OptionError(
      `assign: the cost of row ${Math.floor(bad / columns)}, column ${bad % columns} is ${cost[bad]}`,
    );
  }
  const search = new AugmentingSearch(cost, rows, columns);
  for (let row = 0; row < rows; row++) search.add(row);
  const total = search.columnOf.reduce((sum, column, row) => sum + (cost[row * columns + column] ?? 0), 0);
  return { columns: search.columnOf, cost: total };
}

const NONE = -1;

/** An assignment of some rows, with prices u, v such that cost − u − v ≥ 0, and = 0 where assigned. */
class AugmentingSearch {
  readonly columnOf: Int32Array;
  private readonly rowOf: Int32Array;
  private readonly cost: Float64Array;
  private readonly columns: number;
  private readonly rowPrices: Float64Array;
  private readonly columnPrices: Float64Array;
  /** Length of the shortest path found to each column, and the row before it. */
  private readonly length: Float64Array;
  private readonly before: Int32Array;
  /** Columns not yet reached for good, the first `left` of them. */
  private readonly open: Int32Array;

  constructor(cost: Float64Array, rows: number, columns: number) {
    this.cost = cost;
    this.columns = columns;
    this.columnOf = new Int32Array(rows).fill(NONE);
    this.rowOf = new Int32Array(columns).fill(NONE);
    this.rowPrices = new Float64Array(rows);
    this.columnPrices = new Float64Array(columns);
    this.length = new Float64Array(columns);
    this.before = new Int32Array(columns);
    this.open = new Int32Array(columns);
  }

  /** Assigns one more row along the shortest path to a free column. */
  add(start: number): void {
    const { cost, columns, open, length, before, rowOf, columnOf, rowPrices, columnPrices } = this;
    length.fill(Number.POSITIVE_INFINITY);
    for (let k = 0; k < columns; k++) open[k] = columns - 1 - k;
    let left = columns;
    let row = start;
    let shortest = 0;
    let end = NONE;
    while (end === NONE) {
      const base = shortest - (rowPrices[row] ?? 0);
      let lowest = Number.POSITIVE_INFINITY;
      let place = 0;
      for (let k = 0; k < left; k++) {
        const column = open[k] ?? 0;
        const path = base + (cost[row * columns + column] ?? 0) - (columnPrices[column] ?? 0);
        if (path < (length[column] ?? 0)) {
          length[column] = path;
          before[column] = row;
        }
        const reach = length[column] ?? 0;
        // Among equally near columns a free one ends the search.
        if (reach < lowest || (reach === lowest && rowOf[column] === NONE)) {
          lowest = reach;
          place = k;
        }
      }
      shortest = lowest;
      const column = open[place] ?? 0;
      if (rowOf[column] === NONE) end = column;
      else row = rowOf[column] ?? 0;
      // The columns that are done gather behind the open ones.
      left -= 1;
      open[place] = open[left] ?? 0;
      open[left] = column;
    }
    rowPrices[start] = (rowPrices[start] ?? 0) + shortest;
    for (let k = left; k < columns; k++) {
      const column = open[k] ?? 0;
      const gain = shortest - (length[column] ?? 0);
      columnPrices[column] = (columnPrices[column] ?? 0) - gain;
      const holder = rowOf[column] ?? NONE;
      if (holder !== NONE) rowPrices[holder] = (rowPrices[holder] ?? 0) + gain;
    }
    for (let column = end, holder = NONE; holder !== start; ) {
      holder = before[column] ?? 0;
      rowOf[column] = holder;
      const given = columnOf[holder] ?? NONE;
      columnOf[holder] = column;
      column = given;
    }
  }
}
