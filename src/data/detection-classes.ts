import { OptionError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import type { Annotations, DetectionSet, DetectionSplit } from "./detection-set.ts";

/**
 * A set whose labels are numbers into another list of classes, as a detector wants it that was fitted on other data: the same
 * classes may stand in another order, and classes that the set does not have may be among them.
 * @param whose what the classes are of, for errors: `the run runs/yolo-bccd`
 * @throws OptionError where the set has objects of a class that is not in the list
 */
export function withClasses(set: DetectionSet, classes: readonly string[], whose: string): DetectionSet {
  if (set.classes.join("\n") === classes.join("\n")) return set;
  const numbers = set.classes.map((name) => classes.indexOf(name));
  const splits = Object.values(set.splits);
  const unknown = set.classes.filter(
    (_, label) => numbers[label] === -1 && splits.some((split) => occurs(split, label)),
  );
  if (unknown.length > 0) {
    const meant = nearest(unknown[0] ?? "", classes);
    throw new OptionError(
      `${set.name}: classes of ${whose} are ${classes.join(", ")}; the data have ${unknown.join(", ")} besides${meant === undefined ? "" : ` (is ${unknown[0]} ${meant}?)`}. Rename them, or give --classes ${classes.join(",")}, which drops their objects`,
    );
  }
  const renumbered = <A extends Annotations>(annotations: A): A => ({
    ...annotations,
    labels: annotations.labels.map((label) => numbers[label] ?? -1),
  });
  const relabelled = (split: DetectionSplit): DetectionSplit => ({
    ...split,
    annotations: (index) => renumbered(split.annotations(index)),
    sample: async (index, request) => renumbered(await split.sample(index, request)),
  });
  return {
    ...set,
    classes,
    splits: {
      train: relabelled(set.splits.train),
      validation: relabelled(set.splits.validation),
      test: relabelled(set.splits.test),
    },
  };
}

function occurs(split: DetectionSplit, label: number): boolean {
  for (let index = 0; index < split.count; index++) {
    if (split.annotations(index).labels.includes(label)) return true;
  }
  return false;
}
