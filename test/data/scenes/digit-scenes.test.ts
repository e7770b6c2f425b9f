import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { DetectionSet } from "../../../src/data/boxes/set.ts";
import { detectionStatistics } from "../../../src/data/boxes/statistics.ts";
import { isDetectionData, openDetection } from "../../../src/data/open.node.ts";
import { digitScenes } from "../../../src/data/scenes/digit-scenes.ts";
import { type Ink, inkOf } from "../../../src/data/scenes/layout.ts";
import { stampInk } from "../../../src/data/scenes/picture.ts";
import type { DataSet } from "../../../src/data/sources/data-set.ts";
import { openDigits } from "../../../src/data/sources/digits.node.ts";
import { DIGITS_COUNT } from "../../../src/data/sources/digits.ts";
import { OptionError } from "../../../src/errors.ts";
import { boxWithin, painted } from "../boxes/support.ts";

let digits: DataSet;
beforeAll(async () => {
  digits = await openDigits();
});

const all = (set: DetectionSet) =>
  Object.values(set.splits).flatMap((split) =>
    Array.from({ length: split.count }, (_, i) => split.annotations(i)),
  );

describe("scenes", () => {
  test("are what they are called: digits within the canvas, of the sizes asked for", () => {
    const set = digitScenes(digits, { scenes: 300 });
    expect(set.classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    const { train, validation, test } = set.splits;
    expect([train.count, validation.count, test.count]).toEqual([300, 60, 60]);
    const sides: number[] = [];
    for (const { boxes, labels, width, height } of all(set)) {
      expect([width, height]).toEqual([160, 160]);
      expect(labels.length).toBeGreaterThan(0);
      expect(labels.length).toBeLessThanOrEqual(8);
      for (let i = 0; i < labels.length; i++) {
        const [x1 = -1, y1 = -1, x2 = -1, y2 = -1] = boxes.subarray(4 * i, 4 * i + 4);
        expect(x1 >= 0 && y1 >= 0 && x2 <= 160 && y2 <= 160).toBe(true);
        expect(Math.sqrt((x2 - x1) * (y2 - y1))).toBeGreaterThan(5.99);
        sides.push(Math.max(x2 - x1, y2 - y1));
      }
    }
    expect(Math.max(...sides)).toBeLessThanOrEqual(96.001);
    expect(Math.max(...sides)).toBeGreaterThan(80);
    expect(Math.min(...sides)).toBeLessThan(9);
    expect(new Set(all(set).flatMap(({ labels }) => [...labels])).size).toBe(10);
  });

  test.each([0, 0.25, 0.5, 0.9, 1])("a share of %f of the objects is small", (smallShare) => {
    const { sizes, objects } = detectionStatistics(
      digitScenes(digits, { scenes: 250, smallShare, objects: 4 }),
    ).total;
    // Four binomial deviations of about 1,400 objects; large digits find no place a little more often.
    expect(Math.abs(sizes.small / objects - smallShare)).toBeLessThan(0.05);
    expect(sizes.large / objects).toBeLessThan(0.05);
  });

  test("what is small may be another size than COCO's; scenes of that one are what they always were", () => {
    const set = digitScenes(digits, { scenes: 250, objects: 4, smallLimit: 16, smallShare: 0.5 });
    const sizes = all(set).flatMap(({ areas }) => Array.from(areas, Math.sqrt));
    const below = sizes.filter((size) => size < 16).length;
    expect(Math.abs(below / sizes.length - 0.5)).toBeLessThan(0.05);
    // On either side of the limit sizes are uniform in their logarithm: √(6 · 16) is the middle of the small ones.
    const lower = sizes.filter((size) => size < Math.sqrt(6 * 16)).length;
    expect(Math.abs(lower / below - 0.5)).toBeLessThan(0.08);
    expect(sizes.filter((size) => size >= 16 && size < 32).length / sizes.length).toBeGreaterThan(0.15);
    const usual = digitScenes(digits, { scenes: 30 });
    // Runs that were fitted before there was a limit go on.
    expect(usual.fingerprint).toBe("6d562fe9413052a8");
    expect(digitScenes(digits, { scenes: 30, smallLimit: 32 }).fingerprint).toBe(usual.fingerprint);
    expect(digitScenes(digits, { scenes: 30, smallLimit: 31 }).fingerprint).not.toBe(usual.fingerprint);
  });

  test("boxes cover no more of each other than is allowed", () => {
    for (const digitOverlap of [0, 0.3]) {
      let most = 0;
      for (const { boxes, labels, areas } of all(
        digitScenes(digits, { scenes: 50, objects: 20, digitOverlap }),
      )) {
        for (let i = 0; i < labels.length; i++) {
          for (let j = 0; j < i; j++) {
            const edge = (k: number, side: number) => boxes[4 * k + side] ?? 0;
            const width = Math.min(edge(i, 2), edge(j, 2)) - Math.max(edge(i, 0), edge(j, 0));
            const height = Math.min(edge(i, 3), edge(j, 3)) - Math.max(edge(i, 1), edge(j, 1));
            const shared = Math.max(0, width) * Math.max(0, height);
            most = Math.max(most, shared / Math.min(areas[i] ?? 0, areas[j] ?? 0));
          }
        }
      }
      expect(most).toBeLessThanOrEqual(digitOverlap + 1e-4);
      if (digitOverlap > 0) expect(most).toBeGreaterThan(digitOverlap - 0.1);
    }
  });

  test("depend on seed, split and place alone", async () => {
    const few = digitScenes(digits, { scenes: 10 });
    const many = digitScenes(digits, { scenes: 20, cache: 0 });
    for (const i of [7, 0, 9]) {
      const [a, b] = [await few.splits.train.sample(i), await many.splits.train.sample(i)];
      const { image: drawn, ...annotations } = a;
      expect(b).toMatchObject(annotations);
      expect(Buffer.from(b.image.data).equals(drawn.data)).toBe(true);
    }
    const other = digitScenes(digits, { scenes: 10, splitSeed: 1 });
    const pixels = async (set: DetectionSet, split: "train" | "test", i: number) =>
      Buffer.from((await set.splits[split].sample(i)).image.data);
    const first = await pixels(few, "train", 0);
    expect(first.equals(await pixels(few, "train", 1))).toBe(false);
    expect(first.equals(await pixels(few, "test", 0))).toBe(false);
    expect(first.equals(await pixels(other, "train", 0))).toBe(false);
    expect(new Set([few, many, other].map(({ fingerprint }) => fingerprint)).size).toBe(3);
    expect(digitScenes(digits, { scenes: 10 }).fingerprint).toBe(few.fingerprint);
  });

  test("of a split are made of the digits of that split", () => {
    const only = (label: number) => ({
      count: 5,
      batch: () => ({
        ...digits.splits.train.batch([0]),
        label: { dtype: "int64" as const, shape: [1], data: BigInt64Array.of(BigInt(label)) },
      }),
    });
    const marked: DataSet = { ...digits, splits: { train: only(1), validation: only(2), test: only(3) } };
    const { splits } = digitScenes(marked, { scenes: 10 });
    const labels = Object.values(splits).map((split) =>
      Array.from({ length: split.count }, (_, i) => [...split.annotations(i).labels]).flat(),
    );
    expect(labels.map((list) => [...new Set(list)])).toEqual([[1], [2], [3]]);
    const parts = Object.values(digits.splits);
    expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(DIGITS_COUNT);
  });

  test("a digit is distinct from the ground it stands on", async () => {
    const set = digitScenes(digits, { scenes: 5, clutter: 0, objects: 1, smallest: 40, largest: 90 });
    for (let i = 0; i < 5; i++) {
      const { image, boxes } = await set.splits.train.sample(i);
      const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = boxes;
      const grey = (x: number, y: number) => {
        const at = y * 160 + x;
        const [red, green, blue] = [0, 1, 2].map((channel) => image.data[channel * 25_600 + at] ?? 0);
        return 0.299 * (red ?? 0) + 0.587 * (green ?? 0) + 0.114 * (blue ?? 0);
      };
      const inside: number[] = [];
      const outside: number[] = [];
      for (let y = 0; y < 160; y++) {
        for (let x = 0; x < 160; x++) {
          const within = x >= x1 && x < x2 && y >= y1 && y < y2;
          (within ? inside : outside).push(grey(x, y));
        }
      }
      const middle = outside.reduce((sum, value) => sum + value, 0) / outside.length;
      const far = inside.filter((value) => Math.abs(value - middle) > 30).length / inside.length;
      expect(far).toBeGreaterThan(0.1);
    }
  });
});

describe("ink", () => {
  const full: Ink = { label: 0, width: 3, height: 5, data: new Float32Array(15).fill(1) };

  test("is cut out at its edges", () => {
    const ink = inkOf(digits.splits.train, 3);
    const rows = Array.from({ length: ink.height }, (_, y) =>
      Math.max(...ink.data.subarray(y * ink.width, (y + 1) * ink.width)),
    );
    expect(Math.min(rows[0] ?? 0, rows.at(-1) ?? 0)).toBeGreaterThanOrEqual(40 / 255);
    expect(ink.width).toBeLessThan(28);
    expect(ink.data.length).toBe(ink.width * ink.height);
  });

  test("stays within its box, and covers as much as the box where it is whole", () => {
    fc.assert(
      fc.property(boxWithin({ width: 30, height: 20 }), (box) => {
        const image = painted(30, 20, [0, 0, 0]);
        stampInk(image, { ink: full, box }, [255, 255, 255], 1);
        let [covered, outside] = [0, 0];
        for (let y = 0; y < 20; y++) {
          for (let x = 0; x < 30; x++) {
            const value = image.data[y * 30 + x] ?? 0;
            covered += value / 255;
            const width = Math.min(x + 1, box[2]) - Math.max(x, box[0]);
            const height = Math.min(y + 1, box[3]) - Math.max(y, box[1]);
            if ((width <= 0 || height <= 0) && value !== 0) outside++;
          }
        }
        expect(outside).toBe(0);
        const area = (box[2] - box[0]) * (box[3] - box[1]);
        expect(covered).toBeLessThanOrEqual(area + 1.2); // bytes are rounded
        // Half a sample at the borders fades out where samples are larger than pixels.
        expect(covered).toBeGreaterThan(0.6 * area - 1.5);
      }),
      { numRuns: 40 },
    );
  });

  test("keeps its mean when it is made small", () => {
    const ink = inkOf(digits.splits.train, 8);
    const mean = ink.data.reduce((sum, value) => sum + value, 0) / ink.data.length;
    const image = painted(40, 40, [0, 0, 0]);
    const box = [10, 12, 10 + ink.width / 2, 12 + ink.height / 2] as const;
    stampInk(image, { ink, box }, [255, 255, 255], 1);
    const sum = image.data.subarray(0, 1600).reduce((total, value) => total + value, 0) / 255;
    expect(sum / ((ink.width * ink.height) / 4)).toBeCloseTo(mean, 1);
  });
});

test("by name, with options that are checked", async () => {
  const set = await openDetection("digit-scenes", { scenes: 20, canvas: 64 });
  expect(set.splits.train.annotations(0).width).toBe(64);
  expect(set.describe()[0]).toMatch(/^digit-scenes: 64 × 64 pixels/);
  expect(await isDetectionData("digit-scenes")).toBe(true);
  expect(await isDetectionData("digits")).toBe(false);
  await expect(openDetection("digit-scene")).rejects.toThrow(/did you mean "digit-scenes"/);
  await expect(openDetection("nowhere/at/all")).rejects.toThrow(
    /there is no file or folder "nowhere\/at\/all"/,
  );
  await expect(openDetection("digit-scenes", { smallest: 50, largest: 40 })).rejects.toThrow(OptionError);
  await expect(openDetection("digit-scenes", { canvas: 5 })).rejects.toThrow(/data: option canvas/);
  await expect(openDetection("digit-scenes", { color: 5 } as object)).rejects.toThrow(
    /data: there is no option color/,
  );
});
