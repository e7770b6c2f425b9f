import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Column, gapsOfColumn } from "../../../src/data/sources/columns.ts";
import type { DataSet, SplitName } from "../../../src/data/sources/data-set.ts";
import { decodeTable } from "../../../src/data/table/codec/index.ts";
import { openPlace } from "../../../src/data/table/duckdb.node.ts";
import {
  columnNames,
  findMarks,
  type StreamOptions,
  streamTable,
} from "../../../src/data/table/stream.node.ts";
import { openTable } from "../../../src/data/table/table.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { DataError, MemoryError, OptionError } from "../../../src/errors.ts";
import { Random } from "../../../src/random.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eidos-table-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

async function all(data: DataSet, split: SplitName) {
  const { count } = data.splits[split];
  return data.splits[split].batch(Array.from({ length: count }, (_, i) => i));
}

/** 200 rows: row number, 3 × row number + noise, a color, and a class that is "odd" or "even". */
function people(rows = 200): string {
  const random = new Random(1);
  const lines = Array.from({ length: rows }, (_, row) => {
    const color = ["red", "green", "blue, dark"][row % 3] ?? "";
    return `${row},${3 * row + random.normal()},"${color}",${row % 2 === 0 ? "even" : "odd"}`;
  });
  return `place,value,colour,parity\n${lines.join("\n")}\n`;
}

describe("reading", () => {
  test("numbers are standardized by the training split, categories come back, the label is apart", async () => {
    const data = await openTable(
      { path: await file("people.csv", people()) },
      { categorical: ["colour"], label: "parity", splitSeed: 4 },
    );
    expect(data).toMatchObject({ name: "people", kind: "table", sampleShape: [5], classes: ["even", "odd"] });
    expect(data.columns?.map((column) => column.name)).toEqual(["place", "value", "colour"]);
    const { train, validation, test } = data.splits;
    expect([train.count, validation.count, test.count]).toEqual([160, 20, 20]);

    const { x } = await all(data, "train");
    for (const column of [0, 1]) {
      const values = Array.from({ length: 160 }, (_, row) => x.data[row * 5 + column] ?? 0);
      const mean = values.reduce((sum, value) => sum + value, 0) / 160;
      const square = values.reduce((sum, value) => sum + value ** 2, 0) / 160;
      // But for the noise of one step around each.
      expect(mean).toBeCloseTo(0, 2);
      expect(square).toBeCloseTo(1, 1);
    }

    const seen = new Set<number>();
    for (const split of ["train", "validation", "test"] as const) {
      const batch = await all(data, split);
      for (const [row, [id, value, color]] of decodeTable(data.columns ?? [], batch.x).entries()) {
        const number = Math.round(Number(id));
        seen.add(number);
        expect(Math.abs(Number(value) - 3 * number)).toBeLessThan(6);
        expect(color).toBe(["red", "green", "blue, dark"][number % 3]);
        expect(batch.label?.data[row]).toBe(BigInt(number % 2));
      }
    }
    expect(seen.size).toBe(200);
  });

  test("the seed decides the split, contents and seed the fingerprint", async () => {
    const path = await file("people.csv", people());
    const options = { columns: ["place", "value"] };
    const [a, b, c] = [
      await openTable({ path }, { ...options, splitSeed: 1 }),
      await openTable({ path }, { ...options, splitSeed: 1 }),
      await openTable({ path }, { ...options, splitSeed: 2 }),
    ];
    expect(a.fingerprint).toBe(b.fingerprint);
    expect(a.fingerprint).not.toBe(c.fingerprint);
    expect(await all(a, "test")).toEqual(await all(b, "test"));
    expect((await all(a, "test")).x.data).not.toEqual((await all(c, "test")).x.data);
  });

  test("semicolons, quotes, a byte order mark, and files without a header", async () => {
    const dialect = await file("d.csv", '\uFEFF"a;b";c\r\n1;2\r\n3;4\r\n5;6.5\r\n');
    expect((await openTable({ path: dialect })).columns?.map(({ name }) => name)).toEqual(["a;b", "c"]);
    const bare = await openTable({ path: await file("bare.csv", "1,2\n3,4\n5,6\n7,9\n") });
    expect(bare.columns?.map(({ name }) => name)).toEqual(["x0", "x1"]);
    const { train, validation, test } = bare.splits;
    expect(train.count + validation.count + test.count).toBe(4);
  });

  test("JSON, Parquet, queries, and a query over a file", async () => {
    const json = await file(
      "rows.json",
      JSON.stringify([
        { a: 1, b: 2 },
        { a: 3, b: 5 },
        { a: 4, b: 1 },
      ]),
    );
    expect((await openTable({ path: json })).sampleShape).toEqual([2]);
    const parquet = join(folder, "rows.parquet");
    await writeTable(
      parquet,
      ["a", "kind"],
      Array.from({ length: 40 }, (_, i) => [i / 4, i % 2 === 0 ? "x" : "y"]),
    );
    const read = await openTable({ path: parquet }, { categorical: ["kind"] });
    expect(read.columns?.[1]).toEqual({ kind: "categorical", name: "kind", categories: ["x", "y"] });
    const query = await openTable({ sql: "select i::int as i, i * i as square from range(50) t(i);" });
    expect(query).toMatchObject({ name: "query", sampleShape: [2] });
    const filtered = await openTable({ path: parquet, sql: "select a from data where kind = 'x'" });
    expect(filtered.splits.train.count).toBe(16);
  });

  test("a query over a CSV file can compare numbers, and finds texts and codes as they are written", async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `${i},${i + 0.5},${i % 2},${i < 10 ? "n/a" : i}`);
    const path = await file("typed.csv", `whole,half,code,mixed\n${lines.join("\n")}\n,1.5,1,\n`);
    const data = await openTable(
      {
        path,
        sql: "select half, whole + half as total, code from data where half > 10 and mixed is not null",
      },
      { categorical: ["code"], validation: 0, test: 0 },
    );
    expect(data.splits.train.count).toBe(10);
    expect(data.columns?.[2]).toMatchObject({ categories: ["0", "1"] });
    const totals = decodeTable(data.columns ?? [], (await all(data, "train")).x).map(([, total]) => total);
    expect(totals.map(Number).sort((a, b) => a - b)[0]).toBeCloseTo(10 + 10.5, 4);
  });

  test("a constant column is reported and stays finite", async () => {
    const data = await openTable({ path: await file("constant.csv", "a,b\n1,7.7\n2,7.7\n3,7.7\n5,7.7\n") });
    expect(data.describe().join("\n")).toMatch(
      /left out: 1 column, "b" \(constant: always "7\.7": left out\)/,
    );
    expect((await all(data, "train")).x.data.every(Number.isFinite)).toBe(true);
  });
});

