import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DETECTION_FORMATS, type DetectionFormat } from "../../../src/data/boxes/check.ts";
import { convertDetections } from "../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import type { Annotations, ByteImage, DetectionSet } from "../../../src/data/boxes/set.ts";
import type { SplitName } from "../../../src/data/sources/data-set.ts";
import { FileError, OptionError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";
import { annotationsOf, boxWithin, extent, painted, setInMemory, writeImage, writeText } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

interface PlainObject {
  readonly class: string;
  readonly box: readonly number[];
  readonly difficult: boolean;
  readonly crowd: boolean;
}

/** A set as plain values: what is in each image of each split, images identified by their pixels, since names may change. */
async function contents({ splits, classes }: DetectionSet) {
  const all: Record<string, { split: string; width: number; objects: PlainObject[] }> = {};
  for (const split of ["train", "validation", "test"] as const) {
    for (let i = 0; i < splits[split].count; i++) {
      const { image, boxes, labels, difficult, crowd, width } = await splits[split].sample(i);
      const key = createHash("md5").update(image.data).digest("hex").slice(0, 8);
      all[key] = {
        split,
        width,
        objects: Array.from(labels, (label, k) => ({
          class: classes[label] ?? "",
          box: [...boxes.subarray(4 * k, 4 * k + 4)],
          difficult: difficult[k] === 1,
          crowd: crowd[k] === 1,
        })),
      };
    }
  }
  return all;
}

const SAYS_DIFFICULT: ReadonlySet<DetectionFormat> = new Set(["voc", "coco", "csv"]);
const SAYS_CROWD: ReadonlySet<DetectionFormat> = new Set(["coco", "csv"]);

/** Every image has a shade of its own, by which it is identified. */
const image = fc
  .record({ width: fc.integer({ min: 16, max: 40 }), height: fc.integer({ min: 16, max: 40 }) })
  .chain((size) =>
    fc.record({
      size: fc.constant(size),
      objects: fc.uniqueArray(
        fc.record({
          box: boxWithin(size),
          label: fc.integer({ min: 0, max: 3 }),
          difficult: fc.boolean(),
          crowd: fc.boolean(),
        }),
        { maxLength: 4, selector: ({ box, label }) => `${box} ${label}` },
      ),
      split: fc.constantFrom<SplitName>("train", "validation", "test"),
    }),
  );

const CLASSES = ["zebra", "a b", 'Jay & "Sons" <x>, y', "never seen"];

function build(images: readonly (typeof image extends fc.Arbitrary<infer T> ? T : never)[]): DetectionSet {
  const parts: Record<SplitName, (Annotations & { readonly image: ByteImage })[]> = {
    train: [],
    validation: [],
    test: [],
  };
  for (const [i, { size, objects, split }] of images.entries()) {
    // The first image is trained on, and has an object: no set is without.
    const own = i === 0 ? [{ box: [1, 2, 9, 9.5], label: 1 }] : objects;
    const part = parts[i === 0 ? "train" : split];
    const file = `${i % 2 ? "x" : "y"}/img ${Math.floor(i / 2)}.png`;
    part.push({ ...annotationsOf(file, size, own), image: painted(size.width, size.height, [i, 0, 99]) });
  }
  // Without a validation image, one would be drawn on reading.
  parts.validation.push({
    ...annotationsOf("x/held.png", { width: 20, height: 20 }, []),
    image: painted(20, 20, [200, 0, 0]),
  });
  return setInMemory(CLASSES, parts);
}

let folders = 0;

test("from any format to any other: classes, splits, marks and boxes survive", async () => {
  const format = fc.constantFrom(...DETECTION_FORMATS);
  await fc.assert(
    fc.asyncProperty(
      fc.array(image, { minLength: 1, maxLength: 5 }),
      format,
      format,
      async (images, first, second) => {
        const set = build(images);
        const folder = join(root, `round-${folders++}`);
        await convertDetections(set, join(folder, "one"), first);
        const one = await openDetectionFolder(join(folder, "one"));
        await convertDetections(one, join(folder, "two"), second);
        const two = await openDetectionFolder(join(folder, "two"));
        expect([...one.faults, ...two.faults]).toEqual([]);
        expect(two.classes).toEqual(CLASSES);

        const formats = [first, second];
        const before = await contents(set);
        const after = await contents(two);
        expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
        for (const [key, { split, width, objects }] of Object.entries(before)) {
          expect(after[key]).toMatchObject({ split, width });
          const representable = objects.filter(
            ({ crowd }) => !crowd || formats.every((name) => SAYS_CROWD.has(name)),
          );
          const read = after[key]?.objects ?? [];
          expect(read.length).toBe(representable.length);
          for (const [k, object] of representable.entries()) {
            expect(read[k]).toMatchObject({
              class: object.class,
              crowd: object.crowd,
              difficult: object.difficult && formats.every((name) => SAYS_DIFFICULT.has(name)),
            });
            for (const [side, edge] of object.box.entries()) expect(read[k]?.box[side]).toBeCloseTo(edge, 4);
          }
        }
        await rm(folder, { recursive: true });
      },
    ),
    { numRuns: 15 },
  );
});

async function oneImage(folder: string, orientation?: number): Promise<DetectionSet> {
  const patch = { box: [6, 3, 19, 9], color: [250, 10, 10] } as const;
  await writeImage(folder, "a.jpg", painted(40, 24, [90, 90, 90], [patch]), orientation);
  await writeText(
    folder,
    "a.csv",
    "filename,width,height,class,xmin,ymin,xmax,ymax,difficult,crowd\na.jpg,40,24,thing,6,3,19,9,1,0\na.jpg,40,24,thing,1,1,30,20,0,1\n",
  );
  return openDetectionFolder(folder);
}

test("images that are stored upright are copied byte for byte; others are turned, with their boxes", async () => {
  const folder = join(root, "copy");
  const done = await convertDetections(await oneImage(join(folder, "plain")), join(folder, "out"), "coco");
  expect(done).toMatchObject({
    images: { train: 1, validation: 0, test: 0 },
    objects: 2,
    encoded: 0,
    lost: { difficult: 0, crowds: 0 },
  });
  expect(await readFile(join(folder, "out/images/a.jpg"))).toEqual(
    await readFile(join(folder, "plain/a.jpg")),
  );
  expect((await readdir(join(folder, "out"), { recursive: true })).sort()).toEqual([
    "annotations",
    "annotations/instances_train.json",
    "images",
    "images/a.jpg",
  ]);

  const turned = await convertDetections(
    await oneImage(join(folder, "turned"), 6),
    join(folder, "upright"),
    "yolo",
  );
  expect(turned).toMatchObject({ objects: 1, encoded: 1, lost: { difficult: 1, crowds: 1 } });
  const again = await openDetectionFolder(join(folder, "upright"));
  expect(again.faults).toEqual([]);
  const { image, boxes, width } = await again.splits.train.sample(0);
  expect(width).toBe(24);
  const seen = extent(image, [250, 10, 10])?.box ?? [];
  expect(seen).toEqual([15, 6, 21, 19]);
  for (const [side, edge] of seen.entries()) expect(boxes[side]).toBeCloseTo(edge, 4);
});

test("a folder that is not empty and names that cannot be written are refused", async () => {
  const folder = join(root, "refused");
  const set = await oneImage(folder);
  await expect(convertDetections(set, folder, "voc")).rejects.toThrow(FileError);
  await expect(convertDetections(set, folder, "voc")).rejects.toThrow(
    /refused is not empty; choose another folder/,
  );
  const odd = { ...set, classes: ["a\nb"] };
  await expect(convertDetections(odd, join(folder, "out"), "voc")).rejects.toThrow(OptionError);
});

test("files of the same name in different folders get names of their own", async () => {
  const parts = ["a/x.png", "b/x.png", "c/X.png"].map((file, i) => ({
    ...annotationsOf(file, { width: 20, height: 20 }, [{ box: [1, 1, 5 + i, 9], label: 0 }]),
    image: painted(20, 20, [i, i, i]),
  }));
  const out = join(root, "names");
  await convertDetections(setInMemory(["c"], { train: parts, validation: [], test: [] }), out, "voc");
  expect((await readdir(join(out, "JPEGImages"))).sort()).toEqual(["X-3.png", "x-2.png", "x.png"]);
  const set = await openDetectionFolder(out, { validation: 0 });
  const widths = Array.from({ length: 3 }, (_, i) => set.splits.train.annotations(i)).map(
    ({ file, boxes }) => [file, (boxes[2] ?? 0) - (boxes[0] ?? 0)],
  );
  expect(widths).toEqual([
    ["JPEGImages/X-3.png", 6],
    ["JPEGImages/x-2.png", 5],
    ["JPEGImages/x.png", 4],
  ]);
});
