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
