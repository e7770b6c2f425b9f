import type { DataInfo } from "../model/data-info.ts";
import { zeros } from "../nn/initializers.ts";
import type { Random } from "../random.ts";
import { argMax } from "../tensor/index.operations.ts";
import { concat, oneHot, Parameter, slice, split, type Tensor } from "../tensor/index.ts";

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
  /** A draw of x from outputs [n, outputs] and noise [n, noiseSize]: [n, D]. */
  draw(outputs: Tensor, noise: Tensor): Tensor;
}

/** Where the scale of a location–scale distribution comes from. */
export const SCALE_SOURCES = ["shared", "per-dimension", "per-sample"] as const;

export type ScaleSource = (typeof SCALE_SOURCES)[number];

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
  private readonly bounds: readonly [number, number];

  /** @param bounds of the log-scales: a density is without bound where a scale may become 0 */
  constructor(size: number, source: ScaleSource, bounds: readonly [number, number]) {
    this.size = size;
    this.outputs = source === "per-sample" ? 2 * size : size;
    this.scale = source === "per-sample" ? undefined : new Parameter([source === "shared" ? 1 : size], zeros);
    this.bounds = bounds;
  }

  /** @param outputs [..., outputs] */
  divide(outputs: Tensor): LocationScale {
    const bounded = (logScale: Tensor): Tensor => logScale.clamp(...this.bounds);
    if (this.scale !== undefined) {
      return { location: outputs, logScale: bounded(this.scale.mul(SCALE_GAIN)) };
    }
    return {
      location: slice(outputs, -1, 0, this.size),
      logScale: bounded(slice(outputs, -1, this.size)),
    };
  }
}

/** Bounds of log-deviations: with standardized data, 7 is a thousandth of a column's own deviation. */
const DEVIATIONS = [-7, 7] as const;

/** Independent Gaussians, log p = −½ ((x − μ) / σ)² − log σ − ½ log 2π for each element. */
export class GaussianObservation implements ObservationModel {
  readonly scaled: ScaledOutputs;

  constructor(size: number, source: ScaleSource) {
    this.scaled = new ScaledOutputs(size, source, DEVIATIONS);
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

  draw(outputs: Tensor, noise: Tensor): Tensor {
    return noise.less(outputs.sigmoid()).cast("float32");
  }
}

/**
 * The category of a table's column with K categories. In data it is a one-hot code with uniform noise on [−½, ½) on each
 * number, so that the code of each category lies in a cube of its own of volume 1, whose largest number tells which: the
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
  return (i) => parts[i] ?? x;
}

/**
 * Numbers of a table's row as Gaussians, its categories as such.
 * @param given names of columns that the model is told, which are no part of x
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
