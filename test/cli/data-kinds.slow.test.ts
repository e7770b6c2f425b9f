import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;

const SMALL_IMAGES = [
  ...["--size", "8", "--colour", "grey", "--batch-size", "8", "--channels", "8", "--multipliers", "1"],
  ...["--no-middle-attention", "--sample-pictures", "0", "--report", "none", "--steps", "6"],
];

beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(1);
  const rows = Array.from({ length: 300 }, (_, i) => {
    const kind = random.integer(3);
    return [
      100 + 20 * random.normal(),
      kind + 0.1 * random.normal(),
      "abc"[kind],
      i % 2 === 0 ? "yes" : "no",
    ];
  });
  const table = rows.map((row) => row.join()).join("\n");
  await writeFile(join(cwd, "wares.csv"), `weight,length,kind,sold\n${table}\n`);
  for (const [name, shade] of [
    ["dark", 40],
    ["light", 200],
  ] as const) {
    await mkdir(join(cwd, "shades", name), { recursive: true });
    for (let i = 0; i < 20; i++) {
      const bytes = Uint8Array.from({ length: 12 * 10 }, () => shade + random.integer(40));
      const image = sharp(bytes, { raw: { width: 12, height: 10, channels: 1 } });
      await image.png().toFile(join(cwd, "shades", name, `${i}.png`));
    }
  }
  await writeFile(join(cwd, "shades", "dark", "broken.png"), "no image at all");
  await Promise.all([
    succeed(
      [
        ...["fit", "nice", "wares.csv", "--categorical", "kind", "--label", "sold", "--steps", "20"],
        ...[
          "--width",
          "16",
          "--batch-size",
          "32",
          "--sample-pictures",
          "0",
          "--report",
          "none",
          "--out",
          "wares",
        ],
      ],
      cwd,
    ),
    succeed(["fit", "rectified-flow", "shades", ...SMALL_IMAGES, "--out", "flow"], cwd).then(({ stderr }) => {
      expect(stderr).toMatch(/left out 1 unreadable: dark\/broken\.png/);
    }),
    succeed(
      [
        ...["fit", "nice", "shades", "--size", "8", "--colour", "grey", "--width", "16", "--batch-size", "8"],
        ...["--steps", "6", "--sample-pictures", "0", "--report", "none", "--out", "nice"],
      ],
      cwd,
    ),
  ]);
});

