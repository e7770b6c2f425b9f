import type { DataInfo } from "../model/data-info.ts";
import { zeros } from "../nn/initializers.ts";
import type { Random } from "../random.ts";
import { outputAt } from "../tensor/graph.ts";
import { argMax } from "../tensor/index.operations.ts";
import {
  concat,
  type Dim,
  normal,
  oneHot,
  Parameter,
  slice,
  split,
  type Tensor,
  uniform,
} from "../tensor/index.ts";

/**
 * p(x | z), the distribution of a sample that the numbers of a decoder stand for. Samples are rows of D numbers in data
 * units; the elements are independent of each other given z.
 */
export interface ObservationModel {
  /** D. */
  readonly size: number;
  /** Numbers that the decoder makes for a sample. */
  readonly outputs: number;
  /** A sample as an encoder sees it, [n, D] → [n, D]. */
  seen(x: Tensor): Tensor;
  /** log p(x | z) in nats: x [n, 1, D] and outputs [n, k, outputs] of k codes each → [n, k]. */
  logProb(x: Tensor, outputs: Tensor): Tensor;
  /** What is expected of x, [n, outputs] → [n, D]. */
  mean(outputs: Tensor): Tensor;
  /** Numbers of noise that a draw takes. */
  readonly noiseSize: number;
  /** Fills an array of that size with the noise of one draw. */
  drawNoise(target: Float32Array, random: Random): void;
  /** The same noise from the runtime's generator, [rows, noiseSize]. */
  noise(rows: Dim): Tensor;
  /** A draw of x from outputs [n, outputs] and noise [n, noiseSize]: [n, D]. */
  draw(outputs: Tensor, noise: Tensor): Tensor;
}

/** Where the scale of a location–scale distribution comes from. */
export const SCALE_SOURCES = ["shared", "per-dimension", "per-sample"] as const;

export type ScaleSource = (typeof SCALE_SOURCES)[number];

/**
 * Bounds of log-scales: a density is without bound where a scale may become 0. With standardized data, −7 is a thousandth
 * of a column's own deviation; for bytes on [−1, 1], it is an eighth of a byte, as in PixelCNN++.
 */
const LOG_SCALES = [-7, 7] as const;

/** An adaptive optimizer moves a parameter by about the learning rate a step; log-scales have farther to go than weights. */
const SCALE_GAIN = 10;

/** A location for each of D elements and the logarithm of a scale. */
export interface LocationScale {
  readonly location: Tensor;
  /** Of the shape of the location, or one that broadcasts to it. */
  readonly logScale: Tensor;
}

/**
 * Locations and scales of D elements out of a decoder's numbers: the locations first, then, where each sample has scales
 * of its own, their logarithms. Otherwise one scale, or one an element, is learned.
 */
export class ScaledOutputs {
  readonly size: number;
  readonly outputs: number;
  /** The learned log-scales divided by a gain. */
  readonly scale: Parameter | undefined;

  constructor(size: number, source: ScaleSource) {
    this.size = size;
    this.outputs = source === "per-sample" ? 2 * size : size;
    this.scale = source === "per-sample" ? undefined : new Parameter([source === "shared" ? 1 : size], zeros);
  }

  /** @param outputs [..., outputs] */
  divide(outputs: Tensor): LocationScale {
    const bounded = (logScale: Tensor): Tensor => logScale.clamp(...LOG_SCALES);
    if (this.scale !== undefined) {
      return { location: outputs, logScale: bounded(this.scale.mul(SCALE_GAIN)) };
    }
    return {
      location: slice(outputs, -1, 0, this.size),
      logScale: bounded(slice(outputs, -1, this.size)),
    };
  }
}

/** Elements with a location and a scale each, independent of each other. */
abstract class ScaledObservation implements ObservationModel {
  readonly scaled: ScaledOutputs;

  /** @param size D */
  constructor(size: number, source: ScaleSource) {
    this.scaled = new ScaledOutputs(size, source);
  }

  get size(): number {
    return this.scaled.size;
  }

  get outputs(): number {
    return this.scaled.outputs;
  }

  get noiseSize(): number {
    return this.scaled.size;
  }