test("gaps are told alike where they are found and where they are read, also in wide tables", async () => {
  const width = 1_200;
  const gaps = ["NA", " NA\t", "", "none", "?"];
  const cell = (row: number, column: number): string =>
    column % 100 === 7 && row % 4 === 0 ? (gaps[(row / 4) % gaps.length] ?? "") : `${row}.${column}`;
  const names = Array.from({ length: width }, (_, column) => `c${column}`);
  const lines = Array.from({ length: 60 }, (_, row) => names.map((_, column) => cell(row, column)).join(","));
  const path = await file("wide-gaps.csv", [names.join(","), ...lines].join("\n"));
  const data = await openTable({ path }, { missing: ["none"] });
  const gapped = data.columns?.filter((column) => gapsOfColumn(column) !== undefined);
  expect(gapped?.map(({ name }) => name)).toEqual(names.filter((_, column) => column % 100 === 7));
  expect(data.columns).toHaveLength(width);
  expect((await all(data, "train")).x.data.every(Number.isFinite)).toBe(true);
});

test("white space of every kind around a number counts for nothing, in queries, too", async () => {
  const white = ["", "\t", "\u00a0", "\u3000"];
  const rows = Array.from({ length: 40 }, (_, i) => `${i};${white[i % 4]}${i},5${white[i % 4]}`);
  const path = await file("padded.csv", ["a;b", ...rows].join("\n"));
  const asked = await openPlace({ path, sql: "select sum(b) as total from data" });
  for await (const chunk of asked.cells([{ name: "total", as: "number" }])) {
    expect(chunk.values(0)).toEqual([40 * 19.5 + 20]);
  }
  await asked.close();
  const table = await openPlace({ path });
  for await (const chunk of table.cells([{ name: "b", as: "number" }])) {
    expect(chunk.values(0)).toEqual(rows.map((_, i) => i + 0.5));
  }
  await table.close();
});