describe("a table", () => {
  test("is described column by column, in its own units", async () => {
    const args = ["data", "wares.csv", "--categorical", "kind", "--label", "sold"];
    const { stdout } = await succeed(args, cwd);
    expect(stdout).toMatch(/300 rows, 3 columns/);
    expect(stdout).toMatch(/^weight +real +\d+\.?\d* … 1\d\d\.?\d* +\d+ +[▁▂▃▄▅▆▇█]{8} +a number/m);
    expect(stdout).toMatch(
      /^kind +category +[abc] \(\d+\), [abc] \(\d+\), [abc] \(\d+\) +3 +[▁▂▃▄▅▆▇█]{3} +one of 3; declared as categorical$/m,
    );
    expect(stdout).toMatch(/^class: (yes|no) \(1\d\d\), (yes|no) \(\d+\)$/m);
    const { splits, summary } = JSON.parse((await succeed([...args, "--json"], cwd)).stdout);
    expect(splits).toEqual({ train: 240, validation: 30, test: 30 });
    const counts = summary.categories.map(({ counts }: { counts: { count: number }[] }) =>
      counts.reduce((sum, { count }) => sum + count, 0),
    );
    expect(counts).toEqual([240, 240]);
  });

  test("samples come back in its units and categories, scores in nats of its units", async () => {
    await succeed(["sample", "wares", "--count", "40", "--out", "new.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "new.csv"));
    expect(names).toEqual(["weight", "length", "kind"]);
    expect(rows.length).toBe(40);
    expect(rows.every(([, , kind]) => "abc".includes(kind ?? "?"))).toBe(true);
    const weights = rows.map(([weight]) => Number(weight));
    expect(weights.reduce((sum, weight) => sum + weight, 0) / 40).toBeGreaterThan(60);
    // Every row of a file that is named, also where it is the one that was fitted on.
    const { stdout } = await succeed(["score", "wares", "wares.csv", "--json"], cwd);
    expect(JSON.parse(stdout)).toMatchObject({ count: 300, data: "wares.csv" });
    expect(await refused(["score", "wares", "shades"], cwd)).toMatch(/shades is a folder; .* table data/);
  });

  test("a query is data as well", async () => {
    const sql = "select weight, length from 'wares.csv' where kind = 'a'";
    await succeed(
      ["fit", "nice", "--sql", sql, "--steps", "2", "--width", "16", "--report", "none", "--out", "query"],
      cwd,
    );
    expect(JSON.parse(await readFile(join(cwd, "query", "config.json"), "utf8"))).toMatchObject({
      data: sql,
      dataInfo: { kind: "table", sampleShape: [2] },
    });
  });
});

describe("a folder of images", () => {
  test("is described, the unreadable named", async () => {
    const { stdout } = await succeed(["data", "shades", "--size", "8"], cwd);
    expect(stdout).toMatch(/40 images, 8 × 8, grey, 2 classes/);
    expect(stdout).toMatch(/left out 1 unreadable: dark\/broken\.png/);
    expect(stdout).toMatch(/^class: (dark|light) \(\d+\), (dark|light) \(\d+\)$/m);
  });

  test("samples are pictures or bytes; classes are asked for by number", async () => {
    await succeed(["sample", "flow", "--count", "3", "--steps", "2", "--label", "1", "--out", "a.npy"], cwd);
    const { shape, data } = await readNpy(join(cwd, "a.npy"));
    expect(shape).toEqual([3, 1, 8, 8]);
    expect(
      [...(data as Float32Array)].every((value) => Number.isInteger(value) && value >= 0 && value <= 255),
    ).toBe(true);
    await succeed(["sample", "flow", "--count", "5", "--steps", "2", "--out", "a.png"], cwd);
    expect((await sharp(join(cwd, "a.png")).metadata()).format).toBe("png");
    expect(await refused(["sample", "flow", "--label", "2"], cwd)).toMatch(/label.*0 to 1, not 2/);
    expect(await refused(["sample", "flow", "--out", "a.csv"], cwd)).toMatch(/written as \.png or \.npy/);
  });

  test("scores every image by its file, in nats and bits per dimension", async () => {
    const { stderr } = await succeed(["score", "nice", "shades", "--out", "images.csv"], cwd);
    expect(stderr).toMatch(/shades: 40 images, mean log-likelihood .* bits per dimension/);
    expect(stderr).toMatch(/left out 1 unreadable: dark\/broken\.png/);
    expect(stderr).toMatch(
      /^40 of 40 images read are not 8 × 8, as the run takes them \((dark|light)\/\d+\.png is 12 × 10, …\): the central square is cut out and resized$/m,
    );
    const { names, rows } = await readCsv(join(cwd, "images.csv"));
    expect(names).toEqual(["file", "logLikelihood", "bitsPerDimension"]);
    expect(rows.length).toBe(40);
    expect(rows.map(([file]) => file)).toContain(join("light", "19.png"));
    for (const [, nats, bits] of rows) {
      expect(Number(bits)).toBeCloseTo(-Number(nats) / (64 * Math.LN2), 6);
    }
  });

  test("that are unlike those of the run are told once, with count and example, by every command", async () => {
    await mkdir(join(cwd, "mixed"));
    const write = (name: string, channels: 1 | 3, depth: 8 | 16 = 8) => {
      const data = Array.from({ length: 64 * channels }, (_, i) => (depth === 8 ? (i * 37) % 256 : 40 * i));
      const pixels = depth === 8 ? Uint8Array.from(data) : Uint16Array.from(data);
      const file = encode({ width: 8, height: 8, channels, depth, data: pixels });
      return writeFile(join(cwd, "mixed", name), file);
    };
    await Promise.all([write("a.png", 1), write("b.png", 3), write("c.png", 3), write("d.png", 1, 16)]);
    const colored =
      /^2 of 4 images read are colored \(b\.png, …\), and taken as grey, as the run's images are$/gm;
    const dark =
      /^1 image of 16 bits \(d\.png\) has no value from 4096 on, and is dark: the run was not fitted with --bits 12$/gm;
    for (const command of [
      ["score", "nice", "mixed"],
      ["score", "nice", "mixed", "--anomaly"],
      ["encode", "nice", "mixed", "--out", "mixed.npy"],
    ]) {
      const { stderr } = await succeed(command, cwd);
      expect([stderr.match(colored)?.length, stderr.match(dark)?.length], command.join(" ")).toEqual([1, 1]);
      expect(stderr).not.toMatch(/resized/);
    }
    const { stdout, stderr } = await succeed(["score", "nice", "mixed", "--json"], cwd);
    expect(JSON.parse(stdout).count).toBe(4);
    expect(stderr).toMatch(/2 of 4 images read are colored/);
    const alike = await succeed(["score", "nice", "--split", "test"], cwd);
    expect(alike.stderr).not.toMatch(/images read/);
  });
});
