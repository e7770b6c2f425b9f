import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import type { Staged } from "../../src/model/capabilities.ts";
import { Linear } from "../../src/nn/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adamW } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { float32, type Tensor } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { Budget, checkWhole, fitOptions, resolveFitOptions } from "../../src/train/options.ts";
import { isSpent, spanOf } from "../../src/train/stages.ts";
import { StepTracer } from "../../src/train/step.ts";
import { train } from "../../src/train/train.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";
import { numbers, present } from "../support.ts";

/** Three parts, each of which is trained by samples of its own width. */
class Parts implements Staged {
  readonly first = new Linear(2, 1);
  readonly second = new Linear(3, 1);
  readonly third = new Linear(4, 1);

  constructor() {
    nameParameters(this);
  }

  trainedBy({ x }: { readonly x: Tensor }) {
    return [this.first, this.second, this.third][Number(x.shape[1]) - 2] ?? this.first;
  }

  loss(batch: { readonly x: Tensor }) {
    return { total: this.trainedBy(batch).forward(batch.x).sub(1).square().mean() };
  }
}

/** Batches that are two wide for two steps, then three for two, then four. */
const batches: TrainingBatches = {
  count: 8,
  batchSize: 8,
  random: new Random(1),
  shape: (rows, step) => ({ x: [rows, 2 + Math.floor(step / 2)], labeled: false }),
  feeds(step) {
    const width = 2 + Math.floor(step / 2);
    const x = new Float32Array(8 * width);
    new Random(step).fillNormal(x);
    return { x: float32(x, [8, width]) };
  },
  names: () => [],
};

describe("a step of a model whose parts are trained one after the other", () => {
  it("changes its part as a model of that part alone would be, and nothing of the others", async () => {
    const optimizer = adamW({ weightDecay: 0.3 });
    const options = { optimizer, averageDecay: 0.9, clipNorm: 0.5 };
    const model = new Parts();
    const tracer = new StepTracer(model, options);
    const runtime = await nodeRuntime({ threads: 1 });
    const start = initialVectors(tracer, new Random(3));
    const trainer = await Trainer.create(tracer, batches, runtime, { step: 0, vectors: start });
    const names = ["parameters", "average", ...tracer.slotNames];
    const snapshots = [start];
    for (let step = 0; step < 6; step++) {
      await trainer.train(0.05, 2 * Math.floor(step / 2));
      snapshots.push((await trainer.snapshot()).vectors);
    }
    await trainer.release();
    // Parameters and biases: 3, 4 and 5 numbers.
    const stretches = [
      [0, 3],
      [3, 7],
      [7, 12],
    ] as const;
    for (const [stage, [from, to]] of stretches.entries()) {
      for (const name of names) {
        const [before, after] = [2 * stage, 2 * stage + 2].map((at) => numbers(snapshots[at]?.get(name)));
        for (const [i, value] of present(after).entries()) {
          if (i >= from && i < to) expect(value).not.toBe(before?.[i]);
          else expect(value).toBe(before?.[i]);
        }
      }
      // The same two steps of the part alone, its optimizer and average counting from 1.
      const alone = [model.first, model.second, model.third][stage];
      const part = nameParameters({
        own: present(alone),
        loss({ x }: { readonly x: Tensor }) {
          return { total: this.own.forward(x).sub(1).square().mean() };
        },
      });
      const partTracer = new StepTracer(part, options);
      const own = (at: number, name: string) =>
        float32(numbers(snapshots[at]?.get(name)).slice(from, to), [to - from]);
      const vectors = new Map(names.map((name) => [name, own(2 * stage, name)]));
      const shifted: TrainingBatches = {
        ...batches,
        shape: (rows, step) => batches.shape(rows, step + 2 * stage),
        feeds: (step) => batches.feeds(step + 2 * stage),
      };
      const single = await Trainer.create(partTracer, shifted, runtime, { step: 0, vectors, given: true });
      await single.train(0.05);
      await single.train(0.05);
      const result = (await single.snapshot()).vectors;
      await single.release();
      nameParameters(model);
      for (const name of names) {
        const expected = numbers(result.get(name));
        for (const [i, value] of numbers(own(2 * stage + 2, name)).entries())
          expect(value).toBeCloseTo(expected[i] ?? 0, 6);
      }
    }
  });

  it("is of whole batches, without patience, and in fits alone", async () => {
    const model = new Parts();
    expect(() => checkWhole(model, { replicas: 2, accumulate: 1 })).toThrow("option replicas");
    expect(() => checkWhole(model, { replicas: 1, accumulate: 2 })).toThrow("option accumulate");
    expect(() => checkWhole(model, { replicas: 1, accumulate: 1, patience: 3 })).toThrow("option patience");
    const tracer = new StepTracer(model, { optimizer: adamW(), averageDecay: 0 });
    expect(() => tracer.gradient(batches.shape(8, 0))).toThrow(OptionError);
    const runtime = await nodeRuntime({ threads: 1 });
    const data = { kind: "batches" as const, batches: () => batches };
    expect(() => train(model, { data, runtime, batchSize: 8, learningRate: 1 })).toThrow(
      "one after the other",
    );
  });
});

describe("shares of stages", () => {
  const stages = [
    { name: "a", share: 0.4 },
    { name: "b", share: 0.3 },
    { name: "c", share: 0.3 },
  ];
  const budgetOf = (options: object, seconds = 0) =>
    new Budget(resolveFitOptions(fitOptions.parse(options), {}, 100), 10, () => seconds);
  const endOf = (begun: readonly { step: number; seconds: number }[], budget: Budget) =>
    Array.from({ length: 200 }, (_, step) => step).find((step) =>
      isSpent(spanOf(stages, begun, budget), step, budget),
    );

  it("divide steps, each with a schedule of its own", () => {
    const budget = budgetOf({ steps: 100, learningRate: 1, warmupSteps: 0 });
    const [first, second, third] = [0, 40, 70].map((step) => ({ step, seconds: 0 })) as [
      { step: number; seconds: number },
      { step: number; seconds: number },
      { step: number; seconds: number },
    ];
    expect(endOf([first], budget)).toBe(40);
    expect(endOf([first, second], budget)).toBe(70);
    expect(endOf([first, second, third], budget)).toBe(100);
    const rate = (step: number, begun: readonly { step: number; seconds: number }[]) =>
      budget.learningRate(step, spanOf(stages, begun, budget));
    expect(rate(0, [first])).toBeCloseTo((1 + Math.cos(Math.PI / 40)) / 2, 9);
    expect(rate(40, [first, second])).toBeCloseTo((1 + Math.cos(Math.PI / 30)) / 2, 9);
    expect(rate(69, [first, second])).toBeCloseTo(0, 9);
    expect(rate(99, [first, second, third])).toBeCloseTo(0, 9);
  });

  it("are of what is left, where what comes before a stage has taken long", () => {
    // The second stage begins after 80 of 100 seconds: half of the rest is its own.
    const begun = [
      { step: 0, seconds: 0 },
      { step: 30, seconds: 80 },
    ];
    expect(spanOf(stages, begun, budgetOf({ seconds: 100 }, 80))).toEqual({
      firstStep: 30,
      from: 0.8,
      to: 0.9,
    });
    expect(
      isSpent(spanOf(stages, begun, budgetOf({ seconds: 100 }, 95)), 30, budgetOf({ seconds: 100 }, 95)),
    ).toBe(false);
    expect(
      isSpent(spanOf(stages, begun, budgetOf({ seconds: 100 }, 95)), 31, budgetOf({ seconds: 100 }, 95)),
    ).toBe(true);
  });
});
