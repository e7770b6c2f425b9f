import { OptionError } from "../../errors.ts";
import { symmetricEigen } from "../../metrics/index.ts";
import type { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/index.ts";
import { predictionChange } from "../objective/prediction.ts";
import { CLEAN, type NoiseLevel, type PathPoint } from "../path/noise-level.ts";

/** One Gaussian of a mixture. */
export type MixtureComponent = {
  /** Share of the samples, in any unit; default: 1. */
  readonly weight?: number;
  readonly mean: readonly number[];
} & (
  | {
      /** A covariance along the axes of space, which is the default. */
      readonly kind?: "diagonal";
      /** The variance of every coordinate, or those of each; 0 for a single point. */
      readonly variance: number | readonly number[];
    }
  | {
      /** Any covariance. */
      readonly kind: "full";
      /** The covariance in rows. */
      readonly covariance: readonly (readonly number[])[];
    }
);

/** A component along the axes of its ellipsoid. */
interface Ellipsoid {
  readonly logWeight: number;
  readonly mean: Float64Array;
  /** Variances along the axes. */
  readonly variances: Float64Array;
  /** The axes as rows, [d, d]; undefined for those of space. */
  readonly axes: Float64Array | undefined;
}

/** What is known of x₀ where x is seen. */
export interface MixturePosterior {
  /** log p(x) at the noise level, nats. */
  readonly logDensity: number;
  /** E[x₀ | x]. */
  readonly mean: Float64Array;
  /** Trace of the covariance of x₀ given x. */
  readonly trace: number;
  /** ∇ log p(x). */
  readonly score: Float64Array;
}

/**
 * A mixture of Gaussians in any number of dimensions, of which everything is known at every noise level x = α x₀ + σ ε: the
 * density, its score and the best denoiser E[x₀ | x], in float64. With it samplers can be seen without the error of a
 * network. States are [n, d].
 */
export class GaussianMixture {
  readonly dimensions: number;
  private readonly components: readonly Ellipsoid[];
  /** Room for what is seen of each component. */
  private readonly seen: Readonly<Record<"logs" | "traces" | "means" | "scores", Float64Array>>;

  /** @throws OptionError where there is no component, sizes differ, or a weight or variance is not acceptable */
  constructor(components: readonly MixtureComponent[]) {
    this.dimensions = components[0]?.mean.length ?? 0;
    if (this.dimensions === 0)
      throw new OptionError("mixture: needs a component with at least one dimension");
    const total = components.reduce((sum, { weight = 1 }) => sum + weight, 0);
    this.components = components.map((component, k) => ellipsoid(component, k, this.dimensions, total));
    const count = components.length;
    this.seen = {
      logs: new Float64Array(count),
      traces: new Float64Array(count),
      means: new Float64Array(count * this.dimensions),
      scores: new Float64Array(count * this.dimensions),
    };
  }

  /**
   * The posterior of the data at one x [d].
   * @param level the data itself by default
   * @throws OptionError where x has another size
   */
  posterior(x: ArrayLike<number>, level: NoiseLevel = CLEAN): MixturePosterior {
    const d = this.dimensions;
    if (x.length !== d)
      throw new OptionError(`mixture: x has ${x.length} numbers, the mixture ${d} dimensions`);
    const { logs, means, scores, traces } = this.seen;
    this.components.forEach((component, k) => {
      const from = k * d;
      const [mean, score] = [means.subarray(from, from + d), scores.subarray(from, from + d)];
      const { logDensity, trace } = seenThrough(component, x, level, mean, score);
      [logs[k], traces[k]] = [logDensity, trace];
    });
    let largest = Number.NEGATIVE_INFINITY;
    for (const log of logs) largest = Math.max(largest, log);
    let total = 0;
    for (const log of logs) total += Math.exp(log - largest);
    const mean = new Float64Array(d);
    const score = new Float64Array(d);
    for (let k = 0; k < logs.length; k++) {
      const share = Math.exp((logs[k] ?? 0) - largest) / total;
      for (let i = 0; i < d; i++) {
        mean[i] = (mean[i] ?? 0) + share * (means[k * d + i] ?? 0);
        score[i] = (score[i] ?? 0) + share * (scores[k * d + i] ?? 0);
      }
    }
    let trace = 0;
    for (let k = 0; k < logs.length; k++) {
      let spread = traces[k] ?? 0;
      for (let i = 0; i < d; i++) spread += ((means[k * d + i] ?? 0) - (mean[i] ?? 0)) ** 2;
      trace += (spread * Math.exp((logs[k] ?? 0) - largest)) / total;
    }
    return { logDensity: largest + Math.log(total), mean, trace, score };
  }

  /** log p(x) of each row, nats. @throws OptionError as `posterior` */
  logDensity(x: NdArray<"float64">, level: NoiseLevel = CLEAN): Float64Array {
    return Float64Array.from(this.rows(x), (row) => this.posterior(row, level).logDensity);
  }

  /** ∇ log p(x), [n, d]. @throws OptionError as `posterior` */
  score(x: NdArray<"float64">, level: NoiseLevel = CLEAN): NdArray<"float64"> {
    return this.each(x, (row) => this.posterior(row, level).score);
  }

  /** The best denoiser E[x₀ | x], [n, d]. @throws OptionError as `posterior` */
  denoise(x: NdArray<"float64">, level: NoiseLevel): NdArray<"float64"> {
    return this.each(x, (row) => this.posterior(row, level).mean);
  }

  /**
   * The velocity of the probability flow at a point of a path with some noise, [n, d], and its divergence [n]: with
   * ∂D/∂x = (α / σ²) Cov(x₀ | x) that of D is (α / σ²) tr Cov(x₀ | x).
   * @throws OptionError as `posterior`
   */
  velocity(
    x: NdArray<"float64">,
    point: PathPoint,
  ): { readonly velocity: NdArray<"float64">; readonly divergence: Float64Array } {
    const { state, output } = predictionChange(point, "data", "velocity");
    const divergence: number[] = [];
    const velocity = this.each(x, (row) => {
      const { mean, trace } = this.posterior(row, point);
      divergence.push(state * row.length + (output * point.alpha * trace) / point.sigma ** 2);
      return row.map((value, i) => state * value + output * (mean[i] ?? 0));
    });
    return { velocity, divergence: Float64Array.from(divergence) };
  }

  /** Samples at a noise level, [count, d]. */
  sample(count: number, random: Random, level: NoiseLevel = CLEAN): NdArray<"float64"> {
    const d = this.dimensions;
    const data = new Float64Array(count * d);
    for (let n = 0; n < count; n++) {
      const own = random.split(n);
      let rest = own.uniform();
      const chosen =
        this.components.find(({ logWeight }) => {
          rest -= Math.exp(logWeight);
          return rest < 0;
        }) ?? this.components.at(-1);
      if (chosen === undefined) break;
      const along = chosen.variances.map((variance) => Math.sqrt(variance) * own.normal());
      const offset = chosen.axes === undefined ? along : fromAxes(chosen.axes, along);
      for (let i = 0; i < d; i++) {
        const clean = (chosen.mean[i] ?? 0) + (offset[i] ?? 0);
        data[n * d + i] = level.alpha * clean + level.sigma * own.normal();
      }
    }
    return { dtype: "float64", shape: [count, d], data };
  }

  private *rows({ data }: NdArray<"float64">): Generator<Float64Array> {
    for (let at = 0; at < data.length; at += this.dimensions) yield data.subarray(at, at + this.dimensions);
  }

  private each(x: NdArray<"float64">, of: (row: Float64Array) => Float64Array): NdArray<"float64"> {
    const data = new Float64Array(x.data.length);
    let at = 0;
    for (const row of this.rows(x)) {
      data.set(of(row), at);
      at += this.dimensions;
    }
    return { ...x, data };
  }
}

/** @throws OptionError that names the component at fault */
function ellipsoid(component: MixtureComponent, index: number, dimensions: number, total: number): Ellipsoid {
  const { weight = 1, mean } = component;
  const fault = (why: string): OptionError => new OptionError(`mixture: component ${index}: ${why}`);
  if (mean.length !== dimensions) {
    throw fault(`its mean has ${mean.length} numbers, that of the first ${dimensions}`);
  }
  if (!(weight > 0)) throw fault(`its weight ${weight} must be above 0`);
  const { variances, axes } = principalAxes(component, dimensions);
  if (variances.length !== dimensions || !variances.every((variance) => variance >= 0)) {
    throw fault(`its covariance must be of ${dimensions} dimensions and have no negative variance`);
  }
  return { logWeight: Math.log(weight / total), mean: Float64Array.from(mean), variances, axes };
}

function principalAxes(
  component: MixtureComponent,
  dimensions: number,
): Pick<Ellipsoid, "variances" | "axes"> {
  if (component.kind !== "full") {
    const { variance } = component;
    const each = typeof variance === "number" ? new Array<number>(dimensions).fill(variance) : variance;
    return { variances: Float64Array.from(each), axes: undefined };
  }
  const { covariance } = component;
  const isSquare = covariance.length === dimensions && covariance.every((row) => row.length === dimensions);
  if (!isSquare) return { variances: new Float64Array(), axes: undefined };
  const { values, vectors } = symmetricEigen(Float64Array.from(covariance.flat()), dimensions);
  // A direction without variance comes out as a rounding of 0, of either sign.
  const rounding = 1e-14 * Math.max(...values);
  return { variances: values.map((value) => (Math.abs(value) < rounding ? 0 : value)), axes: vectors };
}

/** Coordinates along the axes. */
function alongAxes(axes: Float64Array, x: Float64Array): Float64Array {
  const d = x.length;
  return x.map((_, k) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (axes[k * d + i] ?? 0) * (x[i] ?? 0);
    return sum;
  });
}

