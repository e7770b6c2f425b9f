import { once } from "node:events";
import type { Command } from "commander";
import { z } from "zod";
import { nameList, sampleCount, seedNumber } from "../../bounds.ts";
import { CsvLines } from "../../data/files/csv.ts";
import type { Shard } from "../../data/sources/shard.ts";
import { writeTable } from "../../data/table/write.node.ts";
import { OptionError } from "../../errors.ts";
import { printable } from "../../printable.ts";
import type { Run } from "../../tasks/open-run.node.ts";
import { besideSamples } from "../../tasks/run/inputs.node.ts";
import { checkExtension } from "../../tasks/run/outputs.node.ts";
import { imageBits } from "../../tasks/use/score.node.ts";
import { printJson, printNote, showNumber } from "../format.ts";
import { printRanking, rankingSummary, writeRanking } from "../ranking.ts";
import { completeShard, partsIn, shardFlags, shardOf, workOf } from "../shards.ts";
import { addVerb, csvFlags, csvWriting, noteMarked, printUnreadable, runOptions } from "../verb.ts";

const flags = z.strictObject({
  out: z.string().optional().describe("file to write: .csv or .parquet (default: lines on standard output)"),
  split: z.enum(["train", "validation", "test"]).default("test").describe("split, where the data has splits"),
  seed: seedNumber().default(0).describe("seed of dequantization noise"),
  conditional: z
    .boolean()
    .default(false)
    .describe("log p(x | class) by the classes of the data, not log p(x), of a class-conditional model"),
  anomaly: z.boolean().default(false).describe("rank the samples, the most unusual first"),
  by: z
    .enum(["likelihood", "features"])
    .default("likelihood")
    .describe(
      "anomaly: rank by -log-likelihood, or by the distance of features from those of the nearest training samples",
    ),
  neighbors: sampleCount().default(5).describe("anomaly by features: training samples that count as nearest"),
  normal: nameList(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "anomaly, of a folder of images: its subfolders of normal images, such as good; images in others are anomalies, by which the ranking is evaluated",
    ),
  top: sampleCount().default(20).describe("how many of the ranking are printed"),
  label: z
    .string()
    .optional()
    .describe(
      "column of zeros and ones (1 for an anomaly) to evaluate the ranking by (default: anomaly or label, where the model does not know it)",
    ),
  ...shardFlags,
  ...csvFlags,
  ...runOptions,
  json: z.boolean().default(false).describe("print the mean, or the top of the ranking, as JSON"),
});

/** Lines kept before they are written to standard output. */
const LINES = 512;

/** Writes rows as CSV to standard output, no faster than they are read there. */
async function printRows(
  names: readonly string[],
  rows: AsyncIterable<readonly (string | number)[]>,
  csvSafe: boolean,
): Promise<void> {
  const csv = new CsvLines(names, { csvSafe });
  // A terminal would obey what a file is called; a file or a program is given the name as it is.
  const written = process.stdout.isTTY === true ? printable : (line: string) => line;
  let lines = [csv.head()];
  const flush = async (): Promise<void> => {
    const ready = process.stdout.write(`${lines.join("\n")}\n`);
    lines = [];
    if (!ready) await once(process.stdout, "drain");
  };
  for await (const row of rows) {
    lines.push(written(csv.row(row)));
    if (lines.length >= LINES) await flush();
  }
  if (lines.length > 0) await flush();
  if (csv.marked !== undefined) noteMarked(csv.marked);
}

type ScoreFlags = z.output<typeof flags>;

/** Ranks the samples, the most unusual first. */
async function rank(run: Run, source: string | undefined, what: string, options: ScoreFlags): Promise<void> {
  const { out, split, seed, conditional, by, neighbors, normal, top, label, json, csvSafe } = options;
  const unreadable: string[] = [];
  const onUnreadable = (file: string): void => {
    unreadable.push(file);
  };
  const ranking = await run.anomalies(source, {
    split,
    seed,
    conditional,
    by,
    neighbors,
    marks: label,
    why: top,
    normal,
    onUnreadable,
  });
  if (out !== undefined) await writeRanking(out, ranking, csvWriting(csvSafe));
  const facts = {
    run: run.folder,
    data: source ?? run.config.data,
    seed,
    step: run.weightsStep,
    unreadable,
  };
  if (json)
    return printJson({ ...facts, ...rankingSummary(ranking, top), ...(out !== undefined && { out }) });
  printRanking(what, ranking, top);
  printUnreadable(unreadable);
}

