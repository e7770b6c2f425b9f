import { describe, expect, it } from "vitest";
import { type ReadRegions, RegionEnlarger } from "../../../src/detection/regions/enlarger.ts";
import { nameParameters, parametersOf } from "../../../src/nn/module.ts";
import { Program } from "../../../src/program/program.ts";
import { constant, float32, grad, input, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";
import { testRuntime } from "../../tensor/support.ts";
import { noise } from "./support.ts";

const [IMAGES, COUNT, INPUTS, CHANNELS, BINS] = [2, 3, 3, 16, 2];
const OPTIONS = {
  level: { channels: INPUTS, stride: 4 },
  channels: CHANNELS,
  bins: BINS,
  hidden: 6,
  below: 20,
  from: 40,
  weight: 0.5,
};

const enlarger = nameParameters(new RegionEnlarger(OPTIONS));

/** Larger weights than those of a fresh network, so that residuals are no trifles. */
const weights = new Map(
  parametersOf(enlarger).map(({ name, shape }, i) => [name, noise(shape, 0.4, 0, i)] as const),
);

/** The size of each region, and whether it is on an object. */
const REGIONS = [
  { side: 10, positive: 1 },
  { side: 50, positive: 1 },
  { side: 19.9, positive: 0 },
  { side: 20, positive: 1 },
  { side: 40, positive: 1 },
  { side: 5, positive: 1 },
] as const;

const [SMALL, LARGE] = [
  [0, 5],
  [1, 4],
];

const regions = constant(
  float32(
    REGIONS.flatMap(({ side }, i) => [i, 2 * i, i + side, 2 * i + side]),
    [IMAGES, COUNT, 4],
  ),
);

const positiveRows = (rows: readonly number[]): Tensor =>
  constant({ dtype: "bool", shape: [IMAGES, COUNT], data: Uint8Array.from(rows) });
const positive = positiveRows(REGIONS.map((region) => region.positive));

const SHAPES = {
  features: [IMAGES, COUNT, BINS * CHANNELS, BINS],
  fine: [IMAGES, COUNT, BINS * INPUTS, BINS],
} as const;
const features = input("features", SHAPES.features);
const fine = input("fine", SHAPES.fine);
const feeds = { features: noise(SHAPES.features, 1, 0, 0.3), fine: noise(SHAPES.fine, 1, 0, 1.7) };
const read: ReadRegions = { regions, features, fine };

type Feeds = Readonly<Record<string, NdArray>>;

/** Values of outputs with the weights, or others in their place. */
async function valuesOf(
  outputs: Readonly<Record<string, Tensor>>,
  fed: Feeds = feeds,
  state: ReadonlyMap<string, NdArray> = weights,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const program = await Program.build(new Map(Object.entries(outputs)), await testRuntime());
  try {
    const values = await program.run({ ...Object.fromEntries(state), ...fed });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, numbers(value)]));
  } finally {
    await program.release();
  }
}

/** Numbers of one region of [n, R, …]. */
const ofRegion = (values: ArrayLike<number>, row: number): readonly number[] => {
  const size = values.length / (IMAGES * COUNT);
  return Array.from(values).slice(size * row, size * (row + 1));
};

/** [rows of bins, channels, columns of bins] → [channels, rows, columns]. */
const channelsFirst = (values: readonly number[], channels: number): readonly number[] =>
  Array.from({ length: values.length }, (_, i) => {
    const [channel, row, column] = [Math.floor(i / (BINS * BINS)), Math.floor(i / BINS) % BINS, i % BINS];
    return present(values[(row * channels + channel) * BINS + column]);
  });

const players = { generator: enlarger.generator, discriminator: enlarger.discriminator };

