import { describe, expect, it } from "vitest";
import {
  PYRAMID_RULE,
  type RoiAlignOptions,
  regionFeatures,
  regionLevels,
  roiAlign,
} from "../../../src/detection/regions/roi-align.ts";
import { roiMaxPool } from "../../../src/detection/regions/roi-pool.ts";
import { ShapeError } from "../../../src/errors.ts";
import { Program } from "../../../src/program/program.ts";
import { apply, type Operation } from "../../../src/tensor/index.operations.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  type NdArray,
  type Tensor,
} from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";
import {
  build,
  checkOperation,
  runAll,
  testRuntime,
  type Values,
  at as valueAt,
} from "../../tensor/support.ts";
import { noise, regionCases } from "./support.ts";

const cases = await regionCases();
const MAP = noise([2, 3, 9, 11], 2);
const STRIDE = 8;

/** [n, R, bins · C, bins] in the order of torchvision, [n, R, C, bins, bins]. */
function inOrder(read: Tensor, channels: number, bins: number): Tensor {
  const [n = 1, count = 1] = read.shape;
  return read.reshape([n, count, bins, channels, bins]).transpose([0, 1, 3, 2, 4]);
}

/** RoIAlign as a loop over samples, after torchvision's kernel. */
function alignedByLoops(map: Values, regions: readonly number[], options: Required<RoiAlignOptions>): Values {
  const [n = 0, channels = 0, height = 0, width = 0] = map.shape;
  const { bins, samples, aligned } = options;
  const count = regions.length / 4 / n;
  const offset = aligned ? 0.5 : 0;
  const sample = (image: number, channel: number, y: number, x: number): number => {
    if (y < -1 || y > height || x < -1 || x > width) return 0;
    const [top, left] = [Math.max(y, 0), Math.max(x, 0)];
    const [y0, x0] = [Math.min(Math.floor(top), height - 1), Math.min(Math.floor(left), width - 1)];
    const [y1, x1] = [Math.min(y0 + 1, height - 1), Math.min(x0 + 1, width - 1)];
    const [v, u] = [y0 === height - 1 ? 0 : top - y0, x0 === width - 1 ? 0 : left - x0];
    const value = (row: number, column: number) => valueAt(map, [image, channel, row, column]);
    return (
      (1 - v) * ((1 - u) * value(y0, x0) + u * value(y0, x1)) +
      v * ((1 - u) * value(y1, x0) + u * value(y1, x1))
    );
  };
  return build(
    [n, count, channels, bins, bins],
    ([image = 0, region = 0, channel = 0, row = 0, column = 0]) => {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = regions
        .slice(4 * (image * count + region), 4 * (image * count + region) + 4)
        .map((edge) => edge / STRIDE - offset);
      const side = (from: number, to: number) => (aligned ? to - from : Math.max(to - from, 1)) / bins;
      const [h, w] = [side(y1, y2), side(x1, x2)];
      let sum = 0;
      for (let i = 0; i < samples; i++) {
        for (let j = 0; j < samples; j++) {
          const y = y1 + h * (row + (i + 0.5) / samples);
          sum += sample(image, channel, y, x1 + w * (column + (j + 0.5) / samples));
        }
      }
      return sum / samples ** 2;
    },
  );
}

/** The runtime's own operator. */
function runtimeAlign({ bins, samples, aligned }: Required<RoiAlignOptions>): Operation {
  return {
    name: "RoiAlign",
    infer: ([map, rois]) => [
      { shape: [Number(rois?.shape[0]), Number(map?.shape[1]), bins, bins], dtype: "float32" },
    ],
    lower: (context, { inputs }) => [
      context.emit1({
        op: "RoiAlign",
        inputs: inputs.map((x) => context.value(x)),
        attributes: {
          mode: { string: "avg" },
          output_height: { int: bins },
          output_width: { int: bins },
          sampling_ratio: { int: samples },
          spatial_scale: { float: 1 / STRIDE },
          coordinate_transformation_mode: { string: aligned ? "half_pixel" : "output_half_pixel" },
        },
      }),
    ],
  };
}