  abstract seen(x: Tensor): Tensor;
  abstract logProb(x: Tensor, outputs: Tensor): Tensor;
  abstract mean(outputs: Tensor): Tensor;
  abstract drawNoise(target: Float32Array, random: Random): void;
  abstract noise(rows: Dim): Tensor;
  abstract draw(outputs: Tensor, noise: Tensor): Tensor;
}

/** Independent Gaussians, log p = −½ ((x − μ) / σ)² − log σ − ½ log 2π for each element. */
export class GaussianObservation extends ScaledObservation {
  seen(x: Tensor): Tensor {
    return x;
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    return x
      .sub(location)
      .mul(logScale.neg().exp())
      .square()
      .mul(-0.5)
      .sub(logScale)
      .sum(-1)
      .sub((this.size / 2) * Math.log(2 * Math.PI));
  }

  mean(outputs: Tensor): Tensor {
    return this.scaled.divide(outputs).location;
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillNormal(target);
  }

  noise(rows: Dim): Tensor {
    return normal([rows, this.noiseSize]);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    return location.add(noise.mul(logScale.exp()));
  }
}

/** Independent zeros and ones; the outputs are logits l of ones, log p = x l − log(1 + eˡ). */
export class BernoulliObservation implements ObservationModel {
  readonly size: number;

  constructor(size: number) {
    this.size = size;
  }

  get outputs(): number {
    return this.size;
  }

  get noiseSize(): number {
    return this.size;
  }

  seen(x: Tensor): Tensor {
    return x;
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    return x.sub(1).mul(outputs).add(outputs.logSigmoid()).sum(-1);
  }

  mean(outputs: Tensor): Tensor {
    return outputs.sigmoid();
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillUniform(target);
  }

  noise(rows: Dim): Tensor {
    return uniform([rows, this.noiseSize]);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    return noise.less(outputs.sigmoid()).cast("float32");
  }
}

/** Bytes 0 … 255 stand for −1 … 1. */
const HALF_RANGE = 127.5;

/** Bytes on [−1, 1]. */
export function byteToUnit(x: Tensor): Tensor {
  return x.mul(1 / HALF_RANGE).sub(1);
}

/**
 * Logarithm of the probability of bytes under logistics of location μ and scale s on [−1, 1], element by element:
 * P(x) = σ(a) − σ(b) with a and b the distances (x ± ½ − μ) / s of the edges of the byte's interval, of which the lowest
 * reaches down to −∞ and the highest up to ∞ (Kingma et al. 2016, "Improving Variational Inference with Inverse
 * Autoregressive Flow", section 4.1; Salimans et al. 2017, "PixelCNN++", section 2.1).
 *
 * With the width δ = a − b of an interval, log P = log(1 − e^−δ) − log(1 + e^−a) − log(1 + eᵇ): nothing cancels, and far
 * out in the tails it is linear.
 * @param x bytes, whole numbers, which broadcast with the location
 */
export function discretizedLogisticLogProb(x: Tensor, { location, logScale }: LocationScale): Tensor {
  const rate = logScale.neg().exp();
  const centered = byteToUnit(x).sub(location);
  const half = 1 / (2 * HALF_RANGE);
  const above = centered.add(half).mul(rate).neg().softplus();
  const below = centered.sub(half).mul(rate).softplus();
  // 1 − e^−δ = 2u / (1 + u) with u = tanh(δ / 2), which keeps its digits where δ is small.
  const u = rate.mul(half).tanh();
  const width = u.log().sub(u.add(1).log()).add(Math.LN2);
  const isNotLowest = x.greater(0.5).cast("float32");
  const isNotHighest = x.less(2 * HALF_RANGE - 0.5).cast("float32");
  return width.mul(isNotLowest.mul(isNotHighest)).sub(above.mul(isNotHighest)).sub(below.mul(isNotLowest));
}

/** Independent bytes from discretized logistics: log p(x | z) is a log-probability, no density. */
export class DiscretizedLogisticObservation extends ScaledObservation {
  seen(x: Tensor): Tensor {
    return byteToUnit(x);
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    return discretizedLogisticLogProb(x, this.scaled.divide(outputs)).sum(-1);
  }

