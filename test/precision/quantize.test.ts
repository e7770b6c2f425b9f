import { beforeAll, describe, expect, it } from "vitest";
import { Conv2d, Mlp } from "../../src/nn/index.ts";
import { type Module, nameParameters } from "../../src/nn/module.ts";
import { BatchNorm2d } from "../../src/nn/normalization.ts";
import { ModelEdit } from "../../src/precision/edit.ts";
import { fromHalf } from "../../src/precision/half.ts";
import { halfWeights } from "../../src/precision/half-weights.ts";
import { activationScale, quantizedBias, quantizedWeights } from "../../src/precision/quantization.ts";
import type { QuantizedPart } from "../../src/precision/quantize.ts";
import { exportOnnx, type State } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { elementCount, float32 } from "../../src/tensor/array.ts";
import { input, type Tensor } from "../../src/tensor/index.ts";
import { relu6 } from "../../src/tensor/operations/elementwise.ts";
import { whileLoop } from "../../src/tensor/operations/loop.ts";
import { weightsOf } from "../program/models.ts";
import { largestDifference, present } from "../support.ts";
import { emulated, type Feeds, initializersOf, inWholeNumbers, outputsOf } from "./support.ts";

// Networks of fewer bits: what ONNX Runtime makes of them is what their nodes mean.

class ConvNet {
  readonly conv1 = new Conv2d(3, 16, 3, { padding: 1, bias: false });
  readonly norm = new BatchNorm2d(16);
  readonly conv2 = new Conv2d(16, 24, 3, { stride: 2, padding: 1, groups: 2 });
  readonly conv3 = new Conv2d(24, 8, 1);

  forward(x: Tensor): Tensor {
    const h = this.norm.forward(this.conv1.forward(x)).relu();
    return this.conv3.forward(relu6(this.conv2.forward(h)));
  }
}

interface Network {
  readonly model: Uint8Array;
  readonly weights: State;
  readonly feeds: Feeds;
}

function network<M extends Module & { forward(x: Tensor): Tensor }>(
  module: M,
  shape: readonly number[],
  change: (weights: State) => State = (weights) => weights,
): Network {
  nameParameters(module);
  const weights = change(weightsOf(module));
  const y = module.forward(input("x", ["batch", ...shape]));
  const data = new Float32Array(4 * elementCount(shape));
  new Random(7).fillNormal(data);
  return { model: exportOnnx({ y }, weights), weights, feeds: { x: float32(data, [4, ...shape]) } };
}

const NETWORKS: Readonly<Record<string, Network>> = {
  convolutions: network(new ConvNet(), [3, 9, 9]),
  "a perceptron": network(new Mlp([12, 32, 32, 16], { activation: (x) => x.relu() }), [12]),
};

