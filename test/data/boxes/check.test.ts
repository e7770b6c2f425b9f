import { mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RawObject } from "../../../src/data/boxes/check.ts";
import {
  checkAnnotations,
  type Orientation,
  uprightBox,
  uprightSize,
} from "../../../src/data/boxes/check.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { countFaults, faultLines } from "../../../src/data/boxes/set.ts";
import { DataError, OptionError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";
import { boxWithin, extent, painted, writeImage, writeText } from "./support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const RED = [250, 10, 10] as const;
const GREY = [90, 90, 90] as const;

describe("boxes", () => {
  const check = (
    objects: readonly (readonly [number, number, number, number])[],
    extra: Partial<RawObject> = {},
  ) =>
    checkAnnotations(
      {
        file: "a.jpg",
        source: "a.xml",
        objects: objects.map((box, i) => ({
          class: "x",
          box,
          unit: "pixels",
          location: `object ${i + 1}`,
          ...extra,
        })),
      },
      { stored: { width: 100, height: 50 }, orientation: 1 },
      (name) => (name === "x" ? 0 : undefined),
    );

  test("what reaches out is clipped, what has no area or lies outside is dropped; each is reported", () => {
    const { annotations, faults } = check([
      [10, 10, 20, 20],
      [-5, 10, 20, 60],
      [30, 30, 30, 40],
      [40, 30, 30, 40],
      [100, 10, 120, 20],
      [-9, -9, -1, -1],
      [Number.NaN, 0, 1, 1],
      [0, 0, Number.POSITIVE_INFINITY, 1],
      [-50, -50, 500, 500],
      [10, 10, 20, 20],
    ]);
    expect([...annotations.boxes]).toEqual([10, 10, 20, 20, 0, 10, 20, 50, 0, 0, 100, 50]);
    expect([...annotations.areas]).toEqual([100, 800, 5000]);
    expect(faults.map(({ kind, detail }) => `${kind}: ${detail}`)).toEqual([
      "clipped-box: object 2 (x): [-5, 10, 20, 60] in 100 × 50 pixels",
      "empty-box: object 3 (x): [30, 30, 30, 40]",
      "empty-box: object 4 (x): [40, 30, 30, 40]",
      "outside-box: object 5 (x): [100, 10, 120, 20] in 100 × 50 pixels",
      "outside-box: object 6 (x): [-9, -9, -1, -1] in 100 × 50 pixels",
      "broken-box: object 7 (x): [NaN, 0, 1, 1]",
      "broken-box: object 8 (x): [0, 0, Infinity, 1]",
      "clipped-box: object 9 (x): [-50, -50, 500, 500] in 100 × 50 pixels",
      "repeated-box: object 10 (x): [10, 10, 20, 20]",
    ]);
    expect(new Set(faults.map(({ file }) => file))).toEqual(new Set(["a.jpg"]));
  });

  test("a box that rounding has made a little too large is no fault; an unknown class is one", () => {
    const { annotations, faults } = check([[0, 0, 100.004, 50]]);
    expect([...annotations.boxes]).toEqual([0, 0, 100, 50]);
    expect(faults).toEqual([]);
    expect(check([[0, 0, 9, 9]], { class: "y" }).faults[0]).toMatchObject({ kind: "unknown-class" });
  });

  test("whatever comes in, what goes out is within the image, of positive area, and every object is kept or reported", () => {
    const edge = fc.oneof(
      fc.double({ min: -200, max: 200 }),
      fc.double(),
      fc.constantFrom(0, 1e-40, 1e-3, 50, 99.9995, 100),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(edge, edge, edge, edge), { maxLength: 8 }), (boxes) => {
        const { annotations, faults } = check(boxes);
        const { boxes: kept, labels, areas } = annotations;
        expect(labels.length + faults.filter(({ kind }) => kind !== "clipped-box").length).toBe(boxes.length);
        for (let i = 0; i < labels.length; i++) {
          const [x1 = Number.NaN, y1 = Number.NaN, x2 = Number.NaN, y2 = Number.NaN] = kept.subarray(
            4 * i,
            4 * i + 4,
          );
          expect(0 <= x1 && x1 < x2 && x2 <= 100 && 0 <= y1 && y1 < y2 && y2 <= 50).toBe(true);
          expect(areas[i]).toBeGreaterThan(0);
        }
      }),
    );
  });
});

