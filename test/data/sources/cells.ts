/** The square [−EXTENT, EXTENT]² in CELLS × CELLS cells of this width, on which draws are counted. */
export const EXTENT = 6;
export const CELLS = 24;
export const WIDTH = (2 * EXTENT) / CELLS;

/** Probability of each cell of a grid over [−6, 6]², by the midpoint rule with 6 × 6 points a cell. */
export function cellProbabilities(logDensity: (point: readonly number[]) => number): number[] {
  const fine = 6;
  const step = WIDTH / fine;
  const cells = new Array<number>(CELLS * CELLS).fill(0);
  for (let i = 0; i < CELLS * fine; i++) {
    for (let j = 0; j < CELLS * fine; j++) {
      const density = Math.exp(logDensity([-EXTENT + (j + 0.5) * step, -EXTENT + (i + 0.5) * step]));
      const cell = Math.floor(i / fine) * CELLS + Math.floor(j / fine);
      cells[cell] = (cells[cell] ?? 0) + density * step * step;
    }
  }
  return cells;
}
