import {
  checkMemory,
  FLOAT_BYTES,
  type MemoryLimit,
  type MemoryNeed,
  showBytes,
  showCount,
} from "../memory.ts";
import type { Trainable } from "../model/capabilities.ts";
import { type Module, parameterCount, stateSize } from "../nn/module.ts";
import { elementCount } from "../tensor/array.ts";
import type { ResolvedFitOptions } from "./options.ts";
import { frozenOf, ratesOf } from "./rates.ts";

/** What of the options of a fit decides the memory that it takes. */
export type FitMemoryOptions = Pick<
  ResolvedFitOptions,
  "batchSize" | "optimizer" | "momentum" | "averageDecay" | "replicas"
>;

/** A model, or what of it decides which of its parameters are trained. */
type Fitted = Module & Pick<Trainable, "rateOf">;

/** Vectors of the length of the trained parameters that an optimizer keeps. */
function slotCount({ optimizer, momentum }: FitMemoryOptions): number {
  if (optimizer !== "sgd") return 2;
  return momentum === 0 ? 0 : 1;
}

/**
 * What a fit needs at the least: weights, the optimizer's vectors and the moving average, each as a step takes it and as it returns it,
 * the gradient, and a batch. Frozen parameters are held once, and once more where replicas share them. Replicas have weights and gradients
 * of their own. What layers compute comes on top: it depends on the model,
 * and is often more than all of this.
 * @param validated numbers of a batch of held-out samples, where those may be larger than batches of training
 */
export function fitMemory(
  model: Fitted,
  options: FitMemoryOptions,
  sampleShape: readonly number[],
  validated = 0,
): MemoryNeed {
  const parameters = parameterCount(model);
  const frozen = frozenOf(ratesOf(model)).reduce((total, { shape }) => total + elementCount(shape), 0);
  const { batchSize, averageDecay, replicas } = options;
  const vectors = 1 + slotCount(options) + (averageDecay > 0 ? 1 : 0);
  const copies = 2 * vectors + 1 + (replicas > 1 ? 2 * replicas : 0);
  const ofFrozen = 1 + (replicas > 1 ? replicas : 0);
  const weights =
    FLOAT_BYTES * (copies * (parameters - frozen) + ofFrozen * frozen + 2 * (stateSize(model) - parameters));
  const trained = FLOAT_BYTES * batchSize * elementCount(sampleShape);
  const heldOut = FLOAT_BYTES * validated;
  const batch = Math.max(trained, heldOut);
  const batches =
    heldOut > trained
      ? `batches of validation (${showBytes(heldOut)} each)`
      : `batches of ${showCount(batchSize)} samples (${showBytes(trained)} each)`;
  return {
    what: `fit: ${showCount(parameters)} parameters${frozen > 0 ? `, ${showCount(frozen)} of them frozen,` : ""} with ${options.optimizer} (${showBytes(weights)}) and ${batches}`,
    bytes: weights + batch,
    instead:
      batch > weights ? "take a smaller batchSize or smaller samples" : "take fewer or narrower layers",
  };
}

/** Refuses a fit that would not fit into memory. @param validated as in `fitMemory` @throws MemoryError with the estimate */
export function checkFitMemory(
  model: Fitted,
  options: FitMemoryOptions,
  sampleShape: readonly number[],
  limit: MemoryLimit,
  validated = 0,
): void {
  checkMemory(fitMemory(model, options, sampleShape, validated), limit);
}
