import { describe, expect, it } from "vitest";
import { Conv2d, ConvTranspose2d } from "../../src/nn/convolution.ts";
import { Dropout, Embedding, FourierFeatures, Linear, Mlp } from "../../src/nn/linear.ts";
import { initialState, namedTensors, nameParameters } from "../../src/nn/module.ts";
import { BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm, LayerNorm } from "../../src/nn/normalization.ts";
import { checkState } from "../../src/nn/state.ts";
import { ResidualBlock, UNet } from "../../src/nn/u-net.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { compile, Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { float32, zeros } from "../../src/tensor/array.ts";
import { mean, traceTraining } from "../../src/tensor/index.operations.ts";
import { input, type Tensor } from "../../src/tensor/index.ts";
import { fixtureTensors, largestError, numbers, tensorOf } from "./support.ts";

/** The network of make.py that holds one of every layer. */
class Layers {
  readonly conv = new Conv2d(3, 8, 3, { stride: 2, padding: 1 });
  readonly batchNorm = new BatchNorm2d(8);
  readonly grouped = new Conv2d(8, 8, 3, { padding: 2, dilation: 2, groups: 4, bias: false });
  readonly groupNorm = new GroupNorm(4, 8);
  readonly enlarge = new ConvTranspose2d(8, 4, 3, { stride: 2, padding: 1, outputPadding: 1 });
  readonly instanceNorm = new InstanceNorm(4, { affine: true });
  readonly linear = new Linear(8, 6);
  readonly layerNorm = new LayerNorm(6);
  readonly batchNorm1d = new BatchNorm1d(6);
  readonly embedding = new Embedding(5, 6);

  forward(x: Tensor, label: Tensor): Tensor {
    const small = this.batchNorm.forward(this.conv.forward(x)).relu();
    const h = this.groupNorm.forward(this.grouped.forward(small));
    const rows = this.linear.forward(this.instanceNorm.forward(this.enlarge.forward(h)));
    return this.batchNorm1d.forward(
      mean(this.layerNorm.forward(rows), [1, 2]).add(this.embedding.forward(label)),
    );
  }
}

describe("a state_dict saved by PyTorch", () => {
  const network = nameParameters(new Layers());
  const stateOf = (file: string) => checkState(fixtureTensors(file).tensors, network, file);
  const values = fixtureTensors("layers-values.safetensors").tensors;
  const [x, label] = [tensorOf(values, "x"), tensorOf(values, "label")];

  it("gives the same output in inference", async () => {
    const runtime = await nodeRuntime({ threads: 1 });
    const forward = compile(["x", "label"], ({ x, label }) => ({ y: network.forward(x, label) }), {
      runtime,
      weights: stateOf("layers-after.safetensors"),
    });
    const { y } = await forward.run({ x, label });
    expect(largestError(numbers(y), numbers(tensorOf(values, "evaluation")))).toBeLessThan(1e-5);
    await forward.release();
  });

  it("gives the same output and running statistics in training", async () => {
    const { result, updates } = traceTraining(() =>
      network.forward(input("x", x.shape), input("label", label.shape, "int64")),
    );
    const outputs = new Map([
      ["y", result],
      ...[...updates].map(([buffer, value]) => [buffer.name, value] as const),
    ]);
    const program = await Program.build(
      outputs,
      await nodeRuntime({ threads: 1 }),
      stateOf("layers-before.safetensors"),
    );
    const got = new Map(Object.entries(await program.run({ x, label })));
    await program.release();
    expect(largestError(numbers(tensorOf(got, "y")), numbers(tensorOf(values, "training")))).toBeLessThan(
      1e-5,
    );
    const after = stateOf("layers-after.safetensors");
    for (const layer of ["batchNorm", "batchNorm1d"]) {
      for (const buffer of ["running_mean", "running_var", "num_batches_tracked"]) {
        const name = `${layer}.${buffer}`;
        expect(largestError(numbers(tensorOf(got, name)), numbers(tensorOf(after, name))), name).toBeLessThan(
          1e-5,
        );
      }
    }
  });
});

describe("names", () => {
  it("are property paths", () => {
    const block = new ResidualBlock({ inputs: 8, outputs: 16, condition: 4 });
    expect([...namedTensors({ blocks: [block] }).keys()]).toEqual([
      "blocks.0.norm1.weight",
      "blocks.0.norm1.bias",
      "blocks.0.conv1.weight",
      "blocks.0.conv1.bias",
      "blocks.0.condition.weight",
      "blocks.0.condition.bias",
      "blocks.0.norm2.weight",
      "blocks.0.norm2.bias",
      "blocks.0.conv2.weight",
      "blocks.0.conv2.bias",
      "blocks.0.skip.weight",
      "blocks.0.skip.bias",
    ]);
    expect([...namedTensors(new Mlp([2, 3, 1])).keys()]).toEqual([
      "layers.0.weight",
      "layers.0.bias",
      "layers.1.weight",
      "layers.1.bias",
    ]);
  });

  it("keep their values when a layer is added", () => {
    const before = initialState({ first: new Linear(3, 3) }, 7);
    const after = initialState({ added: new Linear(2, 2), first: new Linear(3, 3) }, 7);
    expect(after.get("first.weight")).toEqual(before.get("first.weight"));
  });
});

