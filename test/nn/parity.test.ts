import { expect, it } from "vitest";
import { z } from "zod";
import { TimeConditionedMlp, type TimeConditionedMlpOptions } from "../../src/nn/linear.ts";
import { nameParameters, parameterCount } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { checkState } from "../../src/nn/state.ts";
import { UNet, type UNetOptions } from "../../src/nn/u-net.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { compile, Program } from "../../src/program/program.ts";
import { float32, type NdArray, zeros } from "../../src/tensor/array.ts";
import { mean } from "../../src/tensor/index.operations.ts";
import { input, type Tensor } from "../../src/tensor/index.ts";
import { StepTracer } from "../../src/train/step.ts";
import { batchAt, fixtureJson, fixtureTensors, largestError, numbers, tensorOf } from "./support.ts";

// Same initial weights, batches and noise as test/fixtures/nn/make.py: 20 Adam steps of rectified flow.

const fixtureSchema = z.object({
  options: z.record(z.string(), z.unknown()),
  parameters: z.number(),
  learningRate: z.number(),
  output: z.array(z.number()),
  losses: z.array(z.number()),
});

interface Network {
  forward(x: Tensor, t: Tensor, label?: Tensor): Tensor;
}

/** A network with the loss of make.py; noise and time come from outside. */
class VelocityModel {
  readonly network: Network;

  constructor(network: Network) {
    this.network = network;
  }

  loss({ x, label }: { readonly x: Tensor; readonly label?: Tensor }): { readonly total: Tensor } {
    const noise = input("noise", x.shape);
    const t = input("t", x.shape.slice(0, 1));
    const difference = noise.sub(x);
    const at = x.add(t.reshape([-1, ...x.shape.slice(1).map(() => 1)]).mul(difference));
    return { total: mean(this.network.forward(at, t, label).sub(difference).square()) };
  }
}

async function compareTraining(name: string, build: (options: unknown) => Network): Promise<void> {
  const fixture = fixtureSchema.parse(fixtureJson(`${name}.json`));
  const batches = fixtureTensors(`${name}-batches.safetensors`).tensors;
  const data = tensorOf(batches, "data");
  const labeled = "classes" in fixture.options;
  const network = nameParameters(build(fixture.options));
  expect(parameterCount(network)).toBe(fixture.parameters);
  const file = `${name}-weights.safetensors`;
  const weights = checkState(fixtureTensors(file).tensors, network, file);
  const batch = (i: number) => ({
    x: batchAt(data, i),
    noise: batchAt(tensorOf(batches, "noise"), i),
    t: batchAt(tensorOf(batches, "t"), i),
    ...(labeled && { label: batchAt(tensorOf(batches, "label"), i) }),
  });

  const runtime = await nodeRuntime({ threads: 1 });
  const forward = compile(["x", "t", "label?"], ({ x, t, label }) => ({ y: network.forward(x, t, label) }), {
    runtime,
    weights,
  });
  const { noise: _noise, ...feeds } = batch(0);
  const { y } = await forward.run(feeds);
  expect(largestError(numbers(y).slice(0, 64), fixture.output)).toBeLessThan(1e-5);
  await forward.release();

  const tracer = new StepTracer(nameParameters(new VelocityModel(network)), {
    optimizer: adam(),
    averageDecay: 0,
  });
  const program = await Program.build(tracer.whole({ x: data.shape.slice(1), labeled: labeled }), runtime);
  const renamed = new Map([...weights].map(([key, value]) => [`network.${key}`, value]));
  const size = tracer.layout.size;
  let vectors: Record<string, NdArray> = { parameters: float32(tracer.layout.pack(renamed), [size]) };
  for (const slot of tracer.slotNames) vectors[slot] = zeros("float32", [size]);
  const losses: number[] = [];
  for (let step = 0; step < fixture.losses.length; step++) {
    const outputs = await program.run({
      ...vectors,
      ...batch(step % (data.shape[0] ?? 1)),
      learningRate: float32([fixture.learningRate], []),
      step: float32([step + 1], []),
    });
    losses.push(Number(outputs["loss.total"]?.data[0]));
    vectors = Object.fromEntries(
      Object.keys(vectors).map((key) => [key, tensorOf(new Map(Object.entries(outputs)), key)]),
    );
  }
  await program.release();
  const worst = Math.max(...losses.map((loss, i) => Math.abs(loss / (fixture.losses[i] ?? Number.NaN) - 1)));
  expect(worst).toBeLessThan(1e-4);
  // The comparison would be idle if nothing were learned.
  expect(losses.at(-1)).toBeLessThan(0.9 * (losses[0] ?? 0));
}

it("trains a time-conditioned MLP as PyTorch does", () =>
  compareTraining("mlp", (options) => new TimeConditionedMlp(options as TimeConditionedMlpOptions)));

it("trains a class-conditional U-Net as PyTorch does", () =>
  compareTraining("u-net", (options) => new UNet(options as UNetOptions)));
