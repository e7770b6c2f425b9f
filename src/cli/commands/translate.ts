import type { Command } from "commander";
import { z } from "zod";
import { sampleCount, seedNumber, stepCount } from "../../bounds.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { counted } from "../../memory.ts";
import { writePaths } from "../../tasks/use/edit.node.ts";
import { checkInterpolationPath } from "../../tasks/use/interpolate.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, chosenBy, csvFlags, csvWriting, inSamples, runOptions, sampleChoice } from "../verb.ts";

const flags = z.strictObject({
  back: z.boolean().default(false).describe("from the run's data back to its source"),
  ...sampleChoice,
  count: sampleCount().default(8).describe("samples at most, of a folder or of the split"),
  seed: seedNumber().default(0).describe("seed of the noise of images"),
  states: stepCount(2).default(8).describe("states of each path that are written, its ends among them"),
  out: z
    .string()
    .optional()
    .describe(
      ".png or .npy file of images, .csv, .parquet or .npy of others (default: samples/ in the run folder)",
    ),
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "translate",
    heading: "Paths",
    flags,
    help: "IMAGES are files or folders; without them, samples of the test split of the source are taken (with --back, of the data).",
    check: (options, [files]) => {
      chosenBy("translate", files as readonly string[], options);
    },
    target({ out, back }, info, folder) {
      const name = `translate${back ? "-back" : ""}.${isPicture(info) ? "png" : "csv"}`;
      const path = out ?? inSamples(folder, name);
      checkInterpolationPath(path, info);
      return path;
    },
    async action({ run, flags: options, operands: [files], target }) {
      const { back, seed, states } = options;
      const samples = chosenBy("translate", files as readonly string[], { ...options, source: !back });
      const paths = await run.translate(samples, { back, seed, states });
      await writePaths(run.loaded, target, paths, csvWriting(options.csvSafe));
      const count = paths.shape[0] ?? 0;
      printOutcome(options.json, `${counted(count, "path")} of ${states} states: ${target}`, {
        out: target,
        paths: count,
        states,
        seed,
        back,
      });
    },
  });
}
