import type { Command } from "commander";
import { z } from "zod";
import { models } from "../../catalog.ts";
import { dataOptionsSchema } from "../../data/sources/options.ts";
import { OptionError } from "../../errors.ts";
import type { ModelDefinition } from "../../model/definition.ts";
import { type FitHooks, resumeFit, startFit } from "../../tasks/fit/fit.node.ts";
import { isOfScenes } from "../../tasks/fit/option-groups.node.ts";
import type { UncheckedRequest } from "../../tasks/fit/request.ts";
import { dataSchema, loadDefinition, modelSchema } from "../../tasks/run/definition.node.ts";
import { detectionDataSchema } from "../../tasks/run/detection-options.ts";
import { isModulePath } from "../../tasks/run/run-data.node.ts";
import type { FitSummary } from "../../train/fit-request.node.ts";
import { fitOptions } from "../../train/options.ts";
import { rankJob } from "../../train/ranks/job.node.ts";
import { readConfigFile, textOf } from "../config-file.ts";
import { trustFlags } from "../flags.ts";
import { printJson } from "../format.ts";
import { exampleFit, shortFitHelp, shortHelpOfAll } from "../model-help.ts";
import { addSchemaOptions, flagName, flagValues } from "../options.ts";
import { fitHooks, ProgressDisplay, printSummary } from "../progress.ts";
import { interruptible } from "../signals.ts";

const USAGE =
  "as in: eidos fit rectified-flow digits --seconds 120 (eidos models and eidos data list what there is)";

/** Flags that belong to --resume. */
const resumeFlags = z.strictObject({
  data: z.string().optional().describe("where the run's data is now; its contents are to be the same"),
  trustModule: trustFlags.trustModule,
  trustQuery: trustFlags.trustQuery,
  download: z
    .boolean()
    .default(false)
    .describe(
      "fetch the weights that the run began with from where it names, if it has no checkpoint yet and they are not in the cache",
    ),
});

/** The model that the command line names, whose options the help shows. */
interface ShownModel {
  readonly model: string;
  readonly definition: ModelDefinition;
}

/** The request that the command line and a configuration file make together; the command line comes first. */
async function requestOf(
  positional: { readonly model: string | undefined; readonly data: string | undefined },
  { config, ...flags }: Readonly<Record<string, unknown>>,
  shown: ShownModel | undefined,
): Promise<UncheckedRequest> {
  const { model: fileModel, data: fileData, ...fromFile } = await readConfigFile(textOf(config, "config"));
  const model = positional.model ?? textOf(fileModel, "model");
  if (model === undefined) throw new OptionError(`fit wants a model and data, ${USAGE}`);
  const definition = model === shown?.model ? shown.definition : await loadDefinition(model);
  const schemas = [fitOptions, dataSchema(definition), modelSchema(definition)];
  const options: Record<string, unknown> = { ...fromFile, ...flagValues(flags, schemas) };
  const { out, sql, ...others } = options;
  const folder = textOf(out, "out");
  const named = positional.data ?? textOf(fileData, "data");
  const query = textOf(sql, "sql");
  const data = named ?? query;
  if (data === undefined) throw new OptionError(`fit wants data for ${model}, ${USAGE}`);
  return {
    ...others,
    // A query alone is the data; beside a file it is a question to that file.
    ...(named !== undefined && query !== undefined && { sql: query }),
    model,
    data,
    ...(folder !== undefined && { out: folder }),
  };
}

/** Whether `--help all` is asked for, in place of the options that one changes most. */
function isAskedForAll(args: readonly string[]): boolean {
  return args.some((arg, i) => arg === "all" && (args[i - 1] === "--help" || args[i - 1] === "-h"));
}

