import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openData } from "../../../src/data/open.node.ts";
import { type DataSet, range, type SplitName } from "../../../src/data/sources/data-set.ts";
import { streamGappedTable, streamTable } from "../../../src/data/table/stream.node.ts";
import { openBinaryTable } from "../../../src/data/table/table.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { DataError, OptionError } from "../../../src/errors.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-binary-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, text);
  return path;
}

/** Row i of these tables is the number i in binary, the lowest digit first. */
const bitsOf = (row: number, width = 4): number[] => Array.from({ length: width }, (_, i) => (row >> i) & 1);
const rowsOf = (count: number, width = 4): string =>
  Array.from({ length: count }, (_, row) => bitsOf(row, width).join()).join("\n");

/** The rows of a split as the numbers that they are in binary. */
function numbersIn(data: DataSet, split: SplitName): number[] {
  const { count } = data.splits[split];
  const { x } = data.splits[split].batch(range(0, count));
  const [, width = 0] = x.shape;
  return Array.from({ length: count }, (_, row) =>
    x.data.subarray(row * width, (row + 1) * width).reduce((sum, bit, i) => sum + bit * 2 ** i, 0),
  );
}

const allNumbers = (data: DataSet): number[] =>
  (["train", "validation", "test"] as const).flatMap((split) => numbersIn(data, split)).sort((a, b) => a - b);

const names = (data: DataSet): (string | undefined)[] => (data.columns ?? []).map(({ name }) => name);