describe("RoIAlign", () => {
  it.each(["align", "aligned", "samples"] as const)(
    "is torchvision's, with its gradient: %s",
    async (name) => {
      const { bins, samples, aligned, regions, output, gradient } = cases[name];
      const map = input("map", MAP.shape);
      const read = inOrder(
        roiAlign(map, constant(float32(regions, [2, 4, 4])), STRIDE, { bins, samples, aligned }),
        3,
        bins,
      );
      const weights = noise([8, 3, bins, bins], 1, 0.2, 0.5);
      const [slope = map] = grad(read.reshape(weights.shape).mul(constant(weights)).sum(), [map]);
      const [result] = await runAll({ read, slope }, [{ map: MAP }]);
      expect(largestDifference(present(result?.read).data, output)).toBeLessThan(2e-6);
      expect(largestDifference(present(result?.slope).data, gradient)).toBeLessThan(5e-6);
    },
  );

  it.each([
    { bins: 2, samples: 2, aligned: false },
    { bins: 3, samples: 1, aligned: true },
    { bins: 1, samples: 4, aligned: true },
  ])(
    "is what a loop over samples gives, and its gradient what finite differences are: %j",
    async (options) => {
      // All but one region beyond the border: finite differences take time.
      const regions = [4, 3, 30, 41.5, -9, 20, 21, 70];
      const name = "roiAlign";
      await checkOperation(
        {
          name,
          float32Only: true,
          apply: (map) =>
            inOrder(roiAlign(map, constant(float32(regions, [1, 2, 4])), STRIDE, options), 2, options.bins),
          reference: (map) => alignedByLoops(map, regions, options),
        },
        [{ shape: [1, 2, 6, 5], data: numbers(noise([1, 2, 6, 5], 1)) }],
      );
    },
  );

  it.each([false, true])("is what the runtime's own operator gives; aligned: %s", async (aligned) => {
    const options = { bins: 7, samples: 2, aligned };
    const map = input("map", MAP.shape);
    const regions = cases.align.regions;
    const image = constant(int64([0, 0, 0, 0, 1, 1, 1, 1], [8]));
    const own = inOrder(roiAlign(map, constant(float32(regions, [2, 4, 4])), STRIDE, options), 3, 7);
    const other = apply(runtimeAlign(options), [map, constant(float32(regions, [8, 4])), image], {});
    const [result] = await runAll({ own, other }, [{ map: MAP }]);
    expect(largestDifference(present(result?.own).data, present(result?.other).data)).toBeLessThan(5e-6);
  });

  it("gives the same bits at every run, and no gradient to regions", async () => {
    const [map, regions] = [input("map", MAP.shape), input("regions", [2, 4, 4])];
    const read = roiAlign(map, regions, STRIDE);
    const [slope = map, none = regions] = grad(read.square().sum(), [map, regions]);
    const feeds = { map: MAP, regions: float32(cases.align.regions, [2, 4, 4]) };
    const [first, second] = await runAll({ slope, none }, [feeds, feeds]);
    expect(first?.slope?.data).toEqual(second?.slope?.data);
    expect(first?.slope?.data.some((value) => value !== 0)).toBe(true);
    expect(first?.none?.data.every((value) => value === 0)).toBe(true);
  });

  it("names regions that are none", () => {
    expect(() => roiAlign(input("map", [1, 2, 4, 4]), input("regions", [1, 3, 5]), 8)).toThrow(ShapeError);
  });
});

describe("a pyramid", () => {
  const strides = [8, 16, 32];
  const levels = strides.map((stride) => ({ channels: 2, stride }));
  const regions = (sides: readonly number[]) =>
    constant(
      float32(
        sides.flatMap((side) => [20, 10, 20 + side, 10 + side]),
        [1, sides.length, 4],
      ),
    );

  it("is read as torchvision's MultiScaleRoIAlign does", async () => {
    const { sides, output, levels: expected } = cases.pyramid;
    const maps = strides.map((stride, i) => noise([1, 2, 640 / stride, 640 / stride], 1, 0, i));
    const read = inOrder(
      regionFeatures(
        maps.map((map) => constant(map)),
        levels,
        regions(sides),
        { bins: 2 },
      ),
      2,
      2,
    );
    const [result] = await runAll({ read, levels: regionLevels(regions(sides), levels) }, [{}]);
    expect(result?.levels?.data).toEqual(expected);
    expect(largestDifference(present(result?.read).data, output)).toBeLessThan(2e-6);
  });

  it("has a rule that can be another one", async () => {
    const own = regionLevels(regions([10, 32, 63, 64, 128, 5000]), levels, { side: 64, stride: 16 });
    const usual = regionLevels(regions([10, 32, 63, 64, 128, 5000]), levels, PYRAMID_RULE);
    const [result] = await runAll({ own, usual }, [{}]);
    expect(result?.own?.data).toEqual([0, 0, 0, 1, 2, 2]);
    expect(result?.usual?.data).toEqual([0, 0, 0, 0, 0, 2]);
  });
});

describe("RoI pooling", () => {
  it("is torchvision's, for any number of images", async () => {
    const { bins, regions, output } = cases.pool;
    const [map, boxes] = [input("map", ["batch", 3, 9, 11]), input("regions", ["batch", 4, 4])];
    const program = await Program.build(
      new Map([["pooled", roiMaxPool(map, boxes, STRIDE, bins)]]),
      await testRuntime(),
    );
    const twice = (array: NdArray<"float32">, shape: readonly number[]) =>
      float32([...array.data, ...array.data], shape);
    const both = { map: MAP, regions: float32(regions, [2, 4, 4]) };
    const { pooled } = await program.run(both);
    expect(largestDifference(numbers(pooled), output)).toBeLessThan(1e-6);
    const more = await program.run({
      map: twice(both.map, [4, 3, 9, 11]),
      regions: twice(both.regions, [4, 4, 4]),
    });
    await program.release();
    expect(largestDifference(numbers(more.pooled), [...output, ...output])).toBeLessThan(1e-6);
  });
});
