import fc from "fast-check";
import onnxProto from "onnx-proto";
import { describe, expect, it } from "vitest";
import { lowerToOnnx } from "../../../src/program/lower.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { simplify } from "../../../src/program/simplify.ts";
import type { NdArray } from "../../../src/tensor/array.ts";
import {
  type ConvolutionOptions,
  conv2d,
  convTranspose2d,
} from "../../../src/tensor/convolution/convolution.ts";
import { add, multiply, sum } from "../../../src/tensor/core.ts";
import { grad } from "../../../src/tensor/grad.ts";
import { outputAt, type Tensor } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
import {
  greater,
  leakyRelu,
  relu,
  relu6,
  sigmoid,
  silu,
  square,
  where,
} from "../../../src/tensor/operations/elementwise.ts";
import { batchNorm, batchNormWith, groupNorm } from "../../../src/tensor/operations/normalization.ts";
import { averagePool2d, maxPool2d, upsampleNearest } from "../../../src/tensor/operations/pooling.ts";
import { mean } from "../../../src/tensor/operations/reduce.ts";
import { concat, slice, split } from "../../../src/tensor/operations/shaping.ts";
import { expectClose, few, generator, randomValues, runAll, toArray } from "../support.ts";

const { onnx } = onnxProto;

// Programs lowered for the blocked kernels of this machine against the same programs lowered to plain ONNX. Where the
// machine has no such kernels both are plain and nothing is compared that could differ.

async function runtimes(): Promise<{ readonly plain: Runtime; readonly blocked: Runtime }> {
  return {
    plain: await nodeRuntime({ threads: 1, target: { contrib: true, block: 0 } }),
    blocked: await nodeRuntime({ threads: 1 }),
  };
}

/** Inputs of random numbers, made while a program is written. */
class Inputs {
  readonly tensors: Tensor[] = [];
  readonly feed: Record<string, NdArray> = {};
  private readonly random = generator(7);

  add(shape: readonly number[]): Tensor {
    const name = `x${this.tensors.length}`;
    this.feed[name] = toArray(randomValues(shape, this.random, { low: -1, high: 1 }), "float32");
    const tensor = input(name, shape);
    this.tensors.push(tensor);
    return tensor;
  }
}

/** Runs a function, its gradients and a second derivative both ways. */
async function compare(name: string, write: (inputs: Inputs) => Tensor): Promise<void> {
  const inputs = new Inputs();
  const y = write(inputs);
  const first = grad(mean(square(y)), inputs.tensors);
  const penalty = first.map((gradient) => sum(square(gradient))).reduce(add);
  const second = grad(penalty, inputs.tensors);
  const outputs = Object.fromEntries([
    ["y", y],
    ...first.map((gradient, i) => [`first.${i}`, gradient] as const),
    ...second.map((gradient, i) => [`second.${i}`, gradient] as const),
  ]);
  const { plain, blocked } = await runtimes();
  const [expected] = await runAll(outputs, [inputs.feed], plain);
  const [actual] = await runAll(outputs, [inputs.feed], blocked);
  for (const key of Object.keys(outputs)) {
    const values = outputAt(expected === undefined ? [] : [expected[key]], 0);
    if (values === undefined) throw new Error(`${key} was not computed`);
    // Relative to the largest element: gradients of means are small numbers.
    const largest = values.data.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
    const scaled = (data: readonly number[]) => ({ shape: values.shape, data: data.map((v) => v / largest) });
    expectClose(scaled(actual?.[key]?.data ?? []), scaled(values.data), 3e-5, `${name}: ${key}`);
  }
}