test("white space of every kind around a gap counts for nothing, in queries, too", async () => {
  const white = ["\t", " ", "\u00a0", "\u3000", "\u2009", "\ufeff"];
  const rows = Array.from(
    { length: 60 },
    (_, i) => `${i},${i < 6 ? `${white[i]}NA${white[i]}` : `t${i % 3}`}`,
  );
  const path = await file("white.csv", ["a,b", ...rows].join("\n"));
  const asked = await openPlace({
    path,
    sql: "select b is null as gap from data order by cast(a as integer)",
  });
  const gaps: unknown[] = [];
  for await (const chunk of asked.cells([{ name: "gap", as: "cell" }])) gaps.push(...chunk.values(0));
  await asked.close();
  expect(gaps).toEqual(rows.map((_, i) => String(i < 6)));
  const table = await openPlace({ path });
  expect(await table.countDistinct(["b"])).toEqual([["b", 3]]);
  await table.close();
});

describe("bad input", () => {
  const cases: readonly [what: string, name: string, text: string, message: RegExp][] = [
    [
      "text and missing values in a numeric column",
      "text.csv",
      `a,b\n${Array.from({ length: 60 }, (_, i) => `${i},${i > 1 && i < 6 ? "bad" : i === 7 ? "" : i}`).join("\n")}\n`,
      /text\.csv: no number in column "b": row 3 \("bad"\), row 4 \("bad"\), row 5 \("bad"\) and 1 more rows\. .*categorical/,
    ],
    ["NaN", "nan.csv", "a,b\n1,2\nNaN,3\n4,5\n", /nan\.csv: no number in column "a": row 2 \("NaN"\)/],
    ["infinity", "inf.csv", "a\n1\ninf\n4\n", /column "a": row 2 \("inf"\)/],
    ["an empty cell", "gap.csv", "a,b\n1,2\n3,\n4,5\n", /column "b": row 2 \(missing\)/],
    ["a header alone", "header.csv", "a,b\n", /header\.csv: the table has no rows/],
    ["no bytes at all", "empty.csv", "", /empty\.csv: the file is empty/],
    ["two rows", "two.csv", "a\n1\n2\n", /2 rows are too few/],
    ["a line too short", "short.csv", "a,b\n1,2\n3\n4,5\n", /short\.csv: .*(Line: 3|line 3)/i],
    [
      "uneven lines",
      "uneven.csv",
      "a,b\n1,2\n3\n4,5,6\n7,8\n9\n10,11,12\n",
      /uneven\.csv: line 3 has 1 cell \("3"\), line 4 has 3 cells \("4,5,6"\), line 6 has 1 cell \("9"\), and 1 more, where the table has 2 columns\..*--delimiter/,
    ],
    [
      "a line of many cells",
      "wide.csv",
      `a,b\n1,2\n${"3,".repeat(100_000)}3\n5\n`,
      /wide\.csv: line 3 has 100001 cells \("3,3,[3,]*…"\), line 4 has 1 cell \("5"\), where the table has 2 columns/,
    ],
    [
      "uneven lines amid comments and quotes",
      "quotes.csv",
      'a,b\n1,"x, ""y""\nz"\n# a comment\n\n4,5,6\n7,"8,9"\n',
      /quotes\.csv: line 6 has 3 cells \("4,5,6"\), where the table has 2 columns/,
    ],
    [
      "empty cells behind the last column, which are none, and one line that is too short",
      "trailing.csv",
      "a,b\n1,2,\n3,4,,\n5\n6,7\n",
      /trailing\.csv: line 4 has 1 cell \("5"\), where/,
    ],
    [
      "a quote in a cell behind the last column",
      "quote.csv",
      'a,b\n1,2,""""\n3,4\n',
      /quote\.csv: line 2 has 3 cells \("1,2,\\"\\"\\"\\""\), where/,
    ],
    [
      "quotes amid cells, which stand for themselves",
      "inches.csv",
      'a,b,c\n5" a,1,2\n1,2,6"\n7,8\n',
      /inches\.csv: line 4 has 2 cells \("7,8"\), where/,
    ],
    [
      "a line longer than DuckDB reads",
      "long.csv",
      `a,b\n1,2\n${"3".repeat(3_000_000)},4\n`,
      /^.{0,700}long\.csv: .{0,700}Maximum line size.{0,300}$/s,
    ],
    ["equal names", "twice.csv", "a,A\n1,2\n", /two columns are called "A"/],
    ["broken JSON", "broken.json", '[{"a": 1}, {"a"', /broken\.json: /],
    ["what is no Parquet", "fake.parquet", "no parquet at all", /fake\.parquet: /],
  ];
  test.each(cases)("%s", async (_, name, text, message) => {
    const opened = openTable({ path: await file(name, text) }, { rows: "complete" });
    await expect(opened).rejects.toThrow(DataError);
    await expect(opened).rejects.toThrow(message);
  });

  test("more categories than memory holds", async () => {
    const memory = process.env.EIDOS_MEMORY;
    process.env.EIDOS_MEMORY = "100MB";
    try {
      const path = await file(
        "codes.csv",
        `a,code\n${Array.from({ length: 8_000 }, (_, i) => `${i},c${i}`).join("\n")}\n`,
      );
      const opened = openTable({ path }, { categorical: ["code"] });
      await expect(opened).rejects.toThrow(MemoryError);
      await expect(opened).rejects.toThrow(
        /codes\.csv: 8,000 rows of 8,001 numbers, 8,000 of them the categories of "code": needs at least 256 MB .* allows 100 MB; .*--pool-rare/,
      );
    } finally {
      if (memory === undefined) delete process.env.EIDOS_MEMORY;
      else process.env.EIDOS_MEMORY = memory;
    }
  });

  test("missing file, column, category; wrong type; bad query; bad option", async () => {
    await expect(openTable({ path: join(folder, "none.csv") })).rejects.toThrow(/no such file/);
    const path = await file("people.csv", people());
    await expect(openTable({ path }, { columns: ["valeu"] })).rejects.toThrow(
      /no column "valeu" \(did you mean "value"\?\); there are place, value, colour, parity/,
    );
    await expect(openTable({ path }, { label: "class" })).rejects.toThrow(/no column "class"/);
    await expect(openTable({ path }, { columns: ["place"], categorical: ["colour"] })).rejects.toThrow(
      /"colour"/,
    );
    await expect(openTable({ sql: "select date '2024-01-01' as d, 1 as a from range(9)" })).rejects.toThrow(
      /no columns are left to learn from; left out: 2 columns, "d" \(constant: always "2024-01-01": left out\)/,
    );
    await expect(openTable({ sql: "select a frm b" })).rejects.toThrow(/query: /);
    await expect(openTable({ path }, { validation: 0.6, test: 0.5 })).rejects.toThrow(OptionError);
    const missing = openTable(
      { sql: "select i, case when i = 3 then null else 'k' end as k from range(9) t(i)" },
      { categorical: ["k"], rows: "complete" },
    );
    await expect(missing).rejects.toThrow(/missing values in column "k": row 4/);
  });
});

