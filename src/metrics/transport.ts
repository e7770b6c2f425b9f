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

const UNASSIGNED = -1;

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
    this.columnOf = new Int32Array(rows).fill(UNASSIGNED);
    this.rowOf = new Int32Array(columns).fill(UNASSIGNED);
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
    let end = UNASSIGNED;
    while (end === UNASSIGNED) {
      const base = shortest - (rowPrices[row] ?? 0);
      let lowest = Number.POSITIVE_INFINITY;
      let position = 0;
      for (let k = 0; k < left; k++) {
        const column = open[k] ?? 0;
        const path = base + (cost[row * columns + column] ?? 0) - (columnPrices[column] ?? 0);
        if (path < (length[column] ?? 0)) {
          length[column] = path;
          before[column] = row;
        }
        const reach = length[column] ?? 0;
        // Among equally near columns a free one ends the search.
        if (reach < lowest || (reach === lowest && rowOf[column] === UNASSIGNED)) {
          lowest = reach;
          position = k;
        }
      }
      shortest = lowest;
      const column = open[position] ?? 0;
      if (rowOf[column] === UNASSIGNED) end = column;
      else row = rowOf[column] ?? 0;
      // The columns that are done gather behind the open ones.
      left -= 1;
      open[position] = open[left] ?? 0;
      open[left] = column;
    }
    rowPrices[start] = (rowPrices[start] ?? 0) + shortest;
    for (let k = left; k < columns; k++) {
      const column = open[k] ?? 0;
      const gain = shortest - (length[column] ?? 0);
      columnPrices[column] = (columnPrices[column] ?? 0) - gain;
      const holder = rowOf[column] ?? UNASSIGNED;
      if (holder !== UNASSIGNED) rowPrices[holder] = (rowPrices[holder] ?? 0) + gain;
    }
    for (let column = end, holder = UNASSIGNED; holder !== start; ) {
      holder = before[column] ?? 0;
      rowOf[column] = holder;
      const given = columnOf[holder] ?? UNASSIGNED;
      columnOf[holder] = column;
      column = given;
    }
  }
}

/** Mass that goes from one row to a column. */
export interface Shipment {
  readonly from: number;
  readonly to: number;
  readonly mass: number;
}

/**
 * The cheapest plan that brings the supplies to the demands (Kantorovich's problem): exact, by successive shortest
 * augmenting paths with dual prices (Ahuja, Magnanti and Orlin 1993, "Network flows", section 9.7, with Dijkstra's
 * algorithm for dense graphs). With supplies and demands of 1 it is the algorithm of `assign`. Takes about
 * (supplies + demands) · supplies · demands steps.
 * @param cost row-major [supplies, demands], finite
 * @param supply masses ≥ 0
 * @param demand masses ≥ 0 of the same total
 */
export function transport(
  cost: Float64Array,
  supply: Float64Array,
  demand: Float64Array,
): readonly Shipment[] {
  const plan = new TransportPlan(cost, supply, demand);
  for (let row = 0; row < supply.length; row++) plan.ship(row);
  return plan.shipments();
}

const NONE = -1;

/** A plan for some of the mass, with prices u, v such that cost − u − v ≥ 0, and = 0 where mass goes. */
class TransportPlan {
  private readonly cost: Float64Array;
  private readonly rows: number;
  private readonly columns: number;
  /** What rows still offer and columns still want. */
  private readonly offered: Float64Array;
  private readonly wanted: Float64Array;
  /** What rounding leaves of masses that do not add up to the same last digit. */
  private readonly tolerance: number;
  /** Mass by column, then row. */
  private readonly flow: Float64Array;
  private readonly rowPrices: Float64Array;
  private readonly columnPrices: Float64Array;
  /** Length of the shortest path found to each column, and the row before it. */
  private readonly length: Float64Array;
  private readonly before: Int32Array;
  /** All columns; the first ones are those not yet reached for good. */
  private readonly order: Int32Array;
  /** Whether the search came to a row, and the column over which it came. */
  private readonly reached: Uint8Array;
  private readonly through: Int32Array;

  constructor(cost: Float64Array, supply: Float64Array, demand: Float64Array) {
    this.cost = cost;
    this.rows = supply.length;
    this.columns = demand.length;
    this.offered = supply.slice();
    this.wanted = demand.slice();
    this.tolerance = 1e-14 * supply.reduce((sum, mass) => sum + mass, 0);
    this.flow = new Float64Array(cost.length);
    this.rowPrices = new Float64Array(this.rows);
    this.columnPrices = new Float64Array(this.columns);
    this.length = new Float64Array(this.columns);
    this.before = new Int32Array(this.columns);
    this.order = new Int32Array(this.columns);
    this.reached = new Uint8Array(this.rows);
    this.through = new Int32Array(this.rows);
  }

