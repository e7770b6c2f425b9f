import { readFile } from "node:fs/promises";
import onnxProto from "onnx-proto";
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/program/node.ts";
import { compile, exportOnnx, Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { elementCount, float32, type NdArray } from "../../src/tensor/array.ts";
import { input, normal, Parameter } from "../../src/tensor/index.ts";
import { EXPORT_CASES, type ExportCase, samplesFor, traceCase } from "./models.ts";

const CASES = Object.entries(EXPORT_CASES);

/** Runs a model in a plain session of ONNX Runtime, without eidos. */
async function runPlain(
  model: Uint8Array,
  feeds: Readonly<Record<string, NdArray<"float32">>>,
): Promise<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>> {
  const session = await ort.InferenceSession.create(model);
  const tensors = Object.entries(feeds).map(
    ([name, { data, shape }]) => [name, new ort.Tensor("float32", data, shape)] as const,
  );
  const results = await session.run(Object.fromEntries(tensors));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { dims, data }]) => [
      name,
      { dims, data: Array.from(data as Float32Array) },
    ]),
  );
}

/** Noise for the random inputs of an exported model. */
function noiseFor(model: Uint8Array, batch: number): Record<string, NdArray<"float32">> {
  const { graph } = onnxProto.onnx.ModelProto.decode(model);
  const noise: Record<string, NdArray<"float32">> = {};
  for (const { name, type } of graph?.input ?? []) {
    if (!name?.startsWith("random.")) continue;
    const shape = (type?.tensorType?.shape?.dim ?? []).map(({ dimParam, dimValue }) =>
      dimParam === "batch" ? batch : Number(dimValue),
    );
    const data = new Float32Array(elementCount(shape));
    new Random(3).split(name).fillNormal(data);
    noise[name] = float32(data, shape);
  }
  return noise;
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(Number(actual[i]) - Number(expected[i]));
    expect(error, `element ${i}`).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(Number(expected[i]))));
  }
}

const exported = (example: ExportCase): Uint8Array =>
  exportOnnx(traceCase(example, "batch"), example.weights, { model: "example" });

describe("exportOnnx", () => {
  it.each(CASES)(
    "gives the numbers of eidos in a plain session for any batch size: %s",
    async (_, example) => {
      const model = exported(example);
      const runtime = await nodeRuntime();
      for (const batch of [1, 2, 5]) {
        const feeds = { ...samplesFor(example, batch), ...noiseFor(model, batch) };
        const program = await Program.build(traceCase(example, batch), runtime, example.weights);
        const inside = await program.run(feeds);
        await program.release();
        const outside = await runPlain(model, feeds);
        expect(Object.keys(outside).sort()).toEqual(Object.keys(inside).sort());
        for (const [name, { shape, data }] of Object.entries(inside)) {
          expect(outside[name]?.dims).toEqual(shape);
          expectClose(outside[name]?.data ?? [], Array.from(data, Number), 1e-5);
        }
      }
    },
  );

  it.each(CASES)("agrees with ONNX's reference implementation: %s", async (name, example) => {
    const url = new URL("../fixtures/program/checked.json", import.meta.url);
    const checked = JSON.parse(await readFile(url, "utf8")) as {
      readonly models: Readonly<
        Record<
          string,
          {
            readonly feeds: Readonly<Record<string, { shape: number[]; data: number[] }>>;
            readonly outputs: Readonly<Record<string, { shape: number[]; data: number[] }>>;
          }
        >
      >;
    };
    const reference = checked.models[name];
    expect(reference).toBeDefined();
    const feeds = Object.entries(reference?.feeds ?? {}).map(
      ([input, { data, shape }]) => [input, float32(data, shape)] as const,
    );
    const outside = await runPlain(exported(example), Object.fromEntries(feeds));
    for (const [output, { shape, data }] of Object.entries(reference?.outputs ?? {})) {
      expect(outside[output]?.dims).toEqual(shape);
      expectClose(outside[output]?.data ?? [], data, 1e-5);
    }
  });

  it.each(CASES)("uses standard operators only and wants no weights from outside: %s", (_, example) => {
    const { opsetImport, graph } = onnxProto.onnx.ModelProto.decode(exported(example));
    expect(opsetImport.map(({ domain }) => domain ?? "")).toEqual([""]);
    expect(new Set(graph?.node?.map(({ domain }) => domain ?? ""))).toEqual(new Set([""]));
    const names = (graph?.input ?? []).map(({ name }) => name ?? "");
    expect(names.filter((name) => !name.startsWith("random.")).sort()).toEqual(
      Object.keys(example.inputs).sort(),
    );
    for (const { type } of graph?.input ?? []) {
      expect(type?.tensorType?.shape?.dim?.[0]?.dimParam).toBe("batch");
    }
  });

  it("writes metadata and records how random inputs are distributed", () => {
    const x = input("x", ["batch", 2]);
    const outputs = { y: x.add(normal(["batch", 2])) };
    const metadata = { model: "rectified-flow", options: { width: 64 }, absent: undefined };
    const { metadataProps } = onnxProto.onnx.ModelProto.decode(exportOnnx(outputs, new Map(), metadata));
    expect(Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]))).toEqual({
      model: "rectified-flow",
      options: '{"width":64}',
      randomInputs: '{"random.0":"normal"}',
    });
  });

  it("names a weight that is missing, and a name that is used twice", () => {
    const weight = new Parameter([2], () => {});
    weight.name = "scale";
    const x = input("x", ["batch", 2]);
    expect(() => exportOnnx({ y: x.mul(weight) }, new Map())).toThrow(/scale.*not among the weights/);
    expect(() => exportOnnx({ x: x.mul(2) }, new Map())).toThrow(/x is both an input and an output/);
  });
});

describe("a symbolic batch axis inside eidos", () => {
  it("compiles once for all sizes", async () => {
    const [, example] = CASES[0] ?? [];
    if (example === undefined) throw new Error("no case");
    const runtime = await nodeRuntime();
    const program = await Program.build(traceCase(example, "batch"), runtime, example.weights);
    const concrete = compile(["..."], example.trace, { runtime, weights: example.weights });
    for (const batch of [1, 4, 7]) {
      const feeds = samplesFor(example, batch);
      const expected = await concrete.run(feeds);
      const actual = await program.run(feeds);
      expectClose(
        Array.from(actual.velocity?.data ?? [], Number),
        Array.from(expected.velocity?.data ?? [], Number),
        1e-6,
      );
    }
    await program.release();
    await concrete.release();
  });
});