describe("streaming", () => {
  test("a table longer than a batch arrives in order, encoded as in training", async () => {
    const path = await file("people.csv", people(5000));
    const options = { categorical: ["colour"], label: "parity" };
    const { columns = [] } = await openTable({ path }, options);
    const sizes: number[] = [];
    const ids: number[] = [];
    for await (const { x, firstRow, count } of streamTable({ path }, columns, { batchSize: 1500 })) {
      expect(firstRow).toBe(ids.length);
      expect(x.shape).toEqual([count, 5]);
      sizes.push(count);
      for (const [id, , color] of decodeTable(columns, x)) {
        ids.push(Math.round(Number(id)));
        expect(color).toBe(["red", "green", "blue, dark"][Math.round(Number(id)) % 3]);
      }
    }
    expect(sizes).toEqual([1500, 1500, 1500, 500]);
    expect(ids).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  });

  test("the noise of a category does not depend on the size of the batches", async () => {
    const path = await file("people.csv", people(300));
    const { columns = [] } = await openTable({ path }, { categorical: ["colour"], label: "parity" });
    const read = async (batchSize: number) => {
      const values: number[] = [];
      for await (const { x } of streamTable({ path }, columns, { batchSize })) values.push(...x.data);
      return values;
    };
    expect(await read(7)).toEqual(await read(300));
  });

  test("a column of zeros and ones, and the classes, come along row by row", async () => {
    const lines = people(400).trim().split("\n");
    const marked = lines.map((line, i) => `${line},${i === 0 ? "mark" : i % 7 === 0 ? 1 : 0}`);
    const path = await file("marked.csv", `${marked.join("\n")}\n`);
    const { columns = [] } = await openTable(
      { path },
      { columns: ["place", "value", "parity"], label: "parity" },
    );
    const classes = { column: "parity", names: ["even", "odd"] };
    let rows = 0;
    for await (const batch of streamTable({ path }, columns, { batchSize: 150, marks: "mark", classes })) {
      const { firstRow, count, marks, label } = batch;
      expect([marks?.length, label?.shape]).toEqual([count, [count]]);
      for (let i = 0; i < count; i++) {
        expect(marks?.[i]).toBe((firstRow + i + 1) % 7 === 0 ? 1 : 0);
        expect(label?.data[i]).toBe(BigInt((firstRow + i) % 2));
      }
      rows += count;
    }
    expect(rows).toBe(400);
    expect(await findMarks({ path }, ["none", "parity", "place", "mark"])).toBe("mark");
    expect(await findMarks({ path }, ["place"])).toBeUndefined();
    expect(await columnNames({ path })).toEqual(["place", "value", "colour", "parity", "mark"]);
    const drain = async (options: StreamOptions) => {
      for await (const batch of streamTable({ path }, columns, options)) expect(batch.count).toBe(400);
    };
    await expect(drain({ marks: "place" })).rejects.toThrow(/column "place", row 3: 2 is neither 0 nor 1/);
    await expect(drain({ marks: "parity" })).rejects.toThrow(/column "parity": row 1 \("even"\)/);
    await expect(drain({ classes: { column: "parity", names: ["even"] } })).rejects.toThrow(
      /column "parity", row 2: the class "odd" was not there in training \(even\)/,
    );
  });

  test("missing columns, new categories and bad cells", async () => {
    const columns: readonly Column[] = [
      { kind: "numeric", name: "value", mean: 0, deviation: 1 },
      { kind: "categorical", name: "colour", categories: ["red", "green"] },
    ];
    const drain = async (path: string) => {
      for await (const batch of streamTable({ path }, columns)) expect(batch.count).toBeGreaterThan(0);
    };
    await expect(drain(await file("m.csv", "values,color\n1,red\n"))).rejects.toThrow(
      /no column "value" \(did you mean "values"\?\)/,
    );
    await expect(drain(await file("n.csv", "value,colour\n1,red\n2,pink\n"))).rejects.toThrow(
      /"colour", row 2: the category "pink" was not there in training \(red, green\)/,
    );
    await expect(drain(await file("o.csv", "value,colour\n1,red\nx,red\n"))).rejects.toThrow(/row 2 \("x"\)/);
    await expect(drain(await file("p.csv", "value,colour\n"))).rejects.toThrow(/no rows/);
  });
});

