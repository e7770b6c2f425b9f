import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildModel, findModel } from "../../../src/catalog.ts";
import { openData } from "../../../src/data/open.node.ts";
import { fit, images, openRun, resumeFit } from "../../../src/index.ts";
import type { Model } from "../../../src/model/capabilities.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState } from "../../../src/nn/module.ts";
import { sgd } from "../../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { reconstructed, reconstructionErrors } from "../../../src/representation/models/reconstruction.ts";
import { turnLoss } from "../../../src/representation/models/rotation.ts";
import { simClrDefinition } from "../../../src/representation/models/simclr.ts";
import { float32, type NdArray } from "../../../src/tensor/index.ts";
import { StepTracer } from "../../../src/train/step.ts";
import { train } from "../../../src/train/train.ts";
import { numbers, present, temporaryFolder } from "../../support.ts";

const COLOR: DataInfo = { kind: "image", sampleShape: [3, 16, 16] };
const GRAY: DataInfo = { kind: "image", sampleShape: [1, 16, 12] };
const BINARY: DataInfo = { kind: "binary", sampleShape: [1, 16, 16] };
const BITS: DataInfo = { kind: "binary", sampleShape: [6] };
const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const TABLE: DataInfo = {
  kind: "table",
  sampleShape: [5],
  columns: [
    { name: "height", size: 1, mean: 0, deviation: 1 },
    { name: "color", size: 3 },
    { name: "weight", size: 1, mean: 2, deviation: 3 },
  ],
};
const SMALL = { channels: 4, hidden: 16, codeSize: 8 };
const SMALL_HEAD = { projectorWidth: 16, projectorSize: 8 };

let runtime: Runtime;
let root = "";
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true, force: true }));

function samples(n: number, { kind, sampleShape }: DataInfo): NdArray<"float32"> {
  const random = new Random(4);
  const size = n * sampleShape.reduce((a, b) => a * b, 1);
  const draw = (): number => {
    if (kind === "image") return Math.floor(256 * random.uniform());
    return kind === "binary" ? Number(random.uniform() < 0.4) : random.normal();
  };
  return float32(Float32Array.from({ length: size }, draw), [n, ...sampleShape]);
}

function built(name: string, data: DataInfo, options: object = {}): Model {
  const head = ["simclr", "vicreg", "barlow-twins"].includes(name) ? SMALL_HEAD : {};
  return buildModel(findModel(name), { ...SMALL, ...head, ...options }, data);
}

/** The losses of a model with its first weights, outside of training. */
async function lossesOf(model: Model, x: NdArray<"float32">, seed = 1): Promise<Record<string, number>> {
  const program = compile(["x"], ({ x }) => model.loss({ x }), { runtime, weights: initialState(model, 0) });
  const results = await program.run({ x }, { random: new Random(seed) });
  await program.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, value]) => [name, numbers(value)[0] ?? Number.NaN]),
  );
}

const TWO_VIEWS = ["simclr", "vicreg", "barlow-twins"] as const;
const CASES: readonly (readonly [string, DataInfo, object, readonly string[]])[] = [
  ...[COLOR, GRAY, BINARY, BITS, POINTS, TABLE].map(
    (data) => ["simclr", data, {}, ["total", "spread"]] as const,
  ),
  ["vicreg", COLOR, {}, ["total", "invariance", "variance", "covariance", "spread"]],
  ["vicreg", TABLE, { noise: 0.1 }, ["total", "invariance", "variance", "covariance", "spread"]],
  ["barlow-twins", GRAY, { blur: 1, cutout: 0.3 }, ["total", "invariance", "redundancy", "spread"]],
  ...[COLOR, GRAY, BINARY, BITS, POINTS, TABLE].flatMap((data) =>
    (["none", "noise", "mask"] as const).map(
      (corrupt) =>
        [
          "autoencoder",
          data,
          { corrupt },
          corrupt === "mask" && data.sampleShape.length === 3
            ? ["total", "seen", "spread"]
            : ["total", "spread"],
        ] as const,
    ),
  ),
  ["rotation", COLOR, {}, ["total", "accuracy", "spread"]],
  ["rotation", BINARY, {}, ["total", "accuracy", "spread"]],
];

