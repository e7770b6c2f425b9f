import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeNpy, images } from "../../../src/data/index.ts";
import { rows as inMemory } from "../../../src/data/sources/memory.ts";
import type { Shard } from "../../../src/data/sources/shard.ts";
import { quoteFile, withDuckDb } from "../../../src/data/table/database.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { Run } from "../../../src/tasks/open-run.node.ts";
import { loadRun } from "../../../src/tasks/run/load.node.ts";
import { mergeShards } from "../../../src/tasks/use/merge.node.ts";
import { ShardFolder } from "../../../src/tasks/use/shards.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { largestDifference, present, temporaryFolder } from "../../support.ts";

// What shards make together is what one process makes: rows, order and numbers.

let folder: string;
/** Scores a row by noise of its own, so that a row that is computed with others elsewhere would have another score. */
let table: Run;
let photos: Run;

const at = (name: string): string => join(folder, name);

async function fitted(model: string, data: string, options: object = {}): Promise<Run> {
  const out = at(`${model}-${data.replaceAll(/\W/g, "")}`);
  const request = { steps: 2, batchSize: 16, samplePictures: 0, threads: 1, ...options, model, data, out };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return new Run(await loadRun(out, { threads: 1 }));
}

const random = new Random(4);
const ROWS = Array.from({ length: 600 }, () => {
  const a = random.normal();
  return { a, b: random.uniform() < 0.3 ? "x" : "y", c: random.uniform() < 0.2 ? null : a + random.normal() };
});
const FULL = ROWS.map((row) => ({ ...row, c: row.c ?? 0 }));

const shards = (count: number): readonly Shard[] =>
  Array.from({ length: count }, (_, index) => ({ index, count }));

const counts = fc.record({
  rows: fc.constantFrom(1, 255, 256, 257, 600),
  n: fc.constantFrom(1, 2, 3, 4, 7),
});

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTable(
    at("wares.csv"),
    ["a", "b", "c"],
    FULL.map(({ a, b, c }) => [a, b, c]),
  );
  const bits = FULL.slice(0, 90).map(({ a, b }) => [Number(a > 0), Number(b === "x"), Number(a > 1)]);
  await writeTable(at("bits.csv"), ["p", "q", "r"], bits);
  table = await fitted("vae", at("wares.csv"), { categorical: ["b"] });
  await mkdir(at("shades"));
  for (let i = 0; i < 12; i++) {
    const bytes = Uint8Array.from({ length: 64 }, () => random.integer(256));
    await sharp(bytes, { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toFile(at(`shades/${i}.png`));
  }
  photos = await fitted("nice", at("shades"), { size: 8, color: "grey" });
});
afterAll(() => rm(folder, { recursive: true }));

describe("shards of a table", () => {
  test("have the scores of one process, bit for bit", async () => {
    await fc.assert(
      fc.asyncProperty(counts, async ({ rows, n }) => {
        const source = inMemory(FULL.slice(0, rows));
        const { logLikelihood: whole } = await table.score(source, { seed: 3 });
        const first: number[] = [];
        const values: number[] = [];
        for (const shard of shards(n)) {
          for await (const { firstRow, logLikelihood } of table.scores(source, { seed: 3, shard })) {
            logLikelihood.forEach((value, i) => {
              first.push(firstRow + i);
              values.push(value);
            });
          }
        }
        expect(first).toEqual(Array.from({ length: rows }, (_, i) => i));
        expect(values).toEqual([...whole]);
      }),
      { numRuns: 6 },
    );
  });

  test("have the draws of one process for missing cells, from a file", async () => {
    await writeTable(
      at("gaps.parquet"),
      ["a", "b", "c"],
      ROWS.map(({ a, b, c }) => [a, b, c]),
      ["DOUBLE", "VARCHAR", "DOUBLE"],
    );
    const filled = async (shard?: Shard): Promise<unknown[]> => {
      const { rows } = await table.impute(at("gaps.parquet"), { draws: 2, steps: 4, seed: 1, shard });
      const all: unknown[] = [];
      for await (const row of rows) all.push(row);
      return all;
    };
    const whole = await filled();
    expect(whole).toHaveLength(2 * ROWS.length);
    const parts = [];
    for (const shard of shards(3)) parts.push(...(await filled(shard)));
    expect(parts).toEqual(whole);
  });

  test("of a query need an order", async () => {
    const query = `select a, b, 0.0 as c from '${at("gaps.parquet")}'`;
    const scored = (text: string) => table.score(text, { shard: { index: 0, count: 2 } });
    await expect(scored(query)).rejects.toThrow(/option shard: .* end it with order by/);
    expect((await scored(`${query} order by a`)).logLikelihood).toHaveLength(256);
  });

  test("have no ranking, which is of all", async () => {
    const ranked = table.anomalies(inMemory(FULL), { shard: { index: 0, count: 2 } });
    await expect(ranked).rejects.toThrow(/option shard: a ranking is of all samples/);
  });
});

