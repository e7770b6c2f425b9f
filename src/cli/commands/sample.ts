import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { models } from "../../catalog.ts";
import { parseOptions } from "../../options.ts";
import { sampleSchema } from "../../tasks/run/definition.node.ts";
import { parseGiven } from "../../tasks/run/given.node.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import {
  checkAnimation,
  checkSamplePath,
  sampleRun,
  writeAnimation,
  writeSamples,
} from "../../tasks/use/sample.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { print, showDuration } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { ProgressLine, progressBar } from "../progress.ts";
import { runOptions } from "../run-options.ts";

const sampleFlags = z.strictObject({
  count: z.int().positive().default(64).describe("how many samples"),
  seed: z.int().nonnegative().default(0).describe("seed of the samples"),
  label: z.int().nonnegative().optional().describe("class of the samples, for conditional models"),
  out: z
    .string()
    .optional()
    .describe(".png, .npy, .csv or .parquet file (default: samples/ in the run folder)"),
  animate: z
    .string()
    .optional()
    .describe(".gif or .webp file: the first samples as they form, for models that draw step by step"),
  frames: z.int().min(2).default(40).describe("pictures of the animation at most"),
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Samples", sampleFlags);
  command.option(
    "--given <name=value>",
    "value of a table column that the model is conditioned on; again for each (default: those of random rows of the data)",
    (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
  );
  for (const definition of models.values()) {
    const schema = sampleSchema(definition);
    if (schema !== undefined) addSchemaOptions(command, `Samples of ${definition.name}`, schema);
  }
  command.action(async (path: string, { given, ...flags }: Record<string, unknown>) => {
    const known = Object.keys(sampleFlags.shape);
    const pick = (general: boolean) =>
      Object.fromEntries(Object.entries(flags).filter(([name]) => known.includes(name) === general));
    const { count, seed, label, out, animate, frames, ...opening } = parseOptions(
      "sample",
      sampleFlags,
      flagValues(pick(true), [sampleFlags]),
    );
    if (out !== undefined) checkSamplePath(out);
    const { dataInfo } = await new RunFolder(path).readConfig();
    const extension = dataInfo.columns === undefined ? "png" : "csv";
    const target = out ?? join(path, "samples", `seed-${seed}.${extension}`);
    checkSamplePath(target, dataInfo);
    const run = await openRun(path, opening);
    if (animate !== undefined) checkAnimation(run, animate);
    const own = sampleSchema(run.definition);
    const line = new ProgressLine();
    const begun = performance.now();
    const settings = {
      ...flagValues(pick(false), own === undefined ? [] : [own]),
      count,
      seed,
      ...(label !== undefined && { label }),
    };
    const samples = await sampleRun(run, {
      ...settings,
      ...(Array.isArray(given) && { given: parseGiven(given) }),
      onProgress: (share) => line.show(progressBar("drawing samples", share)),
    });
    line.clear();
    const seconds = (performance.now() - begun) / 1000;
    await writeSamples(run, samples, target);
    print(
      `${count} samples in ${seconds < 10 ? `${seconds.toFixed(1)} s` : showDuration(seconds)}: ${target}`,
    );
    if (animate !== undefined) {
      await writeAnimation(run, animate, { ...settings, states: frames });
      print(`as they form: ${animate}`);
    }
    await run.session.release();
  });
}
