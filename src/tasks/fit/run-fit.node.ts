import { fitHere } from "../../train/fit.node.ts";
import type { FitProgress, FitSummary } from "../../train/fit-request.node.ts";
import { type FitTask, type PrepareReports, prepareFit } from "./prepare.node.ts";

/** A fit as it begins. */
export interface FitBeginning {
  readonly folder: string;
  readonly model: string;
  /** Lines for a person on the data. */
  readonly data: readonly string[];
  readonly resumed: boolean;
}

/** What a fit reports to the thread that it runs in, and how it is stopped there. */
export interface FitReports extends Required<PrepareReports> {
  /** Called once, when model and data are there and the run folder is made. */
  readonly onBegin: (beginning: FitBeginning) => void;
  readonly onProgress: (progress: FitProgress) => void;
  /** Called when training has ended and its weights are saved. */
  readonly onTrained?: (summary: FitSummary) => void;
}

/** Prepares a fit and runs it in this thread. @throws what `prepareFit` and `fitHere` throw */
export async function runFit(
  task: FitTask,
  { onBegin, onDownload, ...reports }: FitReports,
): Promise<FitSummary> {
  const { fit, config, notes } = await prepareFit(task, { onDownload, ...reports });
  try {
    onBegin({
      folder: fit.folder.path,
      model: config.model,
      data: [...fit.data.describe(), ...notes],
      resumed: fit.resume,
    });
  } catch (error) {
    await fit.folder.unlock();
    throw error;
  }
  return fitHere({ ...fit, ...reports });
}
