import { describe, expect, it, test } from "vitest";
import { Bands } from "../../../src/data/boxes/bands.ts";
import {
  type Annotations,
  type ByteImage,
  cutOut,
  type DetectionSplit,
} from "../../../src/data/boxes/set.ts";
import { detectionBatches } from "../../../src/detection/augment/batches.ts";
import type { Box } from "../../../src/detection/boxes/boxes.ts";
import { bandedParts, directParts, tileSplit } from "../../../src/detection/scale/tile-split.ts";
import { tileEpochs, tileTraining } from "../../../src/detection/scale/tile-training.ts";
import { OptionError } from "../../../src/errors.ts";
import { annotationsOf, setInMemory } from "../../data/boxes/support.ts";

type Item = Annotations & { readonly image: ByteImage };

/** An image whose red is the column, and whose green is the row, of up to 256 pixels. */
function ramp(width: number, height: number): ByteImage {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data[y * width + x] = x;
      data[(height + y) * width + x] = y;
    }
  }
  return { width, height, data };
}

/** Compares bytes at once: `toEqual` goes through millions one by one. */
function expectSame(a: ByteImage, b: ByteImage): void {
  expect([a.width, a.height]).toEqual([b.width, b.height]);
  expect(Buffer.compare(a.data, b.data)).toBe(0);
}

const item = (width: number, height: number, objects: Parameters<typeof annotationsOf>[2]): Item => ({
  ...annotationsOf("0.png", { width, height }, objects),
  image: ramp(width, height),
});

const splitOf = (items: readonly Item[]): DetectionSplit =>
  setInMemory(["a", "b"], { train: items, validation: [], test: [] }).splits.train;

const CUT = { side: 40, overlap: 0.25, fullImage: false, visible: 0.5 } as const;

