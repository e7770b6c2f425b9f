import type { Command } from "commander";
import { z } from "zod";
import { amount, editStrength, sampleCount, seedNumber, stepCount, unitCount } from "../../bounds.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { counted } from "../../memory.ts";
import { chosenSamples } from "../../tasks/run/samples.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import { checkEditPath, writeEdits } from "../../tasks/use/edit.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, chosenBy, csvFlags, csvWriting, inSamples, runOptions, sampleChoice } from "../verb.ts";

const flags = z.strictObject({
  strength: editStrength(),
  ...sampleChoice,
  count: sampleCount().default(8).describe("samples at most, of a folder or of the split"),
  draws: sampleCount().default(4).describe("edits of each sample"),
  seed: seedNumber().default(0).describe("seed of the noise"),
  label: unitCount(0).optional().describe("class of the edits, for conditional models (default: any)"),
  guidance: amount()
    .optional()
    .describe("classifier-free guidance towards the class (default: images 2, otherwise 1)"),
  steps: stepCount().optional().describe("steps from the noise to the edit (default: 50)"),
  eta: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("noise of the steps: 1 that of the stochastic equation, 0 none (default: 1)"),
  out: z
    .string()
    .optional()
    .describe(
      ".png: a strip for each image (itself, then its edits); .npy; .csv or .parquet of other data (default: samples/ in the run folder)",
    ),
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "edit",
    heading: "Edits",
    flags,
    help: "SAMPLES are images, folders of them or, of a run of rows, tables; without them, samples of the test split of the run's own data are taken.",
    check: (options, [files]) => {
      chosenBy("edit", files as readonly string[], options);
    },
    target({ out, seed }, info, folder) {
      const path = out ?? inSamples(folder, `edit-${seed}.${isPicture(info) ? "png" : "csv"}`);
      checkEditPath(path, info);
      return path;
    },
    async action({ run, flags: options, operands: [files], target, seconds }) {
      const { strength, draws, seed, label, guidance, steps, eta } = options;
      checkLabel(run.loaded, label);
      const { x } = await chosenSamples(
        run.loaded,
        chosenBy("edit", files as readonly string[], options),
        "edit",
      );
      const edited = await run.edit(x, {
        strength,
        draws,
        seed,
        ...(label !== undefined && { label }),
        ...(guidance !== undefined && { guidance }),
        ...(steps !== undefined && { steps }),
        ...(eta !== undefined && { eta }),
      });
      const spent = seconds();
      await writeEdits(run.loaded, target, { x, edited }, csvWriting(options.csvSafe));
      const samples = x.shape[0] ?? 0;
      printOutcome(
        options.json,
        `${draws} edits of ${counted(samples, "sample")} in ${spent.toFixed(1)} s: ${target}`,
        { out: target, samples, draws, seed, strength, seconds: spent },
      );
    },
  });
}