describe("EXIF orientation", () => {
  const orientations: readonly Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];

  test.each(orientations)("%i: a box turns as sharp turns the pixels", async (orientation) => {
    const stored = { width: 40, height: 24 };
    const box = [6, 3, 19, 9] as const;
    const folder = join(root, `exif-${orientation}`);
    await writeImage(folder, "a.jpg", painted(40, 24, GREY, [{ box, color: RED }]), orientation);
    await writeText(
      folder,
      "a.csv",
      "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,40,24,thing,6,3,19,9\n",
    );
    const set = await openDetectionFolder(folder);
    const { image, boxes, width, height } = await set.splits.train.sample(0);
    expect({ width, height }).toEqual(uprightSize({ stored, orientation }));
    const seen = extent(image, RED)?.box;
    expect(seen).toEqual(uprightBox(box, { stored, orientation }));
    // Where the sizes show that annotations are of the stored pixels, their boxes are turned.
    if (orientation >= 5) expect([...boxes]).toEqual(seen);
    else expect([...boxes]).toEqual([...box]);
    expect(set.faults.map(({ kind }) => kind)).toEqual(orientation === 1 ? [] : ["turned-image"]);
  });

  test("annotations of the upright image stay as they are", async () => {
    const folder = join(root, "exif-upright");
    await writeImage(folder, "a.jpg", painted(40, 24, GREY, [{ box: [6, 3, 19, 9], color: RED }]), 6);
    await writeText(
      folder,
      "a.csv",
      "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,24,40,thing,15,6,21,19\n",
    );
    const { image, boxes } = await (await openDetectionFolder(folder)).splits.train.sample(0);
    expect([...boxes]).toEqual([15, 6, 21, 19]);
    expect(extent(image, RED)?.box).toEqual([15, 6, 21, 19]);
  });

  test("turning is invertible and keeps areas", () => {
    fc.assert(
      fc.property(
        boxWithin({ width: 40, height: 24 }),
        fc.constantFrom(...orientations),
        (box, orientation) => {
          const stored = { width: 40, height: 24 };
          const upright = uprightBox(box, { stored, orientation });
          // Orientations 6 and 8 undo each other, every other one undoes itself.
          const inverse: Orientation = orientation === 6 ? 8 : orientation === 8 ? 6 : orientation;
          const back = uprightBox(upright, {
            stored: uprightSize({ stored, orientation }),
            orientation: inverse,
          });
          expect(back).toEqual(box);
          const area = ([x1, y1, x2, y2]: typeof upright) => (x2 - x1) * (y2 - y1);
          expect(area(upright)).toBeCloseTo(area(box), 9);
        },
      ),
    );
  });
});

const HEAD = "filename,width,height,class,xmin,ymin,xmax,ymax,split\n";
const row = (name: string, split = "train") => `${name},32,24,thing,2,2,12,12,${split}\n`;

