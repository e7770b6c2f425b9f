import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { images, openRun, points, type Run, rows } from "../../src/index.ts";
import { largestDifference, numbers, temporaryFolder } from "../support.ts";

// A run as an object, on the runs that are kept as fixtures: what its methods take, and what they refuse.

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/runs/${name}`, import.meta.url));

let folder = "";
let flow: Run;
let detector: Run;
let digits: Run;
beforeAll(async () => {
  folder = await temporaryFolder();
  flow = await openRun(fixture("nice-two-moons"), { threads: 1 });
  detector = await openRun(fixture("fcos-digit-scenes"), { threads: 1 });
  digits = await openRun(fixture("rectified-flow-digits"), { threads: 1 });
});
afterAll(async () => {
  for (const run of [flow, detector, digits]) await run.release();
  await rm(folder, { recursive: true, force: true });
});

describe("a run", () => {
  const table = [
    { x: 0.25, y: 1 },
    { x: -1.5, y: 0 },
    { x: 2, y: 0.125 },
  ];

  it("scores rows and points in memory as the same rows of a file", async () => {
    const file = join(folder, "rows.csv");
    await writeFile(file, `x,y\n${table.map(({ x, y }) => `${x},${y}`).join("\n")}\n`);
    const { logLikelihood } = await flow.score(file);
    expect(logLikelihood).toHaveLength(3);
    expect((await flow.score(rows(table))).logLikelihood).toEqual(logLikelihood);
    const flat = Float32Array.from(table.flatMap(({ x, y }) => [x, y]));
    expect((await flow.score(points(flat, [3, 2]))).logLikelihood).toEqual(logLikelihood);
  });

  it("fills in the missing cells of rows in memory", async () => {
    const { names, rows: filled } = await flow.impute(rows([{ x: 0.5, y: null }]), { draws: 3 });
    expect(names).toEqual(["x", "y", "draw"]);
    const list: (readonly unknown[])[] = [];
    for await (const row of filled) list.push(row);
    expect(list.map((row) => Number(row[0]))).toEqual([0.5, 0.5, 0.5]);
    expect(list.map((row) => row[2])).toEqual([0, 1, 2]);
    for (const row of list) expect(Number.isFinite(Number(row[1]))).toBe(true);
  });

  it("encodes and decodes samples back", async () => {
    const samples = await flow.sample({ count: 8, seed: 4 });
    expect(samples.shape).toEqual([8, 2]);
    const back = await flow.decode(await flow.encode(samples));
    expect(largestDifference(numbers(back), numbers(samples))).toBeLessThan(1e-3);
  });

  it("completes images in memory, and keeps what is known", async () => {
    const pixels = Uint8Array.from({ length: 28 * 28 }, (_, i) => i % 256);
    const drawn = await digits.inpaint(images([pixels], { shape: [1, 28, 28] }), {
      unknown: { kind: "half", half: "bottom" },
      draws: 1,
      steps: 2,
      resamplings: 1,
    });
    expect(drawn.shape).toEqual([1, 1, 1, 28, 28]);
    expect(numbers(drawn).slice(0, 14 * 28)).toEqual(Array.from(pixels.subarray(0, 14 * 28)));
  });

  it("finds objects in pixels as in the same picture encoded", async () => {
    const { encodePng } = await import("../../src/report/index.ts");
    const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 37) % 256);
    const rgba = Uint8Array.from({ length: 64 * 64 * 4 }, (_, i) =>
      i % 4 === 3 ? 255 : (data[3 * Math.floor(i / 4) + (i % 4)] ?? 0),
    );
    const encoded = await encodePng({ width: 64, height: 64, channels: 3, data });
    const file = join(folder, "photo.png");
    await writeFile(file, encoded);
    const found = await detector.detect(file, { confidence: 0.01 });
    expect([found.width, found.height]).toEqual([64, 64]);
    expect(found.objects.length).toBeGreaterThan(0);
    for (const { class: index, label } of found.objects) expect(detector.classes[index]).toBe(label);
    expect(await detector.detect(await readFile(file), { confidence: 0.01 })).toEqual(found);
    expect(await detector.detect({ width: 64, height: 64, data: rgba }, { confidence: 0.01 })).toEqual(found);
  });

  it("refuses what its model cannot do and what is no input, by errors of ours", async () => {
    await expect(detector.sample()).rejects.toThrow(/fcos cannot draw samples; it can fit, detect, export/);
    await expect(flow.detect("photo.png")).rejects.toThrow(/nice cannot find objects/);
    await expect(detector.detect(join(folder, "missing.png"))).rejects.toThrow(/missing\.png: /);
    await expect(flow.score("missing.csv")).rejects.toThrow(/missing\.csv/);
    await expect(flow.inpaint({ index: [0] }, { unknown: { kind: "half", half: "top" } })).rejects.toThrow(
      /fitted on points data/,
    );
    await expect(flow.encode(await digits.sample({ count: 1, steps: 1 }))).rejects.toThrow();
  });

  it("is of the model that it is opened as", async () => {
    await expect(openRun(fixture("nice-two-moons"), { model: "glow" })).rejects.toThrow(
      /is a run of nice, not of glow/,
    );
  });
});
