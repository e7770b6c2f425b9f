import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { fenced } from "../scripts/pages.ts";
import { Random } from "../src/random.ts";
import { exportRun } from "../src/tasks/export/export.node.ts";
import { prepareFit } from "../src/tasks/fit/prepare.node.ts";
import type { SentRequest, UncheckedRequest } from "../src/tasks/fit/request.ts";
import { detectorRun, type LoadedRun, loadRun } from "../src/tasks/run/load.node.ts";
import { toBytes } from "../src/tasks/run/outputs.node.ts";
import { detectFiles } from "../src/tasks/use/detect.node.ts";
import { sampleRun } from "../src/tasks/use/sample.node.ts";
import { score } from "../src/tasks/use/score.node.ts";
import { fitHere } from "../src/train/fit.node.ts";
import { largestDifference, present } from "./support.ts";
import { fittedToSquares, squares } from "./tasks/measure/detection-support.ts";

// Exported models of a table, of images and of a detector, what the scripts of docs/guide/shipping.md are given, and what eidos says.

/** A row as the scripts are given it. */
export type ShippedRow = Readonly<Record<string, number | string | null>>;

export interface ShippedObject {
  readonly class: string;
  readonly score: number;
  readonly box: readonly number[];
}

export interface Shipped {
  /** Holds `table`, `image` and `detector`, each an exported model; `rows.json`, `noise.json` and `photo.png`. */
  readonly folder: string;
  readonly rows: readonly ShippedRow[];
  /** Noise of two images. */
  readonly noise: readonly (readonly number[])[];
  /** What eidos says. */
  readonly expected: {
    readonly scores: readonly number[];
    /** Images as [rows, height, width, channels]. */
    readonly bytes: readonly number[];
    readonly objects: readonly ShippedObject[];
  };
}

async function fitted(request: UncheckedRequest & { readonly out: string }): Promise<LoadedRun> {
  const { fit } = await prepareFit({ kind: "new", request: { threads: 1, ...request } as SentRequest });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return loadRun(request.out, { threads: 1 });
}

function people(): ShippedRow[] {
  const random = new Random(5);
  return Array.from({ length: 120 }, () => {
    const age = 18 + Math.floor(60 * random.uniform());
    const gap = random.uniform();
    return {
      age,
      income: gap < 0.2 ? null : Number((1000 + 40 * age + 300 * random.normal()).toFixed(2)),
      city: ["Rome", "Oslo", "Lima"][Math.floor(3 * random.uniform() ** 2)] ?? "",
      joined: new Date(Date.UTC(2015, 0, 1 + Math.floor(2000 * random.uniform()))).toISOString().slice(0, 10),
    };
  });
}

async function shipTable(folder: string) {
  const rows = people();
  const names = Object.keys(present(rows[0]));
  const lines = rows.map((row) => names.map((name) => row[name] ?? "").join());
  const file = join(folder, "people.csv");
  await writeFile(file, `${names.join()}\n${lines.join("\n")}\n`);
  const out = join(folder, "table-run");
  const run = await fitted({ model: "nice", data: file, width: 16, steps: 30, batchSize: 32, out });
  const scores: number[] = [];
  for await (const { logLikelihood } of score(run, file)) scores.push(...logLikelihood);
  await run.session.release();
  await exportRun(out, join(folder, "table"));
  await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  return { rows, scores };
}

async function shipImages(folder: string) {
  const out = join(folder, "image-run");
  const run = await fitted({
    model: "gan",
    data: "digits",
    latentSize: 4,
    channels: 8,
    steps: 1,
    batchSize: 8,
    out,
  });
  const images = toBytes(await sampleRun(run, { count: 2, seed: 3 }), "image");
  await run.session.release();
  await exportRun(out, join(folder, "image"));
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  const bytes = Array.from({ length: images.data.length }, (_, i) => {
    const [channel, pixel] = [i % channels, Math.floor(i / channels)];
    const [place, image] = [pixel % (height * width), Math.floor(pixel / (height * width))];
    return images.data[(image * channels + channel) * height * width + place] ?? Number.NaN;
  });
  const noise = Array.from({ length: count }, (_, i) => {
    const source = new Random(3).split("sample").split(i).split("code");
    return Array.from({ length: 4 }, () => source.normal());
  });
  await writeFile(join(folder, "noise.json"), JSON.stringify(noise));
  return { noise, bytes };
}

async function shipDetector(folder: string): Promise<readonly ShippedObject[]> {
  const photos = await squares(8);
  const out = join(folder, "detector-run");
  await fittedToSquares(photos, out, { samplePictures: 0, report: "none", finestStride: 16, levels: 1 });
  const run = detectorRun(await loadRun(out, { threads: 1 }));
  const photo = join(folder, "photo.png");
  await sharp(join(photos, "images/p3.png")).resize(150, 100).png().toFile(photo);
  const objects: ShippedObject[] = [];
  for await (const { found } of detectFiles(run, [{ image: photo, name: "photo.png" }])) {
    objects.push(
      ...found.map(({ class: label, score, box }) => ({ class: present(run.classes[label]), score, box })),
    );
  }
  await run.session.release();
  await exportRun(out, join(folder, "detector"));
  return objects;
}

/** Fits three small models and exports them. */
export async function shipped(folder: string): Promise<Shipped> {
  const { rows, scores } = await shipTable(folder);
  const { noise, bytes } = await shipImages(folder);
  const objects = await shipDetector(folder);
  return { folder, rows, noise, expected: { scores, bytes, objects } };
}

/** A script of docs/guide/shipping.md, written into a folder. @returns its path */
export async function writeScript(name: string, folder: string): Promise<string> {
  const block = fenced("docs/guide/shipping.md").find(({ info }) => info.endsWith(`file=${name}`));
  const path = join(folder, name);
  await writeFile(path, present(block, name).text);
  return path;
}

/** Pixels of an image file, RGB. */
export async function pixelsOf(file: string): Promise<{ width: number; height: number; pixels: Uint8Array }> {
  const { data, info } = await sharp(await readFile(file))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: new Uint8Array(data) };
}

/**
 * How far objects are from those that eidos finds: each from the nearest of its class, as scores may be so close that their order is a
 * matter of rounding.
 * @throws Error where their numbers differ
 */
export function objectsApart(
  found: readonly ShippedObject[],
  expected: readonly ShippedObject[],
): { readonly scores: number; readonly boxes: number } {
  if (found.length !== expected.length || found.length === 0) {
    throw new Error(`${found.length} objects, where ${expected.length} are expected`);
  }
  const apart = (a: ShippedObject, b: ShippedObject): number => largestDifference(a.box, b.box);
  let [scores, boxes] = [0, 0];
  for (const own of expected) {
    const ofClass = found.filter((other) => other.class === own.class);
    const near = present(ofClass.toSorted((a, b) => apart(a, own) - apart(b, own))[0]);
    boxes = Math.max(boxes, apart(near, own));
    scores = Math.max(scores, Math.abs(near.score - own.score));
  }
  return { scores, boxes };
}
