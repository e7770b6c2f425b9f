import { describe, expect, it } from "vitest";
import { openData } from "../../../src/data/index.node.ts";
import { energyDensity, energyNames, energyPoints } from "../../../src/data/sources/energies.ts";
import { OptionError } from "../../../src/errors.ts";
import { energyFunction, energyOf, FlowModel, gaussian, planar } from "../../../src/flows/index.ts";
import { nameParameters } from "../../../src/nn/module.ts";
import { adam } from "../../../src/nn/optimizer.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { substitute } from "../../../src/tensor/graph.ts";
import { constant, float32, grad, input, type Tensor } from "../../../src/tensor/index.ts";
import { trainingBatches } from "../../../src/train/batches.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { initialVectors, Trainer } from "../../../src/train/trainer.ts";
import { CELLS, cellProbabilities, EXTENT, WIDTH } from "../../data/sources/cells.ts";
import { numbers } from "../../support.ts";

/** The table of the paper, written down once more: plainly, and without the wall. */
const paper: Readonly<Record<string, (x: number, y: number) => number>> = {
  "energy-u1": (x, y) =>
    0.5 * ((Math.sqrt(x * x + y * y) - 2) / 0.4) ** 2 -
    Math.log(Math.exp(-0.5 * ((x - 2) / 0.6) ** 2) + Math.exp(-0.5 * ((x + 2) / 0.6) ** 2)),
  "energy-u2": (x, y) => 0.5 * ((y - Math.sin((2 * Math.PI * x) / 4)) / 0.4) ** 2,
  "energy-u3": (x, y) => {
    const w1 = Math.sin((2 * Math.PI * x) / 4);
    const w2 = 3 * Math.exp(-0.5 * ((x - 1) / 0.6) ** 2);
    return -Math.log(Math.exp(-0.5 * ((y - w1) / 0.35) ** 2) + Math.exp(-0.5 * ((y - w1 + w2) / 0.35) ** 2));
  },
  "energy-u4": (x, y) => {
    const w1 = Math.sin((2 * Math.PI * x) / 4);
    const w3 = 3 / (1 + Math.exp(-(x - 1) / 0.3));
    return -Math.log(Math.exp(-0.5 * ((y - w1) / 0.4) ** 2) + Math.exp(-0.5 * ((y - w1 + w3) / 0.35) ** 2));
  },
};

describe.each(energyNames)("%s", (name) => {
  const density = energyDensity(name);

  it("is the paper's for |x| ≤ 4", () => {
    for (const x of [-4, -2.3, -0.5, 0, 0.7, 1, 2.1, 3.9]) {
      for (const y of [-3, -1, 0, 0.4, 2]) {
        const expected = paper[name]?.(x, y) ?? Number.NaN;
        expect(Math.abs(density.energy([x, y]) - expected)).toBeLessThan(
          1e-9 * Math.max(1, Math.abs(expected)),
        );
      }
    }
  });

  it("integrates to one, and samples fall into cells as the density says", () => {
    const probabilities = cellProbabilities(density.logDensity);
    const total = probabilities.reduce((sum, p) => sum + p, 0);
    expect(total).toBeCloseTo(1, 5);
    const count = 20_000;
    const random = new Random(7);
    const observed = new Array<number>(CELLS * CELLS).fill(0);
    for (let i = 0; i < count; i++) {
      const [x, y] = density.sample(random);
      const cell = Math.floor((y + EXTENT) / WIDTH) * CELLS + Math.floor((x + EXTENT) / WIDTH);
      observed[cell] = (observed[cell] ?? 0) + 1;
    }
    // Pearson's chi-square, cells that expect fewer than 5 samples lumped together.
    let [statistic, freedom, restExpected, restObserved] = [0, -1, 0, 0];
    for (const [cell, p] of probabilities.entries()) {
      const expected = p * count;
      if (expected < 5) {
        restExpected += expected;
        restObserved += observed[cell] ?? 0;
        continue;
      }
      statistic += ((observed[cell] ?? 0) - expected) ** 2 / expected;
      freedom++;
    }
    statistic += (restObserved - restExpected) ** 2 / restExpected;
    freedom++;
    expect(freedom).toBeGreaterThan(20);
    expect(Math.abs(statistic - freedom)).toBeLessThan(4.5 * Math.sqrt(2 * freedom));
  });

  it("is the same in the graph, with finite gradients far away", async () => {
    const points: number[] = [0, 0, 4.3, -1, -4.5, 2, 1e3, 1e3, -1e3, 40, 30, -1e3];
    const random = new Random(2);
    for (let i = 0; i < 50; i++) points.push(8 * random.uniform() - 4, 8 * random.uniform() - 4);
    const x = input("x", [points.length / 2, 2]);
    const energy = energyFunction(name);
    const value = energy.of(x);
    const feeds = new Map([[x, float32(points, [points.length / 2, 2])]]);
    const [values, gradient] = await evaluate([value, ...grad(value.sum(), [x])], feeds);
    numbers(values).forEach((v, i) => {
      const expected = density.energy([Math.fround(points[2 * i] ?? 0), Math.fround(points[2 * i + 1] ?? 0)]);
      expect(Math.abs(v - expected)).toBeLessThan(2e-5 * Math.max(1, Math.abs(expected)));
    });
    for (const v of numbers(gradient)) expect(Number.isFinite(v)).toBe(true);
    expect(energy.logNormalizer).toBe(density.logNormalizer);
  });

  it("is data that names its energy", async () => {
    const data = await openData(name, { count: 50 });
    expect(data).toMatchObject({ name, kind: "points", sampleShape: [2], energy: name });
    expect(data.splits.train.count).toBe(50);
    expect(data.describe().join("\n")).toMatch(/log Z = /);
    const { x } = data.splits.train.batch([0]);
    expect(data.logDensity?.(x.data)).toBeGreaterThan(-20);
    expect(data.fingerprint).toBe(energyPoints(name, { count: 50 }).fingerprint);
  });
});

