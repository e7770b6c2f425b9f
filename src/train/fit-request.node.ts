import type { Trainable } from "../model/capabilities.ts";
import type { Deadline } from "../program/deadline.ts";
import type { State } from "../program/program.ts";
import type { FitData, Rows, TrainingBatches } from "./batches.ts";
import type { GradientPool } from "./gradient-parts.ts";
import type { ResolvedFitOptions } from "./options.ts";
import type { SampleOwners } from "./ranks/owners.ts";
import type { Ranks } from "./ranks/ranks.node.ts";
import type { RunFolder, RunProgress } from "./run-folder.node.ts";
import type { StepTracer } from "./step.ts";

// What a fit is given, what it reports, and what it comes to.

/** Where a fit stands; sent about four times a second. */
export interface FitProgress {
  readonly step: number;
  /** Steps at which training ends; undefined where it is limited by seconds alone. */
  readonly stepLimit?: number;
  readonly epoch: number;
  readonly seconds: number;
  readonly loss: number;
  readonly validationLoss?: number;
  /** Measures of the last validation, where the data has an evaluator. */
  readonly measures?: Readonly<Record<string, number>>;
  readonly samplesPerSecond: number;
  /** Undefined until the speed is known. */
  readonly secondsLeft?: number;
  /** Share of the budget that is used, 0 to 1. */
  readonly share: number;
  readonly stage: "compiling" | "training" | "mining" | "validating" | "drawing" | "saving" | "reporting";
  /** The part that is trained, where parts are trained one after the other. */
  readonly part?: string;
  /** The share that is done of what is mined, 0 to 1. */
  readonly mined?: number;
  /** While a run reports: what is drawn, measured or written now. */
  readonly doing?: string;
  /** The share of that which is done, 0 to 1, where it is known. */
  readonly done?: number;
}

/** How a fit stands. */
export interface FitStanding {
  readonly folder: string;
  readonly step: number;
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly parameters: number;
  readonly loss: number;
  readonly best?: NonNullable<RunProgress["best"]>;
}

/** What a fit comes to. */
export interface FitSummary extends FitStanding {
  /** Why it ended. */
  readonly reason: "limit" | "patience" | "stopped";
  /** Seconds that samples, measures and the report took, after training. */
  readonly reportSeconds?: number;
  /** Present where the run was stopped while it reported: its weights are saved, and `resume` writes the report. */
  readonly unreported?: true;
}

/** What a fit can be asked while it draws or reports, and given to pass on. */
export interface FitControl {
  readonly shouldStop: () => boolean;
  /** Takes what went wrong without ending the fit. */
  readonly warn: (message: string) => void;
  /** Ends what is drawn or measured: when its time is up, or the fit is to stop. */
  readonly deadline: Deadline;
  /** Takes what is drawn, measured or written now, and the share of it that is done. */
  readonly doing: (what: string, done?: number) => void;
}

/** A fit that is ready to run. */
export interface Fit {
  readonly model: Trainable;
  readonly data: FitData;
  readonly options: ResolvedFitOptions;
  readonly folder: RunFolder;
  /** Continue from the folder's checkpoint, bit for bit. */
  readonly resume: boolean;
  /** Weights to begin with, of every parameter and buffer; by default they are drawn by the seed. */
  readonly start?: State;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Takes what went wrong without ending the fit. */
  readonly onWarning?: (message: string) => void;
  /** Asked after every step; true ends the fit in good order. */
  readonly shouldStop?: () => boolean;
  /** Writes what a run shows before its first step, such as batches as they are fed. */
  readonly begin?: (control: FitControl) => Promise<void>;
  /**
   * Draws pictures of samples now and then. That a half-trained model cannot be sampled is a warning; only a failure of
   * the file system ends the fit.
   */
  readonly draw?: (weights: State, step: number, control: FitControl) => Promise<void>;
  /** Writes the page of the run as it stands after a checkpoint. */
  readonly tell?: (standing: FitStanding) => Promise<void>;
  /** Called when training has ended and all weights are saved, before `finish`. */
  readonly onTrained?: (summary: FitSummary) => void;
  /**
   * Writes what a run has besides weights, in the time that the option `report` gives it. Until it is done, the checkpoint does not count as
   * finished.
   */
  readonly finish?: (summary: FitSummary, control: FitControl) => Promise<void>;
  /** Makes the gradient pool of replicas; without it, parts are computed in this thread. */
  readonly replicaPool?: (tracer: StepTracer, source: TrainingBatches, share?: Rows) => Promise<GradientPool>;
  /** The other ranks of the job, of which this is rank 0. */
  readonly ranks?: Ranks;
  /** Which of them holds which training samples; all hold all where it is left out. */
  readonly owners?: SampleOwners;
}
