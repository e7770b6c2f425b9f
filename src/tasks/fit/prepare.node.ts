import { stat } from "node:fs/promises";
import { join } from "node:path";
import { buildModel } from "../../catalog.ts";
import type { DetectionSet } from "../../data/boxes/set.ts";
import { openData, openDetection, plainKind } from "../../data/open.node.ts";
import { type DataSet, range, type Split } from "../../data/sources/data-set.ts";
import { type DataSource, memoryName, type PlainSource } from "../../data/sources/memory.ts";
import { type DataOptions, dataOptionsSchema } from "../../data/sources/options.ts";
import { isDetector } from "../../detection/models/detector.ts";
import { FileError, OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { nodeRuntime } from "../../program/node.ts";
import type { Fit } from "../../train/fit.node.ts";
import { checkFitMemory } from "../../train/memory.ts";
import { checkParts, checkWhole, fitOptions, resolveFitOptions } from "../../train/options.ts";
import { replicaPool } from "../../train/replicas.node.ts";
import { checkFingerprint, type RunConfig } from "../../train/run-config.ts";
import { RunFolder, type RunProgress, type WarmStart, warmStart } from "../../train/run-folder.node.ts";
import { version } from "../../version.ts";
import { boxShapes, detectionData, detectionInfo, usualOptions } from "../measure/detection-data.ts";
import { dataSchema, loadDefinition, modelInfo, modelSchema, runDefinition } from "../run/definition.node.ts";
import {
  type DetectionDataOptions,
  detectionDataOptions,
  PHOTO_SIZE,
  takesBoxes,
} from "../run/detection-options.ts";
import { locatedData, locatedWeights, pathsOf } from "../run/run-data.node.ts";
import { type GivenTrust, queryTrust } from "../run/trust.node.ts";
import { type FitSubject, outputsOf } from "./outputs.node.ts";

// From options and names to a fit that is ready to run: here the options of a fit are divided and parsed, its model is
// built and its data opened. The worker of a fit and its replicas import this.

type Options = Readonly<Record<string, unknown>>;

/** What a fit is asked for, before its options are checked: `FitRequest` without its types. */
export interface UncheckedRequest {
  /** Name in the catalogue, path of a module (.js, .mjs, .ts) whose default export is a model definition, or `definition:NAME`. */
  readonly model: string;
  /** Name, path or query, as for `openData`, or data in memory. */
  readonly data: string | DataSource;
  /** Run folder (default: runs/MODEL-DATA, with a number behind it where that is taken). */
  readonly out?: string;
  readonly [option: string]: unknown;
}

/** Data as it travels to the thread of a fit and to replicas. */
export type SentData = string | PlainSource;

/** A request that can be sent to another thread. */
export type SentRequest = UncheckedRequest & { readonly data: SentData };

/** A new run, or one to go on with; it can be sent to another thread. */
export type FitTask =
  | {
      readonly kind: "new";
      readonly request: SentRequest;
      /** Whether queries among its data are trusted: not where they come out of a run folder. Default: true. */
      readonly trust?: GivenTrust;
    }
  | {
      readonly kind: "resume";
      readonly folder: string;
      /** Options of training that are changed. */
      readonly overrides: Options;
      /** The data of the run, where it was in memory or is elsewhere now. */
      readonly data?: SentData;
      /** What of the run is trusted. Default: nothing. */
      readonly trust?: GivenTrust;
    };

/** A fit that can begin or go on. */
export interface PreparedFit {
  readonly fit: Fit;
  readonly config: RunConfig;
  /** Lines for a person beside those on the data: which of the weights that it begins with did not fit. */
  readonly notes: readonly string[];
}

/**
 * Makes a run ready to begin or go on. Errors in options, model and data come before anything is written. The folder is then locked:
 * `fitHere` unlocks it.
 * @throws OptionError, DataError, FileError, WeightsError
 */
export function prepareFit(task: FitTask): Promise<PreparedFit> {
  return task.kind === "new" ? prepareNew(task) : prepareResume(task);
}

async function prepareNew({
  request,
  trust = true,
}: Extract<FitTask, { kind: "new" }>): Promise<PreparedFit> {
  const { out, data } = request;
  if (out !== undefined) await refuseTaken(out);
  const { definition, opened, config } = await configure(request, trust);
  const subject = subjectOf(definition, config, opened);
  const start = await startOf(config, subject);
  let folder: RunFolder;
  if (out === undefined) folder = await makeFreeFolder(defaultFolder(config.model, config.data));
  else {
    folder = new RunFolder(out);
    await folder.create();
  }
  return unlockingOnError(folder, async () => {
    await folder.writeConfig(config);
    return prepared({ subject, config, data, folder, resume: false, start });
  });
}

/** Does what is left to prepare in a folder that is locked. */
async function unlockingOnError<T>(folder: RunFolder, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await folder.unlock();
    throw error;
  }
}

