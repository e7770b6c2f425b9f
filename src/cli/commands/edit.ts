import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { isPicture, range } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import { checkEditPath, editRun, writeEdits } from "../../tasks/use/edit.node.ts";
import { imagesFromFiles } from "../../tasks/use/inpaint.node.ts";
import { endsFromSplit } from "../../tasks/use/interpolate.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const editFlags = z.strictObject({
  strength: z
    .number()
    .gt(0)
    .max(1)
    .default(0.5)
    .describe("how much noise is added: 0.5 as much as there is signal, 1 nothing but noise"),
  index: z
    .array(z.int().nonnegative())
    .optional()
    .describe("samples of a split by position, in place of image files"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split that --index counts in"),
  count: z.int().positive().default(8).describe("samples at most, of a folder or of the split"),
  draws: z.int().positive().default(4).describe("edits of each sample"),
  seed: z.int().nonnegative().default(0).describe("seed of the noise"),
  label: z
    .int()
    .nonnegative()
    .optional()
    .describe("class that the edits are to be of, for conditional models (default: any)"),
  guidance: z
    .number()
    .min(0)
    .optional()
    .describe("classifier-free guidance towards the class (images: 2, otherwise 1)"),
  steps: z.int().positive().optional().describe("steps from the noise to the edit (default: 50)"),
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
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Edits", editFlags);
  command.addHelpText(
    "after",
    "\nIMAGES are files or folders; without them, samples of the test split of the run's own data are taken.",
  );
  command.action(async (path: string, files: readonly string[], flags: Record<string, unknown>) => {
    const parsed = parseOptions("edit", editFlags, flagValues(flags, [editFlags]));
    const { index, split, count, strength, draws, seed, out, ...others } = parsed;
    const { label, guidance, steps, eta, ...opening } = others;
    if (index !== undefined && files.length > 0) {
      throw new OptionError("edit: name images by files or by --index, not by both");
    }
    const { dataInfo } = await new RunFolder(path).readConfig();
    const extension = isPicture(dataInfo) ? "png" : "csv";
    const target = out ?? join(path, "samples", `edit-${seed}.${extension}`);
    checkEditPath(target, dataInfo);
    const run = await openRun(path, opening);
    try {
      checkLabel(run, label);
      const { x } =
        files.length > 0
          ? await imagesFromFiles(run, files, count, "edit")
          : await run.data().then(({ splits }) => {
              const all = splits[split];
              return endsFromSplit(all, index ?? [...range(0, Math.min(count, all.count))]);
            });
      const begun = performance.now();
      const edited = await editRun(run, {
        x,
        strength,
        draws,
        seed,
        ...(label !== undefined && { label }),
        ...(guidance !== undefined && { guidance }),
        ...(steps !== undefined && { steps }),
        ...(eta !== undefined && { eta }),
      });
      const seconds = (performance.now() - begun) / 1000;
      await writeEdits(run, target, { x, edited });
      const number = x.shape[0] ?? 0;
      print(
        `${draws} edits of ${number} ${number === 1 ? "sample" : "samples"} in ${seconds.toFixed(1)} s: ${target}`,
      );
    } finally {
      await run.session.release();
    }
  });
}
