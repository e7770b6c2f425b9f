import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { Random } from "../../src/random.ts";
import { pngSize } from "../../src/report/raster/raster.ts";
import { pathsBetween } from "../../src/tasks/use/interpolate.node.ts";
import { float32 } from "../../src/tensor/array.ts";
import { temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;
const SMALL = [
  "--width",
  "16",
  "--batch-size",
  "16",
  "--steps",
  "8",
  "--sample-pictures",
  "0",
  "--report",
  "none",
  "--quiet",
];

beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(2);
  const rows = Array.from({ length: 300 }, () => [100 + 20 * random.normal(), random.normal()]);
  await writeFile(join(cwd, "wares.csv"), `weight,length\n${rows.map((row) => row.join()).join("\n")}\n`);
  for (const [name, shade] of [
    ["dark", 40],
    ["light", 200],
  ] as const) {
    await mkdir(join(cwd, "shades", name), { recursive: true });
    for (let i = 0; i < 20; i++) {
      const bytes = Uint8Array.from({ length: 64 }, () => shade + random.integer(40));
      const image = sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } });
      await image.png().toFile(join(cwd, "shades", name, `${i}.png`));
    }
  }
  const images = ["fit", "nice", "shades", "--size", "8", "--colour", "grey", ...SMALL];
  await Promise.all([
    succeed(["fit", "nice", "wares.csv", ...SMALL, "--out", "table"], cwd),
    writeFile(
      join(cwd, "three.csv"),
      `a,b,c\n${rows.map(([a = 0, b = 0]) => [a, b + a / 20, b * 3 - a].join()).join("\n")}\n`,
    ).then(() =>
      succeed(
        ["fit", "real-nvp", "three.csv", "--given", "a", ...SMALL, "--steps", "40", "--out", "given"],
        cwd,
      ),
    ),
    succeed([...images, "--out", "images"], cwd).then(() =>
      succeed([...images, "--conditional", "--out", "classes"], cwd),
    ),
  ]);
});

