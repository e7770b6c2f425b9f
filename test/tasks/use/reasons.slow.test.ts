import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../../src/random.ts";
import { prepareFit } from "../../../src/tasks/fit/prepare.node.ts";
import { type LoadedRun, loadRun } from "../../../src/tasks/run/load.node.ts";
import { sampleRows } from "../../../src/tasks/run/outputs.node.ts";
import { rankAnomalies } from "../../../src/tasks/use/anomalies.node.ts";
import { hasReasons, mainReasons, reasonLine, reasonsOf } from "../../../src/tasks/use/reasons.node.ts";
import { sampleWhere } from "../../../src/tasks/use/sample-where.node.ts";
import { scoreSamples } from "../../../src/tasks/use/score.node.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { fitHere } from "../../../src/train/fit.node.ts";
import { present, temporaryFolder } from "../../support.ts";

let folder: string;

/** Costs follow from sizes, kinds from neither; a cell of kinds is missing now and then. */
function flats(): string[] {
  const random = new Random(8);
  return Array.from({ length: 400 }, () => {
    const size = 20 + 80 * random.uniform();
    const kind = random.uniform();
    return [
      size.toFixed(1),
      (10 * size + 20 * random.normal()).toFixed(1),
      kind < 0.1 ? "" : kind < 0.6 ? "old" : "new",
    ].join();
  });
}

/** Two bits that are nearly always equal, one that is free, with gaps in the last. */
function bits(): string[] {
  const random = new Random(9);
  return Array.from({ length: 400 }, () => {
    const a = random.uniform() < 0.5 ? 1 : 0;
    const b = random.uniform() < 0.95 ? a : 1 - a;
    return [a, b, random.uniform() < 0.2 ? "" : random.uniform() < 0.3 ? 1 : 0].join();
  });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, "flats.csv"), `size,cost,kind\n${flats().join("\n")}\n`);
  await writeFile(join(folder, "bits.csv"), `a,b,c\n${bits().join("\n")}\n`);
  await writeFile(
    join(folder, "odd.csv"),
    "size,cost,kind\n50,505,old\n50,950,old\n60,600,new\n500,600,new\n70,700,\n",
  );
});
afterAll(() => rm(folder, { recursive: true }));

async function fitted(model: string, data: string, steps: number): Promise<LoadedRun> {
  const request = {
    model,
    data: join(folder, data),
    width: 16,
    steps,
    batchSize: 128,
    learningRate: 0.01,
    threads: 1,
    out: join(folder, `run-${data}`),
  };
  const { fit } = await prepareFit({ kind: "new", request });
  const { draw: _d, finish: _f, ...rest } = fit;
  await fitHere(rest);
  return loadRun(fit.folder.path, { threads: 1 });
}

describe("a flow of numbers, levels and gaps", () => {
  let run: LoadedRun;
  beforeAll(async () => {
    run = await fitted("maf", "flats.csv", 200);
  });
  afterAll(() => run.session.release());

  test("never calls the cell itself usual: other noise of it is no other cell", async () => {
    const x = (await run.data()).splits.train.batch(Array.from({ length: 60 }, (_, i) => i)).x;
    const { rows } = await reasonsOf(run, x, { seed: 3 });
    const all = rows.flatMap((row) => mainReasons(row));
    expect(all.length).toBeGreaterThan(0);
    for (const { cell, usual } of all) expect(usual).not.toBe(cell);
  });

  test("names the cells that are odd, and what would be usual", async () => {
    const { order, why } = await rankAnomalies(run, join(folder, "odd.csv"), { why: 2 });
    const { method, draws, of, rows } = present(why);
    expect([method, draws, of]).toEqual(["replacement", 64, "training rows"]);
    expect(rows).toHaveLength(2);
    expect([...order.subarray(0, 2)].sort()).toEqual([1, 3]);
    for (const [i, position] of [...order.subarray(0, 2)].entries()) {
      const row = present(rows[i]);
      const [main] = row.reasons;
      if (position === 3) {
        // No cell but the size is odd.
        expect(main?.column).toBe("size");
        expect(main?.cell).toBe(500);
        expect(Number(main?.usual)).toBeLessThan(101);
      } else {
        expect(row.cells).toEqual({ size: 50, cost: 950, kind: "old" });
        expect(["size", "cost"]).toContain(main?.column);
      }
      expect(main?.nats).toBeGreaterThan(3);
      expect(mainReasons(row).some(({ column }) => column === "kind")).toBe(false);
      expect(reasonLine(row)).toMatch(/^(size|cost) [\d.]+ \(\+[\d.]+ nats; [\d.]+ would be usual\)/);
    }
  });

  test("are given where they are asked for, and the same each time", async () => {
    const data = join(folder, "odd.csv");
    expect(hasReasons(run)).toBe(true);
    expect((await rankAnomalies(run, data)).why).toBeUndefined();
    const [a, b] = [await rankAnomalies(run, data, { why: 9 }), await rankAnomalies(run, data, { why: 9 })];
    expect(a.why?.rows).toHaveLength(5);
    expect(a.why).toEqual(b.why);
  });
});

