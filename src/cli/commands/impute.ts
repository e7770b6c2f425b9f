import { extname } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { writeTable } from "../../data/table/write.node.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import { type ImputeCounts, imputeTable } from "../../tasks/use/impute.node.ts";
import { completionOptions, completionSettings } from "../completion-options.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const imputeFlags = z.strictObject({
  out: z.string().default("filled.csv").describe("file to write: .csv or .parquet"),
  draws: z.int().positive().default(5).describe("completions of each row"),
  ...completionOptions,
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Imputation", imputeFlags);
  command.addHelpText(
    "after",
    "\nTABLE is a file or query with the columns that the run was fitted on. Empty, NULL and NaN cells of these are drawn\nfrom the model's density given the other cells of their row. The result holds every row once for each draw, numbered\nin the column draw from 0; other cells stay as they are.",
  );
  command.action(async (path: string, table: string, flags: Record<string, unknown>) => {
    const { out, draws, seed, steps, method, resamplings, label, ...opening } = parseOptions(
      "impute",
      imputeFlags,
      flagValues(flags, [imputeFlags]),
    );
    if (![".csv", ".parquet"].includes(extname(out).toLowerCase())) {
      throw new OptionError(`option out: ${out} must end in .csv or .parquet`);
    }
    const run = await openRun(path, opening);
    try {
      checkLabel(run, label);
      let counts: ImputeCounts = { rows: 0, incomplete: 0, cells: 0 };
      const begun = performance.now();
      const { names, types, rows } = await imputeTable(run, table, {
        draws,
        seed,
        label,
        ...completionSettings({ method, steps, resamplings }),
        onProgress: (reached) => {
          counts = reached;
        },
      });
      await writeTable(out, names, rows, types);
      const seconds = (performance.now() - begun) / 1000;
      print(
        `${table}: ${counts.cells} missing cells in ${counts.incomplete} of ${counts.rows} rows, ${draws} draws each in ${seconds.toFixed(1)} s: ${out}`,
      );
    } finally {
      await run.session.release();
    }
  });
}
