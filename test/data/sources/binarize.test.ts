import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packDigits } from "../../../scripts/pack-digits.ts";
import { openData } from "../../../src/data/open.node.ts";
import { binarized, binarizeImages } from "../../../src/data/sources/binarize.ts";
import {
  type Binarization,
  type DataSet,
  isPicture,
  range,
  storedSplit,
} from "../../../src/data/sources/data-set.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { float32 } from "../../../src/tensor/array.ts";

let digits: DataSet;
let folder = "";
beforeAll(async () => {
  await packDigits();
  digits = await openData("digits");
  folder = await mkdtemp(join(tmpdir(), "eidos-binarise-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** True where two arrays hold the same numbers; an assertion of so many one by one would take seconds. */
const same = (a: Float32Array, b: Float32Array) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

const pixels = ({ splits }: DataSet, count: number, split: "train" | "test" = "train") =>
  splits[split].batch(range(0, count));

/** The first training images alone: what is drawn of them does not depend on those that come later. */
const fewer = (data: DataSet, count: number): DataSet => ({
  ...data,
  splits: {
    train: { ...data.splits.train, count },
    validation: { ...data.splits.validation, count: 100 },
    test: { ...data.splits.test, count: 100 },
  },
});

describe("digits", () => {
  test("by threshold: ones are the bytes from 128 on, exactly", async () => {
    const data = await openData("digits", { binary: true, binarize: "threshold" });
    expect(data).toMatchObject({ kind: "binary", sampleShape: [1, 28, 28], classes: digits.classes });
    expect(isPicture(data)).toBe(true);
    for (const split of ["train", "test"] as const) {
      const [bits, bytes] = [pixels(data, 1000, split), pixels(digits, 1000, split)];
      expect(bits.x.shape).toEqual([1000, 1, 28, 28]);
      expect(bits.x.data.every((bit, i) => bit === Number((bytes.x.data[i] ?? 0) >= 128))).toBe(true);
      expect(bits.label).toEqual(bytes.label);
    }
    expect(data.splits.train.intensities).toBeUndefined();
    expect(data.describe().at(-1)).toBe("binarized by threshold: bytes from 128 on are ones");
  });

  test("by one draw: the same for good, of the seed, and one with probability byte / 255", async () => {
    const a = await openData("digits", { binary: true });
    const few = fewer(digits, 2000);
    const [b, c] = [0, 1].map((seed) => binarized(few, { protocol: "stochastic", seed }));
    if (b === undefined || c === undefined) throw new Error("two data sets were made");
    expect(a.binarization).toEqual({ protocol: "stochastic", seed: 0 });
    expect(a.describe().at(-1)).toMatch(/one draw of each pixel \(stochastic\), seed 0/);
    const drawn = pixels(a, 2000).x.data;
    expect(same(pixels(b, 2000).x.data, drawn)).toBe(true);
    expect(b.fingerprint).toBe(a.fingerprint);
    expect(same(pixels(c, 2000).x.data, drawn)).toBe(false);
    expect(c.fingerprint).not.toBe(a.fingerprint);
    // A position, whatever batch it is asked for in.
    expect(a.splits.train.batch([1999, 3]).x.data.subarray(784)).toEqual(drawn.subarray(3 * 784, 4 * 784));

    // Pixels by their byte, in steps: the share of ones lies within five deviations of the mean byte / 255.
    const bytes = pixels(digits, 2000).x.data;
    const bins = [1, 32, 64, 96, 128, 160, 192, 224].map((low) => ({ low, count: 0, expected: 0, ones: 0 }));
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      for (const bin of bins) {
        if (byte < bin.low || byte >= bin.low + 32) continue;
        bin.count++;
        bin.expected += byte / 255;
        bin.ones += drawn[i] ?? 0;
      }
    }
    for (const { count, expected, ones } of bins) {
      expect(count).toBeGreaterThan(1000);
      expect(Math.abs(ones - expected) / count).toBeLessThan(5 * Math.sqrt(0.25 / count));
    }
    expect(drawn.every((bit, i) => bytes[i] !== 0 || bit === 0)).toBe(true);
    expect(drawn.every((bit, i) => bytes[i] !== 255 || bit === 1)).toBe(true);
  });

  test("dynamically: probabilities for training, and the fixed draw besides", async () => {
    const dynamic = await openData("digits", { binary: true, binarize: "dynamic" });
    const once = binarized(fewer(digits, 100), { protocol: "stochastic", seed: 0 });
    const { train, validation, test } = dynamic.splits;
    const { x, label } = train.intensities?.([0, 5, 7999]) ?? {};
    const bytes = digits.splits.train.batch([0, 5, 7999]);
    expect(x?.shape).toEqual([3, 1, 28, 28]);
    expect(x?.data).toEqual(bytes.x.data.map((byte) => byte / 255));
    expect(label).toEqual(bytes.label);
    expect([validation.intensities, test.intensities]).toEqual([undefined, undefined]);
    for (const split of ["train", "test"] as const) {
      const [fixed, drawn] = [pixels(dynamic, 100, split), pixels(once, 100, split)];
      expect(same(fixed.x.data, drawn.x.data)).toBe(true);
      expect({ shape: fixed.x.shape, label: fixed.label }).toEqual({
        shape: drawn.x.shape,
        label: drawn.label,
      });
    }
    expect(dynamic.fingerprint).not.toBe(once.fingerprint);
  });
});

describe("images", () => {
  test("are drawn alike however they are cut into batches", () => {
    const bytes = Float32Array.from({ length: 12 * 9 }, (_, i) => (i * 37) % 256);
    const protocol: Binarization = { protocol: "stochastic", seed: 4 };
    const whole = binarizeImages(float32(bytes, [12, 1, 3, 3]), protocol, { part: "read", first: 0 });
    const part = binarizeImages(float32(bytes.subarray(45), [7, 1, 3, 3]), protocol, {
      part: "read",
      first: 5,
    });
    expect(part.data).toEqual(whole.data.subarray(45));
  });

  test("of a folder become grey and binary, with their classes", async () => {
    for (const [name, shade] of [
      ["dark", 20],
      ["light", 230],
    ] as const) {
      await mkdir(join(folder, "shades", name), { recursive: true });
      for (let i = 0; i < 8; i++) {
        const raw = Uint8Array.from({ length: 8 * 8 * 3 }, () => shade);
        const image = sharp(raw, { raw: { width: 8, height: 8, channels: 3 } });
        await image.png().toFile(join(folder, "shades", name, `${i}.png`));
      }
    }
    const path = join(folder, "shades");
    const data = await openData(path, { size: 8, binary: true, binarize: "threshold" });
    expect(data).toMatchObject({ kind: "binary", sampleShape: [1, 8, 8], classes: ["dark", "light"] });
    const { x, label } = data.splits.train.batch(range(0, data.splits.train.count));
    expect(x.data.every((bit, i) => bit === Number(label?.data[Math.floor(i / 64)]))).toBe(true);
    await expect(openData(path, { size: 8, binary: true, color: "rgb" })).rejects.toThrow(OptionError);
    expect((await openData(path, { color: "rgb" })).sampleShape).toEqual([3, 8, 8]);
    expect((await openData(path)).sampleShape).toEqual([1, 8, 8]);
  });

  test("in color, and data that is no image, cannot be binarized", async () => {
    const split = storedSplit(new Uint8Array(12), [3, 2, 2], [0]);
    const color: DataSet = {
      ...digits,
      sampleShape: [3, 2, 2],
      splits: { train: split, validation: split, test: split },
    };
    expect(() => binarized(color, { protocol: "threshold", seed: 0 })).toThrow(DataError);
    await expect(openData("two-moons", { binary: true })).rejects.toThrow(
      /two-moons: points of the plane are not zeros and ones/,
    );
    await expect(openData("digits", { binary: true, binarize: "half" as "dynamic" })).rejects.toThrow(
      /data: option binarize/,
    );
  });
});
