import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { OptionError } from "../../src/errors.ts";
import { Gan, ganOptions } from "../../src/latent/index.ts";
import type { Trainable } from "../../src/model/capabilities.ts";
import { BatchNorm2d, Conv2d, Linear } from "../../src/nn/index.ts";
import { nameParameters, parameterCount } from "../../src/nn/module.ts";
import { adam, adamW, type Optimizer, sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program, type State } from "../../src/program/program.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { reachableNodes } from "../../src/tensor/graph.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { constant, float32, Parameter, type Tensor } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { accumulatingPool } from "../../src/train/gradient-parts.ts";
import { fitMemory } from "../../src/train/memory.ts";
import { ratesOf } from "../../src/train/rates.ts";
import { type StepOptions, StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer, weightsOf } from "../../src/train/trainer.ts";
import { present, temporaryFolder } from "../support.ts";
import { Denoiser, fitDenoiser } from "./support.ts";

const numbers = z.array(z.number());
const tensors = z
  .record(z.string(), z.object({ shape: numbers, data: numbers }))
  .transform((record): State => {
    const entries = Object.entries(record);
    return new Map(entries.map(([name, { shape, data }]) => [name, float32(data, shape)]));
  });
const fixture = z
  .object({
    start: tensors,
    batches: z.array(numbers),
    cases: z.array(
      z.object({
        name: z.enum(["sgd", "adam", "adamW"]),
        options: z.record(z.string(), z.number()),
        learningRate: z.number(),
        clipNorm: z.number().optional(),
        losses: numbers,
        norms: numbers,
        after: tensors,
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL("../fixtures/train/groups.json", import.meta.url), "utf8")));

/** The network of the fixture. */
class Network implements Trainable {
  readonly stem = new Conv2d(2, 3, 3, { padding: 1, bias: false });
  readonly norm = new BatchNorm2d(3, { frozen: true });
  readonly conv = new Conv2d(3, 4, 3, { stride: 2, padding: 1, bias: false });
  readonly last = new BatchNorm2d(4);
  readonly head = new Linear(36, 2);
  readonly rateOf?: (name: string) => number;

  constructor(rateOf?: (name: string) => number) {
    if (rateOf !== undefined) this.rateOf = rateOf;
    nameParameters(this);
  }

  loss({ x }: { readonly x: Tensor }) {
    const h = this.norm.forward(this.stem.forward(x)).relu();
    const features = this.last.forward(this.conv.forward(h)).relu();
    return {
      total: this.head
        .forward(features.reshape([-1, 36]))
        .sub(1)
        .square()
        .mean(),
    };
  }
}

/** The parameter groups of the fixture. */
function grouped(name: string): number {
  if (name.startsWith("stem.")) return 0;
  return name.startsWith("norm.") || name.startsWith("conv.") ? 0.1 : 1;
}

const OPTIMIZERS: Readonly<Record<string, (options: object) => Optimizer>> = { sgd, adam, adamW };
const SHAPE = [6, 2, 6, 6] as const;

/** The batches of the fixture one after another. */
const batches: TrainingBatches = {
  count: 6 * fixture.batches.length,
  batchSize: 6,
  random: new Random(0),
  shape: (rows) => ({ x: [rows, ...SHAPE.slice(1)], intensities: false, labeled: false }),
  feeds: async (step, rows = { first: 0, count: 6 }) => {
    const data = present(fixture.batches[step]).slice(72 * rows.first, 72 * (rows.first + rows.count));
    return { x: float32(data, [rows.count, ...SHAPE.slice(1)]) };
  },
  names: () => [],
};

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

interface Trained {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly weights: State;
  readonly vectors: ReadonlyMap<string, { readonly data: ArrayLike<number | bigint> }>;
}

/** Trains a network on the batches of the fixture; `parts` computes gradients in so many parts. */
async function trained(
  network: Trainable,
  options: StepOptions & { readonly learningRate: number },
  { steps = fixture.batches.length, parts = 1 } = {},
): Promise<Trained> {
  const tracer = new StepTracer(network, options);
  const start = { step: 0, vectors: initialVectors(tracer, new Random(0), fixture.start), given: true };
  const pool = parts > 1 ? await accumulatingPool(tracer, batches, parts, runtime) : undefined;
  const trainer = await Trainer.create(tracer, batches, runtime, start, pool);
  const [losses, norms]: [number[], number[]] = [[], []];
  for (let step = 0; step < steps; step++) {
    const result = await trainer.train(options.learningRate);
    losses.push(present(result.losses.total));
    norms.push(result.gradientNorm);
  }
  const snapshot = await trainer.snapshot();
  await trainer.release();
  await pool?.release();
  return { losses, norms, weights: weightsOf(tracer, snapshot), vectors: snapshot.vectors };
}

function expectClose(
  got: ArrayLike<number | bigint>,
  wanted: ArrayLike<number | bigint>,
  within: number,
): void {
  expect(got.length).toBe(wanted.length);
  Array.from(got, Number).forEach((value, i) => {
    const expected = Number(wanted[i]);
    expect(Math.abs(value - expected)).toBeLessThan(within * Math.max(1, Math.abs(expected)));
  });
}

describe("parameters that train at their own rates", () => {
  it.each(fixture.cases.map((entry) => [entry.name, JSON.stringify(entry.options), entry] as const))(
    "follow PyTorch's parameter groups: %s %s",
    async (name, _options, entry) => {
      const { learningRate, clipNorm, losses, norms, after } = entry;
      const got = await trained(new Network(grouped), {
        optimizer: present(OPTIMIZERS[name])(entry.options),
        averageDecay: 0,
        learningRate,
        ...(clipNorm !== undefined && { clipNorm }),
      });
      expectClose(got.losses, losses, 1e-5);
      expectClose(got.norms, norms, 1e-5);
      expect([...got.weights.keys()].sort()).toEqual([...after.keys()].sort());
      for (const [parameter, { data }] of after) {
        expectClose(present(got.weights.get(parameter)).data, data, 2e-5);
      }
    },
  );

  it("need no gradient, slot or average where they are frozen, and keep their bits", async () => {
    const network = new Network(grouped);
    const options = { optimizer: adam(), averageDecay: 0.9, learningRate: 0.1 };
    const { weights, vectors } = await trained(network, options);
    const size = parameterCount(network) - 2 * 3 * 9;
    for (const name of ["parameters", "slot.gradientSum", "slot.squareSum", "average"]) {
      expect(vectors.get(name)?.data.length).toBe(size);
    }
    for (const name of ["stem.weight", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]) {
      expect(weights.get(name)?.data).toEqual(fixture.start.get(name)?.data);
    }
    for (const name of ["norm.weight", "conv.weight", "last.running_mean", "head.bias"]) {
      expect(weights.get(name)?.data).not.toEqual(fixture.start.get(name)?.data);
    }
  });

  it("take the same steps where gradients are computed in parts", async () => {
    // Without statistics of a batch, parts add up to the whole.
    class Plain extends Network {
      override readonly last = new BatchNorm2d(4, { frozen: true });
    }
    const options = { optimizer: adam(), averageDecay: 0.9, learningRate: 0.01, clipNorm: 1 };
    const whole = await trained(nameParameters(new Plain(grouped)), options);
    const parts = await trained(nameParameters(new Plain(grouped)), options, { parts: 3 });
    expectClose(parts.losses, whole.losses, 1e-5);
    for (const [name, { data }] of whole.weights) {
      expectClose(present(parts.weights.get(name)).data, data, 1e-4);
    }
    expect(parts.weights.get("stem.weight")).toEqual(whole.weights.get("stem.weight"));
  });

  it("begin from the first batch where a layer wants that, frozen or not", async () => {
    class Starting implements Trainable {
      readonly shift = new Parameter([2], () => undefined);
      readonly factor = new Parameter([2], (target) => target.fill(1));
      rateOf = (name: string) => (name === "shift" ? 0 : 1);

      loss({ x }: { readonly x: Tensor }) {
        const mean = x.reshape([-1, 2]).mean(0).stopGradient();
        this.shift.startFrom(mean);
        return { total: this.factor.mul(this.shift.sub(3)).square().sum() };
      }
    }
    const tracer = new StepTracer(nameParameters(new Starting()), { optimizer: sgd(), averageDecay: 0.9 });
    const start = { step: 0, vectors: initialVectors(tracer, new Random(0)) };
    const trainer = await Trainer.create(tracer, batches, runtime, start);
    const first = Float32Array.from(present(fixture.batches[0]));
    const mean = [0, 1].map((k) => first.filter((_, i) => i % 2 === k).reduce((a, b) => a + b) / 216);
    await trainer.train(0.01);
    const weights = await trainer.weights();
    await trainer.release();
    expectClose(present(weights.get("shift")).data, mean, 1e-6);
    expect(present(weights.get("factor")).data[0]).not.toBe(1);
  });
});

describe("the graph of a step", () => {
  const options = { optimizer: adamW(), averageDecay: 0.99, clipNorm: 1 };
  const graphOf = (network: Trainable) => new StepTracer(network, options).whole(batches.shape(6, 0));
  const bytesOf = async (network: Trainable): Promise<Uint8Array> => {
    const program = await Program.build(graphOf(network), runtime);
    await program.release();
    return program.model;
  };
  const counts = (network: Trainable) => {
    const names = reachableNodes([...graphOf(network).values()]).map(({ operation }) => operation.name);
    return ["conv2d", "conv2dInputGradient", "conv2dKernelGradient"].map(
      (name) => names.filter((other) => other === name).length,
    );
  };

  it("is the one without rates where all are 1", async () => {
    expect(await bytesOf(new Network(() => 1))).toEqual(await bytesOf(new Network()));
    expect(await bytesOf(new Network(() => 0.5))).not.toEqual(await bytesOf(new Network()));
  });

  it("goes back as far as something is trained", () => {
    expect(counts(new Network())).toEqual([2, 1, 2]);
    // The factor and shift behind the first convolution still want the gradient of the second one's input.
    expect(counts(new Network(grouped))).toEqual([2, 1, 1]);
    expect(counts(new Network((name) => (/^(stem|norm)\./.test(name) ? 0 : 1)))).toEqual([2, 0, 1]);
    expect(counts(new Network((name) => (name.startsWith("head.") ? 1 : 0)))).toEqual([2, 0, 0]);
  });

  it("holds no table of rates", async () => {
    class Wide extends Network {
      readonly wide = new Linear(100, 1000);

      override loss(batch: { readonly x: Tensor }) {
        return { total: super.loss(batch).total.add(this.wide.weight.square().sum()) };
      }
    }
    const half = await bytesOf(new Wide((name) => (name === "wide.weight" ? 0.5 : 1)));
    expect(half.length - (await bytesOf(new Wide())).length).toBeLessThan(20_000);
  });
});

describe("a game with frozen parameters", () => {
  const data = { kind: "points", sampleShape: [2] } as const;
  const gan = () => nameParameters(new Gan(ganOptions.parse({ width: 8, depth: 2 }), data));
  const points: TrainingBatches = {
    ...batches,
    shape: (rows) => ({ x: [rows, 2], intensities: false, labeled: false }),
    feeds: async () => ({ x: float32(present(fixture.batches[0]).slice(0, 12), [6, 2]) }),
  };

  it("leaves them as they are, and trains the others", async () => {
    const model = Object.assign(gan(), {
      rateOf: (name: string) => (name.startsWith("generator.") && name.includes(".0.") ? 0 : 0.5),
    });
    const frozen = [...ratesOf(model)].filter(([, rate]) => rate === 0).map(([{ name }]) => name);
    expect(frozen.length).toBeGreaterThan(0);
    const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0.9 });
    const vectors = initialVectors(tracer, new Random(3));
    const before = weightsOf(tracer, { step: 0, vectors });
    const trainer = await Trainer.create(tracer, points, runtime, { step: 0, vectors });
    for (let step = 0; step < 3; step++) await trainer.train(0.01);
    const after = await trainer.weights();
    await trainer.release();
    for (const [{ name }] of ratesOf(model)) {
      if (frozen.includes(name)) expect(after.get(name)).toEqual(before.get(name));
      else expect(after.get(name)).not.toEqual(before.get(name));
    }
  });

  it("refuses a player that has nothing to train", () => {
    const model = Object.assign(gan(), {
      rateOf: (name: string) => (name.startsWith("generator.") ? 0 : 1),
    });
    const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
    expect(() => tracer.whole(points.shape(6, 0))).toThrow(
      /all parameters of the player generator are frozen/,
    );
  });
});

