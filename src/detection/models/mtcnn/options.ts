import { z } from "zod";
import { list, MOST, positiveAmount, sampleCount, share } from "../../../bounds.ts";

/** How a cascade looks at images: options of the model, which may be given anew when it is used. */
export const cascadeLookSchema = z.strictObject({
  minimumSize: z
    .number()
    .min(4)
    .max(MOST.pixels)
    .default(20)
    .describe(
      "side of the smallest objects that are looked for, in pixels of the image; half of it takes four times as long",
    ),
  factor: z
    .number()
    .min(0.1)
    .max(0.95)
    .default(0.709)
    .describe(
      "size of a level of the image pyramid in parts of the one before; closer to 1 finds more, and takes longer",
    ),
  thresholds: list(share(), 3)
    .min(3)
    .default([0.6, 0.7, 0.7])
    .describe("scores above which windows pass the proposal, the refinement and the output network"),
});

/** Those that are given when a run is used, in place of its own. */
export const cascadeLookOptions = z.strictObject({
  minimumSize: cascadeLookSchema.shape.minimumSize
    .unwrap()
    .optional()
    .describe(
      `cascades (mtcnn): ${cascadeLookSchema.shape.minimumSize.description} (default: as in the run)`,
    ),
  factor: cascadeLookSchema.shape.factor
    .unwrap()
    .optional()
    .describe(`cascades (mtcnn): ${cascadeLookSchema.shape.factor.description} (default: as in the run)`),
  thresholds: cascadeLookSchema.shape.thresholds
    .unwrap()
    .optional()
    .describe(
      `cascades (mtcnn): ${cascadeLookSchema.shape.thresholds.description}; --confidence is the last one (default: as in the run)`,
    ),
});

/** How a cascade looks at images, as far as that is given. */
export type CascadeLookOptions = z.input<typeof cascadeLookOptions>;

export const mtcnnOptions = z.strictObject({
  ...cascadeLookSchema.shape,
  landmarks: z
    .int()
    .min(0)
    .max(MOST.unrolled)
    .default(5)
    .describe(
      "points of an object that the output network predicts, as eyes and corners of the mouth; a fit takes as many as the data have",
    ),
  earlyLandmarks: z
    .boolean()
    .default(false)
    .describe(
      "whether the proposal and the refinement network have a head for landmarks, too, as in the paper; the published weights have none, a fit to data with landmarks gives them one",
    ),
  stageShares: list(positiveAmount(), 3)
    .min(3)
    .default([0.4, 0.3, 0.3])
    .describe("how a fit is divided among the proposal, the refinement and the output network"),
  minedImages: sampleCount()
    .default(1000)
    .describe(
      "training images, evenly spread, in which a trained network looks for what the next one is trained on; as many of validation at most",
    ),
});

export type MtcnnOptions = z.output<typeof mtcnnOptions>;