describe("rows under a condition", () => {
  let run: LoadedRun;
  beforeAll(async () => {
    run = await loadRun(join(folder, "run-flats.csv"), { threads: 1 });
  });
  afterAll(() => run.session.release());
  const where = "cost > 10 * size and kind = 'old' and size between 30 and 70";

  test("fulfil it, as many as asked for, the same each time, and how many were drawn is told", async () => {
    const told: unknown[] = [];
    const options = { count: 40, seed: 3, onAccepted: (found: unknown) => told.push(found) };
    const samples = await sampleWhere(run, where, options);
    const { rows } = sampleRows(run.config.dataInfo, samples);
    expect(rows).toHaveLength(40);
    for (const [size, cost, kind] of rows) {
      expect(Number(cost)).toBeGreaterThan(10 * Number(size));
      expect([kind, Number(size) >= 30, Number(size) <= 70]).toEqual(["old", true, true]);
    }
    expect(told).toEqual([{ drawn: expect.any(Number), accepted: expect.any(Number) }]);
    expect(await sampleWhere(run, where, options)).toEqual(samples);
  });

  test("that none fulfils is an error that says how many were tried, as is one of other columns", async () => {
    const options = { count: 2, seed: 3 };
    await expect(sampleWhere(run, "size > cost", options)).rejects.toThrow(
      "none of 20000 drawn rows fulfils it",
    );
    await expect(sampleWhere(run, "sise > 1", options)).rejects.toThrow('did you mean "size"?');
  });
});

test("zeros and ones have exact conditional probabilities", async () => {
  const run = await fitted("made", "bits.csv", 150);
  // a, b, gap of c, c: as the table has them, at odds with each other, missing.
  const x = float32(Float32Array.of(1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0), [3, 4]);
  const { method, rows } = await reasonsOf(run, x);
  expect(method).toBe("conditional");
  const score = async (...values: number[]) =>
    Math.exp((await scoreSamples(run, float32(Float32Array.from(values), [1, 4])))[0] ?? 0);
  const nats = (row: number, column: string) =>
    present(rows[row]?.reasons.find((reason) => reason.column === column)).nats;
  // By Bayes' theorem, of all values that the cell may have.
  const [p11, p01] = [await score(1, 1, 0, 0), await score(0, 1, 0, 0)];
  expect(nats(0, "a")).toBeCloseTo(-Math.log(p11 / (p11 + p01)), 4);
  const [one, zero, gap] = [await score(1, 0, 0, 1), await score(1, 0, 0, 0), await score(1, 0, 1, 0)];
  expect(nats(1, "c")).toBeCloseTo(-Math.log(one / (one + zero + gap)), 4);
  const [none, other, missing] = [await score(0, 0, 0, 0), await score(0, 0, 0, 1), await score(0, 0, 1, 0)];
  expect(nats(2, "c")).toBeCloseTo(-Math.log(missing / (none + other + missing)), 4);
  expect(nats(1, "a")).toBeGreaterThan(1);
  expect(nats(0, "a")).toBeLessThan(0.3);
  await run.session.release();
});
