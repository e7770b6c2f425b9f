import { rm } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BAND_BYTES, Bands } from "../../../src/data/boxes/bands.ts";
import { openPhoto } from "../../../src/data/boxes/image.node.ts";
import type { DetectionSplit } from "../../../src/data/boxes/set.ts";
import { listDetections } from "../../../src/detection/boxes/detections.ts";
import { lookedAt, tiledDetections } from "../../../src/detection/models/tiled-images.ts";
import { tilingOf } from "../../../src/detection/scale/tile-options.ts";
import { type DetectorRun, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { annotationsOf, painted } from "../../data/boxes/support.ts";
import { temporaryFolder } from "../../support.ts";
import { fittedToSquares, squares } from "../measure/detection-support.ts";

const SIDE = 12_000;
const GROUND = { r: 120, g: 130, b: 110 };
const COLORS = [
  { r: 220, g: 40, b: 30 },
  { r: 40, g: 60, b: 220 },
] as const;

/** Ten times as large as the squares that were learnt in photos of 96 pixels. */
const OBJECTS = [
  { label: 0, box: [300, 500, 500, 660] },
  { label: 1, box: [7000, 400, 7300, 600] },
  { label: 0, box: [6100, 5900, 6300, 6060] },
  { label: 1, box: [11_650, 11_700, 11_950, 11_900] },
  { label: 0, box: [40, 11_000, 240, 11_160] },
] as const;
const TILES = { tiles: 960, overlap: 0.35 } as const;

let [root, photos] = ["", ""];
let run: DetectorRun;
beforeAll(async () => {
  root = await temporaryFolder();
  photos = await squares(12);
  const path = await fittedToSquares(photos, join(root, "run"), {});
  run = detectorRun(await loadRun(path, { threads: 1 }));
  const patches = OBJECTS.map(({ label, box: [left, top, right, bottom] }) => ({
    input: {
      create: { width: right - left, height: bottom - top, channels: 3 as const, background: COLORS[label] },
    },
    left,
    top,
  }));
  await sharp({
    create: { width: SIDE, height: SIDE, channels: 3, background: GROUND },
    limitInputPixels: false,
  })
    .composite(patches)
    .png({ compressionLevel: 1 })
    .toFile(join(root, "huge.png"));
});
afterAll(async () => {
  await run.session.release();
  await rm(root, { recursive: true });
  await rm(photos, { recursive: true });
});

it("a photo of 12,000 × 12,000 pixels is looked at in bands, of which one at a time is held, and the same is found as in painted tiles", async () => {
  const path = join(root, "huge.png");
  const photo = await openPhoto(path, "huge.png", { pixelLimit: 64e6, partsLimit: 1e9 });
  const bands = new Bands(photo, (part) => photo.part(part));
  const annotations = annotationsOf("huge.png", { width: photo.width, height: photo.height }, []);
  const split: DetectionSplit = {
    count: 1,
    annotations: () => annotations,
    sample: () => Promise.reject(new Error("decoded as a whole")),
  };
  const tiling = tilingOf(TILES);
  if (tiling === undefined) throw new Error("no tiles");
  const tiles = lookedAt(run.model, split, tiling, (_, part) => bands.part(part));
  const progress: number[] = [];
  const options = { ...TILES, confidence: 0.05, maximum: 100 };
  const found = await tiledDetections(run.model, run.session, tiles, 0, options, {
    onTiles: (done, count) => progress.push(done / count),
  });
  expect(progress.length).toBe(Math.ceil(tiles.count / 4));
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
  expect(progress.at(-1)).toBe(1);
  // 432 MB as a whole.
  expect(bands.peak).toBeLessThanOrEqual(BAND_BYTES);
  expect(bands.decoded).toBeLessThanOrEqual(8);
  const list = found === undefined ? [] : listDetections(found);
  // The same tiles painted one by one, without a file.
  const ground = [GROUND.r, GROUND.g, GROUND.b] as const;
  const paintedTiles = lookedAt(run.model, split, tiling, async (_, { left, top, width, height }) => {
    const within = (at: number, length: number) => Math.min(length, Math.max(0, at));
    const patches = OBJECTS.map(({ label, box: [x1, y1, x2, y2] }) => ({
      box: [
        within(x1 - left, width),
        within(y1 - top, height),
        within(x2 - left, width),
        within(y2 - top, height),
      ] as const,
      color: [COLORS[label].r, COLORS[label].g, COLORS[label].b] as const,
    }));
    return painted(width, height, ground, patches);
  });
  const expected = await tiledDetections(run.model, run.session, paintedTiles, 0, options);
  expect(list.length).toBeGreaterThan(0);
  expect(list).toEqual(expected && listDetections(expected));
  for await (const detected of detectFiles(run, [{ image: path, name: "huge.png" }], options)) {
    expect(detected.found).toEqual(list);
    // A picture of it is decoded small.
    expect((await detected.decode(256)).width).toBe(256);
  }
});
