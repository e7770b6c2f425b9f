/** Nodes and weights of the five-point Gauss–Legendre rule on [−1, 1] (Abramowitz and Stegun, table 25.4). */
const NODES = [-0.906179845938664, -0.538469310105683, 0, 0.538469310105683, 0.906179845938664];
const WEIGHTS = [
  0.236926885056189, 0.478628670499366, 0.568888888888889, 0.478628670499366, 0.236926885056189,
];

/** Where an integral over an interval is evaluated, and with which weight. */
export interface Node {
  readonly at: number;
  readonly weight: number;
}

/** The composite five-point Gauss–Legendre rule on [from, to] with the given number of equal panels. */
export function quadrature(from: number, to: number, panels: number): readonly Node[] {
  const half = (to - from) / panels / 2;
  return Array.from({ length: panels }, (_, panel) =>
    NODES.map((node, i) => ({
      at: from + half * (2 * panel + 1 + node),
      weight: half * (WEIGHTS[i] ?? 0),
    })),
  ).flat();
}

/** log Σ exp, without overflow. */
export function logSumExp(terms: readonly number[]): number {
  const largest = terms.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  return largest + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - largest), 0));
}
