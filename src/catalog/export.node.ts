import { writeFileAtomic } from "../data/files.node.ts";
import { OptionError } from "../errors.ts";
import { checkState } from "../nn/state.ts";
import { exportOnnx } from "../program/export.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import { loadDefinition, modelInfo } from "./definition.node.ts";
import { buildModel } from "./models.ts";
import { refuse } from "./run.node.ts";

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
  /** The best weights where validation has chosen some, otherwise the last; unless told. */
  readonly weights?: "best" | "last" | undefined;
  /** A whole sampler, with the model's own options for drawing samples, in place of the model's main use. */
  readonly sampler?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Writes the model of a run as one ONNX file: weights inside, any batch size, and the run's record as metadata.
 * @throws OptionError where the model has no such graph to export; FileError, WeightsError
 */
export async function exportRun(
  run: string,
  path: string,
  { weights: which, sampler }: ExportOptions = {},
): Promise<ExportSummary> {
  const folder = new RunFolder(run);
  const config = await folder.readConfig();
  const definition = await loadDefinition(config.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  if (model.exported === undefined) return refuse({ config, definition }, "be exported");
  const graph = sampler === undefined ? model.exported() : model.exportedSampler?.(sampler);
  if (graph === undefined) {
    throw new OptionError(
      `option sampler: ${config.model} draws samples in one pass or by a loop outside; export it without`,
    );
  }
  const read = await folder.readWeightsFile(which);
  const weights = checkState(read.weights, model, read.file);
  const { outputs, description } = graph;
  const bytes = exportOnnx(outputs, weights, {
    model: config.model,
    modelOptions: config.modelOptions,
    description,
    data: config.data,
    sampleShape: config.dataInfo.sampleShape,
    classNames: config.dataInfo.classNames,
    columns: config.dataInfo.columns,
    seed: config.fit.seed,
    step: read.step,
    eidos: config.eidos,
  });
  await writeFileAtomic(path, bytes);
  return { path, bytes: bytes.length, ...(read.step !== undefined && { step: read.step }), description };
}
