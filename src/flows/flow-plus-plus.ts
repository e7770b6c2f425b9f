import { z } from "zod";
import { layerCount, unitCount } from "../bounds.ts";
import { builderOf } from "../model/definition.ts";
import { elementCount } from "../tensor/index.ts";
import { defineFlow, type FlowSubject } from "./define.ts";
import { GlowStep, rowSteps } from "./glow.ts";
import { dequantizationOption } from "./images/dequantize.ts";
import {
  alphaOption,
  hiddenLayersOption,
  imageLevels,
  imagePreferences,
  levelsOption,
  Squeeze,
  squeezed,
} from "./images/multi-scale.ts";
import { GatedNetwork } from "./images/networks.ts";
import { flowOptions } from "./model.ts";
import { LogisticMixtureBijection } from "./transforms/bijections.ts";
import { Coupling } from "./transforms/coupling.ts";
import { LogitTransform } from "./transforms/element-wise.ts";
import { Reshape, type Transform } from "./transforms/transform.ts";

/** Options of Flow++. What is left open depends on the data; its description gives the default. */
export const flowPlusPlusOptions = flowOptions.extend({
  components: unitCount()
    .optional()
    .describe("logistics in the mixture of each element (images: 4, otherwise 8; the paper: 32)"),
  couplings: layerCount().optional().describe("couplings, for images at each level (images: 3, otherwise 6)"),
  levels: levelsOption(2),
  width: unitCount()
    .optional()
    .describe("channels or units of a hidden layer (images: 32, otherwise 64; the paper: 96)"),
  blocks: layerCount(0)
    .default(1)
    .describe("gated residual blocks of a coupling's network, for images (the paper: 10)"),
  attention: z
    .boolean()
    .default(false)
    .describe("whether self-attention follows each residual block, for images (the paper: yes)"),
  hiddenLayers: hiddenLayersOption,
  dequantization: dequantizationOption("variational"),
  alpha: alphaOption(0.05),
});

export type FlowPlusPlusOptions = z.output<typeof flowPlusPlusOptions>;

/** Levels of images: each is squeezed, then goes through steps whose couplings change half of the channels. */
function imageFlow(options: FlowPlusPlusOptions, subject: FlowSubject): readonly Transform[] {
  const { components = 4, couplings = 3, width = 32, blocks, attention } = options;
  const { contextSize } = subject;
  const { shape, count } = imageLevels("flow-plus-plus", subject.shape, options.levels, 2);
  const bijection = new LogisticMixtureBijection(components);
  const transforms: Transform[] = [new LogitTransform(options.alpha)];
  let inside = shape;
  for (let level = 0; level < count; level++) {
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
function rowFlow(options: FlowPlusPlusOptions, subject: FlowSubject): readonly Transform[] {
  const { components = 8, couplings = 6, width = 64, hiddenLayers } = options;
  const hidden = new Array<number>(hiddenLayers).fill(width);
  return rowSteps(couplings, hidden, new LogisticMixtureBijection(components), subject);
}

/** Flow++ as the catalogue knows it. */
export const flowPlusPlusDefinition = defineFlow({
  name: "flow-plus-plus",
  summary: "flow of mixture-of-logistics couplings, with variational dequantization of images",
  paper:
    "Ho et al. 2019, Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design, arXiv:1902.00275",
  dataKinds: ["points", "image", "table"],
  options: flowPlusPlusOptions,
  transforms: (options, subject) =>
    subject.data.kind === "image" ? imageFlow(options, subject) : rowFlow(options, subject),
  preferences: imagePreferences({ learningRate: 5e-3 }),
});

/**
 * Flow++ (Ho et al. 2019): couplings by the distribution function of a mixture of logistics, networks of gated residual
 * blocks with self-attention if wanted, and variational dequantization of images. Each coupling stands in a step with
 * activation normalization and an invertible linear map before it.
 * @throws OptionError where images cannot be halved so often, or samples have fewer than two numbers
 */
export const flowPlusPlus = builderOf(flowPlusPlusDefinition);
