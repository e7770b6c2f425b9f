import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportedModelSchema } from "../../../src/model/exported.ts";
import { Random } from "../../../src/random.ts";
import { exportRun } from "../../../src/tasks/export/export.node.ts";
import { type DetectorRun, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { present } from "../../support.ts";
import { fittedToSquares, squares } from "../measure/detection-support.ts";

// A detector outside of eidos: an image of any size in, what eidos finds in it out.

let photos: string;
let run: DetectorRun;
let plain: ort.InferenceSession;
let out: string;

beforeAll(async () => {
  photos = await squares(8);
  const path = await fittedToSquares(photos, join(photos, "run"), { samplePictures: 0, report: "none" });
  run = detectorRun(await loadRun(path, { threads: 1 }));
  out = join(path, "out");
  await exportRun(path, out);
  plain = await ort.InferenceSession.create(join(out, "detect.onnx"));
});
afterAll(async () => {
  await plain.release();
  await run.session.release();
  await rm(photos, { recursive: true });
});

/** Squares on a ground of slopes and noise, so that it matters how an image is resized. */
function picture(width: number, height: number): Uint8Array {
  const random = new Random(width * 1000 + height);
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / width, y / height];
      const red = u > 0.1 && u < 0.35 && v > 0.2 && v < 0.5;
      const blue = u > 0.5 && u < 0.85 && v > 0.4 && v < 0.8;
      const ground = [120 + 30 * Math.sin(9 * u), 130, 110 + 20 * v];
      const color = red ? [220, 40, 30] : blue ? [40, 60, 220] : ground;
      for (let c = 0; c < 3; c++) {
        const value = (color[c] ?? 0) + 40 * (random.uniform() - 0.5);
        pixels[(y * width + x) * 3 + c] = Math.max(0, Math.min(255, Math.round(value)));
      }
    }
  }
  return pixels;
}

const none = (type: "float32" | "int64"): ort.Tensor => new ort.Tensor(type, [], [0]);

async function outside(
  pixels: Uint8Array,
  width: number,
  height: number,
  given: Record<string, ort.Tensor> = {},
) {
  const found = await plain.run({
    image: new ort.Tensor("uint8", pixels, [height, width, 3]),
    confidence: none("float32"),
    iou: none("float32"),
    maximum: none("int64"),
    ...given,
  });
  const boxes = found.boxes?.data as Float32Array;
  return Array.from(found.scores?.data as Float32Array, (score, i) => ({
    score,
    label: Number(found.classes?.data[i]),
    box: Array.from(boxes.subarray(4 * i, 4 * i + 4)),
  }));
}

async function inside(pixels: Uint8Array, width: number, height: number, options: object) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
  for await (const { found } of detectFiles(run, [{ name: "p", image: { width, height, data } }], options))
    return found;
  throw new Error("the image was left out");
}

const SIZES: readonly (readonly [number, number])[] = [
  [64, 64],
  [96, 64],
  [40, 31],
  [90, 211],
  [500, 333],
  [7, 120],
];

test.each(SIZES)("finds what eidos detect finds in %i × %i pixels", async (width, height) => {
  const pixels = picture(width, height);
  const all = { confidence: new ort.Tensor("float32", [0.05], [1]) };
  const [own, found] = [
    await inside(pixels, width, height, { confidence: 0.05 }),
    await outside(pixels, width, height, all),
  ];
  // Those at the edge of what counts may lie on either side of it.
  const sure = own.filter(({ score }) => score > 0.06);
  let worst = 0;
  let off = 0;
  for (const { class: label, box, score } of sure) {
    const near = found.filter((other) => other.label === label);
    const distances = near.map((other) =>
      Math.max(...other.box.map((edge, i) => Math.abs(edge - (box[i] ?? 0)))),
    );
    const best = Math.min(...distances);
    worst = Math.max(worst, best);
    const same = present(near[distances.indexOf(best)]);
    off = Math.max(off, Math.abs(same.score - score));
  }
  expect(worst).toBeLessThan(1);
  expect(off).toBeLessThan(2e-3);
  expect(sure.length).toBeGreaterThan(0);
  expect(found.filter(({ score }) => score > 0.06).length).toBe(sure.length);
});

test("has the thresholds of eidos detect unless others are given", async () => {
  const record = exportedModelSchema.parse(JSON.parse(await readFile(join(out, "model.json"), "utf8")));
  expect(record.classes).toEqual(run.classes);
  // At the size that the network sees: resized otherwise, a score at a threshold may lie on either side of it.
  const [width, height] = [64, 64];
  const pixels = picture(width, height);
  const usual = await inside(pixels, width, height, {});
  expect((await outside(pixels, width, height)).length).toBe(usual.length);
  const one = await outside(pixels, width, height, {
    confidence: new ort.Tensor("float32", [0], [1]),
    maximum: new ort.Tensor("int64", [1n], [1]),
  });
  expect(one.length).toBe(1);
  const none = await outside(pixels, width, height, { confidence: new ort.Tensor("float32", [1], [1]) });
  expect(none).toEqual([]);
  const touching = await outside(pixels, width, height, {
    confidence: new ort.Tensor("float32", [0.05], [1]),
    iou: new ort.Tensor("float32", [1], [1]),
  });
  expect(touching.length).toBeGreaterThan((await inside(pixels, width, height, { confidence: 0.05 })).length);
});
