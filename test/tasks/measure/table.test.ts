import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { columnsSchema } from "../../../src/data/sources/columns.ts";
import { range } from "../../../src/data/sources/data-set.ts";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { evaluateRun } from "../../../src/tasks/measure/eval.node.ts";
import { cellsOfSamples } from "../../../src/tasks/measure/table/cells.ts";
import { judgeSyntheticTable } from "../../../src/tasks/measure/table/synthetic.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

let folder: string;
let run: LoadedRun;

/** Rents follow from sizes; a tenth of the districts is missing. */
function lines(): string[] {
  const random = new Random(3);
  return Array.from({ length: 400 }, () => {
    const size = 20 + Math.floor(100 * random.uniform());
    const rent = (10 * size + 50 * random.normal()).toFixed(1);
    const district = random.uniform() < 0.1 ? "" : size > 70 ? "outer" : "inner";
    return [size, rent, district].join();
  });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, "flats.csv"), `size,rent,district\n${lines().join("\n")}\n`);
  const { fit } = await prepareFit({
    kind: "new",
    request: {
      model: "nice",
      data: join(folder, "flats.csv"),
      width: 16,
      steps: 20,
      batchSize: 64,
      threads: 1,
      out: join(folder, "run"),
    },
  });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  run = await loadRun(fit.folder.path, { threads: 1 });
});
afterAll(async () => {
  await run.session.release();
  await rm(folder, { recursive: true });
});

test("cells of samples are those of the table", async () => {
  const data = await run.data();
  const columns = columnsSchema.parse(data.columns);
  const { count, columns: cells } = cellsOfSamples(columns, data.splits.train.batch(range(0, 100)).x);
  expect(count).toBe(100);
  expect(cells.map(({ kind, name }) => [kind, name])).toEqual([
    ["numbers", "size"],
    ["numbers", "rent"],
    ["levels", "district"],
  ]);
  const [size, rent, district] = cells;
  for (let row = 0; row < count; row++) {
    const [s, r, d] = [size, rent, district].map((column) => present(column?.values[row]));
    expect(Number.isInteger(s)).toBe(true);
    expect(Math.abs(present(r) - 10 * present(s))).toBeLessThan(250);
    expect([-1, present(s) > 70 ? 1 : 0]).toContain(d);
  }
});

describe("eval of a table", () => {
  test("judges drawn rows as people do, and says what each number is of", async () => {
    const { syntheticTable, results, reduced } = await evaluateRun(run, { target: "rent" });
    expect(reduced).toEqual([]);
    const found = present(syntheticTable);
    expect(found.similarity.columns.map(({ name }) => name)).toEqual(["size", "rent", "district"]);
    expect(found.similarity.missing).toBeDefined();
    expect(found.target?.measure).toBe("R²");
    const names = results.map(({ name }) => name);
    for (const name of [
      "column shapes",
      "pair trends",
      "column coverage",
      "boundary adherence",
      "share of gaps",
      "classifier AUROC, trees",
      "classifier AUROC, logistic",
      "rent by drawn rows, R²",
      "distance to training rows",
      "nearer to training rows",
    ]) {
      expect(names).toContain(name);
    }
    expect(results.every(({ value }) => Number.isFinite(value))).toBe(true);
  });

  test("the data itself is the best there is, and copies of it are found", async () => {
    const data = await run.data();
    const { train } = data.splits;
    const copies = train.batch(range(0, train.count)).x;
    const own = judgeSyntheticTable(data, copies, { split: "test", seed: 0, target: "rent" });
    expect(own.similarity.shapes).toBeGreaterThan(0.85);
    expect(own.similarity.adherence).toBe(1);
    expect(own.twoSample?.trees.areaUnderRoc).toBeLessThan(0.68);
    expect(own.target?.synthetic).toBeCloseTo(present(own.target).real, 12);
    expect(own.target?.real).toBeGreaterThan(0.85);
    expect(own.privacy?.copies).toBe(1);
    expect(own.privacy?.nearerToTraining).toBeGreaterThan(own.privacy?.heldOutCopies ?? 1);
  });

  test("cells that are hidden are filled in, of every kind, and coverage is told", async () => {
    const { imputations, results } = await evaluateRun(run, { imputedRows: 20, most: { drawn: 20 } });
    const found = present(imputations);
    expect(found.coverage).toHaveLength(3);
    expect(found.columns.map(({ name }) => name)).toEqual(["size", "rent", "district"]);
    expect(found.rows).toBe(20);
    const names = results.map(({ name }) => name);
    for (const name of ["imputed within 80 %", "error of imputed numbers", "imputed levels right"]) {
      expect(names).toContain(name);
    }
  });

  test("a target that the table has not is refused before any work", async () => {
    await expect(evaluateRun(run, { target: "rnet" })).rejects.toThrow("did you mean rent?");
  });
});
