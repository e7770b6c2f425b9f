import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { temporaryFolder } from "../../support.ts";
import { ran, TINY } from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const SCENES = { ...TINY, canvas: 64, largest: 48 } as const;

let folders = 0;
const prepared = (options: Readonly<Record<string, unknown>>) =>
  prepareFit({
    kind: "new",
    request: { model: "fcos", ...SCENES, out: join(root, String(folders++)), ...options },
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
    const short = { model: "center-net", ...SCENES, steps: 2, samplePictures: 0 };
    await ran({ ...short, out: early });
    const options = {
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
      expect(image).toBeLessThan(10);
      for (const at of [left, top]) expect(at).toBeLessThanOrEqual(Math.max(0, 64 * 0.5 ** scale - 32));
    }
    // A file of chips that are none of these images is not believed.
    const path = join(early, kept[0] ?? "");
    const own = await readFile(path, "utf8");
    for (const chip of [
      [10, 0, 0, 0],
      [0, 3, 0, 0],
      [0, 0, 64, 0],
    ]) {
      await writeFile(path, JSON.stringify({ fingerprint, chips: [chip] }));
      await prepared(options);
      expect(await readFile(path, "utf8")).toBe(own);
    }
    const again = await prepared(options);
    expect(again.config.dataInfo.chips).toEqual(config.dataInfo.chips);
    const batch = async ({ fit, config }: typeof again) => batchSourceOf(fit.data, config.fit).feeds(3);
    expect(await batch(again)).toEqual(await batch({ fit, config, notes: [] }));

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
    await expect(prepared({ sniper: true, model: "yolo-v1", head: "connected" })).rejects.toThrow(
      /takes none of 32 × 32/,
    );
  });
});
