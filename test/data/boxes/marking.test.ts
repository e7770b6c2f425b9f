import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import {
  type Mark,
  MarkedFolder,
  type MarkFormat,
  type MarksToSave,
  type PhotoToMark,
} from "../../../src/data/boxes/marking.node.ts";
import { temporaryFolder } from "../../support.ts";

// Photos are marked in the format of their folder: what is edited changes, and nothing else does.

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const put = async (path: string, contents: string | Uint8Array): Promise<void> => {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), contents);
};
const text = (path: string): Promise<string> => readFile(join(folder, path), "utf8");

const photo = async (path: string, seed = 1, orientation = 1): Promise<void> => {
  const background = { r: (60 * seed) % 255, g: (90 * seed) % 255, b: 120 };
  const image = sharp({ create: { width: 100, height: 50, channels: 3, background } }).withMetadata({
    orientation,
  });
  await put(path, await image.jpeg().toBuffer());
};

const box = (name: string, edges: Mark["box"], more: Partial<Mark> = {}): Mark => ({
  class: name,
  box: edges,
  difficult: false,
  crowd: false,
  ...more,
});

const saving = (read: PhotoToMark, marks: readonly Mark[], more: Partial<MarksToSave> = {}): MarksToSave => ({
  version: read.version,
  isMarked: true,
  format: "coco",
  classes: [],
  marks,
  ...more,
});

/** Opens the folder, changes the marks of a photo and saves them. */
async function edit(
  path: string,
  change: (marks: readonly Mark[]) => readonly Mark[],
  classes: readonly string[] = [],
) {
  const opened = await MarkedFolder.open(folder);
  const read = await opened.read(path);
  return opened.save(path, saving(read, change(read.marks), { classes }));
}

const COCO = `{
  "info": {"year": 2017, "contributor": "someone", "big": 12345678901234567890},
  "images": [
    {"id": 7, "file_name": "a.jpg", "width": 100, "height": 50, "license": 3},
    {"id": 8, "file_name": "b.jpg", "width": 100, "height": 50}
  ],
  "annotations": [
    {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10.50, 5, 20, 10], "area": 100.0, "iscrowd": 0, "segmentation": [[10.5, 5, 30.5, 5, 30.5, 15]], "attributes": {"occluded": true}},
    {"id": 2, "image_id": 8, "category_id": 3, "bbox": [1, 2, 3, 4], "score_id": 98765432109876543210},
    {"id": 5, "image_id": 7, "category_id": 9, "bbox": [60, 10, 20, 20], "iscrowd": 1, "segmentation": {"counts": [3, 4], "size": [50, 100]}},
    {"id": 6, "image_id": 7, "category_id": 3, "caption": "no box"}
  ],
  "categories": [{"id": 3, "name": "猫", "supercategory": "animal"}, {"id": 9, "name": "dog"}]
}
`;

