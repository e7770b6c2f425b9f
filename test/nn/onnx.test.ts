import * as fc from "fast-check";
import onnxProto from "onnx-proto";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { zeros } from "../../src/nn/initializers.ts";
import { readOnnx } from "../../src/nn/onnx.ts";
import { exportOnnx } from "../../src/program/program.ts";
import { elementCount, float32, type NdArray } from "../../src/tensor/array.ts";
import { conv2d } from "../../src/tensor/convolution/convolution.ts";
import { input, Parameter } from "../../src/tensor/index.ts";
import { numbers, tensorOf } from "./support.ts";

const { onnx } = onnxProto;
type TensorFields = ConstructorParameters<typeof onnx.TensorProto>[0];
type GraphFields = ConstructorParameters<typeof onnx.GraphProto>[0];

/** A model of a graph, as bytes. */
function modelOf(graph: GraphFields): Uint8Array {
  return onnx.ModelProto.encode(
    onnx.ModelProto.create({ irVersion: 8, graph: new onnx.GraphProto(graph) }),
  ).finish();
}

/** A model with one value. */
const withValue = (value: TensorFields): Uint8Array =>
  modelOf({ initializer: [new onnx.TensorProto(value)] });

const raw = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function refuse(bytes: Uint8Array, why: string | RegExp): void {
  expect(() => readOnnx(bytes, "net.onnx")).toThrow(WeightsError);
  expect(() => readOnnx(bytes, "net.onnx")).toThrow(why);
}

const arrays = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).chain((shape) => {
  const length = elementCount(shape);
  const list = <T>(items: fc.Arbitrary<T>) => fc.array(items, { minLength: length, maxLength: length });
  return fc.oneof(
    list(fc.float()).map((values): readonly [TensorFields, NdArray] => {
      const data = Float32Array.from(values);
      return [
        { dataType: 1, dims: shape, rawData: raw(data) },
        { dtype: "float32", shape, data },
      ];
    }),
    list(fc.float()).map((values): readonly [TensorFields, NdArray] => {
      const data = Float32Array.from(values);
      return [
        { dataType: 1, dims: shape, floatData: [...data] },
        { dtype: "float32", shape, data },
      ];
    }),
    list(fc.integer()).map((values): readonly [TensorFields, NdArray] => [
      { dataType: 7, dims: shape, int64Data: values },
      { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) },
    ]),
    list(fc.integer()).map((values): readonly [TensorFields, NdArray] => [
      { dataType: 6, dims: shape, int32Data: values },
      { dtype: "int64", shape, data: BigInt64Array.from(values, BigInt) },
    ]),
    list(fc.double()).map((values): readonly [TensorFields, NdArray] => [
      { dataType: 11, dims: shape, doubleData: values },
      { dtype: "float64", shape, data: Float64Array.from(values) },
    ]),
  );
});