describe("every model on every kind of data", () => {
  test.each(CASES)(
    "%s on %o with %o: losses by name, features, a graph to export",
    async (name, data, options, parts) => {
      const model = built(name, data, options);
      const x = samples(5, data);
      const losses = await lossesOf(model, x);
      expect(Object.keys(losses)).toEqual(parts);
      expect(Object.values(losses).every(Number.isFinite)).toBe(true);
      // Noise is by the seed.
      expect(await lossesOf(model, x)).toEqual(losses);

      const weights = initialState(model, 0);
      const features = compile(["x"], ({ x }) => ({ code: present(model.features?.(x)).code }), {
        runtime,
        weights,
      });
      const { code } = await features.run({ x });
      expect(code.shape).toEqual([5, SMALL.codeSize]);
      await features.release();
      const { outputs, description } = present(model.exported?.());
      expect(Object.keys(outputs)).toContain("code");
      expect(description).toContain("code");
    },
  );
});

test.each(TWO_VIEWS)(
  "%s refuses to train on a batch of one, and is finite on one held-out sample",
  async (name) => {
    const model = built(name, POINTS);
    const tracer = new StepTracer(model, { optimizer: sgd(), averageDecay: 0 });
    expect(() => tracer.whole({ x: [1, 2], labeled: false })).toThrow(
      /option batchSize: a sample is compared with others of its batch; take at least 2/,
    );
    expect(Object.values(await lossesOf(model, samples(1, POINTS))).every(Number.isFinite)).toBe(true);
  },
);

describe("errors are one clear line", () => {
  test.each([
    [
      "simclr",
      GRAY,
      { hue: 0.1 },
      "option hue: is for color images, and these have one channel; leave it out",
    ],
    [
      "vicreg",
      TABLE,
      { brightness: 0.1 },
      "option brightness: is for images, and these samples are rows of a table",
    ],
    ["barlow-twins", COLOR, { swap: 0.1 }, "option swap: is for tables, and these samples are images"],
    [
      "rotation",
      GRAY,
      {},
      "rotation takes square images, whose quarter turns have the same shape; these are 12×16",
    ],
    ["rotation", BITS, {}, "rotation turns images, and these samples are rows of numbers"],
    ["rotation", TABLE, {}, "rotation takes image or binary data, not table data"],
    ["autoencoder", COLOR, { noise: 0.1 }, "option noise: is for --corrupt noise, not none"],
    ["autoencoder", COLOR, { corrupt: "noise", patch: 4 }, "option patch: is for --corrupt mask, not noise"],
    [
      "autoencoder",
      GRAY,
      { corrupt: "mask", patch: 13 },
      "option patch: 13 pixels are more than a side of an image of 12×16",
    ],
    ["autoencoder", TABLE, { corrupt: "mask", patch: 2 }, "option patch: is for images"],
    ["autoencoder", TABLE, { corrupt: "mask", mask: 0.1 }, "option mask: 0 of 3 columns would be masked"],
    ["autoencoder", COLOR, { corrupt: "mask", mask: 1 }, "option mask: 16 of 16 patches would be masked"],
  ] as const)("%s on %o with %o", (name, data, options, message) => {
    expect(() => built(name, data, options)).toThrow(message);
  });
});

test("fits begin with a line on the views", () => {
  const notes = (data: DataInfo) => simClrDefinition.notes?.(simClrDefinition.options.parse({}), data);
  expect(notes(GRAY)?.[0]).toContain("never mirrored (--flip 0.5 mirrors half of them)");
  expect(notes(COLOR)?.[0]).toContain("50 % mirrored");
});

