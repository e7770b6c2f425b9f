import type { Random } from "../random.ts";
import type { Tensor } from "../tensor/index.ts";
import { GaussianMixture, LearnedGaussian } from "./learned-bases.ts";
import { gaussian, logistic, StudentBase, UniformBase } from "./standard-bases.ts";

export { gaussian, logistic };

/**
 * The distribution that a flow maps data to, over rows z of [n, d]. Draws are a function of noise, so that a seed
 * decides them, learned parameters take part and gradients flow through them.
 */
export interface Base {
  /** True where the components of z depend on each other; they do not unless told. */
  readonly dependent?: boolean;
  /** Log-density in nats of each row of z [n, d], shape [n]. */
  logProb(z: Tensor): Tensor;
  /** How many numbers of noise one draw of d components takes. */
  noiseSize(dimensions: number): number;
  /** Fills an array of that size with the noise of one draw. */
  drawNoise(target: Float32Array, random: Random): void;
  /** The same noise from the runtime's generator, [rows, noiseSize(dimensions)]. */
  noise(rows: number, dimensions: number): Tensor;
  /**
   * Draws [n, d] from noise [n, noiseSize(d)].
   * @param temperature scalar tensor by which deviations (from the mean, or from that of the component) are multiplied;
   *   1 draws from the distribution itself
   */
  fromNoise(noise: Tensor, temperature?: Tensor): Tensor;
}

/** Base distributions by name, made for codes of a given length. All but the logistic and t have about variance 1. */
export const BASES = {
  gaussian: () => gaussian,
  logistic: () => logistic,
  uniform: () => new UniformBase(-Math.sqrt(3), Math.sqrt(3)),
  student: () => new StudentBase(),
  mixture: (dimensions) => new GaussianMixture(dimensions),
  learned: (dimensions) => new LearnedGaussian(dimensions),
} as const satisfies Record<string, (dimensions: number) => Base>;

export type BaseName = keyof typeof BASES;

export const BASE_NAMES = Object.keys(BASES) as [BaseName, ...BaseName[]];
