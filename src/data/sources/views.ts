import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { nearest } from "../../nearest.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import {
  type Batch,
  type DataSet,
  describeSplits,
  Fingerprint,
  range,
  type Split,
  storedSplit,
} from "./data-set.ts";

/** Samples whose labels are read at once. */
const ROWS = 4096;

/**
 * The samples of some classes alone. Labels count the classes that are left, in the order of the data set; where one is left,
 * samples have no labels.
 * @param names of the classes to keep
 * @throws DataError where the data has no classes, one is unknown (with the nearest name) or none has samples to train on
 */
export function onlyClasses(data: DataSet, names: readonly string[]): DataSet {
  const { classes, name } = data;
  if (classes === undefined) {
    throw new DataError(`${name} has no classes; leave the option classes out`);
  }
  for (const wanted of names) {
    if (classes.includes(wanted)) continue;
    const meant = nearest(wanted, classes);
    throw new DataError(
      `${name} has no class "${wanted}"; ${meant === undefined ? `there are ${classes.slice(0, 20).join(", ")}` : `did you mean "${meant}"?`}`,
    );
  }
  const kept = classes.filter((own) => names.includes(own));
  const labelOf = new Map(kept.map((own, i) => [classes.indexOf(own), i]));
  const splits = {
    train: subset(data.splits.train, labelOf),
    validation: subset(data.splits.validation, labelOf),
    test: subset(data.splits.test, labelOf),
  };
  if (splits.train.count === 0) {
    throw new DataError(`${name} has no training samples of the classes ${kept.join(", ")}`);
  }
  const { classes: _classes, origin: _origin, ...rest } = data;
  return {
    ...rest,
    splits,
    ...(kept.length > 1 && { classes: kept }),
    fingerprint: new Fingerprint().text(data.fingerprint).text(JSON.stringify(kept)).toString(),
    describe: () => [
      ...data.describe(),
      `of these the ${kept.length === 1 ? "class" : "classes"} ${kept.join(", ")}: ${describeSplits(splits)}`,
    ],
  };
}

/** @param labelOf new labels of the classes that are kept, by their old ones */
function subset(split: Split, labelOf: ReadonlyMap<number, number>): Split {
  const positions: number[] = [];
  for (let first = 0; first < split.count; first += ROWS) {
    const { label } = split.batch(range(first, Math.min(ROWS, split.count - first)));
    label?.data.forEach((old, i) => {
      if (labelOf.has(Number(old))) positions.push(first + i);
    });
  }
  const relabeled = (batch: ReturnType<Split["batch"]>): ReturnType<Split["batch"]> => {
    const { label, ...rest } = batch;
    if (label === undefined || labelOf.size === 1) return rest;
    const data = label.data.map((old) => {
      const kept = labelOf.get(Number(old));
      if (kept === undefined) throw new RangeError(`class ${old} is not one that was kept`);
      return BigInt(kept);
    });
    return { ...rest, label: { ...label, data } };
  };
  const placesOf = (indices: ArrayLike<number>): number[] =>
    Array.from(indices, (index) => {
      const position = positions[index];
      if (position === undefined)
        throw new RangeError(`sample ${index} asked of a split of ${positions.length}`);
      return position;
    });
  const { intensities, redrawn } = split;
  return {
    count: positions.length,
    batch: (indices) => relabeled(split.batch(placesOf(indices))),
    ...(intensities && { intensities: (indices) => relabeled(intensities(placesOf(indices))) }),
    ...(redrawn && { redrawn: (indices, randomOf) => relabeled(redrawn(placesOf(indices), randomOf)) }),
  };
}

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
  if (count === 0) throw new DataError("pairs: there are none, and nothing can be fitted to; draw some");
  for (const [name, { shape }] of Object.entries({ x: pairs.x, source: pairs.source })) {
    if (shape.join() === [count, ...data.sampleShape].join()) continue;
    throw new DataError(
      `pairs: ${name} has shape [${shape}]; for ${data.name} it must be [${count},${data.sampleShape}]`,
    );
  }
  if (pairs.label !== undefined && data.classes === undefined) {
    throw new DataError(`pairs: they have labels, and ${data.name} has no classes`);
  }
  if (pairs.label !== undefined && pairs.label.shape.join() !== String(count)) {
    throw new DataError(
      `pairs: label has shape [${pairs.label.shape}]; for ${count} pairs it must be [${count}]`,
    );
  }
  const strange = pairs.label?.data.find((label) => label < 0n || label >= (data.classes?.length ?? 0));
  if (strange !== undefined) {
    throw new DataError(
      `pairs: one has the class ${strange}; ${data.name} has the classes 0 to ${(data.classes?.length ?? 0) - 1}`,
    );
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
  const { origin: _origin, ...rest } = data;
  return {
    ...rest,
    pairs: { train: part(0, count - held), validation: part(count - held, held) },
    fingerprint: new Fingerprint()
      .text(data.fingerprint)
      .values(pairs.x.data)
      .values(pairs.source.data)
      .toString(),
    describe: () => [
      ...data.describe(),
      `fitted to ${counted(count - held, "pair")} of noise and samples, validated with ${held}`,
    ],
  };
}

/** A number that depends on every index. */
function hashOf(indices: ArrayLike<number>): number {
  const words = Uint32Array.from(indices);
  return Number.parseInt(new Fingerprint().values(words).toString().slice(0, 8), 16);
}

/** Rows of a split, drawn at random: `[count, ...sampleShape]`. */
export function randomRows(split: Split, count: number, random: Random, first = 0): NdArray<"float32"> {
  const drawn = Array.from({ length: first + count }, () => random.integer(split.count));
  return split.batch(drawn.slice(first)).x;
}

/**
 * A data set in which each sample is joined with one of another data set, drawn at random anew for each batch: the ends of
 * paths from the one to the other. Where a split of the source is empty, its training split is used.
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
    const { redrawn } = to;
    const withSource = (batch: Batch, indices: ArrayLike<number>): Batch => ({
      ...batch,
      source: randomRows(from, indices.length, random.split(hashOf(indices))),
    });
    return {
      count: to.count,
      batch: (indices) => withSource(to.batch(indices), indices),
      ...(redrawn && { redrawn: (indices, randomOf) => withSource(redrawn(indices, randomOf), indices) }),
    };
  };
  const { origin: _origin, ...rest } = data;
  return {
    ...rest,
    splits: { train: joined("train"), validation: joined("validation"), test: joined("test") },
    source,
    fingerprint: new Fingerprint().text(data.fingerprint).text(source.fingerprint).toString(),
    describe: () => [...data.describe(), "paths begin at:", ...source.describe()],
  };
}
