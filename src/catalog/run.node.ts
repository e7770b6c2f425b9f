import { openData } from "../data/open.node.ts";
import type { DataSet } from "../data/sources/data-set.ts";
import { dataOptionsSchema } from "../data/sources/options.ts";
import { OptionError } from "../errors.ts";
import type { Model } from "../model/capabilities.ts";
import { abilities, type ModelDefinition } from "../model/definition.ts";
import { checkState } from "../nn/state.ts";
import { parseOptions } from "../options.ts";
import { nodeRuntime } from "../program/node.ts";
import { Session } from "../program/program.ts";
import { checkFingerprint } from "../train/fit-setup.ts";
import type { RunConfig } from "../train/run-config.ts";
import { RunFolder } from "../train/run-folder.node.ts";
import { loadDefinition, modelInfo } from "./definition.node.ts";
import { buildModel } from "./models.ts";

/** A fitted model, ready to sample, score or export. */
export interface OpenRun {
  readonly folder: RunFolder;
  readonly config: RunConfig;
  readonly model: Model;
  readonly definition: ModelDefinition;
  readonly session: Session;
  /** Step of training that the weights are of; undefined where their file does not tell. */
  readonly weightsStep: number | undefined;
  /** The run's own data, opened when first asked for. @throws OptionError where it has changed; DataError */
  data(): Promise<DataSet>;
}

export interface OpenRunOptions {
  /** The best weights where validation has chosen some, otherwise the last; unless told. */
  readonly weights?: "best" | "last" | undefined;
  readonly provider?: string | undefined;
  readonly threads?: number | undefined;
  /** The run's data, where it is open already. */
  readonly data?: DataSet | undefined;
}

/**
 * Opens a run folder: its model with its weights on a runtime.
 * @throws FileError, OptionError, WeightsError where folder, configuration or weights are missing or damaged
 */
export async function openRun(path: string, options: OpenRunOptions = {}): Promise<OpenRun> {
  const folder = new RunFolder(path);
  const config = await folder.readConfig();
  const definition = await loadDefinition(config.model);
  const model = buildModel(definition, config.modelOptions, modelInfo(config.dataInfo));
  const read = await folder.readWeightsFile(options.weights);
  const weights = checkState(read.weights, model, read.file);
  const runtime = await nodeRuntime({
    provider: options.provider ?? "cpu",
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  let data = options.data === undefined ? undefined : Promise.resolve(options.data);
  return {
    folder,
    config,
    model,
    definition,
    session: new Session(runtime, weights),
    weightsStep: read.step,
    data() {
      data ??= runData(config);
      return data;
    },
  };
}

/** The data of a run, checked to be what it was fitted on. @throws OptionError, DataError */
export async function runData(config: RunConfig): Promise<DataSet> {
  const data = await openData(config.data, parseOptions("data", dataOptionsSchema, config.dataOptions));
  checkFingerprint(config.dataInfo.fingerprint, data);
  return data;
}

/** @throws OptionError where a run's model cannot do what is asked, listing what it can */
export function refuse(run: Pick<OpenRun, "config" | "definition">, what: string): never {
  throw new OptionError(
    `${run.config.model} cannot ${what}; it can ${abilities(run.definition).join(", ")} (eidos models lists them all)`,
  );
}