describe("files", () => {
  const plain = (shade: number) => painted(32, 24, [shade, shade, shade]);

  test("those that are missing, cut off, no images, too large or the same are named", async () => {
    const folder = join(root, "files");
    for (const [i, name] of ["a", "b", "twin", "cut"].entries()) {
      await writeImage(folder, `${name}.jpg`, plain(name === "twin" ? 10 : 10 * (i + 1)));
    }
    const patches = Array.from({ length: 20 }, (_, i) => ({
      box: [9 * i, 0, 9 * i + 4, 150] as const,
      color: RED,
    }));
    await writeImage(folder, "cut.jpg", painted(200, 150, GREY, patches));
    await truncate(join(folder, "cut.jpg"), Math.floor((await readFile(join(folder, "cut.jpg"))).length / 2));
    await writeFile(join(folder, "text.png"), "no picture");
    await mkdir(join(folder, "folder.png"));
    const huge = sharp({ create: { width: 3000, height: 2000, channels: 3, background: "red" } });
    await huge.png().toFile(join(folder, "huge.png"));
    const names = ["a.jpg", "b.jpg", "twin.jpg", "cut.jpg", "text.png", "folder.png", "huge.png", "gone.jpg"];
    await writeText(folder, "boxes.csv", HEAD + names.map((name) => row(name)).join(""));
    const set = await openDetectionFolder(folder, { pixelLimit: 5_000_000, validation: 0 });
    expect(set.splits.train.count).toBe(3);
    expect(set.faults.map(({ kind, file, detail }) => `${kind} ${file} ${detail}`).sort()).toEqual([
      expect.stringMatching(/^huge-image huge.png 3000 × 2000 pixels, more than the limit of 5000000/),
      expect.stringMatching(/^identical-images twin.jpg the same bytes as a.jpg/),
      expect.stringMatching(/^missing-image gone.jpg/),
      expect.stringMatching(/^unreadable-image cut.jpg (VipsJpeg: premature end|damaged, or cut off)/),
      expect.stringMatching(/^unreadable-image folder.png /),
      "unreadable-image text.png it is no image file, or of a format that is not read",
    ]);
    // Without a look at all pixels, a file that is cut off is found when it is decoded, and named.
    const quick = await openDetectionFolder(folder, { verify: false, validation: 0 });
    const cut = Array.from({ length: quick.splits.train.count }, (_, i) => i).find(
      (i) => quick.splits.train.annotations(i).file === "cut.jpg",
    );
    await expect(quick.splits.train.sample(cut ?? -1)).rejects.toThrow(
      /^cut.jpg: no longer a readable image/,
    );
  });

  test("a file that is gone after it was opened names itself", async () => {
    const folder = join(root, "goes");
    await writeImage(folder, "a.jpg", plain(1));
    await writeText(folder, "boxes.csv", HEAD + row("a.jpg"));
    const set = await openDetectionFolder(folder);
    await rm(join(folder, "a.jpg"));
    await expect(set.splits.train.sample(0)).rejects.toThrow(DataError);
    await expect(set.splits.train.sample(0)).rejects.toThrow(/^a.jpg: no longer a readable image/);
  });

  test("images in two splits stay where they are held out", async () => {
    const folder = join(root, "shared");
    for (const [i, name] of ["a", "b", "c"].entries()) await writeImage(folder, `${name}.jpg`, plain(i));
    const rows = [row("a.jpg"), row("a.jpg", "val"), row("b.jpg", "test"), row("b.jpg", "val"), row("c.jpg")];
    await writeText(folder, "boxes.csv", HEAD + rows.join(""));
    const { splits, faults } = await openDetectionFolder(folder);
    const files = Object.values(splits).map((split) =>
      Array.from({ length: split.count }, (_, i) => split.annotations(i).file),
    );
    expect(files).toEqual([["c.jpg"], ["a.jpg"], ["b.jpg"]]);
    expect(faults.map(({ kind, file }) => [kind, file])).toEqual([
      ["shared-image", "a.jpg"],
      ["shared-image", "b.jpg"],
    ]);
  });

  test("sizes that differ from those declared, folders behind links", async () => {
    const folder = join(root, "linked");
    await writeImage(join(root, "elsewhere"), "a.jpg", painted(64, 24, [1, 1, 1]));
    await mkdir(folder);
    await symlink(join(root, "elsewhere"), join(folder, "images"));
    await writeText(folder, "boxes.csv", HEAD + row("images/a.jpg"));
    const { faults } = await openDetectionFolder(folder, { followLinks: true });
    expect(faults).toEqual([
      { kind: "other-size", file: "images/a.jpg", detail: "64 × 24 pixels, where boxes.csv has 32 × 24" },
    ]);
  });

  test("a broken XML file is left out and named", async () => {
    const folder = join(root, "xml");
    for (const [i, name] of ["a", "b", "c"].entries()) await writeImage(folder, `${name}.jpg`, plain(i));
    const xml =
      "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>";
    await writeText(folder, "a.xml", xml);
    await writeText(folder, "b.xml", xml.slice(0, 50));
    await writeText(folder, "c.xml", "<html/>");
    const set = await openDetectionFolder(folder);
    expect(set.splits.train.count).toBe(1);
    expect(set.faults.map(({ kind, file }) => [kind, file])).toEqual([
      ["unreadable-annotations", "b.xml"],
      ["unreadable-annotations", "c.xml"],
    ]);
    expect(set.describe().join("\n")).toMatch(
      /annotations that cannot be read; their image is left out: 2 \(b.xml, c.xml\)/,
    );
  });
});

