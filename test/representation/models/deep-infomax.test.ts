import { rm } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { images, type PlainSource, rows } from "../../../src/data/sources/memory.ts";
import { OptionError } from "../../../src/errors.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { sgd } from "../../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile, exportOnnx, graphOf } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { PART_ESTIMATORS } from "../../../src/representation/infomax/losses.ts";
import { deepInfoMaxOptions } from "../../../src/representation/infomax/options.ts";
import { SCORERS } from "../../../src/representation/infomax/scorers.ts";
import { DeepInfoMax } from "../../../src/representation/models/deep-infomax.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { reachableNodes } from "../../../src/tensor/graph.ts";
import { float32, grad, type NdArray, type Parameter } from "../../../src/tensor/index.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { RunFolder } from "../../../src/train/run-folder.node.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { largestDifference, numbers, present, temporaryFolder } from "../../support.ts";

const gray: DataInfo = { kind: "image", sampleShape: [1, 8, 8] };
const color: DataInfo = { kind: "image", sampleShape: [3, 12, 16] };
const points: DataInfo = { kind: "points", sampleShape: [2] };
const binary: DataInfo = { kind: "binary", sampleShape: [1, 8, 8] };
const table: DataInfo = {
  kind: "table",
  sampleShape: [5],
  columns: [
    { name: "height", size: 1, mean: 0, deviation: 1 },
    { name: "colour", size: 3 },
    { name: "weight", size: 1, mean: 2, deviation: 3 },
  ],
};
const small = { channels: 2, hidden: 6, codeSize: 3, scorerUnits: 4, priorUnits: 5 };

function made(data: DataInfo, options: Readonly<Record<string, unknown>> = {}): DeepInfoMax {
  return nameParameters(new DeepInfoMax(deepInfoMaxOptions.parse({ ...small, ...options }), data));
}

let runtime: Runtime;
let root: string;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

function samples({ kind, sampleShape }: DataInfo, count: number): NdArray<"float32"> {
  const random = new Random(7);
  const size = sampleShape.reduce((a, b) => a * b, 1);
  const draw = {
    image: () => Math.floor(256 * random.uniform()),
    binary: () => Math.floor(2 * random.uniform()),
    table: () => random.normal(),
    points: () => random.normal(),
  }[kind];
  return float32(Float32Array.from({ length: count * size }, draw), [count, ...sampleShape]);
}

/** Losses as validation reports them, for data of the kind. */
async function losses(model: DeepInfoMax, data: DataInfo, count: number) {
  const program = compile(["x"], ({ x }) => model.loss({ x }), { runtime, weights: initialState(model, 1) });
  const out = await program.run({ x: samples(data, count) }, { random: new Random(1) });
  await program.release();
  return Object.fromEntries(Object.entries(out).map(([name, value]) => [name, present(numbers(value)[0])]));
}

