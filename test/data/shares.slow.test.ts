import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DataTrust, openData, openShare } from "../../src/data/open.node.ts";
import type { DataSet } from "../../src/data/sources/data-set.ts";
import { rows } from "../../src/data/sources/memory.ts";
import type { DataOptions } from "../../src/data/sources/options.ts";
import type { SampleShare } from "../../src/data/sources/sample-share.ts";
import { quoteText, withDuckDb } from "../../src/data/table/database.node.ts";
import { Random } from "../../src/random.ts";
import { SampleOwners } from "../../src/train/ranks/owners.ts";
import { present, temporaryFolder } from "../support.ts";

// What a rank reads of tables and folders: its training samples, as they are in the whole.

const ROWS = 30_000;

let root: string;
const at = (...names: string[]): string => join(root, ...names);

const png = (value: number): Uint8Array =>
  encode({
    width: 8,
    height: 8,
    channels: 1,
    depth: 8,
    data: Uint8Array.from({ length: 64 }, (_, i) => (value * 7 + i * 3) % 256),
  });

/** A table with numbers, a category, gaps and two classes. @param seed of what it holds */
const cells = (count: number, seed = 0): string =>
  `select i::double as a, if(i % 5 = 0, null, sin(i + ${seed})) as b, ['red', 'green', 'blue'][1 + i % 3] as c, if(i % 2 = 0, 'no', 'yes') as k from range(${count}) t(i)`;

beforeAll(async () => {
  root = await temporaryFolder();
  await mkdir(at("parts"));
  await withDuckDb(async (connection) => {
    const copy = (query: string, name: string, options: string) =>
      connection.run(`copy (${query}) to ${quoteText(at(name))} (${options})`);
    await copy(cells(ROWS), "whole.parquet", "format parquet, row_group_size 2048");
    await copy(cells(900), "short.parquet", "format parquet");
    await copy(cells(300), "table.csv", "format csv");
    for (const [name, count] of [
      ["train", 200],
      ["validation", 30],
      ["test", 20],
    ] as const) {
      await copy(cells(count, count), `parts/${name}.csv`, "format csv");
    }
    const bits = "select i % 2 as a, (i // 3) % 2 as b, if(i % 7 = 0, null, 1) as c from range(400) t(i)";
    await copy(bits, "bits.parquet", "format parquet");
  });
  for (const name of ["cats", "dogs"]) {
    await mkdir(at("images", name), { recursive: true });
    for (let i = 0; i < 20; i++) {
      await writeFile(at("images", name, `${i}.png`), png(i + (name === "cats" ? 0 : 40)));
    }
  }
});
afterAll(() => rm(root, { recursive: true }));

/** What a rank is told of its share. */
function shareOf({ origin, classes, sampleShape }: DataSet, owners: SampleOwners, rank: number): SampleShare {
  const { rows, names } = present(origin, "origin");
  const positions = owners.samplesOf(rank);
  const own = positions.map((position) => rows[position] ?? -1);
  return { rows: own, positions, names, classes, sampleShape };
}

async function opened(path: string, options: DataOptions) {
  const data = await openData(path, options);
  const trust: DataTrust = { columns: data.columns };
  // As a run keeps them.
  const kept = { ...options, ...data.format };
  return { data, trust, kept };
}

const noise = new Random(5);

