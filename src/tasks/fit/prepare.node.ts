import { stat } from "node:fs/promises";
import { join } from "node:path";
import { buildModel } from "../../catalog.ts";
import type { DetectionSet } from "../../data/boxes/set.ts";
import type { DownloadProgress } from "../../data/files/download.node.ts";
import { checkCanMake } from "../../data/files/files.node.ts";
import type { DecodingProgress } from "../../data/image/decode-all.node.ts";
import { openData, openDetection } from "../../data/open.node.ts";
import type { PlainSource } from "../../data/sources/memory.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { isDetector } from "../../detection/models/detector.ts";
import { Mtcnn } from "../../detection/models/mtcnn/mtcnn.ts";
import { INPUT_SIZES } from "../../detection/models/mtcnn/networks.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import type { Model } from "../../model/capabilities.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { parseOptions } from "../../options.ts";
import type { Fit } from "../../train/fit-request.node.ts";
import { checkFitMemory } from "../../train/memory.ts";
import { checkWhole } from "../../train/options.ts";
import { checkRanks } from "../../train/rank-pool.node.ts";
import type { RankJob } from "../../train/ranks/job.node.ts";
import { replicaPool } from "../../train/replicas.node.ts";
import { checkFingerprint, type RunConfig } from "../../train/run-config.ts";
import { RunFolder, type WarmStart, warmStart } from "../../train/run-folder.node.ts";
import { cascadeData } from "../measure/cascade-data.ts";
import { detectionData, validatedNumbers } from "../measure/detection-data.ts";
import { scaleTraining, trainedSizes } from "../measure/scale-training.ts";
import { modelInfo, runDefinition } from "../run/definition.node.ts";
import { type DetectionDataOptions, detectionDataOptions, takesBoxes } from "../run/detection-options.ts";
import { asInRun, locatedData, pathsOf } from "../run/run-data.node.ts";
import { type GivenTrust, trusts } from "../run/trust.node.ts";
import { offlineOption, startingWeights, type WeightsAccess } from "../run/weights.node.ts";
import { configure, nameOf, type OpenedData } from "./configure.node.ts";
import { withOwnClasses } from "./from-run.node.ts";
import { type Negatives, negativesOf } from "./negatives.node.ts";
import { type FitSubject, outputsOf } from "./outputs.node.ts";
import type { SentData, SentRequest } from "./request.ts";
import { resumedOptions } from "./resumed-options.node.ts";

// From options and names to a fit that is ready to run: here the options of a fit are divided and parsed, its model is
// built and its data opened. The worker of a fit and its replicas import this.

/** A new run, or one to go on with; it can be sent to another thread. */
export type FitTask =
  | {
      readonly kind: "new";
      readonly request: SentRequest;
      /** Whether queries among its data are trusted: not where they come out of a run folder. Default: true. */
      readonly trust?: GivenTrust;
      /** The job whose ranks share the batches. */
      readonly job?: RankJob | undefined;
    }
  | {
      readonly kind: "resume";
      readonly folder: string;
      /** Options of training that are changed. */
      readonly overrides: Readonly<Record<string, unknown>>;
      /** The data of the run, where it was in memory or is elsewhere now. */
      readonly data?: SentData;
      /** What of the run is trusted. Default: nothing. */
      readonly trust?: GivenTrust;
      /** Whether the weights that the run began with may only come from the cache. */
      readonly offline?: boolean;
      /** The job whose ranks share the batches. */
      readonly job?: RankJob | undefined;
    };

/** What is reported while a fit is prepared, and how that is ended. */
export interface PrepareReports {
  readonly onDownload?: (progress: DownloadProgress) => void;
  readonly onWarning?: (message: string) => void;
  /** Called about four times a second while the images of a folder are decoded. */
  readonly onDecoding?: (progress: DecodingProgress) => void;
  /** Asked after each step, and now and then while weights are fetched. */
  readonly shouldStop?: () => boolean;
}

/** A fit that can begin or go on. */
export interface PreparedFit {
  readonly fit: Fit;
  readonly config: RunConfig;
  /** The data where it lies. */
  readonly data: SentData;
  /** Lines for a person beside those on the data: what options do to it, and which of the weights that it begins with did not fit. */
  readonly notes: readonly string[];
}

/**
 * Makes a run ready to begin or go on. Errors in options, model and data come before anything is written. The folder is then locked:
 * `fitHere` unlocks it.
 * @throws OptionError, DataError, FileError, DownloadError, WeightsError
 */
export function prepareFit(task: FitTask, reports: PrepareReports = {}): Promise<PreparedFit> {
  return task.kind === "new" ? prepareNew(task, reports) : prepareResume(task, reports);
}

