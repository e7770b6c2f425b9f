import { describe, expect, it, test } from "vitest";
import { buildModel, findModel } from "../../src/catalog.ts";
import { planePoints } from "../../src/data/sources/toy.ts";
import { OptionError } from "../../src/errors.ts";
import { Gan, ganDefinition, ganOptions } from "../../src/latent/index.ts";
import { energyDistance } from "../../src/metrics/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { graphOf, Program, Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { reachableNodes } from "../../src/tensor/graph.ts";
import { float32, input, int64, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { fitHere } from "../../src/train/fit.node.ts";
import { fitOptions, resolveFitOptions } from "../../src/train/options.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { StepTracer } from "../../src/train/step.ts";
import { numbers, temporaryFolder } from "../support.ts";

const points: DataInfo = { kind: "points", sampleShape: [2] };
const digits: DataInfo = { kind: "image", sampleShape: [1, 28, 28], classes: 10 };
const table: DataInfo = {
  kind: "table",
  sampleShape: [5],
  columns: [
    { name: "height", size: 1, mean: 0, deviation: 1 },
    { name: "colour", size: 3 },
    { name: "weight", size: 1, mean: 2, deviation: 3 },
  ],
};
const small = { width: 8, depth: 1, latentSize: 3, channels: 2 };

function made(options: Readonly<Record<string, unknown>>, data: DataInfo): Gan {
  return nameParameters(new Gan(ganOptions.parse({ ...small, ...options }), data));
}

async function opened(gan: Gan, seed = 0): Promise<Session> {
  return new Session(await nodeRuntime({ threads: 1 }), initialState(gan, seed));
}

describe("a step", () => {
  it.each([
    ["a turn each", points, {}],
    ["five turns of the critic with penalties", points, { objective: "wasserstein-gp" }],
    ["convolutions", { kind: "image", sampleShape: [1, 8, 8] } as DataInfo, { r1: 1 }],
  ] as const)("makes its samples once: %s", (_, data, options) => {
    const tracer = new StepTracer(made(options, data), { optimizer: sgd(), averageDecay: 0 });
    const outputs = tracer.whole({ x: [10, ...data.sampleShape], labeled: false });
    const { graph, randoms } = graphOf(outputs);
    const codes = randoms.filter(({ distribution }) => distribution === "normal");
    expect(codes).toMatchObject([{ name: "random.0", shape: [10, small.latentSize] }]);
    const [z] = [...graph.inputs].find(([, name]) => name === "random.0") ?? [];
    const readers = reachableNodes([...graph.outputs.values()]).filter((node) =>
      node.inputs.some((each) => each === z),
    );
    // The product of the first layer, and that of its weight's gradient.
    expect(readers.map(({ operation }) => operation.name)).toHaveLength(2);
  });

  it("refuses fewer samples than turns of the critic", () => {
    const tracer = new StepTracer(made({ criticSteps: 5 }, points), { optimizer: sgd(), averageDecay: 0 });
    expect(() => tracer.whole({ x: [4, 2], labeled: false })).toThrow(
      /option batchSize: 4 samples cannot be divided among 5 turns .* \(criticSteps\)/,
    );
  });

  it("lets running statistics follow the averaged weights", async () => {
    const gan = made({}, { kind: "image", sampleShape: [1, 8, 8] });
    const tracer = new StepTracer(gan, { optimizer: sgd(), averageDecay: 0.9 });
    const program = await Program.build(
      tracer.whole({ x: [6, 1, 8, 8], labeled: false }),
      await nodeRuntime({ threads: 1 }),
    );
    const state = initialState(gan, 1);
    const random = new Random(2);
    const drawn = (label: string, shape: readonly number[]): NdArray<"float32"> => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      random.split(label).fillNormal(data);
      return float32(data, shape);
    };
    const flat = float32(tracer.layout.pack(state), [tracer.layout.size]);
    const settled = drawn("settled", [6, 3]);
    const outputs = await program.run({
      ...Object.fromEntries(state),
      parameters: flat,
      average: flat,
      x: drawn("x", [6, 1, 8, 8]),
      "random.0": drawn("z", [6, 3]),
      "random.1": settled,
      learningRate: float32([0.5], []),
      step: float32([1], []),
    });
    await program.release();
    // The first normalization sees z Wᵀ, with four places to a channel.
    const averaged = tracer.layout.unpack(outputs.average?.data as Float32Array);
    const weight = numbers(averaged.get("generator.project.weight"));
    expect(weight).not.toEqual(numbers(state.get("generator.project.weight")));
    const means = Array.from({ length: 4 }, (_, channel) => {
      let sum = 0;
      for (let n = 0; n < 6; n++)
        for (let place = 0; place < 4; place++)
          for (let k = 0; k < 3; k++)
            sum += (settled.data[n * 3 + k] ?? 0) * (weight[(channel * 4 + place) * 3 + k] ?? 0);
      return (0.1 * sum) / 24;
    });
    const running = numbers(outputs["generator.norms.0.running_mean"]);
    means.forEach((mean, i) => {
      expect(running[i]).toBeCloseTo(mean, 6);
    });
  });
});

