import { z } from "zod";
import { CODE_SOLVERS, type CodeSolverOptions } from "../model/codes.ts";

/** Options of commands that go from samples to codes or back, for models whose codes take a solver. */
export const codeOptions = {
  solver: z
    .enum(CODE_SOLVERS)
    .optional()
    .describe(
      "diffusion models: how codes are found; heun: the probability flow to second order, ddim: to first order with one evaluation a step (default: heun)",
    ),
  solverSteps: z
    .int()
    .positive()
    .optional()
    .describe("diffusion models: steps from data to code (default: heun 50, ddim 100)"),
};

/** What a solver of codes is told of the flags. */
export function codeSolver({
  solver,
  solverSteps: steps,
}: {
  readonly [name in keyof typeof codeOptions]: z.output<(typeof codeOptions)[name]>;
}): CodeSolverOptions {
  return { ...(solver !== undefined && { solver }), ...(steps !== undefined && { steps }) };
}
