import { writeFile } from "node:fs/promises";
import { initialState, writeSafetensors } from "../src/nn/index.ts";
import type { State } from "../src/program/program.ts";
import { Random } from "../src/random.ts";
import { elementCount, float32, type NdArray } from "../src/tensor/index.ts";

/** Weights of a model in which nothing is zero, so that every layer shows in the output. */
export function denseWeights(model: object): State {
  const random = new Random(0).split("weights");
  return new Map(
    [...initialState(model, 0)].map(([name, { shape, data }]) => {
      const noise = new Float32Array(elementCount(shape));
      random.split(name).fillNormal(noise);
      return [
        name,
        float32(
          noise.map((value, i) => Number(data[i]) + 0.02 * value),
          shape,
        ),
      ];
    }),
  );
}

/**
 * Writes weights for a peer to load, together with inputs of the network and what comes of them (`check.…`), by which the peer
 * sees that it computes the same.
 */
export async function writeChecked(
  file: string,
  weights: State,
  check: Readonly<Record<string, NdArray>>,
): Promise<void> {
  const checks = Object.entries(check).map(([name, value]) => [`check.${name}`, value] as const);
  await writeFile(file, writeSafetensors(new Map([...weights, ...checks])));
}
