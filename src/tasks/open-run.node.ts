/// <reference lib="esnext.disposable" preserve="true" />

import type { AbilityOf, ModelName } from "../catalog.ts";
import type { DetectionSet } from "../data/boxes/set.ts";
import type { VideoFrame } from "../data/image/video.node.ts";
import type { DataSource } from "../data/index.node.ts";
import type { PhotoImage } from "../data/index.ts";
import type { DataSet } from "../data/sources/data-set.ts";
import type { Detection } from "../detection/boxes/detections.ts";
import { isDetector } from "../detection/models/detector.ts";
import { DataError, OptionError } from "../errors.ts";
import type { TranslateOptions } from "../model/capabilities.ts";
import type { Raster } from "../report/index.ts";
import type { NdArray } from "../tensor/array.ts";
import type { RunConfig } from "../train/run-config.ts";
import type { ExportOptions, ExportSummary } from "./export/export.node.ts";
import type { DetectionEvaluation, DetectionEvaluationOptions } from "./measure/detection.node.ts";
import type { FeatureView } from "./measure/distances.node.ts";
import type { Evaluation, EvaluationOptions } from "./measure/eval.node.ts";
import { featureView } from "./measure/feature-view.node.ts";
import type { RunProbe, RunProbeOptions } from "./measure/probe.node.ts";
import { cascadeLookOf, lookingOf } from "./run/detection-options.ts";
import type { NamedImage, Source } from "./run/inputs.node.ts";
import { annotatedData, detectorRun, type LoadedRun, loadRun } from "./run/load.node.ts";
import type { TableWriting } from "./run/outputs.node.ts";
import { chosenSamples, forModel, type SampleInput } from "./run/samples.node.ts";
import {
  checkOptions,
  checkSampling,
  type EditRequest,
  type EncodeRequest,
  type InpaintRequest,
  type OpenRunOptions,
  type SampleRequest,
} from "./run-options.node.ts";
import type { AnomalyOptions, AnomalyRanking } from "./use/anomalies.node.ts";
import {
  type CodeBatch,
  type DecodeOptions,
  decodeRun,
  type EncodeOptions,
  encodeRun,
  encodeSamples,
} from "./use/codes.node.ts";
import type { DetectedImage, DetectFilesOptions } from "./use/detect.node.ts";
import type { DetectFramesOptions } from "./use/detect-video.node.ts";
import {
  type Embedded,
  type EmbedOptions,
  embedAll,
  embedding,
  embedRun,
  type FeatureBatch,
  type LayerOptions,
} from "./use/embed.node.ts";
import type { EmbedFileOptions, EmbedSummary } from "./use/embed-file.node.ts";
import type { Imputation, ImputeOptions } from "./use/impute.node.ts";
import type { InterpolateOptions } from "./use/interpolate.node.ts";
import type { DuplicateOptions, Duplicates, NeighborOptions, Neighbors } from "./use/neighbors.node.ts";
import { sampleRun, sampleStatesOf, writeSamples } from "./use/sample.node.ts";
import { type ScoreBatch, type ScoreOptions, score } from "./use/score.node.ts";

/** Scores of samples, gathered. */
export interface Scores {
  /** Nats a sample, in order of the data: for tables in the table's own units, for images of the bytes. */
  readonly logLikelihood: Float64Array;
  /** Paths of the images within their folder, where images of a folder were scored. */
  readonly files?: readonly string[];
}

/** Objects found in an image. */
export interface Found {
  /** Size of the image in pixels, upright. */
  readonly width: number;
  readonly height: number;
  /** From the best down, in pixels of the upright image. */
  readonly objects: readonly (Detection & { readonly label: string })[];
}

/** Objects found in a frame of a video. */
export interface FoundInFrame extends Found {
  /** From 0 on. */
  readonly frame: number;
  /** When it is shown, in seconds from the beginning of the video. */
  readonly seconds: number;
  /** Whether more was found than the maximum. */
  readonly cut: boolean;
}

/**
 * A fitted model from a run folder, ready for use. Its methods are what one does with a model; one that the model cannot do throws
 * an OptionError that lists what it can, and is absent from the type where the model is named: `openRun<"yolo">(folder)`.
 */
