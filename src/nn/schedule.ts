import { OptionError } from "../errors.ts";

/** Learning rate of a step; the first step is 1. */
export type Schedule = (step: number) => number;

interface WarmUp {
  /** The learning rate at its height. */
  readonly rate: number;
  /** Steps over which the rate grows linearly from 0 to `rate` (default: 0). */
  readonly warmupSteps?: number;
}

interface Decay extends WarmUp {
  /** Number of the last step; the rate stays at its end value after it. */
  readonly totalSteps: number;
  /** The rate at the last step (default: 0). */
  readonly finalRate?: number;
}

interface Stairs extends WarmUp {
  /** Steps between two drops, counted from the end of the warm-up. */
  readonly every: number;
  /** Factor at each drop (default: 0.1). */
  readonly factor?: number;
}

/** A learning-rate schedule by name. */
export type ScheduleOptions =
  | ({ readonly kind: "constant" } & WarmUp)
  | ({ readonly kind: "cosine" } & Decay)
  | ({ readonly kind: "linear" } & Decay)
  | ({ readonly kind: "step" } & Stairs);

/**
 * A learning-rate schedule: linear warm-up to `rate`, then constant; down to `finalRate` along a half cosine
 * (Loshchilov and Hutter 2017, eq. 5, without restarts) or a line; or times `factor` after every `every` steps.
 * A pure function, so that an interrupted run continues at the same rate.
 * @throws OptionError
 */
export function learningRateSchedule(options: ScheduleOptions): Schedule {
  const { rate, warmupSteps = 0 } = options;
  check("rate", rate, rate >= 0, "must not be negative");
  check("warmupSteps", warmupSteps, warmupSteps >= 0, "must not be negative");
  const after = afterWarmUp(options, warmupSteps);
  return (step) => (step < warmupSteps ? rate * (step / warmupSteps) : after(step - warmupSteps));
}

function afterWarmUp(options: ScheduleOptions, warmupSteps: number): Schedule {
  const { rate } = options;
  switch (options.kind) {
    case "constant":
      return () => rate;
    case "cosine":
    case "linear": {
      const { kind, totalSteps, finalRate = 0 } = options;
      check("totalSteps", totalSteps, totalSteps > warmupSteps, `must be above warmupSteps (${warmupSteps})`);
      check("finalRate", finalRate, finalRate >= 0, "must not be negative");
      return (step) => {
        const done = Math.min(1, step / (totalSteps - warmupSteps));
        const left = kind === "cosine" ? (1 + Math.cos(Math.PI * done)) / 2 : 1 - done;
        return finalRate + (rate - finalRate) * left;
      };
    }
    case "step": {
      const { every, factor = 0.1 } = options;
      check("every", every, every > 0, "must be above 0");
      check("factor", factor, factor >= 0, "must not be negative");
      return (step) => rate * factor ** Math.floor(step / every);
    }
  }
}

function check(option: string, value: number, holds: boolean, wish: string): void {
  if (!holds) throw new OptionError(`schedule ${option}: ${value} ${wish}`);
}
