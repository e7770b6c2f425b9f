import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { fileError, isMissing } from "../../data/files/files.node.ts";
import { describeHolder } from "../../data/files/lock.node.ts";
import { EidosError } from "../../errors.ts";
import { type MetricRow, RunFolder, type RunProgress } from "../../train/run-folder.node.ts";
import { print, printJson, printLine, showBytes, showDuration, showNumber, showTable } from "../format.ts";

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
function bestOf(
  progress: RunProgress | undefined,
  rows: readonly MetricRow[],
): { readonly name: string; readonly value: number } | undefined {
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

/** How a run stands. */
type RunStatus = "finished" | "stopped" | "being fitted" | "not begun" | "imported";

/** What is known of a run without loading its model. */
async function describeRun(path: string) {
  const folder = new RunFolder(path);
  try {
    if (!(await folder.exists())) return undefined;
    const { model, data, created, imported } = await folder.readConfig();
    const rows = await folder.readMetrics();
    const progress = await folder.readProgress();
    const last = rows.at(-1);
    const fitter = await folder.fitter();
    const unwatched =
      progress?.finished === true ? "finished" : progress === undefined ? "not begun" : "stopped";
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

export function configure(command: Command): void {
  command.option("--json", "print the list as JSON");
  command.option("--quiet", "show no progress");
  command.action(async (folder: string | undefined, { json }: { json?: boolean }) => {
    const root = folder ?? "runs";
    const runs = [];
    for (const path of await foldersIn(root, folder === undefined)) {
      const run = await describeRun(path);
      if (run !== undefined) runs.push(run);
    }
    if (json) return printJson(runs);
    if (runs.length === 0) return printLine(`no runs in ${root}; eidos fit makes one`);
    const rows = runs.map((run) =>
      "fault" in run
        ? [run.path, run.fault, "", "", "", "", "", ""]
        : [
            run.path,
            run.model,
            run.data,
            run.fittedBy === undefined ? run.status : `being fitted by ${run.fittedBy}`,
            String(run.step),
            showDuration(run.seconds),
            run.best === undefined ? "" : `${run.best.name} ${showNumber(run.best.value)}`,
            showBytes(run.bytes),
          ],
    );
    print(showTable(["run", "model", "data", "status", "step", "time", "best validation", "size"], rows));
  });
}
