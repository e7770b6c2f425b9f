import { resolve } from "node:path";
import { asOneClass, type DetectionSet, landmarkCount } from "../../data/boxes/set.ts";
import { type DataTrust, openData, openDetection, plainKind } from "../../data/open.node.ts";
import { type DataSet, range, type Split } from "../../data/sources/data-set.ts";
import { memoryName } from "../../data/sources/memory.ts";
import { type DataOptions, dataOptionsSchema } from "../../data/sources/options.ts";
import { schemaOf } from "../../data/table/schema-file.node.ts";
import { CROPS_OF_IMAGE } from "../../detection/models/mtcnn/crop-batches.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { nodeRuntime } from "../../program/node.ts";
import { elementCount } from "../../tensor/array.ts";
import { type FitOptions, fitOptions, resolveFitOptions } from "../../train/options.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { version } from "../../version.ts";
import { boxShapes, detectionInfo, usualOptions } from "../measure/detection-data.ts";
import { plannedChips, scaleTraining, settledScales } from "../measure/scale-training.ts";
import { settledSmall, smallTraining } from "../measure/small-training.ts";
import { settledTiles, tilesOfEpoch, trainedOn } from "../measure/tile-training.ts";
import { dataSchema, loadDefinition, modelInfo, modelSchema } from "../run/definition.node.ts";
import {
  checkCascadeOptions,
  type DetectionDataOptions,
  detectionDataOptions,
  PHOTO_SIZE,
  takesBoxes,
} from "../run/detection-options.ts";
import { pathsOf } from "../run/run-data.node.ts";
import { type GivenTrust, queryTrust } from "../run/trust.node.ts";
import { type FromRun, fromRun } from "./from-run.node.ts";
import { asTaken } from "./image-format.node.ts";
import { type Negatives, negativesOf } from "./negatives.node.ts";
import type { SentData, SentRequest } from "./request.ts";
import { smallTable } from "./small-table.ts";

// The configuration of a new fit: its options are divided and parsed, its data opened, and what follows from the data filled in.

type Options = Readonly<Record<string, unknown>>;

/** The class of all objects, for a detector that finds one, where the data have several and none is named. */
const ONE_CLASS = "object";

/** Data that is open. */
export type OpenedData =
  | { readonly kind: "samples"; readonly data: DataSet }
  | {
      readonly kind: "boxes";
      readonly data: DetectionSet;
      readonly options: DetectionDataOptions;
      /** Chips of background that an earlier run has found. */
      readonly negatives: Negatives | undefined;
    };

/** Data that is open, and what a new run keeps of it. */
interface NewData {
  readonly opened: OpenedData;
  /** The options with which it is opened again. */
  readonly dataOptions: Readonly<Record<string, unknown>>;
  readonly info: RunConfig["dataInfo"];
  /** Options of the model with what follows from the data. */
  readonly modelOptions: Readonly<Record<string, unknown>>;
  /** Lines for a person on what they do to the data. */
  readonly notes: readonly string[];
}

/** What else decides how data is opened and options are completed. */
interface Circumstances {
  readonly trust: GivenTrust;
  /** Whether the fit begins with given weights. */
  readonly fromWeights: boolean;
  /** Options of data as they were asked for, without those that a run begins from. */
  readonly asked: Options;
  readonly onDecoding: DataTrust["onDecoding"];
}

/** The configuration of a new fit, every option parsed, every default filled in, and its data. */
export async function configure(
  { model, data, out: _out, offline: _offline, ...rest }: SentRequest,
  trust: GivenTrust,
  { onDecoding }: Pick<DataTrust, "onDecoding">,
): Promise<{
  readonly definition: ModelDefinition;
  readonly config: RunConfig;
  readonly opened: OpenedData;
  readonly notes: readonly string[];
}> {
  const definition = await loadDefinition(model);
  const options = divideOptions(definition.name, rest, {
    fit: fitOptions,
    data: dataSchema(definition),
    model: modelSchema(definition),
  });
  const { fit, from } = await beginning(parseOptions("fit", fitOptions, options.fit), model);
  const parsed = parseOptions(definition.name, definition.options, {
    ...from?.modelOptions,
    ...options.model,
  }) as Options;
  // A provider that is not there is cheaper to find out than data is to read.
  if (fit.provider !== "cpu") await nodeRuntime({ provider: fit.provider });
  const open = takesBoxes(definition) ? openAnnotated : openSamples;
  const { opened, dataOptions, info, modelOptions, notes } = await open(
    definition,
    data,
    { ...from?.dataOptions, ...options.data },
    parsed,
    { trust, fromWeights: fit.weights !== undefined, asked: options.data, onDecoding },
  );
  if (options.model.conditional === true && info.classes === undefined) {
    throw new OptionError(
      "option conditional: the data has no classes (a table's are named by --label, those of images are folders); leave it out",
    );
  }
  const usual = definition.preferences?.(modelInfo(info)) ?? {};
  const small = smallTable(definition, info, fit, usual);
  const config = {
    eidos: version,
    created: new Date().toISOString(),
    model,
    modelOptions,
    data: nameOf(data),
    dataOptions,
    dataInfo: info,
    fit: resolveFitOptions(fit, { ...usual, ...small?.preferences }, info.trainCount),
  };
  const told = small === undefined ? notes : [...notes, small.note];
  return { definition, opened, notes: told, config: { ...config, paths: pathsOf(config) } };
}

