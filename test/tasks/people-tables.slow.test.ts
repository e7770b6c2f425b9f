import { readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writePeopleTables } from "../../scripts/people-tables.ts";
import { fit, openRun } from "../../src/index.ts";
import { sampleRows } from "../../src/tasks/run/outputs.node.ts";
import { temporaryFolder } from "../support.ts";

// Tables as people have them, from the file to the report, with nothing prepared and nothing declared.

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writePeopleTables(folder, 500);
});
afterAll(() => rm(folder, { recursive: true }));

const TABLES = [
  {
    file: "stays.csv",
    kinds: {
      age: "whole",
      smoker: "category",
      ward: "category",
      admission: "date",
      discharge: "date",
      cost: "real",
    },
    target: "cost",
    where: "discharge > admission",
    forms: { admission: /^20\d\d-\d\d-\d\d$/, cost: /^\d+(\.\d\d?)?$/ },
  },
  {
    file: "orders.csv",
    kinds: {
      date: "date",
      product: "category",
      pieces: "whole",
      total: "real",
      discount: "real",
      channel: "category",
    },
    target: "product",
    where: "pieces >= 2 and product <> 'cake'",
    forms: { date: /^\d\d\/\d\d\/20\d\d$/, total: /^\d+(\.\d\d?)?$/ },
  },
  {
    file: "readings.csv",
    kinds: { time: "date", temperature: "real", humidity: "whole", heating: "category", site: "category" },
    target: "humidity",
    where: "temperature between 8 and 16",
    forms: { time: /^2024-\d\d-\d\d \d\d:\d\d$/, humidity: /^\d+$/ },
  },
] as const;

describe.each(TABLES)("$file", ({ file, kinds, target, where, forms }) => {
  test("is fitted, drawn, imputed, scored and reported as it is", async () => {
    const out = join(folder, `run-${basename(file, ".csv")}`);
    const data = join(folder, file);
    await fit({ model: "nice", data, width: 64, steps: 300, threads: 1, report: "full", out });
    await using run = await openRun(out, { threads: 1 });

    const stored = run.config.dataInfo.columns ?? [];
    const kindOf = (column: (typeof stored)[number]): string => {
      const { kind, cells } = column as { kind: string; cells?: { of: { kind: string } } };
      return kind === "categorical" ? "category" : (cells?.of.kind ?? "real");
    };
    const found = Object.fromEntries(
      stored.map((column) => [(column as { name: string }).name, kindOf(column)]),
    );
    expect(found).toEqual(kinds);

    const samples = await run.sample({ count: 100, seed: 1, where });
    const { names, rows } = sampleRows(run.config.dataInfo, samples);
    expect(rows).toHaveLength(100);
    for (const [name, form] of Object.entries(forms)) {
      for (const row of rows) expect(String(row[names.indexOf(name)])).toMatch(form);
    }
    expect(rows.flat().every((cell) => cell !== null)).toBe(true);

    const { rows: filled } = await run.impute(data, { draws: 1 });
    let count = 0;
    const isModeled = (i: number): boolean => Object.hasOwn(kinds, names[i] ?? "");
    for await (const row of filled) {
      count++;
      // The key and the draw stand beside the columns of the model.
      expect(row.length).toBeGreaterThanOrEqual(names.filter((_, i) => isModeled(i)).length + 1);
      expect(row.every((cell) => cell !== null && cell !== "")).toBe(true);
    }
    expect(count).toBe(500);

    const { logLikelihood } = await run.score(data);
    expect(logLikelihood.every(Number.isFinite)).toBe(true);
    const { why } = await run.anomalies(data, { why: 3 });
    expect(why?.rows).toHaveLength(3);

    const evaluation = await run.evaluate({ target, imputedRows: 20 });
    expect(evaluation.reduced).toEqual([]);
    const { similarity } = evaluation.syntheticTable ?? { similarity: undefined };
    expect(similarity?.shapes).toBeGreaterThan(0.7);
    expect(similarity?.trends).toBeGreaterThan(0.6);
    expect(evaluation.imputations?.cells).toBeGreaterThan(20);

    const report = await readFile(join(out, "report.html"), "utf8");
    for (const text of ["column shapes", "nearer to training rows", "Unusual rows"])
      expect(report).toContain(text);
  });
});