describe("enlarged regions", () => {
  it("are small ones with what the generator makes of each by itself; others are left as they are, bit for bit", async () => {
    const one = input("one", [1, INPUTS, BINS, BINS]);
    const { seen = [] } = await valuesOf({ seen: enlarger.forward(read) });
    const program = await Program.build({ y: enlarger.generator.forward(one) }, await testRuntime());
    for (const [row, { side }] of REGIONS.entries()) {
      const before = ofRegion(feeds.features.data, row);
      if (side >= OPTIONS.below) {
        expect(ofRegion(seen, row)).toEqual(before);
        continue;
      }
      const own = channelsFirst(ofRegion(feeds.fine.data, row), INPUTS);
      const { y } = await program.run({
        ...Object.fromEntries(weights),
        one: float32(own, [1, INPUTS, BINS, BINS]),
      });
      const residual = numbers(y);
      const expected = channelsFirst(before, CHANNELS).map((value, i) => value + present(residual[i]));
      expect(largestDifference(channelsFirst(ofRegion(seen, row), CHANNELS), expected)).toBeLessThan(1e-5);
      expect(Math.max(...residual.map(Math.abs))).toBeGreaterThan(0.1);
    }
    await program.release();
  });

  it("are the same in the order of bins that the operator reads them in", async () => {
    const wide = {
      features: input("features", [IMAGES, COUNT, CHANNELS, BINS, BINS]),
      fine: input("fine", [IMAGES, COUNT, INPUTS, BINS, BINS]),
    };
    const turned = (name: keyof typeof SHAPES, channels: number) =>
      float32(
        REGIONS.flatMap((_, row) => [...channelsFirst(ofRegion(feeds[name].data, row), channels)]),
        [IMAGES, COUNT, channels, BINS, BINS],
      );
    const { seen = [] } = await valuesOf({ seen: enlarger.forward(read) });
    const { seen: again = [] } = await valuesOf(
      { seen: enlarger.forward({ regions, ...wide }) },
      { features: turned("features", CHANNELS), fine: turned("fine", INPUTS) },
    );
    const expected = REGIONS.flatMap((_, row) => [...channelsFirst(ofRegion(seen, row), CHANNELS)]);
    expect(largestDifference(again, expected)).toBeLessThan(1e-5);
  });

  it("have a gradient to the generator and to the finer map where they are small alone", async () => {
    const seen = enlarger.forward(read);
    const all = parametersOf(enlarger.generator);
    const mask = (rows: readonly number[]) =>
      constant(
        float32(
          REGIONS.map((_, i) => Number(rows.includes(i))),
          [IMAGES, COUNT, 1, 1],
        ),
      );
    const others = REGIONS.flatMap(({ side }, i) => (side < OPTIONS.below ? [] : [i]));
    const [ofOthers, ofSmall] = [others, SMALL].map((rows) =>
      grad(seen.mul(mask(rows)).square().sum(), [fine, ...all]),
    );
    const outputs = Object.fromEntries(
      [...present(ofOthers).entries()].flatMap(([i, gradient]) => [
        [`others ${i}`, gradient],
        [`small ${i}`, present(ofSmall?.[i])],
      ]),
    );
    const values = await valuesOf(outputs);
    for (let i = 0; i <= all.length; i++) {
      expect(values[`others ${i}`]?.every((value) => value === 0)).toBe(true);
      expect(values[`small ${i}`]?.some((value) => value !== 0)).toBe(true);
    }
  });
});

