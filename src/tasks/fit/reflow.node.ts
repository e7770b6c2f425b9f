import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { findModel } from "../../catalog.ts";
import { writePairs } from "../../data/files/arrays.node.ts";
import { Fingerprint } from "../../data/sources/data-set.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import type { PairOptions } from "../../model/capabilities.ts";
import { checkNames, type NamesOf } from "../../options.ts";
import type { FitSummary } from "../../train/fit-request.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { modelSchema } from "../run/definition.node.ts";
import { LOAD_NAMES, type LoadRunOptions, loadRun, refuse } from "../run/load.node.ts";
import { checkResult } from "../run/memory.node.ts";
import { locatedData } from "../run/run-data.node.ts";
import { checkGuidance } from "../use/sample.node.ts";
import { type FitHooks, startFit } from "./fit.node.ts";
import { checkHooks } from "./hooks.node.ts";
import type { UncheckedRequest } from "./request.ts";

/** How pairs of a run are drawn. */
export interface RunPairOptions extends Partial<PairOptions> {
  readonly open?: LoadRunOptions;
}

/** Pairs that are drawn by default: as many as make a data set of points, and of images as many as can be waited for. */
const COUNTS = { image: 4000, other: 50_000 } as const;

/**
 * Draws pairs of noise and what a run makes of it into a file of the run's folder, unless the same ones are there already.
 * @returns the path of the file
 * @throws OptionError where the model draws none; FileError
 */
async function drawRunPairs(path: string, { open = {}, ...options }: RunPairOptions = {}): Promise<string> {
  const run = await loadRun(path, open);
  try {
    const { model, session, config, weightsStep, folder } = run;
    if (model.drawPairs === undefined) return refuse(run, "join noise and samples");
    checkGuidance(run.config, options.guidance);
    const { seed = 0, onProgress, ...others } = options;
    const count = options.count ?? COUNTS[config.dataInfo.kind === "image" ? "image" : "other"];
    checkResult(run, "pairs", { count });
    const origin = {
      run: basename(folder.path),
      created: config.created,
      step: String(weightsStep),
      drawn: JSON.stringify({ ...others, count, seed }),
    };
    const name = new Fingerprint().text(JSON.stringify(origin)).toString().slice(0, 8);
    const file = folder.file(`pairs-${name}.safetensors`);
    if ((await stat(file).catch(() => undefined)) !== undefined) return file;
    const pairs = await model.drawPairs(session, {
      ...others,
      count,
      seed,
      ...(onProgress && { onProgress }),
    });
    await writePairs(file, pairs, origin);
    return file;
  } finally {
    await run.session.release();
  }
}

const PAIR_NAMES: NamesOf<RunPairOptions> = {
  count: true,
  seed: true,
  guidance: true,
  solver: true,
  steps: true,
  onProgress: true,
  open: true,
};

/** What a run on pairs of another run is. */
export const PAIR_MODELS = { reflow: "rectified-flow", distill: "distilled-flow" } as const;

/** What a run on pairs of another one is asked for. */
export interface PairFitRequest {
  /** reflow: a flow along the straight lines of the pairs; distill: a map from noise to samples in one step. */
  readonly kind: keyof typeof PAIR_MODELS;
  /** Folder of the run whose pairs are drawn. */
  readonly run: string;
  readonly pairs?: RunPairOptions;
  /** Options of training and of the new model by name; what is not given of the model is as in the run. */
  readonly fit?: Readonly<Record<string, unknown>>;
}

const REQUEST_NAMES: NamesOf<PairFitRequest> = { kind: true, run: true, pairs: true, fit: true };

/**
 * Rectifies a run once more, or distils it (Liu et al. 2022): draws pairs of noise and what the run makes of it, and fits a new
 * run to these. A rectified flow hands its weights on to begin with.
 * @throws OptionError where the run's model draws no pairs; what `fit` throws
 */
export async function fitToPairs(request: PairFitRequest, hooks: FitHooks = {}): Promise<FitSummary> {
  checkNames("fitToPairs", request, REQUEST_NAMES);
  const { kind, run, pairs = {}, fit: own = {} } = request;
  checkNames("fitToPairs: pairs", pairs, PAIR_NAMES);
  checkNames("fitToPairs: pairs: open", pairs.open ?? {}, LOAD_NAMES);
  // Drawing pairs takes long.
  checkHooks(hooks);
  const file = await drawRunPairs(run, pairs);
  // The data is that of the run, with what queries it has.
  return startFit(await fitRequest(kind, run, file, own), hooks, pairs.open?.trust ?? false);
}

async function fitRequest(
  kind: PairFitRequest["kind"],
  path: string,
  pairs: string,
  own: Readonly<Record<string, unknown>>,
): Promise<UncheckedRequest> {
  const run = await new RunFolder(path).readConfig();
  const model = PAIR_MODELS[kind];
  const known = Object.keys(modelSchema(findModel(model)).shape);
  const isFlow = run.model === PAIR_MODELS.reflow;
  // Of another model the network is taken over as it is built, without what it has learnt.
  const { path: _path, coupling: _coupling, conditional, ...rest } = run.modelOptions;
  // Without classes a run is conditional in name alone, and a new one that asks for it is refused.
  const inherited = { ...rest, ...(run.dataInfo.classes !== undefined && { conditional }) };
  const { data, dataOptions: located } = await locatedData(run, path);
  const { pairs: _pairs, ...dataOptions } = located;
  const isOfData = (name: string): boolean => Object.hasOwn(dataOptionsSchema.shape, name);
  return {
    // A stranger's config.json may have options of a fit among those of its data: where to write, what to fetch.
    ...Object.fromEntries(Object.entries(dataOptions).filter(([name]) => isOfData(name))),
    ...Object.fromEntries(Object.entries(inherited).filter(([name]) => known.includes(name))),
    ...(isFlow && run.modelOptions.path === "linear" && { weights: path }),
    data,
    ...own,
    model,
    pairs,
  };
}