describe("encode and decode", () => {
  test("bring a table back, through each kind of file", async () => {
    const { rows } = await readCsv(join(cwd, "wares.csv"));
    for (const extension of ["npy", "csv", "parquet"]) {
      const codes = `codes.${extension}`;
      expect((await succeed(["encode", "table", "wares.csv", "--out", codes], cwd)).stdout).toBe(
        `300 codes of 2 numbers: ${codes}\n`,
      );
      await succeed(["decode", "table", codes, "--out", "back.csv"], cwd);
      const back = await readCsv(join(cwd, "back.csv"));
      expect(back.names).toEqual(["weight", "length"]);
      expect(back.rows.length).toBe(300);
      for (const [i, row] of back.rows.entries()) {
        for (const [k, value] of row.entries()) expect(Number(value)).toBeCloseTo(Number(rows[i]?.[k]), 2);
      }
    }
    expect((await readCsv(join(cwd, "codes.csv"))).names).toEqual(["z0", "z1"]);
    // The codes are not the standardized table itself.
    const { data } = await readNpy(join(cwd, "codes.npy"));
    const mean = rows.reduce((sum, [, length]) => sum + Number(length), 0) / 300;
    expect(Math.abs(Number(data[1]) - (Number(rows[0]?.[1]) - mean))).toBeGreaterThan(1e-3);
  });

  test("bring the bytes of images back exactly, with the names of files beside their codes", async () => {
    await succeed(["encode", "images", "shades", "--out", "images.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "images.csv"));
    expect([names.length, names[0], rows[3]?.[0]]).toEqual([65, "file", join("dark", "11.png")]);
    await succeed(["decode", "images", "images.csv", "--out", "images.npy"], cwd);
    const { shape, data } = await readNpy(join(cwd, "images.npy"));
    expect(shape).toEqual([40, 1, 8, 8]);
    const file = await sharp(join(cwd, "shades", "dark", "11.png"))
      .greyscale()
      .raw()
      .toBuffer();
    expect([...(data as Float32Array).subarray(3 * 64, 4 * 64)]).toEqual([...file]);
    await succeed(["decode", "images", "images.csv", "--out", "images.png"], cwd);
    expect(pngSize(await readFile(join(cwd, "images.png")))?.width).toBeGreaterThan(56);
  });

  test("of a conditional model go by the classes of the data, or by one that is given", async () => {
    await succeed(["encode", "classes", "--split", "train", "--label", "1", "--out", "one.npy"], cwd);
    await succeed(["decode", "classes", "one.npy", "--label", "1", "--out", "back.npy"], cwd);
    await succeed(["encode", "images", "--split", "train", "--out", "plain.npy"], cwd);
    await succeed(["decode", "images", "plain.npy", "--out", "plain-back.npy"], cwd);
    expect((await readNpy(join(cwd, "back.npy"))).data).toEqual(
      (await readNpy(join(cwd, "plain-back.npy"))).data,
    );
    await succeed(["encode", "classes", "--split", "train", "--out", "own.npy"], cwd);
    expect((await readNpy(join(cwd, "own.npy"))).data).not.toEqual(
      (await readNpy(join(cwd, "one.npy"))).data,
    );
    expect(await refused(["decode", "classes", "one.npy", "--out", "a.npy"], cwd)).toMatch(
      /class of each code/,
    );
    expect(await refused(["encode", "classes", "--label", "2"], cwd)).toMatch(/class from 0 to 1, not 2/);
    expect(await refused(["encode", "images", "--label", "1"], cwd)).toMatch(/fitted without classes/);
  });

  test("refuse files of another kind or length", async () => {
    expect(await refused(["encode", "table", "--out", "codes.png"], cwd)).toMatch(/must end in \.npy, \.csv/);
    expect(await refused(["decode", "images", "codes.npy"], cwd)).toMatch(
      /codes\.npy: has shape \[300,2\]; codes of this run are rows of 64 numbers/,
    );
    expect(await refused(["decode", "images", "codes.csv"], cwd)).toMatch(/codes\.csv: has 2 columns/);
    expect(await refused(["decode", "images", "codes.npy", "--out", "a.csv"], cwd)).toMatch(/\.png or \.npy/);
  });
});

describe("a model that is given a column", () => {
  test("codes the others; decoding takes a value for it, a path blends the two", async () => {
    const one = `select 110.0 as a, b, c from '${join(cwd, "three.csv")}' limit 20`;
    expect((await succeed(["encode", "given", one, "--out", "g.npy"], cwd)).stdout).toMatch(/20 codes of 2 /);
    await succeed(["decode", "given", "g.npy", "--given", "a=110", "--out", "g.csv"], cwd);
    const back = (await readCsv(join(cwd, "g.csv"))).rows;
    const rows = (await readCsv(join(cwd, "three.csv"))).rows;
    for (const [i, row] of back.entries()) {
      expect(Number(row[0])).toBeCloseTo(110, 2);
      for (const k of [1, 2]) expect(Number(row[k])).toBeCloseTo(Number(rows[i]?.[k]), 1);
    }
    expect(await refused(["decode", "given", "g.npy"], cwd)).toMatch(/column a has no value/);
    await succeed(["interpolate", "given", "--index", "0,1", "--steps", "3", "--out", "g.csv"], cwd);
    const path = (await readCsv(join(cwd, "g.csv"))).rows.map((row) => Number(row[2]));
    expect(path[1]).toBeCloseTo(((path[0] ?? 0) + (path[2] ?? 0)) / 2, 2);
  });

  test("scores the density of the others given it: it integrates to 1", async () => {
    const step = 4;
    const grid = `select 110.0 as a, ${step} * (i - 60) + 5.0 as c, 0.25 * (j - 60) + 5.5 as b from range(121) as s(i), range(121) as t(j)`;
    await succeed(["score", "given", grid, "--out", "grid.csv"], cwd);
    const { rows } = await readCsv(join(cwd, "grid.csv"));
    expect(rows.length).toBe(121 ** 2);
    const total = rows.reduce((sum, [, score]) => sum + Math.exp(Number(score)), 0);
    expect(total * step * 0.25).toBeGreaterThan(0.97);
    expect(total * step * 0.25).toBeLessThan(1.03);
  });
});

describe("interpolate", () => {
  test("draws a strip for each pair of images, from the one to the other", async () => {
    const image = (kind: string, i: number) => join("shades", kind, `${i}.png`);
    const files = [image("dark", 0), image("light", 1), image("light", 2), image("dark", 3)];
    await succeed(["interpolate", "images", ...files, "--steps", "5", "--out", "strip.npy"], cwd);
    const { shape, data } = await readNpy(join(cwd, "strip.npy"));
    expect(shape).toEqual([10, 1, 8, 8]);
    for (const [file, place] of [
      [files[0], 0],
      [files[1], 4],
      [files[2], 5],
      [files[3], 9],
    ] as const) {
      const bytes = await sharp(join(cwd, file ?? ""))
        .greyscale()
        .raw()
        .toBuffer();
      const end = (data as Float32Array).subarray(place * 64, (place + 1) * 64);
      expect(Math.max(...end.map((value, i) => Math.abs(value - (bytes[i] ?? 0))))).toBeLessThanOrEqual(1);
    }
    await succeed(["interpolate", "images", ...files, "--steps", "5", "--out", "strip.png"], cwd);
    // Five columns, two rows, 8 × 8 pixels drawn seven times as large.
    expect(pngSize(await readFile(join(cwd, "strip.png")))).toEqual({
      width: 5 * 58 + 2,
      height: 2 * 58 + 2,
    });
  });

  test("of a table writes the rows of a path, its ends those of the split", async () => {
    await succeed(["interpolate", "table", "--index", "3,17", "--steps", "4", "--out", "path.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "path.csv"));
    expect(names).toEqual(["path", "share", "weight", "length"]);
    expect(rows.map(([, share]) => Number(share))).toEqual([0, 1 / 3, 2 / 3, 1]);
    await succeed(["encode", "table", "--out", "test.npy"], cwd);
    await succeed(["decode", "table", "test.npy", "--out", "test.csv"], cwd);
    const test = (await readCsv(join(cwd, "test.csv"))).rows;
    expect(Number(rows[0]?.[2])).toBeCloseTo(Number(test[3]?.[0]), 2);
    expect(Number(rows[3]?.[2])).toBeCloseTo(Number(test[17]?.[0]), 2);
  });

  test("blends the classes of a conditional model", async () => {
    await succeed(["interpolate", "classes", "--index", "0,1", "--split", "train", "--out", "c.npy"], cwd);
    expect((await readNpy(join(cwd, "c.npy"))).shape).toEqual([8, 1, 8, 8]);
    const files = [join("shades", "dark", "0.png"), join("shades", "dark", "1.png")];
    expect(await refused(["interpolate", "classes", ...files], cwd)).toMatch(/conditional/);
    await succeed(["interpolate", "classes", ...files, "--label", "0", "--out", "c.png"], cwd);
  });

  test("leads from the first row of a table file to the second", async () => {
    await succeed(["encode", "table", "--out", "test.npy"], cwd);
    await succeed(["decode", "table", "test.npy", "--out", "test.csv"], cwd);
    const [header = "", first = "", second = ""] = (await readFile(join(cwd, "test.csv"), "utf8")).split(
      "\n",
    );
    await writeFile(join(cwd, "ends.csv"), `${[header, first, second].join("\n")}\n`);
    await succeed(["interpolate", "table", "ends.csv", "--steps", "3", "--out", "way.csv"], cwd);
    const way = (await readFile(join(cwd, "way.csv"), "utf8")).trim().split("\n");
    expect(way).toHaveLength(4);
    expect(way[1]?.split(",").slice(2).map(Number)).toEqual(
      first.split(",").map((cell) => expect.closeTo(Number(cell), 3)),
    );
  });

  test("refuses what makes no pair", async () => {
    expect(await refused(["interpolate", "images", "--index", "3"], cwd)).toMatch(
      /1 samples do not make pairs/,
    );
    expect(await refused(["interpolate", "images", "--index", "0,400"], cwd)).toMatch(
      /there is no sample 400/,
    );
    expect(await refused(["interpolate", "images"], cwd)).toMatch(/name two images/);
    expect(await refused(["interpolate", "table", "a.png", "b.png"], cwd)).toMatch(
      /a\.png is no table.*--index/,
    );
  });
});

describe("pathsBetween", () => {
  const ends = float32([3, 0, 0, 3, 1, 1, 2, 4], [4, 2]);

  test("goes straight, or along the arc", () => {
    const straight = pathsBetween(ends, 3, "linear");
    expect([...straight.data]).toEqual([3, 0, 1.5, 1.5, 0, 3, 1, 1, 1.5, 2.5, 2, 4]);
    const { data } = pathsBetween(ends, 3, "spherical");
    expect(data[2]).toBeCloseTo(3 / Math.SQRT2, 6);
    expect(data[3]).toBeCloseTo(3 / Math.SQRT2, 6);
    // Of the second arc the norm grows evenly, and so does the angle.
    const middle = Math.hypot(data[8] ?? 0, data[9] ?? 0);
    expect(middle).toBeCloseTo((Math.hypot(1, 1) + Math.hypot(2, 4)) / 2, 6);
    const angle = Math.atan2(data[9] ?? 0, data[8] ?? 0);
    expect(angle).toBeCloseTo((Math.atan2(1, 1) + Math.atan2(4, 2)) / 2, 6);
  });

  test("joins vectors that span no arc straight", () => {
    const opposite = pathsBetween(float32([1, 0, -1, 0, 0, 0, 2, 2], [4, 2]), 3, "spherical");
    expect([...opposite.data]).toEqual([1, 0, 0, 0, -1, 0, 0, 0, 1, 1, 2, 2]);
  });
});