describe("shards of images", () => {
  test("have the scores of one process, though some images cannot be read", async () => {
    const good = await readFile(at("shades/3.png"));
    const other = await readFile(at("shades/5.png"));
    const encoded = Array.from({ length: 300 }, (_, i) =>
      i % 97 === 5 ? Buffer.from("no image") : i % 2 === 0 ? good : other,
    );
    const scored = async (shard?: Shard) => {
      const unreadable: string[] = [];
      const onUnreadable = (file: string) => void unreadable.push(file);
      const { logLikelihood, files = [] } = await photos.score(images(encoded), { shard, onUnreadable });
      return { values: [...logLikelihood], files: [...files], unreadable };
    };
    const whole = await scored();
    expect(whole.unreadable).toHaveLength(4);
    const parts = [];
    for (const shard of shards(2)) parts.push(await scored(shard));
    expect(parts.flatMap(({ values }) => values)).toEqual(whole.values);
    expect(parts.flatMap(({ files }) => files)).toEqual(whole.files);
    expect(parts.flatMap(({ unreadable }) => unreadable)).toEqual(whole.unreadable);
    // Of 300 images there are two blocks.
    expect(parts.map(({ files }) => files.length)).toEqual([253, 43]);
  });
});

describe("samples of shards", () => {
  test("are those of one process", async () => {
    const flow = await fitted("rectified-flow", "two-moons", { width: 8, depth: 1, count: 300 });
    const maf = await fitted("maf", at("wares.csv"), { categorical: ["b"], given: ["a"] });
    const gan = await fitted("gan", "two-moons", { count: 300 });
    const transport = await fitted("rectified-transport", "two-moons", {
      source: "rings",
      sourceNoise: 0.1,
      width: 8,
      count: 300,
    });
    const made = await fitted("made", at("bits.csv"));
    const continuous = await fitted("continuous-flow", "two-moons", { width: 8, count: 300 });
    const runs = [flow, maf, gan, table, photos, transport, made, continuous];
    for (const run of runs) {
      const settings = { count: 11, seed: 5, ...(run === flow && { steps: 3 }) };
      const whole = await run.sample(settings);
      const parts: number[] = [];
      for (const shard of shards(4)) parts.push(...(await run.sample({ ...settings, shard })).data);
      expect(largestDifference(parts, whole.data), run.config.model).toBeLessThan(1e-3);
      expect(new Set(whole.data).size, run.config.model).toBeGreaterThan(1);
    }
    const none = await flow.sample({ count: 2, shard: { index: 0, count: 3 } });
    expect(none.shape).toEqual([0, 2]);
  });
});

