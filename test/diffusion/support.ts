import { GaussianMixture, type Process } from "../../src/diffusion/index.ts";
import type { NoiseLevel } from "../../src/diffusion/path/index.ts";
import {
  type Denoised,
  type Denoiser,
  interpretTable,
  type SolverTable,
} from "../../src/diffusion/solver/index.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, type NdArray, type Tensor } from "../../src/tensor/index.ts";

/** A mixture of the plane with components of unlike weights, sizes and directions. */
export const plane = new GaussianMixture([
  { weight: 3, mean: [-1.2, -0.4], variance: 0.04 },
  {
    weight: 2,
    mean: [0.7, 1],
    kind: "full",
    covariance: [
      [0.25, 0.15],
      [0.15, 0.13],
    ],
  },
  { weight: 1, mean: [1.2, -1.1], variance: [0.02, 0.3] },
]);

/** Three equal components at the corners of a triangle: zero mean and unit variance in every direction. */
export const triangle = new GaussianMixture(
  [0, 1, 2].map((k) => ({
    mean: [1.3 * Math.cos((2 * Math.PI * k) / 3), 1.3 * Math.sin((2 * Math.PI * k) / 3)],
    variance: 1 - 1.3 ** 2 / 2,
  })),
);

/** A mixture of sixteen dimensions. */
export const space = new GaussianMixture(
  [1, 2, 3].map((k) => ({
    weight: k,
    mean: Array.from({ length: 16 }, (_, i) => Math.sin(5 * k + 2.3 * i * k)),
    variance: Array.from({ length: 16 }, (_, i) => 0.05 + 0.3 * Math.abs(Math.cos(k + i))),
  })),
);

/** The best denoiser for the triangle inside a graph: three equal round components. */
export function triangleDenoiser(x: Tensor, path: Process, time: Tensor): Tensor {
  const spread = time.unsqueeze(1);
  const point = path.symbolic(spread);
  const [alpha, sigma] = [point.alpha.broadcastTo(spread.shape), point.sigma];
  const own = 1 - 1.3 ** 2 / 2;
  const means = constant(
    float32(
      [0, 1, 2].flatMap((k) => [
        1.3 * Math.cos((2 * Math.PI * k) / 3),
        1.3 * Math.sin((2 * Math.PI * k) / 3),
      ]),
      [1, 3, 2],
    ),
  );
  const off = x.unsqueeze(1).sub(means.mul(alpha.unsqueeze(2)));
  const variance = alpha.square().mul(own).add(sigma.square());
  const shares = off.square().sum(2).mul(-0.5).div(variance).softmax(1);
  const pulled = means.add(off.mul(alpha.mul(own).div(variance).unsqueeze(2)));
  return pulled.mul(shares.unsqueeze(2)).sum(1);
}

export function float64(rows: readonly (readonly number[])[]): NdArray<"float64"> {
  return {
    dtype: "float64",
    shape: [rows.length, rows[0]?.length ?? 0],
    data: Float64Array.from(rows.flat()),
  };
}

export function inFloat32({ data, shape }: NdArray<"float64">): NdArray<"float32"> {
  return float32(data, shape);
}

/** The best denoiser for data from a mixture. */
export function exact(mixture: GaussianMixture, levels: { at(time: number): NoiseLevel }): Denoiser {
  return (x, time): Denoised<NdArray<"float64">> => ({ denoised: mixture.denoise(x, levels.at(time)) });
}

/** Standard normal numbers from a seed. */
export function normals(seed: number, shape: readonly number[]): NdArray<"float32"> {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  new Random(seed).fillNormal(data);
  return float32(data, shape);
}

/** Samples by a table from nothing. */
export function samplesOf(
  table: SolverTable,
  denoiser: Denoiser,
  { count, dimensions, seed }: { readonly count: number; readonly dimensions: number; readonly seed: number },
): NdArray<"float64"> {
  const shape = [count, dimensions];
  const start = Float64Array.from(normals(seed, shape).data, (value) => table.deviation * value);
  return interpretTable(
    table,
    denoiser,
    { dtype: "float64", shape, data: start },
    { noise: (i) => normals(1000 * (seed + 1) + i, shape) },
  );
}

/** Largest difference of two lists of numbers, over the largest of the second. */
export function relativeDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const gap = Math.abs((found[i] ?? Number.NaN) - (expected[i] ?? 0));
    if (!(gap <= difference)) difference = gap;
    size = Math.max(size, Math.abs(expected[i] ?? 0));
  }
  return difference / size;
}
