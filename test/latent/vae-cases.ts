import { Vae, vaeOptions } from "../../src/latent/index.ts";
import type { DataInfo, DataKind } from "../../src/model/data-info.ts";
import { initialState, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { State } from "../../src/program/program.ts";
import { Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { float32, int64, type NdArray } from "../../src/tensor/index.ts";
import { normals } from "../flows/check-transform.ts";
import { numbers } from "../support.ts";

const TABLE: DataInfo = {
  kind: "table",
  sampleShape: [5],
  classes: 3,
  classShares: [0.5, 0.3, 0.2],
  columns: [
    { name: "a", size: 1, mean: 0, deviation: 1 },
    { name: "kind", size: 3 },
    { name: "b", size: 1, mean: 0, deviation: 1 },
  ],
};

/** Small data of every kind. */
export const DATA = {
  points: { kind: "points", sampleShape: [2], classes: 3 },
  table: TABLE,
  image: { kind: "image", sampleShape: [1, 12, 12], classes: 3 },
  binary: { kind: "binary", sampleShape: [1, 12, 12], classes: 3 },
  vector: {
    kind: "binary",
    sampleShape: [6],
    classes: 3,
    columns: ["a", "b", "c", "d", "e", "f"].map((name) => ({ name, size: 1 })),
  },
} as const satisfies Readonly<Record<DataKind | "vector", DataInfo>>;

/** Samples in data units that have something to be learnt: the first half of each is alike. */
export function samplesOf({ kind, sampleShape }: DataInfo, count: number, seed = 9): NdArray<"float32"> {
  const { data, shape } = normals(seed, [count, ...sampleShape]);
  switch (kind) {
    case "image":
      return float32(
        data.map((value) => Math.min(255, Math.max(0, Math.round(60 + 90 * value)))),
        shape,
      );
    case "binary":
      return float32(
        data.map((value, i) => Number(value > (i % 2 === 0 ? -1 : 1))),
        shape,
      );
    case "points":
      return float32(
        data.map((value, i) => (i % 2 === 0 ? 2 : 0.3) * value),
        shape,
      );
    case "table":
      return float32(
        data.map((value, i) => {
          const place = i % 5;
          if (place === 0 || place === 4) return value;
          const category = Math.floor(i / 5) % 3;
          return Number(place - 1 === category) + Math.max(-0.49, Math.min(0.49, 0.2 * value));
        }),
        shape,
      );
  }
}

/** Classes 0, 1, 2, 0, …. */
export function labelsOf(count: number): NdArray<"int64"> {
  return int64(
    Array.from({ length: count }, (_, i) => i % 3),
    [count],
  );
}

/** Options small enough for tests. */
export const SMALL = { width: 12, channels: 4, flowWidth: 8, priorTransforms: 2, scoreSamples: 8 } as const;

/** What differs from VAE to VAE. */
export const VARIANTS: readonly (readonly [string, DataInfo, object])[] = [
  ["points", DATA.points, {}],
  ["points, evidence lower bound", DATA.points, { importanceSamples: 1, scale: "shared" }],
  ["table", DATA.table, {}],
  ["table, per-sample scales, classes", DATA.table, { scale: "per-sample", conditional: true }],
  ["table, a given column", DATA.table, { given: ["kind"], conditional: true }],
  ["table, flows", DATA.table, { posterior: "iaf", prior: "maf", latentSize: 3 }],
  ["images", DATA.image, {}],
  ["images, perceptrons, classes", DATA.image, { network: "mlp", scale: "per-dimension", conditional: true }],
  ["images, dequantized", DATA.image, { likelihood: "gaussian" }],
  ["images, flows", DATA.image, { posterior: "iaf", prior: "real-nvp", freeBits: 0.1 }],
  ["zeros and ones as images", DATA.binary, { conditional: true }],
  ["zeros and ones as vectors", DATA.vector, { importanceSamples: 3 }],
  ["zeros and ones, a given column", DATA.vector, { given: ["b"], beta: 2, warmUp: 5 }],
];

export interface BuiltVae {
  readonly model: Vae;
  readonly weights: State;
}

/** A VAE with starting values, moved a little so that nothing is at zero. */
export function buildVae(options: object, data: DataInfo): BuiltVae {
  const model = nameParameters(new Vae(vaeOptions.parse({ ...SMALL, ...options }), data));
  const weights = new Map(initialState(model, 1));
  parametersOf(model).forEach(({ name, shape }, i) => {
    const noise = normals(100 + i, shape, 0.05);
    const start = weights.get(name);
    weights.set(
      name,
      float32(
        noise.data.map((value, k) => value + Number(start?.data[k] ?? 0)),
        shape,
      ),
    );
  });
  return { model, weights };
}

/** Runs a body in a session of a VAE. */
export async function withVae<T>({ weights }: BuiltVae, body: (session: Session) => Promise<T>): Promise<T> {
  const session = new Session(await nodeRuntime({ threads: 1 }), weights);
  try {
    return await body(session);
  } finally {
    await session.release();
  }
}

export { numbers };

export const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;

/** Noise that is the same at every call. */
export const fixedNoise = () => ({ random: new Random(5) });
