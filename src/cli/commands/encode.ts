import type { Command } from "commander";
import { z } from "zod";
import { seedNumber, unitCount } from "../../bounds.ts";
import { checkCodePath, writeCodes } from "../../tasks/use/codes.node.ts";
import { printOutcome } from "../flags.ts";
import { addVerb, csvFlags, csvWriting, printUnreadable, runOptions } from "../verb.ts";
import { codeOptions, codeSolver } from "../verb-options.ts";

const flags = z.strictObject({
  out: z.string().default("codes.npy").describe("file to write: .npy, .csv or .parquet"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split, where the data has splits"),
  label: unitCount(0)
    .optional()
    .describe(
      "class of all samples, for conditional models (default: those of the data; diffusion models: any class)",
    ),
  seed: seedNumber().default(0).describe("seed of the noise of categories"),
  ...codeOptions,
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "encode",
    heading: "Codes",
    flags,
    help: "DATA is a table file, a query or a folder of images like those the run was fitted on; without it, the test split of the\nrun's own data is encoded.",
    check({ out }) {
      checkCodePath(out, "option out");
    },
    async action({
      run,
      flags: { out, split, label, seed, solver, solverSteps, csvSafe, json },
      operands: [source],
    }) {
      const unreadable: string[] = [];
      const onUnreadable = (file: string): void => {
        unreadable.push(file);
      };
      const codes = codeSolver({ solver, solverSteps });
      const batches = run.codes(source as string | undefined, { split, label, seed, codes, onUnreadable });
      const count = await writeCodes(out, batches, csvWriting(csvSafe));
      const { dimensions } = run.loaded.model;
      printOutcome(json, `${count} codes of ${dimensions} numbers: ${out}`, {
        out,
        codes: count,
        dimensions,
      });
      printUnreadable(unreadable);
    },
  });
}
