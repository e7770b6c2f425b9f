import * as z from "zod";
import { MOST, nameList, pixelValue, sampleCount, seedNumber } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { binarizationProtocols } from "./data-set.ts";

/** An option of images in folders, with boxes or without. */
export const followLinksSchema = z
  .boolean()
  .default(false)
  .describe("follow links that lead out of a folder of images; links within it are followed in any case");

/** An option of images, with boxes or without. */
export const bitsSchema = z
  .int()
  .min(8)
  .max(16)
  .optional()
  .describe("bits that are used of the values of images of 16 bits, as 12 of many cameras (default: 16)");

/** An option of images, with boxes or without. */
export const valueRangeSchema = z
  .array(pixelValue())
  .length(2)
  .refine(([black = 0, white = 0]) => white > black, "the second value is to be above the first")
  .optional()
  .describe(
    "values that are black and white in images of floats, of 16 bits and of other whole numbers but bytes, as 0,4000 (default: of floats 0,1 or 0,255, by the values of each)",
  );

/** How to read data. Each option concerns some kinds of data and is without effect on the others. */
export const dataOptionsSchema = z.strictObject({
  splitSeed: seedNumber()
    .default(0)
    .describe("seed of drawn points, of random splits, of binarization and of dequantization noise"),
  count: sampleCount().default(50_000).describe("training points to draw from a density in the plane"),
  size: z
    .int()
    .min(1)
    .max(4096)
    .optional()
    .describe(
      "height and width of images, in pixels (default: those of images of 8 to 64 pixels that are all of one size, otherwise 32)",
    ),
  color: z
    .enum(["grey", "rgb"])
    .optional()
    .describe("color of images (default: grey where all images are, or are binarized, otherwise rgb)"),
  bits: bitsSchema,
  valueRange: valueRangeSchema,
  binary: z
    .boolean()
    .optional()
    .describe(
      "read tables as vectors of zeros and ones, and binarize images (default: where the model takes no other kind of such data)",
    ),
  binarize: z
    .enum(binarizationProtocols)
    .default("stochastic")
    .describe(
      "how grey images become zeros and ones: at byte 128, by one draw of each pixel with probability byte / 255, or by new draws each time that they are trained on",
    ),
  columns: nameList()
    .min(1)
    .optional()
    .describe(
      "columns of a table to use (default: all but those that are left out, as eidos data lists them)",
    ),
  categorical: nameList()
    .default([])
    .describe("columns of a table that hold categories, where they would be taken for numbers or left out"),
  schema: z
    .union([
      z.string().min(1),
      z.strictObject({ eidos: z.literal("table schema"), columns: z.array(z.unknown()).max(MOST.names) }),
    ])
    .optional()
    .describe("file that declares the columns of a table, as eidos data FILE --schema-out writes it"),
  missing: nameList()
    .default([])
    .describe("texts of a table that are gaps, beside empty cells, NA, N/A, null, NaN and ?"),
  poolRare: sampleCount().optional().describe("categories seen fewer times than this count as one, (other)"),
  hashText: z
    .int()
    .min(2)
    .max(MOST.units)
    .optional()
    .describe(
      "columns of texts of many values become so many categories by a hash (default: they are left out)",
    ),
  columnScale: z
    .enum(["found", "standard"])
    .default("found")
    .describe(
      "scales on which numbers of a table are learned: those found, which tame long tails, or none but mean and deviation, so that what is odd stays odd; a schema goes first",
    ),
  encoding: z
    .string()
    .min(1)
    .optional()
    .describe("encoding of a file of text: utf-8, utf-16, gb18030, windows-1252, … (default: found in it)"),
  delimiter: z
    .string()
    .regex(/^(.|tab)$/su, "one character, or tab")
    .optional()
    .describe("what stands between the cells of a file of text (default: found in it)"),
  decimal: z.enum([".", ","]).optional().describe("decimal mark of a file of text (default: found in it)"),
  thousands: z
    .enum([",", ".", "'", " "])
    .optional()
    .describe("mark between thousands in a file of text (default: found in it)"),
  header: z
    .boolean()
    .optional()
    .describe("whether the first line of a file of text is names (default: found in it)"),
  label: z
    .string()
    .optional()
    .describe("column of a table that holds the class; it is no part of the samples"),
  rows: z
    .enum(["all", "complete"])
    .default("all")
    .describe("rows of a table: all, gaps among them, or complete ones alone, where a gap is an error"),
  sql: z
    .string()
    .min(1)
    .optional()
    .describe("query whose result is the table; a file given as well is `data` in it"),
  classes: nameList()
    .min(1)
    .optional()
    .describe("keep the samples of these classes alone, by name (default: all)"),
  source: z
    .string()
    .min(1)
    .optional()
    .describe(
      "data from which paths lead to this data, for models from one data set to another; read with the same options",
    ),
  sourceClasses: nameList()
    .min(1)
    .optional()
    .describe("classes of the source to keep; where no `source` is given, of this data"),
  pairs: z
    .string()
    .min(1)
    .optional()
    .describe("file of pairs of noise and samples to fit to, as eidos reflow and distill draw them"),
  followLinks: followLinksSchema,
  cache: z
    .boolean()
    .default(true)
    .describe("keep decoded images of large folders in the user's folder for caches, for the next time"),
  validation: z.number().min(0).max(0.9).default(0.1).describe("fraction held out for validation"),
  test: z.number().min(0).max(0.9).default(0.1).describe("fraction held out for the test"),
});

/** Options as a caller gives them: all may be left out. */
export type DataOptions = z.input<typeof dataOptionsSchema>;

/** Options with every default filled in. */
export type ResolvedDataOptions = z.output<typeof dataOptionsSchema>;

/**
 * Checks options and fills in defaults.
 * @throws OptionError naming the option at fault, with the nearest name for one that does not exist.
 */
export function resolveDataOptions(options: DataOptions = {}): ResolvedDataOptions {
  const resolved = parseOptions("data", dataOptionsSchema, options);
  checkHeldOut(resolved);
  checkValues(resolved);
  return resolved;
}

/** @throws OptionError where two options say what is white */
export function checkValues({
  bits,
  valueRange,
}: {
  readonly bits?: number | undefined;
  readonly valueRange?: readonly number[] | undefined;
}): void {
  if (bits === undefined || valueRange === undefined) return;
  throw new OptionError(
    `data: options bits and valueRange: both give the value that is white; leave one out (bits ${bits} is valueRange 0,${2 ** bits - 1})`,
  );
}

/** @throws OptionError where nothing is left to train on */
export function checkHeldOut({ validation, test }: { validation: number; test: number }): void {
  if (validation + test < 1) return;
  throw new OptionError(
    `data: options validation (${validation}) and test (${test}) leave nothing to train on; their sum must be below 1`,
  );
}
