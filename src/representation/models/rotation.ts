import { OptionError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { builderOf } from "../../model/definition.ts";
import { Linear } from "../../nn/linear.ts";
import { sizeAt } from "../../tensor/graph.ts";
import { arange, concat, oneHot, type Tensor } from "../../tensor/index.ts";
import { quarterTurns } from "../augment/turn.ts";
import { type EncoderOptions, encoderOptions } from "../encoders/index.ts";
import { spreadOf } from "./agreement.ts";
import { defineEncoder, EncoderModel } from "./define.ts";

const TURNS = 4;

/**
 * Cross-entropy and accuracy of logits [4 · n, 4] by which quarter turn each image was made: the first n by none, the next by one, and so on.
 */
export function turnLoss(logits: Tensor): { readonly total: Tensor; readonly accuracy: Tensor } {
  const n = sizeAt("turnLoss", logits, 0) / TURNS;
  const turns = oneHot(arange(0, TURNS), TURNS)
    .unsqueeze(1)
    .broadcastTo([TURNS, n, TURNS])
    .reshape([TURNS * n, TURNS]);
  const hits = oneHot(logits.argMax(1), TURNS).mul(turns);
  return {
    total: logits.logSoftmax(1).mul(turns).sum(1).mean().neg(),
    accuracy: hits.sum(1).mean(),
  };
}

/**
 * An encoder that learns by which of four quarter turns an image was turned (Gidaris et al. 2018). All four are in each batch, as the authors
 * found best (section 2.2); they are exact, by exchanging and reversing axes.
 */
export class RotationModel extends EncoderModel {
  readonly head: Linear;

  /** @throws OptionError where samples are no images, or images are not square */
  constructor(options: EncoderOptions, data: DataInfo) {
    const [, height, width] = data.sampleShape;
    if (data.sampleShape.length !== 3) {
      throw new OptionError(
        "rotation turns images, and these samples are rows of numbers; choose another model",
      );
    }
    if (height !== width) {
      throw new OptionError(
        `rotation takes square images, whose quarter turns have the same shape; these are ${width}×${height}: give a size of equal sides`,
      );
    }
    super(options, data);
    this.head = new Linear(options.codeSize, TURNS);
  }

  /** Cross-entropy of the four turns in nats, log 4 at chance; their accuracy; how far the codes are spread (`spreadOf`). */
  loss({ x }: SymbolicBatch): Losses {
    const turned = Array.from({ length: TURNS }, (_, quarters) => quarterTurns(x, quarters));
    const { code } = this.encoder.layers(concat(turned, 0));
    return { ...turnLoss(this.head.forward(code.relu())), spread: spreadOf(code) };
  }
}

/** Rotation prediction (Gidaris et al. 2018) as the catalogue knows it. */
export const rotationDefinition = defineEncoder({
  name: "rotation",
  summary: "features by predicting which way up an image was turned",
  paper:
    "Gidaris, Singh and Komodakis 2018, Unsupervised Representation Learning by Predicting Image Rotations, arXiv:1803.07728",
  dataKinds: ["image", "binary"],
  options: encoderOptions,
  model: (options, data) => new RotationModel(options, data),
  preferences: () => ({ learningRate: 2e-3, batchSize: 64 }),
});

/** Rotation prediction for data. @throws OptionError where samples are no square images */
export const rotation = builderOf(rotationDefinition);