describe("writing", () => {
  const rows = [
    [1.5, 'say "hi"', Number.NaN],
    [-2e-7, "a, b\nc", 3],
    [0, "", 4],
  ] as const;

  test("CSV", async () => {
    const path = join(folder, "out/table.csv");
    await writeTable(path, ["x", "the text", "y"], rows);
    expect(await readFile(path, "utf8")).toBe(
      'x,the text,y\n1.5,"say ""hi""",NaN\n-2e-7,"a, b\nc",3\n0,,4\n',
    );
  });

  test("Parquet, read back by DuckDB, and nothing left beside it", async () => {
    const path = join(folder, "parquet/table.parquet");
    await writeTable(path, ["x", "the text", "y"], rows);
    expect(await readdir(join(folder, "parquet"))).toEqual(["table.parquet"]);
    const { DuckDBInstance } = await import("@duckdb/node-api");
    const connection = await (await DuckDBInstance.create()).connect();
    const read = await connection.runAndReadAll(`select * from '${path}'`);
    expect(read.columnNames()).toEqual(["x", "the text", "y"]);
    expect(read.getRows()).toEqual(rows);
    connection.closeSync();
  });

  test("Parquet that cannot be made: rows that do not fit the first one", async () => {
    const path = join(folder, "odd/table.parquet");
    const odd = [[1], ["not a number"]];
    await expect(writeTable(path, ["x"], odd)).rejects.toThrow(/cannot write .*table\.parquet: /);
    expect(await readdir(join(folder, "odd"))).toEqual([]);
  });

  test("another extension", async () => {
    await expect(writeTable(join(folder, "table.xls"), ["x"], rows)).rejects.toThrow(OptionError);
  });
});

const shared = new URL("../../../../shared/data/tables/", import.meta.url);

describe.skipIf(!existsSync(shared))("real tables (skipped where ../shared/data is absent)", () => {
  test.each([
    ["wine-red", "quality", 1599, 11],
    ["wine-white", "quality", 4898, 11],
    ["cardio", "anomaly", 1831, 21],
    ["vowels", "anomaly", 1456, 12],
    ["pendigits", "anomaly", 6870, 16],
  ])("%s", async (name, label, rows, width) => {
    const data = await openTable({ path: new URL(`${name}.csv`, shared).pathname }, { label });
    const { train, validation, test } = data.splits;
    expect(train.count + validation.count + test.count).toBe(rows);
    expect(data.sampleShape).toEqual([width]);
    expect(data.classes?.length).toBeGreaterThan(1);
  });
});