  /**
   * E x = Σ P(x > b) over b from 0 to 254, whose midpoint rule is the integral of σ((μ − t) / s) over t from −1 to 1, which
   * is s log(1 + e^((μ + 1)/s)) − s log(1 + e^((μ − 1)/s)).
   */
  mean(outputs: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    const rate = logScale.neg().exp();
    const above = (edge: number): Tensor => location.sub(edge).mul(rate).softplus();
    return above(-1).sub(above(1)).mul(logScale.exp()).mul(HALF_RANGE);
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillUniform(target);
  }

  noise(rows: Dim): Tensor {
    return uniform([rows, this.noiseSize]);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    const { location, logScale } = this.scaled.divide(outputs);
    const u = noise.clamp(2 ** -24, 1 - 2 ** -24);
    const logit = u.log().sub(u.neg().add(1).log());
    return asBytes(location.add(logit.mul(logScale.exp()))).round();
  }
}

/** From [−1, 1] to bytes, of which all beyond are the lowest or the highest. */
function asBytes(x: Tensor): Tensor {
  return x
    .add(1)
    .mul(HALF_RANGE)
    .clamp(0, 2 * HALF_RANGE);
}

/**
 * Independent Gaussians over dequantized bytes: uniform noise on [0, 1) makes each byte a real number on [0, 256), and the
 * log-density of these, whose mean over the noise is a lower bound on the log-probability of the bytes (Theis et al. 2016,
 * "A note on the evaluation of generative models", section 3.1).
 */
export class DequantizedGaussianObservation implements ObservationModel {
  readonly gaussian: GaussianObservation;

  constructor(size: number, source: ScaleSource) {
    this.gaussian = new GaussianObservation(size, source);
  }

  get size(): number {
    return this.gaussian.size;
  }

  get outputs(): number {
    return this.gaussian.outputs;
  }

  get noiseSize(): number {
    return this.gaussian.noiseSize;
  }

  seen(x: Tensor): Tensor {
    return byteToUnit(x);
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    // Noise on [−½, ½) leaves the byte in the middle of its interval.
    const dequantized = byteToUnit(x.add(uniform(x.shape)).sub(0.5));
    return this.gaussian.logProb(dequantized, outputs).sub(this.size * Math.log(HALF_RANGE));
  }

  mean(outputs: Tensor): Tensor {
    return asBytes(this.gaussian.mean(outputs));
  }

  drawNoise(target: Float32Array, random: Random): void {
    this.gaussian.drawNoise(target, random);
  }

  noise(rows: Dim): Tensor {
    return this.gaussian.noise(rows);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    return asBytes(this.gaussian.draw(outputs, noise)).round();
  }
}

/**
 * The category of a table's column with K categories. In data it is a one-hot code with uniform noise on [−½, ½) on each
 * number, so that the code of each category lies in a cube of its own of volume 1, whose largest number is that of the category: the
 * density of the code is the probability of the category. The outputs are logits of the categories.
 */
export class CategoryObservation implements ObservationModel {
  readonly size: number;

  constructor(categories: number) {
    this.size = categories;
  }

  get outputs(): number {
    return this.size;
  }

  /** For which category, and for the code's own noise. */
  get noiseSize(): number {
    return 2 * this.size;
  }

  /** The code without its noise. */
  seen(x: Tensor): Tensor {
    return oneHot(argMax(x, -1), this.size);
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    return this.seen(x).mul(outputs.logSoftmax(-1)).sum(-1);
  }

  mean(outputs: Tensor): Tensor {
    return outputs.softmax(-1);
  }

  drawNoise(target: Float32Array, random: Random): void {
    random.fillUniform(target);
  }

  noise(rows: Dim): Tensor {
    return uniform([rows, this.noiseSize]);
  }

  /** The largest of logits with Gumbel noise is a draw from their softmax (Gumbel 1954; Maddison et al. 2014). */
  draw(outputs: Tensor, noise: Tensor): Tensor {
    const uniforms = slice(noise, 1, 0, this.size).clamp(2 ** -24, 1 - 2 ** -24);
    const gumbel = uniforms.log().neg().log().neg();
    const code = oneHot(argMax(outputs.add(gumbel), -1), this.size);
    return code.add(slice(noise, 1, this.size)).sub(0.5);
  }
}

