import { rm } from "node:fs/promises";
import { basename, extname, resolve } from "node:path";
import type { DataSet } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { Interrupted } from "../../program/deadline.ts";
import type { SamplingTime } from "../../report/index.ts";
import { elementCount, float32, type NdArray } from "../../tensor/array.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { type FitHooks, resumeFit, startFit } from "../fit/fit.node.ts";
import type { DistanceMeter } from "../measure/distances.node.ts";
import { evaluateRun, slowScoresOf } from "../measure/eval.node.ts";
import { type LoadedRun, loadRun } from "../run/load.node.ts";
import { checkFinite } from "../run/outputs.node.ts";
import { locatedModel } from "../run/run-data.node.ts";
import { sampleRun } from "../use/sample.node.ts";
import type { CompareFolder, ModelResult } from "./folder.node.ts";
import { type PlaneSetting, pictureOfDensity, pictureOfSamples, writeNamed } from "./pictures.node.ts";
import { type Contender, LIMITS, type ResolvedComparison } from "./request.node.ts";

/** Samples whose drawing is timed. */
const TIMED = 1000;
/** Seconds of a draw after which a second one, without compiling, is not worth its time. */
const LONG = 30;

/** What all models of a comparison are measured with. */
export interface Stage {
  readonly folder: CompareFolder;
  readonly comparison: ResolvedComparison;
  readonly data: DataSet;
  readonly meter: DistanceMeter;
  /** Of the run in whose features distances are measured; undefined where there is none. */
  readonly features: string | undefined;
  readonly setting: PlaneSetting | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Checks that a run that is there already is the one that is asked for.
 * @throws OptionError that names the option that differs
 */
export async function checkRun(
  { name, modelOptions, fit: given, model }: Contender,
  stage: Stage,
): Promise<void> {
  const { folder, comparison, data } = stage;
  const run = new RunFolder(folder.run(name));
  if (!(await run.exists())) return;
  const config = await run.readConfig();
  const differs = (what: string): OptionError =>
    new OptionError(
      `${folder.path} holds ${name} with another ${what}; begin anew with --fresh, or choose another folder with --out`,
    );
  if (config.model !== model) throw differs(`model, ${config.model}`);
  // Its module is trusted, since it is the one that is asked for.
  const located = await locatedModel(config);
  if (resolve(located) !== resolve(model)) throw differs(`model, ${located}`);
  if (config.data !== comparison.data) throw differs(`data set, ${config.data}`);
  if (config.dataInfo.fingerprint !== data.fingerprint)
    throw differs("state of its data (contents, split or options)");
  const trained: Readonly<Record<string, unknown>> = config.fit;
  const compared: readonly (readonly [string, unknown, unknown])[] = [
    ...[...LIMITS, ...Object.keys(given)].map((key) => [key, trained[key], given[key]] as const),
    ...Object.entries(modelOptions).map(([key, value]) => [key, config.modelOptions[key], value] as const),
    ...(["sql", "source"] as const).map(
      (key) => [key, config.dataOptions[key], comparison.dataOptions[key]] as const,
    ),
  ];
  for (const [key, before, now] of compared) {
    if (JSON.stringify(before) !== JSON.stringify(now)) {
      throw differs(
        `${key}, ${JSON.stringify(before) ?? "none"} where ${JSON.stringify(now) ?? "none"} is asked for`,
      );
    }
  }
}

/**
 * Trains a model in its folder, or goes on where an earlier call has stopped.
 * @returns whether it came to its end
 * @throws what `fit` throws
 */
export async function train(
  { name, fit: given, options, model }: Contender,
  stage: Stage,
  hooks: FitHooks,
): Promise<boolean> {
  const { folder, comparison } = stage;
  const path = folder.run(name);
  const run = new RunFolder(path);
  if (await run.exists()) {
    const checkpoint = await run.readCheckpoint();
    if (checkpoint?.progress.finished) return true;
    // It is what is asked for, its module and its queries too (checkRun); of weights, where some are asked for.
    const trust = { module: true, query: true, download: given.weights !== undefined };
    return (await resumeFit(path, { trust }, hooks)).reason !== "stopped";
  }
  // What was killed before it wrote its configuration is no run yet.
  await rm(path, { recursive: true, force: true });
  const request = {
    ...comparison.dataOptions,
    ...options,
    ...given,
    model,
    data: comparison.data,
    out: path,
  };
  return (await startFit(request, hooks)).reason !== "stopped";
}

/** A timed draw. @throws Interrupted */
async function draw(
  run: LoadedRun,
  { count, seed }: { readonly count: number; readonly seed: number },
  {
    signal,
    onProgress,
    own,
  }: {
    readonly signal: AbortSignal | undefined;
    onProgress(share: number): void;
    readonly own: Readonly<Record<string, unknown>>;
  },
): Promise<{ readonly samples: NdArray<"float32">; readonly seconds: number }> {
  const begun = performance.now();
  const samples = await sampleRun(run, {
    ...own,
    gaps: true,
    count,
    seed,
    onProgress: (share) => {
      onProgress(share);
    },
  });
  if (signal?.aborted) throw new Interrupted("stopped");
  checkFinite(samples);
  return { samples, seconds: (performance.now() - begun) / 1000 };
}

/** Samples to measure, samples to show, and how long 1,000 take. */
interface Drawn {
  readonly samples: NdArray<"float32">;
  readonly shown: NdArray<"float32">;
  readonly sampling: SamplingTime;
}

/**
 * Draws samples and measures how long that takes: after a draw of the same size, unless one is long enough.
 * @param own the model's own options of sampling
 */
export async function drawAndTime(
  run: LoadedRun,
  { meter, comparison, signal }: Stage,
  onProgress: (share: number) => void,
  own: Readonly<Record<string, unknown>> = {},
): Promise<Drawn> {
  const { seed } = comparison.shared;
  const part = (from: number, to: number) => ({
    own,
    signal,
    onProgress: (share: number) => onProgress(from + (to - from) * share),
  });
  const first = await draw(run, { count: TIMED, seed }, part(0, 0.5));
  const warm = first.seconds < LONG;
  const timed = warm ? await draw(run, { count: TIMED, seed: seed + 1 }, part(0.5, 0.75)) : first;
  const sampling = { seconds: timed.seconds, warm };
  if (meter.count <= TIMED) {
    return { samples: firstRows(first.samples, meter.count), shown: first.samples, sampling };
  }
  const { samples } = await draw(run, { count: meter.count, seed }, part(0.75, 1));
  return { samples, shown: samples, sampling };
}

function firstRows(samples: NdArray<"float32">, count: number): NdArray<"float32"> {
  const rest = samples.shape.slice(1);
  return float32(samples.data.subarray(0, count * elementCount(rest)), [count, ...rest]);
}

/** Test images whose likelihood is measured of a model that takes long to. */
const SLOW_IMAGES = 64;

/**
 * Measures a trained model on the test split, draws its pictures, and keeps what came of it.
 * @param onProgress called with the share of samples that is drawn; undefined once they are measured
 * @throws Interrupted; what models and measures throw
 */
export async function measure(
  { name }: Contender,
  stage: Stage,
  onProgress: (share: number | undefined) => void,
): Promise<ModelResult> {
  const { folder, comparison, data, meter, setting } = stage;
  const { provider, threads, seed } = comparison.shared;
  const { signal } = stage;
  const run = await loadRun(folder.run(name), { opened: data, provider, threads, trust: true, signal });
  try {
    const drawn = run.model.sample && (await drawAndTime(run, stage, onProgress));
    onProgress(undefined);
    const evaluation = await evaluateRun(run, {
      split: "test",
      seed,
      slowScores: slowScoresOf(data, SLOW_IMAGES),
      ...(drawn && { drawn: { samples: drawn.samples, meter } }),
    });
    // What was measured until a person stops it is no result.
    if (signal?.aborted) throw new Interrupted("stopped");
    const ofSome = run.model.scoresSlowly ? [`mean of ${counted(evaluation.scored, "test sample")}`] : [];
    const likelihoodDetail = [evaluation.likelihoodDetail ?? [], ofSome].flat().join("; ");
    const { likelihood, distances, seconds, steps, step, parameters } = evaluation;
    const picture = drawn && (await pictureOfSamples(run, drawn.shown, data, { setting, seed }));
    const density = setting && (await pictureOfDensity(run, drawn?.shown, setting));
    const pictures = folder.file("pictures");
    const result: ModelResult = {
      name,
      ...(likelihood !== undefined && { likelihood }),
      ...(likelihood !== undefined && likelihoodDetail !== "" && { likelihoodDetail }),
      distances: [...distances],
      ...(stage.features !== undefined && { features: stage.features }),
      trainingSeconds: seconds,
      steps,
      weightsStep: step,
      ...(drawn && { sampling: drawn.sampling }),
      parameters,
      ...(picture && { picture: await writeNamed(pictures, `${name}-samples`, picture) }),
      ...(density && { density: await writeNamed(pictures, `${name}-density`, density) }),
    };
    await folder.writeResult(result);
    return result;
  } finally {
    await run.session.release();
  }
}

/** The options of a model to print beside its name. */
export function optionsText({ options, model, name }: Contender): string | undefined {
  const given = Object.entries(options).map(
    ([key, value]) => `${key} ${Array.isArray(value) ? value.join() : value}`,
  );
  const named = basename(model, extname(model)) === name ? given : [model, ...given];
  return named.length === 0 ? undefined : named.join(", ");
}
