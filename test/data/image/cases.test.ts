import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encode } from "fast-png";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openImageFolder } from "../../../src/data/image/folder.node.ts";
import { type TiffNumbers, temporaryFolder, tiff } from "../../support.ts";

// Folders of images as people have them, each with one trait that went wrong. The name of a test begins with the case.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

let shade = 0;
async function image(path: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  const background = { r: ++shade % 256, g: 60, b: Math.floor(shade / 256) };
  await sharp({ create: { width: 8, height: 8, channels: 3, background } })
    .png()
    .toFile(join(root, path));
}

const OPTIONS = { size: 8, validation: 0.2, test: 0.2 } as const;
const open = (name: string, options = {}) => openImageFolder(join(root, name), { ...OPTIONS, ...options });
const told = async (name: string) => (await open(name)).describe().join("\n");

test("img-training-testing: Testing is the test split, and a folder that is not used is told", async () => {
  for (const name of ["glioma", "pituitary"]) {
    for (let i = 0; i < 6; i++) await image(`splits/Training/${name}/${i}.png`);
    for (let i = 0; i < 3; i++) await image(`splits/Testing/${name}/${i}.png`);
  }
  await image("splits/extra/0.png");
  const data = await open("splits");
  expect(data.splits.test.count).toBe(6);
  expect(data.splits.train.count + data.splits.validation.count).toBe(12);
  expect(data.classes).toEqual(["glioma", "pituitary"]);
  expect(data.describe().join("\n")).toMatch(/left out the folder extra with 1 images: it is no split/);
});

test("a class called train is a class where no other folder is a split; holdout is told", async () => {
  for (const name of ["plane", "train"]) for (let i = 0; i < 5; i++) await image(`vehicles/${name}/${i}.png`);
  expect((await open("vehicles")).classes).toEqual(["plane", "train"]);
  for (let i = 0; i < 5; i++) await image(`held/train/x/${i}.png`);
  for (let i = 0; i < 2; i++) await image(`held/holdout/x/${i}.png`);
  expect((await open("held")).splits.test.count).toBe(2);
  expect(await told("held")).toMatch(/the folder holdout is taken for the test split/);
});

test.skipIf(process.platform === "win32")(
  "img-link: a class folder that is a link is followed within the data, and out of it when asked",
  async () => {
    for (let i = 0; i < 5; i++) await image(`link/cat/${i}.png`);
    for (let i = 0; i < 5; i++) await image(`store/dog/${i}.png`);
    await symlink("../store/dog", join(root, "link/dog"));
    await expect(open("link")).rejects.toThrow(/link\/dog: a link to .*--follow-links/);
    const data = await open("link", { followLinks: true });
    expect(data.classes).toEqual(["cat", "dog"]);
    await symlink("link", join(root, "whole"));
    await symlink("cat", join(root, "link/kitten"));
    await rm(join(root, "link/dog"));
    expect((await open("link")).classes).toEqual(["cat", "kitten"]);
  },
);

test("img-stray: an image beside class folders is left out and told; the classes stay", async () => {
  for (const name of ["cat", "dog"]) for (let i = 0; i < 5; i++) await image(`stray/${name}/${i}.png`);
  await image("stray/preview.png");
  const data = await open("stray");
  expect(data.classes).toEqual(["cat", "dog"]);
  expect(data.describe().join("\n")).toMatch(/left out 1 beside the folders of classes: preview\.png/);
  for (let i = 0; i < 12; i++) await image(`stray/more${i}.png`);
  expect((await open("stray")).classes).toBeUndefined();
  expect(await told("stray")).toMatch(/no classes are read: 13 images are beside/);
});

const RAMP = Array.from({ length: 64 }, (_, i) => i / 63);

/** The values of a grey image as they are decoded. */
async function values(name: string, options = {}): Promise<number[]> {
  const data = await open(name, { color: "grey", validation: 0, test: 0, ...options });
  return Array.from(data.splits.train.batch([0]).x.data, Number);
}

test("img-float-tiff: floats of 0 … 1 are scaled, other ranges refused by name", async () => {
  await mkdir(join(root, "float"), { recursive: true });
  await mkdir(join(root, "wide"), { recursive: true });
  await writeFile(join(root, "float/a.tif"), tiff(RAMP));
  const seen = await values("float");
  for (const [i, value] of RAMP.entries())
    expect(Math.abs((seen[i] ?? 0) - 255 * value)).toBeLessThanOrEqual(1);
  await writeFile(join(root, "wide/a.tif"), tiff(RAMP.map((value) => 4000 * value - 1000)));
  await expect(open("wide")).rejects.toThrow(
    /wide: its only image cannot be read: 1 whose values are from -1000 to 3000, .* a\.tif; --value-range=-1000,3000 takes/,
  );
});

