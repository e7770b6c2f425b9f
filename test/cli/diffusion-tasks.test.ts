import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { Random } from "../../src/random.ts";
import { pngSize } from "../../src/report/raster/raster.ts";
import { temporaryFolder } from "../support.ts";
import { IMAGES, POINTS, paintShades, SMALL } from "./diffusion-runs.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;

beforeAll(async () => {
  cwd = await temporaryFolder();
  await paintShades(cwd);
  const random = new Random(2);
  const rows = Array.from({ length: 200 }, () => {
    const a = random.normal();
    return [100 + 20 * a, 5 * a + random.normal()];
  });
  await writeFile(join(cwd, "wares.csv"), `weight,length\n${rows.map((row) => row.join()).join("\n")}\n`);
  const gaps = rows.slice(0, 6).map(([a = 0, b = 0], i) => (i % 2 === 0 ? `${a},` : `${a},${b}`));
  await writeFile(join(cwd, "gaps.csv"), `weight,length\n${gaps.join("\n")}\n`);
  await Promise.all([
    succeed(["fit", "rectified-flow", "two-moons", ...POINTS, "--out", "flow"], cwd),
    succeed(
      ["fit", "ddpm", "wares.csv", ...SMALL, "--steps", "300", "--batch-size", "128", "--out", "table"],
      cwd,
    ),
  ]);
  await succeed(
    ["fit", "edm", "shades", "--size", "8", "--colour", "grey", ...IMAGES, "--out", "images"],
    cwd,
  );
});

describe("codes of diffusion models", () => {
  test("bring a table back, by either solver; classes are given only where asked", async () => {
    const { rows } = await readCsv(join(cwd, "wares.csv"));
    await succeed(["encode", "table", "wares.csv", "--out", "codes.npy"], cwd);
    await succeed(["decode", "table", "codes.npy", "--out", "back.csv"], cwd);
    const back = await readCsv(join(cwd, "back.csv"));
    expect(back.names).toEqual(["weight", "length"]);
    const errors = back.rows.map((row, i) => Math.abs(Number(row[0]) - Number(rows[i]?.[0])));
    expect(errors.toSorted((a, b) => a - b)[180]).toBeLessThan(0.5);
    await succeed(["encode", "table", "wares.csv", "--solver", "ddim", "--out", "coarse.npy"], cwd);
    expect((await readNpy(join(cwd, "coarse.npy"))).data).not.toEqual(
      (await readNpy(join(cwd, "codes.npy"))).data,
    );
    // Images of a folder have no classes that a command sees; none are needed.
    await succeed(["encode", "images", "shades", "--solver-steps", "20", "--out", "images.npy"], cwd);
    await succeed(["decode", "images", "images.npy", "--solver-steps", "20", "--out", "again.npy"], cwd);
    const again = await readNpy(join(cwd, "again.npy"));
    expect(again.shape).toEqual([24, 1, 8, 8]);
    const file = await sharp(join(cwd, "shades", "dark", "0.png"))
      .greyscale()
      .raw()
      .toBuffer();
    const worst = Math.max(...Array.from(file, (byte, i) => Math.abs(byte - Number(again.data[i]))));
    expect(worst).toBeLessThanOrEqual(4);
    await succeed(["encode", "images", "--label", "1", "--out", "one.npy"], cwd);
    expect(await refused(["encode", "table", "--solver", "rk4"], cwd)).toMatch(/solver/);
  });

  test("are walked through", async () => {
    const files = [join("shades", "dark", "3.png"), join("shades", "light", "4.png")];
    await succeed(
      ["interpolate", "images", ...files, "--steps", "5", "--solver-steps", "12", "--out", "way.npy"],
      cwd,
    );
    const { shape, data } = await readNpy(join(cwd, "way.npy"));
    expect(shape).toEqual([5, 1, 8, 8]);
    expect(Math.abs(Number(data[0]) - 33)).toBeLessThan(12);
    expect(Math.abs(Number(data[4 * 64]) - 204)).toBeLessThan(12);
  });
});

describe("completions by diffusion models", () => {
  test("of images keep what is known, by both methods", async () => {
    for (const method of [
      ["--method", "projection"],
      ["--steps", "8", "--resamplings", "2"],
    ]) {
      const file = join("shades", "dark", "7.png");
      await succeed(
        ["inpaint", "images", file, "--half", "bottom", "--draws", "3", ...method, "--out", "in.npy"],
        cwd,
      );
      const { shape, data } = await readNpy(join(cwd, "in.npy"));
      expect(shape).toEqual([1, 3, 1, 8, 8]);
      expect(Array.from(data.subarray(64, 96), Number)).toEqual(new Array(32).fill(37));
    }
    expect(await refused(["inpaint", "images", "--half", "top", "--method", "exact"], cwd)).toMatch(
      /no exact/,
    );
  });

  test("of a table follow its columns", async () => {
    const options = ["--draws", "40", "--steps", "25", "--resamplings", "4"];
    await succeed(["impute", "table", "gaps.csv", ...options, "--out", "filled.csv"], cwd);
    const { rows } = await readCsv(join(cwd, "filled.csv"));
    expect(rows.length).toBe(240);
    // The length goes with the weight: a quarter of its distance from 100.
    const errors = [0, 2, 4].map((row) => {
      const own = rows.slice(40 * row, 40 * (row + 1));
      const mean = own.reduce((sum, [, length]) => sum + Number(length), 0) / own.length;
      return Math.abs(mean - (Number(own[0]?.[0]) - 100) / 4);
    });
    expect(Math.max(...errors)).toBeLessThan(1.2);
  });
});

