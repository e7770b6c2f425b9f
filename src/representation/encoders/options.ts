import { z } from "zod";
import { unitCount } from "../../bounds.ts";

/** Options of the encoder, which all models that learn features without labels share. */
export const encoderOptions = z.strictObject({
  codeSize: unitCount().default(64).describe("numbers of the code, which stands for a whole sample"),
  channels: unitCount()
    .default(32)
    .describe(
      "images: channels of the first map; twice as many at each further halving, 8 times as many at most. Tables and points: numbers of the local features of a group of columns",
    ),
  hidden: unitCount().default(512).describe("units of the layer before the code"),
  groups: unitCount()
    .optional()
    .describe(
      "tables and points: groups of neighboring columns, each with local features of its own (default: one for each column, 16 at most)",
    ),
});

export type EncoderOptions = z.output<typeof encoderOptions>;
