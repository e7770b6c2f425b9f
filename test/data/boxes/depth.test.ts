import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { openPhoto } from "../../../src/data/boxes/image.node.ts";
import type { DetectionOptions } from "../../../src/data/boxes/options.ts";
import { detectionDataOptions } from "../../../src/tasks/run/detection-options.ts";
import { temporaryFolder, tiff } from "../../support.ts";

// Annotated photos whose values are no bytes: those of 12 bits in 16, and floats.

const SIDE = 24;
/** 0 … 1, from the top left to the bottom right. */
const RAMP = Array.from({ length: SIDE * SIDE }, (_, i) => i / (SIDE * SIDE - 1));

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Writes photos with one object each. */
async function photos(name: string, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  const names = Object.keys(files);
  await mkdir(join(root, name), { recursive: true });
  for (const [file, bytes] of Object.entries(files)) await writeFile(join(root, name, file), bytes);
  const document = {
    images: names.map((file_name, i) => ({ id: i + 1, file_name, width: SIDE, height: SIDE })),
    annotations: names.map((_, i) => ({ id: i + 1, image_id: i + 1, category_id: 1, bbox: [2, 2, 10, 10] })),
    categories: [{ id: 1, name: "star" }],
  };
  await writeFile(join(root, name, "annotations.json"), JSON.stringify(document));
}

const deep = (largest: number, share = 1) => {
  const data = Uint16Array.from(RAMP, (value) => Math.round(largest * share * value));
  return encode({ width: SIDE, height: SIDE, channels: 1, depth: 16, data });
};
const floats = (scale: number, offset = 0) => tiff(RAMP.map((value) => scale * value + offset));

const opened = async (name: string, options: DetectionOptions = {}) => {
  const set = await openDetectionFolder(join(root, name), { validation: 0, test: 0, ...options });
  return { set, told: set.describe().join("\n") };
};

/** The largest difference of decoded bytes from the ramp. */
const offRamp = (data: Uint8Array): number =>
  Math.max(...Array.from(data, (byte, i) => Math.abs(byte - 255 * (RAMP[i % RAMP.length] ?? 0))));

test("12 bits in 16 are told with count and example, and an option takes them as such", async () => {
  await photos("deep", { "a.png": deep(4095), "b.png": deep(4095, 0.5) });
  const plain = await opened("deep");
  expect(plain.told).toMatch(/2 images of 16 bits \(a\.png, …\) have no value from 4096 on.*--bits 12/);
  const dark = await plain.set.splits.train.sample(0);
  expect(Math.max(...(dark.image?.data ?? []))).toBeLessThanOrEqual(16);
  const { set, told } = await opened("deep", { bits: 12 });
  expect(told).not.toMatch(/16 bits/);
  expect(offRamp((await set.splits.train.sample(0)).image.data)).toBeLessThanOrEqual(2);
  const part = await set.splits.train.part?.(0, {}, { left: 0, top: 0, width: SIDE, height: SIDE });
  expect(offRamp(part?.data ?? new Uint8Array(1).fill(9))).toBeLessThanOrEqual(2);
});

test("one value above them is enough for 13 bits, and bytes in 16 bits are not dark", async () => {
  await photos("more", { "a.png": deep(4095), "b.png": deep(4096) });
  expect((await opened("more")).told).toMatch(/no value from 8192 on.*--bits 13/);
  await photos("full", { "a.png": deep(4095), "b.png": deep(65535) });
  expect((await opened("full")).told).not.toMatch(/16 bits/);
});

test("a run's photos are read by its bits", async () => {
  const { reading } = detectionDataOptions({ size: 64, bits: 12 });
  expect(reading.bits).toBe(12);
  const ranged = detectionDataOptions({ size: 64, valueRange: [0, 2] }).reading;
  const wide = await openPhoto(floats(2), "a", { pixelLimit: 1e6, valueRange: ranged.valueRange });
  expect(offRamp((await wide.decode()).data)).toBeLessThanOrEqual(1);
  const photo = await openPhoto(deep(4095), "a", { pixelLimit: 1e6, bits: reading.bits });
  expect(offRamp((await photo.decode()).data)).toBeLessThanOrEqual(2);
});

test("floats of 0 … 1 and 0 … 255 are read; others are left out with their range, and photos of others refused", async () => {
  await photos("floats", {
    "a.tif": floats(1),
    "b.tif": floats(255),
    "c.tif": floats(4000, -1000),
    "d.tif": floats(0.5, 0.25),
  });
  const { set, told } = await opened("floats");
  expect(set.faults.filter(({ kind }) => kind === "unreadable-image")).toEqual([
    {
      kind: "unreadable-image",
      file: "c.tif",
      detail:
        "its values are from -1000 to 3000, where 0 to 1 or 0 to 255 are read; --value-range=-1000,3000 of eidos data and eidos fit takes them as black to white",
    },
  ]);
  expect(told).toMatch(/: 1 \(c\.tif\)/);
  expect(told).toMatch(
    /2 images of floats from 0 to 1 \(a\.tif, …\), times 255; 1 image of numbers from 0 to 255/,
  );
  for (const index of [0, 1]) {
    expect(offRamp((await set.splits.train.sample(index)).image.data)).toBeLessThanOrEqual(1);
  }
  const ranged = await opened("floats", { valueRange: [-1000, 3000] });
  expect(ranged.set.faults).toEqual([]);
  expect(ranged.told).not.toMatch(/value-range/);
  const third = (await ranged.set.splits.train.sample(2)).image.data;
  expect(offRamp(third)).toBeLessThanOrEqual(1);
  const photo = await openPhoto(floats(4000), "wide", { pixelLimit: 1e6 });
  await expect(photo.decode()).rejects.toThrow(
    /^wide: its values are from 0 to 4000, where .*--value-range 0,4000/,
  );
});
