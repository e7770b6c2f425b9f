import { OptionError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { comparableRows, forEachRow, meanOf, type Rows } from "./rows.ts";

/**
 * Bits per dimension of 8-bit data: −log p / (D ln 2), where log p (in nats) is the log-density with respect to byte
 * units, so that the uniform distribution on [0, 256)ᴰ has exactly 8. By Jensen's inequality the density of uniformly
 * dequantized bytes bounds the code length of the bytes from above (Theis, van den Oord and Bethge 2016, "A note on
 * the evaluation of generative models", section 3.1).
 */
export function bitsPerDimension(logProb: number, dimensions: number): number {
  return -logProb / (dimensions * Math.LN2);
}

/**
 * How well a model predicts a set of samples: the mean of its log-likelihoods, in nats a sample, or a lower bound on that
 * mean, which the true one may exceed by any amount. For images in bytes, bits per dimension besides. The fields of the
 * two have different names, so that a bound is not taken for a likelihood by mistake. A model without a density has
 * neither: there the value is undefined.
 */
export type MeanLikelihood =
  | {
      readonly kind: "exact";
      readonly nats: number;
      readonly bitsPerDimension?: number;
    }
  | {
      readonly kind: "bound";
      readonly atLeastNats: number;
      readonly atMostBitsPerDimension?: number;
    };

/**
 * A mean log-likelihood with its kind.
 * @param nats the mean of the model's `logProb`, for each sample
 * @param dimensions numbers of an image in bytes; left out for other data, which has no bits per dimension
 */
export function meanLikelihood(
  kind: MeanLikelihood["kind"],
  nats: number,
  dimensions?: number,
): MeanLikelihood {
  const bits = dimensions === undefined ? undefined : bitsPerDimension(nats, dimensions);
  return kind === "exact"
    ? { kind, nats, ...(bits !== undefined && { bitsPerDimension: bits }) }
    : { kind, atLeastNats: nats, ...(bits !== undefined && { atMostBitsPerDimension: bits }) };
}

export interface ParzenOptions {
  /** Bandwidths σ to choose from, in units of the data. */
  readonly bandwidths?: readonly number[];
}

export interface Parzen {
  /** Mean log-likelihood of the test samples in nats. */
  readonly logLikelihood: number;
  /** Standard error of that mean over the test samples. */
  readonly standardError: number;
  /** The bandwidth with the highest mean log-likelihood of the validation samples. */
  readonly bandwidth: number;
  /** Log-likelihood of each test sample in nats. */
  readonly perSample: Float64Array;
}

/**
 * Log-likelihood of test samples under a kernel density (Parzen window) around generated samples xᵢ ∈ ℝᵈ, n of them:
 *
 *     log p(t) = log 1/n Σᵢ exp(−|t − xᵢ|² / 2σ²) − d/2 log 2πσ²
 *
 * with σ chosen on validation samples (Breuleux, Bengio and Vincent 2011; used by Goodfellow et al. 2014, section 5).
 * Unless `bandwidths` are given, σ is searched among steps of 2^¼ around Scott's rule until the likelihood falls on both
 * sides. For the record only: in more than a few dimensions it says little about the model (Theis, van den Oord and Bethge
 * 2016, on Parzen window estimates).
 * @throws OptionError where samples differ in size or are not finite, a set is empty, or a bandwidth is not above 0
 */
export function parzenLogLikelihood(
  generated: NdArray<"float32">,
  test: NdArray<"float32">,
  validation: NdArray<"float32">,
  { bandwidths }: ParzenOptions = {},
): Parzen {
  const [samples, tested] = comparableRows("parzenLogLikelihood", generated, test);
  const [, chosen] = comparableRows("parzenLogLikelihood (validation set second)", generated, validation);
  if (bandwidths?.length === 0 || bandwidths?.some((sigma) => !(sigma > 0 && Number.isFinite(sigma)))) {
    throw new OptionError(
      `parzenLogLikelihood: bandwidths [${bandwidths}] must be one or more numbers above 0`,
    );
  }
  const bandwidth = bandwidths ? bestOf(samples, chosen, bandwidths) : searched(samples, chosen);
  const perSample = logDensities(samples, tested, [bandwidth])[0] ?? new Float64Array(0);
  const logLikelihood = meanOfValues(perSample);
  const spread = perSample.reduce((sum, value) => sum + (value - logLikelihood) ** 2, 0);
  const standardError = Math.sqrt(spread / Math.max(1, perSample.length - 1) / perSample.length);
  return { logLikelihood, standardError, bandwidth, perSample };
}

function meanOfValues(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function bestOf(samples: Rows, validation: Rows, bandwidths: readonly number[]): number {
  const means = logDensities(samples, validation, bandwidths).map(meanOfValues);
  return bandwidths[means.indexOf(Math.max(...means))] ?? Number.NaN;
}

const STEP = 2 ** 0.25;
/** Bandwidths that one pass over all pairs tries. */
const AT_ONCE = 17;
/** Passes: the range doubles in width by each, beyond a factor of 2¹⁸. */
const MOST_PASSES = 12;

function searched(samples: Rows, validation: Rows): number {
  const { count, size } = samples;
  let center = deviationOf(samples) * count ** (-1 / (size + 4)) || 1;
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    const grid = Array.from({ length: AT_ONCE }, (_, k) => center * STEP ** (k - (AT_ONCE - 1) / 2));
    const best = bestOf(samples, validation, grid);
    if (best !== grid[0] && best !== grid.at(-1)) return best;
    center = best;
  }
  throw new OptionError(
    `parzenLogLikelihood: no bandwidth is best near ${center}; validation samples that repeat generated ones want 0. Give bandwidths`,
  );
}

/** Root of the mean variance over the dimensions. */
function deviationOf(rows: Rows): number {
  const mean = meanOf(rows);
  let sum = 0;
  for (let position = 0; position < rows.data.length; position++) {
    sum += ((rows.data[position] ?? 0) - (mean[position % rows.size] ?? 0)) ** 2;
  }
  return Math.sqrt(sum / rows.data.length);
}

/** Exponentials below e^−60 of the largest do not change a float64 sum. */
const NEGLIGIBLE = 60;

/** log p of each row for each bandwidth. */
function logDensities(samples: Rows, rows: Rows, bandwidths: readonly number[]): readonly Float64Array[] {
  const densities = bandwidths.map(() => new Float64Array(rows.count));
  forEachRow(rows, samples, "squaredDistance", (i, values) => {
    let nearest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < values.length; j++) nearest = Math.min(nearest, values[j] ?? 0);
    for (const [b, sigma] of bandwidths.entries()) {
      const factor = 1 / (2 * sigma * sigma);
      const reach = nearest + NEGLIGIBLE / factor;
      let sum = 0;
      for (let j = 0; j < values.length; j++) {
        const value = values[j] ?? 0;
        if (value < reach) sum += Math.exp((nearest - value) * factor);
      }
      const normalization = (rows.size / 2) * Math.log(2 * Math.PI * sigma * sigma) + Math.log(samples.count);
      const target = densities[b];
      if (target !== undefined) target[i] = Math.log(sum) - nearest * factor - normalization;
    }
  });
  return densities;
}
