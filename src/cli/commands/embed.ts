import type { Command } from "commander";
import { z } from "zod";
import { seedNumber } from "../../bounds.ts";
import { counted } from "../../memory.ts";
import { POOLS } from "../../tasks/use/embed.node.ts";
import { checkFeaturePath } from "../../tasks/use/embed-file.node.ts";
import { printJson, printLine } from "../format.ts";
import { completeShard, partsIn, shardFlags, shardOf, workOf } from "../shards.ts";
import { addVerb, csvFlags, csvWriting, printUnreadable, runOptions } from "../verb.ts";

const flags = z.strictObject({
  out: z.string().min(1).default("features.parquet").describe("file to write: .parquet, .npy or .csv"),
  layer: z
    .string()
    .min(1)
    .default("code")
    .describe("which features: code, local or another layer of the network; an unknown name lists them"),
  pool: z.enum(POOLS).default("none").describe("of maps, every number, or the mean over locations"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split, where the data has splits"),
  seed: seedNumber().default(0).describe("seed of the noise of categories"),
  ...shardFlags,
  ...csvFlags,
  ...runOptions,
  json: z.boolean().default(false).describe("print what was written as JSON"),
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "embed",
    heading: "Features",
    flags,
    help: "DATA is a table file, a query or a folder of images like those the run was fitted on; without it, the test split of the\nrun's own data is embedded. Rows have names: files of images, numbers of rows. Stopped, the same command goes on where it was.\n\nExamples:\n  eidos embed runs/vae-digits --out codes.npy\n  eidos embed runs/photos photos --out features.parquet --layer local --pool mean",
    check({ out }) {
      checkFeaturePath(out);
    },
    async action({ run, flags: options, operands: [source], display, signal }) {
      const { out, layer, pool, split, seed, csvSafe, json } = options;
      const data = source as string | undefined;
      const shard = shardOf(options.shard);
      const embed = async (path: string): Promise<void> => {
        const unreadable: string[] = [];
        const made = await run.embedInto(path, data, {
          layer,
          pool,
          split,
          seed,
          shard,
          signal,
          writing: csvWriting(csvSafe),
          onUnreadable: (file) => unreadable.push(file),
          onProgress({ done, all, resumed }) {
            // Of what was there before it is not known how long it took.
            const share = all === undefined ? undefined : (done - resumed) / (all - resumed);
            display.show("embedding", share, `${done}${all === undefined ? "" : `/${all}`} rows`);
          },
        });
        display.end();
        if (json) printJson({ ...made, ...(unreadable.length > 0 && { unreadable }) });
        else {
          const before = made.resumed === 0 ? "" : `, ${made.resumed} of them before`;
          printLine(
            made.finished
              ? `${counted(made.rows, "row")} of ${layer} [${made.shape}]${before}: ${made.path}${made.rowsPath === undefined ? "" : `, names of rows: ${made.rowsPath}`}`
              : `stopped after ${counted(made.rows, "row")}${before}; the same command goes on`,
          );
        }
        printUnreadable(unreadable);
      };
      if (shard === undefined) return embed(out);
      const work = workOf(run, "embed", {
        data: data ?? run.config.data,
        ...(data === undefined && { split }),
        layer,
        pool,
        seed,
      });
      await completeShard(partsIn(out, [".parquet", ".npy", ".csv"], shard, work), shard, json, embed);
    },
  });
}
