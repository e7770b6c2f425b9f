import { beforeAll, describe, expect, test } from "vitest";
import { storedSplit } from "../../../src/data/sources/data-set.ts";
import type { Losses, SymbolicBatch, Trainable } from "../../../src/model/index.ts";
import { zeros } from "../../../src/nn/initializers.ts";
import { nameParameters } from "../../../src/nn/module.ts";
import { adam } from "../../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import {
  negativeSamplingLoss,
  noiseContrastiveLoss,
} from "../../../src/representation/mutual-information/noise-contrastive.ts";
import { float32, normal, Parameter, type Tensor } from "../../../src/tensor/index.ts";
import { trainingBatches } from "../../../src/train/batches.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { initialVectors, Trainer } from "../../../src/train/trainer.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** exp(−½ e^p (x − m)² + c): a Gaussian that does not know its constant. */
class Unnormalized implements Trainable {
  readonly mean = new Parameter([1], zeros);
  readonly logPrecision = new Parameter([1], zeros);
  readonly constant = new Parameter([1], zeros);

  log(x: Tensor): Tensor {
    return x.sub(this.mean).square().mul(this.logPrecision.exp()).mul(-0.5).add(this.constant);
  }

  loss({ x }: SymbolicBatch): Losses {
    const data = x.squeeze(1);
    const noise = normal([4 * Number(x.shape[0])]).mul(2);
    const logNoise = (at: Tensor): Tensor =>
      at
        .div(2)
        .square()
        .mul(-0.5)
        .sub(Math.log(2 * Math.sqrt(2 * Math.PI)));
    return {
      total: noiseContrastiveLoss({
        model: { data: this.log(data), noise: this.log(noise) },
        noise: { data: logNoise(data), noise: logNoise(noise) },
      }),
    };
  }
}

test("an unnormalized Gaussian learns its mean, its precision and its constant", async () => {
  const [mean, deviation, count] = [0.5, 0.7, 4000];
  const random = new Random(4);
  const data = Float32Array.from({ length: count }, () => mean + deviation * random.normal());
  const split = storedSplit(data, [1], Uint32Array.from(data.keys()));
  const model = nameParameters(new Unnormalized());
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0.99 });
  const trainer = await Trainer.create(tracer, trainingBatches({ split, batchSize: 200, random }), runtime, {
    step: 0,
    vectors: initialVectors(tracer, random),
  });
  for (let step = 0; step < 800; step++) await trainer.train(step < 500 ? 0.02 : 0.004);
  const weights = await trainer.weights();
  await trainer.release();
  const value = (name: string): number => Number(weights.get(name)?.data[0]);
  expect(Math.abs(value("mean") - mean)).toBeLessThan(0.05);
  expect(Math.abs(value("logPrecision") + 2 * Math.log(deviation))).toBeLessThan(0.12);
  // The constant that makes its integral 1, which nobody told it.
  expect(Math.abs(value("constant") + Math.log(deviation * Math.sqrt(2 * Math.PI)))).toBeLessThan(0.08);
});

describe("losses", () => {
  test("noise contrastive: the cross-entropy of the posterior by plain loops", async () => {
    const [ofData, ofNoise] = [
      [0.3, -1.2],
      [0.8, -0.4, 2.1, 0.1],
    ];
    const [logData, logNoise] = [
      [-0.9, -2],
      [-1, -1.5, -0.2, -3],
    ];
    const program = compile(
      ["a", "b", "c", "d"],
      ({ a, b, c, d }) => ({
        loss: noiseContrastiveLoss({ model: { data: a, noise: b }, noise: { data: c, noise: d } }),
      }),
      { runtime },
    );
    const vector = (values: readonly number[]) => float32(values, [values.length]);
    const { loss } = await program.run({
      a: vector(ofData),
      b: vector(ofNoise),
      c: vector(logData),
      d: vector(logNoise),
    });
    await program.release();
    // With ν = 2, the posterior of data is p / (p + 2 q).
    const posterior = (p: number, q: number): number => Math.exp(p) / (Math.exp(p) + 2 * Math.exp(q));
    const data = ofData.map((p, i) => -Math.log(posterior(p, logData[i] ?? Number.NaN)));
    const noise = ofNoise.map((p, i) => -Math.log(1 - posterior(p, logNoise[i] ?? Number.NaN)));
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    expect(Number(loss.data[0])).toBeCloseTo((sum(data) + sum(noise)) / 2, 5);
  });

  test("negative sampling: right pairs up, wrong ones down", async () => {
    const program = compile(
      ["right", "wrong"],
      ({ right, wrong }) => ({ loss: negativeSamplingLoss(right, wrong) }),
      {
        runtime,
      },
    );
    const { loss } = await program.run({
      right: float32([1, -2], [2]),
      wrong: float32([0, 0.5, -1, 3], [2, 2]),
    });
    await program.release();
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
    const terms = [1, -2]
      .map((x) => -Math.log(sigmoid(x)))
      .concat([0, 0.5, -1, 3].map((x) => -Math.log(sigmoid(-x))));
    expect(Number(loss.data[0])).toBeCloseTo(terms.reduce((a, b) => a + b, 0) / 2, 5);
  });

  test("no noise is an error", () => {
    const none = compile(
      ["a", "b"],
      ({ a, b }) => ({
        loss: noiseContrastiveLoss({ model: { data: a, noise: b }, noise: { data: a, noise: b } }),
      }),
      { runtime },
    );
    return expect(none.run({ a: float32([1], [1]), b: float32([], [0]) })).rejects.toThrow(
      /at least one sample of the data/,
    );
  });
});
