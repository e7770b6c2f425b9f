import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeImage } from "../../../src/data/image/decode.node.ts";
import { openImageFolder } from "../../../src/data/image/folder.node.ts";
import { DataError } from "../../../src/errors.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "eidos-images-"));
});
afterAll(() => rm(root, { recursive: true }));

type Color = readonly [red: number, green: number, blue: number];

/** Writes an image whose left and right halves have the given colors. */
async function image(
  path: string,
  left: Color,
  {
    right = left,
    width = 24,
    height = 16,
    orientation,
  }: {
    right?: Color;
    width?: number;
    height?: number;
    orientation?: number;
  } = {},
): Promise<string> {
  const full = join(root, path);
  await mkdir(dirname(full), { recursive: true });
  const bytes = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) bytes.set(i % width < width / 2 ? left : right, i * 3);
  let picture = sharp(bytes, { raw: { width, height, channels: 3 } });
  if (orientation !== undefined) picture = picture.withMetadata({ orientation });
  await picture.toFile(full);
  return full;
}

const RED = [255, 0, 0] as const;
const GREEN = [0, 255, 0] as const;
const BLUE = [0, 0, 255] as const;

describe("decoding", () => {
  test("channels come apart, the center is kept, the size is as asked", async () => {
    const path = await image("one/wide.png", RED, { right: BLUE, width: 64, height: 8 });
    const bytes = await decodeImage(path, { size: 8, channels: "rgb" });
    expect(bytes.length).toBe(3 * 64);
    // the central square of the wide image is half red, half blue
    const plane = (channel: number, row: number) => [
      ...bytes.subarray(channel * 64 + row * 8, channel * 64 + row * 8 + 8),
    ];
    expect(plane(0, 3)).toEqual([255, 255, 255, 255, 0, 0, 0, 0]);
    expect(plane(1, 3)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(plane(2, 3)).toEqual([0, 0, 0, 0, 255, 255, 255, 255]);
  });

  test("EXIF orientation is obeyed", async () => {
    // orientation 6: turn by 90° clockwise, so the left half comes to the top
    const path = await image("one/turned.jpg", [255, 255, 255], {
      right: [0, 0, 0],
      width: 32,
      height: 32,
      orientation: 6,
    });
    const bytes = await decodeImage(path, { size: 32, channels: "grey" });
    expect(bytes[4 * 32 + 4]).toBeGreaterThan(250);
    expect(bytes[4 * 32 + 28]).toBeGreaterThan(250);
    expect(bytes[28 * 32 + 4]).toBeLessThan(5);
  });

  test("grey files in color, transparency on white, 16 bits as 8", async () => {
    const grey = join(root, "one/grey.png");
    await sharp(new Uint8Array(64).fill(77), { raw: { width: 8, height: 8, channels: 1 } }).toFile(grey);
    expect([...new Set(await decodeImage(grey, { size: 8, channels: "rgb" }))]).toEqual([77]);
    const clear = join(root, "one/clear.png");
    await sharp(new Uint8Array(256), { raw: { width: 8, height: 8, channels: 4 } }).toFile(clear);
    expect([...new Set(await decodeImage(clear, { size: 8, channels: "rgb" }))]).toEqual([255]);
    const deep = join(root, "one/deep.png");
    await sharp(new Uint16Array(64).fill(77 * 257), { raw: { width: 8, height: 8, channels: 1 } })
      .toColorspace("grey16")
      .png()
      .toFile(deep);
    expect([...new Set(await decodeImage(deep, { size: 8, channels: "grey" }))]).toEqual([77]);
  });
});

describe("folders", () => {
  test("subfolders are classes; broken files are named, left out and counted", async () => {
    for (let i = 0; i < 10; i++) {
      await image(`classes/red/${i}.png`, RED);
      await image(`classes/green/${i}.jpg`, GREEN);
    }
    await writeFile(join(root, "classes/red/broken.png"), "not a picture");
    const whole = await sharp({ create: { width: 64, height: 64, channels: 3, background: "red" } })
      .jpeg()
      .toBuffer();
    await writeFile(join(root, "classes/green/cut.jpg"), whole.subarray(0, whole.length / 2));
    await writeFile(join(root, "classes/notes.txt"), "not looked at");
    const data = await openImageFolder(join(root, "classes"), { size: 8, splitSeed: 3 });
    expect(data).toMatchObject({
      name: "classes",
      kind: "image",
      sampleShape: [3, 8, 8],
      classes: ["green", "red"],
    });
    const { train, validation, test } = data.splits;
    expect([train.count, validation.count, test.count]).toEqual([16, 2, 2]);
    for (const split of [train, validation, test]) {
      const { x, label } = split.batch(Array.from({ length: split.count }, (_, i) => i));
      for (let i = 0; i < split.count; i++) {
        const red = (x.data[i * 192] ?? 0) > 128;
        expect(label?.data[i]).toBe(red ? 1n : 0n);
      }
    }
    expect(data.describe().join("\n")).toMatch(/left out 2 unreadable: green\/cut\.jpg, red\/broken\.png/);
    const again = await openImageFolder(join(root, "classes"), { size: 8, splitSeed: 3 });
    expect(again.fingerprint).toBe(data.fingerprint);
    expect((await openImageFolder(join(root, "classes"), { size: 8, splitSeed: 4 })).fingerprint).not.toBe(
      data.fingerprint,
    );
  });

  test("split folders fix the split; a missing part is taken from training", async () => {
    for (let i = 0; i < 10; i++) await image(`parts/train/${i}.png`, RED);
    for (let i = 0; i < 3; i++) await image(`parts/test/${i}.png`, BLUE);
    const data = await openImageFolder(join(root, "parts"), { size: 4, color: "grey" });
    const { train, validation, test } = data.splits;
    expect([train.count, validation.count, test.count]).toEqual([9, 1, 3]);
    expect(data.classes).toBeUndefined();
    const grey = (split: typeof train) => split.batch([0]).x.data[0] ?? 0;
    expect(grey(validation)).toBe(grey(train));
    expect(grey(test)).toBeLessThan(grey(train));
  });

  test("nothing to read", async () => {
    await expect(openImageFolder(join(root, "nowhere"))).rejects.toThrow(/nowhere: there is no such folder/);
    await mkdir(join(root, "bare"));
    await expect(openImageFolder(join(root, "bare"))).rejects.toThrow(/no images in this folder/);
    await mkdir(join(root, "rotten"));
    await writeFile(join(root, "rotten/a.png"), "x");
    const rotten = openImageFolder(join(root, "rotten"));
    await expect(rotten).rejects.toThrow(DataError);
    await expect(rotten).rejects.toThrow(/its only image cannot be read: 1 unreadable: a\.png/);
  });
});
