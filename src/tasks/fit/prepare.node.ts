import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildModel } from "../../catalog.ts";
import type { DetectionSet } from "../../data/boxes/set.ts";
import { fileError, makeFolder } from "../../data/files/files.node.ts";
import { openData, plainKind } from "../../data/open.node.ts";
import { type DataSet, range, type Split } from "../../data/sources/data-set.ts";
import { type DataOptions, dataOptionsSchema } from "../../data/sources/options.ts";
import { isDetector } from "../../detection/models/detector.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { nodeRuntime } from "../../program/node.ts";
import { checkFingerprint, checkParts, checkWhole, resolveFitOptions } from "../../train/fit-setup.ts";
import { fitOptions } from "../../train/options.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { RunFolder, type RunProgress } from "../../train/run-folder.node.ts";
import { warmStart } from "../../train/warm-start.node.ts";
import type { PreparedFit, ResolvedRun } from "../../train/worker-protocol.node.ts";
import { version } from "../../version.ts";
import { dataSchema, loadDefinition, modelInfo, modelSchema } from "../run/definition.node.ts";
import { takesBoxes } from "../run/detection-options.ts";
import { openAnnotated, resolveDetection } from "./detection.node.ts";
import type { FitRequest, FitTask } from "./fit.node.ts";
import { drawAndFinish } from "./outputs.node.ts";

type FitConfig = RunConfig["fit"];

const LIMITS = ["steps", "epochs", "seconds"] as const;

/**
 * The options with which a run goes on. A limit that is given takes the place of all limits the run had.
 * @throws OptionError for options that cannot be changed, and where the run is finished by these options
 */
export function resumedOptions(
  path: string,
  before: RunConfig,
  overrides: Readonly<Record<string, unknown>>,
  progress: RunProgress | undefined,
): FitConfig {
  const owner = `resuming ${path} (model and data stay as they were)`;
  const { fit: changed } = divideOptions(owner, overrides, { fit: fitOptions });
  const parsed = parseOptions("fit", fitOptions, changed) as Record<string, unknown>;
  const changes = Object.fromEntries(Object.keys(changed).map((name) => [name, parsed[name]]));
  const { steps, epochs, seconds, ...others } = before.fit;
  const limits: Partial<FitConfig> = LIMITS.some((name) => name in changes)
    ? {}
    : {
        ...(steps !== undefined && { steps }),
        ...(epochs !== undefined && { epochs }),
        ...(seconds !== undefined && { seconds }),
      };
  const options = { ...others, ...limits, ...changes } as FitConfig;
  checkParts(options.batchSize, options);
  if (progress !== undefined) refuseFinished(path, before, options, progress);
  return options;
}

/** A run that has reached its limit, or its patience, goes on only if that is raised. */
function refuseFinished(path: string, run: RunConfig, options: FitConfig, progress: RunProgress): void {
  const { step, seconds, validationsSinceBest, finished } = progress;
  const epochSteps = Math.max(1, Math.floor(run.dataInfo.trainCount / options.batchSize));
  const reached =
    options.steps !== undefined && step >= options.steps
      ? { what: `${step} steps`, more: `--steps ${2 * step}` }
      : options.epochs !== undefined && step >= options.epochs * epochSteps
        ? { what: `${options.epochs} epochs`, more: `--epochs ${2 * options.epochs}` }
        : options.seconds !== undefined && seconds >= options.seconds
          ? { what: `${Math.round(seconds)} seconds`, more: `--seconds ${Math.ceil(2 * seconds)}` }
          : options.patience !== undefined && validationsSinceBest >= options.patience
            ? {
                what: `${step} steps, ${validationsSinceBest} validations without improvement`,
                more: `--patience ${2 * options.patience}`,
              }
            : undefined;
  // Killed after the last step but before the report: that is still to do.
  const complete = finished || LIMITS.some((name) => options[name] !== run.fit[name]);
  if (reached !== undefined && complete) {
    throw new OptionError(
      `${path} is finished (${reached.what}); to train on, raise the limit: eidos fit --resume ${path} ${reached.more}`,
    );
  }
}

// What the fit worker and its replicas import: from options and names to models and data.