describe.each(Object.entries(NETWORKS))("%s in whole numbers", (_, { model, weights, feeds }) => {
  let float: readonly number[];
  const names = new Set(weights.keys());

  beforeAll(async () => {
    float = present((await outputsOf(model, feeds)).y);
  });

  it.each<QuantizedPart>(["all", "inner", "weights"])("give what their nodes mean: %s", async (part) => {
    const { bytes, counts } = await inWholeNumbers(model, names, feeds, part);
    expect(counts).toEqual(
      part === "all"
        ? { computing: 3, stored: 0, floats: 0 }
        : part === "inner"
          ? { computing: 1, stored: 0, floats: 2 }
          : { computing: 0, stored: 3, floats: 0 },
    );
    const found = present((await outputsOf(bytes, feeds)).y);
    const values = emulated(bytes, feeds);
    const { data } = present(values.get("y"));
    // A number half-way between two whole ones may be rounded either way by sums of another order: one level of some values.
    const levels = [...initializersOf(bytes)].flatMap(([key, own]) =>
      key.endsWith(".scale") ? own.data : [],
    );
    const level = part === "weights" ? 0 : Math.max(...levels);
    const apart = found.map((value, i) => Math.abs(value - (data[i] ?? Number.NaN)));
    expect(Math.max(...apart)).toBeLessThan(2 * level + 1e-5);
    expect(apart.filter((value) => value > 1e-4).length).toBeLessThan(0.02 * found.length);
    // And nearly what the network gives in float32.
    const size = Math.max(...float.map(Math.abs));
    expect(largestDifference(found, float)).toBeLessThan(0.05 * size);
    expect(largestDifference(found, float)).toBeGreaterThan(0);
  });

  it("have a scale for each output, by which weights are those that they were", async () => {
    const { bytes, folded } = await inWholeNumbers(model, names, feeds, "all");
    const before = initializersOf(folded);
    const after = initializersOf(bytes);
    const stored = [...after].filter(([key]) => key.endsWith(".int8"));
    expect(stored.length).toBe(3);
    for (const [key, { data, shape, type }] of stored) {
      expect(type).toBe(3);
      const source = key.slice(0, -".int8".length);
      const scales = present(after.get(`${source}.scales`)).data;
      const own = present(before.get(source)).data;
      const [outputs = 1] = shape;
      expect(scales.length).toBe(outputs);
      const inner = data.length / outputs;
      let worst = 0;
      for (const [i, value] of data.entries()) {
        const scale = scales[Math.floor(i / inner)] ?? 1;
        worst = Math.max(worst, Math.abs(value * scale - (own[i] ?? 0)) / scale);
      }
      expect(worst).toBeLessThanOrEqual(0.5001);
      for (let output = 0; output < outputs; output++) {
        const row = data.slice(output * inner, (output + 1) * inner);
        expect(Math.max(...row.map(Math.abs))).toBe(64);
      }
    }
  });
});

describe("a network before it is in whole numbers", () => {
  it("has its norms in the weights of convolutions", async () => {
    const { model, weights, feeds } = present(NETWORKS.convolutions);
    const { folded } = await inWholeNumbers(model, new Set(weights.keys()), feeds, "all");
    const [plain, own] = [await outputsOf(model, feeds), await outputsOf(folded, feeds)];
    expect(largestDifference(present(own.y), present(plain.y))).toBeLessThan(1e-5);
    const ops = new ModelEdit(folded).nodes().map(({ node }) => node.opType);
    expect(ops).toEqual(["Conv", "Relu", "Conv", "Clip", "Conv"]);
  });

  it("is watched inside of loops, too", async () => {
    const mlp = new Mlp([8, 32, 8], { activation: (x) => x.relu() });
    nameParameters(mlp);
    const weights = weightsOf(mlp);
    const x = input("x", ["batch", 8]);
    const [y = x] = whileLoop([x], ([state]) => ({ state: [state.add(mlp.forward(state).mul(0.3))] }), {
      maximum: 3,
    });
    const model = exportOnnx({ y }, weights);
    const data = new Float32Array(32);
    new Random(3).fillNormal(data);
    const feeds = { x: float32(data, [4, 8]) };
    const { bytes, counts } = await inWholeNumbers(model, new Set(weights.keys()), feeds, "all");
    expect(counts).toEqual({ computing: 2, stored: 0, floats: 0 });
    const [plain, own] = [await outputsOf(model, feeds), await outputsOf(bytes, feeds)];
    const size = Math.max(...present(plain.y).map(Math.abs));
    const apart = largestDifference(present(own.y), present(plain.y));
    expect(apart).toBeLessThan(0.03 * size);
    expect(apart).toBeGreaterThan(0);
    // The state grows from round to round: ranges are those of all rounds.
    const scale = present([...initializersOf(bytes)].find(([key]) => key.endsWith(".scale")))[1].data[0];
    expect(Number(scale) * 255).toBeGreaterThan(1.02 * (Math.max(0, ...data) - Math.min(0, ...data)));
  });
});

