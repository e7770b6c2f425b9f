import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../../src/data/files/arrays.node.ts";
import { range } from "../../../src/data/sources/data-set.ts";
import { withDuckDb } from "../../../src/data/table/database.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { initialState } from "../../../src/nn/module.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { summarizeData } from "../../../src/tasks/measure/data.node.ts";
import { evaluateRun } from "../../../src/tasks/measure/eval.node.ts";
import { makeFigures } from "../../../src/tasks/report/figures.node.ts";
import { modelInfo } from "../../../src/tasks/run/definition.node.ts";
import { readSource } from "../../../src/tasks/run/inputs.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { chosenSamples, forModel, samplesOfSplit } from "../../../src/tasks/run/samples.node.ts";
import { decodeCodes, encodeSamples } from "../../../src/tasks/use/codes.node.ts";
import { imputeTable } from "../../../src/tasks/use/impute.node.ts";
import { inpaintRun, knownMask, writeInpainting } from "../../../src/tasks/use/inpaint.node.ts";
import { interpolateRun, writeInterpolation } from "../../../src/tasks/use/interpolate.node.ts";
import { checkSamplePath, sampleRun, writeSamples } from "../../../src/tasks/use/sample.node.ts";
import { score } from "../../../src/tasks/use/score.node.ts";
import { probability } from "./bernoulli.ts";

const model = fileURLToPath(new URL("bernoulli.ts", import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-catalog-binary-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, text);
  return path;
}

/** A run of independent zeros and ones as it begins, by way of its folder. */
async function runOn(
  data: string,
  options: Readonly<Record<string, unknown>>,
  name: string,
): Promise<LoadedRun> {
  const request = { model, data, ...options, out: join(folder, name) };
  const { fit } = await prepareFit({ kind: "new", request });
  await fit.folder.writeWeights("last", initialState(fit.model, 0), 7);
  await fit.folder.unlock();
  return loadRun(fit.folder.path, { trust: true });
}

const logLikelihood = (bits: readonly number[]): number =>
  bits.reduce((sum, bit, i) => {
    const p = probability(i, bits.length);
    return sum + Math.log(bit === 1 ? p : 1 - p);
  }, 0);

async function csv(path: string): Promise<readonly (readonly string[])[]> {
  return (await readFile(path, "utf8"))
    .trim()
    .split("\n")
    .map((line) => line.split(","));
}

async function parquet(
  path: string,
): Promise<{ readonly types: readonly string[]; readonly rows: unknown[][] }> {
  return withDuckDb(async (connection) => {
    const types = (await connection.runAndReadAll(`describe select * from '${path}'`)).getRows();
    const rows = (await connection.runAndReadAll(`select * from '${path}'`)).getRows();
    return { types: types.map(([, type]) => String(type)), rows };
  });
}