function infoOf(data: DataSet): RunConfig["dataInfo"] {
  return {
    kind: data.kind,
    sampleShape: data.sampleShape,
    fingerprint: data.fingerprint,
    trainCount: (data.pairs ?? data.splits).train.count,
    ...(data.classes !== undefined && {
      classes: data.classes.length,
      classNames: data.classes,
      classShares: classShares(data.splits.train, data.classes.length),
    }),
    ...(data.columns !== undefined && { columns: data.columns }),
    ...(data.binarization !== undefined && { binarization: data.binarization }),
    ...(data.energy !== undefined && { energy: data.energy }),
  };
}

/** The share of each class among the samples of a split. */
function classShares(split: Split, classes: number): readonly number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let first = 0; first < split.count; first += 1024) {
    const count = Math.min(1024, split.count - first);
    const { label } = split.batch(range(first, count));
    for (const value of label?.data ?? []) counts[Number(value)] = (counts[Number(value)] ?? 0) + 1;
  }
  return counts.map((count) => count / Math.max(1, split.count));
}

/** The folder name of a run that was given none. */
export function defaultFolder(model: string, data: string): string {
  const plain = (text: string): string =>
    text
      .replace(/[\\/]+$/, "")
      .replace(/^.*[\\/]/, "")
      .replace(/\.[a-z]+$/i, "")
      .replace(/[^A-Za-z0-9_-]+/g, "-")
      .slice(0, 40);
  return join("runs", `${plain(model)}-${plain(data) || "data"}`);
}

/** Makes the folder of that name, or the first of folder-2, folder-3, … that does not exist yet. */
async function makeFreeFolder(path: string): Promise<RunFolder> {
  for (let n = 1; ; n++) {
    const free = n === 1 ? path : `${path}-${n}`;
    try {
      await makeFolder(dirname(free));
      // Not recursive: of two runs that begin at the same time only one makes it.
      await mkdir(free);
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") continue;
      throw fileError(cause, "make the folder", free);
    }
    const folder = new RunFolder(free);
    await folder.create();
    return folder;
  }
}

/** Whether data is read as zeros and ones: where asked, or where the model takes them and not the data as it is. */
async function readsBinary(
  { dataKinds }: ModelDefinition,
  dataName: string,
  options: DataOptions,
): Promise<boolean> {
  if (options.binary !== undefined || !dataKinds.includes("binary")) return options.binary === true;
  return !dataKinds.includes(await plainKind(dataName, options));
}

/** Data that is open, with what a run keeps of it and the options with which it is opened again. */
interface OpenedData {
  readonly data: DataSet | DetectionSet;
  readonly dataOptions: Readonly<Record<string, unknown>>;
  readonly info: RunConfig["dataInfo"];
  /** Options of the model with what follows from the data, where something does. */
  readonly modelOptions?: Readonly<Record<string, unknown>>;
}

/** @throws OptionError where a model needs pairs or a source and is told none, or takes none and is told some */
function checkEnds(
  { name, pairs, needsSource = false }: ModelDefinition,
  options: Pick<DataOptions, "pairs" | "source" | "sourceClasses">,
): void {
  const isSourced = options.source !== undefined || options.sourceClasses !== undefined;
  if (needsSource && !isSourced) {
    throw new OptionError(
      `${name} leads from one data set to another; name the first: --source DATA, or --source-classes for classes of the same data`,
    );
  }
  if (!needsSource && isSourced) {
    throw new OptionError(
      `option ${options.source === undefined ? "sourceClasses" : "source"}: is of models from one data set to another (rectified-transport), not of ${name}; leave it out`,
    );
  }
  if (pairs === "needed" && options.pairs === undefined) {
    throw new OptionError(`${name} is fitted to pairs that a fitted model draws: eidos distill RUN`);
  }
  if (pairs === undefined && options.pairs !== undefined) {
    throw new OptionError(`option pairs: ${name} is not fitted to pairs; leave it out`);
  }
}

/** Opens data that a distribution is learnt of, with options as they are given. */
async function openSamples(
  definition: ModelDefinition,
  dataName: string,
  given: Readonly<Record<string, unknown>>,
): Promise<OpenedData> {
  const dataOptions = parseOptions("data", dataOptionsSchema, given);
  checkEnds(definition, dataOptions);
  const binary = await readsBinary(definition, dataName, dataOptions);
  const data = await openData(dataName, { ...dataOptions, binary });
  return {
    data,
    // What data is read as depends on the model too, and a protocol is told even where it is the default one.
    dataOptions: {
      ...given,
      ...(binary && { binary }),
      ...(data.binarization !== undefined && { binarize: data.binarization.protocol }),
    },
    info: infoOf(data),
  };
}

