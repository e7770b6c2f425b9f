import { OptionError } from "../../errors.ts";

// Gradient boosting of small trees on bins (Friedman 2001; Chen and Guestrin 2016, XGBoost, sections 2.1 and 2.2): what people measure synthetic
// tables with, since it learns from columns of any kind and scale without preparation.

export interface BoostingOptions {
  /** Trees, or of more than two classes rounds of a tree for each class; default: 60. */
  readonly rounds?: number;
  /** Splits from the root to a leaf at most; default: 4. */
  readonly depth?: number;
  /** Share of each tree that counts; default: 0.1. */
  readonly learningRate?: number;
  /** Penalty of the squared values of leaves; default: 1. */
  readonly l2?: number;
  /** Rows of a leaf at least; default: 5. */
  readonly leafRows?: number;
  /** Bins of a column at most; default: 64. */
  readonly bins?: number;
}

/** Rows of numbers, [count, size]; NaN where one is missing. */
export interface BoostingRows {
  readonly count: number;
  readonly size: number;
  readonly data: Float64Array;
}

/** What is predicted: numbers, or classes from 0 on. */
export type BoostingTarget =
  | { readonly kind: "numbers"; readonly values: Float64Array }
  | { readonly kind: "classes"; readonly values: ArrayLike<number>; readonly classes: number };

/** A split of rows by a column: those below the bin, and missing ones where `missingLeft`, go to the left. */
interface Node {
  readonly column: number;
  readonly bin: number;
  readonly missingLeft: boolean;
  readonly left: Tree;
  readonly right: Tree;
}
type Tree = { readonly kind: "leaf"; readonly value: number } | ({ readonly kind: "split" } & Node);

/** A fitted ensemble. */
export interface Boosting {
  /** Of numbers: predictions [count]. Of two classes: log-odds of class 1 [count]; of more: logits [count, classes]. */
  predict(rows: BoostingRows): Float64Array;
  readonly outputs: number;
}

/** Upper edges of the bins of each column: midpoints of neighboring values, or of quantiles where there are too many. */
function edgesOf({ count, size, data }: BoostingRows, bins: number): readonly Float64Array[] {
  return Array.from({ length: size }, (_, k) => {
    const values = Float64Array.from({ length: count }, (_, i) => data[i * size + k] ?? Number.NaN)
      .filter((value) => !Number.isNaN(value))
      .sort();
    const distinct = values.filter((value, i) => i === 0 || value !== values[i - 1]);
    if (distinct.length <= bins) {
      return Float64Array.from(
        { length: Math.max(0, distinct.length - 1) },
        (_, i) => ((distinct[i] ?? 0) + (distinct[i + 1] ?? 0)) / 2,
      );
    }
    const cuts = Array.from(
      { length: bins - 1 },
      (_, i) => values[Math.floor(((i + 1) * values.length) / bins)] ?? 0,
    );
    return Float64Array.from(new Set(cuts));
  });
}

