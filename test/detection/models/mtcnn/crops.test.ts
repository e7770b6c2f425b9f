import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Annotations } from "../../../../src/data/boxes/set.ts";
import type { Box } from "../../../../src/detection/boxes/boxes.ts";
import { CropBatches } from "../../../../src/detection/models/mtcnn/crop-batches.ts";
import {
  CROP_KINDS,
  type CropImage,
  cropImage,
  drawAround,
  drawNegative,
  labeled,
  landmarksWithin,
  offsetsOf,
  squareOf,
} from "../../../../src/detection/models/mtcnn/crops.ts";
import { minedCrops, recallOf } from "../../../../src/detection/models/mtcnn/mining.ts";
import { calibrated, landmarksInImage } from "../../../../src/detection/models/mtcnn/windows.ts";
import { Random } from "../../../../src/random.ts";
import { present } from "../../../support.ts";

const [WIDTH, HEIGHT] = [80, 60];

/** Objects whose edges and windows lie on whole pixels, so that areas can be counted pixel by pixel. */
const whole = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 4, max: 20 }))
  .map(([x, y, side]): Box => [x, y, x + side, y + side]);

/** IoU by counting pixels. */
function countedIou(a: Box, b: Box): number {
  let [both, either] = [0, 0];
  for (let y = 0; y < HEIGHT + 20; y++) {
    for (let x = 0; x < WIDTH + 20; x++) {
      const inside = ([x1, y1, x2, y2]: Box) => x >= x1 && x < x2 && y >= y1 && y < y2;
      if (inside(a) && inside(b)) both++;
      if (inside(a) || inside(b)) either++;
    }
  }
  return both / either;
}

const imageWith = (boxes: readonly Box[], others: readonly Box[] = []): CropImage => ({
  width: WIDTH,
  height: HEIGHT,
  objects: boxes.map((box) => ({ box, square: squareOf(box) })),
  others,
  regions: [],
});

