import { type DataSet, isPicture, range, type Split, type SplitName } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { bitsPerDimension, type MeanLikelihood, meanLikelihood } from "../../metrics/index.ts";
import { nearest } from "../../nearest.ts";
import { parameterCount } from "../../nn/module.ts";
import { Interrupted } from "../../program/deadline.ts";
import { Random } from "../../random.ts";
import type { ReportResult } from "../../report/index.ts";
import { elementCount, type NdArray } from "../../tensor/array.ts";
import { batchFeeds } from "../../train/batches.ts";
import { sourceOfData } from "../run/given.node.ts";
import type { LoadedRun } from "../run/load.node.ts";
import { firstSamples } from "../run/outputs.node.ts";
import { sampleRun } from "../use/sample.node.ts";
import { scoreSplit } from "../use/score.node.ts";
import { DistanceMeter, type Extent, type FeatureView } from "./distances.node.ts";
import { describeDistance, likelihoodDetail, MEASURES, type SampleDistance } from "./measures.ts";
import { type ImputationQuality, imputationQuality, imputationResults } from "./table/imputation.ts";
import { judgeSyntheticTable, type SyntheticTable, syntheticTableResults } from "./table/synthetic.ts";

const BATCH = 128;

/** `slowScores` for a page of results: 1,000, of images, whose likelihood takes longer, as many as are given. */
export function slowScoresOf({ kind }: Pick<DataSet, "kind">, images: number): number {
  return kind === "image" ? images : 1000;
}

/** Consecutive terms L_first + … + L_last of a bound, as a mean over samples. */
export interface MeanTerm {
  readonly first: number;
  readonly last: number;
  readonly nats: number;
  /** Of images of bytes. */
  readonly bitsPerDimension?: number;
}

/** The evaluation of a run: numbers with all that they depend on. */
export interface Evaluation {
  readonly run: string;
  readonly model: string;
  readonly modelOptions: Readonly<Record<string, unknown>>;
  readonly data: string;
  readonly split: SplitName;
  readonly parameters: number;
  /** Seed of the training, and of the noise and samples of this evaluation. */
  readonly seed: number;
  readonly evaluationSeed: number;
  /** Steps and seconds of training. */
  readonly steps: number;
  readonly seconds: number;
  /** Step of the weights that were measured. */
  readonly step: number;
  /** Exact, or a bound; undefined for a model without a density. */
  readonly likelihood?: MeanLikelihood;
  /** What the likelihood is of, where that is not plain: dequantized bytes, binarized images, an estimate. */
  readonly likelihoodDetail?: string;
  /** Samples of the split whose likelihood is measured, where there is one. */
  readonly scored: number;
  /** The terms of a variational bound, whose sum is the negative log-likelihood, where the model reports them. */
  readonly boundTerms?: readonly MeanTerm[];
  /** Between drawn samples and those of the split. */
  readonly distances: readonly SampleDistance[];
  /** What people judge synthetic tables by, of rows that were drawn. */
  readonly syntheticTable?: SyntheticTable;
  /** How well cells of held-out rows that are hidden at random are filled in. */
  readonly imputations?: ImputationQuality;
  /** The same of as many training samples in place of drawn ones, where that was asked for and there was time. */
  readonly control?: readonly SampleDistance[];
  /** What was measured of fewer samples than there are, or left out, and why. */
  readonly reduced: readonly string[];
  /** All of it as a table. */
  readonly results: readonly ReportResult[];
}

/** What is measured, and how. */
export interface EvaluationOptions {
  /** Default: the test split. */
  readonly split?: SplitName;
  /** Of samples and noise. */
  readonly seed?: number;
  /** `quick` for what takes a moment (of images, whose samples take longer, nothing), or `all`; default: `quick`. */
  readonly distances?: Extent;
  /** In whose features images are compared; default: pixels, of digits those of a classifier. */
  readonly features?: FeatureView | undefined;
  /** Samples, spread evenly over the split, whose likelihood is measured where a model scores slowly; default: all. */
  readonly slowScores?: number;
  /** Samples of which loss and likelihood are measured, and that are drawn, at most; default: as many as each wants. */
  readonly most?: { readonly measured?: number; readonly drawn?: number };
  /** Samples that are drawn already, and what measures them, in place of `distances`. */
  readonly drawn?: { readonly samples: NdArray<"float32">; readonly meter: DistanceMeter };
  /** Of tables: the column that is predicted of the others by what is learned of drawn rows, and of real ones. */
  readonly target?: string | undefined;
  /** Of tables: held-out rows of which cells are hidden and filled in; default: 0, none. */
  readonly imputedRows?: number;
  /** Whether distances of training samples to the split are measured, too; default: false. */
  readonly control?: boolean;
  /** Called with the share that is done of what is measured, and what that is. */
  readonly onProgress?: (share: number, what: string) => void;
}

