import { describe, expect, test } from "vitest";
import {
  boosting,
  type ColumnCells,
  type TableCells,
  tableTwoSampleTest,
  trainOnSynthetic,
} from "../../../src/metrics/index.ts";
import { determination, foldAreas, macroF1 } from "../../../src/metrics/table/index.ts";
import { Random } from "../../../src/random.ts";
import { logisticTableClassifier } from "../../../src/tasks/measure/table/logistic-classifier.ts";
import { largestDifference } from "../../support.ts";
import { fixture, tableOf } from "./tables.ts";

describe("boosted trees against scikit-learn's", () => {
  const { grid, target, classes, three } = fixture.trees;
  const rows = {
    count: grid.length,
    size: 4,
    data: Float64Array.from(grid.flat(), (value) => value ?? Number.NaN),
  };
  const options = { rounds: 20, depth: 3 };

  test("numbers", () => {
    const values = Float64Array.from(target);
    const predicted = boosting(rows, { kind: "numbers", values }, options).predict(rows);
    expect(largestDifference(predicted, fixture.trees.numbers)).toBeLessThan(1e-5);
    expect(determination(values, predicted)).toBeCloseTo(fixture.trees.r2, 5);
  });

  test("two classes", () => {
    const model = boosting(rows, { kind: "classes", values: classes, classes: 2 }, options);
    expect(largestDifference(model.predict(rows), fixture.trees.logOdds)).toBeLessThan(1e-5);
  });

  test("three classes, up to a constant of each row", () => {
    const found = boosting(rows, { kind: "classes", values: three, classes: 3 }, options).predict(rows);
    const centered = (logits: readonly number[]) => logits.map((value) => value - (logits[0] ?? 0));
    const own = Array.from({ length: rows.count }, (_, i) => centered([...found.subarray(3 * i, 3 * i + 3)]));
    expect(largestDifference(own.flat(), fixture.trees.logits.flatMap(centered))).toBeLessThan(1e-4);
  });

  test("macro F1", () => {
    expect(macroF1(three, fixture.trees.guess, 3)).toBeCloseTo(fixture.trees.macroF1, 12);
  });
});

test("a linear classifier over given parts is scikit-learn's", () => {
  const first = (table: TableCells): TableCells => ({
    count: 60,
    columns: table.columns.map(
      (column): ColumnCells =>
        column.kind === "numbers"
          ? { ...column, values: column.values.subarray(0, 60) }
          : { ...column, values: column.values.subarray(0, 60) },
    ),
  });
  const [real, synthetic] = [first(tableOf(fixture.real)), first(tableOf(fixture.synthetic))];
  const areas = foldAreas(
    real,
    synthetic,
    logisticTableClassifier,
    fixture.parts.map((part) => [part, part]),
  );
  expect(largestDifference(areas, fixture.areas)).toBeLessThan(1e-6);
});

/** Two numbers of a correlation, and a level that follows from them. */
function rowsOf(count: number, correlation: number, seed: number): TableCells {
  const random = new Random(seed);
  const x = Float64Array.from({ length: count }, () => random.normal());
  const y = x.map((value) => correlation * value + Math.sqrt(1 - correlation ** 2) * random.normal());
  const isHigh = Int32Array.from(x, (value, i) => (value + (y[i] ?? 0) > 0 ? 1 : 0));
  return {
    count,
    columns: [
      { kind: "numbers", name: "x", values: x },
      { kind: "numbers", name: "y", values: y },
      { kind: "levels", name: "high", levels: ["no", "yes"], values: isHigh },
    ],
  };
}

test("trees see what lies in pairs, which a linear classifier does not", () => {
  const [real, alike, apart] = [rowsOf(600, 0.9, 1), rowsOf(600, 0.9, 2), rowsOf(600, -0.9, 3)];
  expect(Math.abs(tableTwoSampleTest(real, alike).areaUnderRoc - 0.5)).toBeLessThan(0.06);
  expect(tableTwoSampleTest(real, apart).areaUnderRoc).toBeGreaterThan(0.9);
  const linear = tableTwoSampleTest(real, apart, { classifier: logisticTableClassifier });
  expect(linear.areaUnderRoc).toBeLessThan(0.7);
});

describe("train on synthetic, test on real", () => {
  const training = rowsOf(500, 0.8, 4);
  const test_ = rowsOf(400, 0.8, 5);

  test("good rows teach as much as real ones, bad ones less", () => {
    const good = trainOnSynthetic({ synthetic: rowsOf(500, 0.8, 6), training, test: test_ }, "y");
    expect(good).toMatchObject({ measure: "R²", trainRows: 500, testRows: 400 });
    expect(good.real).toBeGreaterThan(0.55);
    expect(good.synthetic).toBeGreaterThan(good.real - 0.08);
    expect(
      trainOnSynthetic({ synthetic: rowsOf(500, -0.8, 6), training, test: test_ }, "y").synthetic,
    ).toBeLessThan(good.real - 0.2);
    const level = trainOnSynthetic({ synthetic: rowsOf(500, 0.8, 6), training, test: test_ }, "high");
    expect(level.measure).toBe("AUROC");
    expect(level.synthetic).toBeGreaterThan(0.97);
  });

  test("a target that is not there is refused", () => {
    expect(() => trainOnSynthetic({ synthetic: training, training, test: test_ }, "hihg")).toThrow(
      "did you mean high?",
    );
  });
});