describe("labels of crops", () => {
  it("are those of IoU counted pixel by pixel", () => {
    fc.assert(
      fc.property(
        whole,
        fc.array(whole, { maxLength: 3 }),
        fc.array(whole, { maxLength: 2 }),
        (window, boxes, others) => {
          const best = Math.max(0, ...boxes.map((box) => countedIou(window, box)));
          const other = Math.max(0, ...others.map((box) => countedIou(window, box)));
          const expected =
            best > 0.65
              ? "positive"
              : best >= 0.4
                ? "part"
                : best < 0.3 && other < 0.3
                  ? "negative"
                  : undefined;
          expect(labeled(window, imageWith(boxes, others))?.kind).toBe(expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("take objects that are too small for no background, and crowds for regions without any", () => {
    const annotations: Annotations = {
      file: "a.png",
      width: WIDTH,
      height: HEIGHT,
      boxes: Float32Array.of(0, 0, 30, 20, 40, 0, 46, 8, 40, 40, 80, 60),
      labels: Int32Array.of(0, 0, 0),
      difficult: new Uint8Array(3),
      crowd: Uint8Array.of(0, 0, 1),
      areas: Float32Array.of(600, 48, 800),
    };
    const image = cropImage(annotations, { smallest: 12, difficult: false });
    expect(image.objects.map(({ square }) => square)).toEqual([[0, -5, 30, 25]]);
    expect(labeled([39, 0, 47, 8], image)).toBeUndefined();
    expect(labeled([45, 42, 60, 57], image)).toBeUndefined();
    expect(labeled([50, 10, 62, 22], image)?.kind).toBe("negative");
  });
});

describe("crops of objects that no window within the image holds", () => {
  it.each([
    ["wider than the image is high", [0, 10, 80, 50]],
    ["narrow and at the border", [0, 10, 8, 50]],
    ["flat and in a corner", [30, 52, 80, 60]],
  ] as const)("reach beyond it: %s", (_, box) => {
    const image = imageWith([box]);
    const random = new Random(3);
    for (const kind of ["positive", "part"] as const) {
      for (let i = 0; i < 10; i++) {
        const crop = drawAround(random, image, present(image.objects[0]), kind);
        expect(crop?.kind).toBe(kind);
        expect(labeled(present(crop?.window), image)?.kind).toBe(kind);
      }
    }
    const { window } = present(drawAround(random, image, present(image.objects[0]), "positive"));
    expect(window.every(Number.isInteger)).toBe(true);
    const [left, top, right, bottom] = window;
    expect(left < 0 || top < 0 || right > WIDTH || bottom > HEIGHT).toBe(true);
  });

  it("are read as the cascade reads them, and none of their rows is blank", async () => {
    const image = imageWith([[0, 10, 80, 50]]);
    const pixels = { width: WIDTH, height: HEIGHT, data: new Uint8Array(3 * WIDTH * HEIGHT).fill(90) };
    const batches = new CropBatches(
      { count: 1, image: () => image, pixels: async () => pixels },
      { size: 12, points: 0, batchSize: 20, seed: 1, flip: 0, smallest: 61 },
    );
    const { kinds, x } = await batches.batch(0, [0, 20]);
    const blank = [...kinds.data].filter((kind) => kind < 0n).length;
    // No window of 61 pixels lies in the image: background, 3 of 5 crops, is nowhere.
    expect(blank).toBe(12);
    expect(batches.blankRows(2)).toEqual({ rows: 40, blank: 24, example: { index: 0, kind: "negative" } });
    const drawn = x.data.filter((_, i) => (kinds.data[Math.floor(i / 432)] ?? -1n) >= 0n);
    expect(drawn.every((value) => value === 90)).toBe(true);
  });
});

describe("drawn crops", () => {
  it("are what was asked for, in whole pixels within the image", () => {
    const image = imageWith([
      [20, 10, 40, 34],
      [50, 30, 66, 46],
    ]);
    const random = new Random(1);
    for (let i = 0; i < 40; i++) {
      for (const kind of ["positive", "part", "landmarks"] as const) {
        const object = present(image.objects[i % 2]);
        const crop = present(drawAround(random, image, object, kind));
        expect(crop.object).toBe(object);
        expect(labeled(crop.window, image)?.kind).toBe(kind === "part" ? "part" : "positive");
        const [x1, y1, x2, y2] = crop.window;
        expect(crop.window.every(Number.isInteger)).toBe(true);
        expect(Math.min(x1, y1, WIDTH - x2, HEIGHT - y2)).toBeGreaterThanOrEqual(0);
      }
      const negative = present(drawNegative(random, image, 12, i % 2 === 0 ? image.objects[0] : undefined));
      expect(labeled(negative.window, image)?.kind).toBe("negative");
      expect(negative.window[2] - negative.window[0]).toBeGreaterThanOrEqual(12);
    }
    expect(drawNegative(random, imageWith([[0, 0, 80, 60]]), 70)).toBeUndefined();
  });
});

describe("targets", () => {
  it("lead the cascade's own calibration back to the object and its landmarks", () => {
    const [window, box]: [Box, Box] = [
      [10, 20, 40, 50],
      [12.5, 17, 44, 49],
    ];
    const points = [13, 22, 30.5, 21, 20, 33, 14, 45, 35, 44];
    // Windows of the cascade count their left and top edges from 1.
    const windows = {
      boxes: Float32Array.of(11, 21, 40, 50),
      scores: Float32Array.of(1),
      offsets: Float32Array.from(offsetsOf(window, box)),
      landmarks: Float32Array.from(landmarksWithin(window, points)),
    };
    const moved = calibrated(windows, 1);
    for (const [i, edge] of box.entries()) expect(moved[i]).toBeCloseTo(edge, 4);
    const placed = present(landmarksInImage(windows));
    for (const [i, value] of points.entries()) expect(placed[i]).toBeCloseTo(value, 4);
  });

  it("of mirrored crops are those of the mirrored image, left and right landmarks changed", async () => {
    const marks = Float32Array.of(22, 14, 34, 15, 28, 20, 23, 28, 33, Number.NaN);
    const object = { box: [20, 10, 40, 34] as Box, square: squareOf([20, 10, 40, 34]), landmarks: marks };
    const image: CropImage = { ...imageWith([]), objects: [object] };
    const pixels = {
      width: WIDTH,
      height: HEIGHT,
      data: Uint8Array.from({ length: 3 * WIDTH * HEIGHT }, (_, i) => (7 * i) % 251),
    };
    const source = { count: 1, image: () => image, pixels: async () => pixels };
    const options = { size: 12, points: 5, batchSize: 28, seed: 3, smallest: 12 };
    const plain = await new CropBatches(source, { ...options, flip: 0 }).batch(0, [0, 28]);
    const mirrored = await new CropBatches(source, { ...options, flip: 1 }).batch(0, [0, 28]);
    expect(mirrored.kinds).toEqual(plain.kinds);
    expect(new Set(Array.from(plain.kinds.data, Number))).toEqual(new Set([0, 1, 2, 3]));
    for (const [row, kind] of Array.from(plain.kinds.data, Number).entries()) {
      for (let line = 0; line < 36; line++) {
        const at = 36 * 12 * row + 12 * line;
        expect([...mirrored.x.data.subarray(at, at + 12)].reverse()).toEqual([
          ...plain.x.data.subarray(at, at + 12),
        ]);
      }
      if (CROP_KINDS[kind] === "negative") continue;
      const [a, b] = [plain.offsets.data, mirrored.offsets.data];
      // Edges change sides. As left edges count from 1, the two sums are one pixel, in parts of a side that has whole ones.
      const sums = [(a[4 * row] ?? 0) + (b[4 * row + 2] ?? 0), (a[4 * row + 2] ?? 0) + (b[4 * row] ?? 0)];
      const side = Math.round(-1 / (sums[0] ?? 0));
      expect(side).toBeGreaterThan(12);
      for (const sum of sums) expect(sum).toBeCloseTo(-1 / side, 5);
      expect(b[4 * row + 1]).toBeCloseTo(a[4 * row + 1] ?? 0, 5);
    }
    const row = Array.from(plain.kinds.data, Number).indexOf(3);
    const at = (values: ArrayLike<number> | undefined, i: number) => Number(values?.[10 * row + i]);
    const pairs = [1, 0, 2, 4, 3];
    for (const [point, other] of pairs.entries()) {
      expect(at(mirrored.marked?.data, point)).toBe(at(plain.marked?.data, other));
      if (at(plain.marked?.data, other) === 0) continue;
      expect(at(mirrored.landmarks?.data, point)).toBeCloseTo(1 - at(plain.landmarks?.data, other), 5);
      expect(at(mirrored.landmarks?.data, 5 + point)).toBeCloseTo(at(plain.landmarks?.data, 5 + other), 5);
    }
    // The last landmark is not marked: neither of its numbers counts.
    expect(at(plain.marked?.data, 4)).toBe(0);
  });

  it("are the same at every call, and rows of a part are those of the whole batch", async () => {
    const image = imageWith([[20, 10, 40, 34]]);
    const pixels = { width: WIDTH, height: HEIGHT, data: new Uint8Array(3 * WIDTH * HEIGHT).fill(9) };
    const source = { count: 3, image: () => image, pixels: async () => pixels };
    const options = { size: 24, points: 0, batchSize: 70, seed: 5, smallest: 12, flip: 0.5 };
    const all = await new CropBatches(source, options).batch(4, [0, 70]);
    const part = await new CropBatches(source, options).batch(4, [20, 50]);
    expect(part.kinds.data).toEqual(all.kinds.data.slice(20, 50));
    expect(part.offsets.data).toEqual(all.offsets.data.slice(80, 200));
    const count = (kind: number) => all.kinds.data.filter((one) => Number(one) === kind).length;
    expect([0, 1, 2].map(count)).toEqual([42, 14, 14]);
  });
});

describe("mined crops", () => {
  it("are the windows of a network by what they teach, the best scores first, at most so many", () => {
    const image = imageWith([[20, 10, 40, 30]]);
    const windows = {
      boxes: Float32Array.of(21, 11, 40, 30, 27, 11, 46, 30, 51, 31, 70, 50, 1, 31, 20, 50),
      scores: Float32Array.of(0.9, 0.8, 0.6, 0.7),
    };
    const mined = minedCrops(windows, image, 1);
    expect(mined.positive.map(({ window }) => window)).toEqual([[20, 10, 40, 30]]);
    expect(mined.part.map(({ window }) => window)).toEqual([[26, 10, 46, 30]]);
    expect(mined.negative.map(({ window }) => window)).toEqual([[0, 30, 20, 50]]);
    expect(recallOf([[26, 10, 46, 30]], image)).toEqual({ objects: 1, found: 1 });
    expect(recallOf([[36, 10, 56, 30]], image)).toEqual({ objects: 1, found: 0 });
  });
});
