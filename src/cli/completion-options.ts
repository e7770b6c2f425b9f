import { z } from "zod";
import { INPAINT_METHODS, type InpaintOptions } from "../model/capabilities.ts";

/** Options of commands that fill in what is unknown of samples. */
export const completionOptions = {
  seed: z.int().nonnegative().default(0).describe("seed of the draws"),
  method: z
    .enum(["auto", "exact", "hmc", ...INPAINT_METHODS])
    .default("auto")
    .describe(
      "exact: in one pass, where the model's order of elements allows; hmc: Hamiltonian Monte Carlo; repaint, projection: of diffusion models; auto: exact where possible, of diffusion models repaint",
    ),
  steps: z
    .int()
    .positive()
    .optional()
    .describe(
      "iterations of each chain, three quarters of them burn-in (default: 80); of diffusion models steps from noise (repaint 50, projection 25)",
    ),
  resamplings: z
    .int()
    .positive()
    .optional()
    .describe("diffusion models: how often each step is taken (default: repaint 10, projection 1)"),
  label: z
    .int()
    .nonnegative()
    .optional()
    .describe("class of all samples, for conditional models (default: that of the data where it tells)"),
};

/** What a model is told of the flags on how to complete. */
export function completionSettings({
  method,
  steps,
  resamplings,
}: {
  readonly [name in "method" | "steps" | "resamplings"]: z.output<(typeof completionOptions)[name]>;
}): Pick<InpaintOptions, "method" | "exact" | "steps" | "resamplings"> {
  const isOfDiffusion = method === "repaint" || method === "projection";
  return {
    ...(isOfDiffusion && { method }),
    ...((method === "exact" || method === "hmc") && { exact: method === "exact" }),
    ...(steps !== undefined && { steps }),
    ...(resamplings !== undefined && { resamplings }),
  };
}
