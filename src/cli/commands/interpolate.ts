import type { Command } from "commander";
import { z } from "zod";
import { stepCount, unitCount } from "../../bounds.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import { checkInterpolationPath, writeInterpolation } from "../../tasks/use/interpolate.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, csvFlags, csvWriting, runOptions, sampleChoice } from "../verb.ts";
import { codeOptions, codeSolver } from "../verb-options.ts";

const flags = z.strictObject({
  ...sampleChoice,
  index: sampleChoice.index.describe("samples of a split by position, in pairs, in place of image files"),
  steps: stepCount(2).default(8).describe("samples along each path, its ends among them"),
  path: z
    .enum(["linear", "spherical"])
    .optional()
    .describe("path between two codes (default: spherical where codes are Gaussian, otherwise linear)"),
  label: unitCount(0)
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
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "interpolate",
    heading: "Paths",
    flags,
    help: "SAMPLES are images in pairs: from the first to the second, from the third to the fourth, and so on, one row of the\npicture each; of a run of rows tables, whose rows are the pairs.",
    check({ index }, [files]) {
      if ((index === undefined) === ((files as readonly string[]).length === 0)) {
        throw new OptionError(
          "interpolate: name two images or a table of two rows, or samples of a split by --index 3,17",
        );
      }
    },
    target({ out }, info) {
      const path = out ?? (isPicture(info) ? "strip.png" : "path.csv");
      checkInterpolationPath(path, info);
      return path;
    },
    async action({ run, flags: options, operands: [files], target }) {
      const { index, split, steps, path, label, solver, solverSteps } = options;
      checkLabel(run.loaded, label);
      const ends = index === undefined ? { files: files as readonly string[] } : { index, split };
      const samples = await run.interpolate(ends, {
        steps,
        path,
        label,
        codes: codeSolver({ solver, solverSteps }),
      });
      await writeInterpolation(run.loaded, samples, steps, target, csvWriting(options.csvSafe));
      const paths = (samples.shape[0] ?? 0) / steps;
      printOutcome(options.json, `${counted(paths, "path")} of ${counted(steps, "sample")}: ${target}`, {
        out: target,
        paths,
        steps,
      });
    },
  });
}