describe("a fit with rates", () => {
  class Tuned extends Denoiser {
    readonly rateOf = (name: string): number =>
      ({ "hidden.weight": 0, "hidden.bias": 0.1, "out.weight": 0.5 })[name] ?? 1;
  }

  it("is resumed bit for bit", async () => {
    const model = () => ({ model: new Tuned() });
    const whole = await fitDenoiser(await temporaryFolder(), { steps: 20 }, model());
    const path = await temporaryFolder();
    let asked = 0;
    await fitDenoiser(path, { steps: 20 }, { ...model(), shouldStop: () => asked++ >= 9 });
    const { folder } = await fitDenoiser(path, { steps: 20 }, { ...model(), resume: true });
    const [resumed, straight] = [await folder.readCheckpoint(), await whole.folder.readCheckpoint()];
    expect(resumed?.vectors).toEqual(straight?.vectors);
    expect(resumed?.vectors.get("hidden.weight")?.data.length).toBe(32);
    for (const which of ["best", "last"] as const) {
      const weights = await folder.readWeights(which);
      expect(weights).toEqual(await whole.folder.readWeights(which));
      expect([...weights.keys()]).toEqual(["hidden.weight", "hidden.bias", "out.weight", "out.bias"]);
    }
  });

  it("needs memory for what it trains", () => {
    const options = {
      batchSize: 64,
      optimizer: "adam",
      momentum: 0.9,
      averageDecay: 0.99,
      replicas: 1,
    } as const;
    const [all, tuned] = [new Denoiser(), new Tuned()].map((model) => fitMemory(model, options, [2]));
    // Eight vectors fewer of the 32 frozen numbers.
    expect(present(all).bytes - present(tuned).bytes).toBe(4 * 8 * 32);
    expect(tuned?.what).toContain("82 parameters, 32 of them frozen, with adam");
  });
});

