import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readRegions } from "../../../src/detection/regions/region-read.ts";
import { regionFeatures, regionLevels } from "../../../src/detection/regions/roi-align.ts";
import { GradientError, ShapeError } from "../../../src/errors.ts";
import { Program } from "../../../src/program/program.ts";
import { webRuntime } from "../../../src/program/web.ts";
import { constant, float32, grad, input, type Tensor } from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";
import { few, runAll, testRuntime } from "../../tensor/support.ts";
import { noise, regionCases } from "./support.ts";

const cases = await regionCases();
const CHANNELS = 2;
/** Of maps. */
const [HEIGHT, WIDTH] = [96, 160];
/** Sides of 16, 32 and 64 pixels begin a level. */
const RULE = { side: 32, stride: 8 };

/** What `regionFeatures` gives, in the order of torchvision. */
function inOrder(read: Tensor, bins: number): Tensor {
  const [n = 1, count = 1] = read.shape;
  return read.reshape([n, count, bins, CHANNELS, bins]).transpose([0, 1, 3, 2, 4]);
}

function levelsOf(strides: readonly number[]) {
  return strides.map((stride) => ({ channels: CHANNELS, stride }));
}

function mapsOf(images: number, strides: readonly number[]) {
  return strides.map((stride, i) => noise([images, CHANNELS, HEIGHT / stride, WIDTH / stride], 1, 0, i));
}

/** Regions of all sizes, some of no width, turned inside out, or partly or wholly outside of the map. */
const edge = (side: number) =>
  fc.oneof(
    fc.integer({ min: -40, max: side + 40 }),
    fc.double({ min: -1.2 * side, max: 2.2 * side, noNaN: true }),
    fc.constantFrom(0, side, -8, side + 8, 1e30, -1e30),
  );
const side = fc.oneof(fc.constantFrom(0, -3, 1e-3, 16, 32, 64), fc.double({ min: 0, max: 120, noNaN: true }));
const region = fc
  .tuple(edge(WIDTH), edge(HEIGHT), side, side)
  .map(([x, y, width, height]) => [x, y, x + width, y + height]);

/**
 * Whether a sample of a region stands so near to where samples begin to count 0, one location outside of a map, that rounding decides on
 * which side.
 */
function isUndecided(
  edges: readonly number[],
  strides: readonly number[],
  { bins, samples, aligned }: { readonly bins: number; readonly samples: number; readonly aligned: boolean },
): boolean {
  return strides.some((stride) =>
    [0, 1].some((axis) => {
      const size = (axis === 0 ? WIDTH : HEIGHT) / stride;
      const [low = 0, high = 0] = [edges[axis], edges[2 + axis]].map(
        (at = 0) => at / stride - (aligned ? 0.5 : 0),
      );
      const step = (aligned ? high - low : Math.max(high - low, 1)) / (bins * samples);
      return Array.from({ length: bins * samples }, (_, i) => low + (i + 0.5) * step).some(
        (at) => Math.min(Math.abs(at + 1), Math.abs(at - size)) < 1e-4,
      );
    }),
  );
}