/** Shares of the time that is left, where there is a limit, that each measure may take. */
const TIME = { loss: 0.15, likelihood: 0.5, paths: 0.3 } as const;

/** Fewer drawn samples than these measure no distance. */
const LEAST_DRAWN = 50;

/** Samples of a model that scores slowly that are scored at once where there is a limit to the time. */
const FEW_SCORES = 8;

/**
 * Measures a run on a split of its data: loss; log-likelihood, and bits per dimension of images, where the model has a
 * density; distances between drawn samples and those of the split where it can draw. Where the run's deadline comes first, or a person stops
 * it, what was measured until then is the result, and `reduced` says what is missing.
 * @throws OptionError where the data has changed since the fit, or the split is empty
 */
export async function evaluateRun(run: LoadedRun, options: EvaluationOptions = {}): Promise<Evaluation> {
  const { split: splitName = "test", seed = 0, most = {}, onProgress } = options;
  const { config, model, deadline } = run;
  const data = await run.data();
  checkTarget(run, data, options);
  const split = data.splits[splitName];
  if (split.count === 0) {
    throw new OptionError(`option split: the ${splitName} split of ${config.data} is empty; choose another`);
  }
  const last = (await run.folder.readMetrics()).at(-1);
  const step = run.weightsStep ?? last?.step ?? 0;
  const results: ReportResult[] = [];
  const reduced: string[] = [];
  const add = (name: string, value: number, unit: string, samples: number, note?: string): void => {
    results.push({
      name,
      value,
      unit,
      dataSet: config.data,
      split: splitName,
      samples,
      seed,
      step,
      ...(note !== undefined && { note }),
    });
  };
  /** Measures something, in its share of the time; undefined where that was too short. */
  const attempt = async <T>(what: string, share: number, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await deadline.within(share * deadline.secondsLeft, work);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      reduced.push(
        `no ${what}: ${error.reason === "time" ? "it takes longer than there is time" : "stopped"}`,
      );
      return undefined;
    }
  };
  const limited = Number.isFinite(deadline.secondsLeft) || most.measured !== undefined;
  const view = (of: Split, wanted: number): Split =>
    limited ? shuffled(of, wanted, seed) : spread(of, wanted);

  const measured = data.pairs === undefined ? split : data.pairs.validation;
  const ofPairs = data.pairs === undefined ? undefined : "of the pairs held out for validation";
  const lossCount = Math.min(measured.count, most.measured ?? measured.count);
  const loss = await attempt("loss", TIME.loss, () =>
    meanLoss(run, view(measured, lossCount), seed, (share) => onProgress?.(share, "measuring the loss")),
  );
  if (loss !== undefined) {
    if (loss.count < measured.count) reduced.push(`loss of ${loss.count} of ${measured.count} samples`);
    add("loss", loss.value, "", loss.count, ofPairs);
  }
  const slow = model.scoresSlowly ? Math.min(split.count, options.slowScores ?? split.count) : split.count;
  const wanted = model.scoresSlowly ? slow : Math.min(slow, most.measured ?? slow);
  const scores = await attempt("likelihood", TIME.likelihood, () =>
    likelihoodOf(run, view(split, wanted), seed, (share) => onProgress?.(share, "measuring the likelihood")),
  );
  const { likelihood, parts = {}, terms, count: scored = wanted } = scores ?? {};
  if (likelihood !== undefined && scored < split.count) {
    reduced.push(`likelihood of ${scored} of ${split.count} samples`);
  }
  const detail = likelihood && likelihoodDetail(model, config.dataInfo);
  if (likelihood !== undefined) {
    const note = (kind: string): string => (detail === undefined ? kind : `${kind}: ${detail}`);
    const unit = `nats per ${isPicture(config.dataInfo) ? "image" : "sample"}`;
    const isExact = likelihood.kind === "exact";
    const nats = isExact ? likelihood.nats : likelihood.atLeastNats;
    const bits = isExact ? likelihood.bitsPerDimension : likelihood.atMostBitsPerDimension;
    add("log-likelihood", nats, unit, scored, note(isExact ? "exact" : "a lower bound"));
    if (bits !== undefined) {
      add("bits per dimension", bits, "bits", scored, note(isExact ? "exact" : "an upper bound"));
    }
  }
  for (const [name, nats] of Object.entries(parts)) {
    const [value, partUnit] =
      config.dataInfo.kind === "image"
        ? [-bitsPerDimension(nats, elementCount(config.dataInfo.sampleShape)), "bits per dimension"]
        : [nats, "nats per sample"];
    add(`of the bound, ${name}`, value, partUnit, scored);
  }
  const truth = meanTrueLogDensity(data, splitName);
  if (truth !== undefined) {
    add("log-likelihood of the true density", truth, "nats per sample", split.count);
  }
  const paths = await attempt("straightness of paths", TIME.paths, () => pathMeasures(run, data, seed));
  for (const { name, value, count } of paths ?? []) {
    add(name, value, "squared model units", count, "mean over paths");
  }
  const { distances, fewer, samples, control } = (await attempt("distances of samples", 1, () =>
    distancesOf(run, data, { ...options, split: splitName, seed }),
  )) ?? { distances: [] };
  if (fewer !== undefined) reduced.push(fewer);
  for (const distance of distances) {
    const { name } = MEASURES[distance.measure];
    add(name, distance.value, "", distance.real, describeDistance(distance));
  }
  const syntheticTable =
    samples === undefined || data.columns === undefined
      ? undefined
      : await attempt("measures of drawn rows as a table", 1, async () => {
          onProgress?.(0, "measuring drawn rows as a table");
          deadline.check();
          return judgeSyntheticTable(data, samples, { split: splitName, seed, target: options.target });
        });
  for (const { name, value, samples: count, note } of syntheticTable
    ? syntheticTableResults(syntheticTable)
    : []) {
    add(name, value, "", count, note);
  }
  const imputations = await attempt("coverage of imputations", 1, () =>
    imputationsOf(run, data, split, { seed, rows: options.imputedRows ?? 0, onProgress }),
  );
  for (const { name, value, samples: count, note } of imputations ? imputationResults(imputations) : []) {
    add(name, value, "", count, note);
  }
  return {
    run: run.folder.path,
    model: config.model,
    modelOptions: config.modelOptions,
    data: config.data,
    split: splitName,
    seed: config.fit.seed,
    evaluationSeed: seed,
    parameters: parameterCount(model),
    steps: last?.step ?? 0,
    seconds: last?.seconds ?? 0,
    step,
    ...(likelihood !== undefined && { likelihood }),
    ...(detail !== undefined && { likelihoodDetail: detail }),
    scored,
    ...(terms && { boundTerms: terms }),
    distances,
    ...(syntheticTable && { syntheticTable }),
    ...(imputations && { imputations }),
    ...(control !== undefined && { control }),
    reduced,
    results,
  };
}

