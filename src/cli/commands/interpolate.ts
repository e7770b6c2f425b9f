import type { Command } from "commander";
import { z } from "zod";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import {
  checkInterpolationPath,
  endsFromFiles,
  endsFromSplit,
  interpolateRun,
  writeInterpolation,
} from "../../tasks/use/interpolate.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { codeOptions, codeSolver } from "../code-options.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const interpolateFlags = z.strictObject({
  index: z
    .array(z.int().nonnegative())
    .optional()
    .describe("samples of a split by position, in pairs, in place of image files"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split that --index counts in"),
  steps: z.int().min(2).default(8).describe("samples along each path, its ends among them"),
  path: z
    .enum(["linear", "spherical"])
    .optional()
    .describe("way between two codes (default: spherical where codes are Gaussian, otherwise linear)"),
  label: z
    .int()
    .nonnegative()
    .optional()
    .describe(
      "class of all samples, for conditional models (default: those of the data, with --index; diffusion models: any class)",
    ),
  ...codeOptions,
  out: z
    .string()
    .optional()
    .describe(
      ".png or .npy file of images, .csv, .parquet or .npy of others (default: strip.png or path.csv)",
    ),
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Paths", interpolateFlags);
  command.addHelpText(
    "after",
    "\nIMAGES are files in pairs: from the first to the second, from the third to the fourth, and so on, one row of the\npicture each.",
  );
  command.action(async (path: string, files: readonly string[], flags: Record<string, unknown>) => {
    const {
      index,
      split,
      steps,
      path: along,
      label,
      solver,
      solverSteps,
      out,
      ...opening
    } = parseOptions("interpolate", interpolateFlags, flagValues(flags, [interpolateFlags]));
    if ((index === undefined) === (files.length === 0)) {
      throw new OptionError("interpolate: name two images, or samples of a split by --index 3,17");
    }
    const { dataInfo } = await new RunFolder(path).readConfig();
    const target = out ?? (isPicture(dataInfo) ? "strip.png" : "path.csv");
    checkInterpolationPath(target, dataInfo);
    const run = await openRun(path, opening);
    checkLabel(run, label);
    const ends =
      index === undefined
        ? await endsFromFiles(run, files)
        : endsFromSplit((await run.data()).splits[split], index);
    const samples = await interpolateRun(run, ends.x, {
      steps,
      path: along,
      labels: ends.labels,
      label,
      codes: codeSolver({ solver, solverSteps }),
    });
    await writeInterpolation(run, samples, steps, target);
    const pairs = (samples.shape[0] ?? 0) / steps;
    print(`${pairs} ${pairs === 1 ? "path" : "paths"} of ${steps} samples: ${target}`);
    await run.session.release();
  });
}
