import { z } from "zod";
import { list, text } from "../../bounds.ts";
import type { NamedData } from "../../data/catalog.ts";
import type { FitKind } from "../../model/data-info.ts";
import type { Purpose } from "../../model/definition.ts";
import { PRECISIONS } from "../../tasks/export/precision.node.ts";
import type { FaultyRun, RunSummary } from "../../tasks/run/describe.node.ts";
import type { FitProgress } from "../../train/fit-request.node.ts";

// What the server of the studio and its page tell each other.

/** What a person writes to a run. */
export const runNotes = z.strictObject({
  text: z.string().max(4000).default(""),
  tags: list(text().regex(/^[^,\s][^,]{0,39}$/, "1 to 40 characters without a comma"), 20).default([]),
});

export type RunNotes = z.output<typeof runNotes>;

/** A run of the list. */
export type ListedRun = (RunSummary | FaultyRun) & {
  readonly name: string;
  readonly tags: readonly string[];
};

/** Rows of metrics.csv from one of them on; a cell without a number is null. */
export interface MetricRows {
  readonly columns: readonly string[];
  readonly from: number;
  readonly total: number;
  readonly rows: readonly (readonly (number | null)[])[];
}

/** A picture that a fit has drawn. */
export interface RunPicture {
  readonly file: string;
  /** Step that it was drawn at, where its name tells. */
  readonly step?: number;
}

/** How a run was made, what is noted of it, and its pictures. */
export interface RunDetails {
  readonly model: string;
  readonly data: string;
  readonly created: string;
  /** Version of eidos. */
  readonly eidos: string;
  /** Of the model, the data and the fit. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly about: {
    readonly kind: string;
    readonly marks?: string | undefined;
    readonly classNames?: readonly string[] | undefined;
    readonly trainCount: number;
  };
  readonly notes: RunNotes;
  readonly pictures: readonly RunPicture[];
  readonly hasReport: boolean;
}

/** The runs of a folder. */
export interface RunList {
  readonly folder: string;
  readonly runs: readonly ListedRun[];
}

/** Data that a fit can be begun with: a name of the catalogue, or what lies in the folder of data. */
export interface OfferedData {
  readonly name: string;
  readonly kind: NamedData["kind"] | "folder";
  readonly about?: string;
}

/** A model that can be fitted. */
export interface OfferedModel {
  readonly name: string;
  readonly summary: string;
  readonly purpose: Purpose;
  readonly dataKinds: readonly FitKind[];
}

/** An option as a field of a form. */
export type FormField = {
  readonly name: string;
  readonly description: string;
  /** Whether it is one of those that one changes most. */
  readonly isUsual: boolean;
  /** The default as JSON. */
  readonly initial?: string;
} & (
  | { readonly kind: "boolean" | "text" | "texts" | "numbers" }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "integer" | "number"; readonly minimum?: number; readonly maximum?: number }
);

/** The options of a model. */
export interface FitForm {
  readonly groups: readonly {
    readonly of: "training" | "data" | "model";
    readonly fields: readonly FormField[];
  }[];
}

/** A fit that the page asks for. */
export const askedFit = z.strictObject({
  model: text().min(1),
  data: text().min(1),
  name: z
    .string()
    .regex(
      /^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,99}$/u,
      "letters, digits, _, -, . and spaces, 100 at most, and none of the latter first",
    )
    .optional(),
  options: z.record(z.string(), z.unknown()).default({}),
});

export type AskedFit = z.input<typeof askedFit>;
export type CheckedFit = z.output<typeof askedFit>;

/** A fit that the page has begun, or that waits for its turn. */
export interface StudioFit {
  /** The name of its run. */
  readonly name: string;
  readonly state: "waiting" | "running" | "done" | "failed";
  readonly progress?: FitProgress;
  /** What went wrong without ending it, the latest last. */
  readonly warnings: readonly string[];
  /** Why it failed. */
  readonly error?: string;
}

/** How a run is exported. */
export const askedExport = z.strictObject({
  precision: z.enum(PRECISIONS).default("fp32"),
  page: z.boolean().default(false),
});

export type AskedExport = z.output<typeof askedExport>;

/** What was written. */
export interface ExportedRun {
  /** The folder. */
  readonly path: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}
