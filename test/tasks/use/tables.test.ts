import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { sampleRows } from "../../../src/tasks/run/outputs.node.ts";
import { imputeTable } from "../../../src/tasks/use/impute.node.ts";
import { sampleRun } from "../../../src/tasks/use/sample.node.ts";
import { score } from "../../../src/tasks/use/score.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { temporaryFolder } from "../../support.ts";

// Tables as people have them through every family of models: whole numbers, cents, categories and gaps, from fit to score.

let folder: string;
const ROWS = 240;

/** Older members earn more; a fifth of the incomes and a tenth of the cities are missing. */
function lines(): string[] {
  const random = new Random(11);
  return Array.from({ length: ROWS }, () => {
    const age = 18 + Math.floor(60 * random.uniform());
    const income = (1000 + 40 * age + 300 * random.normal()).toFixed(2);
    const city = ["Rome", "Oslo", "Lima"][Math.floor(3 * random.uniform() ** 2)] ?? "";
    const gap = random.uniform();
    const member = age > 40 ? "yes" : "no";
    const joined = new Date(Date.UTC(2015, 0, 1 + Math.floor(2000 * random.uniform()))).toISOString();
    return [age, gap < 0.2 ? "" : income, member, gap > 0.9 ? "" : city, joined.slice(0, 10)].join();
  });
}

/** Bits, of which the last column misses a quarter. */
function bitLines(): string[] {
  const random = new Random(12);
  return Array.from({ length: ROWS }, () => {
    const a = random.uniform() < 0.3 ? 1 : 0;
    const b = random.uniform() < (a === 1 ? 0.9 : 0.1) ? 1 : 0;
    return [a, b, random.uniform() < 0.25 ? "" : b].join();
  });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, "people.csv"), `age,income,member,city,joined\n${lines().join("\n")}\n`);
  await writeFile(join(folder, "bits.csv"), `a,b,c\n${bitLines().join("\n")}\n`);
  await writeFile(
    join(folder, "new.csv"),
    "age,income,member,city,joined\n30,,no,,2016-05-05\n50,3000.50,yes,Rome,2016-05-06\n,,,,\n",
  );
});
afterAll(() => rm(folder, { recursive: true }));

