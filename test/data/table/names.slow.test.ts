import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CsvLines,
  isMarked,
  type MarkedCells,
  markFormula,
  unmarkFormula,
} from "../../../src/data/files/csv.ts";
import { openData } from "../../../src/data/open.node.ts";
import { range } from "../../../src/data/sources/data-set.ts";
import { rows } from "../../../src/data/sources/memory.ts";
import { decodeTable } from "../../../src/data/table/codec/index.ts";
import { missingTest } from "../../../src/data/table/columns/missing.ts";
import { openTable } from "../../../src/data/table/table.node.ts";
import { writeTable } from "../../../src/data/table/write.node.ts";
import { DataError, EidosError, FileError } from "../../../src/errors.ts";
import { NASTY_NAMES, nastyName, present, temporaryFolder } from "../../support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

let files = 0;

/** All cells of a table with the columns n (numbers) and c (categories), in order of n. */
async function cells(path: string, category = "c") {
  const data = await openTable({ path }, { categorical: [category], validation: 0, test: 0 });
  const columns = present(data.columns);
  const { x } = data.splits.train.batch(range(0, data.splits.train.count));
  const decoded = decodeTable(columns, x).map(([n, c]) => [Math.round(Number(n)), c] as const);
  return decoded.sort(([a], [b]) => a - b);
}

const isGap = missingTest();

/** Whether a text is a category, and not a gap. */
const readable = (text: string): boolean => !isGap(text.replace(/^\ufeff/, ""));

test("categories come back from CSV and Parquet as they were written, or are refused by row and column", async () => {
  const roundTrip = async (categories: readonly string[], extension: string) => {
    const path = join(root, `round-${files++}${extension}`);
    const texts = [...categories.filter(readable), "three", "more", "rows"];
    const written = texts.map((text, i): [number, string] => [i + 1, text]);
    try {
      await writeTable(path, ["n", "c"], written, undefined, { csvSafe: false });
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
      expect(String(error)).toMatch(/row \d+, column "c", .*half of a character/);
      return;
    }
    // DuckDB's package takes a byte order mark off the beginning of a text.
    expect(await cells(path)).toEqual(written.map(([n, text]) => [n, text.replace(/^\ufeff/, "")]));
    await rm(path);
  };
  const whole = NASTY_NAMES.filter((name) => !/\p{Surrogate}/u.test(name));
  for (const extension of [".csv", ".parquet"]) await roundTrip(whole, extension);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(nastyName, { minLength: 1, maxLength: 5 }),
      fc.constantFrom(".csv", ".parquet"),
      roundTrip,
    ),
    { numRuns: 25 },
  );
});

test("columns come back under their names, or are refused by name", async () => {
  for (const name of NASTY_NAMES.filter((name) => name.length < 100)) {
    for (const extension of [".csv", ".parquet"]) {
      const path = join(root, `column-${files++}${extension}`);
      const table = [
        [1, "a"],
        [2, "b"],
        [3, "c"],
      ];
      try {
        await writeTable(path, ["n", name], table, undefined, { csvSafe: false });
      } catch (error) {
        expect(error).toBeInstanceOf(EidosError);
        continue;
      }
      // A CSV file's names are trimmed, and a column without one is called by its number.
      const expected = extension === ".csv" ? name.trim() || "x1" : name;
      expect(await cells(path, expected)).toEqual(table);
    }
  }
});

test("rows in memory may have columns of any name", async () => {
  const all = ["__proto__", "constructor", "a\u0000b", "a.b[c]"];
  const row = (value: number) => Object.fromEntries(all.map((name, i) => [name, value * (i + 1)]));
  const data = await openData(rows([row(1), row(2), row(4), row(8)]));
  expect(data.columns?.map(({ name }) => name)).toEqual(all);
});

test("marks of formulas come off again, and numbers have none", () => {
  fc.assert(
    fc.property(nastyName, (text) => {
      expect(unmarkFormula(markFormula(text))).toBe(text);
    }),
  );
  const pairs = ["=1+1", "@SUM(A1)", "-2+3", "+a", "\t=1", "\r=1", "-", "'=1"].map((text) => [
    text,
    `'${text}`,
  ]);
  for (const [text = "", marked] of pairs) expect(markFormula(text)).toBe(marked);
  for (const text of ["-5", "+3.25e-7", "-.5", "-inf", " -5", "1-2", "a=b", "'quoted'", "'-5", ""]) {
    expect(markFormula(text)).toBe(text);
    expect(isMarked(text)).toBe(false);
  }
});

test("a table marks texts and names that spreadsheets take for formulas, and counts them", async () => {
  const table = [
    ["=1+1", -5],
    ["-2.5", 1],
    ['=HYPERLINK("x","y")', 2],
    ["plain", 3],
  ] as const;
  const path = join(root, "marked.csv");
  let marked: MarkedCells | undefined;
  const onMarked = (found: MarkedCells): void => {
    marked = found;
  };
  await writeTable(path, ["@name", "x"], table, undefined, { onMarked });
  expect(await readFile(path, "utf8")).toBe(
    `'@name,x\n'=1+1,-5\n-2.5,1\n"'=HYPERLINK(""x"",""y"")",2\nplain,3\n`,
  );
  expect(marked).toEqual({ count: 3, example: "@name", column: "@name" });

  marked = undefined;
  await writeTable(path, ["@name", "x"], table, undefined, { csvSafe: false, onMarked });
  expect(await readFile(path, "utf8")).toMatch(/^@name,x\n=1\+1,-5\n/);
  expect(marked).toBeUndefined();
  expect(new CsvLines(["a"]).row([null])).toBe("");
});

test("a NUL character in a path, a name of a column or a query is a typed error", async () => {
  await expect(openData("a\0b")).rejects.toThrow(FileError);
  await expect(openData("a\0b.csv")).rejects.toThrow(/a\\u0000b\.csv: the path holds a NUL/);
  await expect(writeTable(join(root, "a\0b.csv"), ["x"], [[1]])).rejects.toThrow(FileError);
  await expect(writeTable(join(root, "c.csv"), ["a\0b"], [[1]])).rejects.toThrow(
    /the name of column 1, "a\\u0000b", holds a NUL character/,
  );
  await writeFile(join(root, "nul.csv"), "x,a\0b\n1,2\n3,4\n");
  const named = openData(join(root, "nul.csv"));
  await expect(named).rejects.toThrow(DataError);
  await expect(named).rejects.toThrow(/"a\\u0000b" holds a NUL character/);
  await writeFile(join(root, "nul.json"), JSON.stringify([{ "a\0b": 1 }, { "a\0b": 2 }]));
  await expect(openData(join(root, "nul.json"))).rejects.toThrow(/holds a NUL character/);
});
