import { OptionError } from "../../errors.ts";
import { matmul, stopGradient } from "../../tensor/index.operations.ts";
import { constant, float32, full, slice, split, type Tensor, where } from "../../tensor/index.ts";
import type { Bijection, Elementwise } from "./bijections.ts";

/** What decides the shape of a spline beside its parameters. */
export interface SplineOptions {
  /** Number of bins K, at least 2. */
  readonly bins: number;
  /** The spline maps [−bound, bound] onto itself. */
  readonly bound: number;
  /** Smallest width and height of a bin as a share of the interval (default: 0.001). */
  readonly minimumBin?: number;
  /** Smallest derivative at a knot (default: 0.001). */
  readonly minimumDerivative?: number;
}

/** Where N elements lie: the bin of each by its corner, its sizes, and the derivatives at its ends, all [1, N]. */
interface Bin {
  readonly left: Tensor;
  readonly bottom: Tensor;
  readonly width: Tensor;
  readonly height: Tensor;
  readonly leftDerivative: Tensor;
  readonly rightDerivative: Tensor;
}

type Four = readonly [Tensor, Tensor, Tensor, Tensor];
type Two = readonly [Tensor, Tensor];

/**
 * Finds and reads bins. Parameters of N elements stand as [parameters, N], so that every operation runs along N. The bin
 * of a point is found by comparing it with all knots at once, and a product of the comparisons with a constant matrix
 * makes masks that read its quantities: no index, and a gradient of products and sums.
 */
class BinTable {
  readonly parameterCount: number;
  private readonly options: Required<SplineOptions>;
  private readonly derivatives: number;
  /** [K, K]: from the shares of all bins, not normalized, to (sum of shares) · knot, for knots 0 … K − 1. */
  private readonly knots: Tensor;
  /** From the comparisons with knots 0 … K − 1 to masks, as given at each. */
  private readonly bins: Tensor;
  private readonly slopes: Tensor;
  private readonly offsets: Tensor;

  constructor(options: Required<SplineOptions>, circular: boolean) {
    const { bins, bound, minimumBin } = options;
    this.options = options;
    this.derivatives = circular ? bins : bins - 1;
    this.parameterCount = 2 * bins + this.derivatives;
    const scale = 2 * bound * (1 - bins * minimumBin);
    const least = 2 * bound * minimumBin;
    // Knot 0 is put below the interval, so that rounding leaves no point without a bin.
    this.knots = matrix(bins, bins, (j, i) =>
      j === 0 ? -2 * bound : least * j + (i < j ? scale : 0) - bound,
    );
    // 1 for a point in the bin alone: it has passed its left knot and not the next.
    const inside = (bin: number, j: number): number => Number(j === bin) - Number(j === bin + 1);
    // For each bin: is the point beyond it; then for each: is the point in it; times what a share of 1 measures.
    this.bins = matrix(
      2 * bins,
      bins,
      (row, j) => scale * (row < bins ? Number(j === row + 1) : inside(row - bins, j)),
    );
    // For each knot with a derivative: is it at the left end of the point's bin, and is it at the right end.
    this.slopes = matrix(2 * this.derivatives, bins, (row, j) => {
      const knot = Math.floor(row / 2) + (circular ? 0 : 1);
      return inside(row % 2 === 0 ? knot : (knot + bins - 1) % bins, j);
    });
    // The lower end of the interval and the least size of the bins passed; the least size of the bin.
    this.offsets = matrix(2, bins, (row, j) =>
      row === 0 ? (j === 0 ? -bound : least) : j === 0 ? least : 0,
    );
  }

