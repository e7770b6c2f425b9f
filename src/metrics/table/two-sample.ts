import { OptionError } from "../../errors.ts";
import { Random } from "../../random.ts";
import { areaUnderRoc } from "../roc.ts";
import { boosting } from "./boosting.ts";
import { columnPairs, pickCells, type TableCells } from "./cells.ts";
import { type DesignKind, type DesignRows, designOf } from "./design.ts";

/** Learns to tell rows labeled 1 from rows labeled 0. @returns what gives log-odds of other rows */
export interface TableClassifier {
  readonly design: DesignKind;
  fit(rows: DesignRows, labels: Uint8Array): (rows: DesignRows) => Float64Array;
}

/** Gradient-boosted trees, `boosting` with its own defaults. */
export const treeClassifier: TableClassifier = {
  design: "trees",
  fit(rows, labels) {
    const model = boosting(rows, { kind: "classes", values: labels, classes: 2 });
    return (others) => model.predict(others);
  },
};

export interface TableTwoSampleOptions {
  /** Default: `treeClassifier`. */
  readonly classifier?: TableClassifier;
  /** Parts of cross-validation; default: 3. */
  readonly folds?: number;
  /** Seed of the choice of rows and of the parts. */
  readonly seed?: number;
}

/** How well a classifier tells real rows from synthetic ones. */
export interface TableTwoSample {
  /** The mean over the parts of the area under the ROC curve on rows that were not learned from: ½ where it cannot, 1 where it always can. */
  readonly areaUnderRoc: number;
  /** By part. */
  readonly folds: readonly number[];
  /** Rows of each table. */
  readonly count: number;
}

/** Positions of rows, divided at random into so many parts. */
function foldsOf(count: number, folds: number, random: Random): readonly Uint32Array[] {
  const order = random.permutation(count);
  return Array.from({ length: folds }, (_, fold) => order.filter((_, i) => i % folds === fold));
}

/** Rows of one table followed by those of another. */
function joined(a: DesignRows, b: DesignRows): DesignRows {
  const data = new Float64Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { count: a.count + b.count, size: a.size, data };
}

/** Areas under the ROC curve of a classifier by cross-validation over given parts of both tables, which have equally many rows. */
export function foldAreas(
  real: TableCells,
  synthetic: TableCells,
  classifier: TableClassifier,
  folds: readonly (readonly [ArrayLike<number>, ArrayLike<number>])[],
): readonly number[] {
  const design = designOf([real, synthetic], classifier.design);
  return folds.map(([ofReal, ofSynthetic]) => {
    const part = (table: TableCells, held: ArrayLike<number>, isHeld: boolean): TableCells => {
      const inside = new Set(Array.from(held));
      const rows = Array.from({ length: table.count }, (_, i) => i).filter((i) => inside.has(i) === isHeld);
      return pickCells(table, rows);
    };
    const [a, b] = [part(real, ofReal, false), part(synthetic, ofSynthetic, false)];
    const [c, d] = [part(real, ofReal, true), part(synthetic, ofSynthetic, true)];
    const odds = classifier.fit(
      joined(design(a), design(b)),
      new Uint8Array(a.count + b.count).fill(1, 0, a.count),
    );
    return areaUnderRoc(
      odds(joined(design(c), design(d))),
      new Uint8Array(c.count + d.count).fill(1, 0, c.count),
    );
  });
}

/**
 * Classifier two-sample test of tables: a classifier learns to tell real rows from synthetic ones, by cross-validation on equally many rows of
 * both (Lopez-Paz and Oquab 2017; SDMetrics' detection metrics, whose score is 2 (1 − area) of areas of ½ at least).
 * @throws OptionError where the tables have other columns, or fewer than two rows a part
 */
export function tableTwoSampleTest(
  real: TableCells,
  synthetic: TableCells,
  { classifier = treeClassifier, folds = 3, seed = 0 }: TableTwoSampleOptions = {},
): TableTwoSample {
  columnPairs("tableTwoSampleTest", real, synthetic);
  const count = Math.min(real.count, synthetic.count);
  if (!Number.isInteger(folds) || folds < 2 || count < 2 * folds) {
    throw new OptionError(
      `tableTwoSampleTest: ${count} rows of each table in ${folds} parts; there must be at least two parts of two rows`,
    );
  }
  const random = new Random(seed).split("table two-sample test");
  const some = (table: TableCells, name: string): TableCells =>
    pickCells(table, random.split(name).permutation(table.count).subarray(0, count));
  const [left, right] = [some(real, "real"), some(synthetic, "synthetic")];
  const [ofLeft, ofRight] = [
    foldsOf(count, folds, random.split("real parts")),
    foldsOf(count, folds, random.split("synthetic parts")),
  ];
  const areas = foldAreas(
    left,
    right,
    classifier,
    ofLeft.map((held, fold) => [held, ofRight[fold] ?? new Uint32Array()]),
  );
  return { areaUnderRoc: areas.reduce((sum, area) => sum + area, 0) / folds, folds: areas, count };
}