describe("regions read by the operator", () => {
  it("are what the products read: any region, level and number of images", async () => {
    const sets = fc.record({
      images: fc.integer({ min: 1, max: 3 }),
      strides: fc.constantFrom([8], [4, 8], [4, 8, 16]),
      bins: fc.constantFrom(1, 2, 7),
      samples: fc.constantFrom(1, 2, 3),
      aligned: fc.boolean(),
      regions: fc.array(region, { minLength: 12, maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(sets, async ({ images, strides, regions, ...options }) => {
        const decided = regions.map((edges) => (isUndecided(edges, strides, options) ? [1, 2, 3, 4] : edges));
        const boxes = constant(float32(decided.flat(), [images, 12 / images, 4]));
        const maps = mapsOf(images, strides).map((map) => constant(map));
        const levels = levelsOf(strides);
        const own = readRegions(maps, levels, boxes, options, RULE);
        const products = inOrder(regionFeatures(maps, levels, boxes, options, RULE), options.bins);
        const [result] = await runAll({ own, products }, [{}]);
        expect(largestDifference(present(result?.own).data, present(result?.products).data)).toBeLessThan(
          2e-5,
        );
      }),
      few(12),
    );
  });

  it("are torchvision's, in torchvision's order", async () => {
    const strides = [8, 16, 32];
    const { sides, output } = cases.pyramid;
    const maps = strides.map((stride, i) => constant(noise([1, 2, 640 / stride, 640 / stride], 1, 0, i)));
    const boxes = sides.flatMap((length) => [20, 10, 20 + length, 10 + length]);
    const regions = constant(float32(boxes, [1, sides.length, 4]));
    const [result] = await runAll({ read: readRegions(maps, levelsOf(strides), regions, { bins: 2 }) }, [{}]);
    expect(largestDifference(present(result?.read).data, output)).toBeLessThan(2e-6);
  });

  it("stay in their order where all belong to one level, and images to different ones", async () => {
    const strides = [4, 8, 16];
    const [maps, levels] = [mapsOf(2, strides).map((map) => constant(map)), levelsOf(strides)];
    const at = (length: number, place: number) => [place, 9, place + length, 9 + length];
    // The first image has small regions, the second large ones: none is read from the level between them.
    const edges = [at(80, 3), at(70, 40), at(90, 60), at(5, 7), at(8, 50), at(3, 90)].reverse().flat();
    const regions = constant(float32(edges, [2, 3, 4]));
    const [result] = await runAll(
      {
        levels: regionLevels(regions, levels, RULE),
        own: readRegions(maps, levels, regions, { bins: 2 }, RULE),
        products: inOrder(regionFeatures(maps, levels, regions, { bins: 2 }, RULE), 2),
      },
      [{}],
    );
    expect(result?.levels?.data).toEqual([0, 0, 0, 2, 2, 2]);
    expect(largestDifference(present(result?.own).data, present(result?.products).data)).toBeLessThan(5e-6);
  });

  it("may be of any number of images", async () => {
    const strides = [4, 8, 16];
    const maps = strides.map((stride) =>
      input(`map${stride}`, ["batch", CHANNELS, HEIGHT / stride, WIDTH / stride]),
    );
    const regions = input("regions", ["batch", 4, 4]);
    const read = readRegions(maps, levelsOf(strides), regions, { bins: 3 }, RULE);
    expect(read.shape).toEqual(["batch", 4, CHANNELS, 3, 3]);
    const program = await Program.build(new Map([["read", read]]), await testRuntime());
    const fixed = (images: number) => {
      const boxes = Array.from({ length: 4 * images }, (_, i) => [
        7 * i,
        3 * i,
        7 * i + 6 * (i % 5) ** 2,
        9 * i,
      ]);
      return {
        ...Object.fromEntries(mapsOf(images, strides).map((map, i) => [`map${strides[i]}`, map])),
        regions: float32(boxes.flat(), [images, 4, 4]),
      };
    };
    for (const images of [1, 3]) {
      const feeds = fixed(images);
      const { read: own } = await program.run(feeds);
      const given = mapsOf(images, strides).map((map) => constant(map));
      const expected = inOrder(
        regionFeatures(given, levelsOf(strides), constant(feeds.regions), { bins: 3 }, RULE),
        3,
      );
      const [result] = await runAll({ expected }, [{}]);
      expect(largestDifference(numbers(own), present(result?.expected).data)).toBeLessThan(5e-6);
    }
    await program.release();
  });

  it("are the same in a browser's runtime", async () => {
    const strides = [4, 8, 16];
    const edges = [3, 9, 83, 89, 7, 9, 12, 14, 40, 30, 64, 55, 150, 90, 190, 130];
    const maps = mapsOf(2, strides).map((map) => constant(map));
    const read = readRegions(maps, levelsOf(strides), constant(float32(edges, [2, 2, 4])), {}, RULE);
    const results = [];
    for (const runtime of [await testRuntime(), await webRuntime({ threads: 1 })]) {
      const program = await Program.build({ read }, runtime);
      results.push(numbers((await program.run({})).read));
      await program.release();
    }
    expect(results[1]?.some((value) => value !== 0)).toBe(true);
    expect(largestDifference(present(results[0]), present(results[1]))).toBeLessThan(1e-6);
  });

  it("that are no numbers are read as at the origin", async () => {
    const maps = mapsOf(1, [4, 8]).map((map) => constant(map));
    const read = (edges: readonly number[]) =>
      readRegions(maps, levelsOf([4, 8]), constant(float32(edges, [1, 2, 4])), { bins: 2 }, RULE);
    const { NaN: none, POSITIVE_INFINITY: far } = Number;
    const [result] = await runAll(
      {
        own: read([none, none, none, none, -far, 0, far, 40]),
        other: read([0, 0, 0, 0, -1e12, 0, 1e12, 40]),
      },
      [{}],
    );
    expect(result?.own?.data).toEqual(result?.other?.data);
    expect(result?.own?.data.every((value) => Number.isFinite(value))).toBe(true);
  });

  it("have no gradient, and say so", () => {
    const maps = [input("map", [1, CHANNELS, 4, 4])];
    const read = readRegions(maps, levelsOf([8]), constant(float32([0, 0, 9, 9], [1, 1, 4])));
    expect(() => grad(read.sum(), maps)).toThrow(GradientError);
    expect(() => grad(read.sum(), maps)).toThrow(/readRegions/);
  });

  it("must be given with maps that fit them", () => {
    const regions = input("regions", [2, 3, 4]);
    const map = input("map", [2, CHANNELS, 4, 4]);
    const levels = levelsOf([8, 16]);
    expect(() => readRegions([map], levels, regions)).toThrow(ShapeError);
    expect(() => readRegions([map, input("other", [1, CHANNELS, 2, 2])], levels, regions)).toThrow(
      ShapeError,
    );
    expect(() => readRegions([map, map], levels, input("regions", [2, 3, 5]))).toThrow(ShapeError);
  });
});
