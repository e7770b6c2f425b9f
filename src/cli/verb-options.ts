import type { Command } from "commander";
import { z } from "zod";
import { seedNumber, stepCount, unitCount } from "../bounds.ts";
import { COCO_MAXIMUM } from "../detection/measure/coco.ts";
import { type DetectOptions, MANY_DETECTIONS } from "../detection/models/detector.ts";
import { type CascadeLookOptions, cascadeLookOptions } from "../detection/models/mtcnn/options.ts";
import { type TestTimeOptions, testTimeSchema } from "../detection/scale/test-time.ts";
import type { TileOptions, tileLookOptions } from "../detection/scale/tile-options.ts";
import { INPAINT_METHODS, type InpaintOptions } from "../model/capabilities.ts";
import { CODE_SOLVERS, type CodeSolverOptions } from "../model/codes.ts";
import { LOOKING } from "../tasks/run/detection-options.ts";
import { type GivenValues, parseGiven } from "../tasks/run/given.node.ts";

// Options that several verbs share, and what code calls them.

/** Options of commands that go from samples to codes or back, for models whose codes take a solver. */
export const codeOptions = {
  solver: z
    .enum(CODE_SOLVERS)
    .optional()
    .describe(
      "diffusion models: how codes are found; heun: the probability flow to second order, ddim: to first order with one evaluation a step (default: heun)",
    ),
  solverSteps: stepCount()
    .optional()
    .describe("diffusion models: steps from data to code (default: heun 50, ddim 100)"),
};

/** The flags that a solver of codes takes. */
export function codeSolver({
  solver,
  solverSteps: steps,
}: {
  readonly [name in keyof typeof codeOptions]: z.output<(typeof codeOptions)[name]>;
}): CodeSolverOptions {
  return { ...(solver !== undefined && { solver }), ...(steps !== undefined && { steps }) };
}

/** Options of commands that fill in what is unknown of samples. */
export const completionOptions = {
  seed: seedNumber().default(0).describe("seed of the draws"),
  method: z
    .enum(["auto", "exact", "hmc", ...INPAINT_METHODS])
    .default("auto")
    .describe(
      "exact: in one pass, where the model's order of elements allows; hmc: Hamiltonian Monte Carlo; repaint, projection: of diffusion models; auto: exact where possible, of diffusion models repaint",
    ),
  steps: stepCount()
    .optional()
    .describe(
      "iterations of each chain, three quarters of them burn-in (default: 80); of diffusion models steps from noise (repaint 50, projection 25)",
    ),
  resamplings: stepCount()
    .optional()
    .describe("diffusion models: how often each step is taken (default: repaint 10, projection 1)"),
  label: unitCount(0)
    .optional()
    .describe(
      "class of all samples, for conditional models (default: that of the data where it has classes)",
    ),
};

/** The flags on how to complete that a model takes. */
export function completionSettings({
  method,
  steps,
  resamplings,
}: {
  readonly [name in "method" | "steps" | "resamplings"]: z.output<(typeof completionOptions)[name]>;
}): Pick<InpaintOptions, "method" | "exact" | "steps" | "resamplings"> {
  const isOfDiffusion = method === "repaint" || method === "projection";
  return {
    ...(isOfDiffusion && { method }),
    ...((method === "exact" || method === "hmc") && { exact: method === "exact" }),
    ...(steps !== undefined && { steps }),
    ...(resamplings !== undefined && { resamplings }),
  };
}

const share = z.number().min(0).max(1).optional();

/** Options of commands that find objects. */
export const detectFlags = {
  confidence: share.describe(
    "least score of a detection, of a cascade the last of --thresholds (that one where they are given; otherwise detect and export: that at which F₁ was highest on the validation split, of an imported yunet 0.6, of ultra-light-rfb 0.7; eval: 0.01)",
  ),
  iou: share.describe(
    "of two detections of a class that overlap by a larger IoU the better one stays; of a cascade: that share more than this of the smaller one (0.6; yunet and ultra-light-rfb 0.3, mtcnn 0.7)",
  ),
  max: stepCount()
    .optional()
    .describe(
      `most detections of an image, of all its tiles and views together; in COCO's measures of a class in an image (detect: ${MANY_DETECTIONS}; eval: ${COCO_MAXIMUM}, with --face, --roc or tiles ${MANY_DETECTIONS}, but in COCO's measures ${COCO_MAXIMUM}; export: ${COCO_MAXIMUM})`,
    ),
};

/** The option of commands that find objects, for detectors with branches. */
export const tridentFlag = {
  trident: z
    .enum(LOOKING)
    .optional()
    .describe(
      "detectors fitted with --trident: which branches find objects. full: all three; fast: the middle one (default: as fitted)",
    ),
};

/** Options of commands that find objects, for cascades. */
export const cascadeFlags = cascadeLookOptions.shape;

/** Those that are given. */
export function cascadeOptions({
  minimumSize,
  factor,
  thresholds,
}: z.output<z.ZodObject<typeof cascadeFlags>>): CascadeLookOptions {
  return {
    ...(minimumSize !== undefined && { minimumSize }),
    ...(factor !== undefined && { factor }),
    ...(thresholds !== undefined && { thresholds }),
  };
}

/** The options by the names that code has for them. */
export function detectOptions({
  confidence,
  iou,
  max,
}: z.output<z.ZodObject<typeof detectFlags>>): DetectOptions {
  return {
    ...(confidence !== undefined && { confidence }),
    ...(iou !== undefined && { iou }),
    ...(max !== undefined && { maximum: max }),
  };
}

/** Options of commands that look at images several times. */
export const testTimeFlags = {
  ...testTimeSchema.shape,
  testScales: testTimeSchema.shape.testScales
    .unwrap()
    .optional()
    .describe(
      `${testTimeSchema.shape.testScales.description} (default: 1; runs fitted with snip or sniper: their scales and ranges)`,
    ),
  merge: testTimeSchema.shape.merge
    .unwrap()
    .optional()
    .describe(`${testTimeSchema.shape.merge.description} (default: nms)`),
};

/** Those that are given. */
export function testTimeOptions({
  testScales,
  mirror,
  merge,
  testRanges,
  ...tiles
}: z.output<z.ZodObject<typeof testTimeFlags>>): TestTimeOptions {
  return {
    ...(testScales !== undefined && { testScales }),
    mirror,
    ...(merge !== undefined && { merge }),
    ...(testRanges !== undefined && { testRanges }),
    ...tileOptions(tiles),
  };
}

/** Those of tiles that are given. */
function tileOptions({
  tiles,
  overlap,
  fullImage,
  tileMerge,
  tileThreshold,
  acrossClasses,
}: z.output<z.ZodObject<typeof tileLookOptions>>): TileOptions {
  return {
    ...(tiles !== undefined && { tiles }),
    ...(overlap !== undefined && { overlap }),
    ...(fullImage !== undefined && { fullImage }),
    ...(tileMerge !== undefined && { tileMerge }),
    ...(tileThreshold !== undefined && { tileThreshold }),
    ...(acrossClasses !== undefined && { acrossClasses }),
  };
}

/** Adds the flag that gives values of table columns which the model is conditioned on. @param fallback what is taken without it */
export function addGiven(command: Command, fallback: string): void {
  command.option(
    "--given <name=value>",
    `value of a table column that the model is conditioned on; again for each${fallback}`,
    (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
  );
}

/** The values that the flag gives. */
export function givenValues({ given }: Readonly<Record<string, unknown>>): { readonly given?: GivenValues } {
  return Array.isArray(given) ? { given: parseGiven(given) } : {};
}
