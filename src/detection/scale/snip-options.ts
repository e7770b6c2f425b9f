import { z } from "zod";
import { list, positiveAmount, text } from "../../bounds.ts";

/** Most scales that have a range of sizes. */
const MOST_SCALES = 8;

/** The scales of SNIPER, in parts of the size, where none are given. */
export const SNIPER_SCALES = [1, 0.5, 0.25] as const;

/** Largest share of background among chips, and the one where none is given. */
const MOST_BACKGROUND = 0.9;
export const USUAL_BACKGROUND = 0.1;

/** What must be found in a chip for it to be one of background, and with which score, where nothing else is given. */
export const [USUAL_LEAST_PROPOSALS, USUAL_PROPOSAL_SCORE] = [2, 0.1] as const;

/** Options of training that looks at each scale at objects of some sizes alone. */
export const snipOptions = {
  snip: z
    .boolean()
    .default(false)
    .describe(
      "SNIP: at each of --scales only objects of some sizes are learnt; others count neither as objects nor as background",
    ),
  sniper: z
    .boolean()
    .default(false)
    .describe(
      `SNIPER: train on chips, squares that are cut out around objects of some sizes at each scale, in place of whole images (default of --scales: ${SNIPER_SCALES})`,
    ),
  validRanges: list(z.string().max(40), MOST_SCALES)
    .min(1)
    .optional()
    .describe(
      "snip, sniper: sizes of the objects that are learnt at each scale, as 0-80,40-160,120-inf: square roots of areas in pixels of the image at that scale (default: from the sizes of the training objects)",
    ),
  chip: z
    .int()
    .min(32)
    .max(2048)
    .multipleOf(32)
    .optional()
    .describe(
      "sniper: height and width of a chip in pixels, a multiple of 32 (default: size times the smallest scale, at most half of size)",
    ),
  chipBackground: z
    .number()
    .min(0)
    .max(MOST_BACKGROUND)
    .optional()
    .describe(
      `sniper: share of the chips that are background; other ones in each epoch (default: ${USUAL_BACKGROUND})`,
    ),
  negativesFrom: text()
    .min(1)
    .optional()
    .describe(
      "sniper: folder of an earlier, short run on the same classes; chips of background show what it takes for objects (default: they are from anywhere)",
    ),
  leastProposals: z
    .int()
    .min(1)
    .max(1000)
    .optional()
    .describe(
      `negativesFrom: what must be found in a chip for it to be one of background (default: ${USUAL_LEAST_PROPOSALS})`,
    ),
  proposalScore: positiveAmount()
    .max(1)
    .optional()
    .describe(`negativesFrom: score from which on a detection counts (default: ${USUAL_PROPOSAL_SCORE})`),
};
