import { stat } from "node:fs/promises";
import { type Column, columnsSchema, logScale } from "../data/columns.ts";
import { type DataSet, range, type Split, type SplitName } from "../data/data-set.ts";
import { isQuery, isTablePath } from "../data/duckdb.node.ts";
import { streamImages } from "../data/image-stream.node.ts";
import { openData } from "../data/open.node.ts";
import { streamTable } from "../data/table.node.ts";
import { OptionError } from "../errors.ts";
import { bitsPerDimension } from "../metrics/index.ts";
import { Random } from "../random.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";
import { type OpenRun, refuse } from "./run.node.ts";

/** Samples of one program run. */
const BATCH = 256;

/** Log-likelihoods of consecutive rows. */
export interface ScoreBatch {
  readonly firstRow: number;
  /** Nats a sample; for tables in the table's own units, for images of the bytes. */
  readonly logLikelihood: Float64Array;
  /** Paths of the images within their folder. */
  readonly files?: readonly string[];
}

/** How scores are measured. */
export interface ScoreOptions {
  /** Seed of dequantisation noise. */
  readonly seed?: number;
  /** The split to score, where the data has splits; the test split unless told. */
  readonly split?: SplitName;
  /** Told the path of each image that cannot be read, and is left out. */
  readonly onUnreadable?: (file: string) => void;
}

/** Bits per dimension of log-likelihoods of images in bytes. */
export function imageBits(run: OpenRun, logLikelihood: number): number {
  return bitsPerDimension(logLikelihood, elementCount(run.config.dataInfo.sampleShape));
}

/**
 * A function from samples to log-likelihoods that pads the last batch, so that one program serves all.
 * @throws OptionError where the model has no likelihood
 */
function scorer(
  run: OpenRun,
  seed: number,
): (x: NdArray<"float32">, firstRow: number) => Promise<Float64Array> {
  const { model, session, config } = run;
  if (model.logProb === undefined) return refuse(run, "tell a likelihood");
  const logProb = model.logProb.bind(model);
  const compiled = session.compiled("logProb", ({ x }: { readonly x: Tensor }) => ({ logProb: logProb(x) }));
  const size = elementCount(config.dataInfo.sampleShape);
  const random = new Random(seed).split("score");
  return async (x, firstRow) => {
    const count = x.shape[0] ?? 0;
    const padded = count === BATCH ? x : padRows(x, BATCH, size);
    const { logProb: values } = await compiled.run({ x: padded }, { random: random.split(firstRow) });
    return Float64Array.from(values.data.subarray(0, count) as Float32Array);
  };
}

function padRows(x: NdArray<"float32">, rows: number, size: number): NdArray<"float32"> {
  const data = new Float32Array(rows * size);
  data.set(x.data);
  return float32(data, [rows, ...x.shape.slice(1)]);
}

/** Log-likelihoods of a split, batch by batch. @throws OptionError where the model has none, or the split is empty */
export async function* scoreSplit(run: OpenRun, split: Split, seed = 0): AsyncGenerator<ScoreBatch> {
  const score = scorer(run, seed);
  if (split.count === 0) throw new OptionError("option split: this split is empty; choose another");
  const columns = run.config.dataInfo.columns && columnsSchema.parse(run.config.dataInfo.columns);
  const shift = columns === undefined ? 0 : logScale(columns);
  for (let first = 0; first < split.count; first += BATCH) {
    const count = Math.min(BATCH, split.count - first);
    const { x } = split.batch(range(first, count));
    yield { firstRow: first, logLikelihood: (await score(x, first)).map((value) => value - shift) };
  }
}

/** Log-likelihoods of the rows of a table of any size, in constant memory. */
async function* scoreTable(
  run: OpenRun,
  place: { path: string } | { sql: string },
  seed: number,
): AsyncGenerator<ScoreBatch> {
  const { dataInfo } = run.config;
  const columns: readonly Column[] =
    dataInfo.kind === "points" ? ["x", "y"].map(plainColumn) : columnsSchema.parse(dataInfo.columns);
  const score = scorer(run, seed);
  const shift = logScale(columns);
  for await (const { x, firstRow } of streamTable(place, columns, { batchSize: BATCH, seed })) {
    yield { firstRow, logLikelihood: (await score(x, firstRow)).map((value) => value - shift) };
  }
}

function plainColumn(name: string): Column {
  return { kind: "numeric", name, mean: 0, deviation: 1 };
}

/** Log-likelihoods of all images below a folder, in constant memory. */
async function* scoreImages(
  run: OpenRun,
  folder: string,
  { seed = 0, onUnreadable }: ScoreOptions,
): AsyncGenerator<ScoreBatch> {
  const [channels, size = 1] = run.config.dataInfo.sampleShape;
  const score = scorer(run, seed);
  const format = { size, channels: channels === 1 ? "grey" : "rgb" } as const;
  const options = { batchSize: BATCH, ...(onUnreadable !== undefined && { onUnreadable }) };
  for await (const { x, firstRow, files } of streamImages(folder, format, options)) {
    yield { firstRow, logLikelihood: await score(x, firstRow), files };
  }
}

/**
 * Log-likelihood of every sample of some data: every row of a table file or query, every image of a folder (both in
 * constant memory), or a split of a named data set; of the run's own data where none is named.
 * @throws OptionError where the model has no likelihood or the data is of another kind; DataError
 */
export async function* score(
  run: OpenRun,
  source: string | undefined,
  options: ScoreOptions = {},
): AsyncGenerator<ScoreBatch> {
  const { seed = 0, split = "test" } = options;
  if (run.model.logProb === undefined) refuse(run, "tell a likelihood");
  const { dataInfo } = run.config;
  if (source === undefined) {
    yield* scoreSplit(run, (await run.data()).splits[split], seed);
  } else if (isTablePath(source) || isQuery(source)) {
    if (dataInfo.kind === "image") throw otherKind(run, source, "a table");
    yield* scoreTable(run, isQuery(source) ? { sql: source } : { path: source }, seed);
  } else if ((await stat(source).catch(() => undefined))?.isDirectory()) {
    if (dataInfo.kind !== "image") throw otherKind(run, source, "a folder");
    yield* scoreImages(run, source, options);
  } else {
    yield* scoreSplit(run, (await openLike(run, source)).splits[split], seed);
  }
}

function otherKind({ config }: OpenRun, source: string, what: string): OptionError {
  const { kind, sampleShape } = config.dataInfo;
  return new OptionError(
    `${source} is ${what}; the run was fitted on ${kind} data of shape [${sampleShape}] (${config.data})`,
  );
}

/** Opens named data of the kind and shape that the run was fitted on. */
async function openLike(run: OpenRun, source: string): Promise<DataSet> {
  const { dataInfo, dataOptions } = run.config;
  const opened = await openData(source, dataOptions);
  if (opened.kind !== dataInfo.kind || opened.sampleShape.join() !== dataInfo.sampleShape.join()) {
    throw otherKind(run, source, `${opened.kind} data of shape [${opened.sampleShape}]`);
  }
  return opened;
}