/** How well the model fills in cells of a split; undefined where it cannot, or the data is no table. */
async function imputationsOf(
  { model, session, config }: LoadedRun,
  data: DataSet,
  split: Split,
  {
    seed,
    rows,
    onProgress,
  }: {
    readonly seed: number;
    readonly rows: number;
    readonly onProgress: EvaluationOptions["onProgress"];
  },
): Promise<ImputationQuality | undefined> {
  const inpaint = model.inpaint?.bind(model);
  if (rows === 0 || inpaint === undefined || data.columns === undefined) return undefined;
  const { given } = config.modelOptions;
  return imputationQuality(
    data,
    split,
    (x, known, draws) =>
      inpaint(session, {
        x,
        known,
        draws,
        seed,
        onProgress: (share) => onProgress?.(share, "filling in hidden cells"),
      }),
    { rows, seed, given: Array.isArray(given) ? given : [] },
  );
}

/** Mean log-density, in nats, of a split under the distribution it was drawn from; undefined where that is not known. */
export function meanTrueLogDensity({ logDensity, splits }: DataSet, name: SplitName): number | undefined {
  if (logDensity === undefined) return undefined;
  const { count } = splits[name];
  const { data: points } = firstSamples(splits[name], count);
  let total = 0;
  for (let i = 0; i < points.length; i += 2) total += logDensity(points.subarray(i, i + 2));
  return total / count;
}