describe("networks", () => {
  it.each([
    [28, 28, [2, 4]],
    [32, 32, [2, 4, 8]],
    [12, 8, [2, 4]],
    [128, 64, [2, 4, 8, 16]],
  ])("for images of %i×%i", (height, width, channels) => {
    const gan = made({}, { kind: "image", sampleShape: [3, height, width] });
    const fake = gan.generate(input("z", [5, 3]));
    expect(fake.shape).toEqual([5, 3, height, width]);
    expect(gan.discriminator.forward(fake).shape).toEqual([5]);
    const down = (gan.discriminator as unknown as { readonly down: readonly { readonly weight: Tensor }[] })
      .down;
    expect(down.map(({ weight }) => weight.shape[0])).toEqual(channels);
  });

  it("are perceptrons for images too, where asked for", () => {
    const gan = made({ network: "mlp" }, { kind: "image", sampleShape: [1, 5, 6] });
    const fake = gan.generate(input("z", [4, 3]));
    expect(fake.shape).toEqual([4, 1, 5, 6]);
    expect(gan.discriminator.forward(fake).shape).toEqual([4]);
  });
});

describe("options that do not fit are refused", () => {
  test.each([
    [{}, { kind: "image", sampleShape: [1, 30, 28] }, /divide by 4, not 30×28; resize them, or choose mlp/],
    [{ network: "convolutional" }, points, /option network: convolutional networks are for images/],
    [
      { objective: "hinge", labelSmoothing: 0.1 },
      points,
      /option labelSmoothing: hinge has no probabilities/,
    ],
  ] as const)("%o for %o", (options, data, message) => {
    expect(() => made(options, data as DataInfo)).toThrow(OptionError);
    expect(() => made(options, data as DataInfo)).toThrow(message);
  });

  test("zeros and ones", () => {
    const data: DataInfo = { kind: "binary", sampleShape: [4] };
    expect(() => buildModel(findModel("gan"), {}, data)).toThrow(/takes points or image or table data/);
  });
});

describe("samples", () => {
  it("depend on seed and position alone", async () => {
    const gan = made({}, digits);
    const session = await opened(gan);
    const all = await gan.sample(session, { count: 7, seed: 1 });
    expect(all.shape).toEqual([7, 1, 28, 28]);
    expect(numbers(await gan.sample(session, { count: 3, seed: 1 }))).toEqual(numbers(all).slice(0, 3 * 784));
    expect(numbers(await gan.sample(session, { count: 7, seed: 2 }))).not.toEqual(numbers(all));
    expect(Math.min(...all.data)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...all.data)).toBeLessThanOrEqual(255);
  });

  it("are of the class that is asked for", async () => {
    const gan = made({}, digits);
    const session = await opened(gan);
    const [three, five] = [
      await gan.sample(session, { count: 2, seed: 1, label: 3 }),
      await gan.sample(session, { count: 2, seed: 1, label: 5 }),
    ];
    expect(numbers(three)).not.toEqual(numbers(five));
    await expect(gan.sample(session, { count: 1, seed: 1, label: 10 })).rejects.toThrow(
      /from 0 to 9, not 10/,
    );
    const plain = made({ conditional: false }, digits);
    const other = await opened(plain);
    await expect(plain.sample(other, { count: 1, seed: 1, label: 3 })).rejects.toThrow(/without classes/);
  });

  it("vary less under truncation", async () => {
    const gan = made({}, points);
    const session = await opened(gan);
    const spreadOf = async (truncation?: number): Promise<number> => {
      const { data } = await gan.sample(session, { count: 200, seed: 1, ...(truncation && { truncation }) });
      return Math.max(...data) - Math.min(...data);
    };
    const [all, half, little] = [await spreadOf(), await spreadOf(0.5), await spreadOf(0.01)];
    expect(half).toBeLessThan(0.7 * all);
    expect(little).toBeLessThan(0.03 * all);
    expect(await spreadOf(100)).toBe(all);
    await expect(gan.sample(session, { count: 1, seed: 1, truncation: -1 })).rejects.toThrow(OptionError);
  });

  it("of a table have categories as its data has: one place is largest, with noise on all", async () => {
    const gan = made({}, table);
    const drawn = await gan.sample(await opened(gan, 3), { count: 300, seed: 1 });
    const chosen = new Set<number>();
    for (let i = 0; i < 300; i++) {
      const code = [...drawn.data.slice(i * 5 + 1, i * 5 + 4)];
      const best = code.indexOf(Math.max(...code));
      chosen.add(best);
      code.forEach((value, k) => {
        expect(Math.abs(value - (k === best ? 1 : 0))).toBeLessThanOrEqual(0.5);
      });
      expect(new Set(code.map((value) => value % 1)).size).toBe(3);
    }
    expect(chosen.size).toBeGreaterThan(1);
  });

  it("of the exported graph are those that are drawn", async () => {
    for (const data of [points, digits]) {
      const gan = made({}, data);
      const session = await opened(gan);
      const count = 3;
      const codes = new Float32Array(count * 3);
      for (let i = 0; i < count; i++) {
        const source = new Random(4).split("sample").split(i).split("code");
        for (let k = 0; k < 3; k++) codes[i * 3 + k] = source.normal();
      }
      const { outputs, description } = gan.exported();
      expect(description).toContain("standard normal");
      const program = await Program.build(outputs, session.runtime, session.weights);
      const label = data.classes === undefined ? {} : { label: int64([7, 7, 7], [count]) };
      const { x } = await program.run({ z: float32(codes, [count, 3]), ...label });
      const drawn = await gan.sample(session, { count, seed: 4, ...(data.classes && { label: 7 }) });
      expect(numbers(x)).toEqual(numbers(drawn));
      await program.release();
    }
  });
});

