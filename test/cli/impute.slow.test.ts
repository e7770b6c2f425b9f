import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openTable } from "../../src/data/table/table.node.ts";
import { Random } from "../../src/random.ts";
import { temporaryFolder } from "../support.ts";
import { readCsv, refused, succeed } from "./support.ts";

let cwd: string;
const QUICK = [
  "--width",
  "32",
  "--batch-size",
  "64",
  "--sample-pictures",
  "0",
  "--report",
  "none",
  "--steps",
  "300",
];

/** Lines of a table: b ≈ 2 a + 10, and a is about −2 in the kind "low", 2 in "high". */
function lines(count: number): string[] {
  const random = new Random(5);
  return Array.from({ length: count }, (_, i) => {
    const kind = i % 2 === 0 ? "low" : "high";
    const a = (i % 2 === 0 ? -2 : 2) + 0.5 * random.normal();
    return `${a.toFixed(3)},${(2 * a + 10 + 0.3 * random.normal()).toFixed(3)},${kind},row ${i}`;
  });
}

beforeAll(async () => {
  cwd = await temporaryFolder();
  await writeFile(join(cwd, "data.csv"), `a,b,kind,note\n${lines(800).join("\n")}\n`);
  const columns = ["--columns", "a,b,kind", "--categorical", "kind"];
  await succeed(["fit", "nice", "data.csv", ...columns, ...QUICK, "--out", "run"], cwd);
  await succeed(["fit", "maf", "data.csv", ...columns, ...QUICK, "--given", "kind,a", "--out", "given"], cwd);
  const gaps = [
    "a,b,kind,note",
    '1.70,13.5,high,"a, note"',
    "2.000,,high,",
    ",6.00,low,x",
    "-2.1,5.8,,y",
    ",,,z",
  ];
  await writeFile(join(cwd, "gaps.csv"), `${gaps.join("\n")}\n`);
});

