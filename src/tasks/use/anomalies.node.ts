import { isPicture } from "../../data/sources/data-set.ts";
import { findMarks } from "../../data/table/stream.node.ts";
import { OptionError } from "../../errors.ts";
import { areaUnderRoc, averagePrecision, descendingOrder } from "../../metrics/index.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import {
  gathered,
  readSource,
  SOURCE_BATCH,
  type Source,
  sampleColumns,
  tableInput,
} from "../run/inputs.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { embedding, joined } from "./embed.node.ts";
import { oddities } from "./neighbors.node.ts";
import { hasReasons, type Reasons, reasonsOf, rowsAt } from "./reasons.node.ts";
import { type ScoreBatch, type ScoreOptions, score } from "./score.node.ts";

// Samples from the most unusual to the most usual.

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
  /** −log-likelihood, or distance of features, of every sample, in order of the data. */
  readonly scores: Float64Array;
  /** Positions of the samples, the most unusual first. */
  readonly order: Uint32Array;
  /** Paths of images within their folder, in order of the data. */
  readonly files: readonly string[] | undefined;
  readonly measures: AnomalyMeasures | undefined;
  /** Why the first samples of `order` are there, where it was asked for and the model can tell. */
  readonly why?: Reasons;
}

/** How samples are ranked. */
export interface AnomalyOptions extends ScoreOptions {
  /**
   * How many of the most unusual rows of a table, 1,000 at most, get reasons: the columns that make them odd. Default: 0. Left out where there are none: of images, of
   * points, and of features.
   */
  readonly why?: number;
}

/**
 * Ranks the samples of some data by −log-likelihood, what the model holds for least probable first, or by the distance of features. A sample
 * whose likelihood is 0 or too small for float32 has the score ∞. Scores are kept, samples are not.
 * @param options `marks` names the column of labels, 1 for an anomaly; where it is left out, a column of zeros and ones
 *   called `anomaly` or `label` is taken that the model does not know
 * @throws as `score`; DataError where a label is neither 0 nor 1
 */
export async function rankAnomalies(
  run: LoadedRun,
  given: Source | undefined,
  { why = 0, ...options }: AnomalyOptions = {},
): Promise<AnomalyRanking> {
  if (options.shard !== undefined) {
    throw new OptionError(
      "option shard: a ranking is of all samples; score the shards, merge them, and order the scores",
    );
  }
  // What comes bit by bit comes once, and is read more than once.
  const source = await gathered(given);
  const marks = options.marks ?? (await findLabels(run, source));
  const scores: number[] = [];
  const labels: number[] = [];
  const files: string[] = [];
  const { by = "likelihood" } = options;
  const batches =
    by === "features"
      ? featureDistances(run, source, { ...options, marks })
      : score(run, source, { ...options, marks });
  for await (const batch of batches) {
    for (const value of batch.logLikelihood) scores.push(Number.isNaN(value) ? Infinity : -value);
    for (const label of batch.marks ?? []) labels.push(label);
    files.push(...(batch.files ?? []));
  }
  const order = descendingOrder(scores);
  const explained =
    by === "likelihood" && hasReasons(run) ? order.subarray(0, Math.min(why, MOST_EXPLAINED)) : [];
  const { seed = 0, split, normal } = options;
  const reasons =
    explained.length === 0
      ? undefined
      : await reasonsOf(run, await rowsAt(run, source, explained, { seed, ...(split && { split }) }), {
          seed,
        });
  return {
    scores: Float64Array.from(scores),
    order,
    files: files.length === 0 ? undefined : files,
    measures:
      normal !== undefined
        ? measure(`subfolders other than ${normal.join(", ")}`, scores, folderLabels(files, normal))
        : marks === undefined
          ? undefined
          : measure(marks, scores, labels),
    ...(reasons && { why: reasons }),
  };
}

/** 1 for images in no subfolder that is normal. @throws OptionError where there are no images, or none in such a folder */
function folderLabels(files: readonly string[], normal: readonly string[]): readonly number[] {
  if (files.length === 0) {
    throw new OptionError("option normal: is of a folder of images with subfolders; name one as the data");
  }
  const folders = files.map((file) => file.split("/").slice(0, -1));
  const missing = normal.find((name) => !folders.some((parts) => parts.includes(name)));
  if (missing !== undefined) {
    const there = [...new Set(folders.flat())].slice(0, 8).join(", ");
    throw new OptionError(
      `option normal: no image is in a subfolder ${missing}${there === "" ? "" : ` (there are ${there})`}`,
    );
  }
  return folders.map((parts) => (parts.some((part) => normal.includes(part)) ? 0 : 1));
}

/** Rows that get reasons at most: each takes scores of many others. */
const MOST_EXPLAINED = 1000;

/** Training samples whose features are compared with, at most. */
const COMPARED = 20_000;

/** As `score`, with minus the distance of features in place of a log-likelihood. */
async function* featureDistances(
  run: LoadedRun,
  source: Source | undefined,
  { neighbors = 5, conditional, marks, normal: _, ...reading }: ScoreOptions,
): AsyncGenerator<Pick<ScoreBatch, "logLikelihood" | "files" | "marks">> {
  if (conditional) throw new OptionError("option conditional: is of likelihoods; leave it out");
  const features = embedding(run);
  const train = (await run.data()).splits.train;
  const chosen = new Random(reading.seed ?? 0)
    .split("compared")
    .permutation(train.count)
    .subarray(0, COMPARED);
  const parts: NdArray<"float32">[] = [];
  for (let first = 0; first < chosen.length; first += SOURCE_BATCH) {
    parts.push(await features(train.batch(chosen.subarray(first, first + SOURCE_BATCH)).x));
  }
  const known = joined(parts);
  for await (const { x, files, marks: held } of readSource(run, source, { ...reading, marks })) {
    yield {
      logLikelihood: oddities(await features(x), known, neighbors).map((far) => -far),
      ...(files !== undefined && { files }),
      ...(held !== undefined && { marks: held }),
    };
  }
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
async function findLabels(run: LoadedRun, source: Source | undefined): Promise<string | undefined> {
  const input = await tableInput(await gathered(source), run);
  if (input === undefined || isPicture(run.config.dataInfo)) return undefined;
  const known: readonly unknown[] = [
    ...sampleColumns(run.config.dataInfo).map(({ name }) => name),
    ...(run.config.modelOptions.conditional === true ? [run.config.dataOptions.label] : []),
  ];
  return findMarks(
    input,
    LABEL_COLUMNS.filter((name) => !known.includes(name)),
  );
}
