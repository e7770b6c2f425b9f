import { readFile } from "node:fs/promises";

type Matrix = readonly (readonly number[])[];

interface Discrepancies {
  readonly median: number;
  readonly gaussian: number;
  readonly gaussianOne: number;
  readonly laplacian: number;
  readonly inverseMultiquadric: number;
  readonly linear: number;
  readonly polynomial: number;
}

interface Orders {
  readonly order1: number;
  readonly order2: number;
}

interface Manifold {
  readonly precision: number;
  readonly recall: number;
  readonly density: number;
  readonly coverage: number;
}

interface Fixture {
  readonly by: string;
  readonly x: Matrix;
  readonly y: Matrix;
  readonly same: Matrix;
  readonly wide: readonly [Matrix, Matrix];
  readonly heldOut: Matrix;
  readonly weights: readonly [readonly number[], readonly number[]];
  readonly discrepancies: Discrepancies;
  readonly wideDiscrepancies: Discrepancies;
  readonly energyDistance: number;
  readonly oneDimensional: Orders & { readonly weighted1: number; readonly weighted2: number };
  readonly transport: {
    readonly assignment: Orders;
    readonly unequal: Orders;
    readonly weighted: Orders;
  };
  /** W₂ over all directions. */
  readonly sliced: number;
  readonly frechet: { readonly small: number; readonly wide: number };
  readonly prdc: { readonly "3": Manifold; readonly "5": Manifold };
  readonly memorization: {
    readonly nearerShare: number;
    readonly pValue: number;
    readonly distanceRatio: number;
    readonly nearest: readonly number[];
  };
  readonly parzen: readonly {
    readonly bandwidth: number;
    readonly logLikelihood: number;
    readonly standardError: number;
  }[];
  readonly classifier: {
    readonly x: readonly number[];
    readonly y: readonly number[];
    readonly accuracy: number;
  };
  readonly tails: {
    readonly normal: readonly (readonly [number, number])[];
    readonly coin: readonly (readonly [number, number, number])[];
  };
}

/** What reference implementations say; written by two-sample.py beside it. */
export const fixture: Fixture = JSON.parse(
  await readFile(new URL("../fixtures/metrics/two-sample.json", import.meta.url), "utf8"),
);
