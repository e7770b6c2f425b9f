import { columnsSchema } from "../../data/sources/columns.ts";
import type { Split, SplitName } from "../../data/sources/data-set.ts";
import type { Shard } from "../../data/sources/shard.ts";
import { logUnits } from "../../data/table/codec/index.ts";
import { OptionError } from "../../errors.ts";
import { bitsPerDimension } from "../../metrics/likelihood.ts";
import type { BoundTerm, ScoreParts } from "../../model/capabilities.ts";
import { Random } from "../../random.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import {
  fewRows,
  readSource,
  readSplit,
  SOURCE_BATCH,
  type Source,
  type SourceBatch,
} from "../run/inputs.node.ts";
import { isClassConditional, type LoadedRun, refuse } from "../run/load.node.ts";

/** Log-likelihoods of consecutive rows. */
export interface ScoreBatch {
  readonly firstRow: number;
  /** Nats a sample; for tables in the table's own units, for images of the bytes. */
  readonly logLikelihood: Float64Array;
  /** What the log-likelihood is the negative sum of, in nats, where a bound has parts. */
  readonly parts?: ScoreParts["parts"];
  /** The same sum term by term, where the parts have many. */
  readonly terms?: readonly BoundTerm[];
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
  /** What the column of zeros and ones holds, where one was asked for. */
  readonly marks?: Uint8Array;
}

/** How scores are measured. */
export interface ScoreOptions {
  /** Seed of dequantization noise. */
  readonly seed?: number;
  /** The split to score, where the data has splits; default: test. */
  readonly split?: SplitName;
  /**
   * Whether the data's classes are given to the model, which gives log p(x | class). Without, a conditional model gives
   * log p(x), the mixture of its classes by their shares.
   */
  readonly conditional?: boolean;
  /** A column of the table that holds 0 or 1, to be handed over with the scores. */
  readonly marks?: string | undefined;
  /**
   * Of a ranking: by −log-likelihood, or by how far the features of a sample are from the nearest ones of training samples. Default: likelihood.
   */
  readonly by?: "likelihood" | "features";
  /** By features: the nearest training samples whose mean distance counts; default: 5. */
  readonly neighbors?: number;
  /** Scores the samples of a shard alone: the same numbers as without, of whole batches. Not of a ranking. */
  readonly shard?: Shard | undefined;
  /**
   * Of a ranking of a folder of images: names of its subfolders whose images are normal. Those in other subfolders are anomalies, by which the
   * ranking is measured.
   */
  readonly normal?: readonly string[] | undefined;
  /** Called with the path of each image that cannot be read, and is left out. */
  readonly onUnreadable?: (file: string) => void;
}

/** Bits per dimension of log-likelihoods of images in bytes. */
export function imageBits(run: LoadedRun, logLikelihood: number): number {
  return bitsPerDimension(logLikelihood, elementCount(run.config.dataInfo.sampleShape));
}

/**
 * What to add to log-densities of samples to get the log-likelihoods of rows in the table's units: of the columns that
 * the model has a density of, not of those that it is given.
 */
function unitsOf({ config }: LoadedRun): (x: NdArray<"float32">) => Float64Array {
  const { columns: stored, sampleShape } = config.dataInfo;
  const size = elementCount(sampleShape);
  const all = stored === undefined ? [] : columnsSchema.parse(stored);
  const { given } = config.modelOptions;
  const modeled = new Set(all.filter(({ name }) => !(Array.isArray(given) && given.includes(name))));
  return (x) =>
    Float64Array.from({ length: x.shape[0] ?? 0 }, (_, row) => logUnits(all, x.data, row * size, modeled));
}

/**
 * A function from samples to log-densities in the units in which the model sees them: by the model's own method of
 * scoring where it has one (an adaptive solver, say), otherwise by the graph of its log-density.
 * @throws OptionError where the model has no likelihood
 */
export function logDensity(
  run: LoadedRun,
): (
  inputs: { readonly x: NdArray<"float32">; readonly label?: NdArray<"int64"> },
  random: Random,
) => Promise<NdArray<"float32">> {
  const { model, session } = run;
  if (model.logProb === undefined) return refuse(run, "compute a likelihood");
  const own = model.score?.bind(model);
  if (own !== undefined) {
    return ({ x, label }, random) => {
      const seed = random.integer(2 ** 31);
      return own(session, x, { seed, ...(label !== undefined && { label }) });
    };
  }
  const logProb = model.logProb.bind(model);
  const compiled = session.compiled(model, "logProb", ["x", "label?"], ({ x, label }) => ({
    logProb: logProb(x, label),
  }));
  return async (inputs, random) =>
    (await compiled.run({ ...inputs }, { random })).logProb as NdArray<"float32">;
}

/** Negative sums of parts, row by row. */
function negativeSum(parts: Readonly<Record<string, Float64Array>>, rows: number): Float64Array {
  const total = new Float64Array(rows);
  for (const part of Object.values(parts))
    for (const i of total.keys()) total[i] = (total[i] ?? 0) - (part[i] ?? 0);
  return total;
}