export class Run {
  /** The run as the tasks of this room take it: model, session and folder. For experts. */
  readonly loaded: LoadedRun;

  constructor(loaded: LoadedRun) {
    this.loaded = loaded;
  }

  /** Path of the run folder. */
  get folder(): string {
    return this.loaded.folder.path;
  }

  /** The record of the run: model, data, and every option. */
  get config(): RunConfig {
    return this.loaded.config;
  }

  /** Names of the classes; empty where the data has none. */
  get classes(): readonly string[] {
    return this.config.dataInfo.classNames ?? [];
  }

  /** Step of training that the weights are of; undefined where their file does not record it. */
  get weightsStep(): number | undefined {
    return this.loaded.weightsStep;
  }

  /** The data that the run was fitted on. @throws OptionError where it has changed; DataError */
  data(): Promise<DataSet> {
    return this.loaded.data();
  }

  /**
   * Draws samples in data units, [count, …sampleShape]: bytes of images (not rounded), standardized columns of tables, points, zeros
   * and ones. The same seed draws the same samples.
   *
   *     const samples = await run.sample({ count: 64, seed: 1 });
   *     await run.save(samples, "samples.png");
   *
   * @param options count (default: 16), seed (default: 0), label, given, where, and the sampler's own options
   * @throws OptionError where the model cannot draw samples or an option is wrong
   */
  async sample(request: SampleRequest = {}): Promise<NdArray<"float32">> {
    checkSampling("sample", request, this.loaded);
    const { where, onAccepted, ...options } = request;
    const settings = { count: 16, seed: 0, ...options };
    if (where === undefined) return sampleRun(this.loaded, settings);
    const { sampleWhere } = await import("./use/sample-where.node.ts");
    return sampleWhere(this.loaded, where, { ...settings, ...(onAccepted && { onAccepted }) });
  }

  /** Samples as they form from noise: at most `states` arrays, the last of which `sample` draws. @throws OptionError as `sample` */
  async sampleStates(
    options: SampleRequest & { readonly states: number },
  ): Promise<readonly NdArray<"float32">[]> {
    checkSampling("sampleStates", options, this.loaded);
    return sampleStatesOf(this.loaded, { count: 16, seed: 0, ...options });
  }

  /**
   * Writes samples by the file's extension: .png a picture, .npy the array, .csv and .parquet a table in the table's own units.
   * @param writing in .csv, texts that a spreadsheet would take for formulas are marked by an apostrophe in front, unless `csvSafe` is
   * false; `onMarked` is called where there were some, `onClipped` where cells lay beyond the bounds of their columns
   * @throws OptionError for another extension; FileError
   */
  async save(samples: NdArray<"float32">, path: string, writing: TableWriting = {}): Promise<void> {
    checkOptions("save", writing);
    return writeSamples(this.loaded, samples, path, writing);
  }

  /**
   * The log-likelihood of every sample in nats.
   *
   *     const { logLikelihood } = await run.score("new-rows.csv");
   *     const { logLikelihood } = await run.score(rows([{ alcohol: 9.4, pH: 3.5 }]));
   *
   * @param source a table file, a query, a folder of images, the name of data, or data in memory. Default: the test split of the run's own data
   * @throws OptionError where the model has no density or the data is of another kind; DataError
   */
  async score(source?: Source, options: ScoreOptions = {}): Promise<Scores> {
    checkOptions("score", options);
    const values: number[] = [];
    const files: string[] = [];
    for await (const batch of this.scores(source, options)) {
      for (const value of batch.logLikelihood) values.push(value);
      files.push(...(batch.files ?? []));
    }
    return { logLikelihood: Float64Array.from(values), ...(files.length > 0 && { files }) };
  }

  /** As `score`, batch by batch in constant memory. */
  scores(source?: Source, options: ScoreOptions = {}): AsyncGenerator<ScoreBatch> {
    checkOptions("scores", options);
    return score(this.loaded, source, options);
  }

