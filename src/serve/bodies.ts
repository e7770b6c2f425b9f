import { z } from "zod";
import { editStrength, seedNumber, share, stepCount, unitCount } from "../bounds.ts";

// Bodies and queries of the plain routes: what requests are checked by, and what the OpenAPI document is made of.

const cell = z.union([z.number(), z.string(), z.boolean(), z.null()]);

export const rows = z
  .array(z.record(z.string(), cell))
  .min(1)
  .describe("rows of the table: cells by the names of columns");

/** An array of numbers, row-major. */
export const numbers = z.strictObject({
  shape: z.array(z.int().min(0)).min(1).max(8),
  data: z.array(z.number()),
});

/** Numbers of samples as the model sees them. */
export const samples = numbers.describe(
  "pictures as numbers 0 … 255 (of binary pictures 0 and 1), row-major: [n, channels, height, width]",
);

/** Rows that get reasons at most: each takes scores of many others. */
const MOST_EXPLAINED = 100;

const seed = seedNumber().default(0).describe("the same seed gives the same answer");

const label = unitCount(0).optional().describe("class, for models that are conditional on it");

const brought = { rows: rows.optional(), samples: samples.optional() };

/** States of samples that form, at most. */
const MOST_STATES = 64;

const draws = z.int().min(1).default(1);

const solverSteps = stepCount().optional().describe("steps of a model that iterates (default: its own)");

/** Bodies of the plain routes. Images are sent as they are, with the same options in the query. */
export const BODIES = {
  score: z.strictObject({
    ...brought,
    seed,
    why: z
      .int()
      .min(0)
      .max(MOST_EXPLAINED)
      .default(0)
      .describe("of so many rows of a table, the oddest ones, the cells that make them odd are told"),
  }),
  impute: z.strictObject({
    rows: rows.describe("rows of the table, with null where a cell is missing"),
    draws: draws.describe("completions of each row"),
    seed,
    label,
  }),
  sample: z.looseObject({
    count: z.int().min(1).default(1).describe("how many samples"),
    seed,
    label,
    given: z
      .record(z.string(), z.union([z.string(), z.number()]))
      .optional()
      .describe("values of the columns that the model is conditioned on"),
    states: z
      .int()
      .min(2)
      .max(MOST_STATES)
      .optional()
      .describe(
        "so many states at most of samples as they form, from noise on: of pictures [states, count, channels, height, width], of rows one state after the other",
      ),
  }),
  embed: z.strictObject({
    ...brought,
    seed,
    layer: z.string().min(1).max(200).default("code").describe("which features"),
    pool: z
      .enum(["none", "mean"])
      .default("none")
      .describe("of maps, every number, or the mean over locations"),
  }),
  inpaint: z.strictObject({
    samples,
    unknown: numbers
      .optional()
      .describe("1 where pictures are to be drawn anew, otherwise 0: [height, width], or [n, height, width]"),
    half: z
      .enum(["top", "bottom", "left", "right"])
      .optional()
      .describe("the half that is drawn anew, in place of unknown"),
    draws: draws.describe("completions of each picture"),
    seed,
    label,
    steps: solverSteps,
  }),
  edit: z.strictObject({
    ...brought,
    strength: editStrength(),
    draws: draws.describe("edits of each picture or row, one after the other"),
    seed,
    label,
    steps: solverSteps,
  }),
  interpolate: z.strictObject({
    rows: rows.optional().describe("pairs of rows, one after the other"),
    samples: samples
      .optional()
      .describe("pairs of pictures, as numbers: [2 · pairs, channels, height, width]"),
    steps: z.int().min(2).default(8).describe("pictures or rows along each path, its ends among them"),
    label,
  }),
} as const;

/** Options of detection, in the query. */
export const DETECT_OPTIONS = z.strictObject({
  confidence: share()
    .optional()
    .describe("least score of a detection (default: that at which F₁ was highest on the validation split)"),
  iou: share().optional().describe("of two detections of a class that overlap more the better one stays"),
  maximum: stepCount().optional().describe("most detections of an image"),
});