describe("a table of zeros and ones", () => {
  test.each([
    ["without a header", "bare.csv", rowsOf(16), ["x0", "x1", "x2", "x3"]],
    ["with one", "named.csv", `a,b,c,d\n${rowsOf(16)}`, ["a", "b", "c", "d"]],
    ["with columns counted from 0", "from0.csv", `0,1,2,3\n${rowsOf(16)}`, ["0", "1", "2", "3"]],
    ["with columns counted from 1", "from1.csv", `1,2,3,4\n${rowsOf(16)}`, ["1", "2", "3", "4"]],
    ["tabs", "bare.tsv", rowsOf(16).replaceAll(",", "\t"), ["x0", "x1", "x2", "x3"]],
    ["1.0", "float.csv", rowsOf(16).replaceAll("1", "1.0"), ["x0", "x1", "x2", "x3"]],
    [
      "words",
      "words.csv",
      `a,b,c,d\n${rowsOf(8).replaceAll("1", "True").replaceAll("0", "false")}\n${rowsOf(16).slice(64).replaceAll("1", "yes").replaceAll("0", "no")}`,
      ["a", "b", "c", "d"],
    ],
    [
      "words without a header",
      "bare-words.csv",
      rowsOf(16).replaceAll("1", "true").replaceAll("0", "false"),
      ["x0", "x1", "x2", "x3"],
    ],
  ])("%s is read row by row", async (_, name, text, columns) => {
    const data = await openBinaryTable({ path: await file(name, text) });
    expect(data).toMatchObject({ kind: "binary", sampleShape: [4] });
    expect(names(data)).toEqual(columns);
    expect(allNumbers(data)).toEqual([...range(0, 16)]);
    expect(data.splits.train.batch([0]).x.dtype).toBe("float32");
  });

  test("Parquet of booleans and integers, JSON, queries, and a query over a file", async () => {
    const parquet = join(folder, "bits.parquet");
    const rows = Array.from({ length: 16 }, (_, row) => bitsOf(row));
    await writeTable(parquet, ["a", "b", "c", "d"], rows, ["BOOLEAN", "TINYINT", "DOUBLE", "BIGINT"]);
    expect(allNumbers(await openBinaryTable({ path: parquet }))).toEqual([...range(0, 16)]);
    const json = await file(
      "bits.json",
      JSON.stringify(rows.map(([a, b, c, d]) => ({ a: a === 1, b, c, d }))),
    );
    expect(allNumbers(await openBinaryTable({ path: json }))).toEqual([...range(0, 16)]);
    const query = "select i & 1 as a, (i & 2) > 0 as b from range(8) t(i)";
    expect(allNumbers(await openData(query, { binary: true }))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    const path = await file("bare.csv", rowsOf(16));
    const chosen = await openData(path, { binary: true, sql: "select x1, x0 from data where x3 = 1" });
    expect(names(chosen)).toEqual(["x1", "x0"]);
    expect(allNumbers(chosen)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test("columns are chosen, and a class is apart", async () => {
    const lines = Array.from({ length: 16 }, (_, row) => `${bitsOf(row).join()},${row < 8 ? "low" : "high"}`);
    const path = await file("classes.csv", `a,b,c,d,size\n${lines.join("\n")}`);
    const data = await openBinaryTable({ path }, { label: "size", columns: ["a", "d"] });
    expect(data).toMatchObject({ sampleShape: [2], classes: ["high", "low"] });
    const { x, label } = data.splits.train.batch(range(0, data.splits.train.count));
    for (const [row, known] of (label?.data ?? []).entries())
      expect(x.data[2 * row + 1]).toBe(known === 0n ? 1 : 0);
    expect(data.describe()[0]).toMatch(/classes\.csv: 16 rows of 2 zeros and ones, class "size"/);
  });

  test("the seed decides the split, contents and seed the fingerprint; constant columns are reported", async () => {
    const path = await file("constant.csv", rowsOf(16, 6).replaceAll(/0\n/g, "1\n"));
    const open = (splitSeed: number) => openBinaryTable({ path }, { splitSeed });
    const [a, b, c] = [await open(1), await open(1), await open(2)];
    expect(a.fingerprint).toBe(b.fingerprint);
    expect(numbersIn(a, "train")).toEqual(numbersIn(b, "train"));
    expect(a.fingerprint).not.toBe(c.fingerprint);
    expect(numbersIn(a, "train")).not.toEqual(numbersIn(c, "train"));
    expect(a.describe().join("\n")).toMatch(/always 0 in the training split: 1 of the columns \(x4\)/);
  });
});

describe("bad cells", () => {
  test.each([
    ["a number", "two.csv", "a,b\n0,1\n1,0\n0,2\n1,1\n", 'column "b": row 3 ("2")'],
    ["without a header", "bare-two.csv", "0,1,1\n1,0,0\n0,0.5,1\n", 'column "x1": row 3 ("0.5")'],
    ["in the first row", "first.csv", "0,1,7\n1,0,0\n0,0,1\n", 'column "x2": row 1 ("7")'],
    ["a text in the first row", "first-text.csv", "0,1,?,1\n1,0,0,1\n0,0,1,1\n", 'column "x2": row 1 ("?")'],
    ["text", "text.csv", "a,b\n0,1\n1,none\n0,1\n", 'column "b": row 2 ("none")'],
    ["nothing", "gap.csv", "a,b\n0,1\n,0\n0,1\n", 'column "a": row 2 (missing)'],
    ["NaN", "nan.csv", "a,b\n0,1\nNaN,0\n0,1\n", 'column "a": row 2 ("NaN")'],
    ["many", "many.csv", `a\n${"3\n".repeat(9)}`, 'column "a": row 1 ("3"), row 2 ("3"), row 3 ("3") and 6'],
  ])("%s: file, column, row and value are named", async (_, name, text, location) => {
    const opened = openBinaryTable({ path: await file(name, text) }, { rows: "complete" });
    await expect(opened).rejects.toThrow(DataError);
    await expect(opened).rejects.toThrow(`${name}: neither 0 nor 1 in ${location}`);
  });

  test("also in a query, in dates, and in what is streamed", async () => {
    const query = "select i % 3 as a, 0 as b from range(9) t(i)";
    await expect(openData(query, { binary: true })).rejects.toThrow(
      /query: neither 0 nor 1 in column "a": row 3 \("2"\)/,
    );
    await expect(openData("select date '2024-01-01' as d from range(9)", { binary: true })).rejects.toThrow(
      /"d" is of type DATE/,
    );
    const path = await file("new.csv", "a,b\n0,1\n1,1\n4,0\n");
    const drain = async () => {
      for await (const { count } of streamTable({ path }, columns)) expect(count).toBeGreaterThan(0);
    };
    await expect(drain()).rejects.toThrow(/new\.csv: neither 0 nor 1 in column "a": row 3 \("4"\)/);
  });

  test("categories are refused", async () => {
    const path = await file("named.csv", `a,b,c,d\n${rowsOf(16)}`);
    await expect(openBinaryTable({ path }, { categorical: ["a"] })).rejects.toThrow(OptionError);
    await expect(openBinaryTable({ path }, { columns: ["e"] })).rejects.toThrow(/no column "e"/);
  });
});

const columns = [
  { kind: "binary", name: "a" },
  { kind: "binary", name: "b" },
] as const;

describe("streaming", () => {
  test("a table longer than a batch arrives in order, by name", async () => {
    const rows = Array.from({ length: 5000 }, (_, i) => `${i & 1},x,${(i >> 1) & 1}`);
    const path = await file("long.csv", `b,other,a\n${rows.join("\n")}\n`);
    let next = 0;
    for await (const { x, firstRow, count } of streamTable({ path }, columns, { batchSize: 512 })) {
      expect([firstRow, x.shape]).toEqual([next, [count, 2]]);
      for (let row = 0; row < count; row++, next++) {
        expect([...x.data.subarray(2 * row, 2 * row + 2)]).toEqual([(next >> 1) & 1, next & 1]);
      }
    }
    expect(next).toBe(5000);
  });

  test("a header that counts is distinguished from zeros and ones there too", async () => {
    const counted = ["0", "1", "2"].map((name) => ({ kind: "binary", name }) as const);
    const path = await file("counted.csv", "0,1,2\n1,0,1\n");
    for await (const { x } of streamTable({ path }, counted)) expect([...x.data]).toEqual([1, 0, 1]);
  });

  test("gaps are marked, and what is neither a gap nor a bit is an error", async () => {
    const path = await file("gaps.csv", "a,b\n1,\nNaN,0\n,\ntrue,1\n");
    for await (const { x, known } of streamGappedTable({ path }, columns)) {
      expect([...known.data]).toEqual([1, 0, 0, 1, 0, 0, 1, 1]);
      expect([...x.data]).toEqual([1, 0, 0, 0, 0, 0, 1, 1]);
    }
    const bare = await file("bare-gaps.csv", "0,,1,1\n1,0,,0\n");
    const four = ["x0", "x1", "x2", "x3"].map((name) => ({ kind: "binary", name }) as const);
    for await (const { known } of streamGappedTable({ path: bare }, four)) {
      expect([...known.data]).toEqual([1, 0, 1, 1, 1, 1, 0, 1]);
    }
    const bad = await file("bad-gaps.csv", "a,b\n1,\n0,half\n");
    const drain = async () => {
      for await (const { count } of streamGappedTable({ path: bad }, columns)) expect(count).toBe(2);
    };
    await expect(drain()).rejects.toThrow(/neither 0 nor 1 in column "b": row 2 \("half"\)/);
  });
});

describe("a folder with a table for each split", () => {
  test("keeps the splits as they are given, of any names and kinds of tables", async () => {
    await file("splits/train.csv", rowsOf(8));
    await file("splits/valid.tsv", "0,0,0,1\n".replaceAll(",", "\t"));
    const held = join(folder, "splits", "test.parquet");
    await writeTable(held, ["x0", "x1", "x2", "x3"], [[0, 1, 0, 1]]);
    const data = await openData(join(folder, "splits"), { binary: true });
    expect(data).toMatchObject({ name: "splits", kind: "binary", sampleShape: [4] });
    expect(numbersIn(data, "train")).toEqual([...range(0, 8)]);
    expect(numbersIn(data, "validation")).toEqual([8]);
    expect(numbersIn(data, "test")).toEqual([10]);
    expect(data.describe()).toEqual([
      `${join(folder, "splits")}: 10 rows of 4 zeros and ones`,
      "8 training, 1 validation and 1 test sample, split by tables",
      "always 0 in the training split: 1 of the columns (x3)",
    ]);
    const sql = "select x0, x2 from data where x0 = 0";
    const asked = await openData(join(folder, "splits"), { binary: true, sql });
    expect(asked.splits).toMatchObject({ train: { count: 4 }, validation: { count: 1 }, test: { count: 1 } });
  });

  test("holds other tables as well: standardized by the training split", async () => {
    await file("plain/train.csv", "a,kind\n1,x\n3,y\n");
    await file("plain/validation.csv", "a,kind\n2,x\n");
    await file("plain/test.csv", "a,kind\n5,y\n");
    const data = await openData(join(folder, "plain"), { label: "kind" });
    expect(data).toMatchObject({ kind: "table", classes: ["x", "y"] });
    // Mean 2 and deviation 1, and for whole numbers noise of one unit around each.
    const values = (split: SplitName) => data.splits[split].batch([0]).x.data[0] ?? Number.NaN;
    for (const [split, value] of [
      ["train", -1],
      ["validation", 0],
      ["test", 3],
    ] as const) {
      expect(Math.abs(values(split) - value)).toBeLessThanOrEqual(0.5);
    }
    expect(data.splits.test.batch([0]).label?.data).toEqual(BigInt64Array.of(1n));
  });

  test("missing, doubled and unequal tables", async () => {
    await file("missing/train.csv", rowsOf(8));
    await file("missing/test.csv", rowsOf(8));
    await expect(openData(join(folder, "missing"), { binary: true })).rejects.toThrow(
      /missing: holds test\.csv, train\.csv, but no table validation/,
    );
    await file("double/train.csv", rowsOf(8));
    await file("double/valid.csv", rowsOf(8));
    await file("double/validation.csv", rowsOf(8));
    await expect(openData(join(folder, "double"), { binary: true })).rejects.toThrow(
      /valid\.csv and validation\.csv are both validation; remove one/,
    );
    await file("uneven/train.csv", rowsOf(8));
    await file("uneven/valid.csv", rowsOf(8, 3));
    await file("uneven/test.csv", rowsOf(8));
    await expect(openData(join(folder, "uneven"), { binary: true })).rejects.toThrow(
      /valid\.csv: 3 columns, where .*train\.csv has 4/,
    );
    await file("bad/train.csv", rowsOf(8));
    await file("bad/valid.csv", rowsOf(8));
    await file("bad/test.csv", "0,1,1,0\n0,1,0,5\n");
    await expect(openData(join(folder, "bad"), { binary: true })).rejects.toThrow(
      /test\.csv: neither 0 nor 1 in column "x3": row 2 \("5"\)/,
    );
    await file("empty/notes.txt", "no table");
    await expect(openData(join(folder, "empty"), { binary: true })).rejects.toThrow(/no images/);
  });
});

const shared = fileURLToPath(new URL("../../../../shared/data/binary/", import.meta.url));

describe.skipIf(!existsSync(shared))("real tables (skipped where ../shared/data is absent)", () => {
  test.each([["nltcs", 16, [16_181, 2157, 3236]]])("%s", async (name, width, counts) => {
    const data = await openData(join(shared, name), { binary: true });
    const { train, validation, test } = data.splits;
    expect(data.sampleShape).toEqual([width]);
    expect([train.count, validation.count, test.count]).toEqual(counts);
    const { x } = train.batch(range(0, train.count));
    expect(x.data.every((value) => value === 0 || value === 1)).toBe(true);
  });
});
