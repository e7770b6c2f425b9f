import { extname } from "node:path";
import { z } from "zod";
import { parseShard, type Shard } from "../data/sources/shard.ts";
import { OptionError } from "../errors.ts";
import type { Run } from "../tasks/open-run.node.ts";
import { checkExtension } from "../tasks/run/outputs.node.ts";
import { ShardFolder, type ShardRecord, shardRecord } from "../tasks/use/shards.node.ts";
import { rankJob } from "../train/ranks/job.node.ts";
import { printJson, printNote } from "./format.ts";

// Commands that divide their work among processes which do not talk with each other.

/** The flag of commands that divide their work. */
export const shardFlags = {
  shard: z
    .string()
    .optional()
    .describe(
      "i/n: this process does share i, counted from 0, of n, and writes a part into the folder that --out names; eidos merge joins the parts. none: all of it (default: under mpirun and srun the rank, otherwise none)",
    ),
};

/** The shard that a flag names, or that this process is as a rank of an MPI job; undefined where it does all. @throws OptionError */
export function shardOf(text: string | undefined): Shard | undefined {
  if (text === "none") return undefined;
  if (text !== undefined) return parseShard(text);
  const job = rankJob();
  return job && { index: job.rank, count: job.size };
}

/** What of a command and its run decides what parts hold. */
export function workOf(
  run: Run,
  command: string,
  options: Readonly<Record<string, unknown>>,
): ShardRecord["work"] {
  return { command, run: run.config.created, model: run.config.model, step: run.weightsStep, ...options };
}

/**
 * The folder of the parts of tables or arrays.
 * @param out names the folder, and by its extension what parts are
 * @throws OptionError where there is no name, or the extension is another
 */
export function partsIn(
  out: string | undefined,
  extensions: readonly string[],
  { count }: Shard,
  work: ShardRecord["work"],
): ShardFolder {
  if (out === undefined) {
    throw new OptionError(
      `option shard: needs --out NAME${extensions[0]}, the folder that parts are written into; --shard none does all at once`,
    );
  }
  checkExtension(out, extensions);
  const extension = shardRecord.shape.extension.parse(extname(out).toLowerCase());
  return new ShardFolder(out, { kind: extension === ".npy" ? "array" : "table", count, extension, work });
}

/** Says that a part was there before. */
export function printWhole(folder: ShardFolder, shard: Shard, json: boolean): void {
  const out = folder.part(shard.index);
  printNote(`${out} is there already, and whole`);
  if (json) printJson({ out, shard, before: true });
}

/** Does the work of a shard, and prints where it was done before. */
export async function completeShard(
  folder: ShardFolder,
  shard: Shard,
  json: boolean,
  write: (path: string) => Promise<void>,
): Promise<void> {
  const done = await folder.complete(shard, async (path) => {
    await write(path);
    return true;
  });
  if (done === undefined) printWhole(folder, shard, json);
}