describe("edit", () => {
  test("changes images the more the more noise is added", async () => {
    const file = join("shades", "dark", "2.png");
    const bytes = await sharp(join(cwd, file)).greyscale().raw().toBuffer();
    const away: number[] = [];
    for (const strength of ["0.05", "0.8"]) {
      await succeed(["edit", "images", file, "--strength", strength, "--draws", "2", "--out", "e.npy"], cwd);
      const { shape, data } = await readNpy(join(cwd, "e.npy"));
      expect(shape).toEqual([1, 2, 1, 8, 8]);
      away.push(Array.from(bytes, (byte, i) => Math.abs(byte - Number(data[i]))).reduce((a, b) => a + b, 0));
    }
    expect(away[0]).toBeLessThan(away[1] ?? 0);
    await succeed(["edit", "images", file, "--steps", "5", "--label", "1", "--out", "e.png"], cwd);
    expect(pngSize(await readFile(join(cwd, "e.png")))?.height).toBe(60);
    await succeed(["edit", "flow", "--index", "1,2", "--draws", "3", "--out", "e.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "e.csv"));
    expect(names).toEqual(["sample", "draw", "x", "y"]);
    expect(rows.length).toBe(6);
    expect(await refused(["edit", "flow", "a.png"], cwd)).toMatch(/points data.*--index/);
    expect(await refused(["edit", "images", "--strength", "0"], cwd)).toMatch(/strength/);
  });
});

describe("reflow and distill", () => {
  test("names the command that fits models to pairs of a run", async () => {
    expect(await refused(["fit", "distilled-flow", "two-moons"], cwd)).toMatch(/eidos distill RUN/);
    expect(await refused(["fit", "nice", "two-moons", "--pairs", "p.safetensors"], cwd)).toMatch(
      /not fitted to pairs/,
    );
  });

  test("rectify other diffusion models too", async () => {
    await succeed(
      [
        "reflow",
        "table",
        "--count",
        "100",
        "--solver-steps",
        "4",
        "--steps",
        "4",
        "--quiet",
        "--sample-pictures",
        "0",
        "--out",
        "table-flow",
      ],
      cwd,
    );
    const config = JSON.parse(await readFile(join(cwd, "table-flow", "config.json"), "utf8"));
    expect(config).toMatchObject({ model: "rectified-flow", data: "wares.csv" });
    expect(config.fit.weights).toBeUndefined();
  });
});

describe("translate", () => {
  test("leads from one data set to another, and back", async () => {
    await succeed(
      ["fit", "rectified-transport", "two-moons", "--source", "rings", ...POINTS, "--out", "transport"],
      cwd,
    );
    await succeed(["translate", "transport", "--count", "5", "--states", "3", "--out", "way.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "way.csv"));
    expect(names).toEqual(["sample", "share", "x", "y"]);
    expect(rows.map(([, share]) => Number(share)).slice(0, 3)).toEqual([0, 0.5, 1]);
    expect(rows).toHaveLength(15);
    await succeed(
      ["translate", "transport", "--back", "--index", "3", "--states", "2", "--out", "back.csv"],
      cwd,
    );
    await succeed(["sample", "transport", "--count", "30", "--out", "moons.csv"], cwd);
    expect((await readCsv(join(cwd, "moons.csv"))).rows).toHaveLength(30);
    expect((await succeed(["eval", "transport"], cwd)).stdout).toMatch(/transport cost/);
    expect(await refused(["fit", "rectified-transport", "two-moons"], cwd)).toMatch(/--source DATA/);
    expect(await refused(["fit", "nice", "two-moons", "--source", "rings"], cwd)).toMatch(
      /rectified-transport/,
    );
    expect(await refused(["translate", "flow"], cwd)).toMatch(/cannot lead from one data set/);
  });

  test("classes that the data do not have are refused", async () => {
    expect(await refused(["fit", "nice", "shades", "--classes", "drak"], cwd)).toMatch(/did you mean "dark"/);
    expect(await refused(["fit", "nice", "two-moons", "--classes", "1"], cwd)).toMatch(/has no classes/);
  });
});

describe("sample --animate", () => {
  test("writes a moving picture of samples as they form", async () => {
    await succeed(
      ["sample", "flow", "--count", "40", "--animate", "flow.gif", "--frames", "6", "--out", "a.csv"],
      cwd,
    );
    const moving = await sharp(join(cwd, "flow.gif"), { animated: true }).metadata();
    expect(moving.pages).toBe(6);
    await succeed(
      ["sample", "images", "--count", "4", "--animate", "i.webp", "--frames", "5", "--out", "a.npy"],
      cwd,
    );
    expect((await sharp(join(cwd, "i.webp"), { animated: true }).metadata()).pages).toBe(5);
    expect(await refused(["sample", "flow", "--animate", "a.mp4"], cwd)).toMatch(/\.gif or \.webp/);
  });
});
