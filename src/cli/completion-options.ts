import { z } from "zod";

/** Options of commands that fill in what is unknown of samples. */
export const completionOptions = {
  seed: z.int().nonnegative().default(0).describe("seed of the draws"),
  method: z
    .enum(["auto", "exact", "hmc"])
    .default("auto")
    .describe(
      "exact: in one pass, where the model's order of elements allows; hmc: Hamiltonian Monte Carlo; auto: exact where possible",
    ),
  steps: z
    .int()
    .positive()
    .optional()
    .describe("iterations of each chain, three quarters of them burn-in (default: 80)"),
  label: z
    .int()
    .nonnegative()
    .optional()
    .describe("class of all samples, for conditional models (default: that of the data where it tells)"),
};

/** Whether a method must be exact, must not be, or may be either. */
export function isExact(method: "auto" | "exact" | "hmc"): boolean | undefined {
  return method === "auto" ? undefined : method === "exact";
}