describe("a folder in COCO's format", () => {
  beforeEach(async () => {
    await photo("a.jpg", 1);
    await photo("b.jpg", 2);
    await photo("new/c.jpg", 3);
    await put("annotations.json", COCO);
  });

  it("shows marks with flags and outlines, and says what it cannot show", async () => {
    const opened = await MarkedFolder.open(folder);
    expect([opened.format, opened.classes, opened.fault]).toEqual(["coco", ["猫", "dog"], undefined]);
    expect(opened.photos()).toEqual([
      { path: "a.jpg", objects: 3 },
      { path: "b.jpg", objects: 1 },
      { path: "new/c.jpg", objects: undefined },
    ]);
    const { marks, hidden, width, height, isMarked } = await opened.read("a.jpg");
    expect([width, height, hidden, isMarked]).toEqual([100, 50, 1, true]);
    expect(marks).toMatchObject([
      { class: "猫", box: [10.5, 5, 30.5, 15], crowd: false, outlines: [[10.5, 5, 30.5, 5, 30.5, 15]] },
      { class: "dog", box: [60, 10, 80, 30], crowd: true },
    ]);
    expect(marks[1]?.outlines).toBeUndefined();
  });

  it("stays as it is, byte for byte, where nothing was changed", async () => {
    expect((await edit("a.jpg", (marks) => marks)).kind).toBe("saved");
    expect(await text("annotations.json")).toBe(COCO);
    expect(await readdir(folder)).toEqual(["a.jpg", "annotations.json", "b.jpg", "new"]);
  });

  it("changes the lines of what was edited alone; unknown keys stay, and outlines go with the box", async () => {
    await edit("a.jpg", ([first, second]) => [
      { ...(first as Mark), box: [20.5, 5, 60.5, 15], difficult: true },
      { ...(second as Mark), class: "猫", crowd: false },
    ]);
    const before = COCO.split("\n");
    const after = (await text("annotations.json")).split("\n");
    expect(after).toHaveLength(before.length);
    const changed = after.flatMap((line, i) => (line === before[i] ? [] : [i]));
    expect(changed).toEqual([7, 9]);
    expect(JSON.parse(after[7]?.replace(/,$/, "") ?? "")).toEqual({
      id: 1,
      image_id: 7,
      category_id: 3,
      bbox: [20.5, 5, 40, 10],
      // A half of the box, as before.
      area: 200,
      iscrowd: 0,
      segmentation: [[20.5, 5, 60.5, 5, 60.5, 15]],
      attributes: { occluded: true },
      ignore: 1,
    });
    expect(JSON.parse(after[9]?.replace(/,$/, "") ?? "")).toEqual({
      id: 5,
      image_id: 7,
      category_id: 3,
      bbox: [60, 10, 20, 20],
      iscrowd: 0,
      segmentation: { counts: [3, 4], size: [50, 100] },
    });
  });

  it("takes a deleted object back with all that its file had for it", async () => {
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("a.jpg");
    const [first, second] = read.marks as [Mark, Mark];
    const gone = await opened.save("a.jpg", saving(read, [second]));
    expect(await text("annotations.json")).not.toContain("occluded");
    if (gone.kind !== "saved") throw new Error(gone.kind);
    const back = { ...read, version: gone.version };
    await opened.save("a.jpg", saving(back, [first, { ...second, kept: gone.kept[0] }]));
    const { annotations } = JSON.parse(await text("annotations.json"));
    expect(annotations.map(({ id }: { id: number }) => id).sort()).toEqual([1, 2, 5, 6]);
    expect(annotations.find(({ id }: { id: number }) => id === 1)).toEqual(JSON.parse(COCO).annotations[0]);
  });

  it("takes new photos, objects and classes under ids of their own", async () => {
    await edit("new/c.jpg", () => [box("dog", [1, 2, 11, 22]), box("鸟", [5, 5, 9, 9], { crowd: true })], [
      "fish",
    ]);
    const { images, annotations, categories } = JSON.parse(await text("annotations.json"));
    expect(images.at(-1)).toEqual({ id: 9, file_name: "new/c.jpg", width: 100, height: 50 });
    expect(categories.slice(2)).toEqual([
      { id: 10, name: "fish", supercategory: "" },
      { id: 11, name: "鸟", supercategory: "" },
    ]);
    expect(annotations.slice(4)).toEqual([
      { id: 7, image_id: 9, category_id: 9, bbox: [1, 2, 10, 20], area: 200, iscrowd: 0 },
      { id: 8, image_id: 9, category_id: 11, bbox: [5, 5, 4, 4], area: 16, iscrowd: 1 },
    ]);
    // A number that no double holds stands there as it was written.
    expect(await text("annotations.json")).toContain("98765432109876543210");
    const set = await openDetectionFolder(folder, { verify: false });
    expect(set.classes).toEqual(["猫", "dog", "fish", "鸟"]);
  });

  it("tells two windows apart: what another one has saved is never overwritten in silence", async () => {
    const [mine, theirs] = [await MarkedFolder.open(folder), await MarkedFolder.open(folder)];
    const [a, b] = [await mine.read("a.jpg"), await theirs.read("a.jpg")];
    const other = await theirs.read("b.jpg");
    const all = await Promise.all([
      mine.save("a.jpg", saving(a, [box("dog", [1, 1, 5, 5])])),
      theirs.save("a.jpg", saving(b, [box("dog", [2, 2, 6, 6])])),
      // Another photo of the same file is none of their business.
      theirs.save("b.jpg", saving(other, [...other.marks, box("dog", [3, 3, 7, 7])])),
    ]);
    expect(all.map(({ kind }) => kind)).toEqual(["saved", "changed", "saved"]);
    const [, changed] = all;
    if (changed?.kind !== "changed") throw new Error("not changed");
    expect(changed.now.marks.map((mark) => mark.box)).toEqual([[1, 1, 5, 5]]);
    expect((await theirs.read("b.jpg")).marks).toHaveLength(2);
    const again = await theirs.save("a.jpg", saving(changed.now, [box("dog", [2, 2, 6, 6])]));
    expect(again.kind).toBe("saved");
  });

  it("tells of a change by another program", async () => {
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("b.jpg");
    await put("annotations.json", COCO.replace("[1, 2, 3, 4]", "[1, 2, 3, 5]"));
    expect((await opened.save("b.jpg", saving(read, []))).kind).toBe("changed");
    expect(await text("annotations.json")).toContain("[1, 2, 3, 5]");
  });

  it("forgets a photo again that nobody has looked at", async () => {
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("new/c.jpg");
    const done = await opened.save("new/c.jpg", saving(read, [box("dog", [1, 1, 5, 5])]));
    if (done.kind !== "saved") throw new Error(done.kind);
    await opened.save("new/c.jpg", saving({ ...read, version: done.version }, [], { isMarked: false }));
    expect(await text("annotations.json")).toBe(COCO);
  });

  it("does not write through a link that leads out", async () => {
    const outside = await temporaryFolder();
    await writeFile(join(outside, "theirs.json"), COCO);
    await rm(join(folder, "annotations.json"));
    await symlink(join(outside, "theirs.json"), join(folder, "annotations.json"));
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("a.jpg");
    await expect(opened.save("a.jpg", saving(read, [box("dog", [1, 1, 5, 5])]))).rejects.toThrow(/a link to/);
    expect(await readFile(join(outside, "theirs.json"), "utf8")).toBe(COCO);
    await rm(outside, { recursive: true });
  });
});

