import { z } from "zod";
import { list, text } from "../../bounds.ts";
import type { FaultyRun, RunSummary } from "../../tasks/run/describe.node.ts";

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
