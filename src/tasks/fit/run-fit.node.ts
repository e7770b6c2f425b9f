import { z } from "zod";
import { TrainingError } from "../../errors.ts";
import { messageOf } from "../../program/runtime.ts";
import { fitHere } from "../../train/fit.node.ts";
import type { FitProgress, FitSummary } from "../../train/fit-request.node.ts";
import { followFit } from "../../train/follow.node.ts";
import { Ranks } from "../../train/ranks/ranks.node.ts";
import { type FitTask, type PreparedFit, type PrepareReports, prepareFit } from "./prepare.node.ts";
import { type PassedFit, passedBy, preparedByRank0 } from "./ranks.node.ts";

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

/** What the other ranks are told where rank 0 cannot begin. */
const failedFit = z.object({ failed: z.string() });

/**
 * Prepares a fit and runs it in this thread, with the other ranks of its job where it has one.
 * @throws what `prepareFit`, `fitHere` and `Ranks.join` throw
 */
export async function runFit(task: FitTask, reports: FitReports): Promise<FitSummary> {
  if (task.job === undefined) return runPrepared(await prepareFit(task, reports), reports);
  const ranks = await Ranks.join(task.job);
  return (ranks.leads ? lead : follow)(ranks, task, reports);
}

async function runPrepared(
  { fit, config, notes }: Omit<PreparedFit, "data">,
  { onBegin, onDownload: _, ...reports }: FitReports,
  job?: { readonly ranks: Ranks; readonly owners: PassedFit["owners"] },
): Promise<FitSummary> {
  try {
    onBegin({
      folder: fit.folder.path,
      model: config.model,
      data: [...fit.data.describe(), ...notes, ...(job === undefined ? [] : jobLines(job, fit))],
      resumed: fit.resume,
    });
  } catch (error) {
    await fit.folder.unlock();
    throw error;
  }
  return fitHere({
    ...fit,
    ...reports,
    ...(job?.owners && { owners: job.owners }),
    ...(job && { ranks: job.ranks }),
  });
}

/** What ranks share. Annotated photos are opened by each as it needs them, of which nothing is said. */
function jobLines(
  { ranks, owners }: { readonly ranks: Ranks; readonly owners: PassedFit["owners"] },
  { data, options: { batchSize } }: PreparedFit["fit"],
): readonly string[] {
  const line = `${ranks.size} ranks share each batch of ${batchSize}`;
  if (owners !== undefined) return [`${line}; all but rank 0 read their share of the data alone`];
  return [data.kind === "batches" ? line : `${line}; each reads all of the data`];
}

/** Gives a fit up that the ranks cannot begin. */
async function giveUp({ fit: { folder, resume } }: PreparedFit): Promise<void> {
  await (resume ? folder.unlock() : folder.discard());
}

/** Rank 0 prepares the fit, has the others prepare for it, and runs it. Whatever ends it here ends it there. */
async function lead(ranks: Ranks, task: FitTask, reports: FitReports): Promise<FitSummary> {
  const failed = (error: unknown): string => `${ranks.name} has ended the fit: ${messageOf(error)}`;
  let prepared: PreparedFit | undefined;
  let passed: PassedFit;
  try {
    prepared = await prepareFit(task, reports);
    passed = passedBy(prepared, ranks.size);
  } catch (error) {
    if (prepared !== undefined) await giveUp(prepared);
    ranks.passText(JSON.stringify({ failed: failed(error) }));
    ranks.end();
    throw error;
  }
  try {
    ranks.passText(passed.text);
    ranks.passBytes(passed.rows);
    try {
      ranks.agree(undefined, false);
    } catch (error) {
      await giveUp(prepared);
      throw error;
    }
    const summary = await runPrepared(prepared, reports, { ranks, owners: passed.owners });
    ranks.order({ kind: "end", failed: false, text: JSON.stringify(summary) });
    return summary;
  } catch (error) {
    ranks.order({ kind: "end", failed: true, text: failed(error) });
    throw error;
  } finally {
    ranks.end();
  }
}

/** Another rank takes part in the fit of rank 0. */
async function follow(ranks: Ranks, task: FitTask, { shouldStop }: FitReports): Promise<FitSummary> {
  try {
    const told: unknown = JSON.parse(ranks.passText(""));
    const failure = failedFit.safeParse(told);
    if (failure.success) {
      ranks.settled = true;
      throw new TrainingError(failure.data.failed);
    }
    const rows = ranks.passBytes(new Uint8Array(0));
    let fit: Awaited<ReturnType<typeof preparedByRank0>> | undefined;
    let fault: unknown;
    try {
      fit = await preparedByRank0(task, { told, rows }, ranks);
    } catch (error) {
      fault = error;
    }
    ranks.agree(fault, shouldStop());
    if (fit === undefined) throw fault;
    return await followFit({ ...fit, ranks, shouldStop });
  } finally {
    // Where the others know nothing of what has failed here, they are ended as this process exits.
    if (ranks.settled) ranks.end();
  }
}
