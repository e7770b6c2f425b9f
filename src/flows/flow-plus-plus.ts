import { z } from "zod";
import type { DataInfo } from "../model/data-info.ts";
import { defineModel, type FitPreferences } from "../model/definition.ts";
import { elementCount } from "../tensor/index.ts";
import { BASES } from "./densities/bases.ts";
import { Conditioning } from "./densities/conditioning.ts";
import { GlowStep } from "./glow.ts";
import { dequantizationOption, dequantizerFor } from "./images/dequantize.ts";
import { type ImageShape, imageLevels, Squeeze, squeezed } from "./images/multi-scale.ts";
import { GatedNetwork } from "./images/networks.ts";
import { FlowModel, flowOptions, flowSampleOptions } from "./model.ts";
import { ReluNetwork } from "./nice.ts";
import { LogisticMixtureBijection } from "./transforms/bijections.ts";
import { Coupling } from "./transforms/coupling.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { Reshape, type Transform } from "./transforms/transform.ts";

/** Options of Flow++. What is left open depends on the data; the doc of each says how. */
export const flowPlusPlusOptions = flowOptions.extend({
  components: z
    .int()
    .min(1)
    .optional()
    .describe("logistics in the mixture of each element (images: 4, otherwise 8; the paper: 32)"),
  couplings: z
    .int()
    .min(1)
    .optional()
    .describe("couplings, for images at each level (images: 3, otherwise 6)"),
  levels: z
    .int()
    .min(1)
    .optional()
    .describe("levels of images, each at half the height and width (default: as many as fit, at most 2)"),
  width: z
    .int()
    .min(1)
    .optional()
    .describe("channels or units of a hidden layer (images: 32, otherwise 64; the paper: 96)"),
  blocks: z
    .int()
    .min(0)
    .default(1)
    .describe("gated residual blocks of a coupling's network, for images (the paper: 10)"),
  attention: z
    .boolean()
    .default(false)
    .describe("whether self-attention follows each residual block, for images (the paper: yes)"),
  hiddenLayers: z
    .int()
    .min(1)
    .default(2)
    .describe("hidden layers of a coupling's network, for points and tables"),
  dequantization: dequantizationOption("variational"),
  alpha: z
    .number()
    .min(0)
    .max(0.49)
    .default(0.05)
    .describe("how far from 0 and 1 pixels are kept before the logit, for images"),
});

export type FlowPlusPlusOptions = z.output<typeof flowPlusPlusOptions>;

/** Levels of images: each is squeezed, then goes through steps whose couplings change half of the channels. */
function imageFlow(
  options: FlowPlusPlusOptions,
  sampleShape: readonly number[],
  contextSize: number,
): readonly Transform[] {
  const { components = 4, couplings = 3, width = 32, blocks, attention } = options;
  const { shape, count } = imageLevels("flow-plus-plus", sampleShape, options.levels);
  const levels = options.levels ?? Math.min(count, 2);
  const bijection = new LogisticMixtureBijection(components);
  const transforms: Transform[] = [new LogitTransform(options.alpha)];
  let inside: ImageShape = shape;
  for (let level = 0; level < levels; level++) {
    inside = squeezed(inside);
    const [channels] = inside;
    const half = channels / 2;
    transforms.push(new Squeeze("checkerboard"));
    for (let i = 0; i < couplings; i++) {
      const outputs = half * bijection.parameterCount;
      const network = new GatedNetwork({ inputs: half, width, blocks, outputs, attention, contextSize });
      transforms.push(new GlowStep(channels, new Coupling([half, half], "second", bijection, network)));
    }
  }
  return [...transforms, new Reshape(inside, [elementCount(inside)])];
}

/** Steps of rows, with perceptrons in place of convolutions. */
function rowFlow(
  options: FlowPlusPlusOptions,
  dimensions: number,
  contextSize: number,
): readonly Transform[] {
  const { components = 8, couplings = 6, width = 64, hiddenLayers } = options;
  const bijection = new LogisticMixtureBijection(components);
  const kept = Math.ceil(dimensions / 2);
  const changed = dimensions - kept;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  const sizes = [kept, ...hidden, changed * bijection.parameterCount];
  return Array.from({ length: couplings }, () => {
    const network = new ReluNetwork(sizes, contextSize);
    return new GlowStep(dimensions, new Coupling([kept, changed], "second", bijection, network));
  });
}

/**
 * Flow++ (Ho et al. 2019): couplings by the distribution function of a mixture of logistics, networks of gated residual
 * blocks with self-attention if wanted, and variational dequantization of images. Each coupling stands in a step with
 * activation normalization and an invertible linear map before it.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export function flowPlusPlus(options: FlowPlusPlusOptions, data: DataInfo): FlowModel {
  const conditioning = new Conditioning(options, data);
  const { targetShape, size } = conditioning;
  const dimensions = elementCount(targetShape);
  const base = BASES[options.base ?? "gaussian"](dimensions);
  if (data.kind !== "image") {
    return new FlowModel(data, { base, conditioning, transforms: rowFlow(options, dimensions, size) });
  }
  const transforms = imageFlow(options, targetShape, size);
  const dequantizer = dequantizerFor(options.dequantization, data, conditioning);
  return new FlowModel(data, { base, conditioning, transforms, dequantizer });
}

function preferences({ kind }: DataInfo): FitPreferences {
  return kind === "image"
    ? {
        warmupSteps: 100,
        optimizer: "adam",
        learningRate: 2e-3,
        batchSize: 64,
        averageDecay: 0.998,
        clipNorm: 50,
      }
    : { warmupSteps: 50, optimizer: "adam", learningRate: 5e-3, batchSize: 512, averageDecay: 0.998 };
}

/** Flow++ as the catalogue knows it. */
export const flowPlusPlusDefinition = defineModel({
  name: "flow-plus-plus",
  summary: "flow of mixture-of-logistics couplings, with variational dequantization of images",
  paper:
    "Ho et al. 2019, Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, arXiv:1902.00275",
  dataKinds: ["points", "image", "table"],
  can: ["sample", "score", "inpaint", "encode", "decode", "export"],
  options: flowPlusPlusOptions,
  sampleOptions: flowSampleOptions,
  build: flowPlusPlus,
  preferences,
});
