import { join } from "node:path";
import type { Command } from "commander";
import { exportRun } from "../../catalog/export.node.ts";
import { print, printJson } from "../format.ts";

export function configure(command: Command): void {
  command
    .option("--out <file>", "where to write (default: model.onnx in the run folder)")
    .option("--weights <which>", "best or last (default: best)")
    .option("--json", "print what was written as JSON");
  command.action(
    async (run: string, { out, weights, json }: { out?: string; weights?: string; json?: boolean }) => {
      const which = weights === undefined ? undefined : weights === "last" ? "last" : "best";
      const summary = await exportRun(run, out ?? join(run, "model.onnx"), which);
      if (json) return printJson(summary);
      print(`${summary.path}  ${(summary.bytes / 1024).toFixed(0)} kB\n${summary.description}`);
    },
  );
}