  /**
   * Ranks samples by −log-likelihood, the most unusual first.
   *
   *     const { order, why } = await run.anomalies("new-rows.csv", { why: 10 });
   *
   * @throws OptionError, DataError as `score`
   */
  async anomalies(source?: Source, options: AnomalyOptions = {}): Promise<AnomalyRanking> {
    checkOptions("anomalies", options);
    const { rankAnomalies } = await import("./use/anomalies.node.ts");
    return rankAnomalies(this.loaded, source, options);
  }

  /**
   * Fills in the missing cells of a table with draws from the model's conditional density.
   * @throws OptionError where the model cannot do this or the data is no table; DataError while reading
   */
  async impute(table: Source, options: ImputeOptions = {}): Promise<Imputation> {
    checkOptions("impute", options);
    const { imputeTable } = await import("./use/impute.node.ts");
    return imputeTable(this.loaded, table, options);
  }

  /**
   * Completes images: [n, draws, channels, height, width] in data units, not rounded.
   *
   *     const drawn = await run.inpaint({ index: [3, 17] }, { unknown: { kind: "half", half: "bottom" }, draws: 4 });
   *
   * @throws OptionError where the model cannot complete samples, or the region lies outside of the images; DataError
   */
  async inpaint(images: SampleInput, request: InpaintRequest): Promise<NdArray<"float32">> {
    checkOptions("inpaint", request);
    const { unknown, ...options } = request;
    const { inpaintRun, knownMask } = await import("./use/inpaint.node.ts");
    const known = unknown.kind === "known" ? unknown.known : await knownMask(this.loaded, unknown);
    const chosen = forModel(this.loaded, await chosenSamples(this.loaded, images, "inpaint"));
    return inpaintRun(this.loaded, chosen, { draws: 1, seed: 0, ...options, known });
  }

  /** Changes samples by noising and denoising them: [n, draws, …sampleShape]. @throws OptionError where the model cannot; DataError */
  async edit(samples: SampleInput, options: EditRequest = {}): Promise<NdArray<"float32">> {
    checkOptions("edit", options);
    const { editRun } = await import("./use/edit.node.ts");
    const { x } = await chosenSamples(this.loaded, samples, "edit");
    return editRun(this.loaded, { strength: 0.5, draws: 4, seed: 0, ...options, x });
  }

  /** Leads samples of one data set to another: [n, states, …sampleShape], x itself first. @throws OptionError, DataError */
  async translate(
    samples: SampleInput,
    options: Partial<Omit<TranslateOptions, "x">> = {},
  ): Promise<NdArray<"float32">> {
    checkOptions("translate", options);
    const { translateRun } = await import("./use/edit.node.ts");
    const { x } = await chosenSamples(this.loaded, samples, "translate");
    return translateRun(this.loaded, { ...options, x });
  }

  /** Samples along paths through the space of codes, [pairs · steps, …sampleShape]. @throws OptionError, DataError */
  async interpolate(
    ends: SampleInput,
    options: Partial<InterpolateOptions> = {},
  ): Promise<NdArray<"float32">> {
    checkOptions("interpolate", options);
    const { interpolateRun } = await import("./use/interpolate.node.ts");
    const { x, labels } = await chosenSamples(this.loaded, ends, "interpolate");
    return interpolateRun(this.loaded, x, { steps: 8, labels, ...options });
  }

  /**
   * Codes of samples.
   * @param source an array [n, …sampleShape] in data units gives codes [n, dimensions]
   * @throws OptionError where the model has no codes, or needs a class and none is known
   */
  async encode(source: NdArray<"float32">, options: EncodeRequest = {}): Promise<NdArray<"float32">> {
    checkOptions("encode", options);
    return encodeSamples(this.loaded, source, options.labels, options.codes);
  }

  /** Codes of the samples of some data, batch by batch: a table, a folder, or a split of the run's own data. */
  codes(source?: Source, options: EncodeOptions = {}): AsyncGenerator<CodeBatch> {
    checkOptions("codes", options);
    return encodeRun(this.loaded, source, options);
  }

  /**
   * Features of the samples of some data: those of the layer `code`, or of another one. Of a detector those of its backbone.
   *
   *     const { features, files } = await run.embed("photos");
   *     const maps = await run.embed(undefined, { layer: "local", pool: "mean" });
   *
   * @param source a table, a query, a folder of images, data in memory; default: a split of the run's own data
   * @throws OptionError where the model has no features or no such layer, or the data is of another kind; DataError
   */
  async embed(source?: Source, options: EmbedOptions = {}): Promise<Embedded> {
    checkOptions("embed", options);
    return embedAll(this.loaded, source, options);
  }