describe("validation", () => {
  it("reports the energy distance between samples and the batch", async () => {
    const gan = made({}, points);
    const session = await opened(gan);
    const count = 400;
    const rows = new Float32Array(2 * count);
    new Random(1).fillNormal(rows);
    const x = float32(rows, [count, 2]);
    const losses = session.compiled(gan, "loss", ["x", "..."], ({ x: batch }) => gan.loss({ x: batch }));
    const drawn = new Float32Array(3 * count * 3);
    new Random(2).fillNormal(drawn);
    const z = float32(drawn, [3 * count, 3]);
    const result = await losses.run({ x, "random.0": z });
    const samples = session.compiled(gan, "made", ["z"], ({ z: codes }) => ({
      x: gan.generate(codes).mul(2),
    }));
    const { x: model } = await samples.run({ z });
    expect(Number(result.total?.data[0])).toBeCloseTo(energyDistance(model as typeof x, x), 4);
    expect(Object.keys(result).sort()).toEqual(["discriminator", "generator", "total"]);
  });

  it("is finite for a single sample", async () => {
    const gan = made({}, table);
    const session = await opened(gan);
    const losses = session.compiled(gan, "loss", ["x"], ({ x }) => gan.loss({ x }));
    const result = await losses.run({ x: float32([0.5, 1, 0, 0.2, -1], [1, 5]) }, { random: new Random(1) });
    for (const value of Object.values(result)) expect(Number.isFinite(Number(value.data[0]))).toBe(true);
  });

  it("chooses weights of points and tables, and leaves images their last", () => {
    expect([points, table, digits].map((data) => made({}, data).selection)).toEqual([
      "validation",
      "validation",
      "last",
    ]);
  });
});

test("all eight Gaussians are covered after a short fit with the default options at half the width", async () => {
  const data = planePoints("eight-gaussians", { count: 1024 });
  const model = nameParameters(new Gan(ganOptions.parse({ width: 64 }), points));
  const given = fitOptions.parse({
    steps: 500,
    batchSize: 128,
    threads: 1,
    samplePictures: 0,
    validateEvery: 500,
  });
  const options = resolveFitOptions(
    given,
    ganDefinition.preferences?.(points) ?? {},
    data.splits.train.count,
  );
  const folder = new RunFolder(await temporaryFolder());
  await folder.create();
  await fitHere({ model, data, options, folder, resume: false });
  const session = new Session(await nodeRuntime({ threads: 1 }), await folder.readWeights());
  const count = 4000;
  const { data: drawn } = await model.sample(session, { count, seed: 1 });
  const shares = Array.from({ length: 8 }, (_, k) => {
    const angle = (k * Math.PI) / 4;
    const [a, b] = [2 * Math.SQRT2 * Math.cos(angle), 2 * Math.SQRT2 * Math.sin(angle)];
    let near = 0;
    for (let i = 0; i < count; i++) {
      // Three deviations of a Gaussian.
      if (Math.hypot((drawn[2 * i] ?? 0) - a, (drawn[2 * i + 1] ?? 0) - b) < 0.9) near += 1;
    }
    return near / count;
  });
  expect(Math.min(...shares)).toBeGreaterThan(0.05);
});