describe("parts in a folder", () => {
  test("of features are merged into what one process writes, as arrays and tables", async () => {
    for (const extension of [".npy", ".parquet", ".csv"] as const) {
      const name = `features${extension}`;
      await table.embedInto(at(`whole-${name}`), at("wares.csv"));
      const kind = extension === ".npy" ? "array" : "table";
      const parts = new ShardFolder(at(name), { kind, count: 4, extension, work: { command: "embed" } });
      for (const shard of shards(4).toReversed()) {
        const made = await parts.complete(shard, (path) => table.embedInto(path, at("wares.csv"), { shard }));
        expect(made?.finished).toBe(true);
      }
      // Three blocks of rows for four shards.
      const { rows } = await mergeShards(at(name), at(`merged-${name}`));
      if (extension !== ".csv") expect(rows).toBe(ROWS.length);
      if (extension === ".parquet") {
        const read = (path: string) =>
          withDuckDb(async (connection) =>
            (await connection.runAndReadAll(`select * from ${quoteFile(at(path))}`)).getRows(),
          );
        expect(await read(`merged-${name}`)).toEqual(await read(`whole-${name}`));
      } else {
        expect(await readFile(at(`merged-${name}`))).toEqual(await readFile(at(`whole-${name}`)));
      }
    }
    expect(await readFile(at("merged-features.rows.csv"), "utf8")).toBe(
      await readFile(at("whole-features.rows.csv"), "utf8"),
    );
    const { shape } = decodeNpy(await readFile(at("features.npy/part-00000-of-00004.npy")));
    expect(shape[0]).toBe(0);
  });

  test("of features may be made by two processes at once; a file of one process may not", async () => {
    const [one, other] = [at("twice.npy"), at("once.npy")];
    const shard = { index: 0, count: 1 };
    const both = [1, 2].map(() => table.embedInto(one, at("wares.csv"), { shard }));
    expect((await Promise.all(both)).map(({ rows, finished }) => [rows, finished])).toEqual([
      [ROWS.length, true],
      [ROWS.length, true],
    ]);
    await table.embedInto(other, at("wares.csv"));
    expect(await readFile(one)).toEqual(await readFile(other));
    const plain = await Promise.allSettled([1, 2].map(() => table.embedInto(other, at("wares.csv"))));
    expect(plain.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const refused = plain.find((done) => done.status === "rejected");
    expect(String(refused?.reason)).toMatch(/once\.npy: is being written by process \d+ since/);
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("are never mixed with others, made twice, or merged with some missing", async () => {
    const work = { command: "score", data: "a.csv", seed: undefined };
    const base = { kind: "table", count: 3, extension: ".csv", work } as const;
    const parts = new ShardFolder(at("few.csv"), base);
    const write = (path: string) => writeFile(path, "row,x\n1,2\n");
    await parts.complete({ index: 1 }, write);
    let again = false;
    await new ShardFolder(at("few.csv"), base).complete({ index: 1 }, async () => {
      again = true;
    });
    expect(again).toBe(false);
    const merged = () => mergeShards(at("few.csv"), at("out.csv"));
    await expect(merged()).rejects.toThrow(/2 of 3 parts are missing: shards 0, 2; run these again/);
    const others = [
      [{ ...base, count: 4 }, /has parts of 3 shards, not of 4/],
      [{ ...base, work: { ...work, data: "b.csv" } }, /parts of other work, which differs in data/],
      [{ ...base, work: { ...work, seed: 2 } }, /differs in seed/],
      [{ ...base, extension: ".parquet" }, /differs in extension/],
    ] as const;
    for (const [record, message] of others) {
      await expect(new ShardFolder(at("few.csv"), record).begin()).rejects.toThrow(message);
    }
    await parts.complete({ index: 0 }, write);
    await parts.complete({ index: 2 }, (path) => writeFile(path, "row,y\n1,2\n"));
    await expect(merged()).rejects.toThrow(/part-00002-of-00003.csv: has other columns than/);
    await writeFile(parts.part(2), 'row,x\n5,"6\n7"\n');
    await expect(mergeShards(at("few.csv"), at("out.parquet"))).rejects.toThrow(
      /ends in \.csv, as the parts do/,
    );
    await merged();
    expect(await readFile(at("out.csv"), "utf8")).toBe('row,x\n1,2\n1,2\n5,"6\n7"\n');
    await expect(mergeShards(folder)).rejects.toThrow(/no folder of parts, it has no _shards.json/);
    await writeFile(join(present(parts.path), "_shards.json"), "{}");
    await expect(merged()).rejects.toThrow(/_shards.json: is damaged/);
  });
});