describe("the game", () => {
  const losses = enlarger.losses(read, positive);

  it("is about small and large regions on objects, and no others", async () => {
    const logits = enlarger.discriminator.forward(enlarger.forward(read));
    const values = await valuesOf({ ...losses, logits });
    const sigmoid = (row: number): number => 1 / (1 + Math.exp(-present(values.logits?.[row])));
    const mean = (rows: readonly number[], loss: (p: number) => number): number =>
      rows.reduce((sum, row) => sum + loss(sigmoid(row)), 0) / rows.length;
    expect(values.generator?.[0]).toBeCloseTo(OPTIONS.weight * mean(SMALL, (p) => -Math.log(p)), 5);
    expect(values.discriminator?.[0]).toBeCloseTo(
      mean(LARGE, (p) => -Math.log(p)) + mean(SMALL, (p) => -Math.log(1 - p)),
      5,
    );
  });

  it("gives each player the gradient of its own loss, as finite differences have it, and nothing to the maps", async () => {
    const outputs: Record<string, Tensor> = { ...losses };
    const wrt = [...parametersOf(enlarger), features, fine];
    for (const player of ["generator", "discriminator"] as const) {
      for (const [i, gradient] of grad(losses[player], wrt).entries()) outputs[`${player} ${i}`] = gradient;
    }
    const values = await valuesOf(outputs);
    for (const player of ["generator", "discriminator"] as const) {
      const own = new Set(parametersOf(players[player]));
      for (const [i, tensor] of wrt.entries()) {
        const gradient = present(values[`${player} ${i}`]);
        const isOwn = own.has(tensor as never);
        expect(
          gradient.some((value) => value !== 0),
          `${player} ${i}`,
        ).toBe(isOwn);
        if (!isOwn) continue;
        const name = present(parametersOf(enlarger)[i]).name;
        const direction = noise(tensor.shape as number[], 1, 0, 7).data;
        const moved = async (step: number) => {
          const from = present(weights.get(name));
          const data = from.data.map((value, k) => value + step * present(direction[k]));
          const state = new Map([...weights, [name, float32(data, from.shape)] as const]);
          return present((await valuesOf({ loss: losses[player] }, feeds, state)).loss?.[0]);
        };
        const step = 2e-3;
        const difference = ((await moved(step)) - (await moved(-step))) / (2 * step);
        const slope = gradient.reduce((sum, value, k) => sum + value * present(direction[k]), 0);
        expect(Math.abs(slope - difference), `${player} ${name}`).toBeLessThan(3e-3 + 0.03 * Math.abs(slope));
      }
    }
  });

  it("is one: what the generator learns makes the discriminator's loss larger, and the other way round", async () => {
    const lossesAfter = async (player: keyof typeof players) => {
      const own = parametersOf(players[player]);
      const gradients = grad(losses[player], [...own]);
      const slopes = await valuesOf(
        Object.fromEntries(gradients.map((gradient, i) => [String(i), gradient])),
      );
      const state = new Map(weights);
      for (const [i, { name, shape }] of own.entries()) {
        const from = present(weights.get(name)).data;
        state.set(
          name,
          float32(
            from.map((value, k) => value - 1e-2 * present(slopes[i]?.[k])),
            shape as number[],
          ),
        );
      }
      return valuesOf({ ...losses }, feeds, state);
    };
    const change = (values: Awaited<ReturnType<typeof lossesAfter>>, loss: string) =>
      present(values[loss]?.[0]) - present(before[loss]?.[0]);
    const before = await valuesOf({ ...losses });
    const byGenerator = await lossesAfter("generator");
    expect(change(byGenerator, "generator")).toBeLessThan(-1e-4);
    expect(change(byGenerator, "discriminator")).toBeGreaterThan(1e-4);
    // Large regions, too, are the discriminator's; what it learns of small ones is the generator's loss.
    const byDiscriminator = await lossesAfter("discriminator");
    expect(change(byDiscriminator, "discriminator")).toBeLessThan(-1e-4);
    expect(change(byDiscriminator, "generator")).toBeGreaterThan(1e-4);
  });

  it("has no losses and no gradients in a batch without objects", async () => {
    const none = enlarger.losses(read, positiveRows(REGIONS.map(() => 0)));
    const gradients = grad(none.generator.add(none.discriminator), [...parametersOf(enlarger)]);
    const values = await valuesOf({
      ...none,
      ...Object.fromEntries(gradients.map((gradient, i) => [`gradient ${i}`, gradient])),
    });
    for (const [name, value] of Object.entries(values)) {
      expect(
        value.every((number) => number === 0),
        name,
      ).toBe(true);
    }
  });
});