describe("readOnnx", () => {
  it("reads values of every form and shape that a writer of the format writes", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), arrays, { maxKeys: 5 }), (written) => {
        const initializer = Object.entries(written).map(
          ([name, [fields]]) => new onnx.TensorProto({ ...fields, name }),
        );
        const { values } = readOnnx(modelOf({ initializer }), "round trip");
        expect([...values.keys()].sort()).toEqual(Object.keys(written).sort());
        for (const [name, [, array]] of Object.entries(written)) expect(values.get(name)).toEqual(array);
      }),
      { numRuns: 200 },
    );
  });

  it("reads nodes in their order with attributes, and what is fed", () => {
    const { AttributeType } = onnx.AttributeProto;
    const bytes = modelOf({
      node: [
        new onnx.NodeProto({
          opType: "Conv",
          name: "first",
          input: ["x", "w", ""],
          output: ["h"],
          attribute: [
            { name: "strides", type: AttributeType.INTS, ints: [2, 3] },
            { name: "group", type: AttributeType.INT, i: 4 },
            { name: "negative", type: AttributeType.INT, i: -1 },
            { name: "alpha", type: AttributeType.FLOAT, f: 0.5 },
            { name: "scales", type: AttributeType.FLOATS, floats: [1.5, 2] },
            { name: "mode", type: AttributeType.STRING, s: new TextEncoder().encode("nearest") },
            { name: "body", type: AttributeType.GRAPH, g: { name: "inside" } },
          ],
        }),
        new onnx.NodeProto({
          opType: "Constant",
          output: ["c"],
          attribute: [
            { name: "value", type: AttributeType.TENSOR, t: { dataType: 1, dims: [2], floatData: [1, 2] } },
          ],
        }),
        new onnx.NodeProto({ opType: "Relu", input: ["h"], output: ["y"] }),
      ],
      initializer: [new onnx.TensorProto({ name: "w", dataType: 1, dims: [1], floatData: [3] })],
      input: [new onnx.ValueInfoProto({ name: "x" }), new onnx.ValueInfoProto({ name: "w" })],
      output: [new onnx.ValueInfoProto({ name: "y" })],
    });
    const graph = readOnnx(bytes, "net.onnx");
    expect(graph.nodes.map(({ op }) => op)).toEqual(["Conv", "Relu"]);
    expect(graph.nodes[0]).toEqual({
      op: "Conv",
      name: "first",
      inputs: ["x", "w", ""],
      outputs: ["h"],
      attributes: new Map<string, unknown>([
        ["strides", [2, 3]],
        ["group", 4],
        ["negative", -1],
        ["alpha", 0.5],
        ["scales", [1.5, 2]],
        ["mode", "nearest"],
      ]),
    });
    expect(graph.inputs).toEqual(["x"]);
    expect(graph.outputs).toEqual(["y"]);
    expect(numbers(tensorOf(graph.values, "c"))).toEqual([1, 2]);
    expect(numbers(tensorOf(graph.values, "w"))).toEqual([3]);
  });

  it("reads what eidos exports", () => {
    const weight = new Parameter([2, 3, 1, 1], zeros);
    weight.name = "weight";
    const values = float32([1, 2, 3, 4, 5, 6], [2, 3, 1, 1]);
    const y = conv2d(input("x", ["batch", 3, 4, 4]), weight);
    const graph = readOnnx(exportOnnx({ y }, new Map([["weight", values]])), "own.onnx");
    expect(graph.nodes.map(({ op }) => op)).toContain("Conv");
    expect([...graph.values.values()]).toContainEqual(values);
    expect(graph.inputs).toEqual(["x"]);
    expect(graph.outputs).toEqual(["y"]);
  });

  it("reads halves as float32, small integers as int64", () => {
    const value = (dataType: number, bytes: ArrayBufferView): number[] =>
      numbers(
        tensorOf(
          readOnnx(withValue({ name: "v", dataType, dims: [2], rawData: raw(bytes) }), "n").values,
          "v",
        ),
      );
    expect(value(10, Uint16Array.of(0x3c00, 0xc000))).toEqual([1, -2]);
    expect(value(16, Uint16Array.of(0x3f80, 0xc000))).toEqual([1, -2]);
    expect(value(3, Int8Array.of(-3, 7))).toEqual([-3, 7]);
    expect(value(9, Uint8Array.of(0, 1))).toEqual([0, 1]);
  });

  const four = { name: "v", dataType: 1, dims: [2, 2] };
  it.each<readonly [string, Uint8Array, string | RegExp]>([
    ["nothing", new Uint8Array(0), "it is no ONNX model"],
    ["a text", new TextEncoder().encode("<!doctype html><p>not found</p>"), "it is no ONNX model"],
    ["a model without a graph", onnx.ModelProto.encode({ irVersion: 8 }).finish(), "no ONNX model"],
    [
      "values in another file",
      withValue({ ...four, dataLocation: 1, externalData: [] }),
      "stand in another file",
    ],
    [
      "a path to another file",
      withValue({ ...four, externalData: [{ key: "location", value: "/etc/passwd" }] }),
      "stand in another file",
    ],
    ["texts", withValue({ ...four, dataType: 8 }), "value v: it is of STRING, which is not read"],
    ["eight bits with a point", withValue({ ...four, dataType: 17 }), "FLOAT8E4M3FN"],
    ["an unknown type", withValue({ ...four, dataType: 99 }), "it is of type 99, which is not read"],
    [
      "too few numbers",
      withValue({ ...four, floatData: [1, 2, 3] }),
      "FLOAT [2,2] needs 16 bytes, and it has 12",
    ],
    [
      "too few whole numbers",
      withValue({ ...four, dataType: 7, int64Data: [1] }),
      "needs 4 numbers, and it has 1",
    ],
    [
      "numbers of another type",
      withValue({ ...four, doubleData: [1, 2] }),
      "of FLOAT, and its numbers are written as F64",
    ],
    [
      "a huge value in a small file",
      withValue({ ...four, dims: [2 ** 30] }),
      /take more than 8 times the size/,
    ],
    ["a size below 0", withValue({ ...four, dims: [-1, 4] }), "its shape [-1,4] cannot be"],
    ["sizes beyond counting", withValue({ ...four, dims: [2 ** 40, 2 ** 40] }), "cannot be"],
    ["many axes", withValue({ ...four, dims: new Array(65).fill(1) }), "cannot be"],
    [
      "a value twice",
      modelOf({
        initializer: [1, 2].map(
          (n) => new onnx.TensorProto({ name: "v", dataType: 1, dims: [1], floatData: [n] }),
        ),
      }),
      "it has the value v twice",
    ],
    [
      "sparse values",
      modelOf({ sparseInitializer: [new onnx.SparseTensorProto()] } as GraphFields),
      "sparse values",
    ],
    [
      "more fields than any model",
      Uint8Array.from({ length: 2_000_002 }, (_, i) => (i % 2 === 0 ? 8 : 1)),
      "1,000,000 fields",
    ],
    [
      "a number that does not end",
      Uint8Array.from({ length: 20 }, (_, i) => (i === 0 ? 0x08 : 0x88)),
      "more than 64 bits",
    ],
    ["a group of old days", Uint8Array.of(8, 8, 0x3b), "wire type 3"],
  ])("refuses %s", (_, bytes, why) => refuse(bytes, why));

  it("a truncated file is a WeightsError at every length, or lacks what came last", () => {
    const bytes = withValue({ ...four, floatData: [1, 2, 3, 4] });
    for (let length = 0; length < bytes.length; length++) refuse(bytes.subarray(0, length), "net.onnx: ");
  });

  it("any bytes, and any damage to a model, give a graph or a WeightsError", () => {
    const sound = withValue({ ...four, floatData: [1, 2, 3, 4] });
    const damaged = fc
      .array(fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 })), {
        minLength: 1,
        maxLength: 4,
      })
      .map((changes) => {
        const bytes = sound.slice();
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 64 })), (bytes) => {
        try {
          const { values } = readOnnx(bytes, "net.onnx");
          for (const { shape, data } of values.values()) expect(data.length).toBe(elementCount(shape));
        } catch (error) {
          expect(error).toBeInstanceOf(WeightsError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
