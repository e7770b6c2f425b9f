import { describe, expect, it } from "vitest";
import { nameParameters } from "../../src/nn/module.ts";
import { sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { float32, Parameter, type Tensor } from "../../src/tensor/index.ts";
import type { BatchShape, TrainingBatches } from "../../src/train/batches.ts";
import { accumulatingPool } from "../../src/train/gradient-parts.ts";
import { MOST_PROGRAMS, ShapedPrograms } from "../../src/train/programs.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";

/** A runtime that counts its sessions. */
async function counting() {
  const counts = { made: 0, alive: 0, mostAlive: 0 };
  const runtime = await nodeRuntime({ threads: 1 });
  const counted: Runtime = {
    ...runtime,
    async load(...given) {
      const session = await runtime.load(...given);
      counts.made++;
      counts.mostAlive = Math.max(counts.mostAlive, ++counts.alive);
      return {
        run: (feeds) => session.run(feeds),
        release() {
          counts.alive--;
          return session.release();
        },
      };
    },
  };
  return { counts, runtime: counted };
}

/** Learns the mean of x. */
const model = () =>
  nameParameters({
    mean: new Parameter([1], (target) => target.fill(0)),
    loss(this: { readonly mean: Parameter }, { x }: { readonly x: Tensor }) {
      return { total: x.sub(this.mean).square().mean() };
    },
  });

const shapeOf = (rows: number, columns: number): BatchShape => ({ x: [rows, columns], labeled: false });

/** Batches of 4 rows of ones, with as many columns as the step has by `columns`. */
const batchesOf = (columns: (step: number) => number): TrainingBatches => ({
  count: 4,
  batchSize: 4,
  random: new Random(0),
  shape: (rows, step) => shapeOf(rows, columns(step)),
  feeds(step, { count } = { first: 0, count: 4 }) {
    const size = [count, columns(step)];
    return { x: float32(new Float32Array(count * columns(step)).fill(1), size) };
  },
  names: () => [],
});

describe("programs by shape", () => {
  it("are built once each, and the one not used for longest goes first", async () => {
    const { counts, runtime } = await counting();
    const tracer = new StepTracer(model(), { optimizer: sgd(), averageDecay: 0 });
    const traced: number[] = [];
    const programs = new ShapedPrograms(
      (shape) => {
        traced.push(shape.x[1] ?? 0);
        return tracer.whole(shape);
      },
      runtime,
      2,
    );
    const at = (columns: number) => programs.at(shapeOf(4, columns));
    const first = await at(1);
    await at(2);
    expect(await at(1)).toBe(first);
    await at(3);
    expect(await at(1)).toBe(first);
    expect(traced).toEqual([1, 2, 3]);
    await at(2);
    expect(traced).toEqual([1, 2, 3, 2]);
    expect([programs.size, counts.alive, counts.mostAlive]).toEqual([2, 2, 2]);
    await programs.release();
    expect([programs.size, counts.alive]).toEqual([0, 0]);
  });

  it.each(["whole", "in parts"])("of steps that change their shape are bounded, %s", async (kind) => {
    const { counts, runtime } = await counting();
    const tracer = new StepTracer(model(), { optimizer: sgd({ momentum: 0 }), averageDecay: 0 });
    const batches = batchesOf((step) => 1 + (step % 11));
    const start = { step: 0, vectors: initialVectors(tracer, batches.random) };
    const pool = kind === "whole" ? undefined : await accumulatingPool(tracer, batches, 2, runtime);
    const trainer = await Trainer.create(tracer, batches, runtime, start, pool);
    let expected = 0;
    for (let step = 0; step < 44; step++) {
      const { losses } = await trainer.train(0.05);
      // All programs go on from the same parameter: its error shrinks by 1 − 2 · 0.05 a step.
      expect(losses.total).toBeCloseTo((1 - expected) ** 2, 5);
      expected += 0.1 * (1 - expected);
    }
    const { vectors } = await trainer.snapshot();
    expect(Number(vectors.get("parameters")?.data[0])).toBeCloseTo(expected, 5);
    // The update is none of them: it is made outside of the graph.
    expect(counts.mostAlive).toBe(MOST_PROGRAMS);
    expect(counts.made).toBeGreaterThan(4 * MOST_PROGRAMS);
    await trainer.release();
    await pool?.release();
    expect(counts.alive).toBe(0);
  });

  it("of a step that goes on from a checkpoint are those of its shape", async () => {
    const { counts, runtime } = await counting();
    const tracer = new StepTracer(model(), { optimizer: sgd(), averageDecay: 0 });
    const batches = batchesOf((step) => (step < 5 ? 3 : 2));
    const vectors = initialVectors(tracer, batches.random);
    const trainer = await Trainer.create(tracer, batches, runtime, { step: 7, vectors });
    await trainer.train(0.1);
    expect(counts.made).toBe(1);
    await trainer.release();
  });
});