describe("vectors of zeros and ones", () => {
  let run: LoadedRun;
  beforeAll(async () => {
    const rows = Array.from({ length: 40 }, (_, i) => `${i & 1},${(i >> 1) & 1},${(i >> 2) & 1}`);
    const path = await file("data.csv", `a,b,c\n${rows.join("\n")}\n`);
    run = await runOn(path, {}, "vectors");
  });
  afterAll(() => run.session.release());

  test("a model of nothing else reads them as such, and its run remembers", async () => {
    const { dataOptions, dataInfo } = run.config;
    expect(dataOptions).toEqual({ binary: true });
    expect(dataInfo).toMatchObject({ kind: "binary", sampleShape: [3], trainCount: 32 });
    expect(modelInfo(dataInfo).columns).toEqual(["a", "b", "c"].map((name) => ({ name, size: 1 })));
    expect((await run.data()).kind).toBe("binary");
    await expect(runOn("two-moons", {}, "points")).rejects.toThrow(
      /points of the plane are not zeros and ones/,
    );
    await expect(runOn("select 2 as a from range(9)", {}, "twos")).rejects.toThrow(DataError);
  });

  test("samples are written with the names of the columns, as 0 and 1", async () => {
    const samples = await sampleRun(run, { count: 400, seed: 1 });
    const out = (name: string) => join(folder, name);
    await writeSamples(run, samples, out("s.csv"));
    const [head, ...rows] = await csv(out("s.csv"));
    expect(head).toEqual(["a", "b", "c"]);
    expect(rows.length).toBe(400);
    expect(rows.flat().every((cell) => cell === "0" || cell === "1")).toBe(true);
    const ones = rows.filter(([a]) => a === "1").length / 400;
    expect(Math.abs(ones - probability(0, 3))).toBeLessThan(0.1);
    await writeSamples(run, samples, out("s.parquet"));
    const table = await parquet(out("s.parquet"));
    expect(table.types).toEqual(["UTINYINT", "UTINYINT", "UTINYINT"]);
    expect(table.rows.flat()).toEqual([...samples.data]);
    await writeSamples(run, samples, out("s.npy"));
    expect((await readNpy(out("s.npy"))).data).toEqual(samples.data);
    await writeSamples(run, samples, out("s.png"));
    expect((await sharp(out("s.png")).metadata()).width).toBeGreaterThan(1000);
  });

  test("rows of a table, of a query and of a folder's test table are scored, each as its formula says", async () => {
    const path = await file("new.csv", "c,extra,a,b\n1,x,0,1\n0,y,1,true\n0.0,z,0,0\n");
    const expected = [
      [0, 1, 1],
      [1, 1, 0],
      [0, 0, 0],
    ].map(logLikelihood);
    const scoresOf = async (source: string) => {
      const values: number[] = [];
      for await (const batch of score(run, source)) values.push(...batch.logLikelihood);
      return values;
    };
    for (const source of [path, `select * from '${path}'`]) {
      const found = await scoresOf(source);
      expect(found.length).toBe(3);
      for (const [i, value] of found.entries()) expect(value).toBeCloseTo(expected[i] ?? 0, 5);
    }
    for (const name of ["train", "valid"]) await file(`splits/${name}.csv`, "a,b,c\n0,0,0\n");
    await file("splits/test.csv", "a,b,c\n0,1,1\n1,1,0\n");
    const tested = await scoresOf(join(folder, "splits"));
    expect(tested.map((value) => value.toFixed(4))).toEqual(
      expected.slice(0, 2).map((value) => value.toFixed(4)),
    );
  });

  test("a value that is neither is named while scoring", async () => {
    const bad = await file("bad.csv", `a,b,c\n${"0,1,1\n".repeat(3000)}0,3,1\n`);
    const drain = async (source: string) => {
      for await (const batch of score(run, source)) expect(batch.logLikelihood.length).toBeGreaterThan(0);
    };
    await expect(drain(bad)).rejects.toThrow(/bad\.csv: neither 0 nor 1 in column "b": row 3001 \("3"\)/);
    await expect(drain(await file("short.csv", "a,b\n0,1\n"))).rejects.toThrow(/there is no column "c"/);
    await expect(drain("digits")).rejects.toThrow(/digits is binary data of shape \[1,28,28\]/);
    await mkdir(join(folder, "nothing"), { recursive: true });
    await expect(drain(join(folder, "nothing"))).rejects.toThrow(/nothing is a folder/);
  });

  test("are evaluated in exact nats, without bits per dimension", async () => {
    const { results, split } = await evaluateRun(run, { split: "train" });
    const data = await run.data();
    const { x } = data.splits.train.batch(range(0, 32));
    const mean =
      Array.from({ length: 32 }, (_, i) => logLikelihood([...x.data.subarray(3 * i, 3 * i + 3)])).reduce(
        (sum, value) => sum + value,
        0,
      ) / 32;
    const found = results.find(({ name }) => name === "log-likelihood");
    expect(found).toMatchObject({ unit: "nats per sample", note: "exact", samples: 32 });
    expect(found?.value).toBeCloseTo(mean, 5);
    expect(split).toBe("train");
    expect(results.some(({ name }) => name === "bits per dimension")).toBe(false);
  });

  test("gaps are filled in with 0 and 1, and all else stays", async () => {
    const path = await file("holes.csv", 'a,note,b,c\n1,"x, y",0,1\n,,true,\nNaN,z,0,0\n');
    const impute = async (out: string) => {
      const { names, types, rows } = await imputeTable(run, path, { draws: 200, seed: 3 });
      await writeTable(out, names, rows, types);
    };
    await impute(join(folder, "filled.csv"));
    const [head, ...rows] = await csv(join(folder, "filled.csv"));
    expect(head).toEqual(["a", "note", "b", "c", "draw"]);
    expect(rows.length).toBe(600);
    expect(rows[199]?.join()).toBe('1,"x, y",0,1,199');
    const second = rows.slice(200, 400);
    expect(second.every(([, note, b]) => note === "" && b === "1")).toBe(true);
    const share = (column: number) => second.filter((cells) => cells[column] === "1").length / 200;
    expect(Math.abs(share(0) - probability(0, 3))).toBeLessThan(0.15);
    expect(Math.abs(share(3) - probability(2, 3))).toBeLessThan(0.15);
    await impute(join(folder, "filled.parquet"));
    const { types, rows: same } = await parquet(join(folder, "filled.parquet"));
    expect(types).toEqual(["UTINYINT", "VARCHAR", "UTINYINT", "UTINYINT", "INTEGER"]);
    expect(same[200]?.slice(0, 4).map((cell) => (cell === null ? "" : String(cell)))).toEqual(
      rows[200]?.slice(0, 4),
    );
    const bad = await file("bad-holes.csv", "a,b,c\n,0,1\n0,maybe,1\n");
    const { rows: filled } = await imputeTable(run, bad);
    await expect(filled.next()).rejects.toThrow(/neither 0 nor 1 in column "b": row 2 \("maybe"\)/);
  });

  test("decoded codes are probabilities of ones", async () => {
    const x = (await run.data()).splits.test.batch([0, 1, 2]).x;
    const codes = await encodeSamples(run, x);
    const decoded = await decodeCodes(run, codes);
    const [low, high] = [-2, 2].map((z) => 1 / (1 + Math.exp(-z)));
    for (const [i, value] of decoded.data.entries())
      expect(value).toBeCloseTo((x.data[i] ? high : low) ?? 0, 5);
    await writeSamples(run, decoded, join(folder, "decoded.csv"));
    const [, first] = await csv(join(folder, "decoded.csv"));
    expect(first?.map(Number)).toEqual([...decoded.data.subarray(0, 3)].map((p) => Number(p.toPrecision(7))));
    await writeSamples(run, decoded, join(folder, "decoded.png"));
  });

  test("are summed up by their shares of ones", async () => {
    const { numbers, bits } = summarizeData(await run.data());
    expect(numbers).toEqual([]);
    const { x } = (await run.data()).splits.train.batch(range(0, 32));
    const shares = [0, 1, 2].map((i) => x.data.filter((_, k) => k % 3 === i).reduce((a, b) => a + b, 0) / 32);
    expect(bits?.ones).toBeCloseTo(shares.reduce((a, b) => a + b, 0) / 3, 6);
    expect(bits?.perSample).toMatchObject({ minimum: 0, maximum: 3 });
    expect(bits?.columns.map(({ ones }) => ones)).toEqual([...shares].sort((a, b) => b - a));
  });
});

