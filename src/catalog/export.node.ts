import { writeFileAtomic } from "../data/files.node.ts";
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

/**
 * Writes the model of a run as one ONNX file: weights inside, any batch size, and the run's record as metadata.
 * @throws OptionError where the model has no graph to export; FileError, WeightsError
 */
export async function exportRun(run: string, path: string, which?: "best" | "last"): Promise<ExportSummary> {
  const folder = new RunFolder(run);
  const config = await folder.readConfig();
  const definition = await loadDefinition(config.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  if (model.exported === undefined) return refuse({ config, definition }, "be exported");
  const read = await folder.readWeightsFile(which);
  const weights = checkState(read.weights, model, read.file);
  const { outputs, description } = model.exported();
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
