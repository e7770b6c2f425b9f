import fc from "fast-check";
import { expect, test } from "vitest";
import { range, type Split, storedSplit } from "../../src/data/sources/data-set.ts";
import { shareSplit } from "../../src/data/sources/sample-share.ts";
import { Random } from "../../src/random.ts";
import { type BatchFeeds, trainingBatches } from "../../src/train/batches.ts";
import { RankBatches } from "../../src/train/rank-batches.node.ts";
import { shareOfRank } from "../../src/train/rank-pool.node.ts";
import { SampleOwners } from "../../src/train/ranks/owners.ts";

// The rows of batches over several ranks, without MPI.

/** Samples of two numbers whose first is their number; with noise in the second, where they are drawn anew. */
function samples(count: number, { labeled, noisy }: { labeled: boolean; noisy: boolean }): Split {
  const store = Float32Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? i / 2 : -i));
  const split = storedSplit(store, [2], range(0, count), labeled ? range(7, count) : undefined);
  if (!noisy) return split;
  return {
    ...split,
    redrawn(indices, randomOf) {
      const batch = split.batch(indices);
      for (let i = 0; i < indices.length; i++) batch.x.data[2 * i + 1] = randomOf(i).uniform();
      return batch;
    },
  };
}

/** What a split holds of some samples alone. */
function heldOf(split: Split, owners: SampleOwners, rank: number): Split {
  const own = owners.samplesOf(rank);
  const { redrawn } = split;
  const at = (indices: ArrayLike<number>) => Uint32Array.from(indices, (i) => own[i] ?? -1);
  const held: Split = {
    count: own.length,
    batch: (indices) => split.batch(at(indices)),
    ...(redrawn && { redrawn: (indices, randomOf) => redrawn(at(indices), randomOf) }),
  };
  return shareSplit(held, split.count, (sample) => owners.placeOn(rank, sample), own[0] ?? 0);
}

/** The numbers that each rank gives, by rank. */
type Given = Map<number, { readonly numbers: Float32Array; readonly given: Int32Array }>;

/** What `MPI_Alltoallv` would bring a rank. */
function brought(all: Given, rank: number): number[] {
  return [...all.values()].flatMap(({ numbers, given }) => {
    const from = given.subarray(0, rank).reduce((sum, count) => sum + count, 0);
    return [...numbers.subarray(from, from + (given[rank] ?? 0))];
  });
}

const cases = fc.record({
  order: fc
    .integer({ min: 1, max: 40 })
    .chain((count) =>
      fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: count, maxLength: count }),
    ),
  size: fc.integer({ min: 1, max: 6 }),
  perRank: fc.integer({ min: 1, max: 6 }),
  extra: fc.integer({ min: 0, max: 7 }),
  accumulate: fc.integer({ min: 1, max: 3 }),
  step: fc.integer({ min: 0, max: 30 }),
  labeled: fc.boolean(),
  noisy: fc.boolean(),
});

test("every rank ends with the rows of its part, in order, whoever holds their samples", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ order, size, perRank, extra, accumulate, step, labeled, noisy }) => {
      fc.pre(order.length >= size);
      const batchSize = accumulate * (size * perRank + (extra % size));
      const whole = samples(order.length, { labeled, noisy });
      const owners = new SampleOwners(Uint32Array.from(order), size);
      const parts = range(0, size);
      const shares = Array.from(parts, (rank) =>
        shareOfRank(rank, size, { batchSize, replicas: 1, accumulate }),
      );
      const one = trainingBatches({ split: whole, batchSize, random: new Random(3) });
      const given: Given = new Map();
      const of = (rank: number, split: Split): RankBatches =>
        new RankBatches(
          trainingBatches({ split, batchSize, random: new Random(3) }),
          owners,
          {
            rank,
            agree: (fault) => {
              if (fault !== undefined) throw fault;
            },
            exchange(numbers, counts, taken) {
              given.set(rank, { numbers, given: counts });
              const length = taken.reduce((sum, count) => sum + count, 0);
              if (given.size < size) return new Float32Array(length);
              const numbersHere = brought(new Map([...given].sort(([a], [b]) => a - b)), rank);
              expect(numbersHere).toHaveLength(length);
              return Float32Array.from(numbersHere);
            },
          },
          shares,
        );
      // Rank 0 has all samples, the others theirs alone.
      const ranks = Array.from(parts, (rank) => of(rank, rank === 0 ? whole : heldOf(whole, owners, rank)));
      // The first time, not all that ranks give is there; the second time it is.
      for (const batches of [...ranks, ...ranks]) batches.meet(step);
      for (const [rank, batches] of ranks.entries()) {
        const part = shares[rank] ?? { first: 0, count: 0 };
        const rows = part.count / accumulate;
        for (let i = 0; i < accumulate; i++) {
          const own = { first: part.first + i * rows, count: rows };
          expect(plain(batches.feeds(step, own))).toEqual(plain(await one.feeds(step, own)));
        }
      }
    }),
  );
});

const plain = (feeds: BatchFeeds): unknown =>
  Object.entries(feeds).map(([name, { dtype, shape, data }]) => [name, dtype, shape, [...data]]);

test("samples are divided by where they stand in the data, evenly, and each has one owner", () => {
  const sizes = fc.record({
    rows: fc.uniqueArray(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 300 }),
    size: fc.integer({ min: 1, max: 40 }),
  });
  fc.assert(
    fc.property(sizes, ({ rows, size }) => {
      const owners = new SampleOwners(Uint32Array.from(rows), size);
      const all: number[] = [];
      for (let rank = 0; rank < size; rank++) {
        const own = owners.samplesOf(rank);
        expect(Math.abs(own.length - rows.length / size)).toBeLessThan(1);
        for (const [place, sample] of own.entries()) {
          expect(owners.ownerOf(sample)).toBe(rank);
          expect(owners.placeOn(rank, sample)).toBe(place);
        }
        all.push(...own);
      }
      // One after the other, they are the rows in rising order.
      expect(all.map((sample) => rows[sample])).toEqual(rows.toSorted((a, b) => a - b));
    }),
  );
});

test("a rank that cannot make its rows says so before anything is exchanged", () => {
  const split = samples(8, { labeled: false, noisy: false });
  const owners = new SampleOwners(range(0, 8), 2);
  const broken: Split = {
    ...split,
    batch(indices) {
      if (indices.length > 1) throw new Error("the disk is gone");
      return split.batch(indices);
    },
  };
  const said: unknown[] = [];
  const source = trainingBatches({ split: broken, batchSize: 8, random: new Random(0) });
  const company = {
    rank: 1,
    agree(fault: unknown) {
      said.push(fault);
      throw fault;
    },
    exchange: () => {
      throw new Error("exchanged");
    },
  };
  const shares = [
    { first: 0, count: 4 },
    { first: 4, count: 4 },
  ];
  const batches = new RankBatches(source, owners, company, shares);
  expect(() => batches.meet(0)).toThrow(/the disk is gone/);
  expect(said).toHaveLength(1);
  // Without a meeting there are no rows.
  expect(() => batches.feeds(0, { first: 4, count: 4 })).toThrow(/have not met for step 0/);
});
