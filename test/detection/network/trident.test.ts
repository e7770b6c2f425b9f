import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Backbone, CspNet, ResNet } from "../../../src/backbones/backbone.ts";
import { PUBLISHED_NAMES, publishedBackbone } from "../../../src/backbones/published/index.ts";
import { Trident } from "../../../src/detection/network/trident.ts";
import { OptionError } from "../../../src/errors.ts";
import { buffersOf, initialState, nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { traceTraining } from "../../../src/tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";

interface Summary {
  readonly shape: readonly number[];
  readonly sums: readonly [squares: number, waves: number];
  readonly few: readonly number[];
}

interface Case {
  readonly training: Summary;
  readonly gradients: Readonly<Record<string, Summary>>;
  readonly statistics: Readonly<Record<string, Summary>>;
  readonly looking: Summary;
}

const fixture: Readonly<Record<string, Case>> = JSON.parse(
  await readFile(new URL("../../fixtures/detectors/trident.json", import.meta.url), "utf8"),
);

/** As the fixture's program makes numbers. */
function sines(shape: readonly number[], scale: number, offset: number, phase: number): NdArray<"float32"> {
  const count = shape.reduce((product, size) => product * size, 1);
  return float32(
    Float32Array.from({ length: count }, (_, i) => offset + scale * Math.sin(12.9898 * i + phase)),
    shape,
  );
}

/** The weight or statistic of that name. */
function weightNamed(name: string, shape: readonly number[]): NdArray<"float32"> {
  const phase = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 97;
  if (name.endsWith("conv.weight"))
    return sines(shape, 2 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b)), 0, phase);
  if (name.endsWith("norm.weight")) return sines(shape, 0.2, 1, phase);
  if (name.endsWith("norm.bias")) return sines(shape, 0.2, 0, phase);
  if (name.endsWith("running_mean")) return sines(shape, 0.1, 0, phase);
  if (name.endsWith("running_var")) return sines(shape, 0.3, 1, phase);
  return float32(new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0), shape);
}

/** Compares values with a summary: elements relative to the largest, sums relative to the length. */
function expectSummary(name: string, value: NdArray | undefined, { shape, sums, few }: Summary): void {
  const data = Array.from(present(value).data, Number);
  expect(present(value).shape, name).toEqual(shape);
  const length = Math.sqrt(sums[0]);
  const step = Math.max(1, Math.floor(data.length / 12));
  for (const [i, expected] of few.entries()) {
    expect(Math.abs(present(data[i * step]) - expected), `${name}, element ${i * step}`).toBeLessThan(
      2e-4 * length + 1e-6,
    );
  }
  const waves = sines([data.length], 1, 0, 1).data;
  const sum = (of: (v: number, i: number) => number): number => data.reduce((s, v, i) => s + of(v, i), 0);
  expect(Math.abs(sum((v) => v * v) - sums[0]), `${name}, squares`).toBeLessThan(1e-3 * sums[0] + 1e-6);
  expect(Math.abs(sum((v, i) => v * present(waves[i])) - sums[1]), `${name}, waves`).toBeLessThan(
    1e-3 * length * Math.sqrt(data.length) + 1e-6,
  );
}

function greatest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b));
}

