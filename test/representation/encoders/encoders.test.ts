import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { encoderFor, encoderOptions } from "../../../src/representation/encoders/index.ts";
import { float32, input } from "../../../src/tensor/index.ts";
import { largestDifference, numbers } from "../../support.ts";

const small = encoderOptions.parse({ channels: 2, hidden: 8, codeSize: 5 });
const image = (channels: number, height: number, width: number): DataInfo => ({
  kind: "image",
  sampleShape: [channels, height, width],
});

describe("the convolutional encoder", () => {
  it("has the maps of the paper", () => {
    const layersOf = (data: DataInfo): Record<string, readonly unknown[]> =>
      Object.fromEntries(
        Object.entries(encoderFor(small, data).layers(input("x", [3, ...data.sampleShape]))).map(
          ([name, { shape }]) => [name, shape],
        ),
      );
    expect(layersOf(image(3, 32, 32))).toEqual({
      conv1: [3, 2, 16, 16],
      conv2: [3, 4, 8, 8],
      conv3: [3, 8, 4, 4],
      local: [3, 4, 8, 8],
      fc: [3, 8],
      code: [3, 5],
    });
    expect(layersOf(image(1, 28, 28))).toMatchObject({ conv2: [3, 4, 7, 7], local: [3, 4, 7, 7] });
    expect(layersOf(image(3, 64, 64))).toMatchObject({ conv4: [3, 16, 4, 4], local: [3, 8, 8, 8] });
  });

  it("takes images of any size from 4×4 and any number of channels", () => {
    fc.assert(
      fc.property(
        fc.tuple(
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 4, max: 150 }),
          fc.integer({ min: 4, max: 150 }),
        ),
        ([channels, height, width]) => {
          const encoder = encoderFor(small, image(channels, height, width));
          const { local, fc: hidden, code } = encoder.layers(input("x", ["batch", channels, height, width]));
          expect(local.shape).toEqual(["batch", ...encoder.localShape]);
          expect(hidden?.shape).toEqual(["batch", 8]);
          expect(code.shape).toEqual(["batch", 5]);
          expect(Math.min(...encoder.localShape)).toBeGreaterThan(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    [image(1, 3, 40), {}, /images of at least 4×4 pixels, not 40×3; enlarge them/],
    [image(1, 28, 28), { groups: 2 }, /option groups: is for tables and points/],
  ])("refuses %j with %j", (data, options, message) => {
    expect(() => encoderFor({ ...small, ...options }, data)).toThrow(OptionError);
    expect(() => encoderFor({ ...small, ...options }, data)).toThrow(message);
  });
});

describe("the encoder of rows", () => {
  const columns = [1, 3, 1, 2, 1].map((size, i) => ({
    name: `c${i}`,
    size,
    ...(size === 1 && { mean: 0, deviation: 1 }),
  }));
  const table: DataInfo = { kind: "table", sampleShape: [8], columns };

  it("divides any columns into groups, all of which have features", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 40 }),
        (sizes, wanted) => {
          const groups = Math.min(wanted, sizes.length);
          const size = sizes.reduce((a, b) => a + b, 0);
          const data: DataInfo = {
            kind: "table",
            sampleShape: [size],
            columns: sizes.map((one, i) => ({ name: `c${i}`, size: one })),
          };
          const { local } = encoderFor({ ...small, groups }, data).layers(input("x", [3, size]));
          expect(local.shape).toEqual([3, 2, groups, 1]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("lets features of a group depend on its columns alone", async () => {
    const encoder = nameParameters(encoderFor({ ...small, groups: 2 }, table));
    const program = compile(["x"], ({ x }) => ({ local: encoder.layers(x).local }), {
      runtime: await nodeRuntime({ threads: 1 }),
      weights: initialState(encoder, 1),
    });
    const row = new Float32Array(8);
    new Random(2).fillNormal(row);
    const changed = Float32Array.from(row, (value, i) => (i < 4 ? value + (i === 0 ? 3 : 0) : value));
    const { local } = await program.run({ x: float32([...row, ...changed], [2, 8]) });
    await program.release();
    const [first, second] = [numbers(local).slice(0, 4), numbers(local).slice(4)];
    // [channels, groups]: the columns of the second group are the same.
    const groupOf = (values: readonly number[], group: number): number[] =>
      values.filter((_, i) => i % 2 === group);
    expect(groupOf(first, 1)).toEqual(groupOf(second, 1));
    expect(largestDifference(groupOf(first, 0), groupOf(second, 0))).toBeGreaterThan(0);
  });

  it("takes points, a column each, and refuses more groups than columns", () => {
    const points: DataInfo = { kind: "points", sampleShape: [2] };
    expect(encoderFor(small, points).localShape).toEqual([2, 2, 1]);
    expect(() => encoderFor({ ...small, groups: 3 }, points)).toThrow(
      "option groups: 3 groups cannot be made of 2 columns; take at most 2",
    );
  });
});
