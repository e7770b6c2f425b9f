import { isPicture } from "../data/sources/data-set.ts";
import { findMarks } from "../data/table/stream.node.ts";
import { areaUnderRoc, averagePrecision, descendingOrder } from "../metrics/index.ts";
import type { OpenRun } from "./run.node.ts";
import { type ScoreOptions, score } from "./score.node.ts";
import { sampleColumns, tablePlace } from "./source.node.ts";

/** Columns that are taken for labels where none is named. */
const LABEL_COLUMNS = ["anomaly", "label"] as const;

/** How well a ranking finds the rows that are labeled 1. */
export interface AnomalyMeasures {
  /** The column of labels. */
  readonly column: string;
  readonly anomalies: number;
  /** Undefined where all labels are the same. */
  readonly areaUnderRoc: number | undefined;
  readonly averagePrecision: number | undefined;
}

/** Samples from the most unusual to the most usual. */
export interface AnomalyRanking {
  /** −log-likelihood of every sample, in order of the data. */
  readonly scores: Float64Array;
  /** Places of the samples, the most unusual first. */
  readonly order: Uint32Array;
  /** Paths of images within their folder, in order of the data. */
  readonly files: readonly string[] | undefined;
  readonly measures: AnomalyMeasures | undefined;
}

/**
 * Ranks the samples of some data by −log-likelihood: what the model holds for least probable comes first. A sample
 * whose likelihood is 0 or too small for float32 has the score ∞. Scores are kept, samples are not.
 * @param options `marks` names the column of labels, 1 for an anomaly; where it is left out, a column of zeros and ones
 *   called `anomaly` or `label` is taken that the model does not know
 * @throws as `score`; DataError where a label is neither 0 nor 1
 */
export async function rankAnomalies(
  run: OpenRun,
  source: string | undefined,
  options: ScoreOptions = {},
): Promise<AnomalyRanking> {
  const marks = options.marks ?? (await findLabels(run, source));
  const scores: number[] = [];
  const labels: number[] = [];
  const files: string[] = [];
  for await (const batch of score(run, source, { ...options, marks })) {
    for (const value of batch.logLikelihood) scores.push(Number.isNaN(value) ? Infinity : -value);
    for (const label of batch.marks ?? []) labels.push(label);
    files.push(...(batch.files ?? []));
  }
  return {
    scores: Float64Array.from(scores),
    order: descendingOrder(scores),
    files: files.length === 0 ? undefined : files,
    measures: marks === undefined ? undefined : measure(marks, scores, labels),
  };
}

function measure(column: string, scores: readonly number[], labels: readonly number[]): AnomalyMeasures {
  const anomalies = labels.reduce((sum, label) => sum + label, 0);
  const both = anomalies > 0 && anomalies < labels.length;
  return {
    column,
    anomalies,
    areaUnderRoc: both ? areaUnderRoc(scores, labels) : undefined,
    averagePrecision: both ? averagePrecision(scores, labels) : undefined,
  };
}

/** A column of labels that nobody has named: one of the usual names that the model does not know. */
async function findLabels(run: OpenRun, source: string | undefined): Promise<string | undefined> {
  const place = tablePlace(source);
  if (place === undefined || isPicture(run.config.dataInfo)) return undefined;
  const known: readonly unknown[] = [
    ...sampleColumns(run.config.dataInfo).map(({ name }) => name),
    ...(run.config.modelOptions.conditional === true ? [run.config.dataOptions.label] : []),
  ];
  return findMarks(
    place,
    LABEL_COLUMNS.filter((name) => !known.includes(name)),
  );
}
