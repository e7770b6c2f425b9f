import type { Command } from "commander";
import { z } from "zod";
import { seedNumber } from "../../bounds.ts";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import { isPicture } from "../../data/sources/data-set.ts";
import { scaledSize } from "../../detection/scale/training-sizes.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import type { ReportResult } from "../../report/index.ts";
import { measureSchema, missingMeasures } from "../../tasks/measure/detection-measures.ts";
import { slowScoresOf } from "../../tasks/measure/eval.node.ts";
import { limitLines } from "../../tasks/measure/limits.ts";
import { openRun, type Run } from "../../tasks/open-run.node.ts";
import { checkConfidence, looksNote } from "../../tasks/run/detection-options.ts";
import { hardlyTrained } from "../../tasks/use/detect.node.ts";
import { print, printJson, printLine, printNote, showDuration, showNumber, showTable } from "../format.ts";
import { addSchemaOptions, flagName, flagValues } from "../options.ts";
import { addVerb, runOptions, type VerbUse } from "../verb.ts";
import {
  cascadeFlags,
  detectFlags,
  detectOptions,
  testTimeFlags,
  testTimeOptions,
  tridentFlag,
} from "../verb-options.ts";

const flags = z.strictObject({
  split: z.enum(["train", "validation", "test"]).default("test").describe("split to measure on"),
  ...tridentFlag,
  ...cascadeFlags,
  ...runOptions,
  json: z.boolean().default(false).describe("print everything as JSON"),
});

type CommonFlags = z.output<typeof flags>;

const densityFlags = z.strictObject({
  seed: seedNumber().default(0).describe("seed of samples and noise"),
  distances: z
    .enum(["quick", "all"])
    .optional()
    .describe(
      "all distances between drawn samples and data, or those that take a moment (default: all with --full, and of images)",
    ),
  features: z
    .string()
    .min(1)
    .optional()
    .describe(
      "run whose features images are compared in, of colors too (default: of digits those of a classifier, otherwise pixels)",
    ),
  target: z
    .string()
    .min(1)
    .optional()
    .describe(
      "tables: column that is predicted of the others, once learned of drawn rows and once of real ones (default: none)",
    ),
  full: z
    .boolean()
    .default(false)
    .describe(
      "measure everything on all samples (default: of images, loss and likelihood of 2,000 at most and distances of 250 drawn ones; likelihoods of models that score slowly of 64 images or 1,000 other samples; of points and rows the quick distances)",
    ),
});

/** What is measured of a run where not all is asked for. */
const QUICK = { measured: 2000, slowImages: 64, drawnImages: 250 } as const;

/** Held-out rows of which cells are hidden and filled in: of all measures, and where not all are asked for. */
const IMPUTED = { full: 500, quick: 50 } as const;

const detectorFlags = z.strictObject({
  ...measureSchema.shape,
  out: z
    .string()
    .min(1)
    .optional()
    .describe("folder to write plots and evaluation.json into (default: nothing is written)"),
  ...detectFlags,
  ...testTimeFlags,
});

function printResults(headline: string, results: readonly ReportResult[]): void {
  printLine(headline);
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
  const other = Object.keys(flags).find((name) => !known.some(({ shape }) => Object.hasOwn(shape, name)));
  if (other !== undefined) throw new OptionError(`option ${flagName(other)} is ${what}; leave it out`);
}

/** Steps below which a model has hardly begun to learn. */
const FEW_STEPS = 100;

/** Prints on standard error that a model of samples is hardly trained, with the best loss of its validations. */
async function noteFewSteps({ weightsStep, loaded, folder, config }: Run): Promise<void> {
  if (weightsStep === undefined || weightsStep >= FEW_STEPS || config.imported !== undefined) return;
  const progress = await loaded.folder.readProgress();
  const best = progress?.best;
  if (progress?.finished === true && progress.step >= FEW_STEPS) {
    printNote(
      `the best weights by validation are those of ${weightsStep} of ${counted(progress.step, "step")}: what was learned after them holds for the training data alone; more data or another model may help, more steps do not`,
    );
    return;
  }
  const loss = best === undefined ? "not validated" : `best validation loss ${showNumber(best.loss)}`;
  printNote(
    `the run is hardly trained: its weights are of ${counted(weightsStep, "step")}, ${loss}; what is measured of it means little (eidos fit --resume ${folder} goes on)`,
  );
}

