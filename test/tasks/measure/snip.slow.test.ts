import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { evaluateDetector } from "../../../src/tasks/measure/detection.node.ts";
import { annotatedData, detectorRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { detectFiles } from "../../../src/tasks/use/detect.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { temporaryFolder } from "../../support.ts";
import { expectMeasuredAndExported, fittedToSquares, ran, squares, TINY } from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const SCENES = { ...TINY, canvas: 64, largest: 48 } as const;

/** Images that an earlier run looks through. */
const FEW = 5;

let count = 0;
const prepared = (options: Readonly<Record<string, unknown>>) =>
  prepareFit({
    kind: "new",
    request: { model: "fcos", ...SCENES, out: join(root, String(count++)), ...options },
  });

describe("SNIP", () => {
  it("chooses ranges, prints them, keeps them with the run, and feeds what is not learnt apart", async () => {
    const { fit, config } = await prepared({ snip: true, scales: [1, 2], scaleEvery: 1, objects: 6 });
    const lines = fit.data.describe();
    expect(lines.at(-3)).toBe("SNIP: objects of other sizes count neither as objects nor as background");
    expect(lines.at(-1)).toMatch(
      /^scale 2, 128 pixels: objects of size 0 to \d+ \(0 to [\d.]+ at scale 1\), \d+ of \d+$/,
    );
    const { validRanges } = config.dataOptions;
    expect(validRanges).toEqual([expect.stringMatching(/^\d+-inf$/), expect.stringMatching(/^0-\d+$/)]);
    const source = batchSourceOf(fit.data, config.fit);
    const { boxes, invalid } = source.shape(2, 0).others ?? {};
    expect(invalid?.shape).toEqual(boxes?.shape);
    const sides = async (step: number, key: string) => {
      const feed = (await source.feeds(step))[key];
      const values = Array.from(feed?.data ?? [], Number);
      return values.flatMap((_, i) => {
        if (i % 4 !== 0) return [];
        const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = values.slice(i, i + 4);
        return x2 > x1 ? [Math.sqrt((x2 - x1) * (y2 - y1))] : [];
      });
    };
    const most = Number(String((validRanges as readonly string[])[1]).split("-")[1]);
    let apart = 0;
    for (let step = 0; step < 8; step++) {
      const [first = 0] = (await source.feeds(step)).x?.shape.slice(2) ?? [];
      if (first !== 128) continue;
      for (const side of await sides(step, "boxes")) expect(side).toBeLessThanOrEqual(most + 1e-3);
      apart += (await sides(step, "invalid")).length;
    }
    expect(apart).toBeGreaterThan(0);
  });

  it("with given ranges needs one for each scale, and takes one scale", async () => {
    const { config } = await prepared({ snip: true, validRanges: ["4-20.5"] });
    expect(config.dataOptions).toMatchObject({ validRanges: ["4-20.5"] });
    const tiny = await prepared({ snip: true, validRanges: ["0.0000001-40"] });
    expect(tiny.config.dataOptions).toMatchObject({ validRanges: ["0.0000001-40"] });
    await expect(prepared({ snip: true, validRanges: ["500-600"] })).rejects.toThrow(
      /^option validRanges: none of \d+ training objects is in the range of a scale/,
    );
    await expect(prepared({ snip: true })).rejects.toThrow(/at one scale all objects are learnt/);
    await expect(prepared({ snip: true, scales: [1, 2], validRanges: ["4-20"] })).rejects.toThrow(
      /1 range for 2 scales/,
    );
    await expect(prepared({ snip: true, scales: [1, 1.1] })).rejects.toThrow(
      /two of them are images of 64 pixels/,
    );
  });
});

describe("a run that was fitted so looks at its own scales", () => {
  const looks = { testScales: [2, 1], mirror: false, merge: "nms" } as const;
  let [photos, path] = ["", ""];
  beforeAll(async () => {
    photos = await squares(8);
    path = await fittedToSquares(photos, join(root, "snip"), {
      snip: true,
      scales: [2, 1],
      scaleEvery: 1,
      validRanges: ["0-28", "14-inf"],
    });
  });
  afterAll(() => rm(photos, { recursive: true }));

  it("where it is measured, as it was validated, and its export says of which sizes it is", async () => {
    const { evaluation, description } = await expectMeasuredAndExported(path);
    expect(evaluation.coco.ap).toBeGreaterThan(0.01);
    expect(evaluation.detect).toEqual({
      confidence: 0.01,
      iou: 0.6,
      maximum: 100,
      ...looks,
      testRanges: ["0-28", "14-inf"],
    });
    expect(description).toMatch(
      /Fitted with snip: of the scale of x it has learnt objects of size 14-inf alone, .*; objects of other sizes want images at scale 2 \(sizes 0-28\)\.$/,
    );
    // The cut at which detections count is of the same looks.
    const kept = JSON.parse(await readFile(join(path, "validation.json"), "utf8"));
    expect(kept.detect).toEqual(evaluation.detect);
    expect(kept.coco.ap).toBeCloseTo(evaluation.coco.ap, 9);
  });

  it("and at others where they are given, then for objects of all sizes or of ranges that are given", async () => {
    const run = detectorRun(await loadRun(path, { threads: 1 }));
    try {
      const set = await annotatedData(run);
      const measured = (options: Parameters<typeof evaluateDetector>[2]) =>
        evaluateDetector(run, set, { split: "validation", ...options });
      const own = await measured({});
      const same = await measured({ testScales: [2, 1], testRanges: ["0-28", "14-inf"] });
      expect(same.coco).toEqual(own.coco);
      const [once, all, others] = [
        await measured({ testScales: [1] }),
        await measured({ testScales: [2, 1] }),
        await measured({ testRanges: ["0-5", "0-5"] }),
      ];
      expect(once.detect).toEqual({ confidence: 0.01, iou: 0.6, maximum: 100 });
      expect(all.detect).toEqual({ ...once.detect, ...looks });
      const figures = ({ coco, best, errors }: typeof own) => ({ coco, best, errors });
      for (const [i, other] of [once, all, others].entries()) {
        expect(figures(other), String(i)).not.toEqual(figures(own));
      }
      expect(others.coco.ap).toBe(0);

      // Photos likewise.
      const image = join(photos, "images/p0.png");
      const found = async (options: Parameters<typeof detectFiles>[2]) => {
        for await (const { found } of detectFiles(run, [{ image, name: "p0.png" }], {
          confidence: 0.01,
          ...options,
        }))
          return found;
        return undefined;
      };
      const usual = await found({});
      expect(usual?.length).toBeGreaterThan(0);
      expect(usual).toEqual(await found({ testScales: [2, 1], testRanges: ["0-28", "14-inf"] }));
      expect(usual).not.toEqual(await found({ testScales: [1] }));
    } finally {
      await run.session.release();
    }
  });

  it("in validation, of which the losses ignore objects that are not learnt at scale 1", async () => {
    const { fit } = await prepared({
      snip: true,
      scales: [1, 2],
      validRanges: ["14-inf", "0-32"],
      objects: 6,
    });
    if (fit.data.kind !== "batches") throw new Error("no batches");
    const { validation } = fit.data;
    expect(fit.data.describe()).toContain(
      "validation looks at images of 64, 128 pixels, each for its objects, and merges what is found",
    );
    // 1 + 4 times the pixels: fewer images at once.
    expect(validation.batchSize).toBe(1);
    const { x, others } = validation.shape(2);
    expect(x).toEqual([2, 3, 64, 64]);
    expect(others?.x128).toEqual({ shape: [2, 3, 128, 128], dtype: "float32" });
    const feeds = await validation.feeds({ first: 0, count: validation.count });
    for (const [name, { shape }] of Object.entries(others ?? {}))
      expect(feeds[name]?.shape.slice(1)).toEqual(shape.slice(1));
    const sizes = (name: string) => {
      const edges = Array.from(feeds[name]?.data ?? [], Number);
      return Array.from({ length: edges.length / 4 }, (_, i) => {
        const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = edges.slice(4 * i, 4 * i + 4);
        return Math.sqrt((x2 - x1) * (y2 - y1));
      }).filter((size) => size > 0);
    };
    expect(sizes("boxes").length).toBeGreaterThan(0);
    expect(sizes("invalid").length).toBeGreaterThan(0);
    for (const size of sizes("boxes")) expect(size).toBeGreaterThanOrEqual(14);
    for (const size of sizes("invalid")) expect(size).toBeLessThan(14);
  });
});

describe("options that are without effect", () => {
  it.each([
    ["chip", { chip: 32 }, "sniper"],
    ["chipBackground", { chipBackground: 0.5 }, "sniper"],
    ["leastProposals", { sniper: true, leastProposals: 3 }, "negativesFrom"],
    ["proposalScore", { proposalScore: 0.3 }, "negativesFrom"],
    ["scaleEvery", { scaleEvery: 3 }, "scales"],
    ["scaleEvery", { sniper: true, scales: [1, 0.5], scaleEvery: 3 }, "with sniper"],
  ])("are refused by name: %s, %j", async (option, options, needed) => {
    await expect(prepared(options)).rejects.toThrow(
      new RegExp(`^option ${option}: is without effect with(out)? .*${needed.replace("with ", "")}`),
    );
  });
});

describe("SNIPER", () => {
  it("trains on chips, prints and keeps how many there are and their share of the pixels", async () => {
    const { fit, config } = await prepared({ sniper: true, chipBackground: 0.2 });
    expect(config.dataOptions).toMatchObject({
      scales: [1, 0.5, 0.25],
      chip: 32,
      validRanges: [expect.stringMatching(/^0-/), expect.any(String), expect.stringMatching(/-inf$/)],
    });
    const { trainCount, chips } = config.dataInfo;
    expect(chips).toMatchObject({ side: 32, count: trainCount });
    expect(chips?.pixels).toBeCloseTo((trainCount * 32 ** 2) / (10 * 64 ** 2), 9);
    expect(chips?.background).toBe(Math.round(0.2 * trainCount));
    const line = fit.data.describe().find((line) => line.startsWith("SNIPER: "));
    expect(line).toContain(`${trainCount} chips of 32 × 32 pixels an epoch`);
    const source = batchSourceOf(fit.data, config.fit);
    expect(source.count).toBe(trainCount);
    expect(source.shape(2, 0).x).toEqual([2, 3, 32, 32]);
    const { x, boxes } = await source.feeds(0);
    expect(x?.shape).toEqual([2, 3, 32, 32]);
    expect(boxes?.shape).toEqual(source.shape(2, 0).others?.boxes?.shape);
    if (fit.data.kind !== "batches") throw new Error("no batches");
    expect(fit.data.validation.shape(2).x).toEqual([2, 3, 64, 64]);
  });

  it("takes background from what an earlier run finds, keeps it there, and notices where that has changed", async () => {
    const early = join(root, "early");
    const short = {
      model: "center-net",
      ...SCENES,
      scenes: FEW,
      steps: 2,
      samplePictures: 0,
      report: "none",
    };
    await ran({ ...short, out: early });
    const options = {
      scenes: FEW,
      sniper: true,
      negativesFrom: early,
      leastProposals: 1,
      proposalScore: 1e-4,
      chipBackground: 0.4,
    };
    const { fit, config } = await prepared(options);
    const kept = (await readdir(early)).filter((name) => name.startsWith("negatives-"));
    expect(kept).toHaveLength(1);
    const { fingerprint, chips } = JSON.parse(await readFile(join(early, kept[0] ?? ""), "utf8"));
    expect(config.dataInfo.chips?.negatives).toBe(fingerprint);
    expect(config.dataOptions.negativesFrom).toBe(early);
    expect(chips.length).toBeGreaterThan(0);
    expect(fit.data.describe().at(-1)).toBe(`${chips.length} chips of background hold what ${early} found`);
    // Chips lie in their scaled image of 64, 32 or 16 pixels.
    for (const [image, scale, left, top] of chips as readonly (readonly [number, number, number, number])[]) {
      expect(image).toBeLessThan(FEW);
      for (const at of [left, top]) expect(at).toBeLessThanOrEqual(Math.max(0, 64 * 0.5 ** scale - 32));
    }
    // A file of chips that are none of these images is not believed.
    const path = join(early, kept[0] ?? "");
    const own = await readFile(path, "utf8");
    for (const chip of [
      [FEW, 0, 0, 0],
      [0, 3, 0, 0],
      [0, 0, 64, 0],
    ]) {
      await writeFile(path, JSON.stringify({ fingerprint, chips: [chip] }));
      await prepared(options);
      expect(await readFile(path, "utf8")).toBe(own);
    }
    const again = await prepared(options);
    expect(again.config.dataInfo.chips).toEqual(config.dataInfo.chips);
    const batch = async ({ fit, config }: Pick<typeof again, "fit" | "config">) =>
      batchSourceOf(fit.data, config.fit).feeds(3);
    expect(await batch(again)).toEqual(await batch({ fit, config }));

    await again.fit.folder.unlock();
    await ran({ resume: early, overrides: { steps: 4 } });
    await expect(
      prepareFit({ kind: "resume", folder: again.fit.folder.path, overrides: {} }),
    ).rejects.toThrow(/option negativesFrom: .* is no longer what this run was begun with/);
    // Nothing is written into the folder of another run because a run that goes on names it.
    expect((await readdir(early)).filter((name) => name.startsWith("negatives-"))).toEqual(kept);
    await expect(prepared({ ...options, negativesFrom: join(root, "nothing") })).rejects.toThrow(/nothing/);
  });

  it("refuses options that do not go together", async () => {
    await expect(prepared({ sniper: true, snip: true })).rejects.toThrow(/give one of the two/);
    await expect(prepared({ chip: 32 })).rejects.toThrow(/option chip: is without effect without sniper/);
    await expect(prepared({ validRanges: ["0-inf"] })).rejects.toThrow(
      /option validRanges: is without effect/,
    );
    await expect(prepared({ sniper: true, chip: 40 })).rejects.toThrow(/chip/);
    await expect(prepared({ sniper: true, chip: 64, model: "yolo-v1", head: "connected" })).rejects.toThrow(
      /option sniper: .* takes none of 32 × 32/,
    );
    await expect(prepared({ sniper: true, model: "yolo-v1", head: "connected" })).rejects.toThrow(
      /takes none of 32 × 32/,
    );
  });
});