describe("impute", () => {
  test("fills in gaps from the other cells, keeps all else, and numbers the draws", async () => {
    const { stdout } = await succeed(
      ["impute", "run", "gaps.csv", "--draws", "20", "--out", "filled.csv"],
      cwd,
    );
    expect(stdout).toMatch(/gaps\.csv: 6 missing cells in 4 of 5 rows, 20 draws each in .* s: filled\.csv/);
    const text = await readFile(join(cwd, "filled.csv"), "utf8");
    const [head, first, ...rest] = text.trim().split("\n");
    expect(head).toBe("a,b,kind,note,draw");
    expect(first).toBe('1.70,13.5,high,"a, note",0');
    expect(rest[0]).toBe('1.70,13.5,high,"a, note",1');
    expect(rest.length).toBe(99);
    const rows = rest.slice(19).map((line) => line.split(","));
    const draws = (row: number) => rows.slice(20 * (row - 1), 20 * row);
    const mean = (row: number, column: number): number =>
      draws(row).reduce((sum, cells) => sum + Number(cells[column]) / 20, 0);
    expect(
      draws(1).every(([a, b, kind, note]) => a === "2.000" && b !== "" && kind === "high" && note === ""),
    ).toBe(true);
    expect(draws(1).map((cells) => cells[4])).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
    expect(Math.abs(mean(1, 1) - 14)).toBeLessThan(1);
    expect(new Set(draws(1).map(([, b]) => b)).size).toBe(20);
    expect(Math.abs(mean(2, 0) + 2)).toBeLessThan(0.6);
    const lows = draws(3).filter(([, , kind]) => kind === "low").length;
    expect(lows).toBeGreaterThan(16);
    expect(draws(4).every(([a, b, kind]) => a !== "" && b !== "" && /^(low|high)$/.test(kind ?? ""))).toBe(
      true,
    );
    expect(new Set(draws(4).map(([, , kind]) => kind))).toEqual(new Set(["low", "high"]));
  });

  test("writes Parquet with the types of the columns, and reads its NULLs and NaNs", async () => {
    await succeed(
      ["impute", "run", "gaps.csv", "--draws", "2", "--steps", "8", "--out", "filled.parquet"],
      cwd,
    );
    const query = `select case when i = 1 then null else a end as a, case when i = 2 then 'nan'::double else b end as b, kind, i from (select *, row_number() over () as i from '${join(cwd, "filled.parquet")}')`;
    await succeed(["impute", "run", query, "--draws", "1", "--steps", "8", "--out", "again.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "again.csv"));
    expect(names).toEqual(["a", "b", "kind", "i", "draw"]);
    expect(rows.length).toBe(10);
    expect(rows.every(([a, b]) => Number.isFinite(Number(a)) && a !== "" && Number.isFinite(Number(b)))).toBe(
      true,
    );
    expect(rows[2]?.slice(0, 4)).toEqual(["2.0", rows[2]?.[1], "high", "3"]);
    const table = await openTable(
      { sql: `select a, b, draw from '${join(cwd, "filled.parquet")}'` },
      { validation: 0, test: 0 },
    );
    expect(table.splits.train.count).toBe(10);
  });

  test("refuses what is neither a value nor missing, gaps in given columns, and other data", async () => {
    await writeFile(join(cwd, "bad.csv"), "a,b,kind\n1,2,low\n1,two,low\n");
    await writeFile(join(cwd, "new.csv"), "a,b,kind\n1,,middle\n");
    await writeFile(join(cwd, "draw.csv"), "a,b,kind,draw\n1,,low,1\n");
    const refuse = (run: string, ...args: string[]) => refused(["impute", run, ...args], cwd);
    expect(await refuse("run", "bad.csv")).toMatch(/column "b": row 2 \("two"\)/);
    expect(await refuse("run", "new.csv")).toMatch(
      /column "kind", row 1: the category "middle" was not there/,
    );
    expect(await refuse("run", "draw.csv")).toMatch(/has a column "draw"/);
    expect(await refuse("given", "gaps.csv")).toMatch(
      /column "a", row 3: the cell is missing, but the model is/,
    );
    expect(await refuse("run", "images")).toMatch(/images is no table/);
    expect(await refuse("run", "gaps.csv", "--out", "x.txt")).toMatch(
      /x\.txt must end in \.csv or \.parquet/,
    );
  });
});

describe("sample --given", () => {
  test("draws the other columns under the values that are given, in the table's units", async () => {
    const given = ["--given", "kind=high", "--given", "a=2.5"];
    await succeed(["sample", "given", ...given, "--count", "200", "--out", "under.csv"], cwd);
    const { names, rows } = await readCsv(join(cwd, "under.csv"));
    expect(names).toEqual(["a", "b", "kind"]);
    expect(rows.every(([a, , kind]) => Math.abs(Number(a) - 2.5) < 1e-5 && kind === "high")).toBe(true);
    const mean = rows.reduce((sum, [, b]) => sum + Number(b) / rows.length, 0);
    expect(Math.abs(mean - 15)).toBeLessThan(0.7);
  });

  test("without values takes those of rows of the data", async () => {
    await succeed(["sample", "given", "--count", "200", "--out", "joint.csv"], cwd);
    const { rows } = await readCsv(join(cwd, "joint.csv"));
    const highs = rows.filter(([, , kind]) => kind === "high").length;
    expect(highs).toBeGreaterThan(60);
    expect(highs).toBeLessThan(140);
  });

  test("names the column that is wrong", async () => {
    const refuse = (run: string, ...values: string[]) =>
      refused(["sample", run, ...values.flatMap((value) => ["--given", value])], cwd);
    expect(await refuse("given", "a=1")).toMatch(/column kind has no value; add --given kind=VALUE/);
    expect(await refuse("given", "a=x", "kind=low")).toMatch(/column a holds numbers, not "x"/);
    expect(await refuse("given", "a=1", "kind=lo")).toMatch(
      /column kind has no category "lo"; there are high, low/,
    );
    expect(await refuse("given", "a=1", "kin=low")).toMatch(/not conditioned on kin; did you mean kind/);
    expect(await refuse("given", "a")).toMatch(/"a" must be NAME=VALUE/);
    expect(await refuse("run", "a=1")).toMatch(/conditioned on no columns/);
  });
});
