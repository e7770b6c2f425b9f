import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError, isMissing } from "../../data/files/files.node.ts";
import { describeHolder } from "../../data/files/lock.node.ts";
import { EidosError } from "../../errors.ts";
import { type MetricRow, RunFolder, type RunProgress } from "../../train/run-folder.node.ts";

// What is known of runs without loading their models: for the list of a command, and for the studio.

/** How a run stands. */
export type RunStatus = "finished" | "stopped" | "being fitted" | "not begun" | "imported";

/** What is known of a run without loading its model. */
export interface RunSummary {
  readonly path: string;
  readonly model: string;
  readonly data: string;
  /** When it was begun, in ISO 8601. */
  readonly created: string;
  readonly status: RunStatus;
  readonly step: number;
  /** Seconds of training. */
  readonly seconds: number;
  /** Bytes of its files. */
  readonly bytes: number;
  /** The process that fits it now. */
  readonly fittedBy?: string;
  /** The best of what validations have measured: a measure of detectors, or else the loss. */
  readonly best?: { readonly name: string; readonly value: number };
  readonly bestValidationLoss?: number;
}

/** A folder that holds a run which cannot be read, with the reason. */
export interface FaultyRun {
  readonly path: string;
  readonly fault: string;
}

/** @param optional whether the folder may be missing */
async function foldersIn(path: string, optional: boolean): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
  } catch (cause) {
    if (optional && isMissing(cause)) return [];
    throw fileError(cause, "list", path);
  }
}

/** Bytes of the files of a run, links not followed. */
async function sizeOf(path: string): Promise<number> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(
        async ({ parentPath, name }) =>
          (await lstat(join(parentPath, name)).catch(() => undefined))?.size ?? 0,
      ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Which of several measures is the one that a run is known by. */
const TELLING = ["ap", "ap50", "AP", "AP50"];

/** The best of what validations have measured: a measure of detectors, or else the loss. */
function bestOf(progress: RunProgress | undefined, rows: readonly MetricRow[]): RunSummary["best"] {
  const { best } = progress ?? {};
  const measures = Object.entries(best?.measures ?? {});
  const [name, value] = measures.find(([known]) => TELLING.includes(known)) ?? measures[0] ?? [];
  if (name !== undefined && value !== undefined) return { name, value };
  // A run may have more rows than a call takes arguments.
  const loss = rows.reduce<number | undefined>(
    (least, { validationLoss }) =>
      validationLoss === undefined ? least : Math.min(least ?? validationLoss, validationLoss),
    best?.loss,
  );
  return loss === undefined ? undefined : { name: "loss", value: loss };
}

/** What is known of a run without loading its model; undefined where the folder holds none. */
export async function describeRun(path: string): Promise<RunSummary | FaultyRun | undefined> {
  const folder = new RunFolder(path);
  try {
    if (!(await folder.exists())) return undefined;
    const { model, data, created, imported } = await folder.readConfig();
    const rows = await folder.readMetrics();
    const progress = await folder.readProgress();
    const last = rows.at(-1);
    const fitter = await folder.fitter();
    const hasBegun = progress !== undefined || last !== undefined;
    const unwatched = progress?.finished === true ? "finished" : hasBegun ? "stopped" : "not begun";
    const status: RunStatus =
      fitter !== undefined ? "being fitted" : imported !== undefined ? "imported" : unwatched;
    const best = bestOf(progress, rows);
    const losses = rows.flatMap(({ validationLoss }) =>
      validationLoss === undefined ? [] : [validationLoss],
    );
    const bestLoss = progress?.best?.loss ?? losses.reduce((least, loss) => Math.min(least, loss), Infinity);
    return {
      path,
      model,
      data,
      created,
      status,
      step: Math.max(last?.step ?? 0, progress?.step ?? 0),
      seconds: Math.max(last?.seconds ?? 0, progress?.seconds ?? 0),
      bytes: await sizeOf(path),
      ...(fitter !== undefined && { fittedBy: describeHolder(fitter) }),
      ...(best !== undefined && { best }),
      ...(Number.isFinite(bestLoss) && { bestValidationLoss: bestLoss }),
    };
  } catch (error) {
    if (error instanceof EidosError) return { path, fault: error.message };
    throw error;
  }
}

/**
 * The runs directly in a folder, in order of names.
 * @param optional whether the folder may be missing, which is then a folder without runs
 * @throws FileError where it cannot be listed
 */
export async function describeRuns(
  folder: string,
  optional: boolean,
): Promise<readonly (RunSummary | FaultyRun)[]> {
  const runs: (RunSummary | FaultyRun)[] = [];
  for (const path of await foldersIn(folder, optional)) {
    const run = await describeRun(path);
    if (run !== undefined) runs.push(run);
  }
  return runs;
}
