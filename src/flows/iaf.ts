import type { z } from "zod";
import { OptionError } from "../errors.ts";
import { builderOf } from "../model/definition.ts";
import { defineFlow } from "./define.ts";
import { objectiveOptions } from "./densities/objective.ts";
import { affineAutoregressiveBlocks, mafOptions } from "./maf.ts";
import { UNROLL_LIMIT } from "./transforms/masked-autoregressive.ts";
import { Inverted } from "./transforms/transform.ts";

/** Options of IAF: those of MAF. */
export const iafOptions = mafOptions.extend({
  ...objectiveOptions.shape,
  blocks: mafOptions.shape.blocks.default(4).describe("inverse autoregressive transforms"),
  hiddenLayers: mafOptions.shape.hiddenLayers.describe("hidden layers of each masked network (2)"),
  width: mafOptions.shape.width.describe("units of a hidden layer (32)"),
});

export type IafOptions = z.output<typeof iafOptions>;

/** IAF as the catalogue knows it. */
export const iafDefinition = defineFlow({
  name: "iaf",
  summary: "inverse autoregressive flow: sampling in one pass, density element by element",
  paper:
    "Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow, arXiv:1606.04934",
  dataKinds: ["points", "table"],
  options: iafOptions,
  base: ({ base }, { kind }) => base ?? (kind === "table" ? "student" : "gaussian"),
  transforms(options, subject) {
    const { data, dimensions } = subject;
    if (dimensions > UNROLL_LIMIT) {
      throw new OptionError(
        `iaf: its density is found one number after the other, written out in the program for up to ${UNROLL_LIMIT} ` +
          `numbers a sample; these have ${dimensions}. Use maf, whose density takes one pass`,
      );
    }
    const blocks = affineAutoregressiveBlocks(options, subject, {
      hiddenLayers: 2,
      width: 32,
      activation: data.kind === "table" ? "tanh" : "relu",
    });
    return blocks.map((block) => new Inverted(block));
  },
  // Chosen on validation rows of wine-red, in short runs (docs/flows/iaf.md).
  preferences: ({ kind }) => ({
    optimizer: "adamw",
    batchSize: 256,
    ...(kind === "table" ? { weightDecay: 1, learningRate: 4e-3 } : { weightDecay: 0.1, learningRate: 2e-3 }),
  }),
});

/**
 * IAF, inverse autoregressive flow (Kingma et al. 2016): the blocks of MAF in the other direction. Each draws
 * x_i = μ_i + σ_i z_i with μ and σ functions of z_1 … z_{i−1} (section 3, equation 10 and algorithm 1), so that samples
 * and their own densities take one pass; the density of other points goes element by element.
 * @throws OptionError where samples have more numbers than can be gone through one by one in training
 */
export const iaf = builderOf(iafDefinition);