export async function configure(command: Command, args: readonly string[]): Promise<void> {
  const named = args.find((arg) => models.has(arg) || isModulePath(arg));
  command
    .option("--out <folder>", "run folder (default: runs/MODEL-DATA, numbered where it exists)")
    .option(
      "--resume <folder>",
      "continue the run in this folder, bit for bit; options of training given beside it are changed",
    )
    .option("--config <file>", "JSON file of options by their camelCase names; those of the command line win")
    .option("--json", "print the summary as JSON")
    .option("--offline", "make no request: weights that are named by an address come out of the cache")
    .option("--quiet", "show no progress");
  addSchemaOptions(command, "With --resume", resumeFlags);
  addSchemaOptions(command, "Training", fitOptions);
  const shown = named === undefined ? undefined : { model: named, definition: await loadDefinition(named) };
  addSchemaOptions(command, "Data", shown === undefined ? dataOptionsSchema : dataSchema(shown.definition));
  // Of data that is drawn, options are shown where it is named.
  if (!args.includes("digit-scenes")) {
    for (const option of command.options) if (isOfScenes(option.description)) option.hideHelp();
  }
  for (const schema of [dataOptionsSchema, detectionDataSchema]) {
    addSchemaOptions(command, "Data", schema, shown !== undefined);
  }
  if (shown !== undefined) {
    const { definition } = shown;
    addSchemaOptions(command, `Model ${definition.name}`, modelSchema(definition));
  }
  // Options of other models are taken too, since the model may be named in a configuration file; the fit refuses those
  // that do not belong to the model.
  for (const definition of models.values()) {
    addSchemaOptions(command, `Model ${definition.name}`, modelSchema(definition), shown !== undefined);
  }
  if (isAskedForAll(args)) {
    const examples =
      shown === undefined
        ? "eidos fit rectified-flow digits --seconds 120\n  eidos fit nice measurements.csv --categorical color --steps 5000"
        : exampleFit(shown.definition);
    command.addHelpText(
      "after",
      `\nModels: ${[...models.keys()].join(", ")}\n\nExamples:\n  ${examples}\n  eidos fit --resume runs/NAME`,
    );
  }
  if (!isAskedForAll(args)) {
    command.helpInformation = () =>
      shown === undefined
        ? shortHelpOfAll([...models.keys()], dataOptionsSchema)
        : shortFitHelp(shown.model, shown.definition);
  }
  command.action(
    async (model: string | undefined, data: string | undefined, flags: Record<string, unknown>) => {
      const { resume, json, quiet, ...options } = flags;
      const job = rankJob();
      const leads = job === undefined || job.rank === 0;
      const display = new ProgressDisplay(job);
      const hooks = (signal: AbortSignal): FitHooks => ({
        ...fitHooks(display, signal, quiet === true || !leads),
        ranks: true,
      });
      let begin: (signal: AbortSignal) => Promise<FitSummary>;
      if (resume !== undefined) {
        const misplaced = model ?? (["out", "config"] as const).find((name) => options[name] !== undefined);
        if (misplaced !== undefined) {
          throw new OptionError(
            `--resume takes model, data and folder from the run; leave ${misplaced} out, as in: eidos fit --resume ${resume}`,
          );
        }
        const { data, trustModule, trustQuery, download, ...changed } = flagValues(options, [
          fitOptions,
          resumeFlags,
        ]);
        const moved = textOf(data, "data");
        const trust = {
          module: trustModule === true,
          query: trustQuery === true,
          download: download === true,
        };
        const overrides = { ...changed, trust, ...(moved !== undefined && { data: moved }) };
        begin = (signal) => resumeFit(String(resume), overrides, hooks(signal));
      } else {
        const misplaced = Object.keys(resumeFlags.shape).find((name) => options[name] !== undefined);
        if (misplaced !== undefined) {
          throw new OptionError(`--${flagName(misplaced)} is of a run that goes on (--resume); leave it out`);
        }
        const request = await requestOf({ model, data }, options, shown);
        begin = (signal) => startFit(request, hooks(signal));
      }
      const summary = await interruptible(display, begin);
      // Of several ranks, one prints.
      if (leads && json) printJson(summary);
      else if (leads) printSummary(summary);
      // A signal that came when all was done has changed nothing. Of several ranks, rank 0 has the code: a launcher ends all others
      // where one fails, and rank 0 may still be printing.
      if ((summary.reason !== "stopped" && !summary.unreported) || !leads) process.exitCode = 0;
    },
  );
}
