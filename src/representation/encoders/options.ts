import { z } from "zod";
import { BACKBONES } from "../../backbones/index.ts";
import { unitCount } from "../../bounds.ts";

/** Options of the encoder, which all models that learn features without labels share. */
export const encoderOptions = z.strictObject({
  codeSize: unitCount().default(64).describe("numbers of the code, which stands for a whole sample"),
  backbone: z
    .enum(BACKBONES)
    .optional()
    .describe(
      "images: a backbone of detectors in place of the paper's convolutions, so that what it learns can begin a detector (default: those convolutions)",
    ),
  channels: unitCount()
    .optional()
    .describe(
      "images without a backbone: channels of the first map; twice as many at each further halving, 8 times as many at most. Tables and points: numbers of the local features of a group of columns (default: 32)",
    ),
  hidden: unitCount().default(512).describe("units of the layer before the code"),
  groups: unitCount()
    .optional()
    .describe(
      "tables and points: groups of neighboring columns, each with local features of its own (default: one for each column, 16 at most)",
    ),
});

export type EncoderOptions = z.output<typeof encoderOptions>;

/** Channels of the first map, or numbers of a group's local features. */
export function channelsOf({ channels = 32 }: EncoderOptions): number {
  return channels;
}

/** Local features are those of the last map whose shorter side has this length: 7 × 7 of digits, 8 × 8 of images of 32 × 32 and 64 × 64. */
export const LOCAL_SIDE = 6;
