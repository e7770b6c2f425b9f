import { expect, test } from "vitest";
import type { Column } from "../../../src/data/sources/columns.ts";
import { type DataSet, storedSplit } from "../../../src/data/sources/data-set.ts";
import { Random } from "../../../src/random.ts";
import { imputationQuality } from "../../../src/tasks/measure/table/imputation.ts";
import { float32 } from "../../../src/tensor/array.ts";
import { present } from "../../support.ts";

// Two standard normal columns of correlation 0.8, and a level that is drawn with probability 0.7: what draws of the exact conditionals come to.

const ROWS = 1500;
const CORRELATION = 0.8;
const COLUMNS: readonly Column[] = [
  ...["a", "b"].map((name): Column => ({ kind: "numeric", name, mean: 0, deviation: 1 })),
  { kind: "categorical", name: "c", categories: ["x", "y"] },
];

function rowOf(random: Random): number[] {
  const a = random.normal();
  const b = CORRELATION * a + Math.sqrt(1 - CORRELATION ** 2) * random.normal();
  return [a, b, ...(random.uniform() < 0.7 ? [1, 0] : [0, 1])];
}

function table(): Pick<DataSet, "columns" | "splits"> {
  const random = new Random(9);
  const store = Float32Array.from(Array.from({ length: ROWS }, () => rowOf(random)).flat());
  const order = Uint32Array.from({ length: ROWS }, (_, i) => i);
  const split = storedSplit(store, [4], order);
  return { columns: COLUMNS, splits: { train: split, validation: split, test: split } };
}

/** Draws given the other cells; deviations are multiplied by `spread`. */
const drawn =
  (spread: number): Parameters<typeof imputationQuality>[2] =>
  async (x, known, draws) => {
    const random = new Random(4);
    const rows = x.shape[0] ?? 0;
    const all = new Float32Array(rows * draws * 4);
    for (let row = 0; row < rows; row++) {
      for (let draw = 0; draw < draws; draw++) {
        const own = Array.from(x.data.subarray(4 * row, 4 * row + 4));
        const isKnown = Array.from(known.data.subarray(4 * row, 4 * row + 4), (value) => value === 1);
        const deviation = spread * Math.sqrt(1 - CORRELATION ** 2);
        const [a = 0, b = 0] = own;
        if (!isKnown[0] && isKnown[1]) own[0] = CORRELATION * b + deviation * random.normal();
        else if (!isKnown[0]) own[0] = spread * random.normal();
        if (!isKnown[1])
          own[1] = CORRELATION * (isKnown[0] ? a : (own[0] ?? 0)) + deviation * random.normal();
        if (!isKnown[2]) [own[2], own[3]] = random.uniform() < 0.7 ? [1, 0] : [0, 1];
        all.set(own, 4 * (row * draws + draw));
      }
    }
    return float32(all, [rows, draws, 4]);
  };

test("exact draws cover the truth as often as their intervals say", async () => {
  const data = table();
  const { coverage, error, agreement, cells, columns } = await imputationQuality(
    data,
    data.splits.test,
    drawn(1),
    { rows: ROWS, seed: 1 },
  );
  // Deviations of shares of some 1,400 cells are 0.014 at most.
  for (const [i, level] of [0.5, 0.8, 0.9].entries()) {
    expect(Math.abs(present(coverage?.[i]) - level)).toBeLessThan(0.06);
  }
  expect(error).toBeGreaterThan(0.5);
  expect(error).toBeLessThan(0.8);
  expect(Math.abs(present(agreement).truth - 0.58)).toBeLessThan(0.06);
  expect(Math.abs(present(agreement).draws - 0.58)).toBeLessThan(0.03);
  expect(columns.map(({ name }) => name)).toEqual(["a", "b", "c"]);
  expect(cells).toBeGreaterThan(ROWS);
});

test("draws that are too sure cover less, and known cells are not shown to be unknown", async () => {
  const data = table();
  const sure = await imputationQuality(data, data.splits.test, drawn(0.3), { rows: 300, seed: 1 });
  expect(present(sure.coverage?.[2])).toBeLessThan(0.65);
  const some = await imputationQuality(data, data.splits.test, drawn(1), {
    rows: 50,
    seed: 1,
    given: ["a", "c"],
  });
  expect(some.columns.map(({ name, cells }) => [name, cells])).toEqual([["b", 50]]);
});
