import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type PublishedName, publishedBackbone } from "../../src/backbones/published/index.ts";
import { type Module, namedTensors, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { Program, type State } from "../../src/program/program.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { constant, float32, grad, input, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { present } from "../support.ts";
import { testRuntime } from "../tensor/support.ts";

// Published backbones and torchvision's pyramid against torchvision and timm, with weights that both make from names.

const summarySchema = z.object({
  shape: z.array(z.number()),
  mean: z.number(),
  deviation: z.number(),
  samples: z.array(z.number()),
});
type Summary = z.output<typeof summarySchema>;

export const fixture = z
  .object({
    images: z.array(z.number()),
    backbones: z.record(
      z.string(),
      z.object({
        evaluated: z.array(summarySchema),
        trained: z.array(summarySchema),
        gradients: z.record(z.string(), summarySchema),
        statistics: z.record(z.string(), z.array(z.number())),
      }),
    ),
    pyramids: z.record(z.string(), z.array(summarySchema)),
  })
  .parse(JSON.parse(await readFile(new URL("../fixtures/detectors/networks.json", import.meta.url), "utf8")));

const countOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The numbers that networks.py calls uniform. */
export function uniform(name: string, shape: readonly number[]): NdArray<"float32"> {
  let seed = 2166136261;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619) >>> 0;
  const data = new Float32Array(countOf(shape));
  for (let i = 0; i < data.length; i++) {
    let h = (Math.imul(i, 2654435769) + seed) | 0;
    h = Math.imul(h ^ (h >>> 16), 2246822507);
    h = Math.imul(h ^ (h >>> 13), 3266489909);
    data[i] = ((h ^ (h >>> 16)) >>> 0) / 2 ** 31 - 1;
  }
  return float32(data, shape);
}

/** The values that networks.py gives a network. */
export function madeState(module: Module): State {
  const state = new Map<string, NdArray>();
  for (const [name, { shape }] of namedTensors(module)) {
    const values = uniform(name, shape);
    const kind = name.slice(name.lastIndexOf(".") + 1);
    const scaled = (offset: number, factor: number) =>
      float32(
        values.data.map((value) => offset + factor * value),
        shape,
      );
    if (kind === "num_batches_tracked") state.set(name, float32([0], []));
    else if (kind === "running_var") state.set(name, scaled(1, 0.5));
    else if (shape.length > 1) state.set(name, scaled(0, Math.sqrt(6 / countOf(shape.slice(1)))));
    else state.set(name, kind === "weight" ? scaled(1, 0.3) : scaled(0, 0.3));
  }
  return state;
}

const samplesOf = (values: readonly number[], count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => values[(7919 * i + 13) % values.length] ?? Number.NaN);

export function expectLike(value: NdArray | undefined, expected: Summary, relative: number): void {
  const { shape, data } = present(value);
  const values = Array.from(data, Number);
  expect(shape).toEqual(expected.shape);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
  const tolerance = relative * expected.deviation;
  expect(Math.abs(mean - expected.mean)).toBeLessThan(tolerance);
  expect(Math.abs(deviation - expected.deviation)).toBeLessThan(tolerance);
  for (const [i, sample] of samplesOf(values, expected.samples.length).entries()) {
    expect(Math.abs(sample - present(expected.samples[i]))).toBeLessThan(tolerance);
  }
}

export async function run(
  outputs: Record<string, Tensor>,
  state: State,
  feeds: Readonly<Record<string, NdArray>>,
): Promise<Record<string, NdArray>> {
  const program = await Program.build(outputs, await testRuntime(), state);
  const values = await program.run(feeds);
  await program.release();
  return values;
}

/** The tests of a backbone. */
export function checkPublished(name: PublishedName): void {
  describe(name, () => {
    const { images } = fixture;
    const expected = present(fixture.backbones[name]);
    const feeds = { x: uniform("images", images) };

    it("gives the maps of PyTorch in evaluation", async () => {
      const backbone = nameParameters(publishedBackbone(name));
      const maps = backbone.forward(input("x", images));
      expect(backbone.levels.map(({ stride }) => stride)).toEqual([4, 8, 16, 32]);
      expect(backbone.levels.map(({ channels }) => channels)).toEqual(maps.map(({ shape }) => shape[1]));
      const outputs = Object.fromEntries(maps.map((map, i) => [`map${i}`, map]));
      const values = await run(outputs, madeState(backbone), feeds);
      for (const [i, summary] of expected.evaluated.entries()) expectLike(values[`map${i}`], summary, 1e-4);
    });

    it("gives its maps, gradients and statistics in training", async () => {
      const backbone = nameParameters(publishedBackbone(name));
      const { result: maps, updates } = traceTraining(() => backbone.forward(input("x", images)));
      const losses = maps.map((map, i) =>
        map.mul(constant(uniform(`cotangent ${i}`, map.shape as readonly number[]))).mean(),
      );
      const total = losses.reduce((a, b) => a.add(b));
      const parameters = parametersOf(backbone).filter((parameter) => parameter.name in expected.gradients);
      const gradients = grad(total, parameters);
      const outputs: Record<string, Tensor> = {};
      for (const [i, map] of maps.entries()) outputs[`map${i}`] = map;
      for (const [i, { name }] of parameters.entries()) outputs[`gradient ${name}`] = present(gradients[i]);
      for (const [buffer, value] of updates) {
        if (buffer.name in expected.statistics) outputs[`update ${buffer.name}`] = value;
      }
      const values = await run(outputs, madeState(backbone), feeds);
      // Means over few values of a deep network amplify rounding.
      for (const [i, summary] of expected.trained.entries()) expectLike(values[`map${i}`], summary, 1e-3);
      // Where a unit is at its kink, float32 may take the other side: PyTorch's own gradients in float32 are off by up to 0.06.
      for (const [parameter, summary] of Object.entries(expected.gradients)) {
        expectLike(values[`gradient ${parameter}`], summary, 0.1);
      }
      for (const [buffer, samples] of Object.entries(expected.statistics)) {
        const found = Array.from(present(values[`update ${buffer}`]).data, Number);
        expect(samplesOf(found, samples.length)).toEqual(samples.map((sample) => expect.closeTo(sample, 4)));
      }
    });

    it("ends at a stride, and leaves frozen batch norms as they are", () => {
      const whole = namedTensors(publishedBackbone(name));
      const cut = publishedBackbone(name, { coarsestStride: 8 });
      expect(cut.levels.map(({ stride }) => stride)).toEqual([4, 8]);
      expect(cut.forward(input("x", [1, 3, 32, 24])).map(({ shape }) => shape.slice(2))).toEqual([
        [8, 6],
        [4, 3],
      ]);
      for (const [key, { shape }] of namedTensors(cut)) expect(whole.get(key)?.shape).toEqual(shape);

      const stages = new Set([...whole.keys()].map((key) => publishedBackbone(name).stageOf(key)));
      expect([...stages].sort()).toEqual([1, 2, 3, 4, 5]);
      const frozen = nameParameters(publishedBackbone(name, { frozenNorm: (stage) => stage <= 2 }));
      const { updates } = traceTraining(() => frozen.forward(input("x", [2, 3, 64, 64])));
      const moved = [...updates.keys()].map((buffer) => frozen.stageOf(buffer.name));
      expect(Math.min(...moved)).toBe(3);
      expect(moved.length).toBe(
        [...whole.keys()].filter((key) => /running_|num_batches/.test(key) && frozen.stageOf(key) > 2).length,
      );
    });
  });
}
