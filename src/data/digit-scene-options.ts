import { z } from "zod";

/** How `digit-scenes` are drawn. */
export const sceneOptions = {
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
    .describe("digit-scenes: share of digits with a box of less than 32² pixels, which COCO counts as small"),
  clutter: z
    .int()
    .min(0)
    .max(500)
    .default(12)
    .describe("digit-scenes: pieces of digits, lines and spots in an image, which are no objects"),
  overlap: z
    .number()
    .min(0)
    .max(0.9)
    .default(0.2)
    .describe("digit-scenes: share of a digit's box that the box of another one may cover, at most"),
} as const;

const schema = z.object(sceneOptions);

/** Options of scenes with every default filled in. */
export type SceneOptions = z.output<typeof schema>;
