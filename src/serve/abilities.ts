import type { Row } from "../data/sources/memory.ts";
import type { NdArray } from "../tensor/array.ts";
import type { FoundIn } from "../use/types.ts";

// What a server can be asked, and what it answers: the words that routes, the queue and workers have in common. All of it is plain data, which
// goes from one process to another.

/** What a model is served for, the first one that it can do being its default. */
export const ABILITIES = [
  "detect",
  "score",
  "impute",
  "sample",
  "embed",
  "inpaint",
  "edit",
  "interpolate",
] as const;

export type { FoundIn } from "../use/types.ts";

export type ServedAbility = (typeof ABILITIES)[number];

/** Abilities that change samples: their answers are a series for each one that was sent, or for each pair. */
export type SeriesAbility = "inpaint" | "edit" | "interpolate";

/** A column of a model's table as clients see it. */
export type ServedColumn =
  | { readonly kind: "numeric" | "binary"; readonly name: string }
  | { readonly kind: "categorical"; readonly name: string; readonly categories: readonly string[] };

/** A model as clients see it. */
export interface ServedModel {
  readonly name: string;
  /** The model of the catalogue: spline-flow, yolo. */
  readonly model: string;
  readonly abilities: readonly ServedAbility[];
  /** What a sample is: a row of named columns (points are rows of x and y), or a picture. */
  readonly sample:
    | { readonly kind: "rows"; readonly columns: readonly ServedColumn[] }
    | { readonly kind: "picture"; readonly shape: readonly number[]; readonly binary: boolean };
  /** Names of the classes; empty where there are none. */
  readonly classes: readonly string[];
  /** Columns that samples are drawn under the values of. */
  readonly given: readonly string[];
  /** Names of the options that its sampler takes. */
  readonly sampleOptions: readonly string[];
  /** Shape of the features of one sample in the layer `code`, where it has features. */
  readonly features?: readonly number[];
  /** Whether it can be told which cells make a row odd. */
  readonly reasons: boolean;
  /** Whether its samples can be shown as they form. */
  readonly forms: boolean;
  /** Step of training that the weights are of; undefined where their file does not record it. */
  readonly version: string | undefined;
  /** Abilities whose requests are computed together: those whose results do not depend on what else is computed. */
  readonly merged: readonly ServedAbility[];
}

/** Samples that a request brings. */
export type Brought =
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  /** Files of images. */
  | { readonly kind: "files"; readonly files: readonly Uint8Array[] }
  /** Numbers as the model sees them: of pictures 0 … 255. */
  | { readonly kind: "array"; readonly x: NdArray<"float32"> };

/** How many samples a request brings. */
export function countOf(samples: Brought): number {
  if (samples.kind === "rows") return samples.rows.length;
  return samples.kind === "files" ? samples.files.length : (samples.x.shape[0] ?? 0);
}

/** What of pictures is to be drawn anew: a half, or where a mask [1 or n, height, width] is 1. */
export type Unknown =
  | { readonly kind: "half"; readonly half: "top" | "bottom" | "left" | "right" }
  | { readonly kind: "mask"; readonly mask: NdArray<"float32"> };

/** What a worker is asked to do with a model. */
export type Work =
  | {
      readonly kind: "detect";
      readonly files: readonly Uint8Array[];
      /** Whether a picture of the first file with boxes is the answer. */
      readonly picture: boolean;
      readonly options: {
        readonly confidence?: number | undefined;
        readonly iou?: number | undefined;
        readonly maximum?: number | undefined;
      };
    }
  | {
      readonly kind: "score";
      readonly samples: Brought;
      readonly seed: number;
      /** Of so many rows, the oddest ones, the cells that make them odd are told. */
      readonly why: number;
    }
  | {
      readonly kind: "impute";
      readonly rows: readonly Row[];
      readonly options: {
        readonly draws: number;
        readonly seed: number;
        readonly label?: number | undefined;
      };
    }
  | {
      readonly kind: "sample";
      /** Whether a grid of them as one picture is the answer. */
      readonly picture: boolean;
      /** So many states of samples as they form are the answer, at most. */
      readonly states?: number | undefined;
      readonly options: { readonly count: number; readonly seed: number } & Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: "embed";
      readonly samples: Brought;
      readonly seed: number;
      readonly layer: { readonly layer: string; readonly pool: "none" | "mean" };
    }
  | SeriesWork;

/** Work on samples whose answer is samples. */
export type SeriesWork = {
  readonly samples: Brought;
  /** Whether one picture of all is the answer. */
  readonly picture: boolean;
} & (
  | {
      readonly kind: "inpaint";
      readonly unknown: Unknown;
      readonly options: {
        readonly draws: number;
        readonly seed: number;
        readonly label?: number | undefined;
        readonly steps?: number | undefined;
      };
    }
  | {
      readonly kind: "edit";
      readonly options: {
        readonly strength: number;
        readonly draws: number;
        readonly seed: number;
        readonly label?: number | undefined;
        readonly steps?: number | undefined;
      };
    }
  | {
      readonly kind: "interpolate";
      readonly options: { readonly steps: number; readonly label?: number | undefined };
    }
);

/** A cell of a table that a model has made. */
export type MadeCell = string | number | null;

/** Why a row is odd: its cells, the one that adds most first. */
export interface OddRow {
  /** Its position among those that were sent. */
  readonly row: number;
  readonly reasons: readonly {
    readonly column: string;
    readonly cell: MadeCell;
    /** How much likelier the row would be with another cell in its place, in nats. */
    readonly nats: number;
    /** The cell of those that were tried with which the row is likeliest. */
    readonly usual: MadeCell;
  }[];
}

/** What a worker answers. */
export type Answer =
  | { readonly kind: "found"; readonly images: readonly FoundIn[] }
  | { readonly kind: "picture"; readonly type: "image/jpeg" | "image/png"; readonly bytes: Uint8Array }
  | {
      readonly kind: "scores";
      readonly logLikelihood: Float64Array;
      /** The oddest rows, where they were asked for. */
      readonly why?: readonly OddRow[];
    }
  | {
      readonly kind: "table";
      readonly names: readonly string[];
      readonly rows: readonly (readonly MadeCell[])[];
    }
  | { readonly kind: "array"; readonly array: NdArray<"float32"> };

/** An answer with the step of training of the weights that made it. */
export interface Answered {
  readonly answer: Answer;
  readonly version: string | undefined;
}

/** A request for a worker. */
export interface Job {
  readonly id: number;
  readonly model: string;
  readonly work: Work;
  /** Milliseconds since 1970 after which nobody waits for the answer. */
  readonly deadline: number;
}

/** Requests that are computed together have the same key; undefined where each is computed by itself. */
export function mergeKey({ name, merged }: ServedModel, work: Work): string | undefined {
  if (!merged.includes(work.kind)) return undefined;
  switch (work.kind) {
    case "detect":
      return JSON.stringify([name, work.kind, work.options]);
    case "score":
      return work.why > 0 ? undefined : JSON.stringify([name, work.kind]);
    case "embed":
      return JSON.stringify([name, work.kind, work.layer]);
    default:
      return undefined;
  }
}