describe("losses", () => {
  it.each([
    ["gray images", gray, {}],
    ["color images", color, { objective: "global" }],
    ["zeros and ones", binary, { alpha: 0.5, beta: 2 }],
    ["rows", table, {}],
    ["points", points, { prior: "gaussian" }],
    ["two views of images", color, { views: "two" }],
    ["two views of rows", table, { views: "two", objective: "global" }],
  ] as const)("of %s are their weighted parts", async (_, data, options) => {
    const { total, local = 0, global = 0, ...rest } = await losses(made(data, options), data, 6);
    const { alpha, beta } = {
      alpha: "objective" in options ? 1 : 0,
      beta: "objective" in options ? 0 : 1,
      ...options,
    };
    expect(total).toBeCloseTo(alpha * global + beta * local, 5);
    expect(rest.ceilingNats).toBeCloseTo(Math.log(6), 5);
    expect(Math.max(rest.localNats ?? 0, rest.globalNats ?? 0)).toBeLessThanOrEqual(Math.log(6));
    expect(present(rest.discriminator)).toBeGreaterThan(0);
    expect(Object.values(rest).every(Number.isFinite)).toBe(true);
  });

  it.each(PART_ESTIMATORS.flatMap((estimator) => SCORERS.map((scorer) => [estimator, scorer] as const)))(
    "of %s with %s have the gradient of finite differences, also where one sample is left over",
    async (estimator, scorer) => {
      const model = made(gray, { estimator, scorer, alpha: 0.3, beta: 0.7, gamma: 0 });
      const weights = initialState(model, 2);
      const { code } = model.encoder as unknown as { code: { weight: Parameter } };
      const program = compile(
        ["x"],
        ({ x }) => {
          const { total } = model.loss({ x });
          return { total, slope: grad(total, [code.weight])[0] };
        },
        { runtime, weights },
      );
      const x = samples(gray, 4);
      const { slope } = await program.run({ x });
      await program.release();
      const at = async (index: number, by: number): Promise<number> => {
        const value = present(weights.get("encoder.code.weight"));
        const moved = new Map(weights).set(
          "encoder.code.weight",
          float32(
            Float32Array.from(numbers(value), (v, i) => (i === index ? v + by : v)),
            value.shape,
          ),
        );
        const moving = compile(["x"], (inputs) => ({ total: model.loss(inputs).total }), {
          runtime,
          weights: moved,
        });
        const { total } = await moving.run({ x });
        await moving.release();
        return present(numbers(total)[0]);
      };
      for (const index of [0, 9]) {
        const difference = ((await at(index, 0.05)) - (await at(index, -0.05))) / 0.1;
        expect(Math.abs(present(numbers(slope)[index]) - difference)).toBeLessThan(
          2e-3 + 0.02 * Math.abs(difference),
        );
      }
      const alone = await losses(model, gray, 1);
      expect(Object.values(alone).every(Number.isFinite)).toBe(true);
      expect(alone.localNats).toBeCloseTo(0, 5);
    },
  );
});

describe("a step", () => {
  it("draws the prior once, for the discriminator, and makes features once for both players", () => {
    const tracer = new StepTracer(made(gray), { optimizer: sgd(), averageDecay: 0 });
    const { graph, randoms } = graphOf(tracer.whole({ x: [6, 1, 8, 8], labeled: false }));
    expect(randoms).toMatchObject([{ distribution: "uniform", shape: [6, small.codeSize] }]);
    const [x] = [...graph.inputs].find(([, name]) => name === "x") ?? [];
    const readers = reachableNodes([...graph.outputs.values()]).filter((node) =>
      node.inputs.some((each) => each === x),
    );
    expect(readers).toHaveLength(1);
  });

  it("has no game without a prior, so that batches can be divided", () => {
    const model = made(gray, { gamma: 0 });
    expect(model.turns).toBeUndefined();
    const tracer = new StepTracer(model, { optimizer: sgd(), averageDecay: 0 });
    expect([...tracer.gradient({ x: [4, 1, 8, 8], labeled: false }).keys()]).toContain("loss.localNats");
  });

  it.each([{ gamma: 0 }, {}])("refuses a batch of one sample with %j", (options) => {
    const tracer = new StepTracer(made(gray, options), { optimizer: sgd(), averageDecay: 0 });
    expect(() => tracer.whole({ x: [1, 1, 8, 8], labeled: false })).toThrow(
      "option batchSize: a batch of one sample has no others that it is told from; take 2 or more",
    );
  });
});

it.each([
  [{ alpha: 0, beta: 0 }, /options alpha and beta: one of them must be above 0/],
  [{ negatives: 3 }, /option negatives: encode-and-dot-product compares each code with all/],
  [{ flip: 0.5 }, /option flip: is without effect with views one/],
  [{ views: "two", swap: 0.5 }, /option swap: is for tables/],
])("options %j are refused", (options, message) => {
  expect(() => made(gray, options)).toThrow(OptionError);
  expect(() => made(gray, options)).toThrow(message);
});

