import { join } from "node:path";
import { buildModel } from "../../catalog.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { type CascadeDetector, type DetectOptions, isDetector } from "../../detection/models/detector.ts";
import { exportedDetections } from "../../detection/models/exported.ts";
import type { CascadeLookOptions } from "../../detection/models/mtcnn/options.ts";
import { scaledSize } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import type { Exportable, Model } from "../../model/capabilities.ts";
import { checkState } from "../../nn/state.ts";
import { exportOnnx, type State } from "../../program/program.ts";
import { input } from "../../tensor/index.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { modelInfo, runDefinition } from "../run/definition.node.ts";
import { cascadeLookingBy, type Looking, lookingBy, ownLooks, ownTiles } from "../run/detection-options.ts";
import { refuse } from "../run/load.node.ts";
import type { GivenTrust } from "../run/trust.node.ts";
import { usualConfidence } from "../use/detect.node.ts";
import { embedderOf, layerOf } from "../use/embed.node.ts";

/** What was written. */
export interface ExportSummary {
  /** A file, or a folder with several. */
  readonly path: string;
  /** Of a folder: its files. */
  readonly files?: readonly string[];
  readonly bytes: number;
  /** Step of training of the weights. */
  readonly step?: number;
  /** What the graph takes and gives; of a cascade, what each graph does. */
  readonly description: string;
}

/** What is written. */
export interface TensorExportOptions {
  /** Default: the best weights where validation has chosen some, otherwise the last. */
  readonly weights?: "best" | "last" | undefined;
  /** A whole sampler, with the model's own options for drawing samples, in place of the model's main use. */
  readonly sampler?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Of a detector: what is found, duplicates taken away inside, in place of all that it sees. The score from which on
   * detections count is, by default, that of `eidos detect`.
   */
  readonly suppression?: DetectOptions | undefined;
  /** Of a detector that was fitted in branches (TridentNet): whether all three look or the middle one. Default: as it was fitted. */
  readonly trident?: Looking | undefined;
  /** Of a model with features: a layer of them, from samples, in place of the model's main use. */
  readonly layer?: string | undefined;
  /** Of a cascade (MTCNN): how it looks at images. Default: as in the run. */
  readonly cascade?: CascadeLookOptions | undefined;
  /** What of the run is trusted, where it is a stranger's. Default: nothing. */
  readonly trust?: GivenTrust | undefined;
}

const isExportable = (model: Model): model is Model & Exportable => model.exported !== undefined;

/** @throws OptionError where the model has no such graph */
async function graphOf(
  name: string,
  model: Model & Exportable,
  folder: RunFolder,
  { sampler, suppression }: TensorExportOptions,
): Promise<ReturnType<Exportable["exported"]>> {
  if (sampler !== undefined && suppression !== undefined) {
    throw new OptionError("options sampler and suppression: are of different models; leave one out");
  }
  if (suppression !== undefined) {
    if (!isDetector(model) || model.looks === "cascade") {
      throw new OptionError(`option suppression: ${name} finds no objects; export it without`);
    }
    return exportedDetections(model, {
      ...suppression,
      confidence: suppression.confidence ?? (await usualConfidence({ folder, model })),
    });
  }
  if (sampler === undefined) return model.exported();
  const graph = model.exportedSampler?.(sampler);
  if (graph === undefined) {
    throw new OptionError(
      `option sampler: ${name} draws samples in one pass or by a loop outside; export it without`,
    );
  }
  return graph;
}

/** The graph from samples to a layer of features. @throws OptionError where there is none, or another graph is asked for as well */
function layerGraph(
  run: Parameters<typeof embedderOf>[0],
  { layer = "code", sampler, suppression }: TensorExportOptions,
): ReturnType<Exportable["exported"]> {
  if (sampler !== undefined || suppression !== undefined) {
    throw new OptionError(
      `options layer and ${sampler === undefined ? "suppression" : "sampler"}: are of different graphs; leave one out`,
    );
  }
  const { sampleShape, kind } = run.config.dataInfo;
  const found = layerOf(embedderOf(run), input("x", ["batch", ...sampleShape]), { layer });
  const units = {
    image: ", bytes 0 … 255 in float32",
    table: " in standardized columns",
    binary: " of 0 and 1",
    points: "",
  };
  return {
    outputs: { [layer]: found },
    description: `x: samples [batch, ${sampleShape}]${units[kind]}. ${layer}: features of each, [batch, ${found.shape.slice(1)}].`,
  };
}