const VOC = `<?xml version="1.0"?>
<!-- made by hand -->
<annotation verified="yes">
  <filename>a.jpg</filename>
  <size><width>100</width><height>50</height><depth>3</depth></size>
  <object>
    <name>猫 🐈</name>
    <pose>Left</pose>
    <difficult>0</difficult>
    <bndbox>
      <ymin>5</ymin><xmin>10</xmin>
      <xmax>30</xmax><ymax>15</ymax>
    </bndbox>
    <part><name>head</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>15</xmax><ymax>9</ymax></bndbox></part>
  </object>
  <object><name>dog</name><bndbox><xmin>60.5</xmin><ymin>10</ymin><xmax>80</xmax><ymax>30</ymax></bndbox></object>
</annotation>
`;

describe("a folder in VOC's format", () => {
  beforeEach(async () => {
    await photo("JPEGImages/a.jpg", 1);
    await photo("JPEGImages/b.jpg", 2);
    await put("Annotations/a.xml", VOC);
    await put("ImageSets/Main/train.txt", "a\n");
  });

  it("stays as it is, byte for byte, where nothing was changed", async () => {
    await edit("JPEGImages/a.jpg", (marks) => marks);
    expect(await text("Annotations/a.xml")).toBe(VOC);
  });

  it("changes what was edited alone", async () => {
    await edit("JPEGImages/a.jpg", ([first, second]) => [
      { ...(first as Mark), box: [12, 5, 30, 15] },
      { ...(second as Mark), class: "a <b> & c", difficult: true },
    ]);
    expect(await text("Annotations/a.xml")).toBe(
      VOC.replace("<xmin>10</xmin>", "<xmin>12</xmin>")
        .replace("<name>dog</name>", "<name>a &lt;b&gt; &amp; c</name>")
        .replace("<bndbox><xmin>60.5", "<difficult>1</difficult><bndbox><xmin>60.5"),
    );
  });

  it("loses an object and takes a new one, and the rest stays", async () => {
    await edit("JPEGImages/a.jpg", ([first]) => [first as Mark, box("bird", [1, 2, 3, 4])]);
    const after = await text("Annotations/a.xml");
    expect(after.startsWith(VOC.slice(0, VOC.indexOf("\n  <object><name>dog")))).toBe(true);
    const { marks } = await (await MarkedFolder.open(folder)).read("JPEGImages/a.jpg");
    expect(marks.map((mark) => [mark.class, mark.box])).toEqual([
      ["猫 🐈", [10, 5, 30, 15]],
      ["bird", [1, 2, 3, 4]],
    ]);
  });

  it("begins a file for a photo that has none, and lists it for training", async () => {
    await edit("JPEGImages/b.jpg", () => [box("dog", [1, 2, 3, 4])]);
    expect(await text("ImageSets/Main/train.txt")).toBe("a\nb\n");
    const set = await openDetectionFolder(folder, { verify: false });
    const { train, validation, test } = set.splits;
    expect(train.count + validation.count + test.count).toBe(2);
    expect(set.faults.map(({ kind }) => kind)).not.toContain("not-in-a-split");
  });
});

