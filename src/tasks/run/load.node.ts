import { buildModel } from "../../catalog.ts";
import { type DetectionSet, withClasses } from "../../data/boxes/set.ts";
import { ImageChanges } from "../../data/image/changes.node.ts";
import { openData, openDetection } from "../../data/open.node.ts";
import type { DataSet } from "../../data/sources/data-set.ts";
import type { DataSource } from "../../data/sources/memory.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { TableChanges } from "../../data/table/changes.node.ts";
import { type AnyDetector, isDetector } from "../../detection/models/detector.ts";
import type { CascadeLookOptions } from "../../detection/models/mtcnn/options.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import type { Model } from "../../model/capabilities.ts";
import { abilities, type ModelDefinition } from "../../model/definition.ts";
import { checkState } from "../../nn/state.ts";
import { type NamesOf, parseOptions } from "../../options.ts";
import { Deadline, untilDeadline } from "../../program/deadline.ts";
import { nodeRuntime } from "../../program/node.ts";
import { Session } from "../../program/program.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { checkFingerprint } from "../../train/run-config.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { keepDefinition, modelInfo, runDefinition } from "./definition.node.ts";
import { cascadeLookingBy, detectionDataOptions, type Looking, lookingBy } from "./detection-options.ts";
import { asInRun, locatedData } from "./run-data.node.ts";
import type { GivenTrust } from "./trust.node.ts";

/** A fitted model, ready to sample, score or export. */
export interface LoadedRun {
  readonly folder: RunFolder;
  readonly config: RunConfig;
  readonly model: Model;
  readonly definition: ModelDefinition;
  readonly session: Session;
  /** How its cascade was asked to look at images as it was opened. */
  readonly cascade: CascadeLookOptions | undefined;
  /** When what runs on the session has to end. */
  readonly deadline: Deadline;
  /** Step of training that the weights are of; undefined where their file does not record it. */
  readonly weightsStep: number | undefined;
  /** Where its data is now, where that was said, and what of the run is trusted. */
  readonly source: {
    readonly given: string | DataSource | undefined;
    readonly trust: GivenTrust | undefined;
  };
  /** What was done to images that were read to be like those of the run. */
  readonly changes: ImageChanges;
  /** What of tables that were read is unlike the run's data. */
  readonly tableChanges: TableChanges;
  /** The run's own data, opened when first asked for. @throws OptionError where it has changed; DataError */
  data(): Promise<DataSet>;
}

export interface LoadRunOptions {
  /** Default: the best weights where validation has chosen some, otherwise the last. */
  readonly weights?: "best" | "last" | undefined;
  readonly provider?: string | undefined;
  readonly threads?: number | undefined;
  /** The definition of the model, for a run that was fitted with a definition object. */
  readonly definition?: ModelDefinition | undefined;
  /** Where the run's data is now, or the data itself where it was in memory. Default: as the run has it. */
  readonly data?: string | DataSource | undefined;
  /** What of the run is trusted, where it is a stranger's: its module, its queries. Default: nothing. */
  readonly trust?: GivenTrust | undefined;
  /** Of a detector that was fitted in branches (TridentNet): whether all three look or the middle one. Default: as it was fitted. */
  readonly trident?: Looking | undefined;
  /** Of a cascade (MTCNN): how it looks at images. Default: as in the run. */
  readonly cascade?: CascadeLookOptions | undefined;
  /** Ends what the run does between two calls of its runtime: it is then rejected with `Interrupted`. */
  readonly signal?: AbortSignal | undefined;
}

/** Names of all of `LoadRunOptions`. */
export const LOAD_NAMES: NamesOf<LoadRunOptions> = {
  weights: true,
  provider: true,
  threads: true,
  definition: true,
  data: true,
  trust: true,
  trident: true,
  cascade: true,
  signal: true,
};

/**
 * Opens a run folder: its model with its weights on a runtime.
 * @throws FileError, OptionError, WeightsError where folder, configuration or weights are missing or damaged
 */