describe("blocked convolutions", () => {
  const b = 16;
  const cases: Readonly<
    Record<
      string,
      { x: readonly number[]; w: readonly number[]; options: ConvolutionOptions; bias?: boolean }
    >
  > = {
    "3×3 over whole blocks": { x: [16, b, 6, 5], w: [2 * b, b, 3, 3], options: { padding: 1 }, bias: true },
    "1×1": { x: [16, 2 * b, 4, 4], w: [b, 2 * b, 1, 1], options: {} },
    "a batch that is no multiple of the block": { x: [3, b, 5, 5], w: [b, b, 3, 3], options: { padding: 1 } },
    "a larger batch that is no multiple": { x: [18, b, 3, 3], w: [b, b, 3, 3], options: { padding: 1 } },
    "stride 2": { x: [16, b, 8, 8], w: [b, b, 3, 3], options: { stride: 2, padding: 1 }, bias: true },
    "stride 2 without a rest": { x: [16, b, 7, 9], w: [b, b, 3, 3], options: { stride: 2, padding: 1 } },
    "stride 3 that leaves a rest": { x: [2, b, 9, 8], w: [b, b, 2, 2], options: { stride: 3 } },
    "4×4 with stride 2": { x: [16, b, 8, 8], w: [2 * b, b, 4, 4], options: { stride: 2, padding: 1 } },
    "stride 3 by 2": { x: [3, b, 9, 8], w: [2 * b, b, 5, 3], options: { stride: [3, 2], padding: [2, 1] } },
    "stride 2 over an odd map": { x: [3, b, 7, 8], w: [b, b, 3, 3], options: { stride: 2, padding: 1 } },
    "1×1 with stride 2": { x: [3, b, 6, 6], w: [2 * b, b, 1, 1], options: { stride: 2 } },
    "a small batch in strips": { x: [8, b, 12, 5], w: [2 * b, b, 3, 3], options: { padding: 1 } },
    "strips at stride 2": { x: [4, b, 16, 6], w: [b, b, 5, 3], options: { stride: 2, padding: [2, 1] } },
    dilation: { x: [2, b, 7, 7], w: [b, b, 3, 3], options: { dilation: 2, padding: 2 } },
    "asymmetric padding": { x: [4, b, 5, 5], w: [b, b, 2, 2], options: { padding: [0, 1, 1, 0] } },
    "much padding": { x: [2, b, 3, 3], w: [b, b, 2, 2], options: { padding: 3 } },
    "one input channel": { x: [5, 1, 6, 7], w: [b, 1, 3, 3], options: { padding: 1 }, bias: true },
    "a stem: 7×7 with stride 2": { x: [3, 3, 16, 14], w: [b, 3, 7, 7], options: { stride: 2, padding: 3 } },
    "a stem whose last row is not read": { x: [2, 3, 9, 8], w: [b, 3, 2, 3], options: { stride: [3, 2] } },
    "a stem of more than a block of pixels": {
      x: [2, b / 2, 9, 9],
      w: [2 * b, b / 2, 3, 3],
      options: { stride: 2, padding: [0, 1, 1, 0] },
    },
    "small maps side by side": {
      x: [2, 12 * b, 3, 4],
      w: [12 * b, 12 * b, 3, 3],
      options: { padding: [0, 2, 1, 0] },
      bias: true,
    },
    "strips of an odd height": { x: [3, b, 7, 6], w: [b, b, 3, 3], options: { padding: 1 } },
    "a large map in strips": { x: [2, b, 36, 20], w: [4 * b, b, 3, 3], options: { padding: 1 } },
    "three input channels, stride 2": {
      x: [5, 3, 8, 8],
      w: [2 * b, 3, 4, 4],
      options: { stride: 2, padding: 1 },
    },
    "one output channel": { x: [5, 2 * b, 6, 5], w: [1, 2 * b, 3, 3], options: { padding: 1 }, bias: true },
    "three output channels": { x: [5, b, 6, 5], w: [3, b, 3, 3], options: { padding: 1 }, bias: true },
    "one output channel, stride 2": { x: [2, b, 6, 6], w: [1, b, 4, 4], options: { stride: 2, padding: 1 } },
    "one output of one element": { x: [4, b, 4, 4], w: [1, b, 4, 4], options: {}, bias: true },
    depthwise: {
      x: [3, 2 * b, 5, 6],
      w: [2 * b, 1, 3, 3],
      options: { groups: 2 * b, padding: 1 },
      bias: true,
    },
    "depthwise, stride 2": {
      x: [3, 2 * b, 6, 8],
      w: [2 * b, 1, 3, 3],
      options: { groups: 2 * b, stride: 2, padding: 1 },
      bias: true,
    },
    "depthwise 5×5, stride 2, padding on one side": {
      x: [2, b, 8, 8],
      w: [b, 1, 5, 5],
      options: { groups: b, stride: 2, padding: [1, 1, 2, 2] },
    },
    "depthwise, stride 3 that leaves a rest": {
      x: [2, b, 9, 8],
      w: [b, 1, 2, 2],
      options: { groups: b, stride: 3 },
    },
    "depthwise with a filter more a channel": {
      x: [2, b, 4, 5],
      w: [2 * b, 1, 3, 3],
      options: { groups: b, padding: 1 },
    },
    "groups of whole blocks": {
      x: [2, 2 * b, 4, 4],
      w: [4 * b, b, 3, 3],
      options: { groups: 2, padding: 1 },
    },
    "channels that fill no block": { x: [2, 12, 4, 4], w: [20, 12, 3, 3], options: { padding: 1 } },
  };
  for (const [name, { x, w, options, bias }] of Object.entries(cases)) {
    it(`agrees with plain convolution: ${name}`, () =>
      compare(name, (inputs) =>
        conv2d(inputs.add(x), inputs.add(w), {
          ...options,
          ...(bias && { bias: inputs.add([w[0] ?? 1]) }),
        }),
      ));
  }

  it("agrees with plain depthwise convolution for random geometries", async () => {
    const pair = (min: number, max: number) => fc.tuple(fc.integer({ min, max }), fc.integer({ min, max }));
    const edges = fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2));
    const geometry = fc.record({
      samples: fc.integer({ min: 1, max: 3 }),
      kernel: pair(1, 3),
      stride: pair(1, 3),
      dilation: pair(1, 2),
      padding: edges,
      room: pair(0, 4),
    });
    await fc.assert(
      fc.asyncProperty(geometry, ({ samples, kernel, stride, dilation, padding, room }) => {
        const size = [0, 1].map(
          (axis) => (dilation[axis] ?? 1) * ((kernel[axis] ?? 1) - 1) + 1 + (room[axis] ?? 0),
        );
        return compare(JSON.stringify({ samples, kernel, stride, dilation, padding, room }), (inputs) =>
          conv2d(inputs.add([samples, b, ...size]), inputs.add([b, 1, ...kernel]), {
            ...{ stride, dilation, padding },
            groups: b,
          }),
        );
      }),
      few(12),
    );
  });

  it("agrees for transposed convolution", () =>
    compare("convTranspose2d", (inputs) =>
      convTranspose2d(
        silu(convTranspose2d(inputs.add([4, b, 3, 3]), inputs.add([b, 2 * b, 3, 3]), { padding: 1 })),
        inputs.add([2 * b, b, 4, 4]),
        { stride: 2, padding: 1 },
      ),
    ));
});

