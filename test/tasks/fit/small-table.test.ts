import { expect, test } from "vitest";
import { smallTable } from "../../../src/tasks/fit/small-table.ts";
import { type FitInput, fitOptions, resolveFitOptions } from "../../../src/train/options.ts";
import type { RunConfig } from "../../../src/train/run-config.ts";

const info = (trainCount: number): RunConfig["dataInfo"] => ({
  kind: "table",
  sampleShape: [1],
  fingerprint: "",
  trainCount,
  columns: [{ kind: "numeric", name: "x", mean: 0, deviation: 1 }],
});
const MAF = { batchSize: 256, weightDecay: 1, optimizer: "adamw" } as const;
const scores = { can: ["score"] } as const;

/** The options of a fit of so many rows. */
function settled(rows: number, given: FitInput = {}) {
  const options = fitOptions.parse(given);
  const small = smallTable(scores, info(rows), options, MAF);
  return { note: small?.note, ...resolveFitOptions(options, { ...MAF, ...small?.preferences }, rows) };
}

test("few rows are learned in small batches, with more weight decay, and validated often", () => {
  expect(settled(202)).toMatchObject({
    note: "a small table, 202 rows to learn from: batches of 50 in place of 202, weight decay 5 in place of 1, a validation every 10 steps, an end after 25 of them without improvement",
    batchSize: 50,
    weightDecay: 5,
    validateEvery: 10,
    patience: 25,
    seconds: 120,
  });
  expect(settled(1500)).toMatchObject({ batchSize: 256, weightDecay: 1, validateEvery: 10, patience: 25 });
  expect(settled(20)).toMatchObject({ batchSize: 16 });
});

test("what is given stays, and nothing is said of it", () => {
  const all = { batchSize: 32, weightDecay: 0.5, validateEvery: 7, steps: 100 };
  expect(settled(202, all)).toMatchObject(all);
  expect(settled(202, all).note).toBeUndefined();
  expect(settled(202, { steps: 100 }).patience).toBeUndefined();
  expect(settled(202, { seconds: 9 })).toMatchObject({ patience: 25, validateSeconds: 0.45 });
});

test("large tables, other data and models without a likelihood are as ever", () => {
  expect(settled(5000)).toMatchObject({ note: undefined, batchSize: 256, validateEvery: 50 });
  const options = fitOptions.parse({});
  expect(smallTable({ can: ["sample"] }, info(100), options, MAF)).toBeUndefined();
  const { columns: _, ...points } = info(100);
  expect(smallTable(scores, points, options, MAF)).toBeUndefined();
});