async function prepareResume({
  folder: path,
  overrides,
  data: given,
  trust,
}: Extract<FitTask, { kind: "resume" }>): Promise<PreparedFit> {
  const folder = new RunFolder(path);
  // A folder without a run is left as it is.
  await folder.readConfig();
  await folder.lock();
  return unlockingOnError(folder, async () => {
    const before = await folder.readConfig();
    // A damaged checkpoint is found before anything is written.
    const checkpoint = await folder.readCheckpoint();
    const fit = resumedOptions(path, before, overrides, checkpoint?.progress);
    const config: RunConfig = { ...before, fit, ...(given !== undefined && movedTo(before, given)) };
    const { subject, data } = await resolveRun(config, path, given, trust);
    // Killed before its first checkpoint, a run begins again as it has begun.
    const start = checkpoint === undefined ? await startOf(config, subject) : undefined;
    await folder.removeTemporaries();
    if (JSON.stringify(config) !== JSON.stringify(before)) await folder.writeConfig(config);
    return prepared({ subject, config, data, folder, resume: true, start });
  });
}

/** What config.json says of the data of a run, where that is elsewhere now. */
function movedTo(config: RunConfig, given: SentData): Pick<RunConfig, "data" | "paths"> {
  const data = nameOf(given);
  const { data: where } = pathsOf({ ...config, data });
  const { data: _before, ...others } = config.paths ?? {};
  return { data, paths: { ...others, ...(where !== undefined && { data: where }) } };
}

/** What config.json calls the data. */
function nameOf(data: SentData): string {
  return typeof data === "string" ? data : memoryName(data);
}

function prepared({
  subject,
  config,
  data,
  folder,
  resume,
  start,
}: {
  readonly subject: FitSubject;
  readonly config: RunConfig;
  readonly data: SentData;
  readonly folder: RunFolder;
  readonly resume: boolean;
  readonly start: WarmStart | undefined;
}): PreparedFit {
  return {
    config,
    notes: start?.report ?? [],
    fit: {
      model: subject.model,
      data: subject.data,
      options: config.fit,
      folder,
      resume,
      ...(start !== undefined && { start: start.start }),
      ...outputsOf(subject, config, folder),
      replicaPool: (tracer, batches) =>
        replicaPool(tracer, batches, config, new URL("./replica.node.ts", import.meta.url), data),
    },
  };
}

/** Weights that a run begins with, where they are given, and what of them did not fit. */
async function startOf(config: RunConfig, { model }: FitSubject): Promise<WarmStart | undefined> {
  const weights = await locatedWeights(config);
  return weights === undefined ? undefined : warmStart(weights, model, config.fit.seed);
}

/** Finds out that a folder is taken before data is read. @throws FileError */
async function refuseTaken(path: string): Promise<void> {
  const obstacle = await new RunFolder(path).obstacle();
  if (obstacle !== undefined) throw new FileError(obstacle);
}

/** Data that is open. */
type OpenedData =
  | { readonly kind: "samples"; readonly data: DataSet }
  | { readonly kind: "boxes"; readonly data: DetectionSet; readonly options: DetectionDataOptions };

/** Data that is open, and what a new run keeps of it. */
interface NewData {
  readonly opened: OpenedData;
  /** The options with which it is opened again. */
  readonly dataOptions: Readonly<Record<string, unknown>>;
  readonly info: RunConfig["dataInfo"];
  /** Options of the model with what follows from the data. */
  readonly modelOptions: Readonly<Record<string, unknown>>;
}

/** The configuration of a new fit, every option parsed, every default filled in, and its data. */
async function configure(
  { model, data, out: _out, ...rest }: SentRequest,
  trust: GivenTrust,
): Promise<{
  readonly definition: ModelDefinition;
  readonly config: RunConfig;
  readonly opened: OpenedData;
}> {
  const definition = await loadDefinition(model);
  const options = divideOptions(definition.name, rest, {
    fit: fitOptions,
    data: dataSchema(definition),
    model: modelSchema(definition),
  });
  const fit = parseOptions("fit", fitOptions, options.fit);
  const parsed = parseOptions(definition.name, definition.options, options.model) as Options;
  // A provider that is not there is cheaper to find out than data is to read.
  if (fit.provider !== "cpu") await nodeRuntime({ provider: fit.provider });
  const open = takesBoxes(definition) ? openAnnotated : openSamples;
  const { opened, dataOptions, info, modelOptions } = await open(
    definition,
    data,
    options.data,
    parsed,
    trust,
  );
  const config = {
    eidos: version,
    created: new Date().toISOString(),
    model,
    modelOptions,
    data: nameOf(data),
    dataOptions,
    dataInfo: info,
    fit: resolveFitOptions(fit, definition.preferences?.(modelInfo(info)) ?? {}, info.trainCount),
  };
  return { definition, opened, config: { ...config, paths: pathsOf(config) } };
}

/**
 * Opens data that a distribution is learnt of.
 * @param given options of data as they are given
 */
