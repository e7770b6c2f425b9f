import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { encodePng } from "../../src/report/raster/raster.ts";
import { temporaryFolder } from "../support.ts";
import { refused, succeed } from "./support.ts";

let cwd: string;
const SIZE = 8;
/** Learns the few images below in few steps. */
const FAST = ["--learning-rate", "0.005", "--weight-decay", "0"];

/** Images whose upper half is one grey value and whose lower half another. */
function halves(top: number, bottom: number): Promise<Uint8Array> {
  const data = Uint8Array.from({ length: SIZE * SIZE }, (_, i) => (2 * i < SIZE * SIZE ? top : bottom));
  return encodePng({ width: SIZE, height: SIZE, channels: 1, data });
}

beforeAll(async () => {
  cwd = await temporaryFolder();
  await mkdir(join(cwd, "images"));
  // Dark above goes with bright below, and the other way round.
  for (let i = 0; i < 60; i++) {
    const top = i % 2 === 0 ? 40 + (i % 5) : 200 + (i % 5);
    await writeFile(join(cwd, "images", `${i}.png`), await halves(top, 240 - top));
  }
  const image = ["--size", String(SIZE), "--colour", "grey", "--width", "32", "--sample-pictures", "0"];
  await succeed(
    ["fit", "nice", "images", ...image, "--steps", "200", "--batch-size", "32", ...FAST, "--out", "run"],
    cwd,
  );
});

describe("inpaint", () => {
  test("fills in half of an image, keeps the other half, and follows what was learned", async () => {
    await writeFile(join(cwd, "dark.png"), await halves(41, 0));
    await writeFile(join(cwd, "light.png"), await halves(201, 0));
    const options = ["--half", "bottom", "--draws", "6", "--out", "drawn.npy"];
    const { stdout } = await succeed(["inpaint", "run", "dark.png", "light.png", ...options], cwd);
    expect(stdout).toMatch(/^6 completions of 2 images in [\d.]+ s: drawn\.npy\n$/);
    const { shape, data } = await readNpy(join(cwd, "drawn.npy"));
    expect(shape).toEqual([2, 6, 1, SIZE, SIZE]);
    const means = [0, 0];
    for (let k = 0; k < 12; k++) {
      const image = Array.from(data.subarray(k * 64, (k + 1) * 64), Number);
      expect(image.slice(0, 32)).toEqual(new Array(32).fill(k < 6 ? 41 : 201));
      const bottom = image.slice(32);
      expect(bottom.every((value) => Number.isInteger(value) && value >= 0 && value <= 255)).toBe(true);
      means[k < 6 ? 0 : 1] = (means[k < 6 ? 0 : 1] ?? 0) + bottom.reduce((sum, v) => sum + v, 0) / 192;
    }
    // Dark above goes with bright below, and the other way round: about 199 and 39.
    expect((means[0] ?? 0) - (means[1] ?? 0)).toBeGreaterThan(50);
  });

  test("draws strips of test images into the run folder; the seed decides", async () => {
    const options = ["--box", "2,2,3,4", "--draws", "2", "--steps", "8", "--count", "2"];
    const { stdout } = await succeed(["inpaint", "run", ...options], cwd);
    const path = join("run", "samples", "inpaint-0.png");
    expect(stdout).toContain(path);
    const first = await readFile(join(cwd, path));
    await succeed(["inpaint", "run", ...options, "--out", "again.png"], cwd);
    expect((await readFile(join(cwd, "again.png"))).equals(first)).toBe(true);
    await succeed(["inpaint", "run", ...options, "--seed", "1", "--out", "other.png"], cwd);
    expect((await readFile(join(cwd, "other.png"))).equals(first)).toBe(false);
  });

  test("takes the region from a mask that is white where pixels are unknown", async () => {
    await writeFile(join(cwd, "mask.png"), await halves(255, 0));
    await writeFile(join(cwd, "bright.png"), await halves(9, 200));
    const args = ["inpaint", "run", "bright.png", "--mask", "mask.png", "--draws", "2", "--steps", "8"];
    await succeed([...args, "--out", "masked.npy"], cwd);
    const { data } = await readNpy(join(cwd, "masked.npy"));
    expect(Array.from(data.subarray(32, 64), Number)).toEqual(new Array(32).fill(200));
    expect(Array.from(data.subarray(0, 32), Number)).not.toEqual(new Array(32).fill(9));
  });

  test("refuses what it cannot do, and states what to do", async () => {
    const refuse = (...args: string[]) => refused(["inpaint", "run", ...args], cwd);
    expect(await refuse()).toMatch(/give what is unknown by one of --half/);
    expect(await refuse("--half", "top", "--box", "0,0,1,1")).toMatch(/by one of/);
    expect(await refuse("--box", "5,5,4,4")).toMatch(/box: 5,5,4,4 lies outside images of 8 × 8/);
    expect(await refuse("--half", "top", "--method", "exact")).toMatch(/not autoregressive in one order/);
    expect(await refuse("--half", "top", "--label", "1")).toMatch(/without classes/);
    expect(await refuse("--half", "top", "--out", "a.gif")).toMatch(/a\.gif must end in \.png or \.npy/);
    expect(await refuse("--half", "top", "none.png")).toMatch(/none\.png/);
  });
});