/** What is to be known of a detector that has learnt of objects of some sizes alone in images of the size that its graph takes. */
function scaleHint(config: RunConfig): readonly string[] {
  const looks = ownLooks(config);
  if (looks === undefined) return [];
  const { fittedBy, testScales, testRanges } = looks;
  const size = config.dataInfo.sampleShape[2] ?? Number.NaN;
  const at = testScales.findIndex((scale) => scaledSize(size, scale) === size);
  const others = testScales.flatMap((scale, i) => (i === at ? [] : [`${scale} (sizes ${testRanges[i]})`]));
  const want = `want images at scale ${others.join(", ")}`;
  const hint =
    at < 0
      ? `nothing was learnt at the scale of x: objects ${want}`
      : `of the scale of x it has learnt objects of size ${testRanges[at]} alone, the square root of their area in pixels; ${
          others.length === 0 ? "others are not found" : `objects of other sizes ${want}`
        }`;
  return [`Fitted with ${fittedBy}: ${hint}.`];
}

/** What a run's record adds to a graph as metadata. */
function recordOf(config: RunConfig, step: number | undefined) {
  return {
    model: config.model,
    modelOptions: config.modelOptions,
    data: config.data,
    sampleShape: config.dataInfo.sampleShape,
    classNames: config.dataInfo.classNames,
    ...(config.dataInfo.marks === "boxes" && ownTiles(config)),
    columns: config.dataInfo.columns,
    seed: config.fit.seed,
    step,
    eidos: config.eidos,
  };
}

/** Writes the networks of a cascade into a folder: NAME.onnx of each, cascade.json with the numbers between them, and README.md. @throws OptionError, FileError */
export async function exportStages(
  cascade: CascadeDetector,
  weights: State,
  folder: string,
  config: RunConfig,
  step: number | undefined,
): Promise<ExportSummary> {
  if (/\.[a-z]+$/i.test(folder)) {
    throw new OptionError(
      `option out: ${config.model} is several graphs, which go into a folder; ${folder} is the name of a file`,
    );
  }
  const { stages, guide, record } = cascade.exportedStages();
  const about = recordOf(config, step);
  const files: readonly (readonly [string, Uint8Array | string])[] = [
    ...stages.map(
      ({ name, outputs, description }) =>
        [`${name}.onnx`, exportOnnx(outputs, weights, { ...about, description })] as const,
    ),
    ["cascade.json", `${JSON.stringify({ ...record, classNames: about.classNames }, null, 2)}\n`],
    ["README.md", guide],
  ];
  for (const [name, contents] of files) await writeFileAtomic(join(folder, name), contents);
  return {
    path: folder,
    files: files.map(([name]) => name),
    bytes: files.reduce((sum, [, contents]) => sum + contents.length, 0),
    ...(step !== undefined && { step }),
    description: stages.map(({ name, description }) => `${name}.onnx: ${description}`).join("\n"),
  };
}

/** What is to be known of a detector that has learnt of tiles. */
function tileHint(config: RunConfig): readonly string[] {
  const own = ownTiles(config);
  if (own === undefined) return [];
  const size = config.dataInfo.sampleShape[2] ?? Number.NaN;
  const { tiles, overlap, fullImage } = own;
  const scale = tiles === size ? "" : `, made ${size} × ${size}`;
  const whole = fullImage ? "; the whole image as one more tile" : "";
  return [
    `Fitted with tiles: x are tiles of ${tiles} × ${tiles} pixels of an image as it is${scale}, which share ${overlap} of their side with their neighbors${whole}; what is found in them has to be merged.`,
  ];
}

/**
 * Writes the network of a run as one ONNX file, tensors in and out as the model sees them: weights inside, any batch size, and the run's record
 * as metadata. A cascade becomes a folder with a file of each network.
 * @throws OptionError where the model has no such graph to export; FileError, WeightsError
 */
export async function exportTensors(
  run: string,
  path: string,
  options: TensorExportOptions = {},
): Promise<ExportSummary> {
  const folder = new RunFolder(run);
  const config = cascadeLookingBy(lookingBy(await folder.readConfig(), options.trident), options.cascade);
  const definition = await runDefinition(config, run, options.trust);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  if (isDetector(model) && model.looks === "cascade") {
    const { sampler, suppression } = options;
    if (sampler !== undefined || suppression !== undefined) {
      throw new OptionError(
        `option ${sampler === undefined ? "suppression" : "sampler"}: ${config.model} is a cascade, whose networks run one after the other; export it without`,
      );
    }
    const read = await folder.readWeightsFile(options.weights);
    return exportStages(model, checkState(read.weights, model, read.file), path, config, read.step);
  }
  const graph =
    options.layer === undefined
      ? isExportable(model)
        ? await graphOf(config.model, model, folder, options)
        : refuse({ config, definition }, "be exported")
      : layerGraph({ config, definition, model }, options);
  const { outputs } = graph;
  const description =
    isDetector(model) && options.layer === undefined
      ? [graph.description, ...tileHint(config), ...scaleHint(config)].join(" ")
      : graph.description;
  const read = await folder.readWeightsFile(options.weights);
  const weights = checkState(read.weights, model, read.file);
  const bytes = exportOnnx(outputs, weights, { ...recordOf(config, read.step), description });
  await writeFileAtomic(path, bytes);
  return { path, bytes: bytes.length, ...(read.step !== undefined && { step: read.step }), description };
}