describe("rates that are none", () => {
  const options = { optimizer: sgd(), averageDecay: 0 };

  it.each([-0.5, Number.NaN, Number.POSITIVE_INFINITY])("%d is refused, with the parameter", (rate) => {
    const make = () => new StepTracer(new Network((name) => (name === "head.bias" ? rate : 1)), options);
    expect(make).toThrow(OptionError);
    expect(make).toThrow(/trains head\.bias at/);
  });

  it("a model that freezes all is refused", () => {
    expect(() => new StepTracer(new Network(() => 0), options)).toThrow(
      /all 8 parameters of the model are frozen/,
    );
  });
});

it("batch normalization that is frozen normalizes as without training, and counts no batches", async () => {
  const { norm } = new Network();
  const x = constant(
    float32(
      Float32Array.from({ length: 3 * 8 }, (_, i) => Math.sin(i)),
      [2, 3, 2, 2],
    ),
  );
  const { result, updates } = traceTraining(() => norm.forward(x));
  expect(updates.size).toBe(0);
  const program = await Program.build({ result, outside: norm.forward(x) }, runtime, fixture.start);
  const { result: training, outside: evaluation } = await program.run({});
  await program.release();
  expect(training).toEqual(evaluation);
  const { updates: followed } = traceTraining(() => new BatchNorm2d(3).forward(x));
  expect(followed.size).toBe(3);
});
