import { describe, expect, it } from "vitest";
import { planePoints } from "../../src/data/sources/toy.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { BatchNorm1d } from "../../src/nn/normalization.ts";
import { sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { float32, type NdArray } from "../../src/tensor/array.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { type HeldOut, type TrainingBatches, trainingBatches } from "../../src/train/batches.ts";
import { accumulatingPool } from "../../src/train/gradient-parts.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";

const points = planePoints("two-moons", { count: 64 }).splits;

/** A normalization alone: its statistics follow the batches. */
const normalizing = () =>
  nameParameters({
    norm: new BatchNorm1d(2),
    loss({ x }: { readonly x: Tensor }) {
      return { total: this.norm.forward(x).square().mean() };
    },
  });

describe("running statistics", () => {
  it.each([1, 2])("are averaged along with the weights, with batches in %i parts", async (parts) => {
    const decay = 0.9;
    const model = normalizing();
    const tracer = new StepTracer(model, { optimizer: sgd(), averageDecay: decay });
    const source = trainingBatches({ split: points.train, batchSize: 16, random: new Random(3) });
    const runtime = await nodeRuntime({ threads: 1 });
    const pool = parts === 1 ? undefined : await accumulatingPool(tracer, source, parts, runtime);
    const vectors = initialVectors(tracer, source.random);
    const trainer = await Trainer.create(tracer, source, runtime, { step: 0, vectors }, pool);
    const averages: Record<string, number[]> = { running_mean: [0, 0], running_var: [1, 1] };
    for (let step = 1; step <= 6; step++) {
      await trainer.train(0.1);
      const { vectors: now } = await trainer.snapshot();
      const share = 1 - Math.min(decay, (step + 1) / (step + 10));
      for (const name in averages) {
        const value = now.get(`norm.${name}`)?.data ?? [];
        averages[name] = (averages[name] ?? []).map((old, i) => old + share * (Number(value[i]) - old));
        for (const [i, expected] of (averages[name] ?? []).entries()) {
          expect(Number(now.get(`average.norm.${name}`)?.data[i])).toBeCloseTo(expected, 5);
        }
      }
    }
    const weights = await trainer.weights();
    const { vectors: last } = await trainer.snapshot();
    expect(weights.get("norm.running_mean")).toEqual(last.get("average.norm.running_mean"));
    // A count is no statistic.
    expect(Number(weights.get("norm.num_batches_tracked")?.data[0])).toBe(6);
    expect(last.has("average.norm.num_batches_tracked")).toBe(false);
    await trainer.release();
    await pool?.release();
  });
});

describe("batches that data makes itself", () => {
  /** Sums of x over the rows that `labels` names, of batches that name their step. */
  const model = () =>
    nameParameters({
      norm: new BatchNorm1d(1),
      loss(batch: { readonly x: Tensor; readonly weights?: Tensor }) {
        const { weights } = batch;
        if (weights === undefined) throw new Error("no weights");
        const seen = batch.x.mul(weights).mean();
        return { total: seen.add(this.norm.forward(batch.x).mean().mul(0)), seen };
      },
    });
  const shape = (rows: number) => ({
    x: [rows, 1],
    labeled: false,
    others: { weights: { shape: [rows, 1], dtype: "float32" as const } },
  });
  const feedsOf = (first: number, count: number, scale: number): Record<string, NdArray> => ({
    x: float32(
      Array.from({ length: count }, (_, i) => first + i),
      [count, 1],
    ),
    weights: float32(new Float32Array(count).fill(scale), [count, 1]),
  });

  it("train and validate, part by part, and are evaluated", async () => {
    const asked: string[] = [];
    const source: TrainingBatches = {
      count: 8,
      batchSize: 4,
      random: new Random(0),
      shape,
      async feeds(step, { first, count } = { first: 0, count: 4 }) {
        asked.push(`${step}: ${first}+${count}`);
        return feedsOf(first, count, step + 1);
      },
      names: (step) => [`step ${step}`],
    };
    const tracer = new StepTracer(model(), { optimizer: sgd(), averageDecay: 0 });
    const runtime = await nodeRuntime({ threads: 1 });
    const start = { step: 0, vectors: initialVectors(tracer, source.random) };
    const whole = await Trainer.create(tracer, source, runtime, start);
    expect((await whole.train(0)).losses.seen).toBeCloseTo(1.5, 5);
    expect((await whole.train(0)).losses.seen).toBeCloseTo(3, 5);
    const pool = await accumulatingPool(tracer, source, 2, runtime);
    const divided = await Trainer.create(tracer, source, runtime, start, pool);
    expect((await divided.train(0)).losses.seen).toBeCloseTo(1.5, 5);
    expect(asked).toEqual(["0: 0+4", "1: 0+4", "0: 0+2", "0: 2+2"]);

    const seen: number[] = [];
    const part: HeldOut = {
      count: 7,
      batchSize: 3,
      shape,
      feeds: ({ first, count }) => feedsOf(first, count, 2),
      evaluator: {
        criterion: "sum",
        outputs: ({ x }) => ({ doubled: x.mul(2) }),
        begin: () => ({
          add({ doubled }, { first, count }) {
            expect(doubled?.shape).toEqual([count, 1]);
            expect(Number(doubled?.data[0])).toBe(2 * first);
            seen.push(...Array.from(doubled?.data ?? [], Number));
          },
          measures: () => ({ sum: seen.reduce((a, b) => a + b, 0) }),
        }),
      },
    };
    const evaluated = part.evaluator?.begin();
    const { losses } = await whole.validate(part, 6, evaluated);
    // 0 … 5, doubled by their weights.
    expect(losses.seen).toBeCloseTo(5, 5);
    expect(seen).toEqual([0, 2, 4, 6, 8, 10]);
    expect(evaluated?.measures()).toEqual({ sum: 30 });
    for (const trainer of [whole, divided]) await trainer.release();
    await pool.release();
  });
});
