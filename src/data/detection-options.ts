import { z } from "zod";
import { OptionError } from "../errors.ts";
import { DETECTION_FORMATS } from "./detection-raw.ts";
import { sceneOptions } from "./digit-scene-options.ts";

/** How data for detection is read or made. Each option concerns some data and is without effect on other. */
export const detectionOptionsSchema = z.strictObject({
  format: z
    .enum(DETECTION_FORMATS)
    .optional()
    .describe(
      "format of the annotations, where a folder has them in several (default: the first that is found)",
    ),
  classes: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "the classes, in order (default: as the annotations list them, or all names in order of letters)",
    ),
  splitSeed: z.int().min(0).default(0).describe("seed of random splits and of drawn scenes"),
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
  cache: z.int().min(0).default(512).describe("megabytes of decoded images that are kept in memory"),
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
  const result = detectionOptionsSchema.safeParse(options);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new OptionError(
      issue?.code === "unrecognized_keys"
        ? `there is no data option "${issue.keys[0]}"; there are ${Object.keys(detectionOptionsSchema.shape).join(", ")}`
        : `data option ${issue?.path.join(".")}: ${issue?.message}`,
    );
  }
  const { classes = [], validation, test, smallest, largest } = result.data;
  const repeated = classes.find((name, i) => classes.indexOf(name) !== i);
  if (repeated !== undefined) throw new OptionError(`data option classes: ${repeated} is there twice`);
  if (validation + test >= 1) {
    throw new OptionError(
      `data options validation (${validation}) and test (${test}) leave nothing to train on; their sum must be below 1`,
    );
  }
  if (smallest > largest) {
    throw new OptionError(
      `data options smallest (${smallest}) and largest (${largest}): the first is above the second`,
    );
  }
  return result.data;
}