async function prepareNew(
  { request, trust = true, job }: Extract<FitTask, { kind: "new" }>,
  reports: PrepareReports,
): Promise<PreparedFit> {
  const { out, data } = request;
  const offline = offlineOption(request.offline);
  if (out !== undefined) await new RunFolder(out).checkFree();
  else await checkCanMake(defaultFolder(request.model, nameOf(data)), "make the folder");
  const { definition, opened, notes, config: configured } = await configure(request, trust, reports);
  const subject = subjectOf(definition, configured, opened);
  if (job !== undefined) checkRanks(subject.model, configured.fit, job.size);
  const start = await startOf(configured, { subject, definition }, { offline, asked: true }, reports);
  const config = { ...configured, ...recordOf(start) };
  let folder: RunFolder;
  if (out === undefined) folder = await makeFreeFolder(defaultFolder(config.model, config.data));
  else {
    folder = new RunFolder(out);
    await folder.create();
  }
  try {
    await folder.writeConfig(config);
    return prepared({ subject, definition, config, data, folder, resume: false, start, notes });
  } catch (error) {
    await folder.discard();
    throw error;
  }
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

async function prepareResume(
  { folder: path, overrides, data: given, trust, offline, job }: Extract<FitTask, { kind: "resume" }>,
  reports: PrepareReports,
): Promise<PreparedFit> {
  const folder = new RunFolder(path);
  // A folder without a run is left as it is.
  await folder.readConfig();
  await folder.lock();
  return unlockingOnError(folder, async () => {
    const before = await folder.readConfig();
    // A damaged checkpoint is found before anything is written.
    const checkpoint = await folder.readCheckpoint();
    const fit = resumedOptions(path, before, overrides, checkpoint?.progress);
    const isOther = fit.weights !== before.fit.weights;
    const resumed: RunConfig = {
      ...(isOther ? withWeights(before, fit) : before),
      fit,
      ...(given !== undefined && movedTo(before, given)),
    };
    const { definition, subject, data } = await resolveRun(resumed, path, given, trust, reports);
    if (job !== undefined) checkRanks(subject.model, fit, job.size);
    // Killed before its first checkpoint, a run begins again as it has begun.
    const access = {
      offline: offlineOption(offline),
      asked: overrides.weights !== undefined || trusts(trust, "download"),
      ...(!isOther && { run: path }),
    };
    const start =
      checkpoint === undefined ? await startOf(resumed, { subject, definition }, access, reports) : undefined;
    const config = { ...resumed, ...recordOf(start) };
    await folder.removeTemporaries();
    if (JSON.stringify(config) !== JSON.stringify(before)) await folder.writeConfig(config);
    return prepared({ subject, definition, config, data, folder, resume: true, start });
  });
}

/** What config.json says of the data of a run, where that is elsewhere now. */
function movedTo(config: RunConfig, given: SentData): Pick<RunConfig, "data" | "paths"> {
  const data = nameOf(given);
  const { data: where } = pathsOf({ ...config, data });
  const { data: _before, ...others } = config.paths ?? {};
  return { data, paths: { ...others, ...(where !== undefined && { data: where }) } };
}

/** What config.json says of a run that is to begin with other weights. */
function withWeights(before: RunConfig, fit: RunConfig["fit"]): RunConfig {
  const { weights: _record, paths: { weights: _path, ...paths } = {}, ...others } = before;
  const { weights: path } = pathsOf({ ...before, fit });
  return { ...others, paths: { ...paths, ...(path !== undefined && { weights: path }) } };
}

/** What config.json keeps of weights that were fetched. */
function recordOf(start: Start | undefined): Pick<RunConfig, "weights"> {
  return start?.record === undefined ? {} : { weights: start.record };
}

/** Weights that a run begins with. */
interface Start extends WarmStart {
  readonly record: RunConfig["weights"];
}

function prepared({
  subject,
  definition,
  config,
  data,
  folder,
  resume,
  start,
  notes = [],
}: {
  readonly subject: FitSubject;
  readonly definition: ModelDefinition;
  readonly config: RunConfig;
  readonly data: SentData;
  readonly folder: RunFolder;
  readonly resume: boolean;
  readonly start: WarmStart | undefined;
  /** On a run that begins. */
  readonly notes?: readonly string[];
}): PreparedFit {
  return {
    config,
    data,
    notes: [...notes, ...(start?.report ?? [])],
    fit: {
      model: subject.model,
      data: subject.data,
      options: config.fit,
      folder,
      resume,
      ...(start !== undefined && { start: start.start }),
      ...outputsOf(subject, { definition, config, folder }),
      replicaPool: replicasOf(config, data),
    },
  };
}

/** Makes the replicas of a fit. */
export function replicasOf(config: RunConfig, data: SentData): NonNullable<Fit["replicaPool"]> {
  return (tracer, batches, share) =>
    replicaPool(tracer, batches, config, new URL("./replica.node.ts", import.meta.url), data, share);
}

/** Weights that a run begins with, where they are given, and what of them did not fit. */
async function startOf(
  config: RunConfig,
  { subject, definition }: { readonly subject: FitSubject; readonly definition: ModelDefinition },
  access: WeightsAccess,
  reports: PrepareReports,
): Promise<Start | undefined> {
  const weights = await unlessStopped(reports, (signal) =>
    startingWeights(config, { ...access, ...reports, signal }),
  );
  if (weights === undefined) return undefined;
  const { from, seed } = config.fit;
  const fitting = await warmStart(weights.path, subject.model, seed, config.fit.weights);
  const { start, report } =
    from === undefined || from !== config.fit.weights
      ? fitting
      : await withOwnClasses(fitting, weights.path, definition, config);
  return { start, report: [...weights.notes, ...report], record: weights.record };
}

/** Milliseconds between two questions whether a fit is to stop. */
const QUESTIONS = 100;

/** Does what may take long, and has it stop where the fit is to. */
async function unlessStopped<T>(
  { shouldStop }: PrepareReports,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (shouldStop?.() === true) controller.abort();
  }, QUESTIONS);
  try {
    return await work(controller.signal);
  } finally {
    clearInterval(timer);
  }
}

