import { type Column, columnsSchema } from "../../../data/sources/columns.ts";
import { type DataSet, range, type Split, type SplitName } from "../../../data/sources/data-set.ts";
import {
  type TablePrivacy,
  type TableSimilarity,
  type TableTwoSample,
  type TargetScores,
  tablePrivacy,
  tableSimilarity,
  tableTwoSampleTest,
  trainOnSynthetic,
} from "../../../metrics/index.ts";
import { checkNames, type NamesOf } from "../../../options.ts";
import { Random } from "../../../random.ts";
import type { NdArray } from "../../../tensor/array.ts";
import { cellsOfSamples } from "./cells.ts";
import { logisticTableClassifier } from "./logistic-classifier.ts";

// What people judge synthetic tables by, of rows that a model drew.

/** Measures of a synthetic table, each with the numbers of rows that it depends on. */
export interface SyntheticTable {
  /** Against the split that is measured on; bounds are those of the training split. */
  readonly similarity: TableSimilarity;
  /** A classifier of real against synthetic rows: gradient-boosted trees, and logistic regression. Left out where there are too few rows. */
  readonly twoSample?: { readonly trees: TableTwoSample; readonly logistic: TableTwoSample };
  /** Where a target was named. */
  readonly target?: TargetScores;
  /** Left out where the training split itself is measured on. */
  readonly privacy?: TablePrivacy;
  readonly synthetic: number;
  readonly real: number;
}

export interface SyntheticTableOptions {
  /** The split whose rows stand for the data. */
  readonly split: SplitName;
  readonly seed: number;
  /** The column that is predicted of the others. */
  readonly target?: string | undefined;
}

/** Rows of each table that are compared, at most, and fewer than which no classifier learns from. */
const MOST_ROWS = 5000;
const LEAST_ROWS = 20;

/** Pairs of rows, times columns, that distances may take: about a second's work. */
const PAIR_WORK = 4e8;

/** Rows of a split, chosen at random where it has more. */
function rowsOf(split: Split, most: number, random: Random): NdArray<"float32"> {
  if (split.count <= most) return split.batch(range(0, split.count)).x;
  return split.batch(random.permutation(split.count).subarray(0, most)).x;
}

/**
 * Judges synthetic rows of a table.
 * @param drawn as the model draws them, with gaps, in data units
 * @throws OptionError where the target is no column
 */
export function judgeSyntheticTable(
  { splits, columns: stored }: Pick<DataSet, "splits" | "columns">,
  drawn: NdArray<"float32">,
  options: SyntheticTableOptions,
): SyntheticTable {
  checkNames("judgeSyntheticTable", options, { split: true, seed: true, target: true } satisfies NamesOf<
    typeof options
  >);
  const { split, seed, target } = options;
  const columns: readonly Column[] = columnsSchema.parse(stored);
  const random = new Random(seed).split("synthetic table");
  const cells = (samples: NdArray<"float32">) => cellsOfSamples(columns, samples);
  const synthetic = cells(drawn);
  const real = cells(rowsOf(splits[split], MOST_ROWS, random.split("real")));
  const training = cells(rowsOf(splits.train, MOST_ROWS, random.split("training")));
  const similarity = tableSimilarity(real, synthetic, { bounds: training, seed });
  const isLarge = Math.min(real.count, synthetic.count) >= LEAST_ROWS;
  const searched = Math.max(
    100,
    Math.floor(PAIR_WORK / ((synthetic.count + real.count) * Math.max(1, columns.length))),
  );
  const known =
    searched >= training.count ? training : cells(rowsOf(splits.train, searched, random.split("searched")));
  return {
    similarity,
    ...(isLarge && {
      twoSample: {
        trees: tableTwoSampleTest(real, synthetic, { seed }),
        logistic: tableTwoSampleTest(real, synthetic, { seed, classifier: logisticTableClassifier }),
      },
    }),
    ...(target !== undefined && { target: trainOnSynthetic({ synthetic, training, test: real }, target) }),
    ...(split !== "train" && { privacy: tablePrivacy(synthetic, known, real) }),
    synthetic: synthetic.count,
    real: real.count,
  };
}