describe("the tiles of a split", () => {
  it("have the pixels of their places, padded where the image is smaller", async () => {
    const split = tileSplit(splitOf([item(100, 60, []), item(30, 20, []), item(1, 1, [])]), CUT);
    // 100 pixels in steps of 30: 0, 30, 60; 60 pixels: 0, 20.
    expect([split.count, split.tilesOf(0), split.tilesOf(1)]).toEqual([8, [0, 6], [6, 7]]);
    expect(split.place(4)).toEqual({ image: 0, tile: { left: 30, top: 20, width: 40, height: 40 } });
    const { image, width, height, file } = await split.sample(4);
    expect([image.width, image.height, width, height, file]).toEqual([40, 40, 40, 40, "0.png (30, 20)"]);
    expect([image.data[0], image.data[1600], image.data[1599], image.data[3199]]).toEqual([30, 20, 69, 59]);
    const small = (await split.sample(6)).image;
    expect([small.data[29], small.data[30], small.data[19 * 40 + 5], small.data[20 * 40 + 5]]).toEqual([
      29, 114, 5, 114,
    ]);
    const pixel = (await split.sample(7)).image;
    expect([...pixel.data].filter((value) => value !== 114)).toEqual([0, 0, 0]);
    await expect(split.sample(8)).rejects.toThrow(RangeError);
  });

  it("have objects that are cut off at edges, and ignored where too little is left", () => {
    const split = tileSplit(
      splitOf([
        item(100, 40, [
          { box: [5, 5, 15, 15], label: 1 },
          // In tiles 0 … 40 and 30 … 70: 0.8 and all of it.
          { box: [32, 10, 42, 20], label: 0 },
          // 0.2 in the first, all in the second.
          { box: [38, 20, 48, 30], label: 0, difficult: true },
          { box: [0, 30, 100, 40], label: 1, crowd: true },
        ]),
      ]),
      CUT,
    );
    const [first, second] = [split.annotations(0), split.annotations(1)];
    expect([...first.boxes]).toEqual([5, 5, 15, 15, 32, 10, 40, 20, 38, 20, 40, 30, 0, 30, 40, 40]);
    expect([...first.crowd]).toEqual([0, 0, 1, 1]);
    expect([...first.difficult]).toEqual([0, 0, 1, 0]);
    expect([...first.areas].map(Math.round)).toEqual([100, 80, 20, 400]);
    expect([...second.boxes]).toEqual([2, 10, 12, 20, 8, 20, 18, 30, 0, 30, 40, 40]);
    expect([...second.crowd]).toEqual([0, 0, 1]);
    expect([split.objects, split.nowhere, split.busy]).toEqual([3, 0, [0, 1, 2]]);
  });

  it("count objects that are seen enough in no tile, unless whole images are among them", async () => {
    const large = item(100, 100, [{ box: [0, 0, 100, 100], label: 0 }]);
    expect(tileSplit(splitOf([large]), CUT)).toMatchObject({ objects: 1, nowhere: 1, count: 9 });
    const both = tileSplit(splitOf([large, item(40, 30, [])]), { ...CUT, fullImage: true });
    // An image of one tile is not there twice.
    expect(both).toMatchObject({ objects: 1, nowhere: 0, count: 11 });
    expect(both.place(9)).toEqual({ image: 0, tile: undefined });
    const whole = await both.sample(9);
    expect([whole.width, whole.height, ...whole.boxes, ...whole.crowd]).toEqual([
      100, 100, 0, 0, 100, 100, 0,
    ]);
    expect(both.annotations(10).width).toBe(40);
  });

  test("of large images are decoded in parts: bands from the top down once each, or every tile apart, kept a while", async () => {
    const size = { width: 2400, height: 1900 };
    const image = ramp(size.width, size.height);
    const asked: number[] = [];
    const split: DetectionSplit = {
      count: 1,
      annotations: () => annotationsOf("large.png", size, []),
      sample: async () => {
        throw new Error("decoded as a whole");
      },
      part: async (_index, request, part) => {
        expect(request).toEqual({});
        asked.push(part.width * part.height);
        return cutOut(image, part);
      },
    };
    const cut = { side: 512, overlap: 0.2, fullImage: false, visible: 0.5 };
    const banded = tileSplit(split, { ...cut, parts: bandedParts(split) });
    const direct = tileSplit(split, { ...cut, parts: directParts(split) });
    for (let index = 0; index < banded.count; index++) {
      const { left = -1, top = -1, width = 0, height = 0 } = banded.place(index).tile ?? {};
      const expected = cutOut(image, { left, top, width, height });
      expectSame((await banded.sample(index)).image, expected);
      expectSame((await direct.sample(index)).image, expected);
    }
    // 13.7 MB in one band, and each tile once.
    expect(asked.filter((pixels) => pixels === 2400 * 1900).length).toBe(1);
    expect(asked.filter((pixels) => pixels === 512 * 512).length).toBe(direct.count);
    await direct.sample(3);
    expect(asked.length).toBe(1 + direct.count);
  });

  test("bands hold no more bytes than they may, unless a part is larger", async () => {
    const image = ramp(50, 400);
    const rows: number[] = [];
    const bands = (capacity: number) =>
      new Bands(
        image,
        async (part) => {
          rows.push(part.height);
          return cutOut(image, part);
        },
        capacity,
      );
    const small = bands(3 * 50 * 100);
    for (let top = 0; top + 40 <= 400; top += 30) {
      const part = { left: 7, top, width: 20, height: 40 };
      expectSame(await small.part(part), cutOut(image, part));
    }
    expect(small.peak).toBe(3 * 50 * 100);
    // Rows that are shared by neighbors are decoded twice where a band ends between.
    expect(small.decoded).toBe(rows.length);
    expect(rows).toEqual([100, 100, 100, 100, 40]);
    // Parts that are asked for at once wait for the band that they are of.
    const together = bands(3 * 50 * 100);
    const tops = [0, 10, 60, 90];
    const parts = await Promise.all(tops.map((top) => together.part({ left: 0, top, width: 9, height: 20 })));
    for (const [i, top] of tops.entries()) {
      expectSame(parts[i] ?? image, cutOut(image, { left: 0, top, width: 9, height: 20 }));
    }
    expect([together.decoded, together.peak]).toEqual([2, 3 * 50 * 100]);
    const tight = bands(1);
    await tight.part({ left: 0, top: 360, width: 50, height: 40 });
    expect(tight.peak).toBe(3 * 50 * 40);
  });
});

