import { join } from "node:path";
import type { DataSet } from "../data/data-set.ts";
import { openData } from "../data/open.node.ts";
import { dataOptionsSchema } from "../data/options.ts";
import { FileError } from "../errors.ts";
import { nodeRuntime } from "../program/node.ts";
import type { State } from "../program/program.ts";
import { Session } from "../program/session.ts";
import { type FitProgress, type FitSummary, resolveFitOptions } from "../train/fit.node.ts";
import { fitInWorker } from "../train/fit-in-worker.node.ts";
import { fitOptions } from "../train/options.ts";
import type { RunConfig } from "../train/run-config.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import type { ResolvedRun } from "../train/worker-protocol.node.ts";
import { version } from "../version.ts";
import { exportRun } from "./export.node.ts";
import { buildModel, parseOptions } from "./models.ts";
import { divideOptions } from "./options.ts";
import { pictureCount, samplePicture, writePicture } from "./pictures.node.ts";
import { writeReport } from "./report.node.ts";
import { loadDefinition, modelInfo, modelSchema } from "./run.node.ts";

/** What `fit` takes: a model, data, where to write, and any option of training, data and model by its name. */
export interface FitRequest {
  /** Name in the catalogue, or path of a module (.js, .mjs) whose default export is a model definition. */
  readonly model: string;
  /** Name, path or query, as for `openData`. */
  readonly data: string;
  /** Run folder; runs/MODEL-DATA unless told, with a number behind it where that is taken. */
  readonly out?: string;
  readonly [option: string]: unknown;
}

export interface FitHooks {
  readonly onProgress?: (progress: FitProgress) => void;
  /** Ends the fit after the step under way. */
  readonly signal?: AbortSignal;
}

function infoOf(data: DataSet): RunConfig["dataInfo"] {
  return {
    kind: data.kind,
    sampleShape: data.sampleShape,
    fingerprint: data.fingerprint,
    trainCount: data.splits.train.count,
    ...(data.classes !== undefined && { classes: data.classes.length, classNames: data.classes }),
    ...(data.columns !== undefined && { columns: data.columns }),
  };
}

/** The folder name of a run that was given none. */
export function defaultFolder(model: string, data: string): string {
  const plain = (text: string): string =>
    text
      .replace(/^.*[\\/](?=[^\\/])/, "")
      .replace(/\.[a-z]+$/i, "")
      .replace(/[^A-Za-z0-9_-]+/g, "-")
      .slice(0, 40);
  return join("runs", `${plain(model)}-${plain(data)}`);
}

/** The folder itself, or the first of folder-2, folder-3, … that holds no run. */
async function freeFolder(path: string): Promise<string> {
  let free = path;
  for (let n = 2; await new RunFolder(free).exists(); n++) free = `${path}-${n}`;
  return free;
}

/** The configuration of a fit: every option parsed, every default filled in. @throws OptionError, DataError */
export async function configure(request: FitRequest): Promise<RunConfig> {
  const { model, data: dataName, out: _out, ...rest } = request;
  const definition = await loadDefinition(model);
  const options = divideOptions(rest, {
    fit: fitOptions,
    data: dataOptionsSchema,
    model: modelSchema(definition),
  });
  const fit = parseOptions("fit", fitOptions, options.fit);
  const modelOptions = parseOptions(definition.name, definition.options, options.model);
  const data = await openData(dataName, parseOptions("data", dataOptionsSchema, options.data));
  const info = infoOf(data);
  // Built once here, so that what is wrong with model or data is said before a run folder is made.
  buildModel(definition, options.model, modelInfo(info));
  return {
    eidos: version,
    created: new Date().toISOString(),
    model,
    modelOptions: modelOptions as Record<string, unknown>,
    data: dataName,
    dataOptions: options.data,
    dataInfo: info,
    fit: resolveFitOptions(fit, definition.preferences?.(modelInfo(info)) ?? {}, info.trainCount),
  };
}

/** Turns a configuration into a model and data; called in this thread and in workers. */
export async function resolveRun(config: RunConfig): Promise<ResolvedRun> {
  const definition = await loadDefinition(config.model);
  const data = await openData(config.data, parseOptions("data", dataOptionsSchema, config.dataOptions));
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  const { samplePictures, provider } = config.fit;
  const sample = model.sample?.bind(model);
  const pictures = samplePictures > 0 && sample !== undefined;
  const draw = async (folder: RunFolder, weights: State, name: string): Promise<void> => {
    if (!pictures) return;
    const session = new Session(await nodeRuntime({ provider }), weights);
    try {
      const count = pictureCount(data.kind, samplePictures);
      const samples = await sample(session, { count, seed: config.fit.seed });
      await writePicture(
        folder.file("samples", name),
        await samplePicture(config.dataInfo, samples, data.splits.train),
      );
    } finally {
      await session.release();
    }
  };
  return {
    model,
    data,
    draw: (folder, weights, step) => draw(folder, weights, `step-${String(step).padStart(6, "0")}`),
    finish: async (folder, summary) => {
      const weights = await folder.readWeights();
      await draw(folder, weights, "samples");
      if (model.exported !== undefined) await exportRun(folder.path, folder.file("model.onnx"));
      await writeReport(folder, summary);
    },
  };
}

const resolver = import.meta.url;

/**
 * Fits a model to data in a worker thread and writes a run folder.
 * @throws OptionError, DataError before anything is written; FileError, TrainingError later
 */
export async function fit(request: FitRequest, hooks: FitHooks = {}): Promise<FitSummary> {
  const config = await configure(request);
  const path = request.out ?? (await freeFolder(defaultFolder(request.model, request.data)));
  const folder = new RunFolder(path);
  if (await folder.exists()) {
    throw new FileError(
      `${path} holds a run already; continue it with --resume ${path}, or choose another folder with --out`,
    );
  }
  await folder.create();
  await folder.writeConfig(config);
  return fitInWorker({ config, folder: path, resume: false, resolver, ...hooks });
}

/**
 * Continues a run from its last checkpoint, bit for bit.
 * @param overrides options of training to change, for example a later limit
 * @throws OptionError where the data has changed; WeightsError where the checkpoint is damaged
 */
export async function resumeFit(
  path: string,
  overrides: Readonly<Record<string, unknown>> = {},
  hooks: FitHooks = {},
): Promise<FitSummary> {
  const folder = new RunFolder(path);
  const before = await folder.readConfig();
  const { fit: changed } = divideOptions(overrides, { fit: fitOptions });
  const config: RunConfig = { ...before, fit: { ...before.fit, ...parsePartial(changed) } };
  // A damaged checkpoint is found before anything is written.
  await folder.readCheckpoint();
  if (Object.keys(changed).length > 0) await folder.writeConfig(config);
  return fitInWorker({ config, folder: path, resume: true, resolver, ...hooks });
}

/** Parses options without filling in defaults for those that are not there. */
function parsePartial(options: Readonly<Record<string, unknown>>): Partial<RunConfig["fit"]> {
  const parsed = parseOptions("fit", fitOptions, options) as Record<string, unknown>;
  return Object.fromEntries(Object.keys(options).map((name) => [name, parsed[name]]));
}
