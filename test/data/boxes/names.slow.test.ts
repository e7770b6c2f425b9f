import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DETECTION_FORMATS, type DetectionFormat } from "../../../src/data/boxes/check.ts";
import { type Conversion, convertDetections } from "../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { describeObjects, detectionStatistics } from "../../../src/data/boxes/statistics.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { NASTY_NAMES, nastyName, temporaryFolder } from "../../support.ts";
import { annotationsOf, painted, setInMemory } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

let folders = 0;
const size = { width: 20, height: 20 };

/** A set of one image with an object of each class, and one without objects. */
function setOf(classes: readonly string[], file = "a.png") {
  const objects = classes.map((_, label) => ({ box: [1 + label, 2, 12 + label, 9], label }));
  return setInMemory(classes, {
    train: [{ ...annotationsOf(file, size, objects), image: painted(20, 20, [9, 9, 9]) }],
    validation: [{ ...annotationsOf("b.png", size, []), image: painted(20, 20, [99, 9, 9]) }],
    test: [],
  });
}

/** Writes a set and reads it again: the classes of the objects, or what was thrown. */
async function throughFormat(
  classes: readonly string[],
  format: DetectionFormat,
  csvSafe: boolean,
): Promise<{ readonly classes: readonly string[]; readonly objects: readonly string[] } | Error> {
  const folder = join(root, `names-${folders++}`);
  try {
    await convertDetections(setOf(classes), folder, format, undefined, { csvSafe });
  } catch (error) {
    return error as Error;
  }
  const read = await openDetectionFolder(folder);
  await rm(folder, { recursive: true });
  expect(read.faults).toEqual([]);
  const { labels } = read.splits.train.annotations(0);
  return { classes: read.classes, objects: Array.from(labels, (label) => read.classes[label] ?? "none") };
}

async function survives(
  classes: readonly string[],
  format: DetectionFormat,
  csvSafe: boolean,
): Promise<void> {
  const found = await throughFormat(classes, format, csvSafe);
  if (found instanceof Error) {
    expect(found).toBeInstanceOf(OptionError);
    expect(found.message).toMatch(/^class "/);
  } else {
    expect(found).toEqual({ classes, objects: classes });
  }
}

test("a class has the same name when it is read again, or the format refuses it by name", async () => {
  for (const format of DETECTION_FORMATS) {
    for (const name of NASTY_NAMES) await survives(["plain", name], format, true);
  }
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(nastyName, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...DETECTION_FORMATS),
      fc.boolean(),
      survives,
    ),
    { numRuns: 60 },
  );
});

test("words of the language, quotes and formulas are names in every format", async () => {
  const names = [
    "__proto__",
    "constructor",
    "toString",
    "a\"b'c`",
    "<script>",
    "=1+1",
    "@SUM(A1)",
    "'=1",
    "名前",
  ];
  for (const format of DETECTION_FORMATS) {
    expect(await throughFormat(names, format, true)).toEqual({ classes: names, objects: names });
  }
});

test("what a format has no words for is refused before anything is written, and the message says what to do", async () => {
  const control = await throughFormat(["a\u0000b"], "voc", true);
  expect(control).toBeInstanceOf(OptionError);
  expect(String(control)).toContain('class "a\\u0000b": it holds a character that XML has no words for');
  expect(String(await throughFormat(["\ud800"], "yolo", true))).toMatch(/class .*half of a character/);
  expect(String(await throughFormat(["a", ""], "coco", true))).toMatch(/class "": a class without a name/);
  const image = convertDetections(setOf(["a"], "two\ufffe.png"), join(root, "image"), "voc");
  await expect(image).rejects.toThrow(DataError);
  await expect(image).rejects.toThrow(/image "two\ufffe\.png": .*write another format/);
});

test("names that spreadsheets take for formulas are marked in the table, counted, and read without the mark", async () => {
  const written = async (csvSafe: boolean): Promise<readonly [Conversion, string]> => {
    const folder = join(root, `marked-${csvSafe}`);
    const done = await convertDetections(setOf(["=1+1", "cat", "-5"]), folder, "csv", undefined, { csvSafe });
    return [done, await readFile(join(folder, "annotations.csv"), "utf8")];
  };
  const [safe, marked] = await written(true);
  expect(safe.marked).toEqual({ count: 1, example: "=1+1", column: "class" });
  expect(marked).toContain(",'=1+1,");
  expect(marked).toContain(",-5,");
  const [plain, asIs] = await written(false);
  expect(plain.marked).toBeUndefined();
  expect(asIs).toContain(",=1+1,");
  expect((await openDetectionFolder(join(root, "marked-true"))).classes).toEqual(["=1+1", "cat", "-5"]);
});

test("statistics count objects of classes whatever they are called", () => {
  const set = setOf(NASTY_NAMES);
  const { classes } = detectionStatistics(set).total;
  expect(classes.map(({ name }) => name)).toEqual(NASTY_NAMES);
  expect(classes.every(({ objects }) => objects === 1)).toBe(true);
  expect(describeObjects(set)).toContain("__proto__ 1, constructor 1");
});
