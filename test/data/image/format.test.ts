import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encode } from "fast-png";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findModel } from "../../../src/catalog.ts";
import { openImageFolder } from "../../../src/data/image/folder.node.ts";
import { type Original, Originals } from "../../../src/data/image/format.ts";
import { openData } from "../../../src/data/open.node.ts";
import { images } from "../../../src/data/sources/memory.ts";
import type { DataOptions } from "../../../src/data/sources/options.ts";
import { infoOf } from "../../../src/tasks/fit/configure.node.ts";
import { asTaken, type Taker } from "../../../src/tasks/fit/image-format.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { withCurrentKeys } from "../../../src/train/run-config.ts";
import { temporaryFolder } from "../../support.ts";

const original = (width: number, height: number, colored: boolean | "unknown" = false): Original => ({
  width,
  height,
  colored: colored === "unknown" ? undefined : colored,
  values: "bytes",
});
const OPEN = { size: undefined, channels: undefined };

const chosenOf = (all: readonly Original[]) => {
  const originals = new Originals();
  for (const [i, each] of all.entries()) originals.see(`${i}.png`, each);
  return originals.choose(OPEN);
};

describe("what images are read as", () => {
  test.each<[string, readonly Original[], "grey" | "rgb", number, RegExp]>([
    [
      "small squares",
      [original(28, 28), original(28, 28)],
      "grey",
      28,
      /grey, as all images are; 28 × 28, the size of all$/,
    ],
    [
      "colored ones",
      [original(64, 64), original(64, 64, true)],
      "rgb",
      64,
      /rgb, since 1 of 2 images are colored, as 1\.png; 64 × 64/,
    ],
    [
      "uncompared",
      [original(64, 64, true), original(64, 64, "unknown")],
      "rgb",
      64,
      /rgb, since 0\.png is colored/,
    ],
    [
      "not square",
      [original(40, 28), original(40, 28)],
      "grey",
      28,
      /28 × 28, cut from the center of images that are all 40 × 28$/,
    ],
    [
      "large",
      [original(65, 20)],
      "grey",
      32,
      /32 × 32, the default for images with a side of more than 64: 65 × 20$/,
    ],
    [
      "tiny",
      [original(7, 20)],
      "grey",
      32,
      /32 × 32, the default for images with a side of less than 8: 7 × 20$/,
    ],
    [
      "of several sizes",
      [original(30, 20), original(28, 28), original(28, 28)],
      "grey",
      32,
      /32 × 32, the default for images of several sizes: 1 of 3 are not 28 × 28, as 0\.png \(30 × 20\)$/,
    ],
  ])("%s", (_, all, channels, size, why) => {
    const { format, note } = chosenOf(all);
    expect(format).toEqual({ channels, size });
    expect(note).toMatch(/^chosen by the images \(--color, --size\): read as /);
    expect(note).toMatch(why);
  });

  test("what is given is not chosen", () => {
    const originals = new Originals();
    originals.see("a", original(28, 28));
    expect(originals.choose({ ...OPEN, size: 16, channels: "rgb" })).toEqual({
      format: { size: 16, channels: "rgb" },
      note: undefined,
    });
    expect(originals.choose({ ...OPEN, size: 16 }).note).toBe(
      "chosen by the images (--color): read as grey, as all images are",
    );
    expect(new Originals().choose(OPEN).format).toMatchObject({ size: 32 });
  });
});

let root = "";
let cache = "";
let runs = 0;
const before = process.env.EIDOS_CACHE;
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  cache = await temporaryFolder();
  process.env.EIDOS_CACHE = cache;
});
afterEach(async () => {
  if (before === undefined) delete process.env.EIDOS_CACHE;
  else process.env.EIDOS_CACHE = before;
  await rm(cache, { recursive: true });
});

/** Writes an image of one shade, whose first pixel is red where that is asked for. */
async function image(
  path: string,
  shade: number,
  {
    width = 12,
    height = width,
    channels = 1,
    red = false,
  }: { width?: number; height?: number; channels?: 1 | 3; red?: boolean } = {},
): Promise<void> {
  const data = new Uint8Array(width * height * channels).fill(shade);
  if (red) data.set([255, 0, 0]);
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), encode({ width, height, channels, depth: 8, data }));
}
const opened = async (name: string, options = {}) => {
  const data = await openImageFolder(join(root, name), options);
  return { data, told: data.describe().join("\n") };
};

