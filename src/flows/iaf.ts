import type { z } from "zod";
import { OptionError } from "../errors.ts";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { elementCount } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { energyOf, objectiveOptions } from "./densities/objective.ts";
import { affineAutoregressiveBlocks, mafOptions } from "./maf.ts";
import { FlowModel, flowSampleOptions } from "./model.ts";
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

/**
 * IAF, inverse autoregressive flow (Kingma et al. 2016): the blocks of MAF the other way round. Each draws
 * x_i = μ_i + σ_i z_i with μ and σ functions of z_1 … z_{i−1} (section 3, equation 10 and algorithm 1), so that samples
 * and their own densities take one pass; the density of other points goes element by element.
 * @throws OptionError where samples have more numbers than can be gone through one by one in training
 */
export function iaf(options: IafOptions, data: DataInfo): FlowModel {
  const conditioning = new Conditioning(options, data);
  const dimensions = elementCount(conditioning.targetShape);
  if (dimensions > UNROLL_LIMIT) {
    throw new OptionError(
      `iaf: its density is found one number after the other, written out in the program for up to ${UNROLL_LIMIT} ` +
        `numbers a sample; these have ${dimensions}. Use maf, whose density takes one pass`,
    );
  }
  const blocks = affineAutoregressiveBlocks(options, dimensions, conditioning.size, {
    hiddenLayers: 2,
    width: 32,
    activation: data.kind === "table" ? "tanh" : "relu",
  });
  return new FlowModel(data, {
    base: BASES[options.base ?? (data.kind === "table" ? "student" : "gaussian")](dimensions),
    conditioning,
    transforms: blocks.map((block) => new Inverted(block)),
    ...energyOf(options, data),
  });
}

function preferences({ kind }: DataInfo): FitPreferences {
  const common = { warmupSteps: 50, optimizer: "adamw", averageDecay: 0.998, batchSize: 256 } as const;
  // Chosen on validation rows of wine-red, in short runs (docs/flows/iaf.md).
  return kind === "table"
    ? { ...common, weightDecay: 1, learningRate: 4e-3 }
    : { ...common, weightDecay: 0.1, learningRate: 2e-3 };
}

/** IAF as the catalogue knows it. */
export const iafDefinition = defineModel({
  name: "iaf",
  summary: "inverse autoregressive flow: sampling in one pass, density element by element",
  paper:
    "Kingma et al. 2016, Improving Variational Inference with Inverse Autoregressive Flow, arXiv:1606.04934",
  dataKinds: ["points", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: iafOptions,
  sampleOptions: flowSampleOptions,
  build: iaf,
  preferences,
});
