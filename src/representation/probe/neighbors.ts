import { OptionError } from "../../errors.ts";
import { kNearestRows } from "../../metrics/index.ts";
import type { FeatureRows, LabeledFeatures } from "./features.ts";

/**
 * The class that most of the k nearest training rows of each row have, by Euclidean distance; of classes with equally many the one whose nearest is
 * nearest. Neighbors are exact.
 * @throws OptionError where there are fewer than k training rows, or rows differ in size
 */
export function predictNeighbors(training: LabeledFeatures, rows: FeatureRows, k: number): Uint32Array {
  if (training.size !== rows.size) {
    throw new OptionError(
      `nearest neighbors: rows of ${rows.size} numbers, where ${training.size} were learnt from`,
    );
  }
  const nearest = kNearestRows(rows, training, k);
  return Uint32Array.from({ length: rows.count }, (_, row) => {
    // A map keeps the order in which classes come, the nearest first.
    const votes = new Map<number, number>();
    for (let n = 0; n < k; n++) {
      const label = training.labels[nearest.rows[row * k + n] ?? 0] ?? 0;
      votes.set(label, (votes.get(label) ?? 0) + 1);
    }
    let [winner, most] = [0, 0];
    for (const [label, count] of votes) if (count > most) [winner, most] = [label, count];
    return winner;
  });
}