describe("reverse Kullback–Leibler divergence", () => {
  it("of the base from itself is 0, up to log Z and noise", async () => {
    // energy = ‖x‖² / 2, whose Z is 2π: log q(x) + energy is −log 2π at every x.
    const model = new FlowModel(
      { kind: "points", sampleShape: [2] },
      {
        base: gaussian,
        transforms: [],
        energy: { of: (x) => x.square().sum(1).mul(0.5), logNormalizer: Math.log(2 * Math.PI) },
      },
    );
    const program = compile(["x"], ({ x }) => model.loss({ x }), {
      runtime: await nodeRuntime(),
    });
    const losses = await program.run(
      { x: float32(new Float32Array(20), [10, 2]) },
      { random: new Random(3) },
    );
    expect(Number(losses.total?.data[0])).toBeCloseTo(-Math.log(2 * Math.PI), 5);
    expect(Number(losses.divergence?.data[0])).toBeCloseTo(0, 5);
    await program.release();
  });

  it("is refused where the data has no energy, and needs a known name", () => {
    expect(() => energyOf({ objective: "reverse-kl" }, { kind: "points", sampleShape: [2] })).toThrow(
      OptionError,
    );
    expect(energyOf({ objective: "maximum-likelihood" }, { kind: "points", sampleShape: [2] })).toEqual({});
    expect(() => energyFunction("energy-u5")).toThrow(/energy-u4/);
  });

  it("falls near 0 in a short training of a planar flow on U1, and agrees with an integral", async () => {
    const name = "energy-u1";
    const model = nameParameters(
      planar(
        { objective: "reverse-kl", layers: 16 },
        {
          kind: "points",
          sampleShape: [2],
          energy: name,
        },
      ),
    );
    const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
    const random = new Random(1);
    const split = energyPoints(name, { count: 256 }).splits.train;
    const trainer = await Trainer.create(
      tracer,
      trainingBatches({ split, batchSize: 256, random }),
      await nodeRuntime(),
      {
        step: 0,
        vectors: initialVectors(tracer, random),
      },
    );
    const divergences: number[] = [];
    for (let step = 0; step < 600; step++) {
      const { losses } = await trainer.train(0.01 * Math.min(1, (600 - step) / 400));
      divergences.push(losses.divergence ?? Number.NaN);
    }
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    expect(divergences[0]).toBeGreaterThan(3);
    const reached = mean(divergences.slice(-100));
    // With one of the two arcs alone it would be log 2 = 0.69.
    expect(reached).toBeLessThan(0.15);
    expect(reached).toBeGreaterThan(0);
    // The same divergence by an integral of q log(q / p) over the plane, from the density, that is by the inverse maps.
    const side = 160;
    const step = (2 * EXTENT) / side;
    const points = Array.from({ length: side * side }, (_, i) => [
      ((i % side) + 0.5) * step - EXTENT,
      (Math.floor(i / side) + 0.5) * step - EXTENT,
    ]);
    const state = await trainer.weights();
    const values = new Map<Tensor, Tensor>();
    for (const parameter of tracer.layout.parameters) {
      values.set(parameter, constant(state.get(parameter.name) ?? float32([Number.NaN], [1])));
    }
    const x = constant(float32(points.flat(), [side * side, 2]));
    const [logProb] = await evaluate(substitute([model.logProb(x)], values));
    const density = energyDensity(name);
    let [mass, integral] = [0, 0];
    numbers(logProb).forEach((value, i) => {
      const q = Math.exp(value) * step * step;
      mass += q;
      integral += q * (value - density.logDensity(points[i] ?? []));
    });
    expect(Math.abs(mass - 1)).toBeLessThan(0.005);
    expect(Math.abs(integral - reached)).toBeLessThan(0.05);
    await trainer.release();
  });
});
