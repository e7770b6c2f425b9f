import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { evaluateDetector } from "../../../src/tasks/measure/detection.node.ts";
import { looksNote, looksOf } from "../../../src/tasks/run/detection-options.ts";
import { annotatedData, type DetectorRun, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { type DetectFilesOptions, detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { painted, writeImage, writeText } from "../../data/boxes/support.ts";
import { temporaryFolder } from "../../support.ts";
import {
  expectMeasuredAndExported,
  expectResumedEqual,
  fittedToSquares,
  ran,
  TINY,
} from "./detection-support.ts";

let root = "";
let photos = "";
let path = "";
let run: DetectorRun;

const TILES = { tiles: 48, overlap: 0.5 } as const;
const CUT = { ...TILES, fullImage: false } as const;

/** Photos of 160 × 120 pixels with small squares of two colors. */
async function smallSquares(images: number): Promise<string> {
  const folder = await temporaryFolder();
  const rows = ["filename,width,height,class,xmin,ymin,xmax,ymax,split"];
  for (let i = 0; i < images; i++) {
    const split = i % 4 === 2 ? "val" : i % 4 === 3 ? "test" : "train";
    const boxes = Array.from({ length: 5 }, (_, k) => {
      const [x, y] = [4 + 30 * k + ((7 * i) % 9), 8 + ((31 * i + 43 * k) % 90)];
      return { name: k % 2 === 0 ? "red" : "blue", box: [x, y, x + 14, y + 12] as const };
    });
    const patches = boxes.map(({ name, box }) => ({
      box,
      color: name === "red" ? ([220, 40, 30] as const) : ([40, 60, 220] as const),
    }));
    await writeImage(folder, `images/p${i}.png`, painted(160, 120, [120, 130, 110], patches));
    for (const { name, box } of boxes) rows.push(`images/p${i}.png,160,120,${name},${box.join()},${split}`);
  }
  await writeText(folder, "annotations.csv", `${rows.join("\n")}\n`);
  return folder;
}

beforeAll(async () => {
  root = await temporaryFolder();
  photos = await smallSquares(12);
  path = await fittedToSquares(photos, join(root, "tiled"), { ...TILES, steps: 60 });
  run = detectorRun(await loadRun(path, { threads: 1 }));
});
afterAll(async () => {
  await run.session.release();
  await rm(root, { recursive: true });
  await rm(photos, { recursive: true });
});

let count = 0;
const prepared = (options: Readonly<Record<string, unknown>>) =>
  prepareFit({
    kind: "new",
    request: { model: "fcos", ...TINY, canvas: 64, out: join(root, String(count++)), ...options },
  });

async function found(image: string, options: DetectFilesOptions = {}) {
  for await (const detected of detectFiles(run, [{ image, name: "photo" }], {
    confidence: 0.05,
    ...options,
  })) {
    return detected;
  }
  return undefined;
}

describe("a fit on tiles", () => {
  it("says what an epoch has, keeps it with the run, and looks at tiles to validate", async () => {
    const { fit, config } = await prepared({ tiles: 32, scenes: 10 });
    expect(config.dataOptions).toMatchObject({
      tiles: 32,
      overlap: 0.2,
      fullImage: false,
      emptyTiles: 0.1,
      tileVisible: 0.5,
      size: 32,
    });
    const lines = fit.data.describe();
    const [first, epoch] = [lines.findIndex((line) => line.startsWith("tiles of 32 × 32 pixels")), 1];
    expect(lines[first]).toContain("neighbors share 6 pixels: 90 of 10 training images");
    expect(lines[first + epoch]).toMatch(
      new RegExp(`^${config.dataInfo.trainCount} tiles an epoch, \\d+ of them without an object$`),
    );
    expect(lines).toContain(
      "validation looks at 18 tiles and merges what is found by edges; --validation-samples counts tiles",
    );
    const source = batchSourceOf(fit.data, config.fit);
    expect(source.count).toBe(config.dataInfo.trainCount);
    expect(source.shape(2, 0).x).toEqual([2, 3, 32, 32]);
    // Parts of objects are ignored.
    expect(source.shape(2, 0).others?.ignored).toBeDefined();
  });

  it("enlarges tiles to a size that is given, with whole images among them", async () => {
    const { fit, config } = await prepared({ tiles: 32, size: 64, fullImage: true, emptyTiles: 0 });
    expect(config.dataInfo.sampleShape).toEqual([3, 64, 64]);
    expect(fit.data.describe().join("\n")).toContain("100 of 10 training images, whole images among them");
  });

  it("takes SNIP's ranges from the objects as tiles show them", async () => {
    const whole = await prepared({ snip: true, scales: [1, 2], objects: 6 });
    const tiled = await prepared({ snip: true, scales: [1, 2], objects: 6, tiles: 32, size: 64 });
    expect(tiled.config.dataOptions.validRanges).not.toEqual(whole.config.dataOptions.validRanges);
  });

  it("that is stopped and resumed equals the uninterrupted one, bit for bit", () =>
    expectResumedEqual(root, {
      model: "ultra-light-rfb",
      name: "tiles",
      canvas: 64,
      tiles: 32,
      emptyTiles: 0.4,
    }));

  it.each([
    [
      { tiles: 32, sniper: true },
      /^option tiles: sniper cuts chips out of images by itself; give one of the two/,
    ],
    [{ emptyTiles: 0.3 }, /^option emptyTiles: is without effect without tiles/],
    [{ tileVisible: 0.3 }, /^option tileVisible: is without effect without tiles/],
    [{ overlap: 0.3 }, /^option overlap: is without effect without tiles.*digitOverlap$/],
    [{ tiles: 9 }, /option tiles: must be 0, or from 16 to 8192 pixels/],
  ])("refuses %j", async (options, message) => {
    await expect(prepared(options)).rejects.toThrow(message);
  });
});

describe("a run that was fitted on tiles", () => {
  it("looks at tiles where it is measured, as it was validated, and its export says so", async () => {
    const { evaluation, description } = await expectMeasuredAndExported(path);
    expect(evaluation.coco.ap50).toBeGreaterThan(0.005);
    expect(evaluation.detect).toMatchObject({ ...CUT, tileMerge: "edges", tileThreshold: 0.5 });
    expect(description).toContain(
      "Fitted with tiles: x are tiles of 48 × 48 pixels of an image as it is, made 64 × 64, which share 0.5 of their side",
    );
    await expect(exportRun(path, join(root, "exported"))).rejects.toThrow(
      /^fcos has no file .*tiles of 48 × 48 pixels of an image as it is, which share 0\.5 of their side: .* merged by edges, .*; export the network alone: --raw-tensor/,
    );
    const kept = JSON.parse(await readFile(join(path, "validation.json"), "utf8"));
    expect(kept.coco.ap).toBeCloseTo(evaluation.coco.ap, 9);
    expect(looksOf(run.config, {})).toEqual(CUT);
    expect(looksOf(run.config, { tiles: 0 })).toEqual({ tiles: 0 });
    expect(looksOf(run.config, { overlap: 0.1 })).toEqual({ ...CUT, overlap: 0.1 });
    // What is there and undefined is not given.
    expect(looksOf(run.config, { tiles: undefined, overlap: undefined, fullImage: true } as object)).toEqual({
      ...CUT,
      fullImage: true,
    });
    expect(looksNote(run.config, {})).toMatch(/^looks at tiles of 48 pixels, as it was fitted with --tiles;/);
  });

  it("finds in a folder's photos and in photos alone the same, and other things where it looks otherwise", async () => {
    const set = await annotatedData(run);
    const { coco } = await evaluateDetector(run, set, { split: "validation", tiles: 0 });
    const own = await evaluateDetector(run, set, { split: "validation" });
    expect(own.coco.ap50).toBeGreaterThan(coco.ap50);

    const image = join(photos, "images/p2.png");
    const progress: string[] = [];
    const seen = await found(image, { onTiles: (_, done, of) => progress.push(`${done}/${of}`) });
    expect(seen?.found.length).toBeGreaterThan(2);
    // 160 × 120 in steps of 24 pixels: 6 columns, 4 rows.
    expect(progress).toEqual(["4/24", "8/24", "12/24", "16/24", "20/24", "24/24"]);
    expect((await found(image, CUT))?.found).toEqual(seen?.found);
    expect((await found(image, { tiles: 0 }))?.found).not.toEqual(seen?.found);
    const more = await found(image, {
      fullImage: true,
      onTiles: (_, done, of) => progress.push(`${done}/${of}`),
    });
    expect(progress.at(-1)).toBe("25/25");
    expect(more?.found).not.toEqual(seen?.found);
    // Tiles at two scales: what is found at each is merged tile by tile.
    expect((await found(image, { testScales: [1, 2] }))?.found).not.toEqual(seen?.found);
  });

  it("takes photos smaller than a tile, of one pixel, and those in which nothing is", async () => {
    await writeImage(
      root,
      "small.png",
      painted(30, 20, [120, 130, 110], [{ box: [8, 4, 22, 16], color: [220, 40, 30] }]),
    );
    const small = await found(join(root, "small.png"));
    expect(small).toMatchObject({ width: 30, height: 20 });
    for (const { box } of small?.found ?? []) expect(box[2] <= 30 && box[3] <= 20).toBe(true);
    await writeImage(root, "pixel.png", painted(1, 1, [1, 2, 3]));
    expect(await found(join(root, "pixel.png"), { confidence: 1 })).toMatchObject({ width: 1, found: [] });
    expect((await found(join(photos, "images/p2.png"), { confidence: 1 }))?.found).toEqual([]);
  });

  it("is ended between tiles, and leaves out what cannot be read", async () => {
    const controller = new AbortController();
    const seen = await found(join(photos, "images/p2.png"), {
      signal: controller.signal,
      onTiles: () => controller.abort(),
    });
    expect(seen).toBeUndefined();
    const bytes = await readFile(join(photos, "images/p2.png"));
    await writeFile(join(root, "cut.png"), bytes.subarray(0, bytes.length / 2));
    const reasons: string[] = [];
    const left = await found(join(root, "cut.png"), { onUnreadable: (_, reason) => reasons.push(reason) });
    expect(left).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("no longer a readable image")]);
  });

  it("looks at huge images where they are decoded in parts alone", async () => {
    await writeImage(root, "wide.png", painted(300, 200, [120, 130, 110]));
    await writeImage(root, "turned.jpg", painted(300, 200, [120, 130, 110]), 6);
    const reasons: string[] = [];
    const onUnreadable = (_: unknown, reason: string) => reasons.push(reason);
    expect(await found(join(root, "wide.png"), { pixelLimit: 60_000, onUnreadable })).toMatchObject({
      width: 300,
    });
    expect(await found(join(root, "wide.png"), { pixelLimit: 59_999, onUnreadable })).toBeUndefined();
    expect(reasons).toEqual(["300 × 200 pixels, more than the limit of 59999"]);
    expect(await found(join(root, "turned.jpg"), { pixelLimit: 60_000 })).toMatchObject({ width: 200 });
    await expect(found(join(root, "wide.png"), { tiles: 0, pixelLimit: 300_000_000 })).rejects.toThrow(
      /^option pixelLimit: 300000000 is more than the 268000000 pixels/,
    );
  });
});

it("a run whose config.json has the older name of the overlap of digits opens as it was", async () => {
  const { path: older } = await ran({
    model: "center-net",
    ...TINY,
    steps: 1,
    digitOverlap: 0.4,
    samplePictures: 0,
    report: "none",
    out: join(root, "older"),
  });
  const file = join(older, "config.json");
  const config = JSON.parse(await readFile(file, "utf8"));
  const { digitOverlap, ...options } = config.dataOptions;
  expect(digitOverlap).toBe(0.4);
  await writeFile(file, JSON.stringify({ ...config, dataOptions: { ...options, overlap: 0.4 } }));
  const opened = await loadRun(older, { threads: 1 });
  try {
    expect(opened.config.dataOptions).toEqual(config.dataOptions);
    expect((await annotatedData(detectorRun(opened))).fingerprint).toBe(config.dataInfo.fingerprint);
  } finally {
    await opened.session.release();
  }
});
