import type { Command } from "commander";
import { z } from "zod";
import { sampleCount } from "../../bounds.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { counted } from "../../memory.ts";
import { checkExtension } from "../../tasks/run/outputs.node.ts";
import { checkLabel } from "../../tasks/use/codes.node.ts";
import type { ImputeCounts } from "../../tasks/use/impute.node.ts";
import { printOutcome } from "../flags.ts";
import { completeShard, partsIn, shardFlags, shardOf, workOf } from "../shards.ts";
import { addVerb, csvFlags, csvWriting, noteClipped, runOptions } from "../verb.ts";
import { completionOptions, completionSettings } from "../verb-options.ts";

const flags = z.strictObject({
  out: z.string().default("filled.csv").describe("file to write: .csv or .parquet"),
  draws: sampleCount().default(5).describe("completions of each row"),
  ...completionOptions,
  ...shardFlags,
  ...csvFlags,
  ...runOptions,
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "impute",
    heading: "Imputation",
    flags,
    help: "TABLE is a file or query with the columns that the run was fitted on. Empty, NULL and NaN cells of these are drawn\nfrom the model's density given the other cells of their row. The result holds every row once for each draw, numbered\nin the column draw from 0; other cells stay as they are.",
    check({ out }) {
      checkExtension(out, [".csv", ".parquet"]);
    },
    async action({ run, flags: options, operands: [table], display, signal, seconds }) {
      const { out, draws, seed, label, method, steps, resamplings } = options;
      checkLabel(run.loaded, label);
      const shard = shardOf(options.shard);
      const settings = { draws, seed, label, ...completionSettings({ method, steps, resamplings }) };
      const impute = async (path: string): Promise<void> => {
        let clipped: (() => void) | undefined;
        let counts: ImputeCounts = { rows: 0, incomplete: 0, cells: 0 };
        const { names, types, rows } = await run.impute(String(table), {
          ...settings,
          shard,
          onClipped: (columns, rows) => {
            clipped = () => noteClipped(columns, rows);
          },
          onProgress: (reached) => {
            counts = reached;
            const each = Math.round(reached.rows / Math.max(seconds(), 0.001));
            display.show("filling in", undefined, `${reached.rows} rows, ${each} rows/s`);
          },
        });
        await writeTable(path, names, rows, types, csvWriting(options.csvSafe));
        display.end();
        clipped?.();
        const stopped = signal.aborted && shard === undefined;
        printOutcome(
          options.json,
          `${stopped ? "stopped, with the rows up to there: " : ""}${table}: ${counted(counts.cells, "missing cell")} in ${counts.incomplete} of ${counted(counts.rows, "row")}, ${counted(draws, "draw")} each in ${seconds().toFixed(1)} s: ${path}`,
          { out: path, ...counts, draws, seed, seconds: seconds(), stopped, ...(shard && { shard }) },
        );
      };
      if (shard === undefined) return impute(out);
      const work = workOf(run, "impute", { data: String(table), ...settings });
      await completeShard(partsIn(out, [".csv", ".parquet"], shard, work), shard, options.json, impute);
    },
  });
}
