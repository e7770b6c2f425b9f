import onnxProto from "onnx-proto";
import { describe, expect, it } from "vitest";
import type { SymbolicBatch } from "../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { UNet } from "../../src/nn/u-net.ts";
import { type Graph, lowerToOnnx, OPSET } from "../../src/program/lower.ts";
import { blockOfThisMachine, nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { float32, zeros } from "../../src/tensor/array.ts";
import type { Target } from "../../src/tensor/graph.ts";
import { mean } from "../../src/tensor/index.operations.ts";
import { constant, input, normal, type Tensor, uniform } from "../../src/tensor/index.ts";
import { StepTracer } from "../../src/train/step.ts";
import { weightsOf } from "./models.ts";

const PLAIN: Target = { contrib: false, block: 0 };

const decode = (model: Uint8Array) => onnxProto.onnx.ModelProto.decode(model);

function graphOfOne(x: Tensor, outputs: Readonly<Record<string, Tensor>>): Graph {
  return { inputs: new Map([[x, "x"]]), outputs: new Map(Object.entries(outputs)), weights: new Map() };
}

/** Rectified flow's loss, with every kind of layer that the U-Net has. */
class Velocity {
  readonly net = new UNet({ inputs: 1, base: 16, multipliers: [1, 2], heads: 2 });

  loss({ x }: SymbolicBatch) {
    const t = uniform([x.shape[0] ?? 1]);
    const noise = normal(x.shape);
    const weight = t.reshape([-1, 1, 1, 1]);
    const point = x.add(weight.mul(noise.sub(x)));
    return { total: mean(this.net.forward(point, t).sub(noise.sub(x)).square()) };
  }
}

const SHAPE = [2, 1, 8, 8] as const;

function trainingStep(): { readonly tracer: StepTracer; readonly parameters: Float32Array } {
  const model = nameParameters(new Velocity());
  const tracer = new StepTracer(model, { optimizer: adam(), clipNorm: 1, averageDecay: 0.9 });
  expect(initialState(model, 0).size).toBe(tracer.layout.parameters.length);
  return { tracer, parameters: tracer.layout.pack(weightsOf(model)) };
}

describe("lowerToOnnx", () => {
  it("writes the opset, names, types and shapes of inputs and outputs, and metadata", () => {
    const x = input("x", ["batch", 3]);
    const model = decode(lowerToOnnx(graphOfOne(x, { y: x.reshape([-1]) }), PLAIN, { key: "value" }));
    expect(model.opsetImport.map(({ domain, version }) => [domain ?? "", Number(version)])).toEqual([
      ["", OPSET],
    ]);
    expect(model.metadataProps.map(({ key, value }) => [key, value])).toEqual([["key", "value"]]);
    const shapes = [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])].map(({ name, type }) => [
      name,
      ...(type?.tensorType?.shape?.dim ?? []).map(({ dimParam, dimValue }) => dimParam || Number(dimValue)),
    ]);
    expect(shapes).toEqual([
      ["x", "batch", 3],
      ["y", "3*batch"],
    ]);
  });

  it("shares equal small constants, and those alone", () => {
    const x = input("x", [2]);
    const ones = float32([1, 1], [2]);
    const y = x
      .mul(constant(ones))
      .add(constant(float32([1, 1], [2])))
      .sub(constant(float32([1, 2], [2])));
    const { graph } = decode(lowerToOnnx(graphOfOne(x, { y }), PLAIN));
    expect(graph?.initializer).toHaveLength(2);
  });

  it("says which tensor is used without being given", () => {
    const [x, stray] = [input("x", [2]), input("stray", [2])];
    expect(() => lowerToOnnx(graphOfOne(x, { y: x.add(stray) }), PLAIN)).toThrow(
      /input is fed, not computed/,
    );
  });
});

