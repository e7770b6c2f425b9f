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
    return [age, gap < 0.2 ? "" : income, member, gap > 0.9 ? "" : city].join();
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
  await writeFile(join(folder, "people.csv"), `age,income,member,city\n${lines().join("\n")}\n`);
  await writeFile(join(folder, "bits.csv"), `a,b,c\n${bitLines().join("\n")}\n`);
  await writeFile(join(folder, "new.csv"), "age,income,member,city\n30,,no,\n50,3000.50,yes,Rome\n,,,\n");
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

const categorical = ["member", "city"];

describe.each([
  ["maf", { width: 16 }],
  ["spline-flow", { width: 16 }],
  ["vae", { width: 16 }],
  ["rectified-flow", { width: 16 }],
  ["gan", { width: 16 }],
])("%s", (model, options) => {
  let run: LoadedRun;
  beforeAll(async () => {
    run = await fitted(model, "people.csv", { ...options, categorical });
  });
  afterAll(() => run.session.release());

  test("draws rows as the table has them, with gaps where they are asked for", async () => {
    const complete = sampleRows(run.config.dataInfo, await sampleRun(run, { count: 10, seed: 1 }));
    for (const [age, income, member, city] of complete.rows) {
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
      for (const [age, income, member, city] of filled) {
        expect(Number.isInteger(Number(age))).toBe(true);
        expect(Number.isFinite(Number(income)) && income !== null).toBe(true);
        expect(["yes", "no"]).toContain(member);
        expect(["Rome", "Oslo", "Lima"]).toContain(city);
      }
      const all = await scores(run);
      expect(all.length).toBe(24);
      expect(all.every(Number.isFinite)).toBe(true);
      await writeFile(join(folder, "gapped.csv"), "age,income,member,city\n30,,no,\n50,3000.50,yes,Rome\n");
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

test("rows complete refuses gaps, naming columns and rows", async () => {
  const request = {
    model: "maf",
    data: join(folder, "people.csv"),
    categorical,
    rows: "complete",
    out: join(folder, "no"),
  };
  await expect(prepareFit({ kind: "new", request })).rejects.toThrow(/missing/);
});