describe.each([
  ["csp", new CspNet({ width: 0.25, depth: 0.5, coarsestStride: 8 })],
  ["resnet", new ResNet({ width: 0.25, depth: 1, coarsestStride: 8 })],
])(
  "branches of %s are those of PyTorch with shared weights and one batch norm",
  (name, network: Backbone) => {
    const expected = present(fixture[name]);
    nameParameters(network);
    const state = new Map(
      [...initialState(network, 1)].map(([key, { shape }]) => [key, weightNamed(key, shape)]),
    );
    const images = sines([2, 3, 32, 48], 0.5, 0.5, 0.3);
    const x = input("x", images.shape);
    const last = (dilations: readonly number[]): Tensor => present(network.forward(x, dilations).at(-1));

    it("in training: values, gradients and statistics", async () => {
      const { result: y, updates } = traceTraining(() => last([1, 2, 3]));
      const loss = y.mul(constant(sines(y.shape as readonly number[], 1, 0, 2))).sum();
      const parameters = parametersOf(network);
      const buffers = buffersOf(network).filter(({ name: buffer }) => buffer.includes("running"));
      const outputs = new Map<string, Tensor>([["y", y]]);
      for (const [i, gradient] of grad(loss, [...parameters]).entries()) {
        outputs.set(present(parameters[i]).name, gradient);
      }
      for (const buffer of buffers) outputs.set(buffer.name, present(updates.get(buffer)));
      const program = await Program.build(outputs, await testRuntime(), state);
      const values = await program.run({ x: images });
      await program.release();
      expectSummary("y", values.y, expected.training);
      expect(parameters.map((parameter) => parameter.name).sort()).toEqual(
        Object.keys(expected.gradients).sort(),
      );
      for (const [key, summary] of Object.entries(expected.gradients))
        expectSummary(key, values[key], summary);
      expect(buffers.map((buffer) => buffer.name).sort()).toEqual(Object.keys(expected.statistics).sort());
      for (const [key, summary] of Object.entries(expected.statistics))
        expectSummary(key, values[key], summary);
    });

    it("each by itself, with the statistics gathered", async () => {
      const y = concat(
        [1, 2, 3].map((dilation) => last([dilation])),
        0,
      );
      const program = await Program.build({ y }, await testRuntime(), state);
      expectSummary("y", (await program.run({ x: images })).y, expected.looking);
      await program.release();
    });
  },
);

it.each(PUBLISHED_NAMES)(
  "branches of %s stacked are those one by one, and the first is the plain network",
  async (name) => {
    const network = nameParameters(publishedBackbone(name, { coarsestStride: 8 }));
    const state = initialState(network, 1);
    const images = sines([1, 3, 64, 64], 0.5, 0.5, 0.3);
    const x = input("x", images.shape);
    const last = (dilations?: readonly number[]): Tensor => present(network.forward(x, dilations).at(-1));
    const outputs = { plain: last(), all: last([1, 2, 3]), one: last([1]), two: last([2]), three: last([3]) };
    const program = await Program.build(outputs, await testRuntime(), state);
    const values = await program.run({ x: images });
    await program.release();
    const read = (key: keyof typeof outputs) => Array.from(present(values[key]).data, Number);
    expect(values.all?.shape).toEqual([3, present(network.levels.at(-1)).channels, 8, 8]);
    const apart = [...read("one"), ...read("two"), ...read("three")];
    const largest = greatest(apart.map(Math.abs));
    const differences = read("all").map((value, i) => Math.abs(value - present(apart[i])));
    expect(greatest(differences)).toBeLessThan(1e-4 * largest);
    expect(read("one")).toEqual(read("plain"));
    const two = read("two");
    const apartness = read("three").map((value, i) => Math.abs(value - present(two[i])));
    expect(greatest(apartness)).toBeGreaterThan(1e-3 * largest);
  },
);