/** A vector of space from its coordinates along the axes. */
function fromAxes(axes: Float64Array, along: Float64Array): Float64Array {
  const d = along.length;
  return along.map((_, i) => {
    let sum = 0;
    for (let k = 0; k < d; k++) sum += (axes[k * d + i] ?? 0) * (along[k] ?? 0);
    return sum;
  });
}

/**
 * log(weight · density) and the trace of the covariance of x₀ given x for one component, a linear Gaussian model. Writes
 * the mean of x₀ and the score.
 */
function seenThrough(
  { logWeight, mean, variances, axes }: Ellipsoid,
  x: ArrayLike<number>,
  { alpha, sigma }: NoiseLevel,
  meanOut: Float64Array,
  scoreOut: Float64Array,
): { readonly logDensity: number; readonly trace: number } {
  const d = mean.length;
  for (let i = 0; i < d; i++) scoreOut[i] = (x[i] ?? 0) - alpha * (mean[i] ?? 0);
  if (axes !== undefined) scoreOut.set(alongAxes(axes, scoreOut));
  let logDensity = logWeight - (d / 2) * Math.log(2 * Math.PI);
  let trace = 0;
  for (let k = 0; k < d; k++) {
    const own = variances[k] ?? 0;
    const variance = alpha * alpha * own + sigma * sigma;
    const distance = scoreOut[k] ?? 0;
    logDensity -= (Math.log(variance) + (distance * distance) / variance) / 2;
    trace += (own * sigma * sigma) / variance;
    scoreOut[k] = -distance / variance;
    meanOut[k] = (alpha * own * distance) / variance;
  }
  if (axes !== undefined) {
    scoreOut.set(fromAxes(axes, scoreOut));
    meanOut.set(fromAxes(axes, meanOut));
  }
  for (let i = 0; i < d; i++) meanOut[i] = (meanOut[i] ?? 0) + (mean[i] ?? 0);
  return { logDensity, trace };
}