test("floats of any range are told with it, and an option takes its ends as black and white", async () => {
  await mkdir(join(root, "ranges"), { recursive: true });
  const write = (name: string, values: readonly number[], kind?: TiffNumbers) =>
    writeFile(join(root, "ranges", name), tiff(values, kind));
  await write("a.tif", RAMP);
  await write(
    "b.tif",
    RAMP.map((value) => 255 * value),
  );
  await write(
    "c.tif",
    RAMP.map((value) => 4000 * value - 1000),
  );
  await write(
    "d.tif",
    RAMP.map((value) => Math.round(8000 * value)),
    "int16",
  );
  await write(
    "e.tif",
    RAMP.map((value) => Math.round(70_000 * value)),
    "uint32",
  );
  const small = RAMP.map((value) => Math.round(200 * value));
  await mkdir(join(root, "small"), { recursive: true });
  await writeFile(join(root, "small/a.tif"), tiff(small, "int16"));
  expect(await values("small")).toEqual(small);
  const lines = (await open("ranges", { validation: 0, test: 0 })).describe().join("\n");
  expect(lines).toContain(
    "left out 3 whose values are from -1000 to 70000, where 0 to 1 or 0 to 255 are read: c.tif, d.tif, e.tif; --value-range=-1000,70000 takes them as black to white",
  );
  expect(lines).toMatch(
    /read as bytes: 1 image of floats from 0 to 1 \(a\.tif\), times 255; 1 image of numbers from 0 to 255 \(b\.tif\), as they are; --value-range/,
  );
  const taken = await open("ranges", { color: "grey", validation: 0, test: 0, valueRange: [0, 8000] });
  expect(taken.describe().join("\n")).toMatch(
    /2 of 5 images that --value-range is of \(c\.tif, …\) have values beyond it, which are read as black or white/,
  );
  const seen = Array.from({ length: 5 }, (_, i) => taken.splits.train.batch([i]).x.data);
  const wanted = [1, 255, [-1000, 3000], 8000, 70_000].map((scale) =>
    RAMP.map((value) => {
      const number = typeof scale === "number" ? scale * value : -1000 + 4000 * value;
      return Math.min(255, Math.max(0, (255 * number) / 8000));
    }),
  );
  // Splits are drawn in any order.
  const found = wanted.map((image) =>
    seen.some((data) => image.every((value, i) => Math.abs(value - Number(data[i])) <= 1.5)),
  );
  expect(found).toEqual([true, true, true, true, true]);
  await expect(open("ranges", { valueRange: [1, 1] })).rejects.toThrow(/valueRange: the second value/);
  await expect(open("ranges", { valueRange: [0, 1], bits: 12 })).rejects.toThrow(/bits and valueRange/);
});

test("a range of values is of images of 16 bits too, and not of bytes", async () => {
  await mkdir(join(root, "sixteen"), { recursive: true });
  const pixels = Uint16Array.from(RAMP, (value) => 100 + Math.round(500 * value));
  await writeFile(
    join(root, "sixteen/a.png"),
    encode({ width: 8, height: 8, channels: 1, depth: 16, data: pixels }),
  );
  const seen = await values("sixteen", { valueRange: [100, 600] });
  expect(seen.filter((value, i) => Math.abs(value - 255 * (RAMP[i] ?? 0)) > 1.5)).toEqual([]);
  await mkdir(join(root, "plain"), { recursive: true });
  const bytes = Uint8Array.from(RAMP, (value) => Math.round(200 * value));
  await writeFile(
    join(root, "plain/a.png"),
    encode({ width: 8, height: 8, channels: 1, depth: 8, data: bytes }),
  );
  expect(await values("plain", { valueRange: [100, 600] })).toEqual(Array.from(bytes));
});

test("values that are no numbers are no image", async () => {
  await mkdir(join(root, "nan"), { recursive: true });
  await writeFile(join(root, "nan/a.tif"), tiff(RAMP.map((value, i) => (i === 5 ? Number.NaN : value))));
  await expect(open("nan")).rejects.toThrow(/its only image cannot be read: 1 unreadable: a\.tif/);
});

test("img-12in16: values of 12 bits in 16 are told, and an option takes them as such", async () => {
  await mkdir(join(root, "deep"), { recursive: true });
  const pixels = Uint16Array.from(RAMP, (value) => Math.round(4095 * value));
  await sharp(pixels, { raw: { width: 8, height: 8, channels: 1 } })
    .toColorspace("grey16")
    .png()
    .toFile(join(root, "deep/a.png"));
  expect(Math.max(...(await values("deep")))).toBeLessThanOrEqual(16);
  const plain = await open("deep", { validation: 0, test: 0 });
  expect(plain.describe().join("\n")).toMatch(
    /1 image of 16 bits \(a\.png\) has no value from 4096 on.*--bits 12/,
  );
  const seen = await values("deep", { bits: 12 });
  for (const [i, value] of RAMP.entries())
    expect(Math.abs((seen[i] ?? 0) - 255 * value)).toBeLessThanOrEqual(2);
});

test("images of the same pixels stay in one split", async () => {
  for (let i = 0; i < 10; i++) {
    await image(`twins/a${i}.png`);
    await mkdir(join(root, "twins"), { recursive: true });
    await writeFile(
      join(root, `twins/b${i}.png`),
      await sharp(join(root, `twins/a${i}.png`))
        .png({ compressionLevel: 1 })
        .toBuffer(),
    );
  }
  for (const splitSeed of [0, 1, 2]) {
    const { splits } = await open("twins", { splitSeed, validation: 0.3, test: 0.3 });
    for (const split of Object.values(splits)) {
      const reds = Array.from({ length: split.count }, (_, i) => Number(split.batch([i]).x.data[0]));
      expect(new Set(reds).size * 2).toBe(reds.length);
    }
  }
  expect(await told("twins")).toMatch(/10 images have the same pixels as another one/);
});
