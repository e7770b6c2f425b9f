import type { Command } from "commander";
import { z } from "zod";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import { isDetector } from "../../detection/models/detector.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import type { ReportResult } from "../../report/index.ts";
import { evaluateDetector } from "../../tasks/measure/detection.node.ts";
import { evaluateRun } from "../../tasks/measure/eval.node.ts";
import { annotatedData, detectorRun, type OpenRun, openRun } from "../../tasks/run/run.node.ts";
import { detectFlags, detectOptions } from "../detect-options.ts";
import { print, printJson, showDuration, showTable } from "../format.ts";
import { addSchemaOptions, flagName, flagValues } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { runOptions } from "../run-options.ts";

const common = {
  split: z.enum(["train", "validation", "test"]).default("test").describe("split to measure on"),
  ...runOptions,
  json: z.boolean().default(false).describe("print everything as JSON"),
};

const evalFlags = z.strictObject({
  ...common,
  seed: z.int().nonnegative().default(0).describe("seed of samples and noise"),
  distances: z
    .enum(["quick", "all"])
    .default("all")
    .describe("all distances between drawn samples and data, or those that take a moment (of images none)"),
});

const detectorFlags = z.strictObject({ ...common, ...detectFlags });

function printResults(headline: string, results: readonly ReportResult[]): void {
  print(headline);
  print(
    showTable(
      ["measure", "value", "unit", "samples", "note"],
      results.map(({ name, value, unit, samples, note }) => [name, value, unit, samples, note ?? ""]),
    ),
  );
}

/** Refuses options of the other kind of run. @throws OptionError */
function refuseOthers(
  flags: Readonly<Record<string, unknown>>,
  known: readonly z.ZodObject[],
  what: string,
): void {
  const other = Object.keys(flags).find((name) => !known.some(({ shape }) => name in shape));
  if (other !== undefined) throw new OptionError(`option ${flagName(other)} is ${what}; leave it out`);
}

async function evaluateDensity(run: OpenRun, flags: Readonly<Record<string, unknown>>): Promise<void> {
  refuseOthers(flags, [evalFlags], `of detectors, and ${run.config.model} is none`);
  const { split, seed, distances, json } = parseOptions("eval", evalFlags, flagValues(flags, [evalFlags]));
  const line = new ProgressLine();
  const evaluation = await evaluateRun(run, {
    split,
    seed,
    distances,
    onProgress: (share) => line.show(`drawing samples: ${Math.floor(100 * share)} %`),
  });
  line.clear();
  if (json) return printJson(evaluation);
  const { model, data, parameters, step, steps, seconds, results } = evaluation;
  printResults(
    `${model} on ${data}, ${split} split: weights of step ${step} (of ${steps}, ${showDuration(seconds)}, training seed ${evaluation.seed}), ${parameters} parameters, evaluation seed ${seed}`,
    results,
  );
}

async function evaluateBoxes(
  opened: OpenRun,
  data: string | undefined,
  flags: Readonly<Record<string, unknown>>,
): Promise<void> {
  const schemas = [detectorFlags, detectionOptionsSchema];
  refuseOthers(flags, schemas, `not of detectors, and ${opened.config.model} is one`);
  const values = flagValues(flags, schemas);
  const own = (shape: object) => Object.fromEntries(Object.entries(values).filter(([name]) => name in shape));
  const { split, json, ...detect } = parseOptions("eval", detectorFlags, own(detectorFlags.shape));
  const reading = own(detectionOptionsSchema.shape);
  const [misplaced] = Object.keys(reading);
  if (data === undefined && misplaced !== undefined) {
    throw new OptionError(
      `option ${flagName(misplaced)}: the run's own data is read as it was fitted; leave it out`,
    );
  }
  const run = detectorRun(opened);
  const set = await annotatedData(run, data, reading);
  const line = new ProgressLine();
  const evaluation = await evaluateDetector(run, set, {
    ...detectOptions(detect),
    split,
    onProgress: (share) => line.show(`looking at images: ${Math.floor(100 * share)} %`),
  });
  line.clear();
  if (json) return printJson(evaluation);
  const { model, parameters, step, steps, seconds, results, size } = evaluation;
  printResults(
    `${model} on ${set.name}, ${split} split, images of ${size} × ${size}: weights of step ${step} (of ${steps}, ${showDuration(seconds)}, training seed ${evaluation.seed}), ${parameters} parameters`,
    results,
  );
}

export function configure(command: Command): void {
  addSchemaOptions(command, "Evaluation", evalFlags);
  addSchemaOptions(command, "Detectors", detectorFlags);
  addSchemaOptions(command, "Other images with boxes", detectionOptionsSchema);
  command.action(async (path: string, data: string | undefined, flags: Record<string, unknown>) => {
    const { weights, provider, threads } = parseOptions(
      "eval",
      z.strictObject(runOptions),
      flagValues(Object.fromEntries(Object.entries(flags).filter(([name]) => name in runOptions)), [
        evalFlags,
      ]),
    );
    const run = await openRun(path, { weights, provider, threads });
    try {
      if (isDetector(run.model)) await evaluateBoxes(run, data, flags);
      else if (data !== undefined) {
        throw new OptionError(
          `${data}: ${run.config.model} is measured on its own data; eidos score gives likelihoods of other data`,
        );
      } else await evaluateDensity(run, flags);
    } finally {
      await run.session.release();
    }
  });
}
