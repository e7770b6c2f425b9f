import { z } from "zod";
import { seedNumber } from "../bounds.ts";
import type { ModelName } from "../catalog.ts";
import type { SplitName } from "../data/sources/data-set.ts";
import type { Shard } from "../data/sources/shard.ts";
import type { DetectOptions } from "../detection/models/detector.ts";
import type { TestTimeOptions } from "../detection/scale/test-time.ts";
import type {
  EditOptions,
  InpaintOptions,
  SampleOptions,
  StateOptions,
  TranslateOptions,
} from "../model/capabilities.ts";
import type { CodeSolverOptions } from "../model/codes.ts";
import { checkNames, isRecord, type NamesOf, parseOptions } from "../options.ts";
import type { NdArray } from "../tensor/array.ts";
import type { ExportOptions } from "./export/export.node.ts";
import type { DetectionEvaluationOptions } from "./measure/detection.node.ts";
import type { Extent } from "./measure/distances.node.ts";
import type { EvaluationOptions } from "./measure/eval.node.ts";
import type { RunProbeOptions } from "./measure/probe.node.ts";
import { sampleSchema } from "./run/definition.node.ts";
import type { GivenValues } from "./run/given.node.ts";
import { LOAD_NAMES, type LoadedRun, type LoadRunOptions } from "./run/load.node.ts";
import type { TableWriting } from "./run/outputs.node.ts";
import type { Trust } from "./run/trust.node.ts";
import type { AnomalyOptions } from "./use/anomalies.node.ts";
import type { DecodeOptions, EncodeOptions } from "./use/codes.node.ts";
import type { DetectFilesOptions } from "./use/detect.node.ts";
import type { DetectFramesOptions } from "./use/detect-video.node.ts";
import { type EmbedOptions, type LayerOptions, POOLS } from "./use/embed.node.ts";
import type { EmbedFileOptions } from "./use/embed-file.node.ts";
import type { ImputeOptions } from "./use/impute.node.ts";
import type { Region } from "./use/inpaint.node.ts";
import type { InterpolateOptions } from "./use/interpolate.node.ts";
import type { DuplicateOptions, NeighborOptions } from "./use/neighbors.node.ts";
import type { Acceptance } from "./use/sample-where.node.ts";
import type { ScoreOptions } from "./use/score.node.ts";

// What the methods of a run take, and the names of all that they do: these stand here, and not beside what does the work, since that is loaded
// with the first call.

/** What drawing samples takes; the model's own options for sampling beside it. */
export interface SampleRequest extends Partial<SampleOptions> {
  /** Draws the samples of a shard alone, of `count` in all: those that all would have in its place, up to rounding. */
  readonly shard?: Shard | undefined;
  /** Values of the columns that the model is conditioned on. Default: those of random rows of its data. */
  readonly given?: GivenValues;
  /** Whether rows of tables have gaps at the rate of the data. Default: false, gaps are filled in. */
  readonly gaps?: boolean;
  /** Of tables: a condition that rows fulfil, such as `"end" > start and price < 3 * weight`; others are drawn again. */
  readonly where?: string;
  /** Called with how many rows were drawn for those that fulfil the condition. */
  readonly onAccepted?: (acceptance: Acceptance) => void;
  /** An option of the model's own sampler, such as `solver`, `steps` or `temperature`. */
  readonly [option: string]: unknown;
}

/** How images are completed. */
export interface InpaintRequest extends Partial<Omit<InpaintOptions, "x" | "known">> {
  /** What of every image is unknown, or [n or 1, …sampleShape] with 1 where an element is known. */
  readonly unknown: Region | { readonly kind: "known"; readonly known: NdArray<"float32"> };
}

/** How samples are encoded. */
export interface EncodeRequest extends Pick<EncodeOptions, "codes"> {
  /** Class of each sample, for models that need one. */
  readonly labels?: readonly number[];
}

/** How samples are edited: strength 0.5, 4 draws and seed 0 where not given. */
export type EditRequest = Partial<Omit<EditOptions, "x">>;

