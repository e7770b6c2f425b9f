import { z } from "zod";
import { list, sampleCount, seedNumber, trainingSteps, unitCount } from "../../bounds.ts";

/** What may be learnt of features. */
export const PROBES = ["linear", "mlp", "neighbors"] as const;

export type ProbeName = (typeof PROBES)[number];

/** Options of probes. */
export const probeOptions = z.strictObject({
  probes: list(z.enum(PROBES))
    .min(1)
    .default([...PROBES])
    .describe(
      "linear: logistic regression to convergence; mlp: a network of one hidden layer; neighbors: the class of most of the nearest rows",
    ),
  labels: list(sampleCount(2), 20)
    .default([10, 100, 1000])
    .describe(
      "few labels: the linear probe is fitted to so many rows as well, drawn at random with all classes among them",
    ),
  draws: sampleCount().default(10).describe("draws of so many rows"),
  neighbors: sampleCount().default(10).describe("neighbors that vote"),
  hidden: unitCount().default(200).describe("mlp: units of the hidden layer"),
  steps: trainingSteps().default(2000).describe("mlp: training steps"),
  seed: seedNumber().default(0).describe("seed of draws, of the mlp and of an untrained encoder"),
});

/** Options of probes that are given. */
export type ProbeOptions = z.input<typeof probeOptions>;
