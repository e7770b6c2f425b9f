import { z } from "zod";

/** Options of every command that runs a fitted model. */
export const runOptions = {
  weights: z
    .enum(["best", "last"])
    .optional()
    .describe("which weights (best where validation has chosen some)"),
  provider: z.string().default("cpu").describe("execution provider: cpu, webgpu, cuda, dml, coreml"),
  threads: z.int().positive().optional().describe("threads inside one operation (all cores unless told)"),
};