/** Some samples of a split, evenly spread over it. */
function spread(split: Split, count: number): Split {
  if (count === split.count) return split;
  const position = (i: number): number => Math.floor(((i + 0.5) * split.count) / count);
  return { count, batch: (indices) => split.batch(Array.from(indices, position)) };
}

/** Samples of a split in an order drawn at random, so that the first of them stand for all. */
function shuffled(split: Split, count: number, seed: number): Split {
  const order = new Random(seed).split("order of measures").permutation(split.count);
  return { count, batch: (indices) => split.batch(Array.from(indices, (i) => order[i] ?? 0)) };
}

/** Numbers in an image of bytes; undefined of other data, which has no bits. */
function dimensionsOf({ config }: LoadedRun): number | undefined {
  const { kind, sampleShape } = config.dataInfo;
  return kind === "image" ? elementCount(sampleShape) : undefined;
}

/**
 * The mean log-likelihood of a split, and the means of parts and terms of a bound, of the first `count` samples, all unless the time was too
 * short; undefined where the model has no density.
 * @throws Interrupted where nothing was measured
 */
async function likelihoodOf(
  run: LoadedRun,
  split: Split,
  seed: number,
  onProgress: (share: number) => void,
): Promise<
  | {
      readonly likelihood: MeanLikelihood;
      readonly parts: Readonly<Record<string, number>>;
      readonly terms?: readonly MeanTerm[];
      readonly count: number;
    }
  | undefined
> {
  const { model, deadline } = run;
  if (model.logProb === undefined) return undefined;
  const sum = (values: Float64Array): number => values.reduce((before, value) => before + value, 0);
  let total = 0;
  let count = 0;
  const parts = new Map<string, number>();
  let terms: readonly { readonly first: number; readonly last: number; readonly total: number }[] | undefined;
  const few = model.scoresSlowly && Number.isFinite(deadline.secondsLeft) ? FEW_SCORES : undefined;
  try {
    for await (const batch of scoreSplit(run, split, seed, few)) {
      const { logLikelihood, parts: own = {}, terms: further } = batch;
      const known = (values: Float64Array): Float64Array => values.subarray(0, logLikelihood.length);
      total += sum(logLikelihood);
      count += logLikelihood.length;
      for (const [name, values] of Object.entries(own)) {
        parts.set(name, (parts.get(name) ?? 0) + sum(known(values)));
      }
      terms = further?.map(({ first, last, nats }, k) => ({
        first,
        last,
        total: (terms?.[k]?.total ?? 0) + sum(known(nats)),
      }));
      onProgress(count / split.count);
    }
  } catch (error) {
    if (!(error instanceof Interrupted) || count === 0) throw error;
  }
  const dimensions = dimensionsOf(run);
  return {
    likelihood: meanLikelihood(model.likelihood ?? "exact", total / count, dimensions),
    parts: Object.fromEntries(Array.from(parts, ([name, value]) => [name, value / count])),
    ...(terms && {
      terms: terms.map(({ first, last, total }): MeanTerm => {
        const nats = total / count;
        return {
          first,
          last,
          nats,
          ...(dimensions !== undefined && { bitsPerDimension: -bitsPerDimension(nats, dimensions) }),
        };
      }),
    }),
    count,
  };
}

/** Paths whose straightness is measured. */
const PATHS = { image: 32, other: 1000 } as const;

/** How straight the paths of a model are, and how far they lead; nothing for a model without such. */
async function pathMeasures(
  { model, session }: LoadedRun,
  data: DataSet,
  seed: number,
): Promise<readonly { readonly name: string; readonly value: number; readonly count: number }[]> {
  if (model.straightness === undefined) return [];
  const count = PATHS[data.kind === "image" ? "image" : "other"];
  const source = sourceOfData(data, { count, seed });
  const measures = await model.straightness(session, { count, seed, ...(source && { source }) });
  return [
    { name: "straightness (0: straight)", value: measures.straightness, count },
    { name: "transport cost", value: measures.transportCost, count },
  ];
}

/** Distances between samples and data. */
interface Distances {
  readonly distances: readonly SampleDistance[];
  /** That there are fewer samples than wanted. */
  readonly fewer?: string;
  readonly control?: readonly SampleDistance[];
  /** The samples, where they were drawn here. */
  readonly samples?: NdArray<"float32">;
}

