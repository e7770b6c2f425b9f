import { existsSync } from "node:fs";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";
import { beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../src/data/files/arrays.node.ts";
import { resizedImages, withChannels } from "../../src/data/image/resize.ts";
import { Random } from "../../src/random.ts";
import { pngSize } from "../../src/report/raster/raster.ts";
import { openRun } from "../../src/tasks/open-run.node.ts";
import { oddities } from "../../src/tasks/use/neighbors.node.ts";
import { float32 } from "../../src/tensor/array.ts";
import { largestDifference, present, temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;
const SMALL = [
  "--batch-size",
  "16",
  "--steps",
  "60",
  "--sample-pictures",
  "0",
  "--report",
  "none",
  "--quiet",
];

beforeAll(async () => {
  cwd = await temporaryFolder();
  const random = new Random(2);
  for (const [name, shade] of [
    ["dark", 30],
    ["light", 180],
  ] as const) {
    await mkdir(join(cwd, "shades", name), { recursive: true });
    for (let i = 0; i < 30; i++) {
      const bytes = Uint8Array.from({ length: 64 }, () => shade + random.integer(60));
      await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
        .png()
        .toFile(join(cwd, "shades", name, `${i}.png`));
    }
  }
  // The same picture twice, below another name.
  await cp(join(cwd, "shades", "dark", "3.png"), join(cwd, "shades", "light", "copy.png"));
  const rows = Array.from({ length: 400 }, () => {
    const a = random.normal();
    return [a, a + 0.1 * random.normal(), random.normal()];
  });
  await writeFile(join(cwd, "wares.csv"), `a,b,c\n${rows.map((row) => row.join()).join("\n")}\n`);
  const odd = [...rows.slice(0, 60).map((row) => [...row, 0]), ...rows.slice(0, 6).map(() => [9, -9, 9, 1])];
  await writeFile(join(cwd, "odd.csv"), `a,b,c,anomaly\n${odd.map((row) => row.join()).join("\n")}\n`);
  await succeed(["fit", "vae", "shades", "--size", "8", "--color", "grey", ...SMALL, "--out", "images"], cwd);
  await succeed(["fit", "vae", "wares.csv", ...SMALL, "--out", "table"], cwd);
});

describe("eidos embed", () => {
  test("writes the same features as .npy, .csv and .parquet, with names of rows", async () => {
    const { stdout } = await succeed(["embed", "images", "shades", "--out", "f.npy"], cwd);
    expect(stdout).toMatch(/^61 rows of code \[\d+\]: f\.npy, names of rows: f\.rows\.csv\n$/);
    const { data, shape } = await readNpy(join(cwd, "f.npy"));
    const width = present(shape[1]);
    expect(shape[0]).toBe(61);
    const names = await readCsv(join(cwd, "f.rows.csv"));
    expect([names.names, names.rows.length, names.rows[4]?.[0]]).toEqual([["file"], 61, "dark/12.png"]);
    await succeed(["embed", "images", "shades", "--out", "f.csv"], cwd);
    const table = await readCsv(join(cwd, "f.csv"));
    expect(table.names.slice(0, 2)).toEqual(["file", "f0"]);
    expect(
      largestDifference(
        table.rows.flatMap((row) => row.slice(1).map(Number)),
        Array.from(data, Number),
      ),
    ).toBe(0);
    await succeed(["embed", "images", "--split", "train", "--out", "own.parquet", "--json"], cwd);
    expect(existsSync(join(cwd, "own.parquet"))).toBe(true);
    // What a plain session computes with the exported graph is the same.
    await succeed(["export", "images", "--raw-tensor", "--layer", "code", "--out", "code.onnx"], cwd);
    await using run = await openRun(join(cwd, "images"));
    const { x } = (await run.data()).splits.train.batch([0, 1, 2]);
    const session = await InferenceSession.create(join(cwd, "code.onnx"));
    const { code } = await session.run({ x: new Tensor("float32", x.data as Float32Array, x.shape) });
    const own = await run.featuresOf(x);
    expect(own.shape).toEqual([3, width]);
    expect(largestDifference(present(code).data as Float32Array, own.data)).toBeLessThan(1e-4);
  });

  test("goes on where it was stopped, to the same bytes", async () => {
    await using run = await openRun(join(cwd, "table"));
    const [whole, parts] = [join(cwd, "whole.npy"), join(cwd, "parts.npy")];
    const table = join(cwd, "wares.csv");
    await run.embedInto(whole, table);
    const controller = new AbortController();
    const stopped = await run.embedInto(parts, table, {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    expect(stopped).toMatchObject({ rows: 256, finished: false });
    expect(existsSync(parts)).toBe(false);
    // Another layer, split or data is another file.
    await expect(run.embedInto(parts, undefined)).rejects.toThrow(/holds rows of another run, layer or data/);
    expect(await run.embedInto(parts, table)).toMatchObject({ rows: 400, resumed: 256, finished: true });
    expect(existsSync(`${parts}.partial`)).toBe(false);
    expect((await readNpy(parts)).data).toEqual((await readNpy(whole)).data);
  });

  test("refuses what it cannot do in one line", async () => {
    expect(await refused(["embed", "images", "wares.csv"], cwd)).toMatch(
      /is a table; the run was fitted on image data/,
    );
    expect(await refused(["embed", "images", "--layer", "deep"], cwd)).toMatch(
      /no layer deep; there are code \[/,
    );
    expect(await refused(["embed", "images", "--pool", "mean"], cwd)).toMatch(
      /code is a vector .* no locations/,
    );
    expect(await refused(["embed", "images", "--out", "f.txt"], cwd)).toMatch(
      /must end in \.parquet, \.npy, \.csv/,
    );
    await succeed(
      ["fit", "nice", "wares.csv", "--width", "8", ...SMALL, "--steps", "2", "--out", "nice"],
      cwd,
    );
    expect(await refused(["embed", "nice", "--out", "n.npy"], cwd)).toMatch(
      /nice cannot embed; it can fit, sample/,
    );
  });
});

describe("eidos probe", () => {
  test("tells classes apart, beside raw samples, PCA and the same network without training", async () => {
    const options = ["--labels", "4", "--draws", "3", "--neighbors", "3", "--steps", "40", "--hidden", "8"];
    const { stdout } = await succeed(["probe", "images", ...options, "--beside", "images"], cwd);
    expect(stdout).toMatch(/2 classes: learnt from \d+, chosen on \d+, measured on \d+ samples/);
    expect(stdout).toMatch(/features +numbers +linear +mlp +3 nearest +4 labels/);
    const printed = await succeed(["probe", "images", ...options, "--json"], cwd);
    const { rows } = JSON.parse(printed.stdout) as {
      rows: { name: string; linear: { accuracy: number } }[];
    };
    expect(rows.map(({ name }) => name)).toEqual(["vae", "untrained, same network", "PCA-64", "raw samples"]);
    expect(present(rows.at(-1)).linear.accuracy).toBeGreaterThan(0.8);
    expect(await refused(["probe", "table"], cwd)).toMatch(/has no classes, which a probe finds/);
    expect(await refused(["probe", "images", "--neighbors", "500"], cwd)).toMatch(/option neighbors: 500/);
  });

  test("estimates how much features tell of samples, and says where an estimator has no number", async () => {
    const options = ["--labels", "4", "--draws", "1", "--steps", "5", "--hidden", "4", "--references", "pca"];
    const rowsBy = async (estimator: string) => {
      const { stdout } = await succeed(
        ["probe", "images", ...options, "--information", estimator, "--json"],
        cwd,
      );
      return JSON.parse(stdout) as {
        rows: { information?: { estimator: string; nats: number } }[];
        notes: string[];
      };
    };
    const nearest = await rowsBy("ksg");
    expect(nearest.rows.map(({ information }) => information?.estimator)).toEqual(["ksg", "ksg"]);
    expect(nearest.rows.every(({ information }) => present(information).nats > 0)).toBe(true);
    const linear = await rowsBy("gaussian");
    expect(linear.rows.map(({ information }) => information)).toEqual([undefined, undefined]);
    expect(linear.notes.filter((note) => /: no mutual information: gaussian/.test(note))).toHaveLength(2);
  });
});

describe("eidos neighbours", () => {
  test("finds the nearest images of a folder, and draws them", async () => {
    const query = join("shades", "dark", "3.png");
    const args = ["neighbours", "images", query, "--among", "shades", "--count", "4"];
    const { stdout } = await succeed([...args, "--out", "near.png"], cwd);
    // The image itself is none of them; its copy is the nearest.
    expect(stdout).toMatch(/^shades\/dark\/3\.png +1 +light\/copy\.png +0$/m);
    expect(stdout).not.toMatch(/ dark\/3\.png/);
    expect(present(pngSize(await readFile(join(cwd, "near.png")))).width).toBeGreaterThan(5 * 56);
    await succeed([...args, "--distance", "euclidean", "--out", "near.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "near.csv"));
    expect(names).toEqual(["query", "rank", "file", "distance"]);
    const far = rows.map((row) => Number(row[3]));
    expect(far).toEqual([...far].sort((a, b) => a - b));
  });

  test("finds images that are nearly the same", async () => {
    const args = ["neighbours", "images", "--among", "shades", "--duplicates"];
    const { stdout } = await succeed([...args, "--distance", "euclidean", "--json"], cwd);
    const found = JSON.parse(stdout) as { groups: string[][]; images: number; threshold: number };
    expect(found).toMatchObject({ images: 61, threshold: 0, groups: [["dark/3.png", "light/copy.png"]] });
    expect((await succeed([...args, "--threshold", "1e-6"], cwd)).stdout).toMatch(
      /1 pair within the threshold 0.000001/,
    );
  });

  test("refuses what it cannot do", async () => {
    expect(await refused(["neighbours", "images", "a.png"], cwd)).toMatch(/option among: name the folder/);
    expect(await refused(["neighbours", "images", "--among", "shades"], cwd)).toMatch(/name images/);
    expect(await refused(["neighbours", "table", "shades", "--among", "shades"], cwd)).toMatch(
      /fitted on table data/,
    );
    expect(await refused(["neighbours", "images", "shades", "--among", "none"], cwd)).toMatch(
      /none is no folder/,
    );
  });
});

describe("features elsewhere", () => {
  test("rank anomalies by distance", async () => {
    const args = ["score", "table", "odd.csv", "--anomaly", "--by", "features"];
    const { stdout } = await succeed([...args, "--neighbors", "3", "--json"], cwd);
    const { measures } = JSON.parse(stdout) as { measures: { areaUnderRoc: number } };
    expect(measures.areaUnderRoc).toBeGreaterThan(0.9);
    expect(await refused(["score", "table", "--by", "features"], cwd)).toMatch(/add --anomaly/);
    // By hand: of columns of deviation 1, the mean distance to the two nearest of −1, 1, −1, 1.
    const training = float32([-1, 1, -1, 1], [4, 1]);
    expect(oddities(float32([3], [1, 1]), training, 2)[0]).toBeCloseTo(2, 12);
    expect(oddities(float32([3], [1, 1]), training, 4)[0]).toBeCloseTo(3, 12);
    expect(() => oddities(training, training, 5)).toThrow(/5 neighbors are asked for, and there are 4/);
  });

  test("of a folder of images is evaluated by its subfolders", async () => {
    const folders = ["check/good", "check/broken"] as const;
    for (const [k, folder] of folders.entries()) {
      await mkdir(join(cwd, folder), { recursive: true });
      for (let i = 0; i < 6; i++) {
        if (k === 0) await cp(join(cwd, "shades", "dark", `${i}.png`), join(cwd, folder, `${i}.png`));
        else {
          const bytes = Uint8Array.from({ length: 64 }, (_, at) => ((at + i) % 3 === 0 ? 255 : 0));
          await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
            .png()
            .toFile(join(cwd, folder, `${i}.png`));
        }
      }
    }
    const args = ["score", "images", "check", "--anomaly", "--by", "features"];
    const { stdout } = await succeed([...args, "--normal", "good", "--out", "odd-images.csv", "--json"], cwd);
    const { measures } = JSON.parse(stdout);
    expect(measures.anomalies).toBe(6);
    // The area is the share of pairs in which the anomaly stands in front; none are equal.
    const { rows } = await readCsv(join(cwd, "odd-images.csv"));
    const order = rows.map(([file = ""]) => file.startsWith("broken/"));
    const won = order.reduce((sum, isBroken, at) => {
      return isBroken ? sum + order.slice(at + 1).filter((other) => !other).length : sum;
    }, 0);
    expect(measures.areaUnderRoc).toBeCloseTo(won / 36, 6);
    expect((await succeed([...args, "--normal", "good"], cwd)).stdout).toMatch(
      /of which 6 are anomalies by subfolders other than good; area under the ROC curve/,
    );
    expect(await refused([...args, "--normal", "fine"], cwd)).toMatch(
      /no image is in a subfolder fine \(there are broken, good\)/,
    );
    expect(await refused(["score", "images", "check", "--normal", "good"], cwd)).toMatch(/add --anomaly/);
  });

  test("compare images in the codes of a run", async () => {
    const { stdout } = await succeed(
      ["eval", "images", "--features", "images", "--split", "train", "--json"],
      cwd,
    );
    const { distances } = JSON.parse(stdout) as {
      distances: { measure: string; value: number; note?: string }[];
    };
    const frechet = present(distances.find(({ measure }) => measure === "frechet"));
    expect(frechet.note).toMatch(/in features of vae/);
    expect(frechet.value).toBeGreaterThan(0);
    expect(await refused(["eval", "table", "--features", "images"], cwd)).toMatch(
      /option features: .* table data/,
    );
  });

  test("bring images to another size as PyTorch does", () => {
    // torch.nn.functional.interpolate(x, size=(3, 4), mode="bilinear", align_corners=False)
    const x = float32([0, 4, 8, 12], [1, 1, 2, 2]);
    expect([...resizedImages(x, 3, 4).data]).toEqual([0, 1, 3, 4, 4, 5, 7, 8, 8, 9, 11, 12]);
    expect(withChannels(x, 3).data).toEqual(Float32Array.of(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12));
    expect(() => withChannels(float32(new Array(8).fill(0), [1, 2, 2, 2]), 3)).toThrow(/2 channels, where 3/);
  });
});

describe("networks for ImageNet", () => {
  const weights = join(import.meta.dirname, "../../../shared/weights/efficientnet-lite0.pth");
  test.skipIf(!existsSync(weights))(
    "are imported for their features, and are the backbone of a detector",
    async () => {
      await mkdir(join(cwd, "colors", "a"), { recursive: true });
      for (let i = 0; i < 3; i++) {
        const bytes = Uint8Array.from({ length: 3 * 64 * 64 }, (_, k) => (k * (i + 3)) % 256);
        await sharp(bytes, { raw: { width: 64, height: 64, channels: 3 } })
          .png()
          .toFile(join(cwd, "colors", "a", `${i}.png`));
      }
      const made = await succeed(
        ["import", weights, "--as", "efficientnet-lite0", "--size", "64", "--out", "lite0"],
        cwd,
      );
      expect(made.stdout).toMatch(/^lite0: classifier, for features, \d+ tensors/);
      await succeed(["embed", "lite0", "colors", "--out", "lite0.npy"], cwd);
      expect((await readNpy(join(cwd, "lite0.npy"))).shape).toEqual([3, 320]);
      await succeed(["embed", "lite0", "colors", "--layer", "stride8", "--out", "maps.npy"], cwd);
      expect((await readNpy(join(cwd, "maps.npy"))).shape).toEqual([3, 40, 8, 8]);
      expect(await refused(["probe", "lite0"], cwd)).toMatch(/was imported .* has no data of its own/);
      expect(await refused(["import", weights, "--as", "resnet18", "--out", "wrong"], cwd)).toMatch(
        /efficientnet-lite0/,
      );
      expect(existsSync(join(cwd, "wrong"))).toBe(false);
    },
  );
});