/** The model and the data of a run, and its data where it lies. */
interface ResolvedRun {
  readonly definition: ModelDefinition;
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
  reports: PrepareReports = {},
): Promise<ResolvedRun> {
  const definition = await runDefinition(config, folder, trust);
  const { data, dataOptions } = await locatedData<PlainSource>(config, folder, given);
  const opened = await reopen(definition, config, data, dataOptions, trust, reports);
  return { definition, subject: subjectOf(definition, config, opened), data };
}

async function reopen(
  definition: ModelDefinition,
  config: RunConfig,
  data: SentData,
  dataOptions: RunConfig["dataOptions"],
  trust: GivenTrust | undefined,
  { onDecoding }: PrepareReports,
): Promise<OpenedData> {
  if (takesBoxes(definition)) {
    const options = detectionDataOptions(dataOptions);
    const set = await openDetection(data, options.reading);
    return { kind: "boxes", options, data: set, negatives: await reopenNegatives(config, set, options) };
  }
  const options = parseOptions("data", dataOptionsSchema, dataOptions);
  return { kind: "samples", data: await openData(data, options, { ...asInRun(config, trust), onDecoding }) };
}

/** Chips of background that an earlier run has found. @throws OptionError where it finds others than when the run began */
async function reopenNegatives(
  { dataInfo: { sampleShape, chips } }: RunConfig,
  set: DetectionSet,
  options: DetectionDataOptions,
): Promise<Negatives | undefined> {
  const training = scaleTraining(set, sampleShape[2] ?? 0, options);
  if (training.kind !== "chips") return undefined;
  return negativesOf(set, training, options, { fingerprint: chips?.negatives });
}

function subjectOf(definition: ModelDefinition, config: RunConfig, opened: OpenedData): FitSubject {
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  const { trained, validated } = samplesOf(config, opened, model);
  checkFitMemory(model, config.fit, trained, memoryLimit(), validated);
  checkFingerprint(config.dataInfo.fingerprint, opened.data);
  checkWhole(model, config.fit);
  if (opened.kind === "samples") return { kind: "samples", model, data: opened.data };
  if (!isDetector(model)) {
    throw new OptionError(`${definition.name} is fitted to images with boxes, but it is no detector`);
  }
  if (model.looks === "cascade") {
    if (!(model instanceof Mtcnn)) {
      throw new OptionError(`${definition.name}: cascades other than MTCNN cannot be fitted`);
    }
    const { augment, learnDifficult } = opened.options;
    const flip = augment === false ? 0 : augment.flip;
    return { kind: "cascade", model, data: cascadeData(opened.data, model, { flip, learnDifficult }) };
  }
  return {
    kind: "boxes",
    model,
    data: detectionData(opened.data, model, opened.options, opened.negatives?.chips),
  };
}

/** The shape of the largest samples that are trained on, and the numbers of a batch that is validated, where those may be more. */
function samplesOf(
  { dataInfo: { sampleShape } }: RunConfig,
  opened: OpenedData,
  model: Model,
): { readonly trained: readonly number[]; readonly validated: number } {
  if (opened.kind === "samples") return { trained: sampleShape, validated: 0 };
  if (model instanceof Mtcnn) return { trained: [3, INPUT_SIZES.onet, INPUT_SIZES.onet], validated: 0 };
  const [channels = 0, , width = 0] = sampleShape;
  const training = scaleTraining(opened.data, width, opened.options);
  const largest = Math.max(...trainedSizes(training));
  return { trained: [channels, largest, largest], validated: validatedNumbers(width, training) };
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
