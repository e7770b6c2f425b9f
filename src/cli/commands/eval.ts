import type { Command } from "commander";
import { z } from "zod";
import { evaluateRun } from "../../catalog/eval.node.ts";
import { parseOptions } from "../../catalog/models.ts";
import { openRun } from "../../catalog/run.node.ts";
import { print, printJson, showDuration, showTable } from "../format.ts";
import { addSchemaOptions } from "../options.ts";

const evalFlags = z.strictObject({
  split: z.enum(["train", "validation", "test"]).default("test").describe("split to measure on"),
  seed: z.int().nonnegative().default(0).describe("seed of samples and noise"),
  weights: z.enum(["best", "last"]).optional().describe("which weights"),
  json: z.boolean().default(false).describe("print everything as JSON"),
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Evaluation", evalFlags);
  command.action(async (path: string, flags: Record<string, unknown>) => {
    const { split, seed, weights, json } = parseOptions("eval", evalFlags, flags);
    const run = await openRun(path, weights === undefined ? {} : { weights });
    const evaluation = await evaluateRun(run, { split, seed });
    await run.session.release();
    if (json) return printJson(evaluation);
    const { model, data, parameters, steps, seconds, results } = evaluation;
    print(
      `${model} on ${data} (${split}): ${parameters} parameters, ${steps} steps, ${showDuration(seconds)}, seed ${evaluation.seed}`,
    );
    print(
      showTable(
        ["measure", "value", "unit", "samples", "note"],
        results.map(({ name, value, unit, samples, note }) => [name, value, unit, samples, note ?? ""]),
      ),
    );
  });
}
