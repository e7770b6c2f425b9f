import type { FitProgress } from "../train/fit.node.ts";
import { showDuration, showNumber } from "./format.ts";

/** Seconds between lines where standard error is no terminal. */
const LINE_SECONDS = 10;

/** One line on how a fit stands. */
export function progressLine(progress: FitProgress): string {
  const { stage, step, epoch, loss, validationLoss, samplesPerSecond, secondsLeft, share } = progress;
  if (stage === "compiling") return "compiling the training step …";
  return [
    `${String(Math.floor(share * 100)).padStart(3)} %`,
    `step ${step} (epoch ${epoch.toFixed(1)})`,
    `loss ${showNumber(loss)}`,
    ...(validationLoss === undefined ? [] : [`validation ${showNumber(validationLoss)}`]),
    `${showNumber(samplesPerSecond)} samples/s`,
    ...(secondsLeft === undefined ? [] : [`${showDuration(secondsLeft)} left`]),
    ...(stage === "training" ? [] : [stage]),
  ].join("  ");
}

/** Shows progress: one changing line on a terminal, a line now and then elsewhere. */
export class ProgressDisplay {
  private last = Number.NEGATIVE_INFINITY;
  private readonly terminal = process.stderr.isTTY === true;

  show(progress: FitProgress): void {
    const line = progressLine(progress);
    if (this.terminal) {
      process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns ?? 120) - 1)}`);
    } else if (progress.stage === "compiling" || progress.seconds - this.last >= LINE_SECONDS) {
      this.last = progress.seconds;
      process.stderr.write(`${line}\n`);
    }
  }

  /** Leaves the last line standing. */
  end(): void {
    if (this.terminal) process.stderr.write("\n");
  }
}