/** Parts of a sample side by side, independent of each other given z. */
export class JointObservation implements ObservationModel {
  readonly parts: readonly ObservationModel[];

  constructor(parts: readonly ObservationModel[]) {
    this.parts = parts;
  }

  get size(): number {
    return sum(this.sizes);
  }

  get outputs(): number {
    return sum(this.outputSizes);
  }

  get noiseSize(): number {
    return sum(this.noiseSizes);
  }

  private get sizes(): readonly number[] {
    return this.parts.map(({ size }) => size);
  }

  private get outputSizes(): readonly number[] {
    return this.parts.map(({ outputs }) => outputs);
  }

  private get noiseSizes(): readonly number[] {
    return this.parts.map(({ noiseSize }) => noiseSize);
  }

  seen(x: Tensor): Tensor {
    const own = pieces(x, this.sizes);
    return concat(
      this.parts.map((part, i) => part.seen(own(i))),
      1,
    );
  }

  logProb(x: Tensor, outputs: Tensor): Tensor {
    const [elements, numbers] = [pieces(x, this.sizes), pieces(outputs, this.outputSizes)];
    return this.parts
      .map((part, i) => part.logProb(elements(i), numbers(i)))
      .reduce((total, term) => total.add(term));
  }

  mean(outputs: Tensor): Tensor {
    const numbers = pieces(outputs, this.outputSizes);
    return concat(
      this.parts.map((part, i) => part.mean(numbers(i))),
      1,
    );
  }

  drawNoise(target: Float32Array, random: Random): void {
    let start = 0;
    for (const part of this.parts) {
      part.drawNoise(target.subarray(start, start + part.noiseSize), random);
      start += part.noiseSize;
    }
  }

  /** Gaussians and categories have a leaf each, however many parts there are. */
  noise(rows: Dim): Tensor {
    const isNormal = this.parts.map((part) => part instanceof GaussianObservation);
    const sizes = this.noiseSizes;
    const ofKind = (normals: boolean): readonly number[] => sizes.filter((_, i) => isNormal[i] === normals);
    const piecesOf = (normals: boolean): Tensor[] => {
      const own = ofKind(normals);
      if (own.length === 0) return [];
      const leaf = normals ? normal([rows, sum(own)]) : uniform([rows, sum(own)]);
      return [...split(leaf, 1, own)];
    };
    const [normals, uniforms] = [piecesOf(true), piecesOf(false)];
    const inOrder = isNormal.flatMap((kind) => (kind ? normals : uniforms).shift() ?? []);
    return concat(inOrder, 1);
  }

  draw(outputs: Tensor, noise: Tensor): Tensor {
    const [numbers, draws] = [pieces(outputs, this.outputSizes), pieces(noise, this.noiseSizes)];
    return concat(
      this.parts.map((part, i) => part.draw(numbers(i), draws(i))),
      1,
    );
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The last axis in pieces of these sizes, by their number. */
function pieces(x: Tensor, sizes: readonly number[]): (i: number) => Tensor {
  const parts = split(x, x.rank - 1, sizes);
  return (i) => outputAt(parts, i);
}

/**
 * Numbers of a table's row as Gaussians, its categories as such.
 * @param given names of columns that the model is conditioned on, which are no part of x
 */
export function tableObservation(
  columns: NonNullable<DataInfo["columns"]>,
  given: readonly string[],
  scale: ScaleSource,
): ObservationModel {
  const parts: ObservationModel[] = [];
  let numbers = 0;
  const close = (): void => {
    if (numbers > 0) parts.push(new GaussianObservation(numbers, scale));
    numbers = 0;
  };
  for (const { name, size, mean } of columns) {
    if (given.includes(name)) continue;
    if (mean !== undefined) {
      numbers += size;
      continue;
    }
    close();
    parts.push(new CategoryObservation(size));
  }
  close();
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : new JointObservation(parts);
}