/** Writes the log-likelihood of every sample, and prints their mean. */
async function scoreAll(
  run: Run,
  source: string | undefined,
  what: string,
  options: Omit<ScoreFlags, "shard">,
  shard?: Shard,
): Promise<void> {
  const { out, split, seed, conditional, json, csvSafe } = options;
  const images = run.config.dataInfo.kind === "image";
  const unreadable: string[] = [];
  const onUnreadable = (file: string): void => {
    unreadable.push(file);
  };
  let count = 0;
  let total = 0;
  const batches = run.scores(source, { split, seed, conditional, shard, onUnreadable });
  // What names a row is known with the first batch.
  const first = await batches.next();
  async function* rows(): AsyncGenerator<readonly (string | number)[]> {
    for (let batch = first; !batch.done; batch = await batches.next()) {
      const { firstRow, logLikelihood, files } = batch.value;
      for (const [i, value] of logLikelihood.entries()) {
        count++;
        total += value;
        yield [files?.[i] ?? firstRow + i, value, ...(images ? [imageBits(run.loaded, value)] : [])];
      }
    }
  }
  const named =
    first.done === true
      ? (await besideSamples(run.loaded, source, { split, seed })).files
      : first.value.files !== undefined;
  const types = [named ? "VARCHAR" : "DOUBLE", "DOUBLE", ...(images ? ["DOUBLE"] : [])];
  const names = [named ? "file" : "row", "logLikelihood", ...(images ? ["bitsPerDimension"] : [])];
  if (out !== undefined) await writeTable(out, names, rows(), types, csvWriting(csvSafe));
  else if (json) for await (const _ of rows());
  else await printRows(names, rows(), csvSafe);
  if (count === 0) {
    if (json)
      printJson({ run: run.folder, data: source ?? run.config.data, seed, count, ...(out && { out }) });
    printNote(
      `${what}: fewer rows than shards would need; this one has none${out ? `, as ${out} records` : ""}`,
    );
    return printUnreadable(unreadable);
  }
  const mean = total / count;
  if (json) {
    return printJson({
      run: run.folder,
      data: source ?? run.config.data,
      ...(source === undefined && { split }),
      seed,
      step: run.weightsStep,
      count,
      meanLogLikelihood: mean,
      ...(images && { bitsPerDimension: imageBits(run.loaded, mean) }),
      ...(unreadable.length > 0 && { unreadable }),
      ...(out !== undefined && { out }),
    });
  }
  const bits = images ? `, ${showNumber(imageBits(run.loaded, mean))} bits per dimension` : "";
  printNote(
    `${what}: ${count} ${named ? "images" : "rows"}, mean log-likelihood ${showNumber(mean)} nats${bits}${out ? `; written to ${out}` : ""}`,
  );
  printUnreadable(unreadable);
}

export function configure(command: Command): void {
  addVerb(command, {
    name: "score",
    heading: "Scores",
    flags,
    help: "DATA is a table file, a query or a folder of images like those the run was fitted on, of which every row or image is\nscored; without it, the test split of the run's own data is scored.\nWith --anomaly, all of them are ranked, and the ranking is evaluated where a column of the table marks the anomalies.",
    check({ out, label, anomaly, by, normal }) {
      if (by === "features" && !anomaly) {
        throw new OptionError("option by: features have no likelihood, they give a ranking; add --anomaly");
      }
      if (out !== undefined) checkExtension(out, [".csv", ".parquet"]);
      if (normal !== undefined && (!anomaly || label !== undefined)) {
        throw new OptionError(
          anomaly
            ? "options normal and label: one of them marks the anomalies"
            : "option normal: evaluates a ranking; add --anomaly",
        );
      }
      if (label !== undefined && !anomaly) {
        throw new OptionError("option label: evaluates a ranking; add --anomaly");
      }
    },
    async action({ run, flags: options, operands: [source] }) {
      const data = source as string | undefined;
      const what = data ?? `${run.config.data}, ${options.split} split`;
      const shard = shardOf(options.shard);
      if (shard === undefined) return (options.anomaly ? rank : scoreAll)(run, data, what, options);
      if (options.anomaly) {
        throw new OptionError(
          "option shard: a ranking is of all samples; score the shards without --anomaly, merge them, and order the scores (--shard none ranks all at once)",
        );
      }
      const { split, seed, conditional } = options;
      const work = workOf(run, "score", {
        data: data ?? run.config.data,
        ...(data === undefined && { split }),
        seed,
        conditional,
      });
      const folder = partsIn(options.out, [".parquet", ".csv"], shard, work);
      await completeShard(folder, shard, options.json, (out) =>
        scoreAll(run, data, `${what}, shard ${shard.index} of ${shard.count}`, { ...options, out }, shard),
      );
    },
  });
}
