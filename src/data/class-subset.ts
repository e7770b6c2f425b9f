import { DataError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { type DataSet, describeSplits, range, type Split } from "./data-set.ts";
import { Fingerprint } from "./fingerprint.ts";

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
  const { classes: _classes, ...rest } = data;
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
  const relabelled = (batch: ReturnType<Split["batch"]>): ReturnType<Split["batch"]> => {
    const { label, ...rest } = batch;
    if (label === undefined || labelOf.size === 1) return rest;
    return {
      ...rest,
      label: { ...label, data: label.data.map((old) => BigInt(labelOf.get(Number(old)) ?? 0)) },
    };
  };
  const placesOf = (indices: ArrayLike<number>): number[] =>
    Array.from(indices, (index) => {
      const place = positions[index];
      if (place === undefined)
        throw new RangeError(`sample ${index} asked of a split of ${positions.length}`);
      return place;
    });
  const { intensities } = split;
  return {
    count: positions.length,
    batch: (indices) => relabelled(split.batch(placesOf(indices))),
    ...(intensities && { intensities: (indices) => relabelled(intensities(placesOf(indices))) }),
  };
}
