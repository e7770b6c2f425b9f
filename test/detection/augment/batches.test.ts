import { describe, expect, test } from "vitest";
import type { Annotations, ByteImage, DetectionBatch, DetectionSplit } from "../../../src/data/boxes/set.ts";
import { detectionBatches, letterboxBatch, letterboxRoom } from "../../../src/detection/augment/batches.ts";
import { augmentSchema } from "../../../src/detection/augment/options.ts";
import {
  drawRecipe,
  drawRecipeImage,
  type Recipe,
  recipeImages,
} from "../../../src/detection/augment/recipe.ts";
import { letterbox, toLetterbox } from "../../../src/detection/boxes/letterbox.ts";
import { OptionError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { annotationsOf, painted, setInMemory } from "../../data/boxes/support.ts";

const COLORS = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
] as const;
const GROUND = [114, 114, 114] as const;

type Item = Annotations & { readonly image: ByteImage };

/** Images of different shapes, each with boxes that are painted in the color of their class and do not touch. */
function paintedItems(count: number): readonly Item[] {
  return Array.from({ length: count }, (_, i) => {
    const size = i % 2 === 0 ? { width: 60, height: 40 } : { width: 36, height: 50 };
    const objects = [
      { box: [3, 4, 15, 18] as const, label: i % 3 },
      { box: [20, 20, 33, 37] as const, label: (i + 1) % 3 },
    ];
    const patches = objects.map(({ box, label }) => ({ box, color: COLORS[label] ?? COLORS[0] }));
    return {
      ...annotationsOf(`${i}.png`, size, objects),
      image: painted(size.width, size.height, GROUND, patches),
    };
  });
}

const splitOf = (items: readonly Item[]): DetectionSplit =>
  setInMemory(["red", "green", "blue"], { train: items, validation: [], test: [] }).splits.train;

/** The objects of image `row`. */
function objectsOf({ boxes, labels }: DetectionBatch, row: number) {
  const places = labels.shape[1] ?? 0;
  return Array.from({ length: places }, (_, i) => i)
    .filter((i) => (labels.data[row * places + i] ?? -1n) >= 0n)
    .map((i) => ({
      box: [...boxes.data.subarray(4 * (row * places + i), 4 * (row * places + i) + 4)],
      label: Number(labels.data[row * places + i]),
    }));
}

const plain = { brightness: 0, contrast: 0, saturation: 0, hue: 0, mixUp: 0, visible: 0 };