describe("folders", () => {
  test("of grey images, stored with one channel or three equal ones, in PNG, JPEG and by a palette", async () => {
    for (let i = 0; i < 6; i++) await image(`grey/${i}.png`, 40 * i, { channels: i % 2 === 0 ? 1 : 3 });
    const gradient = Uint8Array.from({ length: 432 }, (_, i) => 7 * (Math.floor(i / 3) % 36));
    const raw = sharp(gradient, { raw: { width: 12, height: 12, channels: 3 } });
    await raw.clone().jpeg().toFile(join(root, "grey/jpeg.jpg"));
    await raw.clone().png({ palette: true }).toFile(join(root, "grey/palette.png"));
    const { data, told } = await opened("grey");
    expect(data.sampleShape).toEqual([1, 12, 12]);
    expect(data.format).toEqual({ size: 12, color: "grey" });
    expect(told).toMatch(/read as grey, as all images are; 12 × 12, the size of all/);
    // What is kept with a run reads the same, and says nothing of a choice.
    const again = await opened("grey", data.format);
    expect(again.data.fingerprint).toBe(data.fingerprint);
    expect(again.told).not.toMatch(/chosen/);
    expect((await opened("grey", { color: "rgb", size: 8 })).data.sampleShape).toEqual([3, 8, 8]);
    const files = await Promise.all(
      ["0.png", "1.png", "2.png"].map((name) => readFile(join(root, "grey", name))),
    );
    expect((await openData(images(files))).sampleShape).toEqual([1, 12, 12]);
    expect((await opened("grey", { binary: true })).data.sampleShape).toEqual([1, 12, 12]);
  });

  test("of many, of which one that was not looked at first is colored or of another size", async () => {
    const count = 300;
    const name = (i: number) => `many/${String(i).padStart(3, "0")}.png`;
    for (let i = 0; i < count; i++) await image(name(i), i % 256, { width: 8, channels: 3 });
    const first = await opened("many");
    expect(first.data.sampleShape).toEqual([1, 8, 8]);
    const kept = await opened("many");
    expect(kept.told).toMatch(/300 images decoded at an earlier time/);
    expect(kept.told).toMatch(/grey, as all images are; 8 × 8, the size of all/);
    expect(kept.data.fingerprint).toBe(first.data.fingerprint);
    // The first of every 64 or so are looked at: 299 is none of them.
    await image(name(299), 9, { width: 8, channels: 3, red: true });
    for (const { data, told } of [await opened("many"), await opened("many", { cache: false })]) {
      expect(data.sampleShape).toEqual([3, 8, 8]);
      expect(told).toMatch(
        /read as rgb, since 1 of 300 images are colored, as 299\.png; 8 × 8, the size of all/,
      );
      expect((await opened("many", data.format)).data.fingerprint).toBe(data.fingerprint);
    }
    await image(name(299), 9, { width: 10 });
    const { data, told } = await opened("many");
    expect(data.sampleShape).toEqual([1, 32, 32]);
    expect(told).toMatch(/several sizes: 1 of 300 are not 8 × 8, as 299\.png \(10 × 10\)/);
  });

  test("kept without comparing channels are compared where their color is to be chosen", async () => {
    for (let i = 0; i < 260; i++)
      await image(`asked/${i}.png`, i % 256, { width: 9, channels: 3, red: i === 259 });
    await opened("asked", { size: 9, color: "grey" });
    const { data, told } = await opened("asked", { size: 9 });
    expect(data.sampleShape).toEqual([3, 9, 9]);
    expect(told).toMatch(/colored/);
  });

  test("at both ends of paths are colored where those of one are", async () => {
    for (let i = 0; i < 6; i++) {
      await image(`ends/a/${i}.png`, 20 * i);
      await image(`ends/b/${i}.png`, 20 * i, { channels: 3, red: true });
    }
    for (const [data, source] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const set = await openData(join(root, "ends", data), { source: join(root, "ends", source) });
      expect(set.sampleShape).toEqual([3, 12, 12]);
      expect(set.describe().join("\n")).toMatch(/rgb, since all images are colored/);
    }
  });
});

