import { readFileSync } from "node:fs";
import { float32, type NdArray } from "../../src/tensor/index.ts";

// What test/fixtures/latent/gan.py has written.

type State = Readonly<Record<string, readonly number[]>>;

export interface SpectralCase {
  readonly x: readonly number[];
  readonly shape: readonly number[];
  readonly before: State;
  readonly after: State;
  readonly y: readonly number[];
  readonly gradient: readonly number[];
  readonly evaluated: readonly number[];
}

export interface StepCase {
  readonly name: string;
  readonly kind: "points" | "image";
  readonly options: Readonly<Record<string, unknown>>;
  readonly classes: number;
  readonly sampleShape: readonly number[];
  readonly batches: readonly {
    readonly x: readonly number[];
    readonly z: readonly number[];
    readonly label?: readonly number[];
    /** Where the points of the gradient penalty lie, for each turn. */
    readonly places?: readonly (readonly number[])[];
  }[];
  readonly before: State;
  readonly after: State;
  readonly losses: readonly { readonly discriminator: number; readonly generator: number }[];
}

export interface GanFixture {
  readonly rate: number;
  readonly betas: readonly [number, number];
  readonly spectral: { readonly linear: SpectralCase; readonly conv: SpectralCase };
  readonly cases: readonly StepCase[];
}

export const ganFixture = JSON.parse(
  readFileSync(new URL("../fixtures/latent/gan.json", import.meta.url), "utf8"),
) as GanFixture;

/** A state of the fixture in the shapes of a model. */
export function arraysOf(
  state: State,
  tensors: Iterable<readonly [string, { readonly shape: readonly number[] }]>,
): Map<string, NdArray<"float32">> {
  return new Map(
    [...tensors].map(([name, { shape }]) => {
      const values = state[name];
      if (values === undefined) throw new Error(`the fixture holds no ${name}`);
      return [name, float32(values, shape)];
    }),
  );
}

/** Largest |a − b|. */
export function largestDifference(actual: ArrayLike<number | bigint>, expected: readonly number[]): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return Math.max(...expected.map((value, i) => Math.abs(Number(actual[i]) - value)));
}
