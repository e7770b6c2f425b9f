import { OptionError } from "../../errors.ts";
import { nearest } from "../../nearest.ts";
import { firstNames } from "../../printable.ts";
import { areaUnderRoc } from "../roc.ts";
import { type BoostingTarget, boosting } from "./boosting.ts";
import { columnPairs, pickCells, type TableCells } from "./cells.ts";
import { designOf } from "./design.ts";

/** How a column is predicted of the others by what was learned of synthetic rows, and of real rows: both on held-out real rows. */
export interface TargetScores {
  readonly target: string;
  /** R² of numbers; area under the ROC curve of two levels; mean F1 of the levels of more. */
  readonly measure: "R²" | "AUROC" | "macro F1";
  readonly synthetic: number;
  readonly real: number;
  /** Share of right levels. */
  readonly accuracy?: { readonly synthetic: number; readonly real: number };
  /** Rows that were learned from, of each, and rows that both were tested on. */
  readonly trainRows: number;
  readonly testRows: number;
}

/** R² = 1 − Σ (y − ŷ)² / Σ (y − mean)²; undefined where the truth does not vary. */
export function determination(truth: Float64Array, predicted: Float64Array): number | undefined {
  const mean = truth.reduce((sum, value) => sum + value, 0) / truth.length;
  const [left, all] = truth.reduce(
    ([a, b], value, i) =>
      [a + (value - (predicted[i] ?? 0)) ** 2, b + (value - mean) ** 2] as [number, number],
    [0, 0] as [number, number],
  );
  return all === 0 ? undefined : 1 - left / all;
}

/** The mean over classes that are there, or are predicted, of F1 = 2 TP / (2 TP + FP + FN). */
export function macroF1(truth: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): number {
  const [hit, held, said] = [0, 1, 2].map(() => new Float64Array(classes)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let i = 0; i < truth.length; i++) {
    const [y, p] = [truth[i] ?? 0, predicted[i] ?? 0];
    held[y] = (held[y] ?? 0) + 1;
    said[p] = (said[p] ?? 0) + 1;
    if (y === p) hit[y] = (hit[y] ?? 0) + 1;
  }
  const known = Array.from({ length: classes }, (_, c) => c).filter(
    (c) => (held[c] ?? 0) + (said[c] ?? 0) > 0,
  );
  return (
    known.reduce((sum, c) => sum + (2 * (hit[c] ?? 0)) / ((held[c] ?? 0) + (said[c] ?? 0)), 0) /
    Math.max(1, known.length)
  );
}

/** Rows whose target is there. */
function withTarget(table: TableCells, k: number): TableCells {
  const column = table.columns[k];
  const rows = Array.from({ length: table.count }, (_, i) => i).filter((i) => {
    const value = column?.values[i] ?? Number.NaN;
    return column?.kind === "levels" ? value >= 0 : !Number.isNaN(value);
  });
  return rows.length === table.count ? table : pickCells(table, rows);
}

/**
 * Train on synthetic, test on real (Esteban et al. 2017, "Real-valued medical time series generation with recurrent conditional GANs"): gradient-boosted trees
 * learn to predict a column of the others, once of synthetic rows and once of as many real ones, and both predict it for held-out real rows.
 * @throws OptionError where there is no such column, the tables have other columns, or too few rows have the target
 */
export function trainOnSynthetic(
  tables: { readonly synthetic: TableCells; readonly training: TableCells; readonly test: TableCells },
  target: string,
): TargetScores {
  const name = "trainOnSynthetic";
  columnPairs(name, tables.training, tables.synthetic);
  columnPairs(name, tables.training, tables.test);
  const names = tables.training.columns.map((column) => column.name);
  const k = names.indexOf(target);
  if (k < 0) {
    const meant = nearest(target, names);
    throw new OptionError(
      `option target: there is no column ${JSON.stringify(target)}${meant === undefined ? `; there are ${firstNames(names, 12)}` : `; did you mean ${meant}?`}`,
    );
  }
  if (names.length < 2) throw new OptionError("option target: there is no other column to predict it of");
  const [synthetic, training, test] = [
    withTarget(tables.synthetic, k),
    withTarget(tables.training, k),
    withTarget(tables.test, k),
  ];
  const trainRows = Math.min(synthetic.count, training.count);
  if (trainRows < 10 || test.count < 2) {
    throw new OptionError(
      `option target: ${trainRows} rows to learn from and ${test.count} to test on have a cell of ${target}; there must be 10 and 2`,
    );
  }
  const evenly = (table: TableCells): TableCells =>
    table.count === trainRows
      ? table
      : pickCells(
          table,
          Uint32Array.from({ length: trainRows }, (_, i) =>
            Math.floor(((i + 0.5) * table.count) / trainRows),
          ),
        );
  const design = designOf([training, synthetic, test], "trees", target);
  const predict = (table: TableCells): Float64Array => {
    const rows = evenly(table);
    const column = rows.columns[k];
    const wanted: BoostingTarget =
      column?.kind === "levels"
        ? { kind: "classes", values: column.values, classes: Math.max(2, column.levels.length) }
        : { kind: "numbers", values: Float64Array.from(column?.values ?? []) };
    return boosting(design(rows), wanted).predict(design(test));
  };
  const [ofSynthetic, ofReal] = [predict(synthetic), predict(training)];
  const common = { target, trainRows, testRows: test.count } as const;
  const truth = test.columns[k];
  if (truth?.kind !== "levels") {
    const values = Float64Array.from(truth?.values ?? []);
    const [a, b] = [determination(values, ofSynthetic), determination(values, ofReal)];
    if (a === undefined || b === undefined)
      throw new OptionError(`option target: ${target} is the same in all rows to test on`);
    return { ...common, measure: "R²", synthetic: a, real: b };
  }
  const classes = Math.max(2, truth.levels.length);
  const pick = (scores: Float64Array): Uint32Array =>
    Uint32Array.from({ length: test.count }, (_, i) => {
      if (classes === 2) return (scores[i] ?? 0) > 0 ? 1 : 0;
      const own = scores.subarray(i * classes, (i + 1) * classes);
      return own.reduce((best, score, c) => (score > (own[best] ?? 0) ? c : best), 0);
    });
  const right = (scores: Float64Array): number =>
    pick(scores).reduce((sum, level, i) => sum + (level === truth.values[i] ? 1 : 0), 0) / test.count;
  const accuracy = { synthetic: right(ofSynthetic), real: right(ofReal) };
  const isBoth = classes === 2 && new Set(truth.values).size === 2;
  const score = (scores: Float64Array): number =>
    isBoth ? areaUnderRoc(scores, truth.values) : macroF1(truth.values, pick(scores), classes);
  return {
    ...common,
    measure: isBoth ? "AUROC" : "macro F1",
    synthetic: score(ofSynthetic),
    real: score(ofReal),
    accuracy,
  };
}
