import { describe, expect, it } from "vitest";
import { planePoints } from "../../src/data/sources/toy.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { isInitializing } from "../../src/tensor/index.operations.ts";
import { Parameter, type Tensor } from "../../src/tensor/index.ts";
import { trainingBatches } from "../../src/train/batches.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";

/** Subtracts the mean of the first batch, and what is learned. */
class Centering {
  readonly mean = new Parameter([2], (target) => target.fill(100));

  forward(x: Tensor): Tensor {
    if (!isInitializing()) return x.sub(this.mean);
    const mean = x.mean(0);
    this.mean.startFrom(mean);
    return x.sub(mean);
  }
}

const model = () =>
  nameParameters({
    layers: [new Centering(), new Centering()],
    other: new Parameter([1], (target) => target.fill(7)),
    loss(batch: { readonly x: Tensor }) {
      const y = this.layers.reduce((x, layer) => layer.forward(x), batch.x);
      return { total: y.square().mean().add(this.other.sum().mul(0)) };
    },
  });

describe("data-dependent initialization", () => {
  it("takes parameters from the first batch, later layers after earlier ones, and leaves the others", async () => {
    const split = planePoints("two-moons", { count: 64 }).splits.train;
    const source = trainingBatches({ split, batchSize: 64, random: new Random(0) });
    const tracer = new StepTracer(model(), {
      optimizer: sgd({ momentum: 0, weightDecay: 0 }),
      averageDecay: 0.9,
    });
    const runtime = await nodeRuntime();
    const vectors = initialVectors(tracer, source.random);
    const trainer = await Trainer.create(tracer, source, runtime, { step: 0, vectors });
    const weights = await trainer.weights();
    const { x } = split.batch(Array.from({ length: 64 }, (_, i) => i));
    const mean = [0, 1].map(
      (axis) => x.data.reduce((sum, value, i) => sum + (i % 2 === axis ? value : 0), 0) / 64,
    );
    const first = Array.from(weights.get("layers.0.mean")?.data ?? [], Number);
    expect(first[0]).toBeCloseTo(mean[0] ?? Number.NaN, 4);
    expect(first[1]).toBeCloseTo(mean[1] ?? Number.NaN, 4);
    for (const value of weights.get("layers.1.mean")?.data ?? []) expect(Number(value)).toBeCloseTo(0, 4);
    expect(Number(weights.get("other")?.data[0])).toBe(7);
    const { losses } = await trainer.train(0);
    expect(losses.total).toBeLessThan(10);
    // A run that goes on keeps what it has.
    const later = await Trainer.create(tracer, source, runtime, { step: 1, vectors });
    expect(Number((await later.weights()).get("layers.0.mean")?.data[0])).toBe(100);
    await trainer.release();
    await later.release();
  });
});