describe("boxes and pixels move together", () => {
  test.each([
    ["one image", { ...plain, mosaic: 0, flipVertical: 0.5 }],
    ["a mosaic", { ...plain, mosaic: 1, zoomIn: 2 }],
  ])("%s: what is painted is in boxes of its class, and boxes are painted", async (_, augment) => {
    const size = 64;
    const batches = detectionBatches(splitOf(paintedItems(7)), { size, batchSize: 8, seed: 5, augment });
    let seen = 0;
    for (let step = 0; step < 12; step++) {
      const batch = await batches.batch(step);
      for (let row = 0; row < 8; row++) {
        const objects = objectsOf(batch, row);
        const value = (channel: number, x: number, y: number) =>
          batch.x.data[((row * 3 + channel) * size + y) * size + x] ?? 0;
        /** How much more a pixel has of a color than the ground: 0 … 1, where 1 is all of it. */
        const share = (label: number, x: number, y: number) => {
          const others = [0, 1, 2].filter((channel) => channel !== label);
          return (value(label, x, y) - Math.max(...others.map((channel) => value(channel, x, y)))) / 255;
        };
        const painted = objects.map(() => 0);
        for (let y = 0; y < size; y++) {
          for (let x = 0; x < size; x++) {
            for (const label of [0, 1, 2]) {
              if (share(label, x, y) < 0.5) continue;
              const own = objects.findIndex(
                ({ box: [x1 = 0, y1 = 0, x2 = 0, y2 = 0], label: of }) =>
                  of === label &&
                  x + 0.5 > x1 - 0.75 &&
                  x + 0.5 < x2 + 0.75 &&
                  y + 0.5 > y1 - 0.75 &&
                  y + 0.5 < y2 + 0.75,
              );
              // A rest of less than two pixels at a border is no object.
              if (own >= 0) painted[own] = (painted[own] ?? 0) + 1;
              else expect(isAtBorder(x, y, batch, row, size)).toBe(true);
            }
          }
        }
        for (const [i, { box }] of objects.entries()) {
          const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = box;
          expect(x1 >= 0 && y1 >= 0 && x2 <= size && y2 <= size).toBe(true);
          if (x2 - x1 < 4 || y2 - y1 < 4) continue;
          seen++;
          const area = (x2 - x1) * (y2 - y1);
          const rim = 0.75 * 2 * (x2 - x1 + y2 - y1);
          expect(Math.abs((painted[i] ?? 0) - area)).toBeLessThan(rim);
        }
      }
    }
    expect(seen).toBeGreaterThan(150);
  });

  /** Rests of objects end at a border of the canvas or of a part of the mosaic, where neighbors are of another image. */
  function isAtBorder(
    x: number,
    y: number,
    { x: pixels }: DetectionBatch,
    row: number,
    size: number,
  ): boolean {
    if (x < 2 || y < 2 || x > size - 3 || y > size - 3) return true;
    // At the border of a part, the next pixels but one in some direction are no longer of this color.
    const at = (dx: number, dy: number) =>
      [0, 1, 2]
        .map((channel) => pixels.data[((row * 3 + channel) * size + y + dy) * size + x + dx] ?? 0)
        .join();
    const own = at(0, 0);
    return [at(-2, 0) !== own && at(2, 0) !== own, at(0, -2) !== own && at(0, 2) !== own].some(Boolean);
  }

  test("letterboxes: boxes as `toLetterbox` has them, the rest is padding", async () => {
    const items = paintedItems(2);
    const batch = await letterboxBatch(splitOf(items), [0, 1], 80);
    expect(batch.x.shape).toEqual([2, 3, 80, 80]);
    expect(batch.boxes.shape).toEqual([2, 4, 4]);
    for (const [row, item] of items.entries()) {
      const box = letterbox(item, { width: 80, height: 80 });
      const expected = toLetterbox(item.boxes, box);
      const objects = objectsOf(batch, row);
      expect(objects.map(({ label }) => label)).toEqual([...item.labels]);
      for (const [i, { box: own }] of objects.entries()) {
        for (const [side, edge] of own.entries()) expect(edge).toBeCloseTo(expected[4 * i + side] ?? 0, 4);
      }
      // The ground is as grey as padding, so every pixel that is not painted is 114.
      const red = batch.x.data.subarray(row * 3 * 6400, row * 3 * 6400 + 80 * box.top);
      for (const value of red) expect(value).toBe(114);
      const [{ box: [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = [], label } = { label: 0 }] = objects;
      const middle = Math.round((y1 + y2) / 2) * 80 + Math.round((x1 + x2) / 2);
      const pixel = [0, 1, 2].map((channel) => batch.x.data[(row * 3 + channel) * 6400 + middle]);
      for (const [channel, value] of (COLORS[label] ?? []).entries())
        expect(pixel[channel]).toBeCloseTo(value, 3);
    }
  });
});

describe("batches", () => {
  test("are functions of seed and step; rows are parts of them", async () => {
    const split = splitOf(paintedItems(6));
    const open = (seed: number) => detectionBatches(split, { size: 32, batchSize: 6, seed });
    const [a, b] = [open(1), open(1)];
    await a.batch(0);
    const third = await a.batch(3);
    expect(await b.batch(3)).toEqual(third);
    expect((await open(2).batch(3)).x.data).not.toEqual(third.x.data);
    expect((await a.batch(4)).x.data).not.toEqual(third.x.data);
    const part = await b.batch(3, [2, 4]);
    expect(part.x.shape).toEqual([2, 3, 32, 32]);
    expect(part.x.data).toEqual(third.x.data.subarray(2 * 3072, 4 * 3072));
    expect(part.labels.data).toEqual(third.labels.data.subarray(2 * a.places, 4 * a.places));
  });

  test("may have another size at each step: those of a step are as if all were of its size", async () => {
    const split = splitOf(paintedItems(6));
    const options = { batchSize: 3, seed: 4, places: 4 };
    const sizes = { largest: 64, at: (step: number) => [64, 32, 48][step % 3] ?? 0 };
    const batches = detectionBatches(split, { ...options, size: sizes });
    for (const [step, size] of [64, 32, 48, 64].entries()) {
      expect(batches.sizeAt(step)).toBe(size);
      const batch = await batches.batch(step);
      expect(batch.x.shape).toEqual([3, 3, size, size]);
      expect(batch).toEqual(await detectionBatches(split, { ...options, size }).batch(step));
    }
  });

  test("an epoch has every image once, where images are not mixed", async () => {
    const items = Array.from({ length: 6 }, (_, i) => ({
      ...annotationsOf(`${i}.png`, { width: 8, height: 8 }, [{ box: [1, 1, 7, 7], label: 0 }]),
      image: painted(8, 8, [10 * i, 0, 0]),
    }));
    const batches = detectionBatches(splitOf(items), { size: 8, batchSize: 3, seed: 1, augment: false });
    const shades: number[] = [];
    for (const step of [0, 1]) {
      const { x } = await batches.batch(step);
      for (let row = 0; row < 3; row++) shades.push(x.data[row * 192] ?? -1);
    }
    expect(shades.toSorted((a, b) => a - b)).toEqual([0, 10, 20, 30, 40, 50]);
  });

  test("images are decoded once where the cache has room, and no larger than they are drawn", async () => {
    const split = splitOf(paintedItems(5));
    const asked = new Map<string, number>();
    const counting: DetectionSplit = {
      ...split,
      sample: (index, request) => {
        const key = `${index} ${request?.longest}`;
        asked.set(key, (asked.get(key) ?? 0) + 1);
        return split.sample(index, request);
      },
    };
    const batches = detectionBatches(counting, { size: 32, batchSize: 5, seed: 1, augment: { stretch: 0 } });
    for (let step = 0; step < 6; step++) await batches.batch(step);
    expect([...asked.keys()].toSorted()).toEqual([0, 1, 2, 3, 4].map((index) => `${index} 45`));
  });

  test("objects that need not be found and crowds are not learnt from: they are ignored regions", async () => {
    const objects = [
      { box: [1, 1, 9, 9], label: 0 },
      { box: [11, 1, 19, 9], label: 1, difficult: true },
      { box: [1, 11, 9, 19], label: 2, crowd: true },
    ];
    const size = { width: 20, height: 20 };
    const split = splitOf([{ ...annotationsOf("a.png", size, objects), image: painted(20, 20, GROUND) }]);
    const seen = async (difficult?: boolean) => {
      const options = { size: 20, batchSize: 1, seed: 0, augment: false, difficult } as const;
      const batch = await detectionBatches(split, options).batch(0);
      return {
        labels: objectsOf(batch, 0).map(({ label }) => label),
        ignored: [...(batch.ignored?.data ?? [])],
      };
    };
    const empty = [0, 0, 0, 0];
    const [second, third] = [
      [11, 1, 19, 9],
      [1, 11, 9, 19],
    ];
    expect(await seen()).toEqual({ labels: [0], ignored: [second, third, empty, empty].flat() });
    expect(await seen(true)).toEqual({ labels: [0, 1], ignored: [third, empty, empty, empty].flat() });
    const { ignored } = await letterboxBatch(split, [0], 40);
    expect([...(ignored?.data ?? [])]).toEqual([second, third, empty, empty].flat().map((edge) => 2 * edge));
    expect(letterboxRoom(split, 40)).toEqual({ places: 4, regions: 4, invalid: 0 });
  });

  test("ignored regions are cut off as images are, and stay however little is seen", async () => {
    const objects = [{ box: [0, 0, 20, 20], label: 0, crowd: true }];
    const size = { width: 20, height: 20 };
    const split = splitOf([{ ...annotationsOf("a.png", size, objects), image: painted(20, 20, GROUND) }]);
    const augment = { mosaic: 1, zoomIn: 4, visible: 0.9 };
    const batch = await detectionBatches(split, { size: 32, batchSize: 4, seed: 0, augment }).batch(0);
    expect(objectsOf(batch, 0)).toEqual([]);
    const edges = batch.ignored?.data ?? new Float32Array();
    expect(batch.ignored?.shape).toEqual([4, 4, 4]);
    for (let row = 0; row < 4; row++) {
      const own = Array.from({ length: 4 }, (_, i) => edges.subarray(16 * row + 4 * i, 16 * row + 4 * i + 4));
      // One in each part of the mosaic.
      expect(own.filter(([x1 = 0, , x2 = 0]) => x2 > x1).length).toBe(4);
    }
  });

  test("where nothing is ignored, batches have no such regions", async () => {
    const split = splitOf(paintedItems(2));
    const batches = detectionBatches(split, { size: 16, batchSize: 2, seed: 0 });
    expect(batches.regions).toBe(0);
    expect(await batches.batch(0)).not.toHaveProperty("ignored");
  });

  test("of too many objects the largest are kept, and the others counted", async () => {
    const objects = [3, 9, 5, 7].map((side, i) => ({ box: [10 * i, 0, 10 * i + side, side], label: i % 3 }));
    const size = { width: 40, height: 40 };
    const split = splitOf([{ ...annotationsOf("a.png", size, objects), image: painted(40, 40, GROUND) }]);
    const batches = detectionBatches(split, { size: 40, batchSize: 1, seed: 0, augment: false, places: 2 });
    const batch = await batches.batch(0);
    expect(batch.boxes.shape).toEqual([1, 2, 4]);
    expect(objectsOf(batch, 0).map(({ box }) => box)).toEqual([
      [10, 0, 19, 9],
      [30, 0, 37, 7],
    ]);
    expect(batches.dropped).toBe(2);
    expect(detectionBatches(split, { size: 40, batchSize: 1, seed: 0, augment: false }).places).toBe(4);
  });

  test("a set of one image, and images without objects, are trained on", async () => {
    const empty = { ...annotationsOf("a.png", { width: 9, height: 5 }, []), image: painted(9, 5, GROUND) };
    const augment = { mosaic: 1, mixUp: 1 };
    const batches = detectionBatches(splitOf([empty]), { size: 16, batchSize: 3, seed: 0, augment });
    const { x, labels } = await batches.batch(0);
    expect(x.shape).toEqual([3, 3, 16, 16]);
    expect([...labels.data].every((label) => label === -1n)).toBe(true);
    expect(x.data.every((value) => value >= 0 && value <= 255)).toBe(true);
    const [one] = paintedItems(1);
    const single = detectionBatches(splitOf(one === undefined ? [] : [one]), {
      size: 16,
      batchSize: 2,
      seed: 0,
    });
    expect((await single.batch(7)).x.shape).toEqual([2, 3, 16, 16]);
  });

  test("what cannot be is told", () => {
    const split = splitOf(paintedItems(1));
    const options = { size: 16, batchSize: 2, seed: 0 };
    expect(() => detectionBatches(splitOf([]), options)).toThrow(/the split is empty/);
    expect(() => detectionBatches(split, { ...options, size: 0 })).toThrow(OptionError);
    expect(() => detectionBatches(split, { ...options, places: 1.5 })).toThrow(/option places is 1.5/);
    expect(() => detectionBatches(split, { ...options, augment: { flip: 2 } })).toThrow(
      /augmentation: option flip/,
    );
  });

  test("an image that is gone names itself when its batch is asked for, and not before", async () => {
    const split = splitOf(paintedItems(4));
    const gone: DetectionSplit = {
      ...split,
      sample: (index, request) =>
        index === 3 ? Promise.reject(new Error("3.png: gone")) : split.sample(index, request),
    };
    const batches = detectionBatches(gone, { size: 16, batchSize: 1, seed: 0, augment: false });
    const outcomes = await Promise.allSettled([0, 1, 2, 3].map((step) => batches.batch(step)));
    expect(outcomes.filter(({ status }) => status === "rejected").length).toBe(1);
  });
});

describe("recipes", () => {
  const sizes = [
    { width: 60, height: 40 },
    { width: 36, height: 50 },
    { width: 100, height: 10 },
  ];
  const source = { count: 3, sizeOf: (index: number) => sizes[index] ?? { width: 1, height: 1 } };
  const draw = (seed: number, options: Parameters<typeof augmentSchema.parse>[0]) =>
    drawRecipe(new Random(seed), 1, source, 64, augmentSchema.parse(options));

  test("parts of a mosaic tile the canvas, and the image that was asked for is among them", () => {
    for (let seed = 0; seed < 50; seed++) {
      const { parts } = draw(seed, { mosaic: 1, mixUp: 0 });
      expect(parts.length).toBe(4);
      expect(parts.some(({ index }) => index === 1)).toBe(true);
      const covered = new Uint8Array(64 * 64);
      for (const { placement } of parts) {
        const [x1, y1, x2, y2] = placement.window;
        for (let y = y1; y < y2; y++)
          for (let x = x1; x < x2; x++) covered[y * 64 + x] = (covered[y * 64 + x] ?? 0) + 1;
      }
      expect(covered.every((times) => times === 1)).toBe(true);
    }
  });

  test("sizes, mirror images and mixtures come as often as they are asked for", () => {
    const zooms: number[] = [];
    let [mirrored, mixed, mosaics] = [0, 0, 0];
    for (let seed = 0; seed < 2000; seed++) {
      const { parts, mixed: other } = draw(seed, {
        mosaic: 0.3,
        mixUp: 0.2,
        flip: 0.4,
        stretch: 0,
        zoomOut: 0.5,
        zoomIn: 2,
      });
      if (other !== undefined) {
        mixed++;
        expect(other.share).toBeGreaterThanOrEqual(0.3);
        expect(other.share).toBeLessThanOrEqual(0.7);
      }
      if (parts.length === 4) {
        mosaics++;
        continue;
      }
      const placement = parts[0]?.placement;
      if (placement === undefined) continue;
      if (placement.mirrored) mirrored++;
      zooms.push(placement.height / 64);
      expect(placement.width / placement.height).toBeCloseTo(36 / 50, 9);
    }
    const near = (count: number, of: number, share: number) =>
      expect(Math.abs(count / of - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / of));
    near(mosaics, 2000, 0.3);
    near(mixed, 2000, 0.2);
    near(mirrored, zooms.length, 0.4);
    // Uniform in its logarithm between ½ and 2: as often above 1 as below.
    near(zooms.filter((zoom) => zoom > 1).length, zooms.length, 0.5);
    expect(Math.min(...zooms)).toBeGreaterThan(0.5 - 1e-9);
    expect(Math.max(...zooms)).toBeLessThan(2 + 1e-9);
  });

  test("images that shine through are weighted means of pixels", () => {
    const whole = (index: number) => ({
      index,
      placement: {
        left: 0,
        top: 0,
        width: 8,
        height: 8,
        mirrored: false,
        flipped: false,
        window: [0, 0, 8, 8] as const,
      },
    });
    const recipe: Recipe = { parts: [whole(0)], mixed: { parts: [whole(1)], share: 0.25 } };
    expect(recipeImages(recipe)).toEqual([0, 1]);
    const data = new Float32Array(192);
    drawRecipeImage(recipe, (index) => painted(8, 8, index === 0 ? [200, 0, 40] : [0, 100, 80]), {
      side: 8,
      data,
    });
    expect([data[0], data[64], data[128]].map((value) => Math.round(value ?? 0))).toEqual([50, 75, 70]);
  });
});
