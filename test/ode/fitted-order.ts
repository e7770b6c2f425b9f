/** Slope of the least-squares line through (log steps, log error), negated. */
export function fittedOrder(steps: readonly number[], errors: readonly number[]): number {
  const xs = steps.map(Math.log);
  const ys = errors.map(Math.log);
  const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const cov = xs.reduce((total, x, i) => total + (x - mx) * ((ys[i] ?? 0) - my), 0);
  return -cov / xs.reduce((total, x) => total + (x - mx) ** 2, 0);
}