/** How a run is opened. */
export interface OpenRunOptions<N extends ModelName = ModelName> extends LoadRunOptions {
  /** The model that the run must be of; the methods of the result are then those that it can do. */
  readonly model?: N;
}

const counted: NamesOf<DetectOptions> = { confidence: true, iou: true, maximum: true };

const looks: NamesOf<TestTimeOptions> = {
  testScales: true,
  mirror: true,
  merge: true,
  testRanges: true,
  tiles: true,
  overlap: true,
  fullImage: true,
  tileMerge: true,
  tileThreshold: true,
  acrossClasses: true,
};

const frames: NamesOf<Omit<DetectFramesOptions, "onDamage">> = {
  ...counted,
  ...looks,
  pixelLimit: true,
  onTiles: true,
  onWindowLimit: true,
  signal: true,
};

const detections: NamesOf<DetectFilesOptions> = { ...frames, onUnreadable: true, shard: true };

const layer: NamesOf<LayerOptions> = { layer: true, pool: true };

const embeddings: NamesOf<EmbedOptions> = {
  ...layer,
  split: true,
  seed: true,
  from: true,
  shard: true,
  onUnreadable: true,
};

const { from: _, ...embedded } = embeddings;

const scores: NamesOf<ScoreOptions> = {
  seed: true,
  split: true,
  conditional: true,
  marks: true,
  by: true,
  neighbors: true,
  shard: true,
  normal: true,
  onUnreadable: true,
};

const similar: NamesOf<Omit<NeighborOptions, "count">> = {
  ...layer,
  distance: true,
  onUnreadable: true,
  onProgress: true,
};

const encoding: NamesOf<EncodeOptions> = {
  seed: true,
  split: true,
  label: true,
  codes: true,
  onUnreadable: true,
};

const writing: NamesOf<TableWriting> = { csvSafe: true, onMarked: true, onClipped: true };

const iteration: NamesOf<
  Pick<InpaintOptions, "draws" | "seed" | "steps" | "exact" | "method" | "resamplings">
> = { draws: true, seed: true, steps: true, exact: true, method: true, resamplings: true };

const NAMES = {
  openRun: { ...LOAD_NAMES, model: true } satisfies NamesOf<OpenRunOptions>,
  save: writing,
  score: scores,
  scores,
  anomalies: { ...scores, why: true } satisfies NamesOf<AnomalyOptions>,
  impute: {
    ...iteration,
    label: true,
    shard: true,
    onProgress: true,
    onClipped: true,
  } satisfies NamesOf<ImputeOptions>,
  inpaint: { ...iteration, label: true, onProgress: true, unknown: true } satisfies NamesOf<InpaintRequest>,
  edit: {
    strength: true,
    draws: true,
    seed: true,
    label: true,
    guidance: true,
    steps: true,
    eta: true,
    onProgress: true,
  } satisfies NamesOf<EditRequest>,
  translate: { back: true, seed: true, states: true, onProgress: true } satisfies NamesOf<
    Omit<TranslateOptions, "x">
  >,
  interpolate: {
    steps: true,
    path: true,
    labels: true,
    label: true,
    codes: true,
  } satisfies NamesOf<InterpolateOptions>,
  encode: { codes: true, labels: true } satisfies NamesOf<EncodeRequest>,
  codes: encoding,
  decode: { label: true, given: true, codes: true } satisfies NamesOf<DecodeOptions>,
  embed: embeddings,
  embeddings,
  featuresOf: layer,
  embedInto: {
    ...embedded,
    writing: true,
    onProgress: true,
    signal: true,
  } satisfies NamesOf<EmbedFileOptions>,
  probe: {
    ...layer,
    probes: true,
    labels: true,
    draws: true,
    neighbors: true,
    hidden: true,
    steps: true,
    seed: true,
    beside: true,
    references: true,
    information: true,
    signal: true,
    onProgress: true,
  } satisfies NamesOf<RunProbeOptions>,
  neighbors: { ...similar, count: true } satisfies NamesOf<NeighborOptions>,
  duplicates: { ...similar, threshold: true } satisfies NamesOf<DuplicateOptions>,
  detect: detections,
  detections,
  detectVideo: { ...frames, onDamage: true } satisfies NamesOf<DetectFramesOptions>,
  evaluate: {
    split: true,
    seed: true,
    distances: true,
    features: true,
    slowScores: true,
    most: true,
    drawn: true,
    target: true,
    imputedRows: true,
    control: true,
    onProgress: true,
  } satisfies NamesOf<EvaluationOptions>,
  evaluateBoxes: {
    ...counted,
    ...looks,
    sizes: true,
    falsePositives: true,
    recalls: true,
    roc: true,
    face: true,
    split: true,
    out: true,
    onProgress: true,
    reading: true,
  } satisfies NamesOf<DetectionEvaluationOptions & { readonly reading: unknown }>,
  export: {
    weights: true,
    sampler: true,
    suppression: true,
    trident: true,
    layer: true,
    cascade: true,
    trust: true,
    precision: true,
    calibrate: true,
    data: true,
    rawTensor: true,
    seed: true,
    page: true,
  } satisfies NamesOf<ExportOptions>,
};

