import { DataError } from "../errors.ts";
import { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";
import { type Batch, type DataSet, range, type Split, storedSplit } from "./data-set.ts";
import { Fingerprint } from "./fingerprint.ts";

/** Samples with the other ends of paths that lead to them, `[n, ...sampleShape]` both, in data units. */
export interface Pairs {
  readonly x: NdArray<"float32">;
  readonly source: NdArray<"float32">;
  /** `[n]`, where the data has classes. */
  readonly label?: NdArray<"int64">;
}

/** One in so many pairs is held out for validation, and at most so many. */
const HELD_OUT_SHARE = 20;
const MOST_HELD_OUT = 1000;

/** A data set whose models are fitted to given pairs; its splits stay what they are, to measure by. @throws DataError */
export function withPairs(data: DataSet, pairs: Pairs): DataSet {
  const count = pairs.x.shape[0] ?? 0;
  for (const [name, { shape }] of Object.entries({ x: pairs.x, source: pairs.source })) {
    if (shape.join() === [count, ...data.sampleShape].join()) continue;
    throw new DataError(
      `pairs: ${name} has shape [${shape}]; for ${data.name} it must be [${count},${data.sampleShape}]`,
    );
  }
  if (pairs.label !== undefined && data.classes === undefined) {
    throw new DataError(`pairs: they have labels, and ${data.name} has no classes`);
  }
  const held = Math.min(MOST_HELD_OUT, Math.floor(count / HELD_OUT_SHARE));
  const part = (first: number, length: number): Split => {
    const labels = pairs.label && Int32Array.from(pairs.label.data, Number);
    const order = range(first, length);
    const targets = storedSplit(pairs.x.data, data.sampleShape, order, labels);
    const sources = storedSplit(pairs.source.data, data.sampleShape, order);
    return {
      count: length,
      batch: (indices) => ({ ...targets.batch(indices), source: sources.batch(indices).x }),
    };
  };
  return {
    ...data,
    pairs: { train: part(0, count - held), validation: part(count - held, held) },
    fingerprint: new Fingerprint()
      .text(data.fingerprint)
      .values(pairs.x.data)
      .values(pairs.source.data)
      .toString(),
    describe: () => [
      ...data.describe(),
      `fitted to ${count - held} pairs of noise and samples, validated with ${held}`,
    ],
  };
}

/** A number that depends on every index. */
function hashOf(indices: ArrayLike<number>): number {
  const words = Uint32Array.from(indices);
  return Number.parseInt(new Fingerprint().values(words).toString().slice(0, 8), 16);
}

/** Rows of a split, drawn at random: `[count, ...sampleShape]`. */
export function randomRows(split: Split, count: number, random: Random): NdArray<"float32"> {
  return split.batch(Array.from({ length: count }, () => random.integer(split.count))).x;
}

/**
 * A data set in which each sample is joined with one of another data set, drawn at random anew for each batch: the ends of
 * paths from the one to the other. Where a split of the source is empty, its training split stands in.
 * @throws DataError where samples are of another kind or shape
 */
export function withSource(data: DataSet, source: DataSet): DataSet {
  if (source.kind !== data.kind || source.sampleShape.join() !== data.sampleShape.join()) {
    throw new DataError(
      `source ${source.name} is ${source.kind} data of shape [${source.sampleShape}]; ${data.name} is ${data.kind} data of shape [${data.sampleShape}], and both must be of one kind and shape`,
    );
  }
  const joined = (name: keyof DataSet["splits"]): Split => {
    const to = data.splits[name];
    const from = source.splits[name].count > 0 ? source.splits[name] : source.splits.train;
    const random = new Random(0).split("source").split(name);
    return {
      count: to.count,
      batch: (indices): Batch => ({
        ...to.batch(indices),
        source: randomRows(from, indices.length, random.split(hashOf(indices))),
      }),
    };
  };
  return {
    ...data,
    splits: { train: joined("train"), validation: joined("validation"), test: joined("test") },
    source,
    fingerprint: new Fingerprint().text(data.fingerprint).text(source.fingerprint).toString(),
    describe: () => [...data.describe(), "paths begin at:", ...source.describe()],
  };
}
