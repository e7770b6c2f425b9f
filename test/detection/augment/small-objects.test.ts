import { describe, expect, test } from "vitest";
import type { Annotations, ByteImage, DetectionBatch, DetectionSplit } from "../../../src/data/boxes/set.ts";
import { detectionBatches, letterboxBatch } from "../../../src/detection/augment/batches.ts";
import { type AugmentOptions, augmentSchema } from "../../../src/detection/augment/options.ts";
import { drawRecipe, type Recipe } from "../../../src/detection/augment/recipe.ts";
import { copiesOnTrial, pasting, planSmallObjects } from "../../../src/detection/augment/small-objects.ts";
import { iou } from "../../../src/detection/boxes/boxes.ts";
import { OptionError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { annotationsOf, painted, setInMemory } from "../../data/boxes/support.ts";

const SIZE = { width: 96, height: 64 };
const COLORS = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
] as const;

type Item = Annotations & { readonly image: ByteImage };
type Marked = Parameters<typeof annotationsOf>[2][number];

/** An image of 96 × 64 pixels with its objects painted in the colors of their classes. */
function itemOf(number: number, objects: readonly Marked[], shade = 0): Item {
  const patches = objects.map(({ box: [x1 = 0, y1 = 0, x2 = 0, y2 = 0], label }) => ({
    box: [x1, y1, x2, y2] as const,
    color: COLORS[label] ?? COLORS[0],
  }));
  return {
    ...annotationsOf(`${number}.png`, SIZE, objects),
    image: painted(SIZE.width, SIZE.height, [shade, shade, shade], patches),
  };
}

const splitOf = (items: readonly Item[]): DetectionSplit =>
  setInMemory(["red", "green", "blue"], { train: items, validation: [], test: [] }).splits.train;

const SMALL: Marked = { box: [10, 10, 18, 18], label: 0 };
const OTHER: Marked = { box: [30, 8, 39, 16], label: 1 };
const LARGE: Marked = { box: [44, 12, 84, 52], label: 2 };

/** Every third image has no small object, and each has a large one. */
const mixed = splitOf(
  Array.from({ length: 6 }, (_, i) => itemOf(i, i % 3 === 0 ? [LARGE] : [SMALL, LARGE, OTHER])),
);

/** Images are drawn as they are, in their own colors. */
const AS_IS: AugmentOptions = {
  zoomOut: 1,
  zoomIn: 1,
  stretch: 0,
  mosaic: 0,
  flip: 0,
  brightness: 0,
  contrast: 0,
  saturation: 0,
  hue: 0,
};

function objectsOf({ boxes, labels }: Pick<DetectionBatch, "boxes" | "labels">, row: number) {
  const places = labels.shape[1] ?? 0;
  return Array.from({ length: places }, (_, i) => row * places + i)
    .filter((at) => (labels.data[at] ?? -1n) >= 0n)
    .map((at) => {
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = boxes.data.subarray(4 * at, 4 * at + 4);
      return { box: [x1, y1, x2, y2] as const, label: Number(labels.data[at]) };
    });
}