describe("autoencoders", () => {
  test("errors and reconstructions of each kind, by hand", async () => {
    const of = async (data: DataInfo, x: readonly number[], outputs: readonly number[]) => {
      const program = compile(
        ["x", "y"],
        ({ x, y }) => ({ errors: reconstructionErrors(x, y, data), back: reconstructed(y, data) }),
        { runtime, weights: new Map() },
      );
      const result = await program.run({
        x: float32([...x], [1, ...data.sampleShape]),
        y: float32([...outputs], [1, outputs.length]),
      });
      await program.release();
      return { errors: numbers(result.errors), back: numbers(result.back) };
    };
    const close = (a: readonly number[], b: readonly number[]) => {
      expect(a).toHaveLength(b.length);
      a.forEach((value, i) => {
        expect(value).toBeCloseTo(b[i] ?? Number.NaN, 4);
      });
    };
    const image = await of({ kind: "image", sampleShape: [1, 1, 3] }, [0, 255, 51], [0.5, 1, 1.4]);
    close(image.errors, [0.25, 0, 1.44]);
    close(image.back, [127.5, 255, 255]);
    const bits = await of({ kind: "binary", sampleShape: [2] }, [1, 0], [2, 2]);
    close(bits.errors, [Math.log1p(Math.exp(-2)), Math.log1p(Math.exp(2))]);
    close(bits.back, [1 / (1 + Math.exp(-2)), 1 / (1 + Math.exp(-2))]);
    const row = await of(TABLE, [1, 0.1, 0.7, -0.2, 2], [1.5, 0, 1, 0, 2]);
    const sum = 2 + Math.E;
    close(row.errors, [0.25, Math.log(sum) - 1, 0]);
    close(row.back, [1.5, 1 / sum, Math.E / sum, 1 / sum, 2]);
  });

  test("the codes of samples decode to samples in data units", async () => {
    for (const data of [COLOR, GRAY, TABLE]) {
      const model = built("autoencoder", data);
      const program = compile(
        ["x"],
        ({ x }) => ({ y: present(model.decode?.(present(model.encode?.(x)))) }),
        { runtime, weights: initialState(model, 0) },
      );
      const { y } = await program.run({ x: samples(3, data) });
      expect(y.shape).toEqual([3, ...data.sampleShape]);
      await program.release();
    }
  });
});

test("rotation: the loss and accuracy of turns, by hand", async () => {
  const program = compile(["logits"], ({ logits }) => turnLoss(logits), { runtime, weights: new Map() });
  // Two images, each by none, one, two and three turns; the last turn of the second is taken for none.
  const logits = Array.from({ length: 8 }, (_, i) =>
    Array.from({ length: 4 }, (_, k) => (k === (i === 7 ? 0 : Math.floor(i / 2)) ? 3 : 0)),
  ).flat();
  const { total, accuracy } = await program.run({ logits: float32(logits, [8, 4]) });
  const all = Math.log(Math.exp(3) + 3);
  expect(numbers(total)[0]).toBeCloseTo((7 * (all - 3) + all) / 8, 5);
  expect(numbers(accuracy)[0]).toBeCloseTo(7 / 8, 5);
  await program.release();
});

describe("short fits on digits", () => {
  test.each([
    ["simclr", 0.97],
    ["vicreg", 0.97],
    ["barlow-twins", 0.9],
    ["autoencoder", 0.9],
    ["rotation", 0.95],
  ] as const)("%s: the loss falls below %f of the first, and codes stay spread", async (name, share) => {
    const data = await openData("digits", {});
    const model = built(name, { kind: "image", sampleShape: [1, 28, 28] });
    const totals: number[] = [];
    let spread = Number.NaN;
    const training = train(model, { data, runtime, batchSize: 32, learningRate: 2e-3, steps: 25 });
    for await (const { losses } of training) {
      totals.push(losses.total);
      spread = present(losses.spread);
    }
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(totals.slice(-5))).toBeLessThan(share * mean(totals.slice(0, 3)));
    expect(spread).toBeGreaterThan(0.2);
  });
});

test("a fit goes on bit for bit, and its run is opened", async () => {
  const pixels = samples(40, COLOR);
  const data = images(Uint8Array.from(pixels.data), { shape: [40, 3, 16, 16] });
  const [whole, parts] = [join(root, "whole"), join(root, "parts")];
  const options = {
    model: simClrDefinition,
    data,
    ...SMALL,
    ...SMALL_HEAD,
    batchSize: 8,
    schedule: "constant",
    samplePictures: 0,
    threads: 1,
    seed: 5,
  } as const;
  await fit({ ...options, steps: 4, out: whole });
  await fit({ ...options, steps: 2, out: parts });
  await resumeFit(parts, { steps: 4, data, definition: simClrDefinition });
  const weights = (folder: string) => readFile(join(folder, "weights", "last.safetensors"));
  expect(await weights(parts)).toEqual(await weights(whole));
  const run = await openRun(whole, { definition: simClrDefinition });
  expect(run.config.modelOptions).toMatchObject({ temperature: 0.5, codeSize: 8 });
  await run.release();
});
