import { describe, expect, it } from "vitest";
import type { DataSet, Split } from "../../../src/data/sources/data-set.ts";
import { planePoints } from "../../../src/data/sources/toy.ts";
import { withPairs, withSource } from "../../../src/data/sources/views.ts";
import { RectifiedFlow, rectifiedFlowOptions } from "../../../src/diffusion/index.ts";
import { DistilledFlow, distilledFlowOptions } from "../../../src/diffusion/models/distilled-flow.ts";
import { measureStraightness } from "../../../src/diffusion/models/rectified-flow.ts";
import {
  RectifiedTransport,
  rectifiedTransportOptions,
} from "../../../src/diffusion/models/rectified-transport.ts";
import { energyDistance } from "../../../src/metrics/index.ts";
import type { Trainable } from "../../../src/model/capabilities.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { adam } from "../../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import type { State } from "../../../src/program/program.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { float32, type NdArray } from "../../../src/tensor/index.ts";
import { trainingBatches } from "../../../src/train/batches.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { initialVectors, Trainer } from "../../../src/train/trainer.ts";
import { normals } from "../support.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const SMALL = { width: 64, depth: 3, fourierFeatures: 32 };

/** A model fitted to a split for some steps, in a session. */
async function fitted(
  model: Trainable,
  split: Split,
  { steps, from, rate = 3e-3 }: { readonly steps: number; readonly from?: State; readonly rate?: number },
): Promise<Session> {
  const runtime = await nodeRuntime({ threads: 1 });
  const tracer = new StepTracer(nameParameters(model), { optimizer: adam(), averageDecay: 0.99 });
  const source = trainingBatches({ split, batchSize: 256, random: new Random(3) });
  const vectors = initialVectors(tracer, source.random, from ?? initialState(model, 1));
  const trainer = await Trainer.create(tracer, source, runtime, { step: 0, vectors });
  for (let step = 0; step < steps; step++) await trainer.train(rate * (1 - step / steps) + 1e-5);
  const weights = await trainer.weights();
  await trainer.release();
  return new Session(runtime, weights);
}

/** How far samples are from those of a data set. */
function away(samples: NdArray<"float32">, data: DataSet): number {
  const count = samples.shape[0] ?? 0;
  const { x } = data.splits.test.batch(Array.from({ length: count }, (_, i) => i));
  return energyDistance(samples, x);
}

describe("straightness", () => {
  it("is 0 for straight paths at even speed, and what the integral says for others", async () => {
    const start = normals(1, [400, 2]);
    const straight = await measureStraightness(
      async (x) => x,
      float32(
        start.data.map(() => 0),
        [400, 2],
      ),
      10,
    );
    expect(straight).toEqual({ straightness: 0, transportCost: 0 });
    const constant = float32(
      start.data.map((_, i) => (i % 2 === 0 ? 3 : -4)),
      [400, 2],
    );
    const even = await measureStraightness(async () => constant, start, 7);
    expect(even.straightness).toBeLessThan(1e-9);
    expect(even.transportCost).toBeCloseTo(25, 4);
    // dx/dt = x from 1 to 0: x(t) = x₁ e^{t − 1}; S = E x₁² ∫ (1 − 1/e − e^{t−1})² dt.
    const grown = await measureStraightness(async (x) => x, start, 200);
    const square = start.data.reduce((sum, value) => sum + value * value, 0) / 400;
    const e = Math.exp(-1);
    expect(grown.transportCost / square).toBeCloseTo((1 - e) ** 2, 4);
    expect(grown.straightness / square).toBeCloseTo((1 - e * e) / 2 - (1 - e) ** 2, 4);
  });
});

describe("reflow and distillation", () => {
  it("straighten paths at no larger cost, and make one step do", async () => {
    const data = planePoints("two-moons", { count: 5000 });
    const flow = (): RectifiedFlow =>
      new RectifiedFlow(rectifiedFlowOptions.parse({ ...SMALL, timeSampling: "uniform" }), POINTS);
    const first = flow();
    const one = await fitted(first, data.splits.train, { steps: 1200 });
    const pairs = await first.drawPairs(one, { count: 6000, seed: 1, steps: 15 });
    const paired = withPairs(data, pairs);
    const second = flow();
    const two = await fitted(second, paired.pairs?.train ?? data.splits.train, {
      steps: 1200,
      from: one.weights,
    });

    const options = { count: 400, seed: 2 };
    const [before, after] = [await first.straightness(one, options), await second.straightness(two, options)];
    expect(after.straightness).toBeLessThan(before.straightness / 4);
    expect(after.transportCost).toBeLessThan(1.03 * before.transportCost);

    const draw = { count: 1000, seed: 5 } as const;
    const step = { ...draw, solver: "euler", steps: 1 } as const;
    const [curved, straight] = [
      away(await first.sample(one, step), data),
      away(await second.sample(two, step), data),
    ];
    expect(straight).toBeLessThan(curved / 4);

    const distilled = new DistilledFlow(distilledFlowOptions.parse(SMALL), POINTS);
    const again = withPairs(data, await second.drawPairs(two, { count: 6000, seed: 3, steps: 15 }));
    const map = await fitted(distilled, again.pairs?.train ?? data.splits.train, {
      steps: 600,
      from: two.weights,
    });
    const quality = away(await distilled.sample(map, draw), data);
    expect(quality).toBeLessThan(1.1 * straight + 0.01);
    for (const session of [one, two, map]) await session.release();
  });
});

describe("transport", () => {
  it("leads one data set to another and back", async () => {
    const data = withSource(
      planePoints("two-moons", { count: 5000 }),
      planePoints("rings", { count: 5000, seed: 4 }),
    );
    const model = new RectifiedTransport(
      rectifiedTransportOptions.parse({ ...SMALL, timeSampling: "uniform" }),
      POINTS,
    );
    const session = await fitted(model, data.splits.train, { steps: 1500 });
    const rings = data.source as DataSet;
    const { x } = rings.splits.test.batch(Array.from({ length: 1000 }, (_, i) => i));
    const moons = await model.sample(session, { count: 1000, seed: 0, source: x });
    expect(away(moons, data)).toBeLessThan(away(x, data) / 5);
    const ways = await model.translate(session, { x, states: 3 });
    expect(ways.shape).toEqual([1000, 3, 2]);
    const stateOf = (k: number): NdArray<"float32"> =>
      float32(
        Array.from({ length: 2000 }, (_, i) => ways.data[6 * Math.floor(i / 2) + 2 * k + (i % 2)] ?? 0),
        [1000, 2],
      );
    expect(Math.max(...stateOf(0).data.map((value, i) => Math.abs(value - (x.data[i] ?? 0))))).toBeLessThan(
      1e-5,
    );
    expect(away(stateOf(2), data)).toBeLessThan(away(x, data) / 5);
    const back = await model.translate(session, { x: stateOf(2), back: true });
    const errors = x.data.map((value, i) =>
      Math.abs(value - (back.data[4 * Math.floor(i / 2) + 2 + (i % 2)] ?? 0)),
    );
    expect(errors.toSorted()[1900]).toBeLessThan(0.1);
    expect(() => model.loss({ x: undefined as never })).toThrow(/source/);
    await session.release();
  });
});
