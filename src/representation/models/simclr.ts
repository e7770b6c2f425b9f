import { positiveAmount } from "../../bounds.ts";
import { builderOf } from "../../model/definition.ts";
import { sizeAt } from "../../tensor/graph.ts";
import { arange, concat, oneHot, slice, type Tensor, where } from "../../tensor/index.ts";
import { viewOptions } from "../augment/views.ts";
import { encoderOptions } from "../encoders/index.ts";
import { directions } from "./agreement.ts";
import { defineEncoder } from "./define.ts";
import { projectorOptions, TwoViewModel, viewNotes } from "./two-views.ts";

/** Scores that count nothing in a log Σ exp, and finite so that no gradient is NaN. */
const NEVER = -1e9;

/**
 * Normalized temperature-scaled cross-entropy, NT-Xent (Chen et al. 2020, equation 1): each of the 2n views is to find the other view of its
 * sample among all others by their cosine: the mean of −log(e^(s(i, j)/τ) / Σ_(k ≠ i) e^(s(i, k)/τ)). It lies between 0 and about
 * log(2n − 1) + 2/τ; a network that tells nothing apart has log(2n − 1). Without another sample it is 0.
 * @param a, b vectors of two views, [n, d]
 * @returns a scalar, in nats
 */
export function ntXent(a: Tensor, b: Tensor, temperature: number): Tensor {
  const n = sizeAt("ntXent", a, 0);
  const z = directions(concat([a, b], 0));
  const scores = z.matmul(z, { transposeB: true }).mul(1 / temperature);
  const isSelf = oneHot(arange(0, 2 * n), 2 * n).greater(0);
  const others = where(isSelf, NEVER, scores).logSumExp(1).mean();
  const [first, second] = [slice(z, 0, 0, n), slice(z, 0, n)];
  return others.sub(
    first
      .mul(second)
      .sum(1)
      .mul(1 / temperature)
      .mean(),
  );
}

/** Options of SimCLR. */
export const simClrOptions = encoderOptions.extend({
  ...projectorOptions({ projectorWidth: 256, projectorLayers: 1, projectorSize: 64 }),
  temperature: positiveAmount()
    .default(0.5)
    .describe("temperature τ of the softmax over views; smaller ones count near negatives more"),
  ...viewOptions.shape,
});

/** SimCLR (Chen et al. 2020) as the catalogue knows it. */
export const simClrDefinition = defineEncoder({
  name: "simclr",
  summary: "SimCLR: features by telling two views of a sample from views of all others",
  paper:
    "Chen, Kornblith, Norouzi and Hinton 2020, A Simple Framework for Contrastive Learning of Visual Representations, arXiv:2002.05709",
  options: simClrOptions,
  model: (options, data) =>
    new TwoViewModel(options, data, (a, b) => ({ total: ntXent(a, b, options.temperature) })),
  notes: viewNotes,
  preferences: () => ({ learningRate: 2e-3, batchSize: 256 }),
});

/** SimCLR for data. @throws OptionError where options do not fit the data */
export const simClr = builderOf(simClrDefinition);
