import { describe, expect, test } from "vitest";
import type { ByteImage } from "../../../src/data/boxes/set.ts";
import { ImageCache } from "../../../src/data/boxes/set.ts";
import { detectionStatistics, objectSizes } from "../../../src/data/boxes/statistics.ts";
import { annotationsOf, painted, setInMemory } from "./support.ts";

test("statistics of a set counted by hand", () => {
  const size = { width: 200, height: 100 };
  const image = painted(1, 1, [0, 0, 0]);
  const set = setInMemory(["a", "b", "none"], {
    train: [
      {
        ...annotationsOf("1", size, [
          { box: [0, 0, 32, 31.9], label: 0 },
          { box: [0, 0, 32, 32], label: 0, difficult: true },
          { box: [0, 0, 96, 96], label: 1, crowd: true },
        ]),
        image,
      },
      { ...annotationsOf("2", size, []), image },
    ],
    validation: [{ ...annotationsOf("3", size, [{ box: [0, 0, 96, 95], label: 0 }]), image }],
    test: [],
  });
  const { splits, total, boxWidth, objectsPerImage, imageHeight } = detectionStatistics(set);
  expect(splits.train).toMatchObject({ images: 2, objects: 3, empty: 1, mostObjects: 3 });
  expect(splits.train.sizes).toEqual({ small: 1, medium: 1, large: 1 });
  expect(splits.test).toMatchObject({ images: 0, objects: 0, mostObjects: 0 });
  expect(total).toMatchObject({ images: 3, objects: 4, empty: 1, sizes: { small: 1, medium: 2, large: 1 } });
  expect(total.classes).toEqual([
    { name: "a", objects: 3, images: 2, sizes: { small: 1, medium: 2, large: 0 }, difficult: 1, crowd: 0 },
    { name: "b", objects: 1, images: 1, sizes: { small: 0, medium: 0, large: 1 }, difficult: 0, crowd: 1 },
    { name: "none", objects: 0, images: 0, sizes: { small: 0, medium: 0, large: 0 }, difficult: 0, crowd: 0 },
  ]);
  expect(boxWidth).toEqual([32, 32, 96, 96, 96]);
  expect(objectsPerImage).toEqual([0, 1, 1, 3, 3]);
  expect(imageHeight).toEqual([100, 100, 100, 100, 100]);
});

test("sizes of objects: quantiles, shares by COCO's areas, and a histogram in steps of √2", () => {
  const sizes = [100, 8, 9, 31.9, 32, 40, 96, 12];
  const { count, quantiles, histogram, shares } = objectSizes(sizes);
  expect(count).toBe(8);
  expect(quantiles?.map(({ percent, size }) => [percent, size])).toEqual([
    [0, 8],
    [5, 8],
    [10, 9],
    [25, 12],
    [50, 32],
    [75, 40],
    [90, 96],
    [95, 100],
    [100, 100],
  ]);
  expect(shares).toEqual({ small: 0.5, medium: 0.25, large: 0.25 });
  expect(histogram.map(({ from, objects }) => [Math.round(from), objects])).toEqual([
    [8, 2],
    [11, 1],
    [16, 0],
    [23, 1],
    [32, 2],
    [45, 0],
    [64, 0],
    [91, 2],
  ]);
  for (const [i, bin] of histogram.entries()) expect(bin.to).toBe(histogram[i + 1]?.from ?? bin.to);
  expect(objectSizes([])).toEqual({ count: 0, quantiles: undefined, histogram: [], shares: undefined });
});

describe("the cache of images", () => {
  const image = (bytes: number): ByteImage => ({ width: bytes, height: 1, data: new Uint8Array(bytes) });

  test("forgets what was not asked for longest, and never what is being made", async () => {
    const cache = new ImageCache(100);
    const made: string[] = [];
    const get = (key: string, bytes = 40) =>
      cache.get(key, async () => {
        made.push(key);
        return image(bytes);
      });
    await get("a");
    await get("b");
    await get("a");
    await get("c");
    await get("a");
    expect(made).toEqual(["a", "b", "c"]);
    await get("b");
    expect(made).toEqual(["a", "b", "c", "b"]);
    const [one, two] = await Promise.all([get("d"), get("d")]);
    expect(one).toBe(two);
    expect(made.filter((key) => key === "d").length).toBe(1);
  });

  test("keeps nothing that is larger than it, and nothing that failed", async () => {
    const cache = new ImageCache(10);
    let made = 0;
    const get = () => cache.get("large", async () => image(10 + made++));
    await get();
    expect((await get()).width).toBe(10);
    await cache.get("other", async () => image(5));
    expect((await get()).width).toBe(11);
    await get();
    expect(made).toBe(3);
    const failing = () => cache.get("gone", () => Promise.reject(new Error("gone")));
    await expect(failing()).rejects.toThrow("gone");
    expect((await cache.get("gone", async () => image(1))).width).toBe(1);
  });
});
