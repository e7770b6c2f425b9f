import { z } from "zod";
import { BASE_NAMES } from "./base.ts";
import { conditioningOptions } from "./conditioning.ts";

/** Options that every flow has beside those of its architecture. */
export const flowOptions = conditioningOptions.extend({
  base: z.enum(BASE_NAMES).optional().describe("distribution of the code (default: gaussian)"),
});

export type FlowOptions = z.output<typeof flowOptions>;

/** Options for drawing samples of a flow. */
export const flowSampleOptions = z.strictObject({
  temperature: z
    .number()
    .positive()
    .default(1)
    .describe("deviation of the code relative to training; below 1 samples are more typical and less varied"),
});