  /** As `embed`, batch by batch in constant memory. */
  embeddings(source?: Source, options: EmbedOptions = {}): AsyncGenerator<FeatureBatch> {
    checkOptions("embeddings", options);
    return embedRun(this.loaded, source, options);
  }

  /** Features of samples [n, …sampleShape] in data units: [n, …]. @throws OptionError as `embed` */
  async featuresOf(samples: NdArray<"float32">, options: LayerOptions = {}): Promise<NdArray<"float32">> {
    checkOptions("featuresOf", options);
    return embedding(this.loaded, options)(samples);
  }

  /**
   * Writes features as .parquet, .npy or .csv with the names of their rows, in constant memory. Stopped by `signal` or a kill, the same call goes on where
   * it was.
   * @throws OptionError as `embed`, or for another extension; DataError; FileError
   */
  async embedInto(path: string, source?: string, options: EmbedFileOptions = {}): Promise<EmbedSummary> {
    checkOptions("embedInto", options);
    const { embedIntoFile } = await import("./use/embed-file.node.ts");
    return embedIntoFile(this.loaded, source, path, options);
  }

  /**
   * The features as what images are compared in: `other.evaluate({ distances: "all", features: run.view() })`.
   * @throws OptionError where the run is not of images, or the model has no features
   */
  view(): FeatureView {
    return featureView(this.loaded);
  }

  /**
   * What the features are worth: classifiers on frozen features of labeled data, beside raw samples, principal components and the same network without
   * training.
   *
   *     const { rows } = await run.probe(undefined, { labels: [100], draws: 10 });
   *
   * @throws OptionError where the model has no features or the data no classes; DataError
   */
  async probe(source?: Source, options: RunProbeOptions = {}): Promise<RunProbe> {
    checkOptions("probe", options);
    const { probeRun } = await import("./measure/probe.node.ts");
    return probeRun(this.loaded, source, options);
  }

  /**
   * The images of a folder that are most similar to each of some images, by their features; exact.
   * @param images files, folders or patterns
   * @throws OptionError where the run is not of images or the model has no features; DataError
   */
  async neighbors(
    images: string | readonly string[],
    among: string,
    options: NeighborOptions = {},
  ): Promise<readonly Neighbors[]> {
    checkOptions("neighbors", options);
    const { nearestImages } = await import("./use/neighbors.node.ts");
    return nearestImages(this.loaded, typeof images === "string" ? [images] : images, among, options);
  }

  /** A picture of neighbors: a row for each image, itself first. */
  async neighborPicture(among: string, found: readonly Neighbors[]): Promise<Raster> {
    const { neighborPicture } = await import("./use/neighbors.node.ts");
    return neighborPicture(this.loaded, among, found);
  }

  /** Images of a folder that are nearly the same by their features. @throws OptionError, DataError as `neighbors` */
  async duplicates(folder: string, options: DuplicateOptions = {}): Promise<Duplicates> {
    checkOptions("duplicates", options);
    const { nearDuplicates } = await import("./use/neighbors.node.ts");
    return nearDuplicates(this.loaded, folder, options);
  }

  /**
   * Samples in data units from codes [n, dimensions], or a file of them (.npy, .csv, .parquet).
   * @throws OptionError where the model has no codes, or is conditional and no class is given; DataError
   */
  async decode(codes: string | NdArray<"float32">, options: DecodeOptions = {}): Promise<NdArray<"float32">> {
    checkOptions("decode", options);
    return decodeRun(this.loaded, codes, options);
  }