describe("an emitted training step", () => {
  it("defines every name once and before its use, and imports the domains that it uses", async () => {
    const { tracer } = trainingStep();
    const runtime = await nodeRuntime();
    const program = await Program.build(tracer.whole({ x: SHAPE, labeled: false }), runtime);
    const { graph, opsetImport } = decode(program.model);
    await program.release();
    const known = new Set<string>();
    const define = (name: string | null | undefined): void => {
      expect(known).not.toContain(name);
      known.add(name ?? "");
    };
    for (const { name } of [...(graph?.input ?? []), ...(graph?.initializer ?? [])]) define(name);
    const domains = new Set([""]);
    for (const node of graph?.node ?? []) {
      for (const name of node.input ?? []) if (name !== "") expect(known).toContain(name);
      for (const name of node.output ?? []) if (name !== "") define(name);
      domains.add(node.domain ?? "");
    }
    for (const { name } of graph?.output ?? []) expect(known).toContain(name);
    expect(new Set(opsetImport.map(({ domain }) => domain ?? ""))).toEqual(domains);
  });

  it("gives the same numbers with plain, fused and blocked kernels", async () => {
    const block = await blockOfThisMachine();
    const targets: readonly Target[] = [PLAIN, { contrib: true, block: 0 }, { contrib: true, block }];
    const { tracer, parameters } = trainingStep();
    const size = [tracer.layout.size];
    const image = zeros("float32", SHAPE);
    new Random(5).fillNormal(image.data);
    const gradients: Float32Array[] = [];
    const losses: number[] = [];
    for (const target of targets) {
      const runtime = await nodeRuntime({ target });
      const program = await Program.build(tracer.gradient({ x: SHAPE, labeled: false }), runtime);
      const results = await program.run(
        { parameters: float32(parameters, size), x: image },
        { random: new Random(6) },
      );
      await program.release();
      losses.push(Number(results["loss.total"]?.data[0]));
      gradients.push(Float32Array.from(results.gradient?.data ?? [], Number));
    }
    const [plain = new Float32Array(), ...others] = gradients;
    const norm = Math.sqrt(plain.reduce((sum, value) => sum + value * value, 0));
    expect(norm).toBeGreaterThan(1e-3);
    for (const [i, other] of others.entries()) {
      expect(Math.abs((losses[i + 1] ?? Number.NaN) / (losses[0] ?? 0) - 1)).toBeLessThan(1e-5);
      expect(
        Math.sqrt(other.reduce((sum, value, k) => sum + (value - (plain[k] ?? 0)) ** 2, 0)) / norm,
      ).toBeLessThan(1e-4);
    }
  });
});

describe("numbers that meet tensors whose last axis has length 1", () => {
  it("have two axes, since ONNX Runtime is slow otherwise, and give the same", async () => {
    const x = input("x", [3, 2, 1]);
    const rate = input("rate", []);
    const outputs = { y: x.mul(rate).add(2).maximum(0.5).softplus() };
    const graph = graphOfOne(x, outputs);
    const model = decode(
      lowerToOnnx({ ...graph, inputs: new Map([...graph.inputs, [rate, "rate"]]) }, PLAIN),
    );
    const nodes = model.graph?.node ?? [];
    const reshaped = new Set(
      nodes.filter(({ opType }) => opType === "Reshape").flatMap(({ output }) => output),
    );
    for (const operator of ["Mul", "Add", "Max"]) {
      const { input: names = [] } = nodes.find(({ opType }) => opType === operator) ?? {};
      expect(names?.some((name) => reshaped.has(name))).toBe(true);
    }
    const data = [-4, -2, -1, 0, 1, 2];
    const program = await Program.build(outputs, await nodeRuntime());
    const { y } = await program.run({ x: float32(data, [3, 2, 1]), rate: float32([1.5], []) });
    expect(y?.shape).toEqual([3, 2, 1]);
    data.forEach((value, i) => {
      expect(y?.data[i]).toBeCloseTo(Math.log1p(Math.exp(Math.max(1.5 * value + 2, 0.5))), 5);
    });
    await program.release();
  });
});
