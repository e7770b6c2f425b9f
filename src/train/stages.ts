import type { Session } from "../program/program.ts";
import type { TrainingBatches } from "./batches.ts";
import type { Budget, StageSpan } from "./options.ts";

// Fits of several stages: parts of a model that are trained one after the other, each on batches that the parts before have helped to make.

/** A stage, and what it takes of a fit, relative to the other ones. */
export interface StageShare {
  readonly name: string;
  readonly share: number;
}

/** How many samples of each split the parts before have looked through for the batches of a stage. */
export interface StageSamples {
  readonly train: number;
  readonly validation: number;
}

/** What the batches of a stage are made with. */
export interface StageEntering {
  /** The weights as they are when the stage begins. Those of the parts before do not change any more. */
  readonly session: Session;
  /** Seconds that looking through the data may take; infinite where no seconds limit the fit, and where it goes on with a stage. */
  readonly seconds: number;
  /** What was looked through as the stage began, where a fit goes on with one for which there was no time for all. */
  readonly samples?: StageSamples | undefined;
  readonly shouldStop: () => boolean;
  /** Takes the share that is done of what is to be done first, 0 to 1. */
  readonly onShare: (share: number) => void;
}

/** What comes out as a stage begins. */
export interface StageEntry {
  /** Measures of the parts that are trained, for a row of metrics.csv. */
  readonly measures: Readonly<Record<string, number>>;
  /** What is to be known of them. */
  readonly warnings: readonly string[];
  /** What was looked through, where the time allowed less than was wanted. */
  readonly samples?: StageSamples | undefined;
}

/** Batches of several stages. */
export interface StagedBatches extends TrainingBatches {
  readonly stages: readonly [StageShare, ...StageShare[]];
  /**
   * Begins a stage: from now on, batches are those of it. What is made depends on the data, the seed, the weights of the parts before and the
   * samples that time allowed, so that a resumed fit makes the same.
   * @returns undefined where it was stopped; it has then to begin again
   */
  enter(stage: number, entering: StageEntering): Promise<StageEntry | undefined>;
}

/** Whether batches are of several stages. */
export function hasStages(batches: TrainingBatches & Partial<StagedBatches>): batches is StagedBatches {
  return batches.stages !== undefined && batches.enter !== undefined;
}

/** Where a stage has begun. */
export interface StageBeginning {
  readonly step: number;
  /** Of training. */
  readonly seconds: number;
  /** What was looked through for it, where the time allowed less than was wanted. */
  readonly samples?: StageSamples | undefined;
}

/** Part of the time that is left which looking through the data may take as a stage begins. */
export const LOOKING = 0.2;

/** Differences of shares that are of rounding. */
const ROUNDING = 1e-9;

/**
 * What of a budget the last stage that has begun takes: of what was left as it began, its part among the stages that are still to come. So
 * no stage is without its part where what comes before it has taken long.
 * @param begun where stages have begun, in order
 */
export function spanOf(
  stages: readonly StageShare[],
  begun: readonly StageBeginning[],
  budget: Budget,
): StageSpan {
  const stage = begun.length - 1;
  const { step = 0, seconds = 0 } = begun[stage] ?? {};
  const from = budget.share(step, seconds);
  const left = stages.slice(stage).reduce((sum, { share }) => sum + share, 0);
  const own = (stages[stage]?.share ?? 0) / left;
  const isLast = stage === stages.length - 1;
  return { firstStep: step, from, to: isLast ? 1 : from + (1 - from) * own };
}

/** Whether a stage has had its part of the budget after so many steps. */
export function isSpent({ firstStep, to }: StageSpan, step: number, budget: Budget): boolean {
  return step > firstStep && budget.share(step) >= to - ROUNDING;
}