describe.each<[string, string, DataOptions]>([
  ["a Parquet file with gaps, categories and classes", "whole.parquet", { label: "k" }],
  ["a CSV file", "table.csv", { splitSeed: 3 }],
  ["a folder with a table for each split", "parts", { label: "k" }],
  ["a table of zeros and ones with gaps", "bits.parquet", { binary: true }],
  ["a folder of images with classes", "images", {}],
  ["images binarized by one draw", "images", { binary: true }],
  ["images binarized anew each time", "images", { binary: true, binarize: "dynamic", splitSeed: 2 }],
])("the shares of %s", (_, name, options) => {
  test.each([2, 3, 7])("of %i ranks are its training samples", async (size) => {
    const { data, trust, kept } = await opened(at(name), options);
    const { train } = data.splits;
    const owners = new SampleOwners(present(data.origin).rows, size);
    for (let rank = 0; rank < size; rank++) {
      const samples = owners.samplesOf(rank);
      const held = await openShare(at(name), kept, trust, shareOf(data, owners, rank));
      const own = samples.map((_, i) => i);
      expect(held.count).toBe(samples.length);
      expect(held.batch(own)).toEqual(train.batch(samples));
      expect(held.intensities?.(own)).toEqual(train.intensities?.(samples));
      const drawn = (i: number): Random => noise.split(i);
      expect(held.redrawn?.(own, drawn)).toEqual(train.redrawn?.(samples, drawn));
    }
  });
});

/** Bytes that this process has read of files so far, as Linux counts them. */
const readSoFar = async (): Promise<number> =>
  Number(/rchar: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1]);

test.skipIf(process.platform !== "linux")(
  "of a Parquet file, the row groups of the share are read",
  async () => {
    const path = at("whole.parquet");
    const { data, trust, kept } = await opened(path, { label: "k" });
    const owners = new SampleOwners(present(data.origin).rows, 5);
    const { size } = await stat(path);
    const before = await readSoFar();
    await openShare(path, kept, trust, shareOf(data, owners, 3));
    // A fifth, and what row groups at both ends hold beyond it.
    expect(((await readSoFar()) - before) / size).toBeLessThan(0.4);
  },
);

test("what is no file or folder as it is has no origin", async () => {
  const origin = async (...args: Parameters<typeof openData>) => (await openData(...args)).origin;
  expect(await origin("two-moons", { count: 100 })).toBeUndefined();
  expect(await origin("digits")).toBeUndefined();
  expect(await origin(`select a, b from '${at("table.csv")}' order by a`)).toBeUndefined();
  expect(await origin(at("table.csv"), { sql: "select a, b from data" })).toBeUndefined();
  expect(await origin(rows([{ a: 1 }, { a: 2 }, { a: 4 }]))).toBeUndefined();
  expect(await origin(at("images"), { classes: ["cats"] })).toBeUndefined();
  expect(await origin(at("images"), { source: at("images") })).toBeUndefined();
});

describe("data that is not what it was", () => {
  test("is told: fewer rows, another class, other or broken images", async () => {
    const { data, trust, kept } = await opened(at("whole.parquet"), { label: "k" });
    const share = shareOf(data, new SampleOwners(present(data.origin).rows, 2), 1);
    await expect(openShare(at("short.parquet"), kept, trust, share)).rejects.toThrow(
      /short\.parquet: ends before row \d+, .* not the same file/,
    );
    await expect(openShare(at("whole.parquet"), kept, trust, { ...share, classes: ["no"] })).rejects.toThrow(
      /whole\.parquet: column "k", row \d+: rank 0 has no class "yes"/,
    );

    const folder = await opened(at("images"), {});
    const ofImages = shareOf(folder.data, new SampleOwners(present(folder.data.origin).rows, 2), 1);
    const { trust: plain, kept: format } = folder;
    await expect(openShare(at("parts"), format, plain, ofImages)).rejects.toThrow(/is table data here/);
    await writeFile(at("images", "cats", "new.png"), png(1));
    await expect(openShare(at("images"), format, plain, ofImages)).rejects.toThrow(
      /images: holds other images than for rank 0, by their names \(41 here\)/,
    );
    await rm(at("images", "cats", "new.png"));
    const last = at("images", "dogs", "9.png");
    await writeFile(last, "no image");
    await expect(openShare(at("images"), format, plain, ofImages)).rejects.toThrow(
      /images that rank 0 has read cannot be read: 1 unreadable: dogs\/9\.png/,
    );
    await writeFile(last, png(49));
  });
});
