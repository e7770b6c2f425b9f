import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { gatherSource } from "../../../src/data/sources/gather.ts";
import { images, type PlainSource } from "../../../src/data/sources/memory.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { deepInfoMaxOptions } from "../../../src/representation/infomax/options.ts";
import { DeepInfoMax } from "../../../src/representation/models/deep-infomax.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { float32, grad, type NdArray } from "../../../src/tensor/index.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import type { RunFolder } from "../../../src/train/run-folder.node.ts";
import { numbers, present, temporaryFolder } from "../../support.ts";

// Deep InfoMax between two random views of an image (`--views two`).

const SIDE = 12;
const COLOR: DataInfo = { kind: "image", sampleShape: [3, SIDE, SIDE] };
const OPTIONS = { views: "two", channels: 4, hidden: 16, codeSize: 8, scorerUnits: 16, priorUnits: 8 };

let runtime: Runtime;
let root = "";
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Images of one of eight textures, stripes that differ in direction, width and contrast: a view of any part shows which. */
function stripes(count: number): Uint8Array {
  const random = new Random(3);
  const shadeOf = (i: number): number => {
    const [image, y, x] = [Math.floor(i / (3 * SIDE * SIDE)), Math.floor(i / SIDE) % SIDE, i % SIDE];
    const [across, width, dark] = [
      image % 2,
      1 + (Math.floor(image / 2) % 2),
      1 + (Math.floor(image / 4) % 2),
    ];
    return Math.floor((across === 1 ? x : y) / width) % 2 === 0 ? 120 + 50 * dark : 120 - 50 * dark;
  };
  return Uint8Array.from({ length: count * 3 * SIDE * SIDE }, (_, i) => shadeOf(i) + random.integer(20));
}

it("has the gradient of finite differences in every player, and a finite one in every parameter", async () => {
  const model = nameParameters(
    new DeepInfoMax(deepInfoMaxOptions.parse({ ...OPTIONS, gamma: 0, blur: 1 }), COLOR),
  );
  const weights = initialState(model, 2);
  const x = float32(Float32Array.from(stripes(5)), [5, 3, SIDE, SIDE]);
  const parameters = parametersOf(model);
  const program = compile(
    ["x"],
    ({ x }) => {
      const { total } = model.loss({ x });
      const slopes = grad(total, parameters);
      return Object.fromEntries(parameters.map(({ name }, i) => [name, present(slopes[i])]));
    },
    { runtime, weights },
  );
  const slopes = await program.run({ x }, { random: new Random(4) });
  await program.release();
  for (const [name, slope] of Object.entries(slopes)) {
    expect([name, numbers(slope).every(Number.isFinite)]).toEqual([name, true]);
  }
  // The same views each time.
  const lossWith = (values: ReadonlyMap<string, NdArray>) => {
    const loss = compile(["x"], (inputs) => ({ total: model.loss(inputs).total }), {
      runtime,
      weights: values,
    });
    return loss
      .run({ x }, { random: new Random(4) })
      .then(({ total }) => present(numbers(total)[0]))
      .finally(() => loss.release());
  };
  for (const [name, index] of [
    ["encoder.code.weight", 3],
    ["localScorer.code.output.weight", 5],
  ] as const) {
    const value = present(weights.get(name));
    const at = (by: number) =>
      lossWith(
        new Map(weights).set(
          name,
          float32(
            Float32Array.from(numbers(value), (v, i) => (i === index ? v + by : v)),
            value.shape,
          ),
        ),
      );
    const difference = ((await at(0.02)) - (await at(-0.02))) / 0.04;
    expect(Math.abs(present(numbers(slopes[name])[index]) - difference)).toBeLessThan(
      2e-3 + 0.03 * Math.abs(difference),
    );
  }
});

async function fitted(name: string, steps: number, data: PlainSource): Promise<RunFolder> {
  const { fit, notes } = await prepareFit({
    kind: "new",
    request: {
      ...{ model: "deep-infomax", data, ...OPTIONS, batchSize: 16, threads: 1, logEvery: 1 },
      ...{ schedule: "constant", learningRate: 0.01, warmupSteps: 0, steps, out: join(root, name) },
    },
  });
  expect(notes.join("\n")).toMatch(/views/);
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  return fit.folder;
}

it("learns what the views of an image share, and resumes bit for bit", async () => {
  const data = await gatherSource(images(stripes(80), { shape: [80, 3, SIDE, SIDE] }));
  const whole = await fitted("whole", 40, data);
  const rows = await whole.readMetrics();
  const mean = (column: string, from: number, to?: number): number => {
    const values = rows.map((row) => Number(row[column])).slice(from, to);
    return values.reduce((a, b) => a + b, 0) / values.length;
  };
  expect(mean("local", -5)).toBeLessThan(mean("local", 0, 5) - 0.3);
  expect(mean("localNats", -5)).toBeGreaterThan(mean("localNats", 0, 5) + 0.3);
  expect(rows.every((row) => Number.isFinite(row.loss) && Number(row.localNats) < Math.log(16))).toBe(true);

  const half = await fitted("half", 20, data);
  const { fit } = await prepareFit({ kind: "resume", folder: half.path, overrides: { steps: 40 }, data });
  const { finish: _f, draw: _d, ...rest } = fit;
  await fitHere(rest);
  expect(await half.readWeights("last")).toEqual(await whole.readWeights("last"));
});
