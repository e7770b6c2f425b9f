import { z } from "zod";
import { nameList, sampleCount, seedNumber, stepCount, text } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import {
  bitsSchema,
  checkHeldOut,
  checkValues,
  followLinksSchema,
  valueRangeSchema,
} from "../sources/options.ts";
import { FRAMES, READ_FORMATS } from "./check.ts";

/** The size below which digits are small by default, as COCO counts. */
export const SMALL_LIMIT = 32;

/** How `digit-scenes` are drawn. */
const sceneOptions = {
  scenes: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(2000)
    .describe("digit-scenes: images for training; a fifth as many each for validation and test"),
  canvas: z.int().min(32).max(2048).default(160).describe("digit-scenes: height and width of the images"),
  objects: z.int().min(1).max(200).default(8).describe("digit-scenes: digits in an image, at most"),
  smallest: z
    .number()
    .min(4)
    .max(512)
    .default(6)
    .describe(
      "digit-scenes: size of the smallest digits, the side of a square of the same area as their box",
    ),
  largest: z
    .number()
    .min(4)
    .max(1024)
    .default(96)
    .describe("digit-scenes: longer side of the largest digits, in pixels"),
  smallShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe("digit-scenes: share of digits of a size below --small-limit"),
  smallLimit: z
    .number()
    .min(4)
    .max(1024)
    .default(SMALL_LIMIT)
    .describe(
      "digit-scenes: size below which digits are small; by default that of COCO, a box of less than 32² pixels",
    ),
  clutter: z
    .int()
    .min(0)
    .max(500)
    .default(12)
    .describe("digit-scenes: pieces of digits, lines and spots in an image, which are no objects"),
  digitOverlap: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.2)
    .describe("digit-scenes: share of a digit's box that the box of another one may cover, at most"),
} as const;

const schema = z.object(sceneOptions);

/** Options of scenes with every default filled in. */
export type SceneOptions = z.output<typeof schema>;

/** How data for detection is read or made. Each option concerns some data and is without effect on other. */
export const detectionOptionsSchema = z.strictObject({
  format: z
    .enum(READ_FORMATS)
    .optional()
    .describe(
      "format of the annotations, where a folder has them in several (default: the first that is found)",
    ),
  boxUnit: z
    .enum(["pixels", "shares"])
    .optional()
    .describe(
      "csv: whether edges of boxes are in pixels, or shares of width and height (default: shares where all of a table lie within 0 and 1)",
    ),
  exif: z
    .enum(FRAMES)
    .optional()
    .describe(
      "whether boxes of photos that EXIF data turn are of the pixels as stored, or of the upright image (default: as the sizes and boxes of all images of the annotations show, or else upright)",
    ),
  classes: nameList(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "the classes, in order (default: as the annotations list them, or all names in order of letters)",
    ),
  oneClass: text()
    .min(1)
    .optional()
    .describe(
      "take objects of all classes for one class of this name (default: as many as there are; mtcnn, which finds one: object, where there are several)",
    ),
  splitSeed: seedNumber().default(0).describe("seed of random splits and of drawn scenes"),
  validation: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.1)
    .describe("fraction held out for validation, where the data have no such split"),
  test: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.1)
    .describe("fraction held out for the test, where the data have no splits"),
  trainImages: sampleCount()
    .optional()
    .describe("use only so many of the training images, drawn by the seed of splits (default: all)"),
  pixelLimit: z
    .int()
    .min(1)
    .max(268_000_000)
    .default(64_000_000)
    .describe("images of more pixels are left out, before they are decoded"),
  verify: z
    .boolean()
    .default(true)
    .describe("decode every image once when the data are opened, to find those that are cut off"),
  bits: bitsSchema,
  valueRange: valueRangeSchema,
  followLinks: followLinksSchema,
  cache: stepCount(0).default(512).describe("megabytes of decoded images that are kept in memory"),
  ...sceneOptions,
});

/** Options as a caller gives them: all may be left out. */
export type DetectionOptions = z.input<typeof detectionOptionsSchema>;

/** Options with every default filled in. */
export type ResolvedDetectionOptions = z.output<typeof detectionOptionsSchema>;

/**
 * Checks options and fills in defaults.
 * @throws OptionError naming the option at fault
 */
export function resolveDetectionOptions(options: DetectionOptions = {}): ResolvedDetectionOptions {
  const resolved = parseOptions("data", detectionOptionsSchema, options);
  const { classes, smallest, largest } = resolved;
  const repeated = classes?.find((name, i) => classes.indexOf(name) !== i);
  if (repeated !== undefined) throw new OptionError(`data: option classes: ${repeated} is there twice`);
  checkHeldOut(resolved);
  checkValues(resolved);
  if (smallest > largest) {
    throw new OptionError(
      `data: options smallest (${smallest}) and largest (${largest}): the first is above the second`,
    );
  }
  return resolved;
}