describe("maps that stay in blocked layout", () => {
  const conv = (inputs: Inputs, x: Tensor, channels: number): Tensor =>
    conv2d(x, multiply(inputs.add([channels, Number(x.shape[1]), 3, 3]), 0.2), {
      padding: 1,
      bias: inputs.add([channels]),
    });

  const chains: Readonly<Record<string, (inputs: Inputs) => Tensor>> = {
    "element-wise operations": (inputs) => {
      const h = conv(inputs, inputs.add([2, 1, 4, 4]), 16);
      return conv(inputs, add(multiply(silu(h), sigmoid(h)), inputs.add([2, 16, 4, 4])), 16);
    },
    relu: (inputs) => conv(inputs, relu(conv(inputs, inputs.add([2, 3, 4, 4]), 16)), 1),
    "relu6, in a convolution and alone": (inputs) => {
      const h = multiply(conv(inputs, inputs.add([2, 3, 4, 4]), 16), 5);
      const wide = conv2d(h, multiply(inputs.add([16, 16, 1, 1]), 3));
      return conv(inputs, add(relu6(wide), relu6(h)), 16);
    },
    "leaky relu": (inputs) => conv(inputs, leakyRelu(conv(inputs, inputs.add([2, 3, 4, 4]), 16), 0.2), 16),
    "leaky relu of a map that is wanted itself": (inputs) => {
      const h = conv(inputs, inputs.add([2, 3, 4, 4]), 16);
      return conv(inputs, add(leakyRelu(h, 0.2), h), 16);
    },
    "a choice by comparison": (inputs) => {
      const [p, q] = [conv(inputs, inputs.add([2, 3, 4, 4]), 16), conv(inputs, inputs.add([2, 1, 4, 4]), 16)];
      return conv(inputs, where(greater(p, q), multiply(p, p), q), 16);
    },
    "group normalization": (inputs) => {
      const h = conv(inputs, inputs.add([3, 1, 4, 4]), 32);
      const options = { weight: inputs.add([32]), bias: inputs.add([32]) };
      return conv(inputs, silu(groupNorm(h, 8, options)), 16);
    },
    "group normalization with a weight a sample": (inputs) => {
      const h = conv(inputs, inputs.add([3, 1, 4, 4]), 32);
      const options = { weight: inputs.add([3, 32]), bias: inputs.add([3, 32]) };
      return conv(inputs, groupNorm(h, 2, options), 16);
    },
    "batch normalization": (inputs) => {
      // Without a bias, whose gradient would be 0 but for rounding.
      const h = conv2d(inputs.add([3, 2, 4, 4]), inputs.add([16, 2, 3, 3]));
      return conv(inputs, batchNorm(h, { weight: inputs.add([16]), bias: inputs.add([16]) }).y, 16);
    },
    "pooling and repetition": (inputs) => {
      const h = conv(inputs, inputs.add([2, 3, 8, 8]), 16);
      return conv(inputs, upsampleNearest(averagePool2d(h, { kernel: 2 }), [2, 1]), 16);
    },
    "overlapping averages": (inputs) => {
      const h = conv(inputs, inputs.add([2, 3, 5, 5]), 16);
      return conv(inputs, averagePool2d(h, { kernel: 3, stride: 2, padding: 1 }), 16);
    },
    maxima: (inputs) => {
      const h = conv(inputs, inputs.add([2, 3, 6, 6]), 16);
      return conv(inputs, maxPool2d(h, { kernel: 2 }), 16);
    },
    "joining and cutting channels": (inputs) => {
      const x = inputs.add([2, 1, 4, 4]);
      const [p, q] = [conv(inputs, x, 16), conv(inputs, x, 32)];
      const joined = conv(inputs, concat([p, q], 1), 48);
      const [first, second] = split(joined, 1, [16, 32]);
      return conv(inputs, add(outputAt([first], 0) ?? p, slice(second ?? q, 1, 16)), 16);
    },
    "joining and cutting samples": (inputs) => {
      const h = conv(inputs, inputs.add([2, 1, 4, 4]), 16);
      const joined = conv(inputs, concat([h, silu(h), h], 0), 16);
      const [first, second] = split(joined, 0, [2, 4]);
      return conv(inputs, add(outputAt([first], 0) ?? h, slice(second ?? h, 0, 1, 3)), 16);
    },
    "a factor and a shift a channel": (inputs) => {
      const h = conv(inputs, inputs.add([3, 1, 4, 4]), 16);
      const scaled = multiply(inputs.add([1, 16, 1, 1]), add(multiply(h, inputs.add([3, 16, 1, 1])), 0.5));
      return conv(inputs, add(add(scaled, inputs.add([1, 16, 1, 1])), inputs.add([3, 16, 1, 1])), 16);
    },
    "a factor that is a mean over positions": (inputs) => {
      const h = conv(inputs, inputs.add([3, 1, 4, 4]), 16);
      return conv(inputs, multiply(h, sigmoid(add(mean(h, [2, 3], true), sum(h, [2, 3], true)))), 16);
    },
    "a map that is read in both layouts": (inputs) => {
      const h = conv(inputs, inputs.add([2, 1, 4, 4]), 16);
      const total = mean(h, [1], true);
      return conv(inputs, multiply(add(h, silu(h)), total), 16);
    },
  };
  for (const [name, chain] of Object.entries(chains)) {
    it(`give the same values and derivatives: ${name}`, () => compare(name, chain));
  }

  it("are not reordered between convolutions, normalizations and element-wise operations", () => {
    const inputs = new Inputs();
    const h = conv(inputs, inputs.add([16, 1, 8, 8]), 16);
    const block = (x: Tensor): Tensor =>
      conv(inputs, silu(groupNorm(x, 8, { weight: inputs.add([16]) })), 16);
    const pooled = averagePool2d(add(h, block(h)), { kernel: 2 });
    const y = conv(inputs, concat([h, upsampleNearest(block(pooled), 2)], 1), 16);
    const gradients = grad(mean(square(y)), inputs.tensors);
    const names = new Map(inputs.tensors.map((tensor, i) => [tensor, `x${i}`]));
    const count = (wanted: readonly Tensor[]): number => {
      const outputs = new Map(simplify(wanted).map((tensor, i) => [`y${i}`, tensor]));
      const target = { contrib: true, block: 16 } as const;
      const model = onnx.ModelProto.decode(
        lowerToOnnx({ inputs: names, outputs, weights: new Map() }, target),
      );
      const nodes = model.graph?.node ?? [];
      // Weights are carried into the order of the kernels by the same operations, from matrices.
      const matrices = new Set(
        nodes.filter(({ opType }) => opType === "Reshape").flatMap(({ output }) => output),
      );
      return nodes.filter(
        ({ opType, input }) => opType?.startsWith("Reorder") && !matrices.has(input?.[0] ?? ""),
      ).length;
    };
    // Forward: the result leaves blocked layout, and nothing else does.
    expect(count([y])).toBe(1);
    // Backward: each of the gradients to the three kernels of whole blocks brings its samples to the place of channels; the gradient to the first kernel does not, and the first input is wanted in plain layout.
    expect(count(gradients)).toBe(3 + 1);
  });

  it("have their weights turned by the kernels of maps, not by transposing many small matrices", () => {
    const inputs = new Inputs();
    const y = conv(inputs, conv(inputs, inputs.add([2, 16, 8, 8]), 32), 32);
    const outputs = new Map(
      simplify(grad(mean(square(y)), inputs.tensors)).map((tensor, i) => [`y${i}`, tensor]),
    );
    const names = new Map(inputs.tensors.map((tensor, i) => [tensor, `x${i}`]));
    for (const block of [8, 16] as const) {
      const target = { contrib: true, block };
      const model = onnx.ModelProto.decode(
        lowerToOnnx({ inputs: names, outputs, weights: new Map() }, target),
      );
      const nodes = model.graph?.node ?? [];
      expect(nodes.filter(({ opType }) => opType === "ReorderInput").length).toBeGreaterThan(0);
      const turning = nodes.filter(
        ({ opType, attribute }) =>
          opType === "Transpose" && attribute?.some(({ ints }) => `${ints}` === "0,2,1"),
      );
      expect(turning).toEqual([]);
    }
  });

  describe("normalized by given statistics", () => {
    /** Two convolutions whose normalization is known, a residual and ReLUs, as in a network whose first stages are frozen. */
    function frozen() {
      const inputs = new Inputs();
      const x = inputs.add([2, 3, 9, 9]);
      const normalized = (map: Tensor): Tensor => {
        const [mean, weight, bias] = [inputs.add([16]), inputs.add([16]), inputs.add([16])];
        return batchNormWith(
          map,
          { mean, variance: square(inputs.add([16])) },
          { weight, bias, epsilon: 0.1 },
        );
      };
      const h = relu(normalized(conv2d(x, inputs.add([16, 3, 3, 3]), { padding: 1 })));
      const bias = inputs.add([16]);
      const second = normalized(conv2d(h, inputs.add([16, 16, 3, 3]), { padding: 1, bias }));
      return { inputs, x, y: relu(add(second, h)) };
    }

    it("give the same values, and derivatives by what lies before", async () => {
      const { inputs, x, y } = frozen();
      const [gradient = x] = grad(mean(square(y)), [x]);
      const { plain, blocked } = await runtimes();
      for (const outputs of [{ y }, { gradient }]) {
        const [expected] = await runAll(outputs, [inputs.feed], plain);
        const [actual] = await runAll(outputs, [inputs.feed], blocked);
        for (const [name, values] of Object.entries(expected ?? {})) {
          expectClose(actual?.[name] ?? values, values, 1e-5, name, "largest");
          expect(actual?.[name]).toBeDefined();
        }
      }
    });

    it("are two convolutions and nothing else", () => {
      const { inputs, y } = frozen();
      const names = new Map(inputs.tensors.map((tensor, i) => [tensor, `x${i}`]));
      const graph = { inputs: names, outputs: new Map([["y", simplify([y])[0] ?? y]]), weights: new Map() };
      const model = onnx.ModelProto.decode(lowerToOnnx(graph, { contrib: true, block: 16 }));
      const nodes = model.graph?.node ?? [];
      expect(nodes.filter(({ opType }) => opType === "Conv")).toHaveLength(2);
      expect(nodes.filter(({ opType }) => opType === "Relu")).toHaveLength(0);
    });
  });
});
