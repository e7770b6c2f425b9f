import { expect, test } from "vitest";
import { withClasses } from "../../../src/data/boxes/set.ts";
import { OptionError } from "../../../src/errors.ts";
import { annotationsOf, painted, setInMemory } from "./support.ts";

const size = { width: 10, height: 10 };
const image = painted(10, 10, [1, 2, 3]);
const item = (label: number) => ({ ...annotationsOf("a.png", size, [{ box: [1, 1, 5, 5], label }]), image });
const set = setInMemory(["cat", "dog", "emu"], {
  train: [item(0), item(1)],
  validation: [item(1)],
  test: [],
});

test("the same classes in another order, with others among them, get the run's numbers", async () => {
  const as = withClasses(set, ["dog", "fox", "cat"], "the run runs/a");
  expect(as.classes).toEqual(["dog", "fox", "cat"]);
  expect([0, 1].map((i) => as.splits.train.annotations(i).labels[0])).toEqual([2, 0]);
  expect((await as.splits.validation.sample(0)).labels[0]).toBe(0);
  expect(withClasses(set, ["cat", "dog", "emu"], "")).toBe(set);
});

test("a class that the run does not know is one line, unless no object is of it", () => {
  const error = new OptionError(
    "memory: classes of the run runs/a are cats, fox; the data have cat, dog besides (is cat cats?). Rename them, or give --classes cats,fox, which drops their objects",
  );
  expect(() => withClasses(set, ["cats", "fox"], "the run runs/a")).toThrow(error);
});
