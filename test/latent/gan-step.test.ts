import { expect, test } from "vitest";
import { Gan, ganOptions } from "../../src/latent/index.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { elementCount, float32, int64, type NdArray, zeros } from "../../src/tensor/index.ts";
import { StepTracer } from "../../src/train/step.ts";
import { arraysOf, ganFixture, largestDifference } from "./gan-fixture.ts";

// Whole steps of training, discriminator and generator, by fixed weights, batches and noise, against PyTorch.

const { rate, betas, cases } = ganFixture;

test.each(cases.map((each) => [each.name, each] as const))("%s: steps equal PyTorch's", async (_, each) => {
  const { kind, sampleShape, classes, batches } = each;
  const info = { kind, sampleShape, ...(classes > 0 && { classes }) };
  const model = nameParameters(new Gan(ganOptions.parse(each.options), info));
  const tracer = new StepTracer(model, {
    optimizer: adam({ beta1: betas[0], beta2: betas[1] }),
    averageDecay: 0,
  });
  const rows = (batches[0]?.x.length ?? 0) / elementCount(sampleShape);
  const shape = { x: [rows, ...sampleShape], labeled: classes > 0 };
  const program = await Program.build(tracer.whole(shape), await nodeRuntime({ threads: 1 }));
  const state = arraysOf(each.before, namedTensors(model));
  let vectors: Record<string, NdArray> = {
    ...Object.fromEntries(state),
    parameters: float32(tracer.layout.pack(state), [tracer.layout.size]),
    ...Object.fromEntries(tracer.slotNames.map((name) => [name, zeros("float32", [tracer.layout.size])])),
  };
  for (const [i, { x, z, label, places = [] }] of batches.entries()) {
    // The networks see points halved, and bytes on [−1, 1].
    const inDataUnits = x.map((value) => (kind === "points" ? 2 * value : 127.5 * (value + 1)));
    const noise = [
      float32(z, [rows, z.length / rows]),
      ...places.map((each) => float32(each, [each.length])),
    ];
    const outputs = await program.run({
      ...vectors,
      ...Object.fromEntries(noise.map((array, k) => [`random.${k}`, array])),
      x: float32(inDataUnits, shape.x),
      ...(label && { label: int64(label, [rows]) }),
      learningRate: float32([rate], []),
      step: float32([i + 1], []),
    });
    vectors = Object.fromEntries(
      Object.keys(vectors).map((name) => [name, outputs[name] ?? vectors[name]]),
    ) as typeof vectors;
    const { discriminator = 0, generator = 0 } = each.losses[i] ?? {};
    expect(Number(outputs["loss.discriminator"]?.data[0])).toBeCloseTo(discriminator, 5);
    expect(Number(outputs["loss.generator"]?.data[0])).toBeCloseTo(generator, 5);
  }
  await program.release();
  const trained = tracer.layout.unpack(vectors.parameters?.data as Float32Array);
  for (const [name, expected] of Object.entries(each.after)) {
    const actual = (trained.get(name) ?? vectors[name])?.data ?? [];
    expect(largestDifference(actual, expected), name).toBeLessThan(2e-5);
  }
});