/** Options that are objects with options of their own, the same wherever they stand. Others have schemas, or are data. */
const INNER: Readonly<Record<string, object>> = {
  codes: { solver: true, steps: true, onProgress: true } satisfies NamesOf<CodeSolverOptions>,
  shard: { index: true, count: true } satisfies NamesOf<Shard>,
  suppression: counted,
  trust: { module: true, query: true, download: true } satisfies NamesOf<Trust>,
  writing,
  most: { measured: true, drawn: true } satisfies NamesOf<NonNullable<EvaluationOptions["most"]>>,
};

/**
 * Values of options that mean the same in all methods. A wrong word would count as the default, or fail far below; other values are checked where
 * they are used.
 */
const VALUES = z.object({
  split: z.enum(["train", "validation", "test"] satisfies SplitName[]).optional(),
  seed: seedNumber().optional(),
  by: z.enum(["likelihood", "features"]).optional(),
  pool: z.enum(POOLS).optional(),
  distances: z.enum(["quick", "all"] satisfies Extent[]).optional(),
  weights: z.enum(["best", "last"]).optional(),
});

/** Refuses names of options that a method does not know, those of options within options among them, and words that are no values. @throws OptionError */
export function checkOptions(method: keyof typeof NAMES, options: unknown): void {
  checkNames(method, options, NAMES[method]);
  checkInner(method, options);
  parseOptions(method, VALUES, options);
}

function checkInner(method: string, options: unknown): void {
  if (!isRecord(options)) return;
  for (const [option, names] of Object.entries(INNER)) {
    const inner = options[option];
    if (isRecord(inner)) checkNames(`${method}: option ${option}`, inner, names);
  }
}

const drawing: NamesOf<Pick<SampleOptions, "count" | "seed" | "label">> = {
  count: true,
  seed: true,
  label: true,
};

/** Names beside those of the model's own sampler. */
const SAMPLING = {
  sample: {
    ...drawing,
    first: true,
    onProgress: true,
    shard: true,
    given: true,
    gaps: true,
    where: true,
    onAccepted: true,
  } satisfies NamesOf<SampleRequest>,
  sampleStates: { ...drawing, states: true, onState: true } satisfies NamesOf<
    Omit<StateOptions, "first" | "onProgress">
  >,
};

/** As `checkOptions`, for what draws samples: the options of the model's sampler are known as well. @throws OptionError */
export function checkSampling(
  method: keyof typeof SAMPLING,
  options: unknown,
  { model, definition }: LoadedRun,
): void {
  // Of a model that cannot do it this is told, whatever the options are.
  if (model[method] === undefined) return;
  const known = { ...sampleSchema(definition)?.shape, ...SAMPLING[method] };
  checkNames(`sampling from ${definition.name}`, options, known);
  checkInner(method, options);
  parseOptions(method, VALUES.pick({ seed: true }), options);
}
