import type { Command } from "commander";
import { z } from "zod";
import { sampleCount, seedNumber, stepCount, unitCount } from "../../bounds.ts";
import { models } from "../../catalog.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { DataInfo } from "../../model/data-info.ts";
import { Interrupted } from "../../program/deadline.ts";
import { sampleSchema } from "../../tasks/run/definition.node.ts";
import { drawsGaps } from "../../tasks/use/gaps.node.ts";
import { checkAnimation, checkSamplePath, writeAnimation } from "../../tasks/use/sample.node.ts";
import { type Acceptance, acceptanceLine } from "../../tasks/use/sample-where.node.ts";
import type { NdArray } from "../../tensor/array.ts";
import { printOutcome } from "../flags.ts";
import { printLine, showDuration } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { completeShard, partsIn, shardFlags, shardOf, workOf } from "../shards.ts";
import { addVerb, csvFlags, csvWriting, inSamples, runOptions } from "../verb.ts";
import { addGiven, givenValues } from "../verb-options.ts";

const flags = z.strictObject({
  count: sampleCount().default(64).describe("how many samples"),
  seed: seedNumber().default(0).describe("seed of the samples"),
  label: unitCount(0).optional().describe("class of the samples, for conditional models"),
  gaps: z
    .boolean()
    .default(false)
    .describe("rows of tables with gaps, at the rate of the data (default: gaps are filled in)"),
  where: z
    .string()
    .min(1)
    .optional()
    .describe(
      "tables: draw rows until enough fulfil this condition, an SQL expression over columns, as '\"end\" > start and price < 3 * weight' (default: none)",
    ),
  out: z
    .string()
    .optional()
    .describe(".png, .npy, .csv or .parquet file (default: samples/ in the run folder)"),
  animate: z
    .string()
    .optional()
    .describe(".gif or .webp file: the first samples as they form, for models that draw step by step"),
  frames: stepCount(2).default(40).describe("pictures of the animation at most"),
  ...shardFlags,
  ...csvFlags,
  ...runOptions,
});

/** What samples of shards are written as: pictures are no parts. */
const PART_EXTENSIONS = [".npy", ".parquet", ".csv"];

/** What they are written as where no name is given. */
function usualPart(info: Pick<DataInfo, "kind" | "sampleShape">): string {
  return isPicture(info) ? "npy" : "csv";
}

export function configure(command: Command): void {
  addVerb(command, {
    name: "sample",
    heading: "Samples",
    flags,
    check({ out }) {
      if (out !== undefined) checkSamplePath(out);
    },
    target({ out, seed, shard }, info, folder) {
      const extension =
        shardOf(shard) === undefined ? (info.columns === undefined ? "png" : "csv") : usualPart(info);
      const path = out ?? inSamples(folder, `seed-${seed}.${extension}`);
      checkSamplePath(path, info);
      return path;
    },
    async action({ run, flags, others, target, display, seconds }) {
      const { count, seed, label, gaps, where, animate, frames, csvSafe, json } = flags;
      const shard = shardOf(flags.shard);
      if (shard !== undefined && where !== undefined) {
        throw new OptionError(
          "option where: one process draws until enough rows are accepted; leave it out, or add --shard none",
        );
      }
      if (shard !== undefined && animate !== undefined) {
        throw new OptionError(
          "option animate: one process shows all samples; leave it out, or add --shard none",
        );
      }
      if (animate !== undefined) checkAnimation(run.loaded, animate);
      const own = sampleSchema(run.loaded.definition);
      const { given: _, ...texts } = others;
      const settings = {
        ...flagValues(texts, own === undefined ? [] : [own]),
        count,
        seed,
        ...(label !== undefined && { label }),
      };
      const given = givenValues(others);
      let stopped = false;
      const draw = async (path: string): Promise<void> => {
        let samples: NdArray<"float32">;
        let accepted: Acceptance | undefined;
        try {
          samples = await run.sample({
            ...settings,
            ...given,
            gaps,
            shard,
            ...(where !== undefined && {
              where,
              onAccepted(found: Acceptance) {
                accepted = found;
              },
            }),
            onProgress: (share) => display.show("drawing samples", share),
          });
        } catch (error) {
          // The part of a shard is whole, or drawn again.
          if (!(error instanceof Interrupted) || error.kept === undefined || shard !== undefined) throw error;
          samples = error.kept as NdArray<"float32">;
          stopped = true;
        }
        display.end();
        if (where !== undefined && accepted !== undefined && !json) {
          printLine(acceptanceLine(where, accepted));
        }
        const spent = seconds();
        await run.save(samples, path, csvWriting(csvSafe));
        const drawn = samples.shape[0] ?? 0;
        const what =
          stopped || shard !== undefined
            ? `${stopped ? "stopped: " : ""}${drawn} of ${counted(count, "sample")}`
            : counted(count, "sample");
        const isAnimated = animate !== undefined && !stopped;
        if (isAnimated) await writeAnimation(run.loaded, animate, { ...settings, states: frames });
        printOutcome(
          json,
          `${what} in ${spent < 10 ? `${spent.toFixed(1)} s` : showDuration(spent)}: ${path}`,
          {
            out: path,
            samples: drawn,
            seed,
            seconds: spent,
            stopped,
            ...(accepted && { where, ...accepted }),
            ...(isAnimated && { animation: animate }),
            ...(shard && { shard }),
          },
        );
        if (isAnimated && !json) printLine(`as they form: ${animate}`);
      };
      if (shard !== undefined) {
        const work = workOf(run, "sample", { ...settings, ...given, gaps });
        if (!gaps && drawsGaps(run.loaded) && shard.count > 1) {
          display.say(
            "gaps in rows are filled in by each shard with draws of its own: they differ from those of one process",
          );
        }
        return completeShard(partsIn(target, PART_EXTENSIONS, shard, work), shard, json, draw);
      }
      await draw(target);
    },
  });
  addGiven(command, " (default: those of random rows of the data)");
  for (const definition of models.values()) {
    const schema = sampleSchema(definition);
    if (schema !== undefined) addSchemaOptions(command, `Samples of ${definition.name}`, schema);
  }
}
