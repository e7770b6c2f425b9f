import { z } from "zod";
import type { Losses } from "../../src/model/capabilities.ts";
import type { DataInfo, SymbolicBatch } from "../../src/model/data-info.ts";
import { defineModel } from "../../src/model/definition.ts";
import { Linear } from "../../src/nn/linear.ts";
import { encoderOptions } from "../../src/representation/encoders/index.ts";
import { EncoderModel } from "../../src/representation/models/define.ts";
import { oneHot } from "../../src/tensor/index.ts";

// The encoder of self-supervised models, trained with all labels: what features may come to at best.

const options = encoderOptions.extend({ classCount: z.int().min(2).describe("classes of the data") });

class Supervised extends EncoderModel {
  readonly head: Linear;

  constructor(given: z.output<typeof options>, data: DataInfo) {
    super(given, data);
    this.head = new Linear(given.codeSize, given.classCount);
  }

  loss({ x, label }: SymbolicBatch): Losses {
    const { code } = this.encoder.layers(x);
    if (label === undefined) throw new TypeError("the data has no labels");
    const logits = this.head.forward(code.relu());
    return {
      total: logits
        .logSoftmax(1)
        .mul(oneHot(label, Number(logits.shape[1])))
        .sum(1)
        .mean()
        .neg(),
    };
  }
}

export default defineModel({
  name: "supervised",
  summary: "an encoder that is trained with labels",
  paper: "none",
  dataKinds: ["image"],
  can: ["embed"],
  options,
  build: (given, data) => new Supervised(given, data),
  preferences: () => ({
    optimizer: "adam",
    learningRate: 1e-3,
    batchSize: 64,
    warmupSteps: 50,
    averageDecay: 0.99,
  }),
});
