import fc from "fast-check";
import { expect, test } from "vitest";
import { batchesPerEpoch, batchIndices, randomSplit } from "../../../src/data/sources/data-set.ts";
import { Random } from "../../../src/random.ts";

test("an epoch visits samples once each, the next in another order", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 40 }), (count, batchSize) => {
      fc.pre(batchSize <= count);
      const random = new Random(5);
      const steps = batchesPerEpoch(count, batchSize);
      const seen = new Set<number>();
      for (let step = 0; step < steps; step++) {
        const batch = batchIndices(count, batchSize, step, random);
        expect(batch.length).toBe(batchSize);
        for (const index of batch) seen.add(index);
      }
      expect(seen.size).toBe(steps * batchSize);
      expect(Math.max(...seen)).toBeLessThan(count);
    }),
    { numRuns: 50 },
  );
  const random = new Random(5);
  expect(batchIndices(100, 100, 0, random)).not.toEqual(batchIndices(100, 100, 1, random));
});

test("a step's batch depends on the key and the step alone", () => {
  const inOrder = new Random(9).split("batches");
  const batches = Array.from({ length: 30 }, (_, step) => batchIndices(47, 8, step, inOrder));
  const other = new Random(9).split("batches");
  other.uniform();
  for (const step of [29, 3, 17, 3]) expect(batchIndices(47, 8, step, other)).toEqual(batches[step]);
  expect(batchIndices(47, 8, 3, new Random(10).split("batches"))).not.toEqual(batches[3]);
});

test("a split smaller than the batch goes round its permutation", () => {
  const batch = batchIndices(3, 8, 4, new Random(1));
  expect(batch.length).toBe(8);
  expect([...batch.slice(0, 3)].sort()).toEqual([0, 1, 2]);
  expect([...batch.slice(3, 6)]).toEqual([...batch.slice(0, 3)]);
  expect(() => batchIndices(0, 8, 0, new Random(1))).toThrow(/empty/);
});

test("a random split is a partition in the given proportions", () => {
  const parts = randomSplit(1003, { validation: 0.1, test: 0.2 }, new Random(2));
  expect([parts.train.length, parts.validation.length, parts.test.length]).toEqual([703, 100, 200]);
  const all = [...parts.train, ...parts.validation, ...parts.test].sort((a, b) => a - b);
  expect(all).toEqual(Array.from({ length: 1003 }, (_, i) => i));
  const tiny = randomSplit(3, { validation: 0.1, test: 0.1 }, new Random(2));
  expect([tiny.train.length, tiny.validation.length, tiny.test.length]).toEqual([1, 1, 1]);
  expect(randomSplit(10, { validation: 0, test: 0.1 }, new Random(2)).validation.length).toBe(0);
});