  /**
   * Finds objects in an image. A run that was fitted with SNIP or SNIPER looks at the scales of its fit, each for the objects that were learnt
   * there, unless `testScales` are given; `testScales: [1]` looks once.
   *
   *     const { objects } = await run.detect("photo.jpg", { confidence: 0.5 });
   *
   * Objects have `landmarks` where the detector predicts any.
   * @param image a path, encoded bytes (PNG, JPEG, WebP, …), or RGBA pixels
   * @throws OptionError where the model finds no objects; DataError naming the image
   */
  async detect(image: string | PhotoImage, options: DetectFilesOptions = {}): Promise<Found> {
    checkOptions("detect", options);
    const { classes } = detectorRun(this.loaded);
    const name = typeof image === "string" ? image : "the image";
    const unreadable = (_: NamedImage, reason: string): never => {
      throw new DataError(`${name}: ${reason}`);
    };
    for await (const { width, height, found } of this.detections([{ image, name }], {
      onUnreadable: unreadable,
      ...options,
    })) {
      const objects = found.map((detection) => ({
        ...detection,
        label: classes[detection.class] ?? String(detection.class),
      }));
      return { width, height, objects };
    }
    throw new DataError(`${name}: nothing was read`);
  }

  /** Finds objects in many images, one after the other; `findImages` lists those of folders and patterns. */
  detections(images: readonly NamedImage[], options: DetectFilesOptions = {}): AsyncGenerator<DetectedImage> {
    checkOptions("detections", options);
    return detected(detectorRun(this.loaded), images, options);
  }

  /**
   * Finds objects in each frame of a video, one after the other; the video is never in memory.
   *
   *     for await (const { seconds, objects } of run.detectVideo("clip.mp4", { confidence: 0.5 })) {
   *       console.log(seconds, objects.length);
   *     }
   *
   * Ended by `signal`, or by leaving the loop, it looks at no further frame.
   * @param video a file, which ffmpeg decodes, or frames with their times from elsewhere: a camera, another decoder
   * @throws OptionError where the model finds no objects; DataError where no frame can be read; MissingPackageError where ffmpeg is not installed
   */
  async *detectVideo(
    video: string | AsyncIterable<VideoFrame> | Iterable<VideoFrame>,
    options: DetectFramesOptions = {},
  ): AsyncGenerator<FoundInFrame> {
    checkOptions("detectVideo", options);
    const run = detectorRun(this.loaded);
    const { detectFrames } = await import("./use/detect-video.node.ts");
    for await (const { frame, found, cut } of detectFrames(run, video, options)) {
      const { index, seconds, width, height } = frame;
      const objects = found.map((one) => ({ ...one, label: run.classes[one.class] ?? String(one.class) }));
      yield { frame: index, seconds, width, height, objects, cut };
    }
  }

  /**
   * Measures the model on a split of its data: loss, log-likelihood, and distances between drawn samples and data.
   * @throws OptionError where the data has changed since the fit, the split is empty or the model is a detector (`evaluateBoxes`)
   */
  async evaluate(options: EvaluationOptions = {}): Promise<Evaluation> {
    checkOptions("evaluate", options);
    const { evaluateRun } = await import("./measure/eval.node.ts");
    return evaluateRun(this.loaded, options);
  }

  /**
   * Measures a detector on images with boxes: COCO's and VOC's average precision, the best cut, and what is wrong. It looks as `detect` does.
   *
   *     const { coco, recallBySize } = await run.evaluateBoxes(undefined, { sizes: [8, 16, 32, 96], falsePositives: [0.1, 1] });
   *
   * @param data name, path, or an open set. Default: the run's own
   * @param options what is measured besides: `sizes`, `falsePositives`, `recalls`, `face`, `roc`; and `out`, a folder for plots
   */
  async evaluateBoxes(
    data?: string | DataSource | DetectionSet,
    options: DetectionEvaluationOptions & { readonly reading?: Readonly<Record<string, unknown>> } = {},
  ): Promise<DetectionEvaluation> {
    checkOptions("evaluateBoxes", options);
    const { evaluateDetector } = await import("./measure/detection.node.ts");
    const { reading, ...measuring } = options;
    const run = detectorRun(this.loaded);
    const set = isOpenSet(data) ? data : await annotatedData(run, data, reading);
    return evaluateDetector(run, set, measuring);
  }

  /** True where the model finds objects. */
  get isDetector(): boolean {
    return isDetector(this.loaded.model);
  }

  /** True where the model finds objects by several networks, one after the other. */
  get isCascade(): boolean {
    const { model } = this.loaded;
    return isDetector(model) && model.looks === "cascade";
  }