describe("small objects", () => {
  test("are found by their size in images of the size that a detector sees", () => {
    // Images are 96 pixels wide: at 48, sizes are half as large.
    const plan = planSmallObjects(mixed, { size: 48, smallBelow: 5, oversample: 3, copyPaste: 0.5 });
    expect(plan).toMatchObject({ below: 5, objects: 14, small: 8, images: 4, times: 3 });
    expect([...plan.again]).toEqual([1, 2, 4, 5, 1, 2, 4, 5]);
    expect([...(plan.copying?.objects ?? [])]).toEqual([1, 2, 4, 5].map((index) => [index, [0, 2]]));
    expect(plan.copying).toMatchObject({ probability: 0.5, copyable: 8 });
    // Of size 4 and √18: at full size both are above.
    expect(planSmallObjects(mixed, { size: 48, smallBelow: 4.1 }).small).toBe(4);
    expect(() => planSmallObjects(mixed, { size: 96, smallBelow: 5 })).toThrow(OptionError);
    expect(planSmallObjects(mixed, { size: 96 }).copying).toBeUndefined();
  });

  test("are by default those below COCO's 32 pixels, but no more than half of all, and some", () => {
    const sized = (sides: readonly number[]) =>
      splitOf(sides.map((side, i) => itemOf(i, [{ box: [0, 0, side, side], label: 0 }])));
    const below = (sides: readonly number[]) => planSmallObjects(sized(sides), { size: 96 });
    expect(below([10, 20, 40, 50, 60, 60, 60])).toMatchObject({ below: 32, small: 2 });
    expect(below([4, 5, 6, 7, 8, 9, 10])).toMatchObject({ below: 7.1, small: 4 });
    expect(below([40, 50, 60])).toMatchObject({ below: 40.1, small: 1 });
    expect(below([50, 50])).toMatchObject({ below: 50.1, small: 2 });
    expect(() => below([])).toThrow(/none of 0 training objects .* leave oversample and copyPaste out$/);
  });

  test("that are difficult, or crowds, are neither small objects nor copied, unless they are learnt", () => {
    const marked = splitOf([
      itemOf(0, [SMALL, { ...OTHER, difficult: true }, { box: [60, 5, 66, 11], label: 0, crowd: true }]),
    ]);
    const options = { size: 96, smallBelow: 20, copyPaste: 1 };
    expect(planSmallObjects(marked, options).copying?.objects.get(0)).toEqual([0]);
    expect(planSmallObjects(marked, { ...options, difficult: true }).copying?.objects.get(0)).toEqual([0, 1]);
  });

  test("come as often in an epoch as is asked, the other images once", async () => {
    const shades = splitOf(Array.from({ length: 5 }, (_, i) => itemOf(i, i < 2 ? [SMALL] : [LARGE], 20 * i)));
    const small = planSmallObjects(shades, { size: 96, smallBelow: 20, oversample: 4 });
    const batches = detectionBatches(shades, { size: 96, batchSize: 11, seed: 3, augment: false, small });
    expect(batches.count).toBe(11);
    for (const epoch of [0, 1]) {
      const { x } = await batches.batch(epoch);
      // The first pixel below the padding of 16 rows.
      const seen = Array.from({ length: 11 }, (_, row) => x.data[3 * row * 96 * 96 + 16 * 96] ?? -1);
      expect(seen.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0, 20, 20, 20, 20, 40, 60, 80]);
    }
  });
});

describe("batches with copies", () => {
  const small = planSmallObjects(mixed, { size: 96, smallBelow: 20, copyPaste: 1, copies: 2 });
  const options = { size: 96, batchSize: 6, seed: 7, augment: AS_IS, small } as const;

  test("have the copies beside what was there, with their labels, apart from each other", async () => {
    const batch = await detectionBatches(mixed, options).batch(0);
    const plain = await detectionBatches(mixed, { ...options, small: undefined }).batch(0);
    for (let row = 0; row < 6; row++) {
      const [objects, before] = [objectsOf(batch, row), objectsOf(plain, row)];
      expect(objects.slice(0, before.length)).toEqual(before);
      const labels = objects.slice(before.length).map(({ label }) => label);
      expect(labels.toSorted()).toEqual(before.length === 1 ? [] : [0, 0, 1, 1]);
      for (const [i, { box, label }] of objects.entries()) {
        for (const { box: other } of objects.slice(0, i)) expect(iou(box, other)).toBeLessThan(1e-6);
        // What is in the box is of the color of its class.
        const [x, y] = [Math.floor((box[0] + box[2]) / 2), Math.floor((box[1] + box[3]) / 2)];
        const color = [0, 1, 2].map((channel) => batch.x.data[((3 * row + channel) * 96 + y) * 96 + x] ?? 0);
        for (const [channel, value] of (COLORS[label] ?? []).entries()) {
          expect(color[channel]).toBeCloseTo(value, 3);
        }
      }
      const own = (x: Float32Array) => x.subarray(3 * row * 96 * 96, 3 * (row + 1) * 96 * 96);
      if (before.length === 1) expect(own(batch.x.data)).toEqual(own(plain.x.data));
      else expect(own(batch.x.data)).not.toEqual(own(plain.x.data));
    }
  });

  test("are functions of seed and step, with all that images are changed by; rows are parts of them", async () => {
    const changed = { ...options, augment: { mosaic: 0.4, stitch: 0.3, mixUp: 0.4 }, batchSize: 8 };
    const open = (seed: number) => detectionBatches(mixed, { ...changed, seed });
    const [a, b] = [open(1), open(1)];
    await a.batch(0);
    const third = await a.batch(3);
    expect(await b.batch(3)).toEqual(third);
    expect((await open(2).batch(3)).x.data).not.toEqual(third.x.data);
    const part = await b.batch(3, [2, 5]);
    const pixels = 3 * 96 * 96;
    expect(part.x.data).toEqual(third.x.data.subarray(2 * pixels, 5 * pixels));
    expect(part.boxes.data).toEqual(third.boxes.data.subarray(8 * a.places, 20 * a.places));
  });

  test("without copies and with nothing oversampled are what they were", async () => {
    const none = planSmallObjects(mixed, { size: 96, smallBelow: 20 });
    const [with_, without] = [none, undefined].map((small) =>
      detectionBatches(mixed, { ...options, augment: { mixUp: 0.5 }, small }),
    );
    expect(await with_?.batch(2)).toEqual(await without?.batch(2));
  });

  test("come with the probability that is asked for, and in validation never", async () => {
    const rare = planSmallObjects(mixed, { size: 96, smallBelow: 20, copyPaste: 0.3, copies: 1 });
    if (rare.copying === undefined) throw new Error("nothing is copied");
    const paste = pasting(mixed, rare.copying, { flip: 0, flipVertical: 0 });
    let pasted = 0;
    for (let i = 0; i < 1000; i++) if (paste(new Random(i), 1) !== undefined) pasted++;
    expect(Math.abs(pasted / 1000 - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / 1000));
    expect(paste(new Random(0), 0)).toBeUndefined();
    const { labels, boxes } = await letterboxBatch(mixed, [1], 96);
    expect(objectsOf({ labels, boxes }, 0).length).toBe(3);
  });

  test("of sizes that are not learnt are neither found nor background, as their objects", async () => {
    const learns = (size: number) => size > 30;
    const batch = await detectionBatches(mixed, { ...options, learns }).batch(0);
    const rows = batch.invalid?.shape[1] ?? 0;
    for (let row = 0; row < 6; row++) {
      expect(objectsOf(batch, row).map(({ label }) => label)).toEqual([2]);
      const sides = Array.from({ length: rows }, (_, i) => {
        const [x1 = 0, , x2 = 0] = batch.invalid?.data.subarray(4 * (row * rows + i)) ?? [];
        return x2 - x1;
      });
      expect([0, 6]).toContain(sides.filter((side) => side > 0).length);
    }
    expect(rows).toBeGreaterThanOrEqual(6);
  });

  test("are refused where images are not changed", () => {
    expect(() => detectionBatches(mixed, { ...options, augment: false })).toThrow(
      /^option copyPaste: is without effect/,
    );
  });

  test("that find no room are counted on trial", () => {
    const full = splitOf([
      itemOf(0, [SMALL, { box: [0, 20, 96, 64], label: 2 }, { box: [0, 0, 96, 9], label: 2 }]),
      itemOf(1, [SMALL]),
    ]);
    const { copying } = planSmallObjects(full, {
      size: 96,
      smallBelow: 20,
      copyPaste: 1,
      copies: 4,
      copyFeather: 0,
    });
    if (copying === undefined) throw new Error("nothing is copied");
    const trial = copiesOnTrial(full, copying);
    expect(trial.images).toBe(2);
    expect(trial.placed + trial.unplaced).toBe(8);
    expect(trial.placed).toBeGreaterThanOrEqual(4);
    expect(trial.unplaced).toBeGreaterThan(0);
  });
});

