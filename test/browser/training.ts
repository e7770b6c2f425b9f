import { storedSplit } from "../../src/data/sources/data-set.ts";
import type { Losses, Trainable } from "../../src/model/capabilities.ts";
import type { SymbolicBatch } from "../../src/model/data-info.ts";
import { Conv2d } from "../../src/nn/convolution.ts";
import { Linear } from "../../src/nn/linear.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { elementCount } from "../../src/tensor/array.ts";
import { mean } from "../../src/tensor/index.operations.ts";
import { averagePool2d, normal, type Tensor } from "../../src/tensor/index.ts";
import { trainingBatches } from "../../src/train/batches.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";

// One short training, defined once and run by every runtime: Node's and the browser's must agree on its losses.

export const STEPS = 20;

/** What one training gave. */
export interface TrainingResult {
  readonly losses: readonly number[];
  /** A few weights after the last step. */
  readonly weights: readonly number[];
  /** Milliseconds of the steps after the first. */
  readonly milliseconds: number;
}

/** The length of a vector, learnt from samples, with noise drawn inside the graph. */
class Mlp implements Trainable {
  readonly fc1 = new Linear(3, 32);
  readonly fc2 = new Linear(32, 32);
  readonly fc3 = new Linear(32, 1);

  private forward(x: Tensor): Tensor {
    const hidden = this.fc2.forward(this.fc1.forward(x).silu()).gelu();
    return this.fc3.forward(hidden);
  }

  loss({ x }: SymbolicBatch): Losses {
    // No sine here: graphics processors compute it to 2⁻¹¹ only.
    const target = x.square().sum(1, true).sqrt();
    const noisy = x.add(normal(x.shape).mul(0.1));
    return { total: mean(this.forward(noisy).sub(target).square()) };
  }
}

/** Predicts an image from its noised self, with a strided convolution in the middle. */
class ConvNet implements Trainable {
  readonly conv1 = new Conv2d(1, 16, 3, { padding: 1 });
  readonly conv2 = new Conv2d(16, 16, 3, { padding: 1 });
  readonly conv3 = new Conv2d(16, 32, 3, { padding: 1, stride: 2 });
  readonly head = new Linear(32, 4);

  loss({ x }: SymbolicBatch): Losses {
    const noisy = x.add(normal(x.shape).mul(0.1));
    const local = this.conv2.forward(this.conv1.forward(noisy).silu()).silu();
    const features = mean(this.conv3.forward(local).relu(), [2, 3]);
    const target = mean(averagePool2d(x, { kernel: 4 }).square(), 1).reshape([-1, 4]);
    return { total: mean(this.head.forward(features).sub(target).square()) };
  }
}

const CASES = {
  mlp: { model: () => new Mlp(), sampleShape: [3], batchSize: 32, learningRate: 1e-2 },
  conv: { model: () => new ConvNet(), sampleShape: [1, 8, 8], batchSize: 8, learningRate: 3e-3 },
} as const;

export type TrainingName = keyof typeof CASES;

export const TRAININGS = Object.keys(CASES) as readonly TrainingName[];

/** Twenty steps of Adam from seed 0. */
export async function train(name: TrainingName, runtime: Runtime): Promise<TrainingResult> {
  const { model, sampleShape, batchSize, learningRate } = CASES[name];
  const random = new Random(0);
  const count = 64;
  const store = new Float32Array(count * elementCount(sampleShape));
  random.split("data").fillNormal(store);
  const split = storedSplit(
    store,
    sampleShape,
    Array.from({ length: count }, (_, i) => i),
  );
  const tracer = new StepTracer(nameParameters(model()), { optimizer: adam(), averageDecay: 0 });
  const vectors = initialVectors(tracer, random.split("weights"));
  const trainer = await Trainer.create(tracer, trainingBatches({ split, batchSize, random }), runtime, {
    step: 0,
    vectors,
  });
  const losses: number[] = [];
  let started = 0;
  for (let step = 0; step < STEPS; step++) {
    if (step === 1) started = performance.now();
    losses.push((await trainer.train(learningRate)).losses.total ?? Number.NaN);
  }
  const milliseconds = performance.now() - started;
  const flat = (await trainer.snapshot()).vectors.get("parameters");
  await trainer.release();
  return { losses, weights: Array.from(flat?.data.slice(0, 16) ?? [], Number), milliseconds };
}

/** The first numbers of a seeded generator, as bits, so that they can be compared exactly. */
export function randomNumbers(): readonly number[] {
  const random = new Random(42);
  const numbers = new Float32Array(64);
  random.split("normal").fillNormal(numbers.subarray(0, 32));
  random.split("uniform").split(7).fillUniform(numbers.subarray(32));
  return [...new Uint32Array(numbers.buffer), ...random.permutation(16)];
}