  /** The bins of points on an axis, [1, N], which must lie in [−bound, bound]. */
  find(axis: "x" | "y", points: Tensor, parameters: Tensor): Bin {
    const { bins, minimumDerivative } = this.options;
    const count = points.shape[1] ?? 1;
    const { derivatives } = this;
    const [raw, rawSlopes] = split(parameters, 0, [2 * bins, derivatives]) as unknown as Two;
    const logShares = raw.reshape([2, bins, count]);
    // A softmax whose division waits until a bin is chosen. What is subtracted cancels, and so does its gradient.
    const shares = logShares.sub(stopGradient(logShares.max(1, true))).exp();
    const sums = shares.sum(1, true);
    const own = axis === "x" ? 0 : 1;
    const ownSum = slice(sums, 0, own, own + 1).reshape([1, count]);
    const ownShares = slice(shares, 0, own, own + 1).reshape([bins, count]);
    const passed = points.mul(ownSum).greaterEqual(matmul(this.knots, ownShares)).cast("float32");
    const chosen = shares
      .reshape([2, 1, bins, count])
      .mul(matmul(this.bins, passed).reshape([1, 2, bins, count]))
      .sum(2)
      .div(sums)
      .add(matmul(this.offsets, passed).reshape([1, 2, count]))
      .reshape([4, count]);
    const [left, width, bottom, height] = split(chosen, 0, 4) as unknown as Four;
    const marked = rawSlopes
      .reshape([derivatives, 1, count])
      .mul(matmul(this.slopes, passed).reshape([derivatives, 2, count]))
      .reshape([derivatives, -1]);
    // The runtime's sum over a first axis takes several times as long as this product.
    const rawChosen = matmul(full([1, derivatives], 1), marked).reshape([2, count]);
    const slopes = positive(rawChosen, minimumDerivative);
    const [leftDerivative, rightDerivative] = split(slopes, 0, 2) as unknown as Two;
    return { left, bottom, width, height, leftDerivative, rightDerivative };
  }
}

function matrix(rows: number, columns: number, value: (row: number, column: number) => number): Tensor {
  const data = Array.from({ length: rows * columns }, (_, i) => value(Math.floor(i / columns), i % columns));
  return constant(float32(data, [rows, columns]));
}

/** Beyond this the exponential function would leave the range of float32. */
const LARGEST_EXPONENT = 80;

/**
 * least + softplus(x + c), with c such that 0 becomes 1. Written out, since the runtime's Softplus is slow; what is lost
 * where softplus is below 1e-7 does not show beside `least`.
 */
function positive(x: Tensor, least: number): Tensor {
  return x
    .minimum(LARGEST_EXPONENT)
    .exp()
    .mul(Math.expm1(1 - least))
    .add(1)
    .log()
    .add(least);
}

/** θ and φ = 1 − θ, the position of a point in its bin, and the bin's slope s. */
interface Place {
  readonly theta: Tensor;
  readonly phi: Tensor;
  readonly slope: Tensor;
}

/**
 * Value and derivative at a point. With p = s θ + δₖ φ and q = s φ + δₖ₊₁ θ, equations 4 and 5 of Durkan et al. 2019 are
 * y = yₖ + h θp / (θp + φq) and dy/dx = s² (θq + φp) / (θp + φq)²: sums of positive terms, where nothing cancels.
 */
function rationalQuadratic(bin: Bin, { theta, phi, slope }: Place): { value: Tensor; logDerivative: Tensor } {
  const p = slope.mul(theta).add(bin.leftDerivative.mul(phi));
  const q = slope.mul(phi).add(bin.rightDerivative.mul(theta));
  const above = theta.mul(p);
  const denominator = above.add(phi.mul(q));
  const value = bin.height.mul(above).div(denominator).add(bin.bottom);
  const derivative = theta.mul(q).add(phi.mul(p)).mul(slope.div(denominator).square());
  return { value, logDerivative: derivative.log() };
}

function placeOf(bin: Bin, x: Tensor): Place {
  const theta = x.sub(bin.left).div(bin.width);
  return { theta, phi: constant(1).sub(theta), slope: bin.height.div(bin.width) };
}

