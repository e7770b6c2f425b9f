import type { FitProgress } from "../train/fit.node.ts";
import { showDuration, showNumber } from "./format.ts";

/** Seconds between lines where standard error is no terminal: few enough for the log of a long run. */
const FIRST_LINES = 10;
const LATER_LINES = 60;

/** Seconds after which lines come less often. */
const LATER = 120;

/** One line on how a fit stands. */
export function progressLine(progress: FitProgress): string {
  const { stage, step, stepLimit, epoch, loss, validationLoss, samplesPerSecond, secondsLeft, share } =
    progress;
  if (stage === "compiling") return "compiling the training step …";
  if (stage === "reporting") return "drawing samples, writing model and report …";
  return [
    `${String(Math.floor(share * 100)).padStart(3)} %`,
    `step ${step}${stepLimit === undefined ? "" : `/${stepLimit}`} (epoch ${epoch.toFixed(1)})`,
    `loss ${showNumber(loss)}`,
    ...(validationLoss === undefined ? [] : [`validation ${showNumber(validationLoss)}`]),
    `${showNumber(Math.round(samplesPerSecond))} samples/s`,
    ...(secondsLeft === undefined ? [] : [`${showDuration(secondsLeft)} left`]),
    ...(stage === "training" ? [] : [stage]),
  ].join("  ");
}

/** Shows progress on standard error: one changing line on a terminal, a line now and then elsewhere. */
export class ProgressDisplay {
  private shownAt = Number.NEGATIVE_INFINITY;
  private stage: FitProgress["stage"] | undefined;
  private readonly terminal = process.stderr.isTTY === true;
  /** A line on the terminal that has no end yet. */
  private open = false;

  show(progress: FitProgress): void {
    const { stage, seconds } = progress;
    const line = progressLine(progress);
    if (this.terminal) {
      process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns ?? 120) - 1)}`);
      this.open = true;
      return;
    }
    const every = seconds < LATER ? FIRST_LINES : LATER_LINES;
    const news = stage !== this.stage && (stage === "compiling" || stage === "reporting");
    if (news || (stage === "training" && seconds - this.shownAt >= every)) {
      if (stage === "training") this.shownAt = seconds;
      process.stderr.write(`${line}\n`);
    }
    this.stage = stage;
  }

  /** A line beside the progress, on a line of its own. */
  say(line: string): void {
    this.end();
    process.stderr.write(`${line}\n`);
  }

  /** Leaves the last line standing. */
  end(): void {
    if (this.open) process.stderr.write("\n");
    this.open = false;
  }
}
