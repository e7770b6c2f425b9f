import { z } from "zod";
import { OptionError } from "../errors.ts";
import type { DensityScoreOptions } from "../nn/model.ts";
import { FIXED_STEP_METHODS, type FixedStepMethod } from "../ode/index.ts";
import { PROBES, TRACES } from "./continuous.ts";
import { SMOOTH_ACTIVATIONS, type SmoothActivationName } from "./continuous-field.ts";
import type { FlowSampleOptions } from "./flow-model.ts";
import { objectiveOptions } from "./objective.ts";
import { flowOptions, flowSampleOptions } from "./options.ts";

const FIXED = Object.keys(FIXED_STEP_METHODS) as [FixedStepMethod, ...FixedStepMethod[]];
const ACTIVATIONS = Object.keys(SMOOTH_ACTIVATIONS) as [SmoothActivationName, ...SmoothActivationName[]];

/** Options of a continuous flow. What is left open depends on the data; the description says how. */
export const continuousFlowOptions = flowOptions.extend({
  ...objectiveOptions.shape,
  width: z.int().min(1).default(64).describe("units of a hidden layer of the velocity network"),
  hiddenLayers: z
    .int()
    .min(1)
    .default(2)
    .describe("hidden layers; with one or two the exact trace costs little in any dimension"),
  activation: z.enum(ACTIVATIONS).default("tanh").describe("smooth activation of the velocity network"),
  timeFeatures: z
    .int()
    .min(1)
    .default(2)
    .describe("cosines of the time that gate and shift every layer of the network"),
  solver: z.enum(FIXED).default("rk4").describe("fixed-step method of training"),
  solverSteps: z.int().min(1).default(6).describe("steps of the solver from data to noise in training"),
  evaluationSteps: z
    .int()
    .min(1)
    .default(24)
    .describe("steps of the solver in graphs outside of training: validation, codes, exported models"),
  trace: z
    .enum(TRACES)
    .default("auto")
    .describe(
      "divergence of the velocity; auto is exact with at most two hidden layers or 16 dimensions, otherwise Hutchinson's",
    ),
  probe: z.enum(PROBES).default("rademacher").describe("distribution of the probe of Hutchinson's estimate"),
  kineticPenalty: z
    .number()
    .min(0)
    .default(0)
    .describe("weight of the mean squared velocity in the loss, for straight paths (RNODE: 0.01)"),
  jacobianPenalty: z
    .number()
    .min(0)
    .default(0.01)
    .describe("weight of the mean squared norm of the velocity's Jacobian in the loss (RNODE: 0.01)"),
});

export type ContinuousFlowOptions = z.output<typeof continuousFlowOptions>;

const solverOptions = z.strictObject({
  solver: z
    .enum([...FIXED, "dormand-prince"])
    .default("dormand-prince")
    .describe("how the flow is integrated; dormand-prince chooses its steps itself"),
  steps: z.int().min(1).default(20).describe("steps from noise to data, for solvers with fixed steps"),
  tolerance: z
    .number()
    .positive()
    .default(1e-4)
    .describe("dormand-prince: relative and absolute tolerance of a step"),
  maxEvaluations: z
    .int()
    .min(8)
    .default(2000)
    .describe("dormand-prince: velocity evaluations before it gives up"),
});

export type SolverOptions = z.output<typeof solverOptions>;

/** Options for drawing samples, beside count, seed and label. */
export const continuousFlowSampleOptions = flowSampleOptions.extend(solverOptions.shape);

export type ContinuousFlowSampleOptions = FlowSampleOptions & Partial<SolverOptions>;

export type ContinuousFlowScoreOptions = DensityScoreOptions & Partial<SolverOptions>;

/** Fills in defaults. @throws OptionError that names the option at fault */
export function solverSettings(options: Partial<SolverOptions>): SolverOptions {
  const told = Object.keys(solverOptions.shape).flatMap((name) => {
    const value = options[name as keyof SolverOptions];
    return value === undefined ? [] : [[name, value] as const];
  });
  const parsed = solverOptions.safeParse(Object.fromEntries(told));
  if (parsed.success) return parsed.data;
  throw new OptionError(
    parsed.error.issues.map(({ path, message }) => `option ${path.join(".")}: ${message}`).join("; "),
  );
}
