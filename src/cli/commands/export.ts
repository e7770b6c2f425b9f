import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { exportRun } from "../../catalog/export.node.ts";
import { parseOptions } from "../../catalog/options.ts";
import { print, printJson, showBytes } from "../format.ts";
import { addSchemaOptions } from "../options.ts";
import { runOptions } from "../run-options.ts";

const exportFlags = z.strictObject({
  out: z.string().min(1).optional().describe("where to write (default: model.onnx in the run folder)"),
  weights: runOptions.weights,
  json: z.boolean().default(false).describe("print what was written as JSON"),
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Export", exportFlags);
  command.action(async (run: string, flags: Record<string, unknown>) => {
    const { out, weights, json } = parseOptions("export", exportFlags, flags);
    const summary = await exportRun(run, out ?? join(run, "model.onnx"), weights);
    if (json) return printJson(summary);
    const step = summary.step === undefined ? "" : `, weights of step ${summary.step}`;
    print(`${summary.path}: ${showBytes(summary.bytes)}${step}\n${summary.description}`);
  });
}