export async function loadRun(
  path: string,
  options: LoadRunOptions & {
    /** The run's data, where it is open already. */
    readonly opened?: DataSet | undefined;
    /** When what it does has to end, in place of `signal`. */
    readonly deadline?: Deadline | undefined;
  } = {},
): Promise<LoadedRun> {
  const folder = new RunFolder(path);
  const config = cascadeLookingBy(lookingBy(await folder.readConfig(), options.trident), options.cascade);
  if (options.definition !== undefined) keepDefinition(options.definition);
  const definition = await runDefinition(config, path, options.trust);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  const read = await folder.readWeightsFile(options.weights);
  const weights = checkState(read.weights, model, read.file);
  const runtime = await nodeRuntime({
    provider: options.provider ?? "cpu",
    deterministic: config.fit.deterministic,
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  const { signal, deadline = new Deadline(() => signal?.aborted === true) } = options;
  let data = options.opened === undefined ? undefined : Promise.resolve(options.opened);
  return {
    folder,
    config,
    model,
    definition,
    session: new Session(untilDeadline(runtime, deadline), weights),
    cascade: options.cascade,
    deadline,
    weightsStep: read.step,
    source: { given: options.data, trust: options.trust },
    changes: new ImageChanges(),
    tableChanges: new TableChanges(),
    data() {
      data ??= runData(config, folder.path, options);
      return data;
    },
  };
}

/** The data of a run, checked to be what it was fitted on. @throws OptionError, DataError */
async function runData(
  config: RunConfig,
  folder: string,
  { data: given, trust }: Pick<LoadRunOptions, "data" | "trust">,
): Promise<DataSet> {
  const { data, dataOptions } = await locatedData(config, folder, given);
  const opened = await openData(
    data,
    parseOptions("data", dataOptionsSchema, dataOptions),
    asInRun(config, trust),
  );
  checkFingerprint(config.dataInfo.fingerprint, opened);
  return opened;
}

/** @throws OptionError where a run's model cannot do what is asked, listing what it can */
export function refuse(run: Pick<LoadedRun, "config" | "definition">, what: string): never {
  throw new OptionError(
    `${run.config.model} cannot ${what}; it can ${abilities(run.definition).join(", ")} (eidos models lists them all)`,
  );
}

/** True where a run's model was fitted to the density of each class. */
export function isClassConditional({ config }: LoadedRun): boolean {
  return config.modelOptions.conditional === true && config.dataInfo.classes !== undefined;
}

/** A fitted detector, ready to find objects. */
export interface DetectorRun extends Omit<LoadedRun, "model" | "data"> {
  readonly model: LoadedRun["model"] & AnyDetector;
  /** Names of the classes that it finds. */
  readonly classes: readonly string[];
}

/** An open run as that of a detector. @throws OptionError where its model is another one */
export function detectorRun(run: LoadedRun): DetectorRun {
  const { data: _data, model, ...others } = run;
  if (!isDetector(model)) return refuse(run, "find objects");
  const { classNames } = run.config.dataInfo;
  if (classNames === undefined) {
    throw new OptionError(`${run.folder.file("config.json")}: classNames are missing; fit again`);
  }
  return { ...others, model, classes: classNames };
}

/**
 * Images with boxes to measure a detector on: the run's own, or others, whose classes become those of the run.
 * @param options how other images are read
 * @throws OptionError where the run's own have changed, or the others have classes that the run has not; DataError
 */
export async function annotatedData(
  { config, classes, folder, source }: Pick<DetectorRun, "config" | "classes" | "folder" | "source">,
  name?: string | DataSource,
  options: Readonly<Record<string, unknown>> = {},
): Promise<DetectionSet> {
  if (name === undefined) {
    const { data, dataOptions } = await locatedData(config, folder.path, source.given);
    const set = await openDetection(data, detectionDataOptions(dataOptions).reading);
    checkFingerprint(config.dataInfo.fingerprint, set);
    return set;
  }
  const { reading } = detectionDataOptions(options);
  // A run that finds objects of all classes as one takes those of other data for it, too, and values of pixels as it was fitted to.
  const { oneClass, bits, valueRange } = detectionDataOptions(config.dataOptions).reading;
  const set = await openDetection(name, {
    ...(oneClass !== undefined && { oneClass }),
    ...(bits !== undefined && { bits }),
    ...(valueRange !== undefined && { valueRange }),
    ...reading,
  });
  return withClasses(set, classes, `the run ${folder.path}`);
}