/** The bin of a value: how many edges are at or below it; one more than there are for a missing one. */
function binOf(edges: Float64Array, value: number): number {
  if (Number.isNaN(value)) return edges.length + 1;
  let [low, high] = [0, edges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((edges[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function binned({ count, size, data }: BoostingRows, edges: readonly Float64Array[]): Uint16Array {
  const bins = new Uint16Array(count * size);
  for (const [k, own] of edges.entries())
    for (let i = 0; i < count; i++) bins[i * size + k] = binOf(own, data[i * size + k] ?? Number.NaN);
  return bins;
}

/** What a tree is grown on. */
interface Growth {
  readonly bins: Uint16Array;
  readonly edges: readonly Float64Array[];
  readonly gradient: Float64Array;
  readonly hessian: Float64Array;
  readonly l2: number;
  readonly leafRows: number;
}

interface Split {
  readonly gain: number;
  readonly column: number;
  readonly bin: number;
  readonly missingLeft: boolean;
}

/** The best split of some rows; undefined where none is better than a leaf. */
function bestSplit(growth: Growth, rows: Int32Array, g: number, h: number): Split | undefined {
  const { bins, edges, gradient, hessian, l2, leafRows } = growth;
  const size = edges.length;
  const score = (G: number, H: number): number => (G * G) / (H + l2);
  const whole = score(g, h);
  let best: Split | undefined;
  for (const [column, own] of edges.entries()) {
    const width = own.length + 2;
    const sums = new Float64Array(3 * width);
    for (const row of rows) {
      const at = 3 * (bins[row * size + column] ?? 0);
      sums[at] = (sums[at] ?? 0) + (gradient[row] ?? 0);
      sums[at + 1] = (sums[at + 1] ?? 0) + (hessian[row] ?? 0);
      sums[at + 2] = (sums[at + 2] ?? 0) + 1;
    }
    const gap = 3 * (width - 1);
    const [gm = 0, hm = 0, cm = 0] = [sums[gap], sums[gap + 1], sums[gap + 2]];
    let [gl, hl, cl] = [0, 0, 0];
    // The last bin that may stand alone on the left: all that are there, where some are missing.
    for (let bin = 0; bin < width - 1; bin++) {
      gl += sums[3 * bin] ?? 0;
      hl += sums[3 * bin + 1] ?? 0;
      cl += sums[3 * bin + 2] ?? 0;
      for (const missingLeft of cm > 0 ? [true, false] : [true]) {
        const [G, H, C] = missingLeft ? [gl + gm, hl + hm, cl + cm] : [gl, hl, cl];
        if (C < leafRows || rows.length - C < leafRows) continue;
        const gain = score(G, H) + score(g - G, h - H) - whole;
        if (gain > 1e-12 * Math.abs(whole) + 1e-300 && (best === undefined || gain > best.gain))
          best = { gain, column, bin, missingLeft };
      }
    }
  }
  return best;
}

function grow(growth: Growth, rows: Int32Array, depth: number): Tree {
  const { bins, edges, gradient, hessian, l2 } = growth;
  let [g, h] = [0, 0];
  for (const row of rows) {
    g += gradient[row] ?? 0;
    h += hessian[row] ?? 0;
  }
  const leaf = { kind: "leaf", value: -g / (h + l2 || 1) } as const;
  if (depth === 0) return leaf;
  const split = bestSplit(growth, rows, g, h);
  if (split === undefined) return leaf;
  const goesLeft = (row: number): boolean =>
    isLeft(split, bins[row * edges.length + split.column] ?? 0, edges);
  return {
    kind: "split",
    ...split,
    left: grow(growth, rows.filter(goesLeft), depth - 1),
    right: grow(
      growth,
      rows.filter((row) => !goesLeft(row)),
      depth - 1,
    ),
  };
}

function isLeft(
  { column, bin, missingLeft }: Pick<Node, "column" | "bin" | "missingLeft">,
  found: number,
  edges: readonly Float64Array[],
): boolean {
  return found > (edges[column]?.length ?? 0) ? missingLeft : found <= bin;
}

/** The value of a tree for a row of bins. */
function leafValue(tree: Tree, bins: Uint16Array, at: number, edges: readonly Float64Array[]): number {
  let node = tree;
  while (node.kind === "split")
    node = isLeft(node, bins[at + node.column] ?? 0, edges) ? node.left : node.right;
  return node.value;
}

/** Where predictions begin: the mean, the log-odds, or the log-shares. */
function startOf(target: BoostingTarget, count: number): readonly number[] {
  if (target.kind === "numbers") return [target.values.reduce((sum, value) => sum + value, 0) / count];
  const counts = new Array<number>(target.classes).fill(0);
  for (let i = 0; i < count; i++) {
    const own = target.values[i] ?? -1;
    if (counts[own] === undefined) throw new OptionError(`boosting: row ${i} has the class ${own}`);
    counts[own] += 1;
  }
  // A class that is not there would begin at −∞.
  const logs = counts.map((own) => Math.log(Math.max(own, 0.5) / count));
  return target.classes === 2 ? [(logs[1] ?? 0) - (logs[0] ?? 0)] : logs;
}

/** Gradient and second derivative of the loss by the prediction of output k, row by row. */
function derivatives(
  target: BoostingTarget,
  scores: Float64Array,
  k: number,
  outputs: number,
  gradient: Float64Array,
  hessian: Float64Array,
): void {
  for (let i = 0; i < gradient.length; i++) {
    if (target.kind === "numbers") {
      gradient[i] = (scores[i] ?? 0) - (target.values[i] ?? 0);
      hessian[i] = 1;
      continue;
    }
    const own = target.values[i] ?? 0;
    let p: number;
    if (outputs === 1) p = 1 / (1 + Math.exp(-(scores[i] ?? 0)));
    else {
      const logits = scores.subarray(i * outputs, (i + 1) * outputs);
      const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      p = Math.exp((logits[k] ?? 0) - top) / logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
    }
    gradient[i] = p - (own === (outputs === 1 ? 1 : k) ? 1 : 0);
    hessian[i] = p * (1 - p);
  }
}

/**
 * Fits gradient-boosted trees by Newton steps: squared error of numbers, cross-entropy of classes. There is no randomness: the same rows give
 * the same trees. Takes rows · columns · depth · rounds steps.
 * @throws OptionError where there are no rows, or a class is not from 0 to `classes` − 1
 */
export function boosting(
  rows: BoostingRows,
  target: BoostingTarget,
  { rounds = 60, depth = 4, learningRate = 0.1, l2 = 1, leafRows = 5, bins: most = 64 }: BoostingOptions = {},
): Boosting {
  const { count } = rows;
  if (count === 0 || target.values.length !== count)
    throw new OptionError(`boosting: ${count} rows and ${target.values.length} targets`);
  const start = startOf(target, count);
  const outputs = start.length;
  const edges = edgesOf(rows, most);
  const bins = binned(rows, edges);
  const scores = Float64Array.from({ length: count * outputs }, (_, i) => start[i % outputs] ?? 0);
  const trees: { readonly output: number; readonly tree: Tree }[] = [];
  const all = Int32Array.from({ length: count }, (_, i) => i);
  const [gradient, hessian] = [new Float64Array(count), new Float64Array(count)];
  for (let round = 0; round < rounds; round++) {
    const before = scores.slice();
    for (let k = 0; k < outputs; k++) {
      derivatives(target, before, k, outputs, gradient, hessian);
      const tree = grow({ bins, edges, gradient, hessian, l2, leafRows }, all, depth);
      trees.push({ output: k, tree });
      for (let i = 0; i < count; i++) {
        const at = i * outputs + k;
        scores[at] = (scores[at] ?? 0) + learningRate * leafValue(tree, bins, i * rows.size, edges);
      }
    }
  }
  return {
    outputs,
    predict(others) {
      if (others.size !== rows.size)
        throw new OptionError(
          `boosting: rows of ${others.size} numbers, where ${rows.size} were learned from`,
        );
      const own = binned(others, edges);
      const result = Float64Array.from({ length: others.count * outputs }, (_, i) => start[i % outputs] ?? 0);
      for (const { output, tree } of trees) {
        for (let i = 0; i < others.count; i++) {
          const at = i * outputs + output;
          result[at] = (result[at] ?? 0) + learningRate * leafValue(tree, own, i * rows.size, edges);
        }
      }
      return result;
    },
  };
}