describe("a folder in YOLO's format", () => {
  const YAML = "# my classes\npath: .\ntrain: images\nnames: # two\n  0: cat\n  1: dog\nnc: 2\n";
  const LABELS = "0 0.20 0.2 0.2 0.2\r\n1 0.6 0.2 0.8 0.2 0.8 0.6\r\n7 0.5 0.5 0.1 0.1\r\n";

  beforeEach(async () => {
    await photo("images/a.jpg", 1);
    await photo("images/b.jpg", 2);
    await put("data.yaml", YAML);
    await put("labels/a.txt", LABELS);
  });

  it("shows boxes and outlines, and keeps lines of unknown classes", async () => {
    const opened = await MarkedFolder.open(folder);
    const { marks, hidden } = await opened.read("images/a.jpg");
    expect(hidden).toBe(1);
    expect(marks.map((mark) => mark.class)).toEqual(["cat", "dog"]);
    expect(marks[1]?.outlines?.[0]?.map((value) => Math.round(value))).toEqual([60, 10, 80, 10, 80, 30]);
    expect(opened.photos()).toEqual([
      { path: "images/a.jpg", objects: 3 },
      { path: "images/b.jpg", objects: undefined },
    ]);
  });

  it("stays as it is, byte for byte, where nothing was changed", async () => {
    await edit("images/a.jpg", (marks) => marks);
    expect(await text("labels/a.txt")).toBe(LABELS);
    expect(await text("data.yaml")).toBe(YAML);
  });

  it("changes the lines that were edited, outlines with their boxes, and numbers new classes", async () => {
    await edit("images/a.jpg", ([first, second]) => [
      { ...(first as Mark), class: "dog" },
      { ...(second as Mark), box: [50, 10, 70, 30] },
      box("bird", [10, 10, 20, 20]),
    ]);
    expect(await text("labels/a.txt")).toBe(
      "1 0.20 0.2 0.2 0.2\r\n1 0.5 0.2 0.7 0.2 0.7 0.6\r\n7 0.5 0.5 0.1 0.1\r\n2 0.15 0.3 0.1 0.2\r\n",
    );
    const yaml = await text("data.yaml");
    expect(yaml).toContain("# my classes");
    expect(yaml).toMatch(/2: bird\nnc: 3/);
  });

  it("has an empty file for a photo in which nothing is to be found", async () => {
    await edit("images/b.jpg", () => []);
    expect(await text("labels/b.txt")).toBe("");
    expect((await MarkedFolder.open(folder)).photos()[1]).toEqual({ path: "images/b.jpg", objects: 0 });
  });
});