describe("small and empty sets", () => {
  const plain = (shade: number) => painted(32, 24, [shade, shade, shade]);

  test("one image is trained on, and nothing is held out", async () => {
    const folder = join(root, "one");
    await writeImage(folder, "a.jpg", plain(5));
    await writeText(folder, "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,thing,2,2,12,12\n");
    const { splits } = await openDetectionFolder(folder);
    expect([splits.train.count, splits.validation.count, splits.test.count]).toEqual([1, 0, 0]);
  });

  test("no object at all is one line", async () => {
    const folder = join(root, "no-object");
    await writeImage(folder, "a.jpg", plain(5));
    await writeText(folder, "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,thing,2,2,2,12\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /no object is marked in its only image; boxes of zero or negative area; dropped: 1 \(a.jpg\)$/,
    );
  });

  test("no usable image is one line", async () => {
    const folder = join(root, "no-image");
    await writeText(folder, "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.jpg,thing,2,2,5,12\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /no image can be used; annotations of an image that is not there/,
    );
  });

  test("classes asked for come in their order; objects of others are dropped and counted", async () => {
    const folder = join(root, "classes");
    await writeImage(folder, "a.jpg", plain(5));
    await writeText(
      folder,
      "boxes.csv",
      "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,2,2,5,12\na.jpg,dog,2,2,5,9\n",
    );
    const set = await openDetectionFolder(folder, { classes: ["emu", "dog"] });
    expect(set.classes).toEqual(["emu", "dog"]);
    expect([...set.splits.train.annotations(0).labels]).toEqual([1]);
    expect(faultLines(set.faults)).toEqual(["objects of an unknown class; dropped: 1 (a.jpg)"]);
    expect(set.describe()).toContain("classes without an object to learn from: emu");
    await expect(openDetectionFolder(folder, { classes: ["a", "a"] })).rejects.toThrow(OptionError);
  });

  test("the fingerprint changes with boxes, classes and splits, and with nothing else", async () => {
    const folder = join(root, "fingerprint");
    for (let i = 0; i < 6; i++) await writeImage(folder, `${i}.jpg`, plain(10 * i));
    const rows = Array.from({ length: 6 }, (_, i) => `${i}.jpg,${i % 2 ? "cat" : "dog"},2,2,9,12\n`);
    const write = (list: readonly string[]) =>
      writeText(folder, "boxes.csv", `filename,class,xmin,ymin,xmax,ymax\n${list.join("")}`);
    await write(rows);
    const first = (await openDetectionFolder(folder)).fingerprint;
    expect((await openDetectionFolder(folder, { verify: false, cache: 1 })).fingerprint).toBe(first);
    expect((await openDetectionFolder(folder, { splitSeed: 1 })).fingerprint).not.toBe(first);
    expect((await openDetectionFolder(folder, { classes: ["dog", "cat"] })).fingerprint).not.toBe(first);
    await write(rows.map((line) => line.replace("2,2,9", "2,2,8")));
    expect((await openDetectionFolder(folder)).fingerprint).not.toBe(first);
    expect(await readFile(join(folder, "boxes.csv"), "utf8")).toMatch(/2,2,8/);
  });
});

test("faults are counted by kind", () => {
  const counts = countFaults([
    { kind: "empty-box", file: "b", detail: "" },
    { kind: "missing-image", file: "a", detail: "" },
    { kind: "empty-box", file: "c", detail: "" },
  ]);
  expect([...counts]).toEqual([
    ["missing-image", 1],
    ["empty-box", 2],
  ]);
});

describe("decoding", () => {
  test("smaller images have smaller boxes; the cache holds what was asked for last", async () => {
    const folder = join(root, "decode");
    await writeImage(folder, "a.png", painted(200, 100, GREY, [{ box: [40, 20, 120, 60], color: RED }]));
    await writeText(folder, "boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na.png,thing,40,20,120,60\n");
    const { train } = (await openDetectionFolder(folder)).splits;
    const whole = await train.sample(0);
    expect([whole.width, whole.height, [...whole.boxes], [...whole.areas]]).toEqual([
      200,
      100,
      [40, 20, 120, 60],
      [3200],
    ]);
    expect(extent(whole.image, RED)?.box).toEqual([40, 20, 120, 60]);
    const half = await train.sample(0, { longest: 100 });
    expect([half.width, half.height, [...half.boxes], [...half.areas]]).toEqual([
      100,
      50,
      [20, 10, 60, 30],
      [800],
    ]);
    const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] = extent(half.image, RED)?.box ?? [];
    expect(
      Math.max(Math.abs(x1 - 20), Math.abs(y1 - 10), Math.abs(x2 - 60), Math.abs(y2 - 30)),
    ).toBeLessThanOrEqual(1);
    expect((await train.sample(0, { longest: 1000 })).width).toBe(200);
    expect((await train.sample(0, { longest: 100 })).image).toBe(half.image);
    expect(() => train.annotations(1)).toThrow(/image 1 asked of the train split, which has 1/);
    await expect(train.sample(-1)).rejects.toThrow(RangeError);
  });
});