/**
 * The position θ where the spline has the value y. With η = (y − yₖ) / h and ε = δₖ (1 − η) − δₖ₊₁ η, the quadratic equation
 * of Durkan et al. 2019 (their equations 6 to 8, 29) has the discriminant ε² + 4 s² η (1 − η), which cannot be negative,
 * and with R = |ε| + √discriminant its root is θ = 2 s η / (2 s η + R) for ε ≥ 0, and φ = 2 s (1 − η) / (2 s (1 − η) + R)
 * otherwise. No difference of near numbers is taken.
 */
function placeOfValue(bin: Bin, y: Tensor): Place {
  const slope = bin.height.div(bin.width);
  const eta = y.sub(bin.bottom).div(bin.height).clamp(0, 1);
  const rest = constant(1).sub(eta);
  const difference = bin.leftDerivative.mul(rest).sub(bin.rightDerivative.mul(eta));
  const below = slope.mul(eta).mul(2);
  const above = slope.mul(rest).mul(2);
  const root = difference.abs().add(difference.square().add(below.mul(above)).sqrt());
  const rising = difference.greaterEqual(0);
  const denominator = where(rising, below, above).add(root);
  return {
    theta: where(rising, below, root).div(denominator),
    phi: where(rising, root, above).div(denominator),
    slope,
  };
}

/** Elements [n, d, …] as one row [1, N], and their parameters [n, parameters · d, …] as [parameters, N]. */
function asColumns(x: Tensor, parameters: Tensor, each: number): { row: Tensor; columns: Tensor } {
  const [rows = 1, size = 1, ...positions] = x.shape;
  const row = x.reshape([1, -1]);
  const count = row.shape[1] ?? 1;
  if (rows === 1 && size === 1) return { row, columns: parameters.reshape([each, count]) };
  if (positions.length === 0) return { row, columns: parameters.reshape([count, each]).transpose() };
  const length = positions.reduce<number>((product, dim) => product * Number(dim), 1);
  const columns = parameters.reshape([-1, each, length]).transpose([1, 0, 2]);
  return { row, columns: columns.reshape([each, count]) };
}

function checked(options: SplineOptions): Required<SplineOptions> {
  const { bins, bound, minimumBin = 1e-3, minimumDerivative = 1e-3 } = options;
  if (!Number.isInteger(bins) || bins < 2) {
    throw new OptionError(`option bins: ${bins} must be a whole number from 2 on`);
  }
  if (!(bound > 0)) throw new OptionError(`option bound: ${bound} must be above 0`);
  if (!(minimumBin > 0 && minimumBin * bins < 1)) {
    throw new OptionError(`minimumBin: ${minimumBin} must be above 0 and below 1 / bins`);
  }
  if (!(minimumDerivative > 0 && minimumDerivative < 1)) {
    throw new OptionError(`minimumDerivative: ${minimumDerivative} must be between 0 and 1`);
  }
  return { bins, bound, minimumBin, minimumDerivative };
}

/**
 * Monotonic rational-quadratic spline on [−B, B] with linear tails (Durkan, Bekasov, Murray and Papamakarios 2019,
 * "Neural Spline Flows", section 3.1; the segments are those of Gregory and Delbourgo 1982). Outside of the interval it
 * is the identity, and the derivative at ±B is 1. Parameters 0 make it the identity everywhere.
 *
 * The 3 K − 1 parameters of an element are the unnormalized log-width and log-height of bin 1, those of bin 2, …, and
 * then the unconstrained derivatives at the K − 1 inner knots.
 */
export class RationalQuadraticSpline implements Bijection {
  readonly order = "by-element";
  readonly parameterCount: number;
  private readonly bound: number;
  private readonly table: BinTable;

  /** @throws OptionError where an option is out of its range */
  constructor(options: SplineOptions) {
    const all = checked(options);
    this.bound = all.bound;
    this.table = new BinTable(all, false);
    this.parameterCount = this.table.parameterCount;
  }

