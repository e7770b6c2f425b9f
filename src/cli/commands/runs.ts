import type { Command } from "commander";
import { describeRuns } from "../../tasks/run/describe.node.ts";
import { print, printJson, printLine, showBytes, showDuration, showNumber, showTable } from "../format.ts";

export function configure(command: Command): void {
  command.option("--json", "print the list as JSON");
  command.option("--quiet", "show no progress");
  command.action(async (folder: string | undefined, { json }: { json?: boolean }) => {
    const root = folder ?? "runs";
    const runs = await describeRuns(root, folder === undefined);
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