describe("weights of 16 bits", () => {
  const { model, weights, feeds } = present(NETWORKS["a perceptron"]);

  it("are the nearest ones, and computed with in 32", async () => {
    const { bytes, overflow } = halfWeights(model, weights);
    expect(overflow).toBeUndefined();
    expect(bytes.length).toBeLessThan(0.7 * model.length);
    const { graph } = (await import("onnx-proto")).default.onnx.ModelProto.decode(bytes);
    const halves = (graph?.initializer ?? []).filter(({ dataType }) => dataType === 10);
    expect(halves.length).toBe(3);
    // The same network with weights that are rounded here.
    const rounded = new Map(
      [...weights].map(([name, { data, shape }]) => {
        const bits = halves.find((own) => own.name === `${name}.half`)?.rawData;
        if (!bits) return [name, float32(data as Float32Array, shape)] as const;
        const own = new Uint16Array(Uint8Array.from(bits).buffer);
        const values = Float32Array.from(own, fromHalf);
        expect(largestDifference(values, data as Float32Array)).toBeLessThan(2 ** -11);
        return [name, float32(values, shape)] as const;
      }),
    );
    const mlp = new Mlp([12, 32, 32, 16], { activation: (x) => x.relu() });
    nameParameters(mlp);
    const expected = exportOnnx({ y: mlp.forward(input("x", ["batch", 12])) }, rounded);
    expect((await outputsOf(bytes, feeds)).y).toEqual((await outputsOf(expected, feeds)).y);
  });

  it("stay as they are where a number is too large, which is told", async () => {
    const large = network(new Mlp([12, 32, 32, 16], { activation: (x) => x.relu() }), [12], (own) => {
      const first = present(own.get("layers.0.weight"));
      const data = Float32Array.from(first.data as Float32Array);
      data.set([1e5, -2e6], 3);
      return new Map([...own, ["layers.0.weight", float32(data, first.shape)]]);
    });
    const { bytes, overflow } = halfWeights(large.model, large.weights);
    expect(overflow).toEqual({ count: 2, weights: ["layers.0.weight"], example: 1e5 });
    expect(present(initializersOf(large.model).get("layers.0.weight")).data).toContain(1e5);
    const types = new ModelEdit(bytes).initializers().map(({ name, dataType }) => [name, dataType]);
    expect(types).toContainEqual(["layers.0.weight", 1]);
    expect(types).toContainEqual(["layers.1.weight.half", 10]);
  });
});

describe("scales", () => {
  it("of activations hold 0 exactly, and use all levels", () => {
    expect(activationScale({ minimum: 0, maximum: 5.1 })).toEqual({ scale: Math.fround(0.02), zeroPoint: 0 });
    const { scale, zeroPoint } = activationScale({ minimum: -1, maximum: 3 });
    expect(scale * 255).toBeCloseTo(4, 6);
    expect(zeroPoint).toBe(64);
    expect(activationScale({ minimum: 2, maximum: 3 }).zeroPoint).toBe(0);
    expect(activationScale({ minimum: -3, maximum: -2 }).zeroPoint).toBe(255);
    expect(activationScale({ minimum: 0, maximum: 0 })).toEqual({ scale: 1, zeroPoint: 0 });
  });

  it("of weights are of each output", () => {
    const data = Float32Array.of(1, -2, 100, 50, 0, 0);
    const { values, scales } = quantizedWeights({ data, shape: [3, 2] }, 0, 64);
    expect(Array.from(values)).toEqual([32, -64, 64, 32, 0, 0]);
    expect(Array.from(scales)).toEqual([2 / 64, 100 / 64, 1]);
    const turned = quantizedWeights({ data, shape: [3, 2] }, 1, 127);
    expect(Array.from(turned.values)).toEqual([1, -5, 127, 127, 0, 0]);
  });

  it("of a bias are products; one that is too large has none", () => {
    expect(quantizedBias(Float32Array.of(1, -3), 0.5, Float32Array.of(0.25, 0.5))).toEqual({
      values: Int32Array.of(8, -12),
      scales: Float32Array.of(0.125, 0.25),
    });
    expect(quantizedBias(Float32Array.of(1e9), 1e-4, Float32Array.of(1e-4))).toBeUndefined();
  });
});