it("features are the layers, and the exported graph has the same code and local features", async () => {
  const model = made(color);
  const weights = initialState(model, 5);
  const x = samples(color, 3);
  const program = compile(["x"], ({ x }) => model.features(x), { runtime, weights });
  const features = await program.run({ x });
  await program.release();
  expect(Object.keys(features)).toEqual(["conv1", "local", "fc", "code"]);
  const session = await InferenceSession.create(exportOnnx(model.exported().outputs, weights));
  const { code, local } = await session.run({ x: new OrtTensor("float32", x.data, x.shape) });
  expect(largestDifference(Array.from(present(code).data, Number), numbers(features.code))).toBeLessThan(
    1e-5,
  );
  expect(largestDifference(Array.from(present(local).data, Number), numbers(features.local))).toBeLessThan(
    1e-5,
  );
});

/** Images of one of four bright quarters and some noise: a code can tell which. */
function quarters(count: number): Promise<PlainSource> {
  const random = new Random(3);
  const pixels = Uint8Array.from({ length: count * 64 }, (_, i) => {
    const [image, y, x] = [Math.floor(i / 64), Math.floor((i % 64) / 8), i % 8];
    const bright = 2 * Number(y > 3) + Number(x > 3) === image % 4;
    return (bright ? 180 : 30) + Math.floor(60 * random.uniform());
  });
  return gatherSource(images(pixels, { shape: [count, 1, 8, 8] }));
}

async function fitted(
  name: string,
  steps: number,
  data: PlainSource,
  options: Readonly<Record<string, unknown>> = {},
): Promise<RunFolder> {
  const { fit } = await prepareFit({
    kind: "new",
    request: {
      ...{
        model: "deep-infomax",
        data,
        ...small,
        channels: 8,
        hidden: 16,
        codeSize: 8,
        scorerUnits: 16,
        batchSize: 16,
        threads: 1,
        logEvery: 1,
        ...options,
      },
      ...{ schedule: "constant", learningRate: 0.01, warmupSteps: 0, steps, out: join(root, name) },
    },
  });
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  return fit.folder;
}

it("a fit finds more information, and one that is resumed is the whole one bit for bit", async () => {
  const data = await quarters(80);
  const whole = await fitted("whole", 40, data);
  const rows = await whole.readMetrics();
  const nats = rows.map((row) => Number(row.localNats));
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  expect(mean(nats.slice(-5))).toBeGreaterThan(mean(nats.slice(0, 5)) + 0.3);
  expect(Math.max(...nats)).toBeLessThan(Math.log(16));
  const half = await fitted("half", 20, data);
  const { fit } = await prepareFit({ kind: "resume", folder: half.path, overrides: { steps: 40 }, data });
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  expect(await half.readWeights("last")).toEqual(await whole.readWeights("last"));
});

it("a fit of rows is resumed bit for bit, with local features of groups of columns", async () => {
  const random = new Random(4);
  const data = await gatherSource(
    rows(Array.from({ length: 80 }, () => ({ a: random.normal(), b: random.normal(), c: random.normal() }))),
  );
  const whole = await fitted("rows", 12, data, { groups: 2 });
  const half = await fitted("half of rows", 6, data, { groups: 2 });
  const { fit } = await prepareFit({ kind: "resume", folder: half.path, overrides: { steps: 12 }, data });
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  const [found, wanted] = [await half.readWeights("last"), await whole.readWeights("last")];
  expect([...wanted.keys()].filter((name) => name.startsWith("encoder.groups"))).toHaveLength(4);
  for (const [name, value] of wanted)
    expect([name, numbers(found.get(name))]).toEqual([name, numbers(value)]);
});

it("rows with a constant column are fitted, and those that are not finite are refused", async () => {
  const random = new Random(4);
  const some = Array.from({ length: 40 }, () => ({ a: random.normal(), b: 3, c: random.normal() }));
  await expect(fitted("constant", 3, await gatherSource(rows(some)))).resolves.toBeDefined();
  const broken = some.map((row, i) => (i === 7 ? { ...row, c: Number.POSITIVE_INFINITY } : row));
  await expect(gatherSource(rows(broken)).then((data) => fitted("broken", 1, data))).rejects.toThrow(/c/);
});
