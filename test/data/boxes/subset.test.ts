import { expect, test } from "vitest";
import { withFewerTrained } from "../../../src/data/boxes/subset.ts";
import { openDetection } from "../../../src/data/open.node.ts";
import { OptionError } from "../../../src/errors.ts";
import { annotationsOf, painted, setInMemory } from "./support.ts";

const size = { width: 10, height: 10 };
const image = painted(10, 10, [1, 2, 3]);
const item = (file: string) => ({ ...annotationsOf(file, size, [{ box: [1, 1, 5, 5], label: 0 }]), image });
const set = setInMemory(["cat"], {
  train: Array.from({ length: 30 }, (_, i) => item(`${i}`)),
  validation: [item("v")],
  test: [item("t")],
});

const filesOf = ({ splits: { train } }: typeof set) =>
  Array.from({ length: train.count }, (_, i) => train.annotations(i).file);

test("so many training images are drawn by a seed, in their order, and the other splits stay", async () => {
  const fewer = withFewerTrained(set, 12, 3);
  const files = filesOf(fewer);
  expect(new Set(files).size).toBe(12);
  expect(files).toEqual([...files].sort((a, b) => Number(a) - Number(b)));
  expect(filesOf(withFewerTrained(set, 12, 3))).toEqual(files);
  expect(filesOf(withFewerTrained(set, 12, 4))).not.toEqual(files);
  expect((await fewer.splits.train.sample(5)).file).toBe(files[5]);
  await expect(fewer.splits.train.sample(12)).rejects.toThrow(RangeError);
  expect(fewer.splits.validation).toBe(set.splits.validation);
  expect(fewer.splits.test).toBe(set.splits.test);
  expect(fewer.fingerprint).not.toBe(set.fingerprint);
  expect(fewer.describe().at(-1)).toBe("12 of the 30 training images are used, drawn with seed 3");
  expect(() => withFewerTrained(set, 31, 0)).toThrow(OptionError);
  expect(() => withFewerTrained(set, 31, 0)).toThrow("option trainImages: 31 are asked for, memory has 30");
});

test("data that is opened has only those", async () => {
  const scenes = await openDetection("digit-scenes", {
    scenes: 20,
    canvas: 64,
    trainImages: 5,
    splitSeed: 2,
  });
  expect(scenes.splits.train.count).toBe(5);
  expect(scenes.splits.test.count).toBe(4);
});
