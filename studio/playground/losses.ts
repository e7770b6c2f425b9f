import type { Progress } from "./engine.ts";

/** Losses that are kept; beyond them every other one is dropped. */
const MOST_LOSSES = 1200;
/** How much of the smoothed loss stays from point to point. */
const SMOOTHING = 0.95;

/** Losses by steps, in columns as a chart takes them. */
export class LossHistory {
  readonly steps: number[] = [];
  readonly losses: number[][];
  /** Of a single loss, its running mean. */
  readonly smooth: number[] = [];
  private stride = 1;
  private seen = 0;
  private mean: number | undefined;

  constructor(columns: number) {
    this.losses = Array.from({ length: columns }, () => []);
  }

  add({ steps, losses }: Pick<Progress, "steps" | "losses">): void {
    for (const [i, step] of steps.entries()) {
      const first = losses[0]?.[i] ?? Number.NaN;
      this.mean = this.mean === undefined ? first : SMOOTHING * this.mean + (1 - SMOOTHING) * first;
      if (this.seen++ % this.stride !== 0) continue;
      this.steps.push(step);
      this.smooth.push(this.mean);
      for (const [k, column] of this.losses.entries()) column.push(losses[k]?.[i] ?? Number.NaN);
    }
    if (this.steps.length <= MOST_LOSSES) return;
    this.stride *= 2;
    for (const column of [this.steps, this.smooth, ...this.losses]) {
      const half = column.filter((_, i) => i % 2 === 0);
      column.length = 0;
      column.push(...half);
    }
  }
}