/**
 * A function from samples to log-likelihoods that pads the last batch, so that one program serves all; not where a batch
 * takes longer than a new program.
 * @param padded how many rows a program has for so many samples
 */
function scorer(
  run: LoadedRun,
  seed: number,
  padded: (count: number) => number = () => SOURCE_BATCH,
): (
  batch: Pick<SourceBatch, "x" | "label" | "position">,
) => Promise<Pick<ScoreBatch, "logLikelihood" | "parts" | "terms">> {
  const density = logDensity(run);
  const partsOf = run.model.scoreParts?.bind(run.model);
  const size = elementCount(run.config.dataInfo.sampleShape);
  const random = new Random(seed).split("score");
  const unitsIn = unitsOf(run);
  return async ({ x, label, position }) => {
    const count = x.shape[0] ?? 0;
    const rows = run.model.scoresSlowly ? count : padded(count);
    const inputs = {
      x: count === rows ? x : padRows(x, rows, size),
      ...(label !== undefined && { label: padLabels(label, rows) }),
    };
    const own = random.split(position);
    const units = unitsIn(x);
    if (partsOf !== undefined) {
      const { parts, terms } = await partsOf(run.session, inputs.x, {
        seed: own.integer(2 ** 31),
        ...(inputs.label !== undefined && { label: inputs.label }),
      });
      return {
        logLikelihood: negativeSum(parts, count).map((value, i) => value + (units[i] ?? 0)),
        parts,
        ...(terms && { terms }),
      };
    }
    const values = await density(inputs, own);
    return {
      logLikelihood: Float64Array.from(values.data.subarray(0, count), (value, i) => value + (units[i] ?? 0)),
    };
  };
}

function padRows(x: NdArray<"float32">, rows: number, size: number): NdArray<"float32"> {
  const data = new Float32Array(rows * size);
  data.set(x.data);
  return float32(data, [rows, ...x.shape.slice(1)]);
}

function padLabels(label: NdArray<"int64">, rows: number): NdArray<"int64"> {
  const data = new BigInt64Array(rows);
  data.set(label.data);
  return { dtype: "int64", shape: [rows], data };
}

/**
 * Log-likelihoods of samples [n, …sampleShape] in data units, as `score` measures those of some data. Few samples go through a program of
 * few rows, so that one sample does not take the time of many.
 * @throws OptionError where the model has no likelihood
 */
export async function scoreSamples(
  run: LoadedRun,
  x: NdArray<"float32">,
  { seed = 0 }: Pick<ScoreOptions, "seed"> = {},
): Promise<Float64Array> {
  const score = scorer(run, seed, fewRows);
  const [count = 0, ...shape] = x.shape;
  const size = elementCount(shape);
  const all = new Float64Array(count);
  for (let firstRow = 0; firstRow < count; firstRow += SOURCE_BATCH) {
    const held = Math.min(SOURCE_BATCH, count - firstRow);
    const part = float32(x.data.subarray(firstRow * size, (firstRow + held) * size), [held, ...shape]);
    all.set((await score({ x: part, position: firstRow })).logLikelihood, firstRow);
  }
  return all;
}

/** Scores of batches, in order. */
async function* scoreBatches(
  run: LoadedRun,
  batches: AsyncIterable<SourceBatch> | Iterable<SourceBatch>,
  { seed = 0, conditional = false }: ScoreOptions,
): AsyncGenerator<ScoreBatch> {
  const score = scorer(run, seed);
  for await (const { x, label, firstRow, position, files, marks } of batches) {
    if (conditional && label === undefined)
      throw new OptionError("option conditional: the data has no classes");
    yield {
      firstRow,
      ...(await score({ x, position, ...(conditional && label !== undefined && { label }) })),
      ...(files !== undefined && { files }),
      ...(marks !== undefined && { marks }),
    };
  }
}

/**
 * Log-likelihoods of a split, batch by batch.
 * @param batchSize default: as many as one program takes
 * @throws OptionError where the model has none, or the split is empty
 */
export function scoreSplit(
  run: LoadedRun,
  split: Split,
  seed = 0,
  batchSize = SOURCE_BATCH,
): AsyncGenerator<ScoreBatch> {
  return scoreBatches(run, readSplit(split, batchSize), { seed });
}

/**
 * Log-likelihood of every sample of some data, as `readSource` reads it.
 * @throws OptionError where the model has no likelihood, the data is of another kind, or classes are to be given and the
 * model or the data knows none; DataError
 */
export async function* score(
  run: LoadedRun,
  source: Source | undefined,
  options: ScoreOptions = {},
): AsyncGenerator<ScoreBatch> {
  if (run.model.logProb === undefined) refuse(run, "compute a likelihood");
  const { conditional = false, ...reading } = options;
  if (conditional && !isClassConditional(run)) {
    throw new OptionError(
      `option conditional: ${run.config.model} was fitted without classes (fit it with --conditional)`,
    );
  }
  yield* scoreBatches(run, readSource(run, source, { ...reading, labels: conditional }), options);
}
