import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { isPicture, range } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { openRun } from "../../tasks/run/run.node.ts";
import { translateRun, writeWays } from "../../tasks/use/edit.node.ts";
import { imagesFromFiles } from "../../tasks/use/inpaint.node.ts";
import { checkInterpolationPath, endsFromSplit } from "../../tasks/use/interpolate.node.ts";
import { RunFolder } from "../../train/run-folder.node.ts";
import { print } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { runOptions } from "../run-options.ts";

const translateFlags = z.strictObject({
  back: z.boolean().default(false).describe("from the run's data back to its source"),
  index: z
    .array(z.int().nonnegative())
    .optional()
    .describe("samples of a split of the source by position, in place of image files"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split that --index counts in"),
  count: z.int().positive().default(8).describe("samples at most, of a folder or of the split"),
  seed: z.int().nonnegative().default(0).describe("seed of the noise of images"),
  states: z.int().min(2).default(8).describe("states of each way that are written, its ends among them"),
  out: z
    .string()
    .optional()
    .describe(
      ".png or .npy file of images, .csv, .parquet or .npy of others (default: samples/ in the run folder)",
    ),
  ...runOptions,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Ways", translateFlags);
  command.addHelpText(
    "after",
    "\nIMAGES are files or folders; without them, samples of the test split of the source are taken (with --back, of the data).",
  );
  command.action(async (path: string, files: readonly string[], flags: Record<string, unknown>) => {
    const parsed = parseOptions("translate", translateFlags, flagValues(flags, [translateFlags]));
    const { back, index, split, count, seed, states, out, ...opening } = parsed;
    if (index !== undefined && files.length > 0) {
      throw new OptionError("translate: name images by files or by --index, not by both");
    }
    const { dataInfo } = await new RunFolder(path).readConfig();
    const name = `translate${back ? "-back" : ""}.${isPicture(dataInfo) ? "png" : "csv"}`;
    const target = out ?? join(path, "samples", name);
    checkInterpolationPath(target, dataInfo);
    const run = await openRun(path, opening);
    try {
      const samples = async () => {
        if (files.length > 0) return imagesFromFiles(run, files, count, "translate");
        const data = await run.data();
        const all = ((back ? undefined : data.source) ?? data).splits[split];
        return endsFromSplit(all, index ?? [...range(0, Math.min(count, all.count))]);
      };
      const ways = await translateRun(run, { x: (await samples()).x, back, seed, states });
      await writeWays(run, target, ways);
      const number = ways.shape[0] ?? 0;
      print(`${number} ${number === 1 ? "way" : "ways"} of ${states} states: ${target}`);
    } finally {
      await run.session.release();
    }
  });
}
