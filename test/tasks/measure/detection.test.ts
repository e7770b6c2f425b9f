import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { evaluateDetector } from "../../../src/tasks/measure/detection.node.ts";
import { annotatedData, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { RunFolder } from "../../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../../support.ts";
import {
  expectFitted,
  expectMeasuredAndExported,
  expectResumedEqual,
  QUICK,
  ran,
  squares,
  TINY,
} from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

describe.each(QUICK)("%s", (model) => {
  it("is fitted to scenes and leaves a run folder with pictures, report and model", () =>
    expectFitted(model, join(root, model)));

  it("is measured as it was validated, and exported as it runs", () =>
    expectMeasuredAndExported(join(root, model)));
});

describe("training", () => {
  it("that is stopped and resumed equals the uninterrupted one, bit for bit", () =>
    expectResumedEqual(root, { model: "center-net", accumulate: 2 }));

  it("feeds parts of a batch that are rows of the whole", async () => {
    const { fit, config } = await prepareFit({
      kind: "new",
      request: { model: "fcos", ...TINY, batchSize: 4, out: join(root, "parts") },
    });
    const [one, other] = [batchSourceOf(fit.data, config.fit), batchSourceOf(fit.data, config.fit)];
    const whole = await one.feeds(7);
    const part = await other.feeds(7, { first: 1, count: 2 });
    for (const name of ["x", "boxes", "labels"]) {
      const size = (whole[name]?.data.length ?? 0) / 4;
      expect(part[name]?.data).toEqual(whole[name]?.data.slice(size, 3 * size));
      expect(part[name]?.shape).toEqual([2, ...(whole[name]?.shape.slice(1) ?? [])]);
    }
    expect(part.x?.shape).toEqual(one.shape(2, 7).x);
    expect(part.boxes?.shape).toEqual(one.shape(2, 7).others?.boxes?.shape);
  });

  it("keeps the anchors of YOLOv3 with the run, so that it opens without the data", async () => {
    const { path } = await ran({
      ...{ model: "yolo-v3", ...TINY, steps: 1, samplePictures: 0, report: "none" },
      out: join(root, "yolo-v3"),
    });
    const config = await new RunFolder(path).readConfig();
    const anchors = config.modelOptions.anchors as number[];
    expect(anchors).toHaveLength(18);
    const areas = Array.from({ length: 9 }, (_, i) => (anchors[2 * i] ?? 0) * (anchors[2 * i + 1] ?? 0));
    expect(areas).toEqual(areas.toSorted((a, b) => a - b));
    // Digits of 6 to 24 pixels.
    expect(Math.max(...anchors)).toBeLessThan(28);
    const run = detectorRun(await loadRun(path, { threads: 1 }));
    expect(run.classes).toHaveLength(10);
    await run.session.release();
  });

  it("ignores crowds, and objects that are difficult, in batches and where it validates", async () => {
    const photos = await squares(8);
    try {
      const file = join(photos, "annotations.csv");
      const [head, ...rows] = (await readFile(file, "utf8")).trim().split("\n");
      const marked = rows.map((row, i) => `${row},${i % 8 === 1 ? 1 : 0},${i % 8 === 5 ? 1 : 0}`);
      await writeFile(file, [`${head},crowd,difficult`, ...marked, ""].join("\n"));
      const { data: _, scenes: _s, canvas: _c, largest: _l, objects: _o, clutter: _t, ...tiny } = TINY;
      const request = { model: "yolo", ...tiny, data: photos, size: 32, batchSize: 4, mosaic: 0, steps: 2 };
      const { fit, config } = await prepareFit({
        kind: "new",
        request: { ...request, out: join(root, "crowds-prepared") },
      });
      const source = batchSourceOf(fit.data, config.fit);
      const { ignored } = await source.feeds(0);
      expect(ignored?.shape).toEqual([4, 4, 4]);
      expect(source.shape(4, 0).others?.ignored?.shape).toEqual([4, 4, 4]);
      const { summary } = await ran({
        ...request,
        samplePictures: 0,
        report: "none",
        out: join(root, "crowds"),
      });
      expect(summary).toMatchObject({ step: 2, reason: "limit" });
      expect(summary.best?.loss).toBeGreaterThan(0);
    } finally {
      await rm(photos, { recursive: true });
    }
  });

  it("learns: the loss falls on a handful of scenes", async () => {
    const { path } = await ran({
      model: "center-net",
      ...TINY,
      augment: false,
      scenes: 4,
      steps: 40,
      learningRate: 5e-3,
      samplePictures: 0,
      report: "none",
      out: join(root, "learns"),
    });
    const losses = (await new RunFolder(path).readMetrics()).map(({ loss }) => loss ?? Number.NaN);
    const mean = (list: readonly number[]) => list.reduce((sum, loss) => sum + loss, 0) / list.length;
    expect(mean(losses.slice(-5))).toBeLessThan(0.6 * mean(losses.slice(0, 5)));
  });
});

describe("weights to begin with", () => {
  const first = () => join(root, "yolo");

  it("are taken where names and shapes agree, and the rest is listed", async () => {
    const photos = await squares(8);
    const { notes, path } = await ran({
      model: "yolo",
      data: photos,
      size: 32,
      width: 0.25,
      depth: 0.5,
      batchSize: 2,
      threads: 1,
      weights: first(),
      steps: 1,
      learningRate: 1e-12,
      averageDecay: 0,
      samplePictures: 0,
      report: "none",
      out: join(root, "warm"),
    });
    expect(notes[0]).toMatch(/^weights of .*best\.safetensors: \d+ of \d+ tensors taken$/);
    expect(notes[1]).toMatch(/^\d of another shape, begun afresh:$/);
    expect(notes[2]).toMatch(/^ {2}head\.classes\.0\.output\.weight +\[10, .*\], the model wants \[2, /);
    expect(notes.slice(2).join("\n")).not.toMatch(/not in/);
    const [before, after] = [
      await new RunFolder(first()).readWeights(),
      await new RunFolder(path).readWeights("last"),
    ];
    const name = "features.backbone.stem.conv.weight";
    expect([...after.keys()]).toContain(name);
    const values = (state: typeof before) => Array.from(state.get(name)?.data ?? [], Number);
    expect(values(after).length).toBeGreaterThan(0);
    for (const [i, value] of values(before).entries()) expect(values(after)[i]).toBeCloseTo(value, 5);
    await rm(photos, { recursive: true });
  });

  it("are refused where nothing fits", async () => {
    await expect(
      prepareFit({
        kind: "new",
        request: { model: "nice", data: "two-moons", count: 100, weights: first(), out: join(root, "none") },
      }),
    ).rejects.toThrow(WeightsError);
    expect(existsSync(join(root, "none"))).toBe(false);
  });
});

describe("other data", () => {
  it("is measured with its classes in the run's order, and refused where it has others", async () => {
    const [photos, swapped, others] = [
      await squares(8),
      await squares(8, ["blue", "red"]),
      await squares(8, ["red", "green"]),
    ];
    const { path } = await ran({
      model: "fcos",
      data: photos,
      size: 32,
      width: 0.25,
      depth: 0.5,
      batchSize: 2,
      threads: 1,
      steps: 2,
      samplePictures: 0,
      report: "none",
      out: join(root, "squares"),
    });
    const run = detectorRun(await loadRun(path, { threads: 1 }));
    try {
      expect(run.classes).toEqual(["blue", "red"]);
      const set = await annotatedData(run, swapped);
      expect(set.classes).toEqual(run.classes);
      await evaluateDetector(run, set);
      await expect(annotatedData(run, others)).rejects.toThrow(
        /classes of the run .* are blue, red; the data have green besides/,
      );
    } finally {
      await run.session.release();
    }
    for (const folder of [photos, swapped, others]) await rm(folder, { recursive: true });
  });

  it("may be a single image, without anything to validate or test with", async () => {
    const photos = await squares(1);
    const { summary, warnings, path } = await ran({
      model: "yolo",
      data: photos,
      size: 64,
      width: 0.25,
      depth: 0.5,
      threads: 1,
      steps: 2,
      out: join(root, "single"),
    });
    expect(summary.step).toBe(2);
    expect(summary.best).toBeUndefined();
    expect(warnings).toEqual([]);
    const run = detectorRun(await loadRun(path, { threads: 1 }));
    await expect(evaluateDetector(run, await annotatedData(run))).rejects.toThrow(
      /option split: the test split of .* is empty; choose another/,
    );
    await run.session.release();
    await rm(photos, { recursive: true });
  });
});

test("a batch of the detector's data depends on seed and step alone", async () => {
  const { fit, config } = await prepareFit({
    kind: "new",
    request: { model: "yolo", ...TINY, seed: 4, out: join(root, "pure") },
  });
  const source = batchSourceOf(fit.data, config.fit);
  const later = await source.feeds(9);
  await source.feeds(0);
  expect((await source.feeds(9)).x?.data).toEqual(later.x?.data);
  expect((await source.feeds(10)).x?.data).not.toEqual(later.x?.data);
  expect(source.random.split("noise").uniform()).toBe(new Random(4).split("noise").uniform());
});
