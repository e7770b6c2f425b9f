import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { WeightsError } from "../errors.ts";
import { nodeRuntime } from "../program/node.ts";
import type { Runtime } from "../program/runtime.ts";
import type { NdArray } from "../tensor/array.ts";
import { DigitFeatureNetwork } from "./digit-features.ts";
import { frechetDistance } from "./frechet.ts";

/** Where the weights lie, seen from `src/metrics` and from `dist/metrics` alike. */
export const digitFeaturesAsset = new URL("../../assets/digit-features.safetensors", import.meta.url);

let loaded: Promise<DigitFeatureNetwork> | undefined;

/** The feature network of digits; its weights are read when it is first asked for. @throws WeightsError */
export function digitFeatureNetwork(): Promise<DigitFeatureNetwork> {
  loaded ??= readFile(digitFeaturesAsset).then(
    (bytes) => new DigitFeatureNetwork(bytes),
    () => {
      loaded = undefined;
      throw new WeightsError(
        `digit features: ${fileURLToPath(digitFeaturesAsset)} is missing; the package brings it along, and scripts/train-digit-features.ts makes it`,
      );
    },
  );
  return loaded;
}

/**
 * Features of digits, [n, 64], by the classifier that scripts/train-digit-features.ts trained.
 * @param images bytes 0 … 255, [n, 1, 28, 28] or [n, 784]
 * @param runtime where the network runs (default: the processor)
 * @throws OptionError where the images are no digits, WeightsError where the weights are missing or damaged
 */
export async function digitFeatures(
  images: NdArray<"float32">,
  runtime?: Runtime,
): Promise<NdArray<"float32">> {
  const network = await digitFeatureNetwork();
  return (await network.view(images, runtime ?? (await nodeRuntime()))).features;
}

/**
 * The squared Fréchet distance between digits in the features of the classifier: what FID is for photographs. Numbers
 * compare with each other only where counts are equal, and with no FID of elsewhere.
 * @throws as `digitFeatures` and `frechetDistance`
 */
export async function digitFrechetDistance(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  runtime?: Runtime,
): Promise<number> {
  const shared = runtime ?? (await nodeRuntime());
  return frechetDistance(await digitFeatures(x, shared), await digitFeatures(y, shared));
}
