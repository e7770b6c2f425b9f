import { EidosError } from "../errors.ts";
import type { Random } from "../random.ts";

/** Number of batches in an epoch: partial batches are dropped, but a small split still makes one batch. */
export function batchesPerEpoch(count: number, batchSize: number): number {
  return Math.max(1, Math.floor(count / batchSize));
}

// A permutation of a large split costs milliseconds, so the one of the current epoch is kept for each generator.
const lastEpoch = new WeakMap<Random, { count: number; epoch: number; order: Uint32Array }>();

/** The order in which an epoch visits a split: a permutation that depends on the generator's key and the epoch alone. */
export function epochOrder(count: number, epoch: number, random: Random): Uint32Array {
  const held = lastEpoch.get(random);
  if (held !== undefined && held.count === count && held.epoch === epoch) return held.order;
  const order = random.split(epoch).permutation(count);
  lastEpoch.set(random, { count, epoch, order });
  return order;
}

/**
 * Which samples training step `step` (from 0) sees: a pure function of its arguments, so that a resumed run sees what
 * the uninterrupted one would have seen. Every epoch is a fresh permutation; its last partial batch is dropped. Where
 * the split is smaller than a batch, a batch goes round the permutation until it is full.
 * @throws EidosError where the split is empty.
 */
export function batchIndices(count: number, batchSize: number, step: number, random: Random): Uint32Array {
  if (count < 1) throw new EidosError("the training split is empty: there is nothing to take a batch from");
  const batches = batchesPerEpoch(count, batchSize);
  const order = epochOrder(count, Math.floor(step / batches), random);
  const start = (step % batches) * batchSize;
  return Uint32Array.from({ length: batchSize }, (_, i) => order[(start + i) % count] ?? 0);
}

/**
 * Divides 0 … count − 1 at random into training, validation and test positions. Fractions are of the whole; every
 * part gets at least one sample where there are three or more, so that a small file can still be tried.
 */
export function randomSplit(
  count: number,
  fractions: { readonly validation: number; readonly test: number },
  random: Random,
): Readonly<Record<"train" | "validation" | "test", Uint32Array>> {
  const order = random.permutation(count);
  const part = (fraction: number) =>
    fraction === 0 ? 0 : Math.max(count >= 3 ? 1 : 0, Math.floor(count * fraction));
  const validation = part(fractions.validation);
  const test = Math.min(part(fractions.test), count - validation);
  const train = count - validation - test;
  return {
    train: order.slice(0, train),
    validation: order.slice(train, train + validation),
    test: order.slice(train + validation),
  };
}