  /** Finds a receiver for all that a row offers. */
  ship(start: number): void {
    while ((this.offered[start] ?? 0) > this.tolerance) {
      const end = this.search(start);
      // All demands are met: what is left of the supply is rounding.
      if (end === NONE) return;
      this.augment(start, end);
    }
  }

  /** The nearest column that still wants mass, by Dijkstra's algorithm on reduced costs; adjusts the prices. */
  private search(start: number): number {
    const { cost, rows, columns, length, before, order, reached, through, flow } = this;
    length.fill(Number.POSITIVE_INFINITY);
    reached.fill(0);
    for (let k = 0; k < columns; k++) order[k] = columns - 1 - k;
    let fresh = [start];
    reached[start] = 1;
    through[start] = NONE;
    let shortest = 0;
    for (let open = columns; open > 0; ) {
      for (const row of fresh) {
        const base = shortest - (this.rowPrices[row] ?? 0);
        for (let k = 0; k < open; k++) {
          const column = order[k] ?? 0;
          const path = base + (cost[row * columns + column] ?? 0) - (this.columnPrices[column] ?? 0);
          if (path < (length[column] ?? 0)) {
            length[column] = path;
            before[column] = row;
          }
        }
      }
      const position = this.nearest(open);
      const column = order[position] ?? 0;
      shortest = length[column] ?? 0;
      open -= 1;
      order[position] = order[open] ?? 0;
      order[open] = column;
      if ((this.wanted[column] ?? 0) > this.tolerance) {
        this.adjustPrices(shortest, open);
        return column;
      }
      // Mass that came to this column may go elsewhere instead.
      fresh = [];
      for (let row = 0; row < rows; row++) {
        if (reached[row] === 0 && (flow[column * rows + row] ?? 0) > 0) {
          reached[row] = 1;
          through[row] = column;
          fresh.push(row);
        }
      }
    }
    return NONE;
  }

  /** Position of the nearest open column; among equally near ones, of one that wants mass. */
  private nearest(open: number): number {
    let [lowest, position] = [Number.POSITIVE_INFINITY, 0];
    for (let k = 0; k < open; k++) {
      const column = this.order[k] ?? 0;
      const reach = this.length[column] ?? 0;
      if (reach < lowest || (reach === lowest && (this.wanted[column] ?? 0) > this.tolerance)) {
        [lowest, position] = [reach, k];
      }
    }
    return position;
  }

  private adjustPrices(shortest: number, open: number): void {
    for (let row = 0; row < this.rows; row++) {
      if (this.reached[row] === 0) continue;
      const column = this.through[row] ?? NONE;
      const gain = column === NONE ? shortest : shortest - (this.length[column] ?? 0);
      this.rowPrices[row] = (this.rowPrices[row] ?? 0) + gain;
    }
    for (let k = open; k < this.columns; k++) {
      const column = this.order[k] ?? 0;
      this.columnPrices[column] = (this.columnPrices[column] ?? 0) - shortest + (this.length[column] ?? 0);
    }
  }

  /** Sends as much as goes along the path that the search found. */
  private augment(start: number, end: number): void {
    const { rows, before, through, flow } = this;
    let mass = Math.min(this.offered[start] ?? 0, this.wanted[end] ?? 0);
    for (let row = before[end] ?? 0; row !== start; ) {
      const column = through[row] ?? 0;
      mass = Math.min(mass, flow[column * rows + row] ?? 0);
      row = before[column] ?? 0;
    }
    for (let column = end; ; ) {
      const row = before[column] ?? 0;
      flow[column * rows + row] = (flow[column * rows + row] ?? 0) + mass;
      if (row === start) break;
      column = through[row] ?? 0;
      const left = (flow[column * rows + row] ?? 0) - mass;
      flow[column * rows + row] = left > this.tolerance ? left : 0;
    }
    this.offered[start] = (this.offered[start] ?? 0) - mass;
    this.wanted[end] = (this.wanted[end] ?? 0) - mass;
  }

  /** The whole plan, by rows. */
  shipments(): readonly Shipment[] {
    const found: Shipment[] = [];
    for (let from = 0; from < this.rows; from++) {
      for (let to = 0; to < this.columns; to++) {
        const mass = this.flow[to * this.rows + from] ?? 0;
        if (mass > 0) found.push({ from, to, mass });
      }
    }
    return found;
  }
}
