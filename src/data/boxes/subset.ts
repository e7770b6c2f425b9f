import { OptionError } from "../../errors.ts";
import { showCount } from "../../memory.ts";
import { Random } from "../../random.ts";
import type { DetectionSet, DetectionSplit } from "./set.ts";

/**
 * A set of which only so many images are trained on, drawn by a seed: what is learnt of few. Validation and test stay whole.
 * @throws OptionError where there are fewer training images
 */
export function withFewerTrained(set: DetectionSet, count: number, seed: number): DetectionSet {
  const { train } = set.splits;
  if (count > train.count) {
    throw new OptionError(
      `data: option trainImages: ${showCount(count)} are asked for, ${set.name} has ${showCount(train.count)} training ${train.count === 1 ? "image" : "images"}`,
    );
  }
  const drawn = [...new Random(seed).split("train images").permutation(train.count).subarray(0, count)].sort(
    (a, b) => a - b,
  );
  const at = (index: number): number => {
    const own = drawn[index];
    if (own === undefined)
      throw new RangeError(`image ${index} asked of the train split, which has ${count}`);
    return own;
  };
  const fewer: DetectionSplit = {
    count,
    annotations: (index) => train.annotations(at(index)),
    sample: async (index, request) => train.sample(at(index), request),
    ...(train.original !== undefined && { original: (index: number) => train.original?.(at(index)) }),
  };
  return {
    ...set,
    splits: { ...set.splits, train: fewer },
    fingerprint: `${set.fingerprint}-${count}-${seed}`,
    describe: () => [
      ...set.describe(),
      `${showCount(count)} of the ${showCount(train.count)} training images ${count === 1 ? "is" : "are"} used, drawn with seed ${seed}`,
    ],
  };
}