describe("a folder without annotations", () => {
  it.each<MarkFormat>(["coco", "voc", "yolo"])("is marked in %s, and read again as data", async (format) => {
    for (let i = 0; i < 4; i++) await photo(`photos/p${i}.jpg`, i + 1);
    const opened = await MarkedFolder.open(folder);
    expect([opened.format, opened.fault]).toEqual([undefined, undefined]);
    const boxes = [
      box("cat", [10, 10, 40, 30], { difficult: format !== "yolo" }),
      box("dog", [50, 5, 99, 45]),
    ];
    for (const path of ["photos/p0.jpg", "photos/p1.jpg"]) {
      const read = await opened.read(path);
      const done = await opened.save(path, saving(read, boxes, { format, classes: ["dog", "cat"] }));
      expect(done.kind).toBe("saved");
    }
    const again = await MarkedFolder.open(folder);
    expect([again.format, again.classes]).toEqual([format, ["dog", "cat"]]);
    const { marks } = await again.read("photos/p1.jpg");
    expect(marks.map((mark) => mark.box.map((edge) => Number(edge.toFixed(4))))).toEqual(
      boxes.map((one) => one.box),
    );
    expect(marks.map((mark) => [mark.class, mark.difficult])).toEqual([
      ["cat", format !== "yolo"],
      ["dog", false],
    ]);
    const set = await openDetectionFolder(folder, { verify: false });
    const { train, validation, test } = set.splits;
    // Photos without a file of labels count as empty in YOLO's format, and are left out in the others.
    expect(train.count + validation.count + test.count).toBe(format === "yolo" ? 4 : 2);
  });

  it("is marked upright where EXIF data turn a photo", async () => {
    await photo("turned.jpg", 1, 6);
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("turned.jpg");
    expect([read.width, read.height]).toEqual([50, 100]);
    await opened.save("turned.jpg", saving(read, [box("cat", [5, 60, 45, 95])]));
    const set = await openDetectionFolder(folder, { verify: false });
    const all = Object.values(set.splits).flatMap((split) =>
      Array.from({ length: split.count }, (_, i) => [...split.annotations(i).boxes]),
    );
    expect(all).toEqual([[5, 60, 45, 95]]);
  });

  it("turns boxes that are of the pixels as stored, there and back", async () => {
    await photo("turned.jpg", 1, 6);
    await put(
      "annotations.json",
      '{"images":[{"id":1,"file_name":"turned.jpg","width":100,"height":50}],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[10,5,20,30]}],"categories":[{"id":1,"name":"cat"}]}',
    );
    const before = await text("annotations.json");
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("turned.jpg");
    expect(read.marks[0]?.box).toEqual([15, 10, 45, 30]);
    await opened.save("turned.jpg", saving(read, read.marks));
    expect(await text("annotations.json")).toBe(before);
    await opened.save("turned.jpg", saving(read, [{ ...(read.marks[0] as Mark), box: [15, 12, 45, 32] }]));
    expect(JSON.parse(await text("annotations.json")).annotations[0].bbox).toEqual([12, 5, 20, 30]);
  });
});

describe("what cannot be marked here", () => {
  it("is said: a format that is not written, annotations that are damaged", async () => {
    await photo("a.jpg");
    await put(
      "a.json",
      '{"shapes": [{"label": "cat", "shape_type": "rectangle", "points": [[1, 1], [9, 9]]}], "imagePath": "a.jpg"}',
    );
    const foreign = await MarkedFolder.open(folder);
    expect(foreign.fault).toMatch(/labelme.*eidos convert/);
    const read = await foreign.read("a.jpg");
    expect(read.marks).toMatchObject([{ class: "cat", box: [1, 1, 9, 9] }]);
    await expect(foreign.save("a.jpg", saving(read, []))).rejects.toThrow(/labelme/);

    await rm(join(folder, "a.json"));
    await put("annotations.json", '{"images": [');
    const damaged = await MarkedFolder.open(folder);
    expect(damaged.fault).toMatch(/not valid JSON/);
    expect(damaged.photos()).toEqual([{ path: "a.jpg", objects: undefined }]);
  });

  it("is a class whose name the format cannot hold", async () => {
    await photo("a.jpg");
    const opened = await MarkedFolder.open(folder);
    const read = await opened.read("a.jpg");
    const asked = saving(read, [box(" cat", [1, 1, 5, 5])]);
    await expect(opened.save("a.jpg", asked)).rejects.toThrow(/spaces at an end/);
    expect(await readdir(folder)).toEqual(["a.jpg"]);
  });
});