async function fitted(model: string, data: string, options: object): Promise<LoadedRun> {
  const request = {
    model,
    data: join(folder, data),
    ...options,
    steps: 60,
    batchSize: 64,
    threads: 1,
    out: join(folder, `${model}-${data}`),
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return loadRun(fit.folder.path, { threads: 1 });
}

async function scores(run: LoadedRun, data?: string): Promise<number[]> {
  const all: number[] = [];
  for await (const { logLikelihood } of score(run, data)) all.push(...logLikelihood);
  return all;
}

describe.each([
  ["maf", { width: 16 }],
  ["spline-flow", { width: 16 }],
  ["vae", { width: 16 }],
  ["rectified-flow", { width: 16 }],
  ["gan", { width: 16 }],
])("%s", (model, options) => {
  let run: LoadedRun;
  beforeAll(async () => {
    run = await fitted(model, "people.csv", options);
  });
  afterAll(() => run.session.release());

  test("draws rows as the table has them, with gaps where they are asked for", async () => {
    const complete = sampleRows(run.config.dataInfo, await sampleRun(run, { count: 10, seed: 1 }));
    for (const [age, income, member, city, joined] of complete.rows) {
      expect(joined).toMatch(/^20(1[5-9]|20)-[01]\d-[0-3]\d$/);
      expect(Number.isInteger(age)).toBe(true);
      expect(Number(age)).toBeGreaterThanOrEqual(18);
      expect(Number(age)).toBeLessThanOrEqual(77);
      expect(income).toBe(Number(Number(income).toFixed(2)));
      expect(income).not.toBeNull();
      expect(["yes", "no"]).toContain(member);
      expect(["Rome", "Oslo", "Lima"]).toContain(city);
    }
    const { rows } = sampleRows(
      run.config.dataInfo,
      await sampleRun(run, { count: 200, seed: 1, gaps: true }),
    );
    const gaps = rows.filter(([, income]) => income === null).length;
    expect(gaps).toBeGreaterThan(0);
    expect(gaps).toBeLessThan(190);
    expect(rows.every(([age]) => age !== null)).toBe(true);
  });

  test.skipIf(model === "gan")(
    "fills in gaps with values of the columns, and scores rows with gaps",
    async () => {
      const { rows, types } = await imputeTable(run, join(folder, "new.csv"), { draws: 2, steps: 8 });
      expect(types.slice(0, 2)).toEqual(["BIGINT", "DOUBLE"]);
      const filled: (readonly unknown[])[] = [];
      for await (const row of rows) filled.push(row);
      expect(filled).toHaveLength(6);
      expect(filled[2]?.slice(0, 4)).toEqual(["50", "3000.50", "yes", "Rome"]);
      for (const [age, income, member, city, joined] of filled) {
        expect(joined).toMatch(/^20(1[5-9]|20)-[01]\d-[0-3]\d$/);
        expect(Number.isInteger(Number(age))).toBe(true);
        expect(Number.isFinite(Number(income)) && income !== null).toBe(true);
        expect(["yes", "no"]).toContain(member);
        expect(["Rome", "Oslo", "Lima"]).toContain(city);
      }
      const all = await scores(run);
      expect(all.length).toBe(24);
      expect(all.every(Number.isFinite)).toBe(true);
      await writeFile(
        join(folder, "gapped.csv"),
        "age,income,member,city,joined\n30,,no,,2016-05-05\n50,3000.50,yes,Rome,2016-05-06\n",
      );
      expect((await scores(run, join(folder, "gapped.csv"))).every(Number.isFinite)).toBe(true);
      // The model has never seen a missing age.
      await expect(scores(run, join(folder, "new.csv"))).rejects.toThrow(/column "age": row 3 \(missing\)/);
    },
  );
});

describe.each([
  ["made", { width: 16 }],
  ["nade", { width: 16 }],
  ["fvsbn", {}],
])("%s", (model, options) => {
  test("learns bits with gaps: probabilities of all rows and gaps sum to 1", async () => {
    const run = await fitted(model, "bits.csv", options);
    const rows = [0, 1].flatMap((a) => [0, 1].flatMap((b) => ["0", "1", ""].map((c) => `${a},${b},${c}`)));
    await writeFile(join(folder, "every.csv"), `a,b,c\n${rows.join("\n")}\n`);
    const all = await scores(run, join(folder, "every.csv"));
    const total = all.reduce((sum, log) => sum + Math.exp(log), 0);
    // A bit beside its gap is 0; what a young model gives the 1 is missing.
    expect(total).toBeLessThan(1.0001);
    expect(total).toBeGreaterThan(0.7);
    const drawn = sampleRows(run.config.dataInfo, await sampleRun(run, { count: 60, seed: 2 }));
    expect(drawn.rows.flat().every((bit) => bit === 0 || bit === 1)).toBe(true);
    const gapped = sampleRows(run.config.dataInfo, await sampleRun(run, { count: 400, seed: 2, gaps: true }));
    const gaps = gapped.rows.filter(([, , c]) => c === null).length;
    expect(gaps / 400).toBeGreaterThan(0.1);
    expect(gaps / 400).toBeLessThan(0.4);
    const { rows: filled } = await imputeTable(run, join(folder, "every.csv"), { draws: 1 });
    for await (const row of filled) expect(row.every((cell) => cell === 0 || cell === 1)).toBe(true);
    await run.session.release();
  });
});

describe("cases that went wrong", () => {
  async function drawn(name: string, text: string): Promise<readonly (readonly number[])[]> {
    await writeFile(join(folder, `${name}.csv`), text);
    const run = await fitted("maf", `${name}.csv`, { width: 16 });
    const { rows } = sampleRows(run.config.dataInfo, await sampleRun(run, { count: 300, seed: 3 }));
    await run.session.release();
    return [0, 1].map((column) => rows.map((row) => Number(row[column])));
  }
  const deviation = (values: readonly number[]): number => {
    const mean = values.reduce((sum, value) => sum + value / values.length, 0);
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0));
  };

  test("table-epoch-offset: columns far from zero keep their spread and their step", async () => {
    const random = new Random(3);
    const lines = Array.from({ length: 300 }, () => {
      const seconds = Math.round(1_700_000_000 + 17 * random.normal());
      return `${seconds},${(5_812_345 + 0.52 * random.normal()).toFixed(3)}`;
    });
    const [seconds = [], northing = []] = await drawn("epoch", `seconds,northing\n${lines.join("\n")}\n`);
    expect(deviation(seconds)).toBeGreaterThan(11);
    expect(deviation(seconds)).toBeLessThan(25);
    expect(seconds.every(Number.isInteger)).toBe(true);
    expect(new Set(seconds).size).toBeGreaterThan(30);
    expect(deviation(northing)).toBeGreaterThan(0.35);
    expect(deviation(northing)).toBeLessThan(0.8);
    expect(new Set(northing).size).toBeGreaterThan(200);
    expect(northing.every((value) => value === Number(value.toFixed(3)))).toBe(true);
  });

  test("table-outlier: one cell of 1e12 does not flatten a column", async () => {
    const random = new Random(3);
    const lines = Array.from(
      { length: 300 },
      (_, i) => `${i === 150 ? 1e12 : random.normal()},${random.normal()}`,
    );
    const [a = []] = await drawn("outlier", `a,b\n${lines.join("\n")}\n`);
    const sorted = a.toSorted((x, y) => x - y);
    expect(Math.abs(sorted[150] ?? 9)).toBeLessThan(0.6);
    expect((sorted[225] ?? 0) - (sorted[75] ?? 0)).toBeGreaterThan(0.7);
    expect((sorted[225] ?? 0) - (sorted[75] ?? 0)).toBeLessThan(2.5);
  });
});

