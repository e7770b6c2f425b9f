import type { Command } from "commander";
import { z } from "zod";
import { evaluateRun } from "../../catalog/eval.node.ts";
import { parseOptions } from "../../catalog/options.ts";
import { openRun } from "../../catalog/run.node.ts";
import { print, printJson, showDuration, showTable } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { runOptions } from "../run-options.ts";

const evalFlags = z.strictObject({
  split: z.enum(["train", "validation", "test"]).default("test").describe("split to measure on"),
  seed: z.int().nonnegative().default(0).describe("seed of samples and noise"),
  distances: z
    .enum(["quick", "all"])
    .default("all")
    .describe("all distances between drawn samples and data, or those that take a moment (of images none)"),
  ...runOptions,
  json: z.boolean().default(false).describe("print everything as JSON"),
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Evaluation", evalFlags);
  command.action(async (path: string, flags: Record<string, unknown>) => {
    const { split, seed, distances, json, ...opening } = parseOptions(
      "eval",
      evalFlags,
      flagValues(flags, [evalFlags]),
    );
    const run = await openRun(path, opening);
    const line = new ProgressLine();
    const evaluation = await evaluateRun(run, {
      split,
      seed,
      distances,
      onProgress: (share) => line.show(`drawing samples: ${Math.floor(100 * share)} %`),
    });
    line.clear();
    await run.session.release();
    if (json) return printJson(evaluation);
    const { model, data, parameters, step, steps, seconds, results } = evaluation;
    print(
      `${model} on ${data}, ${split} split: weights of step ${step} (of ${steps}, ${showDuration(seconds)}, training seed ${evaluation.seed}), ${parameters} parameters, evaluation seed ${seed}`,
    );
    print(
      showTable(
        ["measure", "value", "unit", "samples", "note"],
        results.map(({ name, value, unit, samples, note }) => [name, value, unit, samples, note ?? ""]),
      ),
    );
  });
}
