import { forEachRow } from "./pairs.ts";
import type { Rows } from "./samples.ts";

/** For each row of one set, its nearest row of another. */
export interface Nearest {
  /** Euclidean distances. */
  readonly distances: Float64Array;
  /** Rows of the other set; the first among equally near ones. */
  readonly rows: Uint32Array;
}

/** The nearest row of `others` to each row. */
export function nearestRows(rows: Rows, others: Rows): Nearest {
  const distances = new Float64Array(rows.count);
  const places = new Uint32Array(rows.count);
  forEachRow(rows, others, "squaredDistance", (i, values) => {
    let [lowest, place] = [Number.POSITIVE_INFINITY, 0];
    for (let j = 0; j < values.length; j++) {
      const value = values[j] ?? 0;
      if (value < lowest) [lowest, place] = [value, j];
    }
    distances[i] = Math.sqrt(lowest);
    places[i] = place;
  });
  return { distances, rows: places };
}

/** Squared distance of each row to its k-th nearest among the other rows of the set; 1 ≤ k < count. */
export function neighbourRadii(rows: Rows, k: number): Float64Array {
  const radii = new Float64Array(rows.count);
  const nearest = new Float64Array(k);
  forEachRow(rows, rows, "squaredDistance", (i, values) => {
    nearest.fill(Number.POSITIVE_INFINITY);
    let farthest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < values.length; j++) {
      const value = values[j] ?? 0;
      if (value >= farthest || j === i) continue;
      // Kept in ascending order: k is small.
      let place = k - 1;
      for (; place > 0 && (nearest[place - 1] ?? 0) > value; place--)
        nearest[place] = nearest[place - 1] ?? 0;
      nearest[place] = value;
      farthest = nearest[k - 1] ?? 0;
    }
    radii[i] = farthest;
  });
  return radii;
}
