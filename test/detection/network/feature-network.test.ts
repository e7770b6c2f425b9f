import { describe, expect, it } from "vitest";
import { CspNet, ResNet, scaledChannels } from "../../../src/backbones/backbone.ts";
import {
  FeatureNetwork,
  type FeatureNetworkOptions,
  imageSize,
} from "../../../src/detection/network/feature-network.ts";
import { Fpn, type NeckKind, neckOf } from "../../../src/detection/network/necks.ts";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { initialState, nameParameters, parameterCount } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { float32, grad, input, type Tensor } from "../../../src/tensor/index.ts";
import { testRuntime } from "../../tensor/support.ts";

const usual: FeatureNetworkOptions = {
  backbone: "csp",
  width: 1,
  depth: 1,
  neck: "fpn",
  finestStride: 8,
  levels: 3,
};

describe("backbones", () => {
  it.each([
    ["csp", CspNet],
    ["resnet", ResNet],
  ])("%s gives maps of strides 4 to 32", (_, Network) => {
    const network = new Network({ width: 1, depth: 1 });
    const maps = network.forward(input("x", [2, 3, 96, 64]));
    expect(network.levels.map(({ stride }) => stride)).toEqual([4, 8, 16, 32]);
    expect(maps.map(({ shape }) => shape)).toEqual(
      network.levels.map(({ channels, stride }) => [2, channels, 96 / stride, 64 / stride]),
    );
    expect(() => network.forward(input("x", [2, 3, 96, 80]))).toThrow(ShapeError);
    expect(() => network.forward(input("x", [2, 1, 96, 64]))).toThrow(/multiples of 32/);
  });

  it("grow with width and depth", () => {
    for (const Network of [CspNet, ResNet]) {
      const size = (width: number, depth: number) =>
        parameterCount(nameParameters(new Network({ width, depth })));
      expect(size(2, 1)).toBeGreaterThan(3 * size(1, 1));
      expect(size(1, 2)).toBeGreaterThan(1.2 * size(1, 1));
      expect(size(1, 0.1)).toBeLessThan(size(1, 1));
      // At least one block a stage, at least 16 channels.
      expect(size(0.01, 0.01)).toBe(size(0.02, 0.02));
    }
    expect([1, 0.3, 0.05, 1.4].map((width) => scaledChannels(64, width))).toEqual([64, 16, 16, 96]);
  });
});

describe("necks", () => {
  const levels = [8, 16, 32].map((stride, i) => ({ channels: 16 * (i + 1), stride }));
  const maps = () => levels.map(({ channels }, i) => input(`map${i}`, [1, channels, 8 >> i, 8 >> i]));

  /** Which input maps each output depends on: the largest derivative of the output's sum. */
  async function influences(kind: NeckKind, outputs?: number, topDownFrom?: number) {
    const asked = {
      ...(outputs !== undefined && { outputs }),
      ...(topDownFrom !== undefined && { topDownFrom }),
    };
    const neck = nameParameters(neckOf(kind, levels, 16, asked));
    const inputs = maps();
    const results = neck.forward(inputs);
    expect(results.map(({ shape }) => shape)).toEqual(
      neck.levels.map(({ stride }) => [1, 16, 64 / stride, 64 / stride]),
    );
    const derivatives = results.flatMap((output, i) =>
      grad(output.square().sum(), inputs).map((gradient, j) => [`${i} ${j}`, gradient] as const),
    );
    const feeds = Object.fromEntries(
      inputs.map((map, i) => [
        `map${i}`,
        float32(
          Array.from({ length: Number(map.shape[1]) * 64 * 0.25 ** i }, (_, k) => Math.sin(k + i)),
          map.shape as readonly number[],
        ),
      ]),
    );
    const outputsByName: Record<string, Tensor> = Object.fromEntries(derivatives);
    const program = await Program.build(outputsByName, await testRuntime(), initialState(neck, 1));
    const values = await program.run(feeds);
    await program.release();
    return results.map((_, i) =>
      inputs.flatMap((__, j) => {
        const gradient = Array.from(values[`${i} ${j}`]?.data ?? [], Number);
        return gradient.some((value) => value !== 0) ? [j] : [];
      }),
    );
  }

  it("none leaves every map by itself", async () => {
    expect(await influences("none")).toEqual([[0], [1], [2]]);
  });

  it("fpn brings what is seen from afar down to finer maps", async () => {
    expect(await influences("fpn")).toEqual([[0, 1, 2], [1, 2], [2]]);
  });

  it("fpn may begin at a middle map: what is coarser stays by itself", async () => {
    expect(await influences("fpn", 3, 16)).toEqual([[0, 1], [1], [2]]);
    expect(await influences("fpn", 3, 32)).toEqual([[0, 1, 2], [1, 2], [2]]);
  });

  it("pan brings edges up again", async () => {
    expect(await influences("pan")).toEqual([
      [0, 1, 2],
      [0, 1, 2],
      [0, 1, 2],
    ]);
  });

  it("may give the finest maps alone", async () => {
    expect(await influences("fpn", 1)).toEqual([[0, 1, 2]]);
    expect(await influences("pan", 2)).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    expect(await influences("none", 2)).toEqual([[0], [1]]);
  });

  it("fpn adds maps that are doubled by repetition", async () => {
    // Statistics of a new network are 0 and 1: each normalization divides by √(1 + ε).
    const fpn = nameParameters(
      new Fpn(
        [
          { channels: 1, stride: 1 },
          { channels: 1, stride: 2 },
        ],
        1,
      ),
    );
    const state = new Map(initialState(fpn, 1));
    for (const [name, value] of state) {
      if (!name.includes("conv.weight")) continue;
      const center = float32(value.shape[3] === 3 ? [0, 0, 0, 0, 1, 0, 0, 0, 0] : [1], value.shape);
      state.set(name, center);
    }
    const inputs = [input("fine", [1, 1, 2, 4]), input("coarse", [1, 1, 1, 2])];
    const [fine, coarse] = fpn.forward(inputs);
    if (fine === undefined || coarse === undefined) throw new Error("a map is missing");
    const program = await Program.build({ fine, coarse }, await testRuntime(), state);
    const values = await program.run({
      fine: float32([1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 2, 4]),
      coarse: float32([10, 20], [1, 1, 1, 2]),
    });
    await program.release();
    const unit = 1 / Math.sqrt(1 + 1e-5);
    const silu = (x: number) => expect.closeTo(x / (1 + Math.exp(-x)), 4);
    expect(Array.from(values.fine?.data ?? [], Number)).toEqual(
      [11, 12, 23, 24, 15, 16, 27, 28].map((x) => silu(x * unit * unit)),
    );
    expect(Array.from(values.coarse?.data ?? [], Number)).toEqual([10, 20].map((x) => silu(x * unit * unit)));
  });
});