async function openSamples(
  definition: ModelDefinition,
  source: SentData,
  given: Options,
  modelOptions: Options,
  trust: GivenTrust,
): Promise<NewData> {
  const parsed = parseOptions("data", dataOptionsSchema, given);
  checkEnds(definition, parsed);
  const binary = await readsBinary(definition, source, parsed);
  const data = await openData(source, { ...parsed, binary }, queryTrust(trust));
  return {
    opened: { kind: "samples", data },
    // What data is read as depends on the model too, and a protocol is kept even where it is the default one.
    dataOptions: {
      ...given,
      ...(binary && { binary }),
      ...(data.binarization !== undefined && { binarize: data.binarization.protocol }),
    },
    info: infoOf(data),
    modelOptions,
  };
}

/**
 * Opens images with boxes, and fills in what options follow from them.
 * @param given options of data as they are given
 */
async function openAnnotated(
  definition: ModelDefinition,
  source: SentData,
  given: Options,
  modelOptions: Options,
): Promise<NewData> {
  const data = await openDetection(source, detectionDataOptions(given).reading);
  const dataOptions = { ...usualOptions(nameOf(source), data), ...given };
  const options = detectionDataOptions(dataOptions);
  const { size = PHOTO_SIZE } = options;
  const info = detectionInfo(data, size);
  const settled = definition.settled?.(modelOptions, {
    ...modelInfo(info),
    boxShapes: boxShapes(data, size),
  });
  return {
    opened: { kind: "boxes", data, options },
    dataOptions,
    info,
    modelOptions: (settled ?? modelOptions) as Options,
  };
}

/** The model and the data of a run, and its data where it lies. */
interface ResolvedRun {
  readonly subject: FitSubject;
  readonly data: SentData;
}

/**
 * The model and the data of a configuration that a run folder holds.
 * @param folder of the run, for messages
 * @param given the run's data, where it was in memory or is elsewhere now
 * @throws OptionError where the data has changed since the run began, or was in memory and is not given, or the run wants more trust;
 * DataError
 */
export async function resolveRun(
  config: RunConfig,
  folder: string,
  given: SentData | undefined,
  trust: GivenTrust | undefined,
): Promise<ResolvedRun> {
  const definition = await runDefinition(config, folder, trust);
  const { data, dataOptions } = await locatedData<PlainSource>(config, folder, given);
  return { subject: subjectOf(definition, config, await reopen(definition, data, dataOptions, trust)), data };
}

async function reopen(
  definition: ModelDefinition,
  data: SentData,
  dataOptions: RunConfig["dataOptions"],
  trust: GivenTrust | undefined,
): Promise<OpenedData> {
  if (takesBoxes(definition)) {
    const options = detectionDataOptions(dataOptions);
    return { kind: "boxes", options, data: await openDetection(data, options.reading) };
  }
  const options = parseOptions("data", dataOptionsSchema, dataOptions);
  return { kind: "samples", data: await openData(data, options, queryTrust(trust)) };
}

function subjectOf(definition: ModelDefinition, config: RunConfig, opened: OpenedData): FitSubject {
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  checkFitMemory(model, config.fit, config.dataInfo.sampleShape, memoryLimit());
  checkFingerprint(config.dataInfo.fingerprint, opened.data);
  checkWhole(model, config.fit);
  if (opened.kind === "samples") return { kind: "samples", model, data: opened.data };
  if (!isDetector(model)) {
    throw new OptionError(`${definition.name} is fitted to images with boxes, but it is no detector`);
  }
  return { kind: "boxes", model, data: detectionData(opened.data, model, opened.options) };
}

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

/** The folder of a run, where none is given. */
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

/** Makes the folder of that name, or the first of folder-2, folder-3, … that holds nothing yet. */
async function makeFreeFolder(path: string): Promise<RunFolder> {
  for (let n = 1; ; n++) {
    const free = n === 1 ? path : `${path}-${n}`;
    if ((await stat(free).catch(() => undefined))?.isDirectory() === false) continue;
    const folder = new RunFolder(free);
    if ((await folder.createUnlessTaken()) === undefined) return folder;
  }
}

/** Whether data is read as zeros and ones: where asked, or where the model takes them and not the data as it is. */
async function readsBinary(
  { dataKinds }: ModelDefinition,
  source: SentData,
  options: DataOptions,
): Promise<boolean> {
  if (options.binary !== undefined || !dataKinds.includes("binary")) return options.binary === true;
  return !dataKinds.includes(await plainKind(source, options));
}

/** @throws OptionError where a model needs pairs or a source and is given none, or takes none and is given some */
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

type FitConfig = RunConfig["fit"];

const LIMITS = ["steps", "epochs", "seconds"] as const;

/**
 * The options with which a run goes on. A limit that is given takes the place of all limits the run had.
 * @throws OptionError for options that cannot be changed, and where the run is finished by these options
 */
function resumedOptions(
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
