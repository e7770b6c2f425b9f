import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, writeSafetensors } from "../../src/nn/safetensors.ts";
import { Random } from "../../src/random.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";
import { temporaryFolder } from "../support.ts";
import { refused, succeed } from "./support.ts";

// Data that features cannot be had of, or that say nothing: one line each, from the command.

let cwd = "";
const SMALL = ["--batch-size", "8", "--steps", "2", "--threads", "1", "--report", "none", "--quiet"];
const TINY = ["--channels", "2", "--hidden", "4", "--code-size", "3"];

async function picture(path: string, shade: (i: number) => number): Promise<void> {
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => shade(i));
  await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
    .png()
    .toFile(path);
}

const csv = (head: string, rows: readonly (readonly (string | number)[])[]): string =>
  `${head}\n${rows.map((row) => row.join()).join("\n")}\n`;

beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(2);
  for (const name of ["dark", "light"]) await mkdir(join(cwd, "shades", name), { recursive: true });
  for (let i = 0; i < 40; i++) {
    await picture(
      join(cwd, "shades", i % 2 === 0 ? "dark" : "light", `${i}.png`),
      () => 30 + 150 * (i % 2) + random.integer(60),
    );
  }
  await mkdir(join(cwd, "three"));
  for (let i = 0; i < 3; i++) await picture(join(cwd, "three", `${i}.png`), () => random.integer(256));
  await mkdir(join(cwd, "one", "only"), { recursive: true });
  await mkdir(join(cwd, "none"));
  for (let i = 0; i < 30; i++) await picture(join(cwd, "one", "only", `${i}.png`), () => random.integer(256));
  const rows = Array.from({ length: 60 }, () => [random.normal(), random.normal(), 3, "red"] as const);
  await writeFile(join(cwd, "rows.csv"), csv("a,b,flat,color", rows));
  await writeFile(
    join(cwd, "infinite.csv"),
    csv(
      "a,b,flat,color",
      rows.map((row, i) => (i === 7 ? [row[0], "inf", 3, "red"] : row)),
    ),
  );
  await succeed(["fit", "autoencoder", "shades", ...TINY, ...SMALL, "--out", "images"], cwd);
  await succeed(
    ["fit", "autoencoder", "rows.csv", "--columns", "a,b", ...TINY, ...SMALL, "--out", "table"],
    cwd,
  );
  // A run that has diverged, and one whose codes are all 0.
  for (const [name, value] of [
    ["diverged", Number.NaN],
    ["collapsed", 0],
  ] as const) {
    await cp(join(cwd, "images"), join(cwd, name), { recursive: true });
    const { file } = await new RunFolder(join(cwd, name)).readWeightsFile();
    const { tensors, metadata } = readSafetensors(await readFile(file), file);
    for (const [tensor, { data }] of tensors)
      if (tensor.startsWith("encoder.code.")) data.fill(value as never);
    await writeFile(file, writeSafetensors(tensors, metadata));
  }
});

const INFORMATION = ["--steps", "20", "--hidden", "4", "--seeds", "0"];

describe("one line each", () => {
  test.each([
    // Values that are not finite, in data and in features.
    [["embed", "table", "infinite.csv", "--out", "e.npy"], /infinite\.csv.*row 8.*"?b"?|column "?b"?.*inf/i],
    [
      ["embed", "diverged", "shades", "--out", "e.npy"],
      /sample 0 has the feature NaN in layer code; the model has diverged/,
    ],
    [["neighbours", "diverged", "three/0.png", "--among", "three"], /has the feature NaN in layer code/],
    [["probe", "diverged"], /has the feature NaN in layer code/],
    [["mutual-information", "infinite.csv", "--x", "a", "--y", "b", ...INFORMATION], /b/],
    // Features that are the same for all samples.
    [
      ["neighbours", "collapsed", "three/0.png", "--among", "three"],
      /three\/0\.png: all its features are 0, which have no angle; choose --distance euclidean/,
    ],
    [
      ["probe", "collapsed", "--neighbors", "3"],
      /probe: all 3 columns are the same in all \d+ rows; they say nothing of a sample/,
    ],
    [
      ["mutual-information", "rows.csv", "--x", "a", "--y", "flat", ...INFORMATION],
      /column "flat" is the same in all rows/,
    ],
    // One class.
    [["probe", "images", "one"], /one: all samples are of the class only; a probe tells classes apart/],
    [
      [
        "mutual-information",
        "rows.csv",
        "--x",
        "a",
        "--y",
        "color",
        "--categorical",
        "color",
        ...INFORMATION,
      ],
      /column "color" is the same in all rows/,
    ],
    // Fewer samples than are asked for, and none.
    [
      ["probe", "images", "--neighbors", "500"],
      /option neighbors: 500, and there are \d+ training rows; ask for fewer/,
    ],
    [
      ["mutual-information", "rows.csv", "--x", "a", "--y", "b", "--estimator", "ksg", "--neighbors", "60"],
      /60/,
    ],
    [["embed", "images", "none", "--out", "e.npy"], /none: no images in this folder/],
    [["neighbours", "images", "three/0.png", "--among", "none"], /none/],
    [["neighbours", "images", "--among", "none", "--duplicates"], /none/],
  ] as const)("%j", async (args, message) => {
    expect(await refused(args, cwd)).toMatch(message);
  });

  test("fewer images than neighbors are all of them, and it is said", async () => {
    const { stdout } = await succeed(["neighbours", "images", "three/0.png", "--among", "three"], cwd);
    expect(stdout).toMatch(
      /^three: has 2 images beside the one that is looked for, fewer than the 8 neighbors that were asked for$/m,
    );
  });
});