test("a model of images and zeros and ones reads images as bytes by default, and tables as zeros and ones", async () => {
  const both = fileURLToPath(new URL("bernoulli-or-image.ts", import.meta.url));
  const kindOf = async (data: string, options: object, name: string) => {
    const request = { model: both, data, ...options, out: join(folder, name) };
    const { config } = await prepareFit({ kind: "new", request });
    return [config.dataInfo.kind, config.dataOptions.binary];
  };
  expect(await kindOf("digits", {}, "bytes")).toEqual(["image", undefined]);
  expect(await kindOf("digits", { binary: true }, "bits")).toEqual(["binary", true]);
  const query = "select i % 2 as a from range(20) t(i)";
  expect(await kindOf(query, {}, "rows")).toEqual(["binary", true]);
  await expect(kindOf(query, { binary: false }, "plain")).rejects.toThrow(
    /takes image or binary data, not table/,
  );
});

describe("binary images", () => {
  let run: LoadedRun;
  beforeAll(async () => {
    for (let i = 0; i < 12; i++) {
      const pixels = Uint8Array.from({ length: 16 }, (_, k) => (16 * k + 11 * i) % 256);
      await mkdir(join(folder, "images"), { recursive: true });
      await sharp(pixels, { raw: { width: 4, height: 4, channels: 1 } })
        .png()
        .toFile(join(folder, "images", `${String(i).padStart(2, "0")}.png`));
    }
    run = await runOn(join(folder, "images"), { size: 4, binarize: "threshold" }, "pictures");
  });
  afterAll(() => run.session.release());

  test("are binarized by the protocol that is asked for, which the run records", async () => {
    expect(run.config).toMatchObject({
      dataOptions: { size: 4, binary: true, binarize: "threshold" },
      dataInfo: { kind: "binary", sampleShape: [1, 4, 4], binarization: { protocol: "threshold", seed: 0 } },
    });
    const { results } = await evaluateRun(run, { split: "train" });
    expect(results.find(({ name }) => name === "log-likelihood")).toMatchObject({
      unit: "nats per image",
      note: "exact: binarized by threshold: bytes from 128 on are ones",
    });
    expect(results.some(({ name }) => name === "bits per dimension")).toBe(false);
    const other = await runOn(join(folder, "images"), { size: 4, splitSeed: 5 }, "drawn");
    expect(other.config.dataOptions).toEqual({
      size: 4,
      color: "grey",
      splitSeed: 5,
      binary: true,
      binarize: "stochastic",
    });
    await other.session.release();
  });

  test("samples are black and white pictures, and zeros and ones in arrays", async () => {
    const samples = await sampleRun(run, { count: 6, seed: 0 });
    await writeSamples(run, samples, join(folder, "i.png"));
    const { data, info } = await sharp(join(folder, "i.png"))
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(new Set(data)).toEqual(new Set([0, 255]));
    // 3 × 2 images of 4 × 4 pixels, each drawn 8 × 8.
    expect([info.width, info.height]).toEqual([3 * 34 + 2, 2 * 34 + 2]);
    expect(data[(2 + 31) * info.width + 2 + 31]).toBe(255 * (samples.data[15] ?? 0));
    await writeSamples(run, samples, join(folder, "i.npy"));
    expect((await readNpy(join(folder, "i.npy"))).data).toEqual(samples.data);
    expect(() => checkSamplePath("i.csv", run.config.dataInfo)).toThrow(OptionError);
  });

  test("files are read as the run's images are: in order, as zeros and ones", async () => {
    const read: number[] = [];
    for await (const { x, files } of readSource(run, join(folder, "images"))) {
      expect(files?.length).toBe(12);
      read.push(...x.data);
    }
    const expected = Array.from({ length: 12 * 16 }, (_, at) => {
      const byte = (16 * (at % 16) + 11 * Math.floor(at / 16)) % 256;
      return Number(byte >= 128);
    });
    expect(read).toEqual(expected);
    const { x } = await chosenSamples(
      run,
      { files: [join(folder, "images", "03.png")], count: 4 },
      "inpaint",
    );
    expect([...x.data]).toEqual(expected.slice(48, 64));
    await expect(async () => {
      for await (const _ of readSource(run, "select 1 as a")) expect(true).toBe(false);
    }).rejects.toThrow(/is a table; the run was fitted on binary data/);
  });

  test("are filled in, and the strips show black, grey and white", async () => {
    const images = forModel(run, samplesOfSplit((await run.data()).splits.train, [0, 1]));
    const known = await knownMask(run, { kind: "half", half: "bottom" });
    const drawn = await inpaintRun(run, images, { known, draws: 3, seed: 1 });
    expect(drawn.shape).toEqual([2, 3, 1, 4, 4]);
    await writeInpainting(run, join(folder, "inpainted.npy"), { x: images.x, known, drawn });
    expect((await readNpy(join(folder, "inpainted.npy"))).data).toEqual(drawn.data);
    await writeInpainting(run, join(folder, "inpainted.png"), { x: images.x, known, drawn });
    const { data } = await sharp(join(folder, "inpainted.png"))
      .greyscale()
      .raw()
      .toBuffer({ resolveWithObject: true });
    // The grey of the unknown, and thirds of the mean of three draws.
    expect(Math.max(...data)).toBe(255);
    expect([...new Set(data)].every((value) => [0, 85, 128, 170, 255].includes(value))).toBe(true);
    await expect(imputeTable(run, "some.csv")).rejects.toThrow(/fitted on images/);
  });

  test("are interpolated in probabilities, which pictures show as grey", async () => {
    const ends = samplesOfSplit((await run.data()).splits.train, [0, 1]);
    const path = await interpolateRun(run, ends.x, { steps: 3 });
    expect(path.data.every((value) => value > 0 && value < 1)).toBe(true);
    await writeInterpolation(run, path, 3, join(folder, "path.npy"));
    expect((await readNpy(join(folder, "path.npy"))).data).toEqual(path.data);
    await writeInterpolation(run, path, 3, join(folder, "path.png"));
    const pixels = await sharp(join(folder, "path.png")).greyscale().raw().toBuffer();
    expect(new Set(pixels).size).toBeGreaterThan(2);
    expect(() => checkSamplePath("path.parquet", run.config.dataInfo)).toThrow(OptionError);
  });

  test("have the figures of images", async () => {
    const warnings: string[] = [];
    const figures = await makeFigures(
      { run, data: await run.data(), seed: 0 },
      { warn: (message) => warnings.push(message) },
    );
    expect(warnings).toEqual([]);
    expect(figures.map(({ name }) => name)).toEqual(expect.arrayContaining(["interpolation", "inpainting"]));
  });
});