/** A measure as a line of a table of results. */
export interface TableResult {
  readonly name: string;
  readonly value: number;
  readonly samples: number;
  readonly note: string;
}

const shown = (value: number): string => value.toFixed(3);

/** The columns with the least values of a measure. */
function lowest(
  columns: TableSimilarity["columns"],
  of: "shape" | "coverage" | "adherence" | "missing",
): string {
  const known = columns.flatMap((column) => {
    const value = column[of];
    return value === undefined ? [] : [{ name: column.name, value }];
  });
  const least = known
    .toSorted((a, b) => a.value - b.value)
    .slice(0, 3)
    .filter(({ value }) => value < 1);
  const count = `mean over ${known.length} column${known.length === 1 ? "" : "s"}`;
  return least.length === 0
    ? count
    : `${count}; least: ${least.map(({ name, value }) => `${name} ${shown(value)}`).join(", ")}`;
}

/** The measures of a synthetic table as lines, with what each is of. */
export function syntheticTableResults({
  similarity,
  twoSample,
  target,
  privacy,
  synthetic,
  real,
}: SyntheticTable): readonly TableResult[] {
  const { columns, pairs, allPairs } = similarity;
  const rows = `${synthetic} drawn against ${real} of the data`;
  const results: TableResult[] = [];
  const add = (name: string, value: number | undefined, note: string): void => {
    if (value !== undefined) results.push({ name, value, samples: real, note });
  };
  add(
    "column shapes",
    similarity.shapes,
    `1 is best; KS and TV complement, ${lowest(columns, "shape")}; ${rows}`,
  );
  const worst = pairs
    .slice(0, 2)
    .map(({ names, trend }) => `${names.join(" and ")} ${shown(trend)}`)
    .join(", ");
  add(
    "pair trends",
    similarity.trends,
    `1 is best; correlation and contingency similarity, mean over ${pairs.length} of ${allPairs} pairs${worst === "" ? "" : `; least: ${worst}`}`,
  );
  add(
    "column coverage",
    similarity.coverage,
    `1 is best; of ranges and of levels, ${lowest(columns, "coverage")}`,
  );
  add(
    "boundary adherence",
    similarity.adherence,
    `1 is best; numbers within the bounds of the training split before they are set to them, ${lowest(columns, "adherence")}`,
  );
  add(
    "share of gaps",
    similarity.missing,
    `1 is best; 1 less the difference of the shares of missing cells, ${lowest(columns, "missing")}`,
  );
  if (twoSample !== undefined) {
    const { trees, logistic } = twoSample;
    const folds = `${trees.count} rows of each, in ${trees.folds.length} parts`;
    add(
      "classifier AUROC, trees",
      trees.areaUnderRoc,
      `0.5 is best; real against drawn rows, gradient-boosted trees; ${folds}`,
    );
    add(
      "classifier AUROC, logistic",
      logistic.areaUnderRoc,
      `0.5 is best; the same by logistic regression, which sees no pairs; ${folds}`,
    );
  }
  if (target !== undefined) {
    const accuracy =
      target.accuracy === undefined
        ? ""
        : `; accuracy ${shown(target.accuracy.synthetic)}, of real rows ${shown(target.accuracy.real)}`;
    results.push({
      name: `${target.target} by drawn rows, ${target.measure}`,
      value: target.synthetic,
      samples: target.testRows,
      note: `trained on ${target.trainRows} drawn rows, tested on real ones; trained on as many real rows ${shown(target.real)}${accuracy}`,
    });
  }
  if (privacy !== undefined) {
    const { rows: of, ...found } = privacy;
    add(
      "distance to training rows",
      found.median,
      `median of the closest of ${of.training}; of held-out rows ${shown(found.heldOutMedian)}; fifth percentile ${shown(found.low)}, of held-out rows ${shown(found.heldOutLow)}`,
    );
    add(
      "nearer to training rows",
      found.nearerToTraining,
      `about 0.5 is right, towards 1 means copies; drawn rows nearer to one of ${of.training} training rows than to one of ${of.heldOut} held-out ones, as of equally many; copies ${shown(found.copies)}, among held-out rows ${shown(found.heldOutCopies)}`,
    );
  }
  return results;
}