describe("a fit", () => {
  async function prepare(request: Readonly<Record<string, unknown>> & { model: string; data: string }) {
    const out = join(root, `run-${runs++}`);
    const { fit, config, notes } = await prepareFit({ kind: "new", request: { ...request, out } });
    await fit.folder.unlock();
    return { config, notes: [...fit.data.describe(), ...notes].join("\n") };
  }

  test("keeps what was chosen with the run", async () => {
    for (let i = 0; i < 8; i++) await image(`fit/${i}.png`, 20 * i);
    const { config } = await prepare({ model: "made", data: join(root, "fit") });
    expect(config.dataOptions).toMatchObject({ size: 12, color: "grey", binary: true });
    expect(config.dataInfo.sampleShape).toEqual([1, 12, 12]);
  });

  test("of a model that does not take what was chosen reads images as usual, and says so", async () => {
    for (let i = 0; i < 8; i++) await image(`odd/${i}.png`, 20 * i, { width: 13 });
    const { config, notes } = await prepare({
      model: "real-nvp",
      data: join(root, "odd"),
      width: 4,
      blocks: 1,
    });
    expect(config.dataOptions).toMatchObject({ size: 32, color: "grey" });
    expect(notes).toMatch(
      /read as grey, 32 × 32, in place of what was chosen.*real-nvp does not take: .*13×13/,
    );
    await expect(prepare({ model: "real-nvp", data: join(root, "odd"), size: 13 })).rejects.toThrow(/13×13/);
  });

  test("of several models reads images as the most of them take, as a comparison does", async () => {
    for (let i = 0; i < 8; i++) await image(`several/${i}.png`, 20 * i, { width: 13 });
    const taker = (name: string, options = {}) => {
      const definition = findModel(name);
      const modelOptions = definition.options.parse(options) as Record<string, unknown>;
      return { name, definition, modelOptions };
    };
    const [flow, rows, bits] = [taker("real-nvp", { width: 4, blocks: 1 }), taker("nice"), taker("made")];
    const read = async (takers: readonly Taker[], options: DataOptions = {}) => {
      const opens = (all: DataOptions) => openData(join(root, "several"), all);
      const { data, notes } = await asTaken(takers, options, opens, infoOf);
      return { shape: data.sampleShape, notes };
    };
    expect(await read([rows])).toEqual({ shape: [1, 13, 13], notes: [] });
    // Models of zeros and ones take no bytes: they do not count.
    const { shape, notes } = await read([rows, bits, flow]);
    expect(shape).toEqual([1, 32, 32]);
    expect(notes).toEqual([
      expect.stringMatching(/^read as grey, 32 × 32, in place of .*, which real-nvp does not take: .*13×13/),
    ]);
    expect((await read([flow, flow])).notes[0]).toMatch(/which 2 models do not take, as real-nvp: /);
    // What is asked for stays.
    expect((await read([flow], { size: 13 })).shape).toEqual([1, 13, 13]);
  });

  test("of earlier versions has images of the size and color of its samples", () => {
    const dataInfo = { kind: "image", sampleShape: [3, 32, 32] };
    const optionsOf = (config: unknown) => (withCurrentKeys(config) as { dataOptions: unknown }).dataOptions;
    expect(optionsOf({ data: "photos", dataOptions: { test: 0.2 }, dataInfo })).toEqual({
      size: 32,
      color: "rgb",
      test: 0.2,
    });
    for (const other of [
      { data: "digits", dataInfo: { kind: "image", sampleShape: [1, 28, 28] } },
      { data: "photos", dataInfo: { ...dataInfo, marks: "boxes" } },
      { data: "rows.csv", dataInfo: { kind: "table", sampleShape: [4] } },
    ]) {
      expect(optionsOf({ ...other, dataOptions: {} })).toEqual({});
    }
  });
});
