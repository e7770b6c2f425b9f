import { OptionError } from "../errors.ts";
import { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";
import { type Kernel, type PairKernel, pairKernel } from "./kernels.ts";
import { checkCount, comparableRows, forEachRow, type Rows } from "./rows.ts";

export interface DiscrepancyOptions {
  /** Default: Gaussian. */
  readonly kernel?: Kernel;
  /** Random divisions of both sets together that the p-value is counted from; 0, the default, for no p-value. */
  readonly permutations?: number;
  /** Seed of the permutations. */
  readonly seed?: number;
}

export interface Discrepancy {
  /** Unbiased estimate of the squared discrepancy: about 0, of either sign, for sets from the same distribution. */
  readonly squared: number;
  /** Bandwidths of the kernel; none for a kernel without. */
  readonly bandwidths: readonly number[];
  /** Share of divisions with at least this discrepancy; undefined where none were made. */
  readonly pValue: number | undefined;
}

/** More samples than these would take over 2 GB for the kernel matrix. */
const MOST_FOR_PERMUTATIONS = 16_000;

/**
 * Maximum mean discrepancy between two sets of samples, [n, …] and [m, …]: the squared distance between the means of
 * both in the space of the kernel, by the unbiased U-statistic
 *
 *     MMD² = 1/n(n−1) Σᵢ≠ⱼ k(xᵢ, xⱼ) + 1/m(m−1) Σᵢ≠ⱼ k(yᵢ, yⱼ) − 2/nm Σᵢⱼ k(xᵢ, yⱼ)
 *
 * (Gretton, Borgwardt, Rasch, Schölkopf and Smola 2012, "A kernel two-sample test", equation 3). With the polynomial
 * kernel of degree 3 on features of a classifier it is the kernel inception distance (Bińkowski et al. 2018).
 *
 * The p-value is (1 + number of permutations with at least this MMD²) / (1 + permutations), which is valid for any
 * sample size (Phipson and Smyth 2010). Takes time in proportion to (n + m)²; with permutations, 8 (n + m)² bytes.
 * @throws OptionError where the samples differ in size or are not finite, a set has fewer than two, or an option is not
 * acceptable
 */
export function maximumMeanDiscrepancy(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  { kernel = { kind: "gaussian" }, permutations = 0, seed = 0 }: DiscrepancyOptions = {},
): Discrepancy {
  const [left, right] = comparableRows("maximumMeanDiscrepancy", x, y, 2);
  checkCount("maximumMeanDiscrepancy", "permutations", permutations, 0);
  const pooled = pool(left, right);
  const pair = pairKernel(kernel, pooled);
  const { bandwidths } = pair;
  if (permutations === 0) {
    return {
      squared: unbiased(left.count, right.count, streamedSums(pooled, left.count, pair)),
      bandwidths,
      pValue: undefined,
    };
  }
  if (pooled.count > MOST_FOR_PERMUTATIONS) {
    throw new OptionError(
      `maximumMeanDiscrepancy: ${pooled.count} samples are too many for permutations, at most ${MOST_FOR_PERMUTATIONS}; give fewer or permutations 0`,
    );
  }
  const test = new PermutationTest(pooled, left.count, pair);
  const squared = test.statistic(Uint32Array.from({ length: left.count }, (_, i) => i));
  // Sums of the same numbers in another order may differ in their last digits; that is no smaller discrepancy.
  const bar = squared - 1e-12 * test.scale;
  const random = new Random(seed);
  let reached = 0;
  for (let k = 0; k < permutations; k++) {
    const members = random.split(k).permutation(pooled.count).slice(0, left.count).sort();
    if (test.statistic(members) >= bar) reached++;
  }
  return { squared, bandwidths, pValue: (1 + reached) / (1 + permutations) };
}

/** Both sets one after the other. */
function pool(x: Rows, y: Rows): Rows {
  const data = new Float32Array(x.data.length + y.data.length);
  data.set(x.data);
  data.set(y.data, x.data.length);
  return { count: x.count + y.count, size: x.size, data };
}

/** Sums of the kernel over pairs i < j of all rows, within the first set and within the second. */
interface KernelSums {
  readonly all: number;
  readonly withinX: number;
  readonly withinY: number;
}

function unbiased(n: number, m: number, { all, withinX, withinY }: KernelSums): number {
  const across = all - withinX - withinY;
  return (2 * withinX) / (n * (n - 1)) + (2 * withinY) / (m * (m - 1)) - (2 * across) / (n * m);
}

function streamedSums(pooled: Rows, n: number, kernel: PairKernel): KernelSums {
  let [withinX, withinY, across] = [0, 0, 0];
  const add = (i: number, values: Float64Array) => {
    let j = i + 1;
    for (; j < n; j++) withinX += kernel.of(values[j] ?? 0);
    let sum = 0;
    for (; j < values.length; j++) sum += kernel.of(values[j] ?? 0);
    if (i < n) across += sum;
    else withinY += sum;
  };
  forEachRow(pooled, pooled, kernel.value, add, true);
  return { all: withinX + withinY + across, withinX, withinY };
}

/** Holds the kernel of all pairs, so that a division of the rows into two sets costs only sums. */
class PermutationTest {
  private readonly matrix: Float64Array;
  /** Sums of the kernel between each row and all others. */
  private readonly rowSums: Float64Array;
  private readonly total: number;
  private readonly count: number;
  private readonly n: number;
  /** Size of the sums that a statistic is a difference of. */
  readonly scale: number;

  constructor(pooled: Rows, n: number, kernel: PairKernel) {
    const { count } = pooled;
    const matrix = new Float64Array(count * count);
    const rowSums = new Float64Array(count);
    let size = 0;
    const keep = (i: number, values: Float64Array) => {
      for (let j = i + 1; j < count; j++) {
        const value = kernel.of(values[j] ?? 0);
        matrix[i * count + j] = value;
        rowSums[i] = (rowSums[i] ?? 0) + value;
        rowSums[j] = (rowSums[j] ?? 0) + value;
        size += Math.abs(value);
      }
    };
    forEachRow(pooled, pooled, kernel.value, keep, true);
    this.matrix = matrix;
    this.rowSums = rowSums;
    this.count = count;
    this.n = n;
    this.total = rowSums.reduce((sum, value) => sum + value, 0) / 2;
    this.scale = size / ((count * (count - 1)) / 2);
  }

  /** MMD² where the given rows, in ascending order, are the first set. Sums over pairs of the smaller set alone. */
  statistic(members: Uint32Array): number {
    const { count, n } = this;
    const small = n <= count - n ? members : others(members, count);
    let [within, reaching] = [0, 0];
    for (let a = 0; a < small.length; a++) {
      const row = small[a] ?? 0;
      const start = row * count;
      reaching += this.rowSums[row] ?? 0;
      for (let b = a + 1; b < small.length; b++) within += this.matrix[start + (small[b] ?? 0)] ?? 0;
    }
    // The row sums count pairs within the set twice and pairs that leave it once.
    const rest = this.total - (reaching - within);
    const [withinX, withinY] = small === members ? [within, rest] : [rest, within];
    return unbiased(n, count - n, { all: this.total, withinX, withinY });
  }
}

/** The numbers below `count` that are not among `members`, ascending. */
function others(members: Uint32Array, count: number): Uint32Array {
  const taken = new Uint8Array(count);
  for (const member of members) taken[member] = 1;
  let filled = 0;
  const rest = new Uint32Array(count - members.length);
  for (let i = 0; i < count; i++) if (taken[i] === 0) rest[filled++] = i;
  return rest;
}

/**
 * Squared energy distance between two sets of samples, [n, …] and [m, …]: 2 E|X − Y| − E|X − X′| − E|Y − Y′| with
 * Euclidean distances (Székely and Rizzo 2013, "Energy statistics", equation 5). The last two means are over distinct
 * pairs, so that the estimate is unbiased: about 0, of either sign, for sets from the same distribution. Takes time in
 * proportion to (n + m)².
 * @throws OptionError where the samples of the sets differ in size, are not finite, or a set has fewer than two
 */
export function energyDistance(x: NdArray<"float32">, y: NdArray<"float32">): number {
  const [left, right] = comparableRows("energyDistance", x, y, 2);
  let across = 0;
  forEachRow(left, right, "squaredDistance", (_, values) => {
    for (let j = 0; j < values.length; j++) across += Math.sqrt(values[j] ?? 0);
  });
  return (2 * across) / (left.count * right.count) - meanWithin(left) - meanWithin(right);
}

/** Mean distance of two different rows. */
function meanWithin(rows: Rows): number {
  let sum = 0;
  const add = (i: number, values: Float64Array) => {
    for (let j = i + 1; j < values.length; j++) sum += Math.sqrt(values[j] ?? 0);
  };
  forEachRow(rows, rows, "squaredDistance", add, true);
  return (2 * sum) / (rows.count * (rows.count - 1));
}
