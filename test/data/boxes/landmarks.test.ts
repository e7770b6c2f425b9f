import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { convertDetections } from "../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { asOneClass, type DetectionSet, landmarkCount, withClasses } from "../../../src/data/boxes/set.ts";
import { withFewerTrained } from "../../../src/data/boxes/subset.ts";
import { temporaryFolder } from "../../support.ts";
import { painted, writeImage, writeText } from "./support.ts";

// Landmarks of objects: COCO's key points and YOLO's poses.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const grey = (width: number, height: number) => painted(width, height, [90, 90, 90]);
const marksOf = ({ splits: { train } }: DetectionSet, index: number) => [
  ...(train.annotations(index).landmarks ?? []),
];
const NONE = Number.NaN;

async function coco(path: string): Promise<DetectionSet> {
  const annotation = (id: number, image_id: number, keypoints?: readonly number[]) => ({
    id,
    image_id,
    category_id: 1 + (id % 2),
    bbox: [10 * id, 10, 20, 20],
    area: 400,
    iscrowd: 0,
    ...(keypoints && { keypoints, num_keypoints: 2 }),
  });
  const folder = join(root, path);
  for (const name of ["a", "b"])
    await writeImage(folder, `train/${name}.png`, grey(100, 50 + (name.charCodeAt(0) % 2)));
  await writeText(
    folder,
    "annotations_train.json",
    JSON.stringify({
      images: [
        { id: 1, file_name: "a.png", width: 100, height: 51 },
        { id: 2, file_name: "b.png", width: 100, height: 50 },
      ],
      categories: [
        { id: 1, name: "cat", keypoints: ["nose", "tail"] },
        { id: 2, name: "dog", keypoints: ["nose", "tail"] },
      ],
      annotations: [
        annotation(1, 1, [12, 14.5, 2, 0, 0, 0]),
        annotation(2, 1, [22, 15, 1, 33, 20, 2]),
        annotation(3, 2),
        annotation(4, 2, [1, 2, 2, 3, 4, 2, 5, 6, 2]),
      ],
    }),
  );
  return openDetectionFolder(folder, { validation: 0, test: 0 });
}

test("COCO's key points are landmarks; what is not marked is NaN, and another number of them is a fault", async () => {
  const set = await coco("coco");
  expect(landmarkCount(set)).toBe(2);
  expect(marksOf(set, 0)).toEqual([12, 14.5, NONE, NONE, 22, 15, 33, 20]);
  expect(marksOf(set, 1)).toEqual([NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE]);
  expect(set.faults.map(({ kind, detail }) => `${kind} ${detail}`)).toEqual([
    "other-landmarks annotation 4: 3, where most have 2",
  ]);
  expect(set.describe().join("\n")).toContain("2 landmarks an object are read");
});

test("landmarks go through subsets, other classes and smaller images", async () => {
  const set = await coco("through");
  const other = withClasses(set, ["dog", "cat"], "the run");
  expect(marksOf(other, 0)).toEqual(marksOf(set, 0));
  const few = withFewerTrained(set, 1, 0);
  const [first] = [0, 1].filter(
    (index) => set.splits.train.annotations(index).file === few.splits.train.annotations(0).file,
  );
  expect(marksOf(few, 0)).toEqual(marksOf(set, first ?? 0));
  const { landmarks, width } = await set.splits.train.sample(0, { longest: 50 });
  expect(width).toBe(50);
  expect(landmarks?.[0]).toBeCloseTo(6, 5);
});

test("objects of several classes count as one", async () => {
  const set = await coco("one");
  const one = asOneClass(set, "animal");
  expect(one.classes).toEqual(["animal"]);
  expect([...one.splits.train.annotations(0).labels]).toEqual([0, 0]);
  expect([...(await one.splits.train.sample(1)).labels]).toEqual([0, 0]);
  expect(one.fingerprint).not.toBe(set.fingerprint);
  expect(one.describe().at(-1)).toBe("objects of 2 classes count as one class, animal");
});

test("YOLO's poses have a box and landmarks behind it, with or without marks", async () => {
  for (const [each, line, expected] of [
    [3, "0 0.5 0.5 0.2 0.4 0.45 0.5 2 0 0 0", [45, 25, NONE, NONE]],
    [2, "0 0.5 0.5 0.2 0.4 0.45 0.5 -1 -1", [45, 25, NONE, NONE]],
  ] as const) {
    const folder = join(root, `pose-${each}`);
    await writeText(folder, "data.yaml", `train: images\nnames: [cat]\nkpt_shape: [2, ${each}]\n`);
    await writeImage(folder, "images/a.png", grey(100, 50));
    await writeText(folder, "labels/a.txt", `${line}\n0 0.2 0.2 0.1 0.1\n`);
    const set = await openDetectionFolder(folder, { validation: 0, test: 0 });
    const { boxes } = set.splits.train.annotations(0);
    for (const [i, edge] of [40, 15, 60, 35].entries()) expect(boxes[i]).toBeCloseTo(edge, 4);
    const marks = marksOf(set, 0).map((value) => Math.round(1000 * value) / 1000);
    expect(marks).toEqual([...expected, NONE, NONE, NONE, NONE]);
  }
});

test("landmarks are kept where a set is written as COCO's JSON, and counted where another format loses them", async () => {
  const set = await coco("kept");
  const out = join(root, "as-coco");
  const { lost } = await convertDetections(set, out, "coco");
  expect(lost).toMatchObject({ landmarks: 0 });
  const again = await openDetectionFolder(out, { validation: 0, test: 0 });
  expect(again.faults).toEqual([]);
  for (const index of [0, 1]) expect(marksOf(again, index)).toEqual(marksOf(set, index));
  const json = JSON.parse(await readFile(join(out, "annotations/instances_train.json"), "utf8"));
  expect(json.categories[0].keypoints).toEqual(["point 1", "point 2"]);
  expect(json.annotations.map((each: object) => "num_keypoints" in each && each.num_keypoints)).toEqual([
    1,
    2,
    false,
    false,
  ]);
  for (const format of ["voc", "yolo", "createml", "csv"] as const) {
    const done = await convertDetections(set, join(root, `as-${format}`), format);
    expect(done.lost.landmarks).toBe(2);
  }
});
