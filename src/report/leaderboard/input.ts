import type { MeanLikelihood } from "../../metrics/index.ts";
import type { Picture } from "../page/page.ts";

/** Which values of a measure are good: low ones, high ones, those near a value, or none in particular. */
export type Better =
  | { readonly kind: "lower" | "higher" | "none" }
  | { readonly kind: "near"; readonly value: number };

/** A column of distances between drawn and held-out samples. */
export interface LeaderboardMeasure {
  readonly key: string;
  readonly name: string;
  /** For the head of a column. */
  readonly short: string;
  readonly better: Better;
  /** Default: those that its values call for. */
  readonly decimals?: number;
  /** What it tells. */
  readonly meaning: string;
  /** What it was measured on: counts of samples, the space. */
  readonly basis?: string;
  /** Whether it stands in the leaderboard itself, not only in the table of all distances. */
  readonly headline: boolean;
}

/** Values of measures by their keys; a measure that was not taken is left out. */
export type MeasureValues = Readonly<Record<string, number>>;

/** How long a model takes to draw 1,000 samples. */
export interface SamplingTime {
  readonly seconds: number;
  /** Whether a draw of the same size came before, so that compiling is not in it. */
  readonly warm: boolean;
}

/** A model of the comparison. */
export type LeaderboardRow =
  | {
      readonly status: "finished";
      readonly name: string;
      /** Options that differ from the model's own, as a text. */
      readonly options?: string;
      /** From 1; undefined where it has no value of the measure that is ranked by. */
      readonly rank?: number;
      /** Exact or a bound; undefined for a model without a density. */
      readonly likelihood?: MeanLikelihood;
      /** What the likelihood is of, where that is not plain: "uniformly dequantized bytes". */
      readonly likelihoodDetail?: string;
      readonly distances: MeasureValues;
      /** Seconds of training. */
      readonly trainingSeconds: number;
      readonly steps: number;
      /** Step of the weights that were measured. */
      readonly weightsStep: number;
      /** Undefined for a model that cannot draw. */
      readonly sampling?: SamplingTime;
      readonly parameters: number;
      /** The report of its run, relative to the page. */
      readonly report?: string;
    }
  | { readonly status: "failed"; readonly name: string; readonly reason: string }
  | { readonly status: "waiting"; readonly name: string };

/** What no model has made: numbers to read the others by. */
export interface LeaderboardControl {
  readonly name: string;
  readonly meaning: string;
  readonly likelihood?: MeanLikelihood;
  readonly distances: MeasureValues;
}

/** One picture of several beside each other. */
export interface LeaderboardPanel {
  readonly name: string;
  readonly caption: string;
  readonly picture: Picture;
  /** Its file, relative to the page. */
  readonly file: string;
}

/** Pictures beside each other. */
export interface LeaderboardGallery {
  readonly title: string;
  readonly note: string;
  /** Whether the pictures are as wide as the page, one below the other. */
  readonly wide: boolean;
  /** The density at the end of the color scale of its pictures. */
  readonly top?: number;
  readonly panels: readonly LeaderboardPanel[];
}

/** All that a leaderboard shows: plain values. */
export interface Leaderboard {
  readonly data: string;
  /** Lines about the data: size, splits. */
  readonly dataDescription: readonly string[];
  /** Options of the data that are not the default, as a text. */
  readonly dataOptions?: string;
  /** The split that all numbers are of, and how many samples it has. */
  readonly split: string;
  readonly splitCount: number;
  /** What each model was given: "20 seconds", "500 steps". */
  readonly budget: string;
  /** Of training, samples and measurements. */
  readonly seed: number;
  readonly date: Date;
  /** Of eidos. */
  readonly version: string;
  /** Where it ran. */
  readonly machine: string;
  /** How rows are ranked. */
  readonly rule: string;
  readonly measures: readonly LeaderboardMeasure[];
  /** In the order of ranks; those without a rank, failed and waiting ones last. */
  readonly rows: readonly LeaderboardRow[];
  readonly controls: readonly LeaderboardControl[];
  readonly galleries: readonly LeaderboardGallery[];
  /** The command that makes it again, or goes on with it. */
  readonly command: string;
}