  // In the tails the spline is taken at ±B, where its value is ±B, and what lies beyond is added. Nothing is computed from
  // inputs outside of the interval, so that gradients are finite everywhere.
  forward(x: Tensor, parameters: Tensor): Elementwise {
    const { row, columns } = asColumns(x, parameters, this.parameterCount);
    const inside = row.clamp(-this.bound, this.bound);
    const bin = this.table.find("x", inside, columns);
    const { value, logDerivative } = rationalQuadratic(bin, placeOf(bin, inside));
    return {
      value: value.add(row.sub(inside)).reshape(x.shape),
      logDerivative: where(row.equal(inside), logDerivative, 0).reshape(x.shape),
    };
  }

  inverse(y: Tensor, parameters: Tensor): Elementwise {
    const { row, columns } = asColumns(y, parameters, this.parameterCount);
    const inside = row.clamp(-this.bound, this.bound);
    const bin = this.table.find("y", inside, columns);
    const place = placeOfValue(bin, inside);
    const value = place.theta.mul(bin.width).add(bin.left).add(row.sub(inside));
    const { logDerivative } = rationalQuadratic(bin, place);
    return {
      value: value.reshape(y.shape),
      logDerivative: where(row.equal(inside), logDerivative.neg(), 0).reshape(y.shape),
    };
  }
}

/** The same point of a circle of circumference 2 · bound as a number from −bound to bound. */
export function onCircle(x: Tensor, bound = Math.PI): Tensor {
  const turns = x
    .mul(1 / (2 * bound))
    .add(0.5)
    .floor();
  return x.sub(turns.mul(2 * bound)).clamp(-bound, bound);
}

/**
 * Circular rational-quadratic spline: a smooth, monotonic map of the circle [−B, B) onto itself, whose derivatives at −B
 * and B are one (Rezende et al. 2020, "Normalizing Flows on Tori and Spheres", section 2.2), followed by a turn of the
 * circle. Inputs are taken modulo 2 B. Parameters 0 make it the identity.
 *
 * The 3 K + 1 parameters of an element are the unnormalized log-width and log-height of each bin in turn, the
 * unconstrained derivatives at the K knots, and the turn.
 */
export class CircularSpline implements Bijection {
  readonly order = "by-element";
  readonly parameterCount: number;
  private readonly bound: number;
  private readonly table: BinTable;

  /** @param options `bound` is half the circumference (default: π) @throws OptionError */
  constructor(options: Omit<SplineOptions, "bound"> & { readonly bound?: number }) {
    const all = checked({ ...options, bound: options.bound ?? Math.PI });
    this.bound = all.bound;
    this.table = new BinTable(all, true);
    this.parameterCount = this.table.parameterCount + 1;
  }

  private parts(x: Tensor, parameters: Tensor): { row: Tensor; columns: Tensor; turn: Tensor } {
    const { row, columns: all } = asColumns(x, parameters, this.parameterCount);
    const [columns, turn] = split(all, 0, [this.parameterCount - 1, 1]) as unknown as Two;
    return { row, columns, turn };
  }

  forward(x: Tensor, parameters: Tensor): Elementwise {
    const { row, columns, turn } = this.parts(x, parameters);
    const inside = onCircle(row, this.bound);
    const bin = this.table.find("x", inside, columns);
    const { value, logDerivative } = rationalQuadratic(bin, placeOf(bin, inside));
    return {
      value: onCircle(value.add(turn), this.bound).reshape(x.shape),
      logDerivative: logDerivative.reshape(x.shape),
    };
  }

  inverse(y: Tensor, parameters: Tensor): Elementwise {
    const { row, columns, turn } = this.parts(y, parameters);
    const inside = onCircle(row.sub(turn), this.bound);
    const bin = this.table.find("y", inside, columns);
    const place = placeOfValue(bin, inside);
    const value = onCircle(place.theta.mul(bin.width).add(bin.left), this.bound);
    const { logDerivative } = rationalQuadratic(bin, place);
    return { value: value.reshape(y.shape), logDerivative: logDerivative.neg().reshape(y.shape) };
  }
}
