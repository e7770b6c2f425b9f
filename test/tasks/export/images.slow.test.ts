import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ExportedAbility, exportedModelSchema } from "../../../src/model/exported.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import type { SentRequest } from "../../../src/tasks/fit/request.ts";
import { readSplit } from "../../../src/tasks/run/inputs.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { embedding } from "../../../src/tasks/use/embed.node.ts";
import { scoreSplit } from "../../../src/tasks/use/score.node.ts";
import type { NdArray } from "../../../src/tensor/array.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";

// Models of images outside of eidos: bytes in, bytes out.

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true }));

async function exported(model: string, options: object) {
  const out = join(folder, `${model}${Object.keys(options).length}`);
  const request = {
    model,
    data: "digits",
    ...options,
    steps: 2,
    batchSize: 8,
    threads: 1,
    out,
  } as SentRequest;
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  const run = await loadRun(out, { threads: 1 });
  const path = join(out, "out");
  await exportRun(out, path);
  const record = exportedModelSchema.parse(JSON.parse(await readFile(join(path, "model.json"), "utf8")));
  const session = ({ file }: ExportedAbility) => ort.InferenceSession.create(join(path, file));
  return { run, record, session };
}

/** Images as bytes [rows, height, width, channels]. @param scale of what the model sees */
function bytesOf({ data, shape }: NdArray<"float32">, scale = 1): ort.Tensor {
  const [count = 0, channels = 0, height = 0, width = 0] = shape;
  const bytes = Uint8Array.from({ length: data.length }, (_, i) => {
    const pixel = Math.floor(i / channels);
    const [image, place] = [Math.floor(pixel / (height * width)), pixel % (height * width)];
    return scale * (data[(image * channels + (i % channels)) * height * width + place] ?? 0);
  });
  return new ort.Tensor("uint8", bytes, [count, height, width, channels]);
}

/** The first samples of the test split, and their scores by eidos. */
async function scored(run: LoadedRun, rows: number) {
  const split = (await run.data()).splits.test;
  const [batch] = readSplit(split, rows);
  for await (const { logLikelihood } of scoreSplit(run, split, 0, rows)) {
    return { x: present(batch).x, expected: logLikelihood };
  }
  throw new Error("no batch");
}

const noRow = new ort.Tensor("int64", new BigInt64Array(), [0]);

describe("images", () => {
  test.each([
    ["bytes, with dequantization noise", "nice", { width: 16, hiddenLayers: 1 }, 1],
    [
      "bytes, with noise of a flow that is learnt",
      "flow-plus-plus",
      { couplings: 2, width: 8, components: 2, dequantization: "variational" },
      1,
    ],
    ["zeros and ones", "made", { width: 16, binarize: "threshold" }, 255],
    [
      "bytes, of a solver and an estimate of the trace",
      "rectified-flow",
      { channels: 8, multipliers: [1] },
      1,
    ],
    ["bytes, of a bound of many terms", "ddpm", { channels: 8, multipliers: [1], noiseSteps: 60 }, 1],
  ])("have the nats of eidos score: %s", async (_, model, options, scale) => {
    const { run, record, session } = await exported(model, options);
    const ability = present(record.abilities.score);
    const { x, expected } = await scored(run, 20);
    const plain = await session(ability);
    const optional = ability.inputs.filter((port) => port.optional).map(({ name }) => [name, noRow] as const);
    const found = await plain.run({ image: bytesOf(x, scale), ...Object.fromEntries(optional) });
    const own = Array.from(found.logLikelihood?.data as Float64Array);
    const size = Math.max(...expected.map(Math.abs));
    expect(largestDifference(own, expected)).toBeLessThan(1e-3 * Math.max(1, size / 1000));
    await plain.release();
    await run.session.release();
  });

  test("have the features of eidos embed", async () => {
    const { run, record, session } = await exported("autoencoder", {});
    const [batch] = readSplit((await run.data()).splits.test, 5);
    const { x } = present(batch);
    const plain = await session(present(record.abilities.embed));
    const { features } = await plain.run({ image: bytesOf(x) });
    const own = await embedding(run)(x);
    expect(features?.dims).toEqual(own.shape);
    expect(largestDifference(features?.data as Float32Array, own.data)).toBeLessThan(1e-4);
    await plain.release();
    await run.session.release();
  });

  test("are drawn by a sampler of steps, as bytes, with the steps that were asked for", async () => {
    const { run } = await exported("rectified-flow", { channels: 8, multipliers: [1], seed: 1 });
    const path = join(run.folder.path, "few");
    await exportRun(run.folder.path, path, { sampler: { steps: 2 } });
    const record = exportedModelSchema.parse(JSON.parse(await readFile(join(path, "model.json"), "utf8")));
    const ability = present(record.abilities.sample);
    const plain = await ort.InferenceSession.create(join(path, ability.file));
    const feeds = ability.inputs.map(({ name, type, shape, optional }) => {
      const dims = optional ? [0] : shape.map((size) => (size === "rows" ? 3 : Number(size)));
      const count = dims.reduce((product, size) => product * size, 1);
      const tensor =
        type === "int64"
          ? new ort.Tensor("int64", new BigInt64Array(count).fill(7n), dims)
          : new ort.Tensor("float32", new Float32Array(count).fill(0.5), dims);
      return [name, tensor] as const;
    });
    const { image } = await plain.run(Object.fromEntries(feeds));
    expect(image?.type).toBe("uint8");
    expect(image?.dims).toEqual([3, 28, 28, 1]);
    await plain.release();
    await run.session.release();
  });
});
