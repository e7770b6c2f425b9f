import type { Command } from "commander";
import { z } from "zod";
import { parseOptions } from "../../catalog/models.ts";
import { openRun } from "../../catalog/run.node.ts";
import { imageBits, score } from "../../catalog/score.node.ts";
import { writeTable } from "../../data/table-write.node.ts";
import { print, printJson, showNumber } from "../format.ts";
import { addSchemaOptions } from "../options.ts";

const scoreFlags = z.strictObject({
  out: z.string().optional().describe("file to write: .csv or .parquet (default: lines on standard output)"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split, where the data has splits"),
  seed: z.int().nonnegative().default(0).describe("seed of dequantisation noise"),
  weights: z.enum(["best", "last"]).optional().describe("which weights"),
  json: z.boolean().default(false).describe("print the mean as JSON, not the scores"),
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Scores", scoreFlags);
  command.addHelpText(
    "after",
    "\nDATA is a table file, a query or a folder of images like those the run was fitted on;\nwithout it, the test split of the run's own data is scored.",
  );
  command.action(async (path: string, source: string | undefined, flags: Record<string, unknown>) => {
    const { out, split, seed, weights, json } = parseOptions("score", scoreFlags, flags);
    const run = await openRun(path, weights === undefined ? {} : { weights });
    const images = run.config.dataInfo.kind === "image";
    const names = ["row", "logLikelihood", ...(images ? ["bitsPerDimension"] : [])];
    let count = 0;
    let total = 0;
    async function* rows(): AsyncGenerator<readonly number[]> {
      for await (const { firstRow, logLikelihood } of score(run, source, { split, seed })) {
        for (const [i, value] of logLikelihood.entries()) {
          count++;
          total += value;
          yield [firstRow + i, value, ...(images ? [imageBits(run, value)] : [])];
        }
      }
    }
    if (out !== undefined) await writeTable(out, names, rows());
    else {
      if (!json) print(names.join());
      for await (const row of rows()) if (!json) print(row.join());
    }
    const mean = total / count;
    const summary = {
      run: path,
      data: source ?? `${run.config.data} (${split})`,
      count,
      meanLogLikelihood: mean,
      ...(images && { bitsPerDimension: imageBits(run, mean) }),
    };
    if (json) printJson(summary);
    else {
      const bits = images ? `, ${showNumber(imageBits(run, mean))} bits per dimension` : "";
      process.stderr.write(
        `${count} rows, mean log-likelihood ${showNumber(mean)} nats${bits}${out ? `: ${out}` : ""}\n`,
      );
    }
    await run.session.release();
  });
}