describe("training on tiles", () => {
  const busy: Box = [10, 10, 20, 20];
  const items = [
    item(200, 40, [{ box: busy, label: 0 }]),
    item(220, 40, [{ box: [100, 5, 112, 17], label: 1 }]),
  ];
  const options = { ...CUT, empty: 0.25 };

  it("has all tiles with objects in each epoch, and a share of others, new ones each time", () => {
    const training = tileTraining(splitOf(items), options);
    const count = training.busy + Math.round(training.busy / 3);
    expect(training).toMatchObject({ count, objects: 2, nowhere: 0 });
    expect(training.busy + training.empty).toBe(training.split.count);
    for (let index = 0; index < training.split.count; index++) {
      expect(training.split.annotations(index).labels.length > 0).toBe(index < training.busy);
    }
    const epochs = tileEpochs(training, 5);
    const seen = new Set<number>();
    for (let epoch = 0; epoch < 20; epoch++) {
      const slots = Array.from({ length: count }, (_, slot) => epochs.at(slot, epoch));
      expect(slots.slice(0, training.busy)).toEqual(Array.from({ length: training.busy }, (_, i) => i));
      for (const index of slots.slice(training.busy)) {
        expect(index).toBeGreaterThanOrEqual(training.busy);
        expect(index).toBeLessThan(training.split.count);
        seen.add(index);
      }
      expect(new Set(slots).size).toBe(count);
    }
    expect(seen.size).toBeGreaterThan(training.empty / 2);
    expect(tileEpochs(training, 5).at(count - 1, 7)).toBe(epochs.at(count - 1, 7));
    expect(tileTraining(splitOf(items), { ...options, empty: 0 }).count).toBe(training.busy);
    expect(tileTraining(splitOf(items), { ...options, empty: 0.9 }).count).toBe(training.split.count);
    expect(() => tileTraining(splitOf([item(80, 80, [])]), options)).toThrow(OptionError);
  });

  it("makes batches that are a function of seed and step, in whole or in parts", async () => {
    const open = (seed: number) => {
      const training = tileTraining(splitOf(items), options);
      return detectionBatches(training.split, {
        size: 64,
        batchSize: 4,
        seed,
        augment: { mosaic: 0.5 },
        epochs: tileEpochs(training, seed),
      });
    };
    const whole = await open(1).batch(9);
    expect(await open(1).batch(9)).toEqual(whole);
    expect((await open(2).batch(9)).x.data).not.toEqual(whole.x.data);
    const parts = [await open(1).batch(9, [0, 1]), await open(1).batch(9, [1, 4])];
    expect(parts.flatMap(({ x }) => [...x.data])).toEqual([...whole.x.data]);
  });

  it("shows every object in an epoch, as large as tiles are enlarged", async () => {
    const training = tileTraining(splitOf(items), { ...options, empty: 0 });
    const batches = detectionBatches(training.split, {
      size: 80,
      batchSize: 1,
      seed: 0,
      augment: false,
      epochs: tileEpochs(training, 0),
    });
    const sides: number[] = [];
    for (let step = 0; step < training.count; step++) {
      const { boxes, labels } = await batches.batch(step);
      for (const [i, label] of labels.data.entries()) {
        if (label >= 0n) sides.push((boxes.data[4 * i + 2] ?? 0) - (boxes.data[4 * i] ?? 0));
      }
    }
    expect([...new Set(sides)].sort((a, b) => a - b)).toEqual([20, 24]);
  });
});
