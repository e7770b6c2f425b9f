import { learningRateSchedule } from "../nn/schedule.ts";
import type { ResolvedFitOptions } from "./options.ts";

/** How much training there is to be: limits in steps, epochs or seconds, of which the first that is reached counts. */
export class Budget {
  /** Steps at which training ends; infinite where it is limited by seconds alone. */
  readonly stepLimit: number;
  private readonly options: ResolvedFitOptions;
  private readonly elapsed: () => number;

  /**
   * @param epochSteps steps of an epoch
   * @param elapsed seconds of training so far, those before a resume included
   */
  constructor(options: ResolvedFitOptions, epochSteps: number, elapsed: () => number) {
    const { steps = Number.POSITIVE_INFINITY, epochs } = options;
    const inEpochs = epochs === undefined ? Number.POSITIVE_INFINITY : Math.ceil(epochs * epochSteps);
    this.stepLimit = Math.min(steps, inEpochs);
    this.options = options;
    this.elapsed = elapsed;
  }

  /** Share of the budget that is used after `step` steps, 0 to 1. */
  share(step: number): number {
    const { seconds } = this.options;
    return Math.min(1, Math.max(step / this.stepLimit, seconds === undefined ? 0 : this.elapsed() / seconds));
  }

  reached(step: number): boolean {
    const { seconds } = this.options;
    return step >= this.stepLimit || (seconds !== undefined && this.elapsed() >= seconds);
  }

  /** Foreseen from the speed so far; undefined where it is not known yet. */
  secondsLeft(step: number, stepsPerSecond: number | undefined): number | undefined {
    const { seconds } = this.options;
    const byTime = seconds === undefined ? Number.POSITIVE_INFINITY : seconds - this.elapsed();
    const bySteps =
      stepsPerSecond === undefined ? Number.POSITIVE_INFINITY : (this.stepLimit - step) / stepsPerSecond;
    const left = Math.min(byTime, bySteps);
    return Number.isFinite(left) ? Math.max(0, left) : undefined;
  }

  /**
   * The learning rate of step `step` (from 0): a function of the step alone where steps or epochs limit the fit. A limit
   * in seconds has a number of steps that is only foreseen, from the speed so far.
   */
  learningRate(step: number): number {
    const { schedule, learningRate, warmupSteps, seconds } = this.options;
    const share = this.share(step);
    let totalSteps = this.stepLimit;
    if (seconds !== undefined && share > 0.01) totalSteps = Math.min(totalSteps, (step + 1) / share);
    return learningRateSchedule({
      kind: schedule,
      rate: learningRate,
      warmupSteps: Math.min(warmupSteps, Math.floor(totalSteps / 5)),
      totalSteps,
    })(step + 1);
  }
}
