/**
 * A matching of rows to columns, each at most once, whose sum of weights is the largest that there is. It is kept while rows are added one by
 * one: each is a search for the shortest augmenting path (Kuhn 1955, "The Hungarian method for the assignment problem", with the potentials
 * of Jonker and Volgenant 1987), so that matchings of the first 1, 2, … n rows cost no more than that of all n.
 */
export class LargestMatching {
  readonly columns: number;
  /** Weights of each row with each column. */
  private readonly weights: Float64Array[] = [];
  private readonly rowPotentials: number[] = [];
  private readonly columnPotentials: Float64Array;
  /** The row of each column, −1 where it has none; the last one is where a new row begins. */
  private readonly partners: Int32Array;

  constructor(columns: number) {
    this.columns = columns;
    this.columnPotentials = new Float64Array(columns + 1);
    this.partners = new Int32Array(columns + 1).fill(-1);
  }

  /** Matched pairs in the order of the columns. */
  *pairs(): Generator<{ readonly row: number; readonly column: number; readonly weight: number }> {
    for (let column = 0; column < this.columns; column++) {
      const row = this.partners[column] ?? -1;
      if (row >= 0) yield { row, column, weight: this.weights[row]?.[column] ?? 0 };
    }
  }

  /** Adds a row. Pairs of weight 0 are not made. @param weights with each column, none below 0 */
  add(weights: Float64Array): void {
    const { columns, partners, columnPotentials, rowPotentials } = this;
    partners[columns] = this.weights.length;
    this.weights.push(weights);
    rowPotentials.push(0);
    const least = new Float64Array(columns).fill(Number.POSITIVE_INFINITY);
    const before = new Int32Array(columns).fill(columns);
    const seen = new Uint8Array(columns + 1);
    // A row may also be left without a column, at no cost: where the least cost of that is reached.
    let [leaving, leftAt] = [Number.POSITIVE_INFINITY, columns];
    let at = columns;
    for (;;) {
      seen[at] = 1;
      const row = partners[at] ?? 0;
      const potential = rowPotentials[row] ?? 0;
      const own = this.weights[row] ?? weights;
      if (-potential < leaving) [leaving, leftAt] = [-potential, at];
      let [step, next] = [leaving, -1];
      for (let column = 0; column < columns; column++) {
        if (seen[column] === 1) continue;
        const cost = -(own[column] ?? 0) - potential - (columnPotentials[column] ?? 0);
        if (cost < (least[column] ?? 0)) {
          least[column] = cost;
          before[column] = at;
        }
        if ((least[column] ?? 0) < step) [step, next] = [least[column] ?? 0, column];
      }
      for (let column = 0; column <= columns; column++) {
        if (seen[column] === 1) {
          const of = partners[column] ?? 0;
          rowPotentials[of] = (rowPotentials[of] ?? 0) + step;
          columnPotentials[column] = (columnPotentials[column] ?? 0) - step;
        } else {
          least[column] = (least[column] ?? 0) - step;
        }
      }
      leaving -= step;
      at = next < 0 ? leftAt : next;
      if (next < 0 || (partners[next] ?? -1) < 0) break;
    }
    while (at !== columns) {
      const from = before[at] ?? columns;
      partners[at] = partners[from] ?? -1;
      at = from;
    }
    partners[columns] = -1;
  }
}
