import { buildModel } from "../../catalog.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { type DetectOptions, isDetector } from "../../detection/models/detector.ts";
import { exportedDetections } from "../../detection/models/exported.ts";
import { scaledSize } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import { memoryLimit } from "../../memory.node.ts";
import type { Exportable, Model } from "../../model/capabilities.ts";
import { checkState } from "../../nn/state.ts";
import { exportOnnx } from "../../program/program.ts";
import type { RunConfig } from "../../train/run-config.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { modelInfo, runDefinition } from "../run/definition.node.ts";
import { type Looking, lookingBy, ownLooks, ownTiles } from "../run/detection-options.ts";
import { refuse } from "../run/load.node.ts";
import type { GivenTrust } from "../run/trust.node.ts";
import { usualConfidence } from "../use/detect.node.ts";

/** What was written. */
export interface ExportSummary {
  readonly path: string;
  readonly bytes: number;
  /** Step of training of the weights. */
  readonly step?: number;
  /** What the graph takes and gives. */
  readonly description: string;
}

/** What is written. */
export interface ExportOptions {
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
  /** What of the run is trusted, where it is a stranger's. Default: nothing. */
  readonly trust?: GivenTrust | undefined;
}

const isExportable = (model: Model): model is Model & Exportable => model.exported !== undefined;

/** @throws OptionError where the model has no such graph */
async function graphOf(
  name: string,
  model: Model & Exportable,
  folder: RunFolder,
  { sampler, suppression }: ExportOptions,
): Promise<ReturnType<Exportable["exported"]>> {
  if (sampler !== undefined && suppression !== undefined) {
    throw new OptionError("options sampler and suppression: are of different models; leave one out");
  }
  if (suppression !== undefined) {
    if (!isDetector(model)) {
      throw new OptionError(`option suppression: ${name} finds no objects; export it without`);
    }
    return exportedDetections(model, { confidence: await usualConfidence({ folder }), ...suppression });
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
 * Writes the model of a run as one ONNX file: weights inside, any batch size, and the run's record as metadata.
 * @throws OptionError where the model has no such graph to export; FileError, WeightsError
 */
export async function exportRun(
  run: string,
  path: string,
  options: ExportOptions = {},
): Promise<ExportSummary> {
  const folder = new RunFolder(run);
  const config = lookingBy(await folder.readConfig(), options.trident);
  const definition = await runDefinition(config, run, options.trust);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo), memoryLimit());
  if (!isExportable(model)) return refuse({ config, definition }, "be exported");
  const graph = await graphOf(config.model, model, folder, options);
  const { outputs } = graph;
  const description = isDetector(model)
    ? [graph.description, ...tileHint(config), ...scaleHint(config)].join(" ")
    : graph.description;
  const read = await folder.readWeightsFile(options.weights);
  const weights = checkState(read.weights, model, read.file);
  const bytes = exportOnnx(outputs, weights, {
    model: config.model,
    modelOptions: config.modelOptions,
    description,
    data: config.data,
    sampleShape: config.dataInfo.sampleShape,
    classNames: config.dataInfo.classNames,
    ...(ownTiles(config) ?? {}),
    columns: config.dataInfo.columns,
    seed: config.fit.seed,
    step: read.step,
    eidos: config.eidos,
  });
  await writeFileAtomic(path, bytes);
  return { path, bytes: bytes.length, ...(read.step !== undefined && { step: read.step }), description };
}
