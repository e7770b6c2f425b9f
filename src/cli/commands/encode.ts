import type { Command } from "commander";
import { z } from "zod";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkCodePath, encodeRun, writeCodes } from "../../tasks/use/codes.node.ts";
import { codeOptions, codeSolver } from "../code-options.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const encodeFlags = z.strictObject({
  out: z.string().default("codes.npy").describe("file to write: .npy, .csv or .parquet"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split, where the data has splits"),
  label: z
    .int()
    .nonnegative()
    .optional()
    .describe(
      "class of all samples, for conditional models (default: those of the data; diffusion models: any class)",
    ),
  seed: z.int().nonnegative().default(0).describe("seed of the noise of categories"),
  ...codeOptions,
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Codes", encodeFlags);
  command.addHelpText(
    "after",
    "\nDATA is a table file, a query or a folder of images like those the run was fitted on; without it, the test split of the\nrun's own data is encoded.",
  );
  command.action(async (path: string, source: string | undefined, flags: Record<string, unknown>) => {
    const { out, split, label, seed, solver, solverSteps, ...opening } = parseOptions(
      "encode",
      encodeFlags,
      flagValues(flags, [encodeFlags]),
    );
    checkCodePath(out, "option out");
    const run = await openRun(path, opening);
    const unreadable: string[] = [];
    const onUnreadable = (file: string): void => {
      unreadable.push(file);
    };
    const codes = codeSolver({ solver, solverSteps });
    const count = await writeCodes(out, encodeRun(run, source, { split, label, seed, codes, onUnreadable }));
    print(`${count} codes of ${run.model.dimensions} numbers: ${out}`);
    if (unreadable.length > 0) {
      const shown = `${unreadable.slice(0, 10).join(", ")}${unreadable.length > 10 ? ", …" : ""}`;
      process.stderr.write(`left out ${unreadable.length} unreadable: ${shown}\n`);
    }
    await run.session.release();
  });
}
