import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { temporaryFolder } from "../../support.ts";
import { TINY } from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const SCENES = { ...TINY, canvas: 64, largest: 40, objects: 4 } as const;

let count = 0;
const prepared = (options: Readonly<Record<string, unknown>>) =>
  prepareFit({
    kind: "new",
    request: { model: "fcos", ...SCENES, out: join(root, String(count++)), ...options },
  });

describe("fits with more of the small objects", () => {
  it("print and keep what is small, how long an epoch is, and what is pasted", async () => {
    const { fit, config } = await prepared({ oversample: 3, copyPaste: 0.5, copies: 40, epochs: 2 });
    const lines = fit.data.describe();
    const [, below, small, images] =
      /^small objects, below ([\d.]+) pixels in images of 64 × 64: (\d+) of \d+, in (\d+) of 10 training images$/.exec(
        lines.at(-4) ?? "",
      ) ?? [];
    expect(config.dataOptions).toMatchObject({ smallBelow: Number(below), oversample: 3, copyPaste: 0.5 });
    const epoch = 10 + 2 * Number(images);
    expect(lines.at(-3)).toBe(
      `images with small objects come 3 times in an epoch, which has ${epoch - 10} images more by that`,
    );
    expect(lines.at(-2)).toMatch(/^copy-paste, in 50 % of the images: each small object 40 times more/);
    expect(lines.at(-1)).toMatch(
      /^of \d+ copies in \d+ images, \d+ found no room where they cover no other object, or were above 100 in an image: they are left out$/,
    );
    expect(Number(small)).toBeGreaterThan(0);
    expect(config.dataInfo.trainCount).toBe(epoch);
    const source = batchSourceOf(fit.data, config.fit);
    expect(source.count).toBe(epoch);
    const plain = await prepared({});
    expect(plain.config.dataOptions).not.toHaveProperty("smallBelow");
    expect(plain.config.dataInfo.trainCount).toBe(10);
    expect(plain.fit.data.describe().join("\n")).not.toContain("small objects");
    const places = (from: ReturnType<typeof batchSourceOf>) => from.shape(2, 0).others?.boxes?.shape[1] ?? 0;
    expect(places(source)).toBeGreaterThan(places(batchSourceOf(plain.fit.data, plain.config.fit)));
    // A replica that opens the data itself has the same batches.
    const again = await prepared({ ...config.dataOptions, data: "digit-scenes" });
    expect(await batchSourceOf(again.fit.data, config.fit).feeds(3)).toEqual(await source.feeds(3));
  });

  it("work with SNIP, several scales and mosaics", async () => {
    const { fit, config } = await prepared({
      ...{ snip: true, scales: [1, 2], scaleEvery: 1, mosaic: 0.5, stitch: 0.4 },
      ...{ copyPaste: 1, smallBelow: 20 },
    });
    expect(config.dataOptions).toMatchObject({ smallBelow: 20 });
    const source = batchSourceOf(fit.data, config.fit);
    const sides = new Set<number>();
    for (let step = 0; step < 4; step++) sides.add((await source.feeds(step)).x?.shape[2] ?? 0);
    expect(sides).toEqual(new Set([64, 128]));
  });

  it.each([
    [{ copies: 2 }, /^option copies: is without effect without copyPaste/],
    [{ copyFeather: 0.1, oversample: 2 }, /^option copyFeather: is without effect without copyPaste/],
    [{ smallBelow: 20 }, /^option smallBelow: is without effect without oversample or copyPaste/],
    [{ copyPaste: 0.5, augment: false }, /^option copyPaste: changes images, which augment false forbids/],
    [{ copyPaste: 0.5, sniper: true }, /^option copyPaste: .* sniper trains on chips.* leave one out$/],
    [{ oversample: 2, sniper: true }, /^option oversample: .* sniper trains on chips/],
    [{ stitch: 0.5, sniper: true }, /^option stitch: .* sniper trains on chips/],
    [{ oversample: 2, smallBelow: 2 }, /^option smallBelow: none of \d+ training objects is below 2 pixels/],
    [{ oversample: 0 }, /oversample/],
    [{ copyPaste: 1.5 }, /copyPaste/],
  ])("refuse %o", async (options, message) => {
    await expect(prepared(options)).rejects.toThrow(message);
  });

  it("without copies may oversample images that are not changed", async () => {
    const { fit, config } = await prepared({ oversample: 2, augment: false });
    const images = batchSourceOf(fit.data, config.fit).count - 10;
    expect(images).toBeGreaterThan(0);
    expect(images).toBeLessThanOrEqual(10);
  });
});