/** @throws OptionError where a target is named, and the run draws no rows of a table that has it */
function checkTarget(run: LoadedRun, { columns, name }: DataSet, { target }: EvaluationOptions): void {
  if (target === undefined) return;
  if (columns === undefined) throw new OptionError(`option target: ${name} is no table; leave it out`);
  if (run.model.sample === undefined)
    throw new OptionError(`option target: ${run.config.model} draws no rows; leave it out`);
  const names = columns.map((column) => column.name);
  if (names.includes(target)) return;
  const meant = nearest(target, names);
  throw new OptionError(
    `option target: the table has no column ${JSON.stringify(target)} that is learned${meant === undefined ? "" : `; did you mean ${meant}?`}`,
  );
}

/**
 * Distances of samples that were drawn already, or are drawn here; none where the model cannot draw.
 * @throws Interrupted where too few could be drawn
 */
async function distancesOf(
  run: LoadedRun,
  data: DataSet,
  options: EvaluationOptions & { readonly split: SplitName; readonly seed: number },
): Promise<Distances> {
  const { drawn, split, seed, distances: extent = "quick", features, most, onProgress } = options;
  if (drawn !== undefined) {
    onProgress?.(0, "measuring distances");
    return { distances: await drawn.meter.measure(drawn.samples) };
  }
  if (run.model.sample === undefined) return { distances: [] };
  const settings = { split, seed, extent, runtime: run.session.runtime, features };
  const wanted = new DistanceMeter(data, settings).count;
  const meter = new DistanceMeter(data, { ...settings, most: most?.drawn });
  if (meter.count === 0) return { distances: [] };
  const measure = async (by: DistanceMeter, samples: NdArray<"float32">): Promise<Distances> => {
    onProgress?.(0, "measuring distances");
    const begun = performance.now();
    const measured = await by.measure(samples);
    const seconds = (performance.now() - begun) / 1000;
    // What data itself comes to takes about as long again.
    const isTime = run.deadline.secondsLeft > 2 * seconds;
    const control = options.control === true && isTime ? await by.control() : undefined;
    const distances = { distances: measured, ...(control !== undefined && { control }) };
    return by.count === wanted
      ? { ...distances, samples }
      : { ...distances, samples, fewer: `distances of ${by.count} drawn samples in place of ${wanted}` };
  };
  let samples: NdArray<"float32">;
  try {
    samples = await sampleRun(run, {
      count: meter.count,
      seed,
      gaps: true,
      onProgress: (share) => onProgress?.(share, "drawing samples"),
    });
  } catch (error) {
    const kept = error instanceof Interrupted && error.reason === "time" ? error.kept : undefined;
    const count = (kept as NdArray<"float32"> | undefined)?.shape[0] ?? 0;
    if (count < LEAST_DRAWN) throw error;
    return measure(new DistanceMeter(data, { ...settings, most: count }), kept as NdArray<"float32">);
  }
  return measure(meter, samples);
}

/**
 * Mean loss over the first `count` samples of a split, with fixed noise: all, unless the time was too short.
 * @throws Interrupted where nothing was measured
 */
async function meanLoss(
  run: LoadedRun,
  split: Split,
  seed: number,
  onProgress: (share: number) => void,
): Promise<{ readonly value: number; readonly count: number }> {
  const rows = run.model.comparesSamples === true ? run.config.fit.batchSize : BATCH;
  const loss = run.session.compiled(
    run.model,
    "loss",
    ["x", "label?", "source?"],
    ({ x, label, source }) => ({
      total: run.model.loss({
        x,
        ...(label !== undefined && { label }),
        ...(source !== undefined && { source }),
      }).total,
    }),
  );
  const random = new Random(seed).split("evaluate");
  let total = 0;
  let measured = 0;
  try {
    for (let first = 0; first < split.count; first += rows) {
      const count = Math.min(rows, split.count - first);
      const batch = split.batch(range(first, count));
      const { total: value } = await loss.run(batchFeeds(batch), { random: random.split(first) });
      total += Number(value.data[0]) * count;
      measured += count;
      onProgress(measured / split.count);
    }
  } catch (error) {
    if (!(error instanceof Interrupted) || measured === 0) throw error;
  }
  return { value: total / measured, count: measured };
}