describe("stitched images", () => {
  const sizes = [
    { width: 60, height: 40 },
    { width: 36, height: 50 },
    { width: 100, height: 10 },
  ];
  const source = { count: 3, sizeOf: (index: number) => sizes[index] ?? { width: 1, height: 1 } };
  const draw = (seed: number, options: AugmentOptions): Recipe =>
    drawRecipe(new Random(seed), 1, source, 64, augmentSchema.parse(options));

  test("are four whole ones, each in the middle of a quarter that it just fits", () => {
    const places = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const { parts } = draw(seed, { stitch: 1 });
      expect(parts.map(({ placement }) => placement.window)).toEqual([
        [0, 0, 32, 32],
        [32, 0, 64, 32],
        [0, 32, 32, 64],
        [32, 32, 64, 64],
      ]);
      places.add(parts.findIndex(({ index }) => index === 1));
      for (const { index, placement } of parts) {
        const { width, height } = source.sizeOf(index);
        const scale = 32 / Math.max(width, height);
        const { window } = placement;
        expect(placement.width).toBeCloseTo(scale * width, 9);
        expect(placement.height).toBeCloseTo(scale * height, 9);
        expect(placement.left + placement.width / 2).toBeCloseTo((window[0] + window[2]) / 2, 9);
        expect(placement.top + placement.height / 2).toBeCloseTo((window[1] + window[3]) / 2, 9);
      }
    }
    expect(places).toEqual(new Set([0, 1, 2, 3]));
  });

  test("come as often as is asked, and leave all others as they are", () => {
    let stitched = 0;
    for (let seed = 0; seed < 1000; seed++) {
      const [some, none] = [draw(seed, { stitch: 0.3, mosaic: 0.5 }), draw(seed, { mosaic: 0.5 })];
      const window = some.parts[0]?.placement.window;
      // The point of a mosaic may lie in the middle, too, if rarely.
      if (some.parts.length === 4 && window?.[2] === 32 && window[3] === 32) stitched++;
      else expect(some).toEqual(none);
    }
    expect(Math.abs(stitched / 1000 - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / 1000));
  });
});
