import { Vae, vaeOptions } from "../../src/latent/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { nameParameters } from "../../src/nn/module.ts";
import type { State } from "../../src/program/program.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import type { BuiltVae } from "./vae-cases.ts";

// Probabilistic principal components (Tipping and Bishop 1999): x = W z + b + σ ε has a Gaussian marginal, and with
// orthogonal columns of W a posterior whose components are independent, which an encoder can predict exactly.
export const COLUMNS: readonly (readonly number[])[] = [
  [1, 1, 0],
  [1, -1, 0.5],
];
export const OFFSET = [0.2, -0.1, 0.4] as const;
export const LOG_DEVIATION = -0.35;
export const VARIANCE = Math.exp(2 * LOG_DEVIATION);
export const SQUARES = COLUMNS.map((column) => column.reduce((sum, value) => sum + value ** 2, 0));
/** Variances of z given x. */
export const POSTERIOR = SQUARES.map((square) => 1 / (1 + square / VARIANCE));

export const along = (column: readonly number[], x: readonly number[]): number =>
  column.reduce((sum, value, d) => sum + value * ((x[d] ?? 0) - (OFFSET[d] ?? 0)), 0);

/** log N(x; b, W Wᵀ + σ² I). */
export function logMarginal(x: readonly number[]): number {
  const rest = x.reduce((sum, value, d) => sum + (value - (OFFSET[d] ?? 0)) ** 2, 0);
  let total = -1.5 * Math.log(2 * Math.PI) - 0.5 * Math.log(VARIANCE) - 0.5 * (rest / VARIANCE);
  COLUMNS.forEach((column, j) => {
    const square = SQUARES[j] ?? 1;
    const projected = along(column, x) ** 2 / square;
    const variance = square + VARIANCE;
    total += -0.5 * Math.log(variance) + 0.5 * projected * (1 / VARIANCE - 1 / variance);
  });
  return total;
}

/** How the encoder departs from the exact posterior, the same for every x. */
export interface Departure {
  readonly shift: number;
  readonly logVariance: number;
}

export const EXACT: Departure = { shift: 0, logVariance: 0 };

/** KL(q(z | x) ‖ p(z | x)) of such an encoder. */
export function gap({ shift, logVariance }: Departure): number {
  return POSTERIOR.reduce(
    (sum, variance) => sum + 0.5 * (Math.exp(logVariance) + shift ** 2 / variance - 1 - logVariance),
    0,
  );
}

/** The VAE of this model: rectifiers in pairs, relu(u) − relu(−u) = u, make networks linear. */
export function linearVae({ shift, logVariance }: Departure, options: object = {}): BuiltVae {
  const data: DataInfo = { kind: "points", sampleShape: [3] };
  const model = nameParameters(
    new Vae(
      vaeOptions.parse({
        latentSize: 2,
        width: 6,
        hiddenLayers: 1,
        scale: "shared",
        importanceSamples: 1,
        ...options,
      }),
      data,
    ),
  );
  const matrix = (rows: readonly (readonly number[])[]): NdArray<"float32"> =>
    float32(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
  const vector = (values: readonly number[]): NdArray<"float32"> => float32(values, [values.length]);
  const unit = (i: number, size: number, sign: number): number[] =>
    Array.from({ length: size }, (_, k) => (k === i ? sign : 0));
  const opposite = (row: readonly number[]): number[] => row.map((value) => -value);
  const towards = COLUMNS.map((column, j) => column.map((value) => ((POSTERIOR[j] ?? 0) * value) / VARIANCE));
  const weights: State = new Map<string, NdArray>([
    ["encoder.layers.0.weight", matrix([0, 1, 2, 3, 4, 5].map((i) => unit(i % 3, 3, i < 3 ? 1 : -1)))],
    ["encoder.layers.0.bias", vector([...opposite(OFFSET), ...OFFSET])],
    [
      "encoder.layers.1.weight",
      matrix([...towards.map((row) => [...row, ...opposite(row)]), ...[0, 1].map(() => unit(9, 6, 0))]),
    ],
    [
      "encoder.layers.1.bias",
      vector([shift, shift, ...POSTERIOR.map((variance) => Math.log(variance) + logVariance)]),
    ],
    [
      "decoder.layers.0.weight",
      matrix([0, 1, 2, 3, 4, 5].map((i) => unit(i % 2, 2, i < 4 ? (i < 2 ? 1 : -1) : 0))),
    ],
    ["decoder.layers.0.bias", vector([0, 0, 0, 0, 0, 0])],
    [
      "decoder.layers.1.weight",
      matrix(
        OFFSET.map((_, d) => {
          const row = COLUMNS.map((column) => column[d] ?? 0);
          return [...row, ...opposite(row), 0, 0];
        }),
      ),
    ],
    ["decoder.layers.1.bias", vector(OFFSET)],
    ["observation.scaled.scale", vector([LOG_DEVIATION / 10])],
  ]);
  return { model, weights };
}