  /**
   * Writes the model as one ONNX file, weights inside; a cascade as a folder with one of each network, and how they are used.
   * @throws OptionError where it has no such graph; FileError
   */
  async export(path: string, options: ExportOptions = {}): Promise<ExportSummary> {
    checkOptions("export", options);
    const { exportRun } = await import("./export/export.node.ts");
    const { precision = "fp32" } = options;
    const { given, trust } = this.loaded.source;
    return exportRun(this.folder, path, {
      trident: lookingOf(this.config),
      cascade: cascadeLookOf(this.config),
      // Data that was in memory, or lies elsewhere now.
      ...(precision !== "fp32" && given !== undefined && { data: given }),
      ...(trust !== undefined && { trust }),
      ...options,
    });
  }

  /**
   * What was done to images that were read up to now so that they are like those that the run was fitted on, a line each with a count and an
   * example: colored ones read as grey, other sizes, floats. Empty where all were alike.
   */
  imageNotes(): readonly string[] {
    return this.loaded.changes.lines();
  }

  /**
   * What of tables that were read up to now is unlike the run's data and was taken all the same, a line for each column with a count and an
   * example: cells between its values, such as 30.5 among whole numbers.
   */
  tableNotes(): readonly string[] {
    return this.loaded.tableChanges.lines();
  }

  /** Frees what the runtime holds. `await using run = await openRun(folder)` calls it by itself. */
  release(): Promise<void> {
    return this.loaded.session.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/** `detectFiles`, loaded when the first image is asked for. */
async function* detected(
  run: ReturnType<typeof detectorRun>,
  images: readonly NamedImage[],
  options: DetectFilesOptions,
): AsyncGenerator<DetectedImage> {
  const { detectFiles } = await import("./use/detect.node.ts");
  yield* detectFiles(run, images, options);
}

const isOpenSet = (data: string | DataSource | DetectionSet | undefined): data is DetectionSet =>
  typeof data === "object" && "splits" in data;

/** The methods that an ability of a model stands for. */
interface Methods {
  sample: "sample" | "sampleStates";
  score: "score" | "scores" | "anomalies";
  inpaint: "inpaint" | "impute";
  edit: "edit";
  translate: "translate";
  encode: "encode" | "codes" | "interpolate";
  decode: "decode";
  embed:
    | "embed"
    | "embeddings"
    | "embedInto"
    | "featuresOf"
    | "view"
    | "probe"
    | "neighbors"
    | "neighborPicture"
    | "duplicates";
  export: "export";
  detect: "detect" | "detections" | "detectVideo" | "evaluateBoxes";
}

/** Methods that only some models have. */
type SomeMethod = Methods[keyof Methods];

/** A run of the model of that name: the methods that the model cannot do are absent. */
export type RunOf<N extends ModelName> = Omit<Run, SomeMethod> &
  Pick<Run, Methods[Extract<AbilityOf<N>, keyof Methods>]>;

/**
 * Opens a run folder: its model with its weights, on a runtime.
 *
 *     await using run = await openRun("runs/moons");
 *     const samples = await run.sample({ count: 1000, seed: 1 });
 *
 *     const cells = await openRun("runs/yolo-cells", { model: "yolo" });   // has detect, and no sample
 *
 * @throws FileError, OptionError, WeightsError where folder, configuration or weights are missing or damaged, or the run is of another
 * model than the one that is named
 */
export function openRun<const N extends ModelName>(
  folder: string,
  options: OpenRunOptions<N> & { readonly model: N },
): Promise<RunOf<N>>;
export function openRun<N extends ModelName>(folder: string, options?: OpenRunOptions<N>): Promise<RunOf<N>>;
export function openRun(folder: string, options?: OpenRunOptions): Promise<Run>;
export async function openRun(folder: string, given: OpenRunOptions = {}): Promise<Run> {
  checkOptions("openRun", given);
  const { model, ...options } = given;
  const run = new Run(await loadRun(folder, options));
  if (model === undefined || run.config.model === model) return run;
  await run.release();
  throw new OptionError(`${folder} is a run of ${run.config.model}, not of ${model}`);
}
