import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeRgb, examineImage } from "../../../src/data/boxes/image.node.ts";
import type { ByteImage, ImagePart } from "../../../src/data/boxes/set.ts";
import { temporaryFolder } from "../../support.ts";
import { painted, writeImage } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

function cropped({ width, height, data }: ByteImage, part: ImagePart): ByteImage {
  const own = new Uint8Array(3 * part.width * part.height);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < part.height; y++) {
      const from = (channel * height + part.top + y) * width + part.left;
      own.set(data.subarray(from, from + part.width), (channel * part.height + y) * part.width);
    }
  }
  return { width: part.width, height: part.height, data: own };
}

test.each([
  ["upright.png", undefined],
  ["turned.jpg", 6],
] as const)("a part of %s is that part of the image, upright and made smaller", async (name, orientation) => {
  const image = painted(
    160,
    120,
    [90, 120, 60],
    [
      { box: [20, 10, 70, 60], color: [250, 30, 20] },
      { box: [90, 40, 150, 110], color: [10, 30, 240] },
    ],
  );
  await writeImage(root, name, image, orientation);
  const path = join(root, name);
  const limits = { pixelLimit: 1e6 };
  const found = await examineImage(path, { ...limits, verify: false });
  if (!found.ok) throw new Error(found.detail);
  for (const longest of [undefined, 100]) {
    const whole = await decodeRgb(path, name, found.header, { ...limits, longest });
    expect(whole.height > whole.width).toBe(orientation === 6);
    const part = { left: 11, top: 17, width: 50, height: 40 };
    const own = await decodeRgb(path, name, found.header, { ...limits, longest }, part);
    const expected = cropped(whole, part);
    expect([own.width, own.height, own.data.length]).toEqual([50, 40, expected.data.length]);
    // A turned image that is made smaller may be turned first or last, and overshoots at edges are cut off between: a few levels. A part
    // that lay elsewhere would differ by a hundred.
    const apart = own.data.map((value, i) => Math.abs(value - (expected.data[i] ?? 0)));
    expect(Math.max(...apart)).toBeLessThanOrEqual(
      longest !== undefined && orientation !== undefined ? 12 : 0,
    );
    expect(new Set(own.data).size).toBeGreaterThan(2);
  }
});
