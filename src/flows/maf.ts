import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { builderOf } from "../model/definition.ts";
import type { Activation } from "../nn/linear.ts";
import { defineFlow, type FlowSubject } from "./define.ts";
import { flowOptions } from "./model.ts";
import { AffineBijection } from "./transforms/bijections.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { ELEMENT_ORDERS, elementOrders, MaskedAutoregressive } from "./transforms/masked-autoregressive.ts";
import { ActNorm, BatchNormTransform } from "./transforms/normalization.ts";
import { Reshape, type Transform } from "./transforms/transform.ts";

const ACTIVATIONS = {
  relu: (x) => x.relu(),
  tanh: (x) => x.tanh(),
  silu: (x) => x.silu(),
} as const satisfies Record<string, Activation>;

const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as [keyof typeof ACTIVATIONS];

/** Largest absolute log-scale of a block, and of all together: the squares of codes must stay within float32. */
const LOG_SCALE_LIMIT = 3;
const LOG_SCALE_TOTAL = 24;

/** Options of MAF. What is left open depends on the data; its description gives the default. */
export const mafOptions = flowOptions.extend({
  blocks: layerCount().default(5).describe("masked autoregressive transforms (the paper: 5 or 10)"),
  hiddenLayers: layerCount()
    .optional()
    .describe("hidden layers of each masked network (images: 1, otherwise 2; the paper: 1 or 2)"),
  width: unitCount()
    .optional()
    .describe("units of a hidden layer (images: 512, otherwise 64; the paper: 100 to 1024)"),
  activation: z
    .enum(ACTIVATION_NAMES)
    .optional()
    .describe("between the layers of each network (tables: tanh, otherwise relu)"),
  base: flowOptions.shape.base.describe("distribution of the code (tables: student, otherwise gaussian)"),
  order: z
    .enum(ELEMENT_ORDERS)
    .default("alternating")
    .describe(
      "order of the elements in the blocks: reversed from one to the next, the same in all (then later elements can be " +
        "drawn exactly given earlier ones), or random",
    ),
  normalization: z
    .enum(["none", "act-norm", "batch-norm"])
    .default("none")
    .describe("between the blocks: nothing, act-norm, set by the first batch, or the paper's batch-norm"),
});

export type MafOptions = z.output<typeof mafOptions>;

/** What options that are left open stand for. */
export interface NetworkDefaults {
  readonly hiddenLayers: number;
  readonly width: number;
  readonly activation: keyof typeof ACTIVATIONS;
}

/**
 * The blocks of an affine autoregressive flow over rows, with normalization between them, in the direction of one pass.
 */
export function affineAutoregressiveBlocks(
  options: MafOptions,
  { dimensions, contextSize }: FlowSubject,
  defaults: NetworkDefaults,
): readonly Transform[] {
  const { blocks, order, normalization } = options;
  const { hiddenLayers = defaults.hiddenLayers, width = defaults.width } = options;
  const activation = ACTIVATIONS[options.activation ?? defaults.activation];
  const bijection = new AffineBijection(Math.min(LOG_SCALE_LIMIT, LOG_SCALE_TOTAL / blocks));
  return elementOrders(order, blocks, dimensions).flatMap((own, block): Transform[] => {
    const autoregressive = new MaskedAutoregressive(dimensions, bijection, {
      hidden: new Array<number>(hiddenLayers).fill(width),
      order: own,
      contextSize,
      activation,
    });
    if (normalization === "none" || block === blocks - 1) return [autoregressive];
    const between =
      normalization === "batch-norm" ? new BatchNormTransform(dimensions) : new ActNorm(dimensions);
    return [autoregressive, between];
  });
}

/** MAF as the catalogue knows it. */
export const mafDefinition = defineFlow({
  name: "maf",
  summary: "masked autoregressive flow: strong densities in one pass, sampling element by element",
  paper:
    "Papamakarios, Pavlakou and Murray 2017, Masked Autoregressive Flow for Density Estimation, arXiv:1705.07057",
  dataKinds: ["points", "image", "table"],
  options: mafOptions,
  // Tables have outliers.
  base: ({ base }, { kind }) => base ?? (kind === "table" ? "student" : "gaussian"),
  transforms(options, subject) {
    const { data, shape, dimensions } = subject;
    const isImage = data.kind === "image";
    const blocks = affineAutoregressiveBlocks(options, subject, {
      ...(isImage ? { hiddenLayers: 1, width: 512 } : { hiddenLayers: 2, width: 64 }),
      activation: data.kind === "table" ? "tanh" : "relu",
    });
    return isImage ? [new LogitTransform(), new Reshape(shape, [dimensions]), ...blocks] : blocks;
  },
  order: ({ order }, { dimensions }) =>
    order === "same" ? elementOrders("same", 1, dimensions)[0] : undefined,
  preferences({ kind }) {
    const common = { optimizer: "adamw" } as const;
    // Chosen on validation rows of wine-red, in short runs (docs/flows/maf.md).
    if (kind === "table") return { ...common, weightDecay: 1, learningRate: 4e-3, batchSize: 256 };
    if (kind === "image") return { ...common, weightDecay: 0.1, learningRate: 5e-4, batchSize: 128 };
    return { ...common, weightDecay: 0.1, learningRate: 2e-3, batchSize: 256 };
  },
});

/**
 * MAF, masked autoregressive flow (Papamakarios, Pavlakou and Murray 2017): a stack of affine autoregressive transforms
 * u_i = (x_i − μ_i) exp(−α_i) with μ, α functions of x_1 … x_{i−1}, computed by masked networks. Densities take one pass;
 * drawing goes element by element.
 */
export const maf = builderOf(mafDefinition);