describe("checkState", () => {
  it("lists what is missing, unexpected and of another shape", () => {
    const model = { a: new Linear(2, 3), b: new Linear(3, 1) };
    const state = new Map(initialState(model, 0));
    state.delete("b.bias");
    state.set("c.weight", zeros("float32", [1]));
    state.set("a.weight", zeros("float32", [2, 3]));
    expect(() => checkState(state, model, "w.safetensors")).toThrow(
      "w.safetensors: does not fit this model; missing: b.bias; unexpected: c.weight; " +
        "of another shape: a.weight is [2, 3], the model wants [3, 2]",
    );
  });

  it("orders values as the model does and makes them float32", () => {
    const model = { norm: new BatchNorm1d(1) };
    const state = new Map([...initialState(model, 0)].reverse());
    state.set("norm.num_batches_tracked", { dtype: "int64", shape: [], data: BigInt64Array.of(5n) });
    const fitted = checkState(state, model, "w.safetensors");
    expect([...fitted.keys()]).toEqual([...namedTensors(model).keys()]);
    expect(fitted.get("norm.num_batches_tracked")).toEqual(float32([5], []));
  });
});

describe("Dropout", () => {
  it("drops the given share while training, keeps the mean, and does nothing otherwise", async () => {
    const dropout = new Dropout(0.25);
    const x = input("x", [100, 100]);
    expect(dropout.forward(x)).toBe(x);
    const { result } = traceTraining(() => dropout.forward(x));
    const program = await Program.build({ y: result }, await nodeRuntime({ threads: 1 }));
    const { y } = await program.run(
      { x: float32(new Float32Array(10_000).fill(3), [100, 100]) },
      { random: new Random(1) },
    );
    await program.release();
    const drawn = y === undefined ? [] : numbers(y);
    expect(new Set(drawn)).toEqual(new Set([0, 4]));
    // Four standard deviations of a binomial share.
    expect(Math.abs(drawn.filter((value) => value === 0).length / 10_000 - 0.25)).toBeLessThan(0.0174);
  });

  it("refuses a rate of 1", () => {
    expect(() => new Dropout(1)).toThrow("rate 1");
  });
});

describe("U-Net", () => {
  it("starts as zero, since its last convolution does", async () => {
    const network = nameParameters(new UNet({ inputs: 1, base: 16, multipliers: [1, 1], groups: 4 }));
    const forward = compile(["x", "t"], ({ x, t }) => ({ y: network.forward(x, t) }), {
      runtime: await nodeRuntime({ threads: 1 }),
      weights: initialState(network, 0),
    });
    const x = zeros("float32", [2, 1, 6, 10]);
    new Random(0).fillNormal(x.data);
    const { y } = await forward.run({ x, t: float32([0.1, 0.9], [2]) });
    expect(y.shape).toEqual([2, 1, 6, 10]);
    expect(numbers(y).every((value) => value === 0)).toBe(true);
    await forward.release();
  });

  it("names a size that cannot be halved", () => {
    const network = new UNet({ inputs: 1 });
    expect(() => network.forward(input("x", [1, 1, 30, 28]), input("t", [1]))).toThrow("divisible by 4");
  });

  it("says when a class is missing or superfluous", () => {
    const [x, t, label] = [input("x", [1, 1, 8, 8]), input("t", [1]), input("label", [1], "int64")];
    expect(() => new UNet({ inputs: 1, classes: 3 }).forward(x, t)).toThrow("was given no class");
    expect(() => new UNet({ inputs: 1 }).forward(x, t, label)).toThrow("without class condition");
  });

  it("can be traced for any batch size", () => {
    const network = nameParameters(new UNet({ inputs: 3, attentionLevels: [1] }));
    expect(network.forward(input("x", ["batch", 3, 28, 28]), input("t", ["batch"])).shape).toEqual([
      "batch",
      3,
      28,
      28,
    ]);
  });
});

it("Fourier features are cos and sin of 2π x B", async () => {
  const features = nameParameters({ features: new FourierFeatures(2, 4, 3) }).features;
  const weights = new Map([["features.frequencies", float32([1, 0.5, -2, 0.25], [2, 2])]]);
  const forward = compile(["x"], ({ x }) => ({ y: features.forward(x) }), {
    runtime: await nodeRuntime({ threads: 1 }),
    weights,
  });
  const { y } = await forward.run({ x: float32([0.3, 0.2], [1, 2]) });
  const angles = [2 * Math.PI * (0.3 - 0.4), 2 * Math.PI * (0.15 + 0.05)];
  expect(largestError(numbers(y), [...angles.map(Math.cos), ...angles.map(Math.sin)])).toBeLessThan(1e-6);
  await forward.release();
});