/** Options of training with the weights of the run that the fit begins from, and what else it takes from it. @throws OptionError, FileError */
async function beginning(
  fit: FitOptions,
  model: string,
): Promise<{ readonly fit: FitOptions; readonly from: FromRun | undefined }> {
  if (fit.from === undefined) return { fit, from: undefined };
  if (fit.weights !== undefined) {
    throw new OptionError("options from and weights: both are weights to begin with; leave one out");
  }
  return { fit: { ...fit, weights: fit.from }, from: await fromRun(fit.from, model) };
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
  { trust, fromWeights, onDecoding }: Circumstances,
): Promise<NewData> {
  const declared = parseOptions("data", dataOptionsSchema, given).schema;
  // What a schema file declares is kept with the run, not where the file lay.
  const whole = declared === undefined ? given : { ...given, schema: await schemaOf(declared) };
  const parsed = parseOptions("data", dataOptionsSchema, whole);
  checkEnds(definition, parsed);
  const binary = await readsBinary(definition, source, parsed);
  const { data, notes } = await asTaken(
    [{ name: definition.name, definition, modelOptions }],
    { ...parsed, binary },
    (options) => openData(source, options, { ...queryTrust(trust), onDecoding }),
    infoOf,
  );
  const info = {
    ...infoOf(data),
    ...(data.kind === "binary" && !fromWeights && { ones: onesOf(data.splits.train) }),
  };
  return {
    opened: { kind: "samples", data },
    // What data is read as depends on the model too, and a protocol is kept even where it is the default one.
    dataOptions: {
      ...whole,
      ...(binary && { binary }),
      // What was chosen by the images is read so for good.
      ...data.format,
      ...(data.binarization !== undefined && { binarize: data.binarization.protocol }),
    },
    info,
    modelOptions,
    notes: [...notes, ...(definition.notes?.(modelOptions, modelInfo(info)) ?? [])],
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
  { fromWeights, asked }: Circumstances,
): Promise<NewData> {
  const { oneClass = false } = definition;
  if (oneClass) checkCascadeOptions(definition.name, asked);
  const { reading, inTiles } = detectionDataOptions(given);
  const read = await openDetection(source, reading);
  const isMerged = oneClass && read.classes.length > 1;
  const data = isMerged ? asOneClass(read, ONE_CLASS) : read;
  const usual = {
    ...usualOptions(nameOf(source), data, inTiles.tiles),
    ...given,
    ...(isMerged && { oneClass: ONE_CLASS }),
  };
  const { size = PHOTO_SIZE, ...first } = detectionDataOptions(usual);
  const training = scaleTraining(data, size, first);
  const small = smallTraining(trainedOn(data, first), size, first);
  const { negativesFrom } = first.bySize;
  const dataOptions = {
    ...usual,
    ...settledScales(training, first),
    ...settledSmall(small),
    ...settledTiles(first),
    // The run may be resumed in another folder.
    ...(negativesFrom !== undefined && { negativesFrom: resolve(negativesFrom) }),
  };
  const options = detectionDataOptions(dataOptions);
  const negatives = training.kind === "chips" ? await negativesOf(data, training, options) : undefined;
  const chips = plannedChips(data, training, options);
  const ofImages = detectionInfo(
    data,
    size,
    chips && { ...chips, ...(negatives && { negatives: negatives.fingerprint }) },
    tilesOfEpoch(data, options) ?? data.splits.train.count + (small?.again.length ?? 0),
  );
  const info = oneClass ? { ...ofImages, trainCount: CROPS_OF_IMAGE * data.splits.train.count } : ofImages;
  const known = {
    ...modelInfo(info),
    boxShapes: boxShapes(trainedOn(data, options), size, training),
    fromWeights,
    landmarks: landmarkCount(data),
  };
  const settled = (definition.settled?.(modelOptions, known) ?? modelOptions) as Options;
  return {
    opened: { kind: "boxes", data, options, negatives },
    dataOptions,
    info,
    modelOptions: settled,
    notes: definition.notes?.(settled, known) ?? [],
  };
}

/** What config.json calls the data. */
export function nameOf(data: SentData): string {
  return typeof data === "string" ? data : memoryName(data);
}

/** What a run keeps of data that a distribution is learnt of. */
export function infoOf(data: DataSet): RunConfig["dataInfo"] {
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

/** Digits that are kept of shares of ones. */
const SHARE_DIGITS = 6;

/** The share of ones of each element in a split, as if there were one sample more, half of which is ones. */
function onesOf(split: Split): readonly number[] {
  const counts = new Float64Array(elementCount(split.batch([0]).x.shape)).fill(0.5);
  for (let first = 0; first < split.count; first += 1024) {
    const { data } = split.batch(range(first, Math.min(1024, split.count - first))).x;
    for (let i = 0; i < data.length; i++) {
      const element = i % counts.length;
      counts[element] = (counts[element] ?? 0) + (data[i] ?? 0);
    }
  }
  return Array.from(counts, (count) => Number((count / (split.count + 1)).toPrecision(SHARE_DIGITS)));
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
