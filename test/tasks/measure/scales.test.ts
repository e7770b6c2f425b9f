import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MemoryError, OptionError } from "../../../src/errors.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { batchSourceOf } from "../../../src/train/batches.ts";
import { temporaryFolder } from "../../support.ts";
import { ran, TINY } from "./detection-support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const SCALES = { scales: [1, 2], scaleEvery: 1 } as const;

const prepared = (options: Readonly<Record<string, unknown>>) =>
  prepareFit({ kind: "new", request: { model: "fcos", ...TINY, out: join(root, "prepared"), ...options } });

describe("training at several scales", () => {
  it("feeds batches of these sizes, and validates at the run's own", async () => {
    const { fit, config } = await prepared({ ...SCALES, scaleEvery: 2, out: join(root, "fed") });
    expect(fit.data.describe().at(-1)).toBe("training images of 32, 64 pixels, another size every 2 batches");
    const source = batchSourceOf(fit.data, config.fit);
    for (const [step, size] of [64, 64, 32, 32].entries()) {
      expect(source.shape(2, step).x).toEqual([2, 3, size, size]);
      expect((await source.feeds(step)).x?.shape).toEqual([2, 3, size, size]);
    }
    if (fit.data.kind !== "batches") throw new Error("no batches");
    expect(fit.data.validation.shape(2).x).toEqual([2, 3, 32, 32]);
  });

  it.each([
    [{ scales: [1, 1] }, /^option scales: 1 is there twice; give each scale once$/],
    [{ sniper: true, scales: [1, 0.5, 0.5] }, /^option scales: 0\.5 is there twice/],
    [
      { sniper: true, chip: 640 },
      /^option chip: chips of 640 pixels are larger than the largest images, which have 32 \(size 32 × scale 1\); choose --chip of at most 32, such as 32, or/,
    ],
    [{ sniper: true, scales: [2, 1], chip: 96 }, /which have 64 .*choose --chip of at most 64/],
  ])("refuses %o", async (options, message) => {
    const refused = prepared({ ...options, out: join(root, "refused") });
    await expect(refused).rejects.toThrow(OptionError);
    await expect(refused).rejects.toThrow(message);
  });

  it("at scale 1 alone is training without scales", async () => {
    const {
      seconds: _s,
      samplesPerSecond: _p,
      reportSeconds: _r,
      ...one
    } = (await ran({ ...plain("one"), scales: [1] })).summary;
    const {
      seconds: _t,
      samplesPerSecond: _q,
      reportSeconds: _u,
      ...none
    } = (await ran(plain("none"))).summary;
    expect({ ...one, folder: "" }).toEqual({ ...none, folder: "" });
  });

  it("is refused where a detector takes images of one size alone, and where images would not fit into memory", async () => {
    await expect(prepared({ model: "yolo-v1", head: "connected", ...SCALES })).rejects.toThrow(
      /option scales: this detector has weights for each place of images of 32 × 32 pixels, and takes none of 64 × 64/,
    );
    await expect(prepared({ scales: [] })).rejects.toThrow(OptionError);
    await expect(prepared({ scales: [5] })).rejects.toThrow(/scales/);
    vi.stubEnv("EIDOS_MEMORY", "60MB");
    try {
      const large = { canvas: 512, out: join(root, "large") };
      await expect(prepared({ ...large, scales: [1, 4] })).rejects.toThrow(MemoryError);
      expect((await prepared({ ...large, scales: [1] })).config.dataOptions).toMatchObject({ scales: [1] });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

const plain = (name: string) => ({
  model: "fcos",
  ...TINY,
  steps: 2,
  samplePictures: 0,
  report: "none",
  out: join(root, name),
});
