import type { Conditionals, Ensemble } from "../../src/autoregressive/conditionals.ts";
import { AutoregressiveModel } from "../../src/autoregressive/model.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program, Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";

export { numbers };

/** Zeros and ones in vectors of n. */
export const bitData = (n: number): DataInfo => ({ kind: "binary", sampleShape: [n] });

/** All 2ⁿ vectors, [2ⁿ, n]; the first element is the highest bit of the row's number. */
export function allVectors(n: number): NdArray<"float32"> {
  const count = 2 ** n;
  const data = new Float32Array(count * n);
  for (let i = 0; i < data.length; i++) data[i] = (Math.floor(i / n) >> (n - 1 - (i % n))) & 1;
  return float32(data, [count, n]);
}

/** The number of a vector among all. */
export function codeOf(x: ArrayLike<number>): number {
  return Array.from(x).reduce((code, bit) => 2 * code + bit, 0);
}

/** Normal numbers for all parameters of a module, wilder than its own starting values. */
export function randomWeights(
  module: object,
  seed: number,
  deviation = 0.8,
): Map<string, NdArray<"float32">> {
  const weights = new Map<string, NdArray<"float32">>();
  for (const [name, { shape }] of namedTensors(nameParameters(module))) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    new Random(seed).split(name).fillNormal(data);
    weights.set(
      name,
      float32(
        data.map((value) => deviation * value),
        shape,
      ),
    );
  }
  return weights;
}

/** The same tensors with weights in the places of a module's parameters. */
export function withWeights(
  module: object,
  weights: ReadonlyMap<string, NdArray>,
  outputs: readonly Tensor[],
): readonly Tensor[] {
  const values = new Map<Tensor, Tensor>();
  for (const [name, tensor] of namedTensors(module)) {
    const value = weights.get(name);
    if (value !== undefined) values.set(tensor, constant(value));
  }
  return substitute(outputs, values);
}

/** Values of tensors that depend on random numbers. */
export async function evaluateRandom(outputs: readonly Tensor[], random: Random): Promise<NdArray[]> {
  const named = new Map(outputs.map((output, i) => [`${i}`, output]));
  const program = await Program.build(named, await nodeRuntime({ threads: 1 }));
  const results = await program.run({}, { random });
  await program.release();
  return outputs.flatMap((_, i) => results[`${i}`] ?? []);
}

/** A model of n bits with wild weights, in a session. */
export async function wild(
  conditionals: Conditionals | Ensemble,
  n: number,
  { seed = 1, deviation = 0.8 } = {},
): Promise<{ readonly model: AutoregressiveModel; readonly session: Session }> {
  const model = nameParameters(new AutoregressiveModel(conditionals, bitData(n)));
  return {
    model,
    session: new Session(await nodeRuntime({ threads: 1 }), randomWeights(model, seed, deviation)),
  };
}

/** Log-probabilities of all vectors, by their number. */
export async function logProbs(model: AutoregressiveModel, session: Session): Promise<number[]> {
  const program = session.compiled(model, "all", ["x"], ({ x }) => ({ logProb: model.logProb(x) }));
  return numbers((await program.run({ x: allVectors(model.dimensions) })).logProb);
}

/**
 * Pearson's χ² of counts of outcomes against their probabilities in deviations from its mean: (χ² − k) / √(2k) for k
 * degrees of freedom. Rare outcomes are taken together.
 */
export function chiSquared(codes: readonly number[], probabilities: readonly number[]): number {
  const counts = new Array<number>(probabilities.length).fill(0);
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  let statistic = 0;
  let cells = 0;
  let [rareCount, rareExpected] = [0, 0];
  const add = (count: number, expected: number): void => {
    statistic += (count - expected) ** 2 / expected;
    cells++;
  };
  for (const [code, probability] of probabilities.entries()) {
    const expected = probability * codes.length;
    if (expected >= 5) {
      add(counts[code] ?? 0, expected);
    } else {
      rareCount += counts[code] ?? 0;
      rareExpected += expected;
    }
  }
  if (rareExpected > 1) add(rareCount, rareExpected);
  const freedom = Math.max(1, cells - 1);
  return (statistic - freedom) / Math.sqrt(2 * freedom);
}

/** Numbers of the vectors that stand in rows one after the other. */
export function codesOf(rows: ArrayLike<number>, n: number): number[] {
  const flat = Array.from(rows);
  return Array.from({ length: flat.length / n }, (_, i) => codeOf(flat.slice(i * n, (i + 1) * n)));
}