/** The configuration of a fit, every option parsed, every default filled in, and its data. */
async function configure(
  request: FitRequest,
): Promise<{ readonly config: RunConfig; readonly data: DataSet | DetectionSet }> {
  const { model, data: dataName, out: _out, ...rest } = request;
  const definition = await loadDefinition(model);
  const options = divideOptions(definition.name, rest, {
    fit: fitOptions,
    data: dataSchema(definition),
    model: modelSchema(definition),
  });
  const fit = parseOptions("fit", fitOptions, options.fit);
  const modelOptions = parseOptions(definition.name, definition.options, options.model);
  // A provider that is not there is cheaper to find out than data is to read.
  if (fit.provider !== "cpu") await nodeRuntime({ provider: fit.provider });
  const opened: OpenedData = takesBoxes(definition)
    ? await openAnnotated(definition, dataName, { data: options.data, model: modelOptions })
    : await openSamples(definition, dataName, options.data);
  const { data, dataOptions, info } = opened;
  return {
    data,
    config: {
      eidos: version,
      created: new Date().toISOString(),
      model,
      modelOptions: opened.modelOptions ?? (modelOptions as Record<string, unknown>),
      data: dataName,
      dataOptions,
      dataInfo: info,
      fit: resolveFitOptions(fit, definition.preferences?.(modelInfo(info)) ?? {}, info.trainCount),
    },
  };
}

/** Turns a configuration into a model and data; called in the fit worker and in replicas. */
export async function resolveRun(config: RunConfig, opened?: DataSet | DetectionSet): Promise<ResolvedRun> {
  const definition = await loadDefinition(config.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  if (isDetector(model)) {
    return resolveDetection(config, model, opened && "kind" in opened ? undefined : opened);
  }
  const data =
    opened && "kind" in opened
      ? opened
      : await openData(config.data, parseOptions("data", dataOptionsSchema, config.dataOptions));
  checkFingerprint(config.dataInfo.fingerprint, data);
  checkWhole(model, config.fit);
  return { model, data, ...drawAndFinish(config, model, data) };
}

/**
 * Makes a run ready to begin or go on: everything that can be wrong with options, model and data is said before
 * anything is written.
 * @throws OptionError, DataError, FileError, WeightsError
 */
export async function prepareFit(task: FitTask): Promise<PreparedFit> {
  if (task.type === "resume") return prepareResume(task.folder, task.overrides);
  const { request } = task;
  const { out } = request;
  if (out !== undefined) await refuseTaken(out);
  const { config, data } = await configure(request);
  const run = await resolveRun(config, data);
  const beginning = await beginningOf(config, run);
  let folder: RunFolder;
  if (out === undefined) folder = await makeFreeFolder(defaultFolder(request.model, request.data));
  else {
    folder = new RunFolder(out);
    await folder.create();
  }
  await folder.writeConfig(config);
  return { config, folder, resume: false, run, ...beginning };
}

/** Weights that a run begins with, where it is told, and what of them did not fit. */
async function beginningOf(
  { fit: { weights, seed } }: RunConfig,
  { model }: ResolvedRun,
): Promise<Pick<PreparedFit, "start" | "notes">> {
  if (weights === undefined) return {};
  const { start, report } = await warmStart(weights, model, seed);
  return { start, notes: report };
}

/** Says that a folder is taken before data is read. */
async function refuseTaken(path: string): Promise<void> {
  const folder = new RunFolder(path);
  if (await folder.exists()) await folder.create();
}

async function prepareResume(
  path: string,
  overrides: Readonly<Record<string, unknown>>,
): Promise<PreparedFit> {
  const folder = new RunFolder(path);
  const before = await folder.readConfig();
  // A damaged checkpoint is found before anything is written.
  const checkpoint = await folder.readCheckpoint();
  const fit = resumedOptions(path, before, overrides, checkpoint?.progress);
  const config: RunConfig = { ...before, fit };
  const run = await resolveRun(config);
  // Killed before its first checkpoint, a run begins again as it has begun.
  const beginning = checkpoint === undefined ? await beginningOf(config, run) : {};
  await folder.removeTemporaries();
  if (JSON.stringify(config) !== JSON.stringify(before)) await folder.writeConfig(config);
  return { config, folder, resume: true, run, ...beginning };
}
