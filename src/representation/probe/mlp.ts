import { storedSplit } from "../../data/sources/data-set.ts";
import type { Losses, Trainable } from "../../model/capabilities.ts";
import type { SymbolicBatch } from "../../model/data-info.ts";
import { Linear } from "../../nn/linear.ts";
import { nameParameters } from "../../nn/module.ts";
import { adam } from "../../nn/optimizer.ts";
import { compile, type State } from "../../program/program.ts";
import type { Runtime } from "../../program/runtime.ts";
import { Random } from "../../random.ts";
import { float32 } from "../../tensor/array.ts";
import { gatherElements, type Tensor } from "../../tensor/index.ts";
import { heldOut, trainingBatches } from "../../train/batches.ts";
import { StepTracer } from "../../train/step.ts";
import { initialVectors, Trainer } from "../../train/trainer.ts";
import type { FeatureRows, LabeledFeatures } from "./features.ts";

/** How a probe with a hidden layer is trained. */
export interface MlpOptions {
  readonly classes: number;
  /** Units of the hidden layer; default: 200, as in the paper of Deep InfoMax. */
  readonly hidden?: number;
  /** Default: 2,000. */
  readonly steps?: number;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
}

/** One hidden layer of rectified units. */
class Mlp implements Trainable {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(size: number, hidden: number, classes: number) {
    this.fc1 = new Linear(size, hidden);
    this.fc2 = new Linear(hidden, classes);
  }

  logits(x: Tensor): Tensor {
    return this.fc2.forward(this.fc1.forward(x).relu());
  }

  loss({ x, label }: SymbolicBatch): Losses {
    if (label === undefined) throw new RangeError("the rows have no classes");
    const logProb = gatherElements(this.logits(x).logSoftmax(1), label.unsqueeze(1), 1);
    return { total: logProb.mean().neg() };
  }
}

const BATCH = 128;
const RATE = 1e-3;
/** Times that validation rows are looked at. */
const VALIDATIONS = 20;

function splitOf({ data, size, count, labels }: LabeledFeatures) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  return storedSplit(Float32Array.from(data), [size], order, labels);
}

/**
 * Classes of rows by a network of one hidden layer, trained with Adam on training rows up to the step at which the loss on validation rows is lowest. Rows
 * should be standardized.
 */
export async function predictMlp(
  training: LabeledFeatures,
  validation: LabeledFeatures,
  rows: readonly FeatureRows[],
  { classes, hidden = 200, steps = 2000, seed = 0, signal }: MlpOptions,
  runtime: Runtime,
): Promise<readonly Uint32Array[]> {
  const model = nameParameters(new Mlp(training.size, hidden, classes));
  const random = new Random(seed).split("mlp");
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
  const source = trainingBatches({
    split: splitOf(training),
    batchSize: Math.min(BATCH, training.count),
    random,
  });
  const choosing = { ...heldOut(splitOf(validation)), batchSize: Math.min(1024, validation.count) };
  const trainer = await Trainer.create(tracer, source, runtime, {
    step: 0,
    vectors: initialVectors(tracer, random),
  });
  let best: { readonly loss: number; readonly weights: State } | undefined;
  const look = Math.max(1, Math.floor(steps / VALIDATIONS));
  try {
    while (trainer.step < steps) {
      signal?.throwIfAborted();
      await trainer.train(RATE);
      if (trainer.step % look !== 0 && trainer.step !== steps) continue;
      const { losses } = await trainer.validate(choosing, validation.count);
      const { total = Number.NaN } = losses;
      if (best === undefined || total < best.loss) best = { loss: total, weights: await trainer.weights() };
    }
    const weights = best?.weights ?? (await trainer.weights());
    const classifier = compile(["x"], ({ x }) => ({ label: model.logits(x).argMax(1) }), {
      runtime,
      weights,
    });
    try {
      const predicted: Uint32Array[] = [];
      for (const { data, count, size } of rows) {
        const { label } = await classifier.run({ x: float32(Float32Array.from(data), [count, size]) });
        predicted.push(Uint32Array.from(label.data, Number));
      }
      return predicted;
    } finally {
      await classifier.release();
    }
  } finally {
    await trainer.release();
  }
}