describe("ranges", () => {
  const box = fc
    .tuple(fc.nat(60), fc.nat(60), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }))
    .map(([x, y, width, height]) => [x, y, x + width, y + height] as const);
  const ends = fc
    .array(fc.integer({ min: 0, max: 60 }), { minLength: 6, maxLength: 6 })
    .map((values) => values.map((value, i) => (i % 2 === 0 ? value : present(values[i - 1]) + 1 + value)));
  const fits = ([x1, y1, x2, y2]: readonly number[], [from = 0, to = 0]: readonly number[]): boolean => {
    const size = Math.sqrt(present(x2) - present(x1)) * Math.sqrt(present(y2) - present(y1));
    return size > from - 1e-4 && size < to + 1e-4;
  };

  it("make objects of other sizes no objects of a branch and no background, and their scores 0", async () => {
    const [rows, classes] = [4, 2];
    await fc.assert(
      fc.asyncProperty(
        ends,
        fc.array(fc.tuple(box, fc.integer({ min: -1, max: 1 })), {
          minLength: 2 * rows,
          maxLength: 2 * rows,
        }),
        fc.boolean(),
        async (tridentRanges, objects, marked) => {
          const trident = new Trident({ trident: "full", tridentRanges });
          const edges = objects.flatMap(([own]) => [...own]);
          const labels = objects.map(([, label]) => label);
          const ignored = [1, 2, 3, 4, 5, 6, 7, 8];
          const stacked = trident.objects({
            boxes: constant(float32(edges, [2, rows, 4])),
            labels: constant(int64(labels, [2, rows])),
            ignored: constant(float32(ignored, [2, 1, 4])),
            ...(marked && { invalid: constant(float32(ignored, [2, 1, 4])) }),
          });
          const seen = {
            boxes: constant(float32(edges, [2, rows, 4])),
            scores: constant(float32(new Array<number>(2 * rows * classes).fill(0.5), [2, rows, classes])),
          };
          const merged = trident.merged([seen, seen, seen]);
          const program = await Program.build(
            { ...stacked, found: merged.boxes, scores: merged.scores } as Readonly<Record<string, Tensor>>,
            await testRuntime(),
          );
          const values = await program.run({});
          await program.release();
          const read = (name: string) => Array.from(present(values[name]).data, Number);
          const ranges = [0, 2, 4].map((i) => tridentRanges.slice(i, i + 2));
          const own = (i: number, branch: number) => fits(present(objects[i])[0], present(ranges[branch]));
          expect(read("boxes")).toEqual([...edges, ...edges, ...edges]);
          expect(read("labels")).toEqual(
            ranges.flatMap((_, branch) => labels.map((label, i) => (own(i, branch) ? label : -1))),
          );
          const regions = ranges.flatMap((_, branch) =>
            [0, 1].flatMap((image) => [
              ...(marked ? ignored.slice(4 * image, 4 * image + 4) : []),
              ...objects
                .slice(rows * image, rows * (image + 1))
                .flatMap(([corners, label], i) =>
                  label >= 0 && !own(rows * image + i, branch) ? [...corners] : [0, 0, 0, 0],
                ),
            ]),
          );
          expect(read("invalid")).toEqual(regions);
          expect(read("ignored")).toEqual([...ignored, ...ignored, ...ignored]);
          expect(read("found")).toEqual(
            [0, 1].flatMap((image) => {
              const ofImage = edges.slice(4 * rows * image, 4 * rows * (image + 1));
              return [...ofImage, ...ofImage, ...ofImage];
            }),
          );
          expect(read("scores")).toEqual(
            [0, 1].flatMap((image) =>
              ranges.flatMap((_, branch) =>
                Array.from({ length: rows }, (__, i) => (own(rows * image + i, branch) ? 0.5 : 0)).flatMap(
                  (score) => [score, score],
                ),
              ),
            ),
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it.each([
    [{ trident: "off", tridentRanges: [0, 9, 3, 20, 9, 99] }, /add --trident full/],
    [{ trident: "fast", tridentRanges: [0, 9, 3, 20, 9, 99] }, /one branch looks for objects of all sizes/],
    [{ trident: "full", tridentRanges: [0, 9, 3, 20] }, /0,9,3,20 is not from,to of 3 branches/],
    [{ trident: "full", tridentRanges: [9, 0, 3, 20, 9, 99] }, /each from below its to/],
    [{ trident: "full", tridentRanges: [0, 9, 3, 20, 9, 99, 7] }, /from,to of 3 branches/],
  ] as const)("%j are refused", (options, message) => {
    expect(() => new Trident(options)).toThrow(OptionError);
    expect(() => new Trident(options)).toThrow(message);
  });
});
