import { writeFileAtomic } from "../data/files.node.ts";
import { OptionError } from "../errors.ts";
import { checkState } from "../nn/state.ts";
import { exportOnnx } from "../program/export.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import { buildModel } from "./models.ts";
import { loadDefinition, modelInfo } from "./run.node.ts";

/** What was written. */
export interface ExportSummary {
  readonly path: string;
  readonly bytes: number;
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
  if (model.exported === undefined) throw new OptionError(`${config.model} cannot be exported`);
  const weights = checkState(await folder.readWeights(which), model, run);
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
    eidos: config.eidos,
  });
  await writeFileAtomic(path, bytes);
  return { path, bytes: bytes.length, description };
}
