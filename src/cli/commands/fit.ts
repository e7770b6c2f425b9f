import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { fit as fitModel, resumeFit } from "../../catalog/fit.node.ts";
import { findModel, models } from "../../catalog/models.ts";
import { modelSchema } from "../../catalog/run.node.ts";
import { fileError } from "../../data/files.node.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { OptionError } from "../../errors.ts";
import type { FitSummary } from "../../train/fit.node.ts";
import { fitOptions } from "../../train/options.ts";
import { print, printJson, showDuration, showNumber } from "../format.ts";
import { addSchemaOptions } from "../options.ts";
import { ProgressDisplay } from "../progress.ts";

/** A JSON file of options, or nothing. */
async function readConfigFile(path: string | undefined): Promise<Record<string, unknown>> {
  if (path === undefined) return {};
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read the configuration", path);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  } catch (cause) {
    throw new OptionError(`${path} is not valid JSON: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  throw new OptionError(`${path}: a configuration is one JSON object, { "model": …, "data": …, … }`);
}

function textOf(value: unknown, option: string): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw new OptionError(`option ${option}: must be a text, not ${JSON.stringify(value)}`);
}

/** Runs with Ctrl-C turned into an orderly stop; a second one ends the process. */
async function interruptible(run: (signal: AbortSignal) => Promise<FitSummary>): Promise<FitSummary> {
  const controller = new AbortController();
  const onInterrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step and saving; press Ctrl-C again to quit at once\n");
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  try {
    return await run(controller.signal);
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

function printSummary(summary: FitSummary): void {
  const { folder, step, seconds, samplesPerSecond, best, reason } = summary;
  const why = {
    limit: "finished",
    patience: "finished: validation no longer improves",
    stopped: `stopped and saved; continue with: eidos fit --resume ${folder}`,
  };
  print(
    `${why[reason]} after ${step} steps, ${showDuration(seconds)}, ${showNumber(samplesPerSecond)} samples/s`,
  );
  if (best !== undefined) print(`best validation loss ${showNumber(best.loss)} at step ${best.step}`);
  print(`run folder: ${folder}`);
  if (reason !== "stopped") print(`  pictures: ${folder}/samples    report: ${folder}/report.html`);
}

export function configure(command: Command, args: readonly string[]): void {
  const model = args.find((arg) => models.has(arg));
  command
    .option("--out <folder>", "run folder (default: runs/MODEL-DATA, numbered where it exists)")
    .option(
      "--resume <folder>",
      "continue the run in this folder, bit for bit; other options change training",
    )
    .option("--config <file>", "JSON file of options by their camelCase names; those of the command line win")
    .option("--json", "print the summary as JSON")
    .option("--quiet", "show no progress");
  addSchemaOptions(command, "Training", fitOptions);
  addSchemaOptions(command, "Data", dataOptionsSchema);
  if (model === undefined) {
    command.addHelpText(
      "after",
      `\nModels: ${[...models.keys()].join(", ")}\neidos fit MODEL --help lists its options`,
    );
    // The options of a model that is named in a configuration file are known only when that is read.
    for (const definition of models.values())
      addSchemaOptions(command, definition.name, modelSchema(definition));
  } else {
    addSchemaOptions(command, `Model ${model}`, modelSchema(findModel(model)));
  }
  command.addHelpText(
    "after",
    "\nExamples:\n  eidos fit rectified-flow digits --seconds 120\n  eidos fit nice measurements.csv --categorical colour --steps 5000\n  eidos fit --resume runs/nice-measurements",
  );
  command.action(
    async (modelName: string | undefined, dataName: string | undefined, flags: Record<string, unknown>) => {
      const { out, resume, config, json, quiet, ...rest } = flags;
      const display = quiet ? undefined : new ProgressDisplay();
      const hooks = { ...(display && { onProgress: display.show.bind(display) }) };
      let summary: FitSummary;
      if (resume !== undefined) {
        summary = await interruptible((signal) => resumeFit(String(resume), rest, { ...hooks, signal }));
      } else {
        const { $schema: _, ...fromFile } = await readConfigFile(textOf(config, "config"));
        const chosen = modelName ?? textOf(fromFile.model, "model");
        const source = dataName ?? textOf(fromFile.data, "data") ?? textOf(rest.sql ?? fromFile.sql, "sql");
        if (chosen === undefined || source === undefined) {
          throw new OptionError(
            "fit wants a model and data, as in: eidos fit rectified-flow digits --seconds 120",
          );
        }
        const folder = textOf(out ?? fromFile.out, "out");
        const request = {
          ...fromFile,
          ...rest,
          model: chosen,
          data: source,
          ...(folder !== undefined && { out: folder }),
        };
        summary = await interruptible((signal) => fitModel(request, { ...hooks, signal }));
      }
      display?.end();
      if (json) printJson(summary);
      else printSummary(summary);
      if (summary.reason === "stopped") process.exitCode = 130;
    },
  );
}