test("rows complete refuses gaps, naming columns and rows", async () => {
  const request = {
    model: "maf",
    data: join(folder, "people.csv"),
    rows: "complete",
    out: join(folder, "no"),
  };
  await expect(prepareFit({ kind: "new", request })).rejects.toThrow(/missing/);
});

test("columns of every kind can be given, gaps or not, and come out as they were given", async () => {
  const given = ["age", "income", "member", "joined"];
  const request = {
    model: "maf",
    data: join(folder, "people.csv"),
    given,
    width: 16,
    steps: 5,
    threads: 1,
    out: join(folder, "given"),
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  const run = await loadRun(fit.folder.path, { threads: 1 });
  const values = { age: 41, income: "2500.25", member: "yes", joined: "2016-02-29" };
  const samples = await sampleRun(run, { count: 20, seed: 1, given: values });
  const { names, rows } = sampleRows(run.config.dataInfo, samples);
  for (const row of rows) {
    const cells = Object.fromEntries(names.map((name, i) => [name, row[i]]));
    expect(cells).toMatchObject({ age: 41, income: 2500.25, member: "yes", joined: "2016-02-29" });
    expect(["Rome", "Oslo", "Lima"]).toContain(cells.city);
  }
  await run.session.release();
});

test("imputed cells that lay beyond bounds are told, and no others", async () => {
  const run = await loadRun(join(folder, "maf-people.csv"), { threads: 1 });
  const told: { readonly column: string; readonly count: number }[] = [];
  let rows = 0;
  const { names, rows: filled } = await imputeTable(run, join(folder, "new.csv"), {
    draws: 300,
    onClipped: (columns, count) => {
      told.push(...columns);
      rows = count;
    },
  });
  const bounds = new Map<string, number>();
  const at = names.indexOf("age");
  for await (const row of filled) {
    const age = Number(row[at]);
    expect(age).toBeGreaterThanOrEqual(18);
    if (age === 18 || age === 77) bounds.set("age", (bounds.get("age") ?? 0) + 1);
  }
  // Two of the three rows have gaps; age is missing in one of them.
  expect(rows).toBe(600);
  expect(told.length).toBeGreaterThan(0);
  for (const { column, count } of told) {
    expect(["age", "income", "joined"]).toContain(column);
    expect(count).toBeLessThanOrEqual(column === "income" ? 600 : 300);
    if (column === "age") expect(count).toBeLessThanOrEqual(bounds.get("age") ?? 0);
  }
  await run.session.release();
});