async function evaluateDensity(
  run: Run,
  { split, json }: CommonFlags,
  others: Readonly<Record<string, unknown>>,
  { display, signal }: Pick<VerbUse<typeof flags>, "display" | "signal">,
): Promise<void> {
  refuseOthers(others, [densityFlags], `of detectors, and ${run.config.model} is none`);
  const { seed, distances, features, target, full } = parseOptions(
    "eval",
    densityFlags,
    flagValues(others, [densityFlags]),
  );
  const { dataInfo } = run.config;
  const drawsImages = isPicture(dataInfo);
  const encoder =
    features === undefined ? undefined : await openRun(features, { trust: run.loaded.source.trust, signal });
  const evaluation = await run
    .evaluate({
      split,
      seed,
      distances: distances ?? (full || drawsImages ? "all" : "quick"),
      features: encoder?.view(),
      target,
      imputedRows: full ? IMPUTED.full : IMPUTED.quick,
      ...(!full && {
        slowScores: slowScoresOf(dataInfo, QUICK.slowImages),
        ...(drawsImages && { most: { measured: QUICK.measured, drawn: QUICK.drawnImages } }),
      }),
      onProgress: (share, what) => display.show(what, share),
    })
    .finally(() => encoder?.release());
  display.end();
  await noteFewSteps(run);
  const { model, data, parameters, step, steps, seconds, results, reduced } = evaluation;
  const fewer = full ? [] : [...(distances === undefined && !drawsImages ? ["quick distances alone"] : [])];
  const less = [...reduced, ...fewer];
  if (less.length > 0)
    printNote(`${signal.aborted ? "stopped" : "quick"}: ${less.join("; ")}; --full measures all`);
  if (json) return printJson(evaluation);
  printResults(
    `${model} on ${data}, ${split} split: weights of step ${step} (of ${steps}, ${showDuration(seconds)}, training seed ${evaluation.seed}), ${parameters} parameters, evaluation seed ${seed}`,
    results,
  );
}

async function evaluateBoxes(
  run: Run,
  data: string | undefined,
  { split, json, thresholds }: CommonFlags,
  others: Readonly<Record<string, unknown>>,
  { display, signal }: Pick<VerbUse<typeof flags>, "display" | "signal">,
): Promise<void> {
  const schemas = [detectorFlags, detectionOptionsSchema];
  refuseOthers(others, schemas, `not of detectors, and ${run.config.model} is one`);
  const values = flagValues(others, schemas);
  const own = (shape: object) =>
    Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(shape, name)));
  const detect = parseOptions("eval", detectorFlags, own(detectorFlags.shape));
  checkConfidence(detect.confidence, { ...(thresholds !== undefined && { thresholds }) });
  const reading = own(detectionOptionsSchema.shape);
  const [misplaced] = Object.keys(reading);
  if (data === undefined && misplaced !== undefined) {
    throw new OptionError(
      `option ${flagName(misplaced)}: the run's own data is read as it was fitted; leave it out`,
    );
  }
  const looks = testTimeOptions(detect);
  const { sizes, falsePositives, recalls, roc, face, out } = detect;
  const note = looksNote(run.config, looks);
  if (note !== undefined) printNote(note);
  const evaluation = await run.evaluateBoxes(data, {
    ...detectOptions(detect),
    ...looks,
    sizes,
    falsePositives,
    recalls,
    roc,
    face,
    ...(out !== undefined && { out }),
    split,
    reading,
    onProgress: (share) => display.show("looking at images", share),
  });
  display.end();
  const poor = await hardlyTrained(run.loaded, run.weightsStep);
  if (poor !== undefined) printNote(poor);
  if (signal.aborted) printNote(`stopped: measured on the first ${evaluation.coco.images} images alone`);
  const isAsked = detect.max !== undefined || evaluation.limits.detections > evaluation.limits.coco;
  for (const line of [...missingMeasures(evaluation), ...limitLines(evaluation.limits, isAsked)]) {
    printNote(line);
  }
  if (json) return printJson(evaluation);
  const { model, parameters, step, steps, seconds, results, size } = evaluation;
  const { testScales = [1], mirror = false, merge, tiles = 0, tileMerge } = evaluation.detect;
  const sides = testScales.map((scale) => scaledSize(size, scale));
  const seen = sides.length === 1 ? `${sides[0]} × ${sides[0]}` : `${sides.join(", ")} pixels`;
  const looked =
    tiles > 0 ? `tiles of ${tiles} × ${tiles} pixels, merged by ${tileMerge}, seen at` : "images of";
  const mirrored = mirror ? " and their mirror images" : "";
  const merged = sides.length > 1 || mirror ? `, merged by ${merge}` : "";
  const ofCascade =
    tiles > 0
      ? `tiles of ${tiles} × ${tiles} pixels, merged by ${tileMerge}, at their own size`
      : "images at their own size";
  const images = run.isCascade ? ofCascade : `${looked} ${seen}${mirrored}${merged}`;
  printResults(
    `${model} on ${evaluation.data}, ${split} split, ${images}: weights of step ${step} (of ${steps}, ${showDuration(seconds)}, training seed ${evaluation.seed}), ${parameters} parameters`,
    results,
  );
  if (out !== undefined) printLine(`plots and evaluation.json: ${out}`);
}

export function configure(command: Command): void {
  addVerb(command, {
    name: "eval",
    heading: "Evaluation",
    flags,
    async action({ run, flags: common, others, operands: [data], ...showing }) {
      if (run.isDetector) return evaluateBoxes(run, data as string | undefined, common, others, showing);
      if (data !== undefined) {
        throw new OptionError(
          `${data}: ${run.config.model} is measured on its own data; eidos score gives likelihoods of other data`,
        );
      }
      await evaluateDensity(run, common, others, showing);
    },
  });
  addSchemaOptions(command, "Models with a density or samples", densityFlags);
  addSchemaOptions(command, "Detectors", detectorFlags);
  addSchemaOptions(command, "Other images with boxes", detectionOptionsSchema);
}
