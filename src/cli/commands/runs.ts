import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { fileError, isMissing } from "../../data/files/files.node.ts";
import { describeHolder } from "../../data/files/lock.node.ts";
import { EidosError } from "../../errors.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { print, printJson, printLine, showDuration, showNumber, showTable } from "../format.ts";

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

/** What is known of a run without loading its model. */
async function describeRun(path: string) {
  const folder = new RunFolder(path);
  try {
    if (!(await folder.exists())) return undefined;
    const { model, data, created } = await folder.readConfig();
    const rows = await folder.readMetrics();
    // A run may have more rows than a call takes arguments.
    const best = rows.reduce<number | undefined>(
      (least, { validationLoss: loss }) => (loss === undefined ? least : Math.min(least ?? loss, loss)),
      undefined,
    );
    const last = rows.at(-1);
    const fitter = await folder.fitter();
    return {
      path,
      model,
      data,
      created,
      step: last?.step ?? 0,
      seconds: last?.seconds ?? 0,
      ...(fitter !== undefined && { fittedBy: describeHolder(fitter) }),
      ...(best !== undefined && { bestValidationLoss: best }),
    };
  } catch (error) {
    if (error instanceof EidosError) return { path, fault: error.message };
    throw error;
  }
}

export function configure(command: Command): void {
  command.option("--json", "print the list as JSON");
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
        ? [run.path, run.fault, "", "", "", "", ""]
        : [
            run.path,
            run.model,
            run.data,
            String(run.step),
            showDuration(run.seconds),
            run.bestValidationLoss === undefined ? "" : showNumber(run.bestValidationLoss),
            run.fittedBy === undefined ? "" : `by ${run.fittedBy}`,
          ],
    );
    print(showTable(["run", "model", "data", "step", "time", "best validation loss", "being fitted"], rows));
  });
}
