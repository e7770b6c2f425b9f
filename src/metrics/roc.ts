import { OptionError } from "../errors.ts";

/**
 * Positions of the scores in descending order; equal scores keep the order in which they stand. Infinite scores are
 * ranked as any other.
 */
export function descendingOrder(scores: ArrayLike<number>): Uint32Array {
  const order = Uint32Array.from({ length: scores.length }, (_, i) => i);
  return order.sort((a, b) => {
    const [left, right] = [scores[a] ?? 0, scores[b] ?? 0];
    return left === right ? a - b : left > right ? -1 : 1;
  });
}

/** Samples of one score, counted by what they are. */
interface Tie {
  readonly positives: number;
  readonly negatives: number;
}

/** Groups of equal scores from the highest down. @throws OptionError where the arrays cannot be compared */
function tiesOf(name: string, scores: ArrayLike<number>, labels: ArrayLike<number>): readonly Tie[] {
  if (scores.length !== labels.length) {
    throw new OptionError(
      `${name}: ${scores.length} scores and ${labels.length} labels do not belong together`,
    );
  }
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i])) throw new OptionError(`${name}: score ${i} is NaN; it has no rank`);
    if (labels[i] !== 0 && labels[i] !== 1) {
      throw new OptionError(`${name}: label ${i} is ${labels[i]}; it must be 0 or 1`);
    }
  }
  const ties: Tie[] = [];
  const order = descendingOrder(scores);
  for (let first = 0; first < order.length; ) {
    const score = scores[order[first] ?? 0];
    let [next, positives] = [first, 0];
    for (; next < order.length && scores[order[next] ?? 0] === score; next++) {
      positives += labels[order[next] ?? 0] ?? 0;
    }
    ties.push({ positives, negatives: next - first - positives });
    first = next;
  }
  return ties;
}

/**
 * Area under the receiver operating characteristic: the probability that a sample labeled 1 has a higher score than
 * one labeled 0, where equal scores count half (the Mann–Whitney statistic with mid-ranks; Fawcett 2006, "An
 * introduction to ROC analysis", section 7).
 * @param labels 0 or 1 for each score
 * @throws OptionError where lengths differ, a score is NaN, a label is neither 0 nor 1, or all labels are the same
 */
export function areaUnderRoc(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  let [pairs, positives, negatives] = [0, 0, 0];
  for (const tie of tiesOf("areaUnderRoc", scores, labels)) {
    pairs += tie.negatives * (positives + tie.positives / 2);
    positives += tie.positives;
    negatives += tie.negatives;
  }
  if (positives === 0 || negatives === 0) {
    throw new OptionError(`areaUnderRoc: all labels are ${positives === 0 ? 0 : 1}; it takes both`);
  }
  return pairs / (positives * negatives);
}

/**
 * Average precision Σ (R_k − R_{k−1}) P_k over the distinct scores from the highest down, with precision P_k and recall
 * R_k of all samples that score as high: the area under the precision–recall steps, without interpolation. Samples of
 * equal score come together.
 * @param labels 0 or 1 for each score
 * @throws OptionError where lengths differ, a score is NaN, a label is neither 0 nor 1, or none is 1
 */
export function averagePrecision(scores: ArrayLike<number>, labels: ArrayLike<number>): number {
  let [sum, positives, taken] = [0, 0, 0];
  for (const tie of tiesOf("averagePrecision", scores, labels)) {
    positives += tie.positives;
    taken += tie.positives + tie.negatives;
    sum += tie.positives * (positives / taken);
  }
  if (positives === 0) throw new OptionError("averagePrecision: no label is 1; there is nothing to find");
  return sum / positives;
}

/** P(Z ≥ z) of a standard normal Z, to 14 digits of its value where that can be written. */
export function normalTail(z: number): number {
  if (z < 0) return 1 - normalTail(-z);
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    // Φ(z) = ½ + φ(z) (z + z³/3 + z⁵/(3·5) + …): Abramowitz and Stegun 1964, 26.2.11.
    let [term, sum] = [z, z];
    for (let k = 3; term > sum * 1e-17; k += 2) {
      term *= (z * z) / k;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  // φ(z) / (z + 1/(z + 2/(z + 3/…))): 26.2.14, from its far end.
  let fraction = z;
  for (let k = 100; k > 0; k--) fraction = z + k / fraction;
  return density / fraction;
}

/** P(K ≥ successes) of a binomial K of `trials` throws of a fair coin. */
export function fairCoinTail(successes: number, trials: number): number {
  // The sum goes over the shorter tail, outwards from its largest term.
  if (successes <= trials / 2) return successes <= 0 ? 1 : 1 - fairCoinTail(trials - successes + 1, trials);
  let logTerm = -trials * Math.LN2;
  for (let k = 1; k <= trials - successes; k++) logTerm += Math.log((trials - k + 1) / k);
  let [ratio, sum] = [1, 0];
  for (let k = successes; k <= trials && ratio > 0; k++) {
    sum += ratio;
    ratio *= (trials - k) / (k + 1);
  }
  return Math.exp(logTerm) * sum;
}
