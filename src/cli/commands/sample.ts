import type { Command } from "commander";
import { z } from "zod";
import { sampleCount, seedNumber, stepCount, unitCount } from "../../bounds.ts";
import { models } from "../../catalog.ts";
import { counted } from "../../memory.ts";
import { Interrupted } from "../../program/deadline.ts";
import { sampleSchema } from "../../tasks/run/definition.node.ts";
import { checkAnimation, checkSamplePath, writeAnimation } from "../../tasks/use/sample.node.ts";
import { type Acceptance, acceptanceLine } from "../../tasks/use/sample-where.node.ts";
import type { NdArray } from "../../tensor/array.ts";
import { printLine, showDuration } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { addVerb, csvFlags, csvWriting, inSamples, runOptions } from "../verb.ts";
import { addGiven, givenValues } from "../verb-options.ts";

const flags = z.strictObject({
  count: sampleCount().default(64).describe("how many samples"),
  seed: seedNumber().default(0).describe("seed of the samples"),
  label: unitCount(0).optional().describe("class of the samples, for conditional models"),
  gaps: z
    .boolean()
    .default(false)
    .describe("rows of tables with gaps, at the rate of the data (default: gaps are filled in)"),
  where: z
    .string()
    .min(1)
    .optional()
    .describe(
      "tables: draw rows until enough fulfil this condition, an SQL expression over columns, as '\"end\" > start and price < 3 * weight' (default: none)",
    ),
  out: z
    .string()
    .optional()
    .describe(".png, .npy, .csv or .parquet file (default: samples/ in the run folder)"),
  animate: z
    .string()
    .optional()
    .describe(".gif or .webp file: the first samples as they form, for models that draw step by step"),
  frames: stepCount(2).default(40).describe("pictures of the animation at most"),
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "sample",
    heading: "Samples",
    flags,
    check({ out }) {
      if (out !== undefined) checkSamplePath(out);
    },
    target({ out, seed }, info, folder) {
      const path = out ?? inSamples(folder, `seed-${seed}.${info.columns === undefined ? "png" : "csv"}`);
      checkSamplePath(path, info);
      return path;
    },
    async action({ run, flags, others, target, display, seconds }) {
      const { count, seed, label, gaps, where, animate, frames, csvSafe } = flags;
      if (animate !== undefined) checkAnimation(run.loaded, animate);
      const own = sampleSchema(run.loaded.definition);
      const { given: _, ...texts } = others;
      const settings = {
        ...flagValues(texts, own === undefined ? [] : [own]),
        count,
        seed,
        ...(label !== undefined && { label }),
      };
      let samples: NdArray<"float32">;
      let stopped = false;
      let acceptance: string | undefined;
      try {
        samples = await run.sample({
          ...settings,
          ...givenValues(others),
          gaps,
          ...(where !== undefined && {
            where,
            onAccepted: (found: Acceptance) => {
              acceptance = acceptanceLine(where, found);
            },
          }),
          onProgress: (share) => display.show("drawing samples", share),
        });
      } catch (error) {
        if (!(error instanceof Interrupted) || error.kept === undefined) throw error;
        samples = error.kept as NdArray<"float32">;
        stopped = true;
      }
      display.end();
      if (acceptance !== undefined) printLine(acceptance);
      const spent = seconds();
      await run.save(samples, target, csvWriting(csvSafe));
      const drawn = samples.shape[0] ?? 0;
      printLine(
        `${stopped ? `stopped: ${drawn} of ${counted(count, "sample")}` : counted(count, "sample")} in ${spent < 10 ? `${spent.toFixed(1)} s` : showDuration(spent)}: ${target}`,
      );
      if (animate !== undefined && !stopped) {
        await writeAnimation(run.loaded, animate, { ...settings, states: frames });
        printLine(`as they form: ${animate}`);
      }
    },
  });
  addGiven(command, " (default: those of random rows of the data)");
  for (const definition of models.values()) {
    const schema = sampleSchema(definition);
    if (schema !== undefined) addSchemaOptions(command, `Samples of ${definition.name}`, schema);
  }
}