describe("FeatureNetwork", () => {
  const strides = (options: Partial<FeatureNetworkOptions>) => {
    const network = new FeatureNetwork({ ...usual, ...options });
    const maps = network.forward(input("x", [1, 3, 160, 96]));
    expect(maps.map(({ shape }) => shape)).toEqual(
      network.levels.map(({ channels, stride }) => [
        1,
        channels,
        Math.ceil(160 / stride),
        Math.ceil(96 / stride),
      ]),
    );
    return network.levels.map(({ stride }) => stride);
  };

  it.each(["fpn", "pan", "none"] as const)("with neck %s gives the levels that are asked for", (neck) => {
    expect(strides({ neck })).toEqual([8, 16, 32]);
    expect(strides({ neck, finestStride: 4, levels: 1 })).toEqual([4]);
    expect(strides({ neck, finestStride: 32, levels: 1 })).toEqual([32]);
    expect(strides({ neck, finestStride: 8, levels: 5 })).toEqual([8, 16, 32, 64, 128]);
    expect(strides({ neck, backbone: "resnet", width: 0.5 })).toEqual([8, 16, 32]);
  });

  it("without a neck does not make maps that nobody sees", () => {
    const size = (neck: NeckKind) =>
      parameterCount(nameParameters(new FeatureNetwork({ ...usual, neck, finestStride: 4, levels: 1 })));
    expect(size("none")).toBeLessThan(0.2 * size("fpn"));
  });

  it("makes no maps beyond the one at which the path down begins, where none is asked for", () => {
    const size = (options: Partial<FeatureNetworkOptions>) =>
      parameterCount(nameParameters(new FeatureNetwork({ ...usual, ...options })));
    const finest = { finestStride: 4, levels: 2 } as const;
    expect(size({ ...finest, topDownFrom: 16 })).toBeLessThan(0.7 * size(finest));
    expect(size({ ...finest, topDownFrom: 32 })).toBe(size(finest));
    expect(size({ topDownFrom: 16 })).toBe(size({}));
    expect(strides({ topDownFrom: 16, levels: 4 })).toEqual([8, 16, 32, 64]);
  });

  it("refuses a path down where there is none", () => {
    const made = (options: Partial<FeatureNetworkOptions>) => () =>
      new FeatureNetwork({ ...usual, ...options });
    expect(made({ neck: "pan", topDownFrom: 16 })).toThrow(
      /option topDownFrom: is of the neck fpn, not of pan/,
    );
    expect(made({ topDownFrom: 8 })).toThrow(OptionError);
    expect(made({ topDownFrom: 8 })).toThrow(/from the map of stride 8 there is no way down/);
  });

  it("names images that it cannot take", () => {
    expect(imageSize("yolo", [3, 64, 96])).toEqual({ width: 96, height: 64 });
    expect(() => imageSize("yolo", [3, 300, 320])).toThrow(OptionError);
    expect(() => imageSize("yolo", [3, 300, 320])).toThrow(/320 × 300 pixels do not divide by 32/);
    expect(() => imageSize("yolo", [1, 28, 28])).toThrow(/yolo: takes images \[3, height, width\]/);
    expect(() => imageSize("yolo", [12])).toThrow(OptionError);
  });
});
