import { z } from "zod";

const chance = (value: number, what: string) =>
  z.number().min(0).max(1).default(value).describe(`augmentation: ${what}`);

/** How training images are changed, each time anew. */
export const augmentSchema = z.strictObject({
  flip: chance(0.5, "probability of a mirror image, left for right"),
  flipVertical: chance(0, "probability of a mirror image, top for bottom"),
  zoomOut: z
    .number()
    .min(0.05)
    .max(1)
    .default(0.6)
    .describe("augmentation: smallest size of an image, in parts of the one that just fits"),
  zoomIn: z
    .number()
    .min(1)
    .max(8)
    .default(1.4)
    .describe(
      "augmentation: largest size of an image, in parts of the one that just fits; what reaches out is cut off",
    ),
  stretch: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe(
      "augmentation: how much width and height change against each other, at most (logarithm of the ratio)",
    ),
  mosaic: chance(0.5, "probability that four images share the canvas"),
  stitch: chance(
    0,
    "probability that four whole images share the canvas, each at half its width and height (Stitcher); mosaic is for the others",
  ),
  mixUp: chance(0, "probability that another image shines through"),
  brightness: chance(0.2, "largest change of brightness, as a share"),
  contrast: chance(0.2, "largest change of contrast, as a share"),
  saturation: chance(0.3, "largest change of saturation, as a share"),
  hue: z.number().min(0).max(0.5).default(0.02).describe("augmentation: largest turn of hues, in turns"),
  visible: chance(0.25, "share of an object's box that must be left for it to count"),
});

/** Options as a caller gives them: all may be left out. */
export type AugmentOptions = z.input<typeof augmentSchema>;

/** Options with every default filled in. */
export type ResolvedAugmentOptions = z.output<typeof augmentSchema>;
