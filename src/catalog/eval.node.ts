import { range, type Split, type SplitName } from "../data/data-set.ts";
import { OptionError } from "../errors.ts";
import { energyDistance, slicedWasserstein } from "../metrics/index.ts";
import { parameterCount } from "../nn/module.ts";
import { Random } from "../random.ts";
import type { ReportResult } from "../report/index.ts";
import type { Tensor } from "../tensor/graph.ts";
import { batchFeeds } from "../train/gradient-parts.ts";
import { firstSamples } from "./pictures.node.ts";
import type { OpenRun } from "./run.node.ts";
import { sampleRun } from "./sample.node.ts";
import { imageBits, scoreSplit } from "./score.node.ts";

/** Samples drawn, and samples of data, for distances between sets. */
const COMPARED = 2000;
const BATCH = 128;

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
  readonly results: readonly ReportResult[];
}

/**
 * Measures a run on a split of its data: loss; log-likelihood and bits per dimension where the model has a density;
 * distances between drawn samples and data for points and tables.
 * @throws OptionError where the data has changed since the fit, or the split is empty
 */
export async function evaluateRun(
  run: OpenRun,
  options: { readonly split?: SplitName; readonly seed?: number } = {},
): Promise<Evaluation> {
  const { split: splitName = "test", seed = 0 } = options;
  const { config, model } = run;
  const data = await run.data();
  const split = data.splits[splitName];
  if (split.count === 0) {
    throw new OptionError(`option split: the ${splitName} split of ${config.data} is empty; choose another`);
  }
  const last = (await run.folder.readMetrics()).at(-1);
  const step = run.weightsStep ?? last?.step ?? 0;
  const results: ReportResult[] = [];
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

  add("loss", await meanLoss(run, split, seed), "", split.count);
  if (model.logProb !== undefined) {
    let total = 0;
    for await (const { logLikelihood } of scoreSplit(run, split, seed)) {
      total += logLikelihood.reduce((sum, value) => sum + value, 0);
    }
    const mean = total / split.count;
    const bound = model.likelihood === "bound" ? "a lower bound: uniformly dequantised bytes" : "exact";
    add("log-likelihood", mean, "nats per sample", split.count, bound);
    if (config.dataInfo.kind === "image") {
      add(
        "bits per dimension",
        imageBits(run, mean),
        "bits",
        split.count,
        "an upper bound: uniformly dequantised bytes",
      );
    }
  }
  if (data.logDensity !== undefined) {
    const { data: points } = firstSamples(split, split.count);
    let total = 0;
    for (let i = 0; i < points.length; i += 2) total += data.logDensity(points.subarray(i, i + 2));
    add("log-likelihood of the true density", total / split.count, "nats per sample", split.count);
  }
  if (model.sample !== undefined && config.dataInfo.kind !== "image") {
    const drawn = await sampleRun(run, { count: COMPARED, seed });
    const real = firstSamples(split, COMPARED);
    const note = `between ${drawn.shape[0]} samples and ${real.shape[0]} of the data`;
    add(
      "sliced Wasserstein distance",
      slicedWasserstein(drawn, real, { seed }),
      "",
      real.shape[0] ?? 0,
      note,
    );
    add("energy distance", energyDistance(drawn, real), "", real.shape[0] ?? 0, note);
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
    results,
  };
}

/** Mean loss over a whole split, with fixed noise. */
async function meanLoss(run: OpenRun, split: Split, seed: number): Promise<number> {
  const loss = run.session.compiled<string, "total">("loss", ({ x, label }) => ({
    total: run.model.loss(label === undefined ? { x: given(x) } : { x: given(x), label }).total,
  }));
  const random = new Random(seed).split("evaluate");
  let total = 0;
  for (let first = 0; first < split.count; first += BATCH) {
    const count = Math.min(BATCH, split.count - first);
    const batch = split.batch(range(first, count));
    const { total: value } = await loss.run(batchFeeds(batch), { random: random.split(first) });
    total += (Number(value.data[0]) * count) / split.count;
  }
  return total;
}

function given(x: Tensor | undefined): Tensor {
  if (x === undefined) throw new OptionError("the batch holds no x");
  return x;
}
