import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { convertDetections } from "../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import type { DetectionOptions } from "../../../src/data/boxes/options.ts";
import type { DetectionSet, FaultKind } from "../../../src/data/boxes/set.ts";
import { temporaryFolder } from "../../support.ts";
import { extent, painted, writeImage, writeText } from "./support.ts";

// Files as people have them, each with one trait that went wrong. The name of a test begins with the case.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

/** Objects by file: class and box in whole pixels. */
function boxesOf({ splits, classes }: DetectionSet): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  for (const part of Object.values(splits)) {
    for (let i = 0; i < part.count; i++) {
      const { file, boxes, labels } = part.annotations(i);
      all[file] = Array.from(labels, (label, k) => {
        const box = [...boxes.subarray(4 * k, 4 * k + 4)].map((edge) => Math.round(100 * edge) / 100);
        return `${classes[label]} ${box.join(",")}`;
      });
    }
  }
  return all;
}

const counts = ({ splits }: DetectionSet) => Object.values(splits).map(({ count }) => count);
const kinds = ({ faults }: DetectionSet, kind: FaultKind) => faults.filter((fault) => fault.kind === kind);
const told = (set: DetectionSet) => set.describe().join("\n");

type Object_ = readonly [category: number | string, box: readonly number[]];

/** A file of COCO's format; ids of images count from 1. */
function coco(files: readonly string[], objects: readonly Object_[], names: readonly string[] = ["cup"]) {
  return {
    images: files.map((file_name, i) => ({ id: i + 1, file_name, width: 100, height: 100 })),
    annotations: objects.map(([category_id, bbox], i) => ({
      id: i + 1,
      image_id: (i % files.length) + 1,
      category_id,
      bbox,
    })),
    categories: names.map((name, i) => ({ id: i + 1, name })),
  };
}

/** Pictures of different shades. */
async function pictures(folder: string, files: readonly string[], side = 100): Promise<void> {
  for (const [i, file] of files.entries())
    await writeImage(folder, file, painted(side, side, [40 + 9 * i, 60, 80]));
}

let made = 0;
async function opened(
  files: readonly string[],
  texts: Readonly<Record<string, string | object>>,
  options: DetectionOptions = {},
): Promise<DetectionSet> {
  const folder = join(root, `set-${made++}`);
  await pictures(folder, files);
  for (const [path, text] of Object.entries(texts)) {
    await writeText(folder, path, typeof text === "string" ? text : JSON.stringify(text));
  }
  return openDetectionFolder(folder, options);
}

const CUP = [[1, [10, 20, 30, 40]] as const];
const THREE = [CUP[0], CUP[0], CUP[0]].filter((each) => each !== undefined);
const p = (folder: string, count = 4) => Array.from({ length: count }, (_, i) => `${folder}p${i}.png`);
const plain = (files: readonly string[]) => files.map((file) => file.slice(file.lastIndexOf("/") + 1));

describe("names of images", () => {
  test.each([
    ["coco-case", "images/IMG_", ".JPG", (i: number) => `IMG_${i}.jpg`],
    ["coco-nfd", "images/cafe\u0301 ", ".png", (i: number) => `caf\u00e9 ${i}.png`],
    ["coco-percent", "images/my photo ", ".png", (i: number) => `images/my%20photo%20${i}.png`],
    ["backslashes", "images/a/b", ".png", (i: number) => `IMAGES\\A\\B${i}.png`],
    ["another extension", "images/b", ".png", (i: number) => `b${i}.jpg`],
  ])("%s: found by another spelling, and told", async (_, before, after, named) => {
    const files = [0, 1, 2].map((i) => `${before}${i}${after}`);
    const set = await opened(files, { "annotations.json": coco([0, 1, 2].map(named), THREE) });
    expect(Object.keys(boxesOf(set)).sort()).toEqual([...files].sort());
    expect(new Set(Object.values(boxesOf(set)).flat())).toEqual(new Set(["cup 10,20,40,60"]));
    expect(kinds(set, "other-spelling")).toHaveLength(3);
    expect(told(set)).toMatch(/found by another spelling.*: 3/);
  });

  test("a spelling that two images have is not guessed", async () => {
    const files = ["x/A.png", "y/a.PNG", "x/b.png"];
    const set = await opened(files, {
      "annotations.json": coco(["a.png", "b.png"], [CUP[0] ?? [1, []], ...CUP]),
    });
    expect(Object.keys(boxesOf(set))).toEqual(["x/b.png"]);
    expect(kinds(set, "missing-image")).toHaveLength(1);
  });
});

describe("COCO", () => {
  test("coco-json-per-class: files over the same photos are merged", async () => {
    const files = p("images/");
    const set = await opened(files, {
      "cats.json": coco(plain(files), Array(4).fill([1, [5, 5, 15, 15]]), ["cat"]),
      "dogs.json": coco(plain(files), Array(4).fill([1, [25, 5, 15, 15]]), ["dog"]),
    });
    expect(boxesOf(set)["images/p2.png"]).toEqual(["cat 5,5,20,20", "dog 25,5,40,20"]);
    expect(set.classes).toEqual(["cat", "dog"]);
    expect(kinds(set, "merged-annotations")).toHaveLength(4);
    expect(kinds(set, "repeated-image")).toHaveLength(0);
  });

  test("coco-same-image-id: two files under one id are a named fault, and neither is background", async () => {
    const document = coco(["a.png", "b.png", "c.png"], THREE);
    const images = document.images.map((image, i) => ({ ...image, id: i === 2 ? 2 : 1 }));
    const set = await opened(["a.png", "b.png", "c.png"], { "x.json": { ...document, images } }, { test: 0 });
    expect(Object.keys(boxesOf(set))).toEqual(["c.png"]);
    expect(kinds(set, "ambiguous-image").map(({ file }) => file)).toEqual(["a.png", "b.png"]);
    const all = { ...document, images: images.map((image) => ({ ...image, id: 1 })) };
    await expect(opened(["a.png", "b.png", "c.png"], { "x.json": all })).rejects.toThrow(
      /id that another image has/,
    );
  });

  test("coco-mixed-id-types: ids are compared as text", async () => {
    const document = coco(plain(p("")), Array(4).fill(["1", [5, 5, 20, 20]]));
    const annotations = document.annotations.map((each) => ({ ...each, image_id: String(each.image_id) }));
    const set = await opened(p("images/"), { "annotations.json": { ...document, annotations } });
    expect(Object.values(boxesOf(set)).flat()).toEqual(Array(4).fill("cup 5,5,25,25"));
    expect(set.faults).toEqual([]);
  });

  test("coco-nan-named: NaN is refused with file, line and what to do, whatever the file is called", async () => {
    const text = JSON.stringify(coco(plain(p("", 3)), THREE), null, 1).replace(
      '"bbox"',
      '"area": NaN,\n"bbox"',
    );
    await expect(opened(p("images/", 3), { "labels.json": text })).rejects.toThrow(
      /labels\.json: line \d+, column 12: NaN, which JSON does not have; write a number or null/,
    );
  });

  test("coco-polygon-only: the box around the outline, and around a mask", async () => {
    const document = coco(plain(p("", 3)), THREE);
    const outline = [[10, 20, 40, 20, 40, 60, 10, 60]];
    // Rows 20 to 59 of columns 10 to 39, as numbers, and as pycocotools writes them.
    const counts = [1020, ...Array(29).fill([40, 60]).flat(), 40, 6040];
    const segmentations = [outline, { size: [100, 100], counts }, outline];
    const annotations = document.annotations.map((each, i) => ({
      ...each,
      bbox: [],
      segmentation: segmentations[i],
    }));
    const set = await opened(p("images/", 3), { "annotations.json": { ...document, annotations } });
    expect(Object.values(boxesOf(set)).flat()).toEqual(Array(3).fill("cup 10,20,40,60"));
    expect(kinds(set, "outline-box")).toHaveLength(3);
  });

  test("ids of images and categories are kept by a conversion", async () => {
    const document = coco(plain(p("")), Array(4).fill([7, [5, 5, 20, 20]]));
    const images = document.images.map((image) => ({ ...image, id: 100 * image.id }));
    const annotations = document.annotations.map((each) => ({ ...each, image_id: 100 * each.image_id }));
    const categories = [
      { id: 7, name: "cup", supercategory: "kitchen" },
      { id: 3, name: "plate", supercategory: "" },
    ];
    const set = await opened(
      p("images/"),
      { "annotations.json": { images, annotations, categories } },
      { validation: 0, test: 0 },
    );
    const out = join(root, "kept");
    await convertDetections(set, out, "coco");
    const written = JSON.parse(await readFile(join(out, "annotations/instances_train.json"), "utf8"));
    expect(written.images.map(({ id }: { id: number }) => id)).toEqual([100, 200, 300, 400]);
    expect(written.categories).toEqual(categories.toReversed());
    expect(
      new Set(written.annotations.map(({ category_id }: { category_id: number }) => category_id)),
    ).toEqual(new Set([7]));
  });
});

describe("tables", () => {
  const rows = (edges: string) =>
    `filename,class,xmin,ymin,xmax,ymax\n${plain(p(""))
      .map((file) => `${file},dog,${edges}\n`)
      .join("")}`;

  test("csv-normalised: edges within 0 … 1 are shares, told, and an option takes them as they are", async () => {
    const set = await opened(p("images/"), { "labels.csv": rows("0.1,0.2,0.6,0.9") });
    expect(new Set(Object.values(boxesOf(set)).flat())).toEqual(new Set(["dog 10,20,60,90"]));
    expect(told(set)).toMatch(/all edges lie within 0 … 1.*--box-unit/);
    const pixels = await opened(
      p("images/"),
      { "labels.csv": rows("0.1,0.2,0.6,0.9") },
      { boxUnit: "pixels" },
    );
    expect(Object.values(boxesOf(pixels))[0]).toEqual(["dog 0.1,0.2,0.6,0.9"]);
    const usual = await opened(p("images/"), { "labels.csv": rows("10,20,60,90") });
    expect(kinds(usual, "guessed-shares")).toEqual([]);
  });

  test("Open Images: codes of classes have names, groups are crowds, files no extension", async () => {
    const head = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf";
    const lines = ["p0,xclick,/m/011k07,1,0.1,0.5,0.2,0.6,0,0,0", "p1,xclick,/m/011k07,1,0,1,0.2,0.6,0,0,1"];
    const set = await opened(p("train/", 2), {
      "train-annotations-bbox.csv": `${[head, ...lines].join("\n")}\n`,
      "class-descriptions-boxable.csv": "/m/011k07,Tortoise\n/m/011q46kg,Container\n",
    });
    expect(boxesOf(set)).toEqual({
      "train/p0.png": ["Tortoise 10,20,50,60"],
      "train/p1.png": ["Tortoise 0,20,100,60"],
    });
  });

  test("keras-retinanet: no names of columns, classes in a table of their own, images without objects", async () => {
    const set = await opened(p("images/", 3), {
      "annotations.csv": "images/p0.png,,,,,\nimages/p1.png,1,2,30,40,dog\nimages/p2.png,1,2,30,40,cat\n",
      "classes.csv": "dog,0\ncat,1\n",
    });
    expect(set.classes).toEqual(["dog", "cat"]);
    expect(boxesOf(set)).toEqual({
      "images/p0.png": [],
      "images/p1.png": ["dog 1,2,30,40"],
      "images/p2.png": ["cat 1,2,30,40"],
    });
  });
});

describe("YOLO", () => {
  const LABEL = "1 0.5 0.5 0.4 0.6\n";
  const labels = (folder: string, count = 4, text = LABEL) =>
    Object.fromEntries(p(folder, count).map((path) => [path.replace(".png", ".txt"), text]));
  const DOGS = Array(4).fill("dog 30,20,70,80");

  test("labelimg-yolo-flat: labels beside photos, with classes.txt", async () => {
    const set = await opened(p(""), { ...labels(""), "classes.txt": "cat\ndog\n" });
    expect(Object.values(boxesOf(set)).flat()).toEqual(DOGS);
    expect(set.classes).toEqual(["cat", "dog"]);
  });

  test("labelimg-yolo-labels: classes.txt among the labels", async () => {
    const set = await opened(p("images/"), { ...labels("labels/"), "labels/classes.txt": "cat\ndog\n" });
    expect(Object.values(boxesOf(set)).flat()).toEqual(DOGS);
    expect(kinds(set, "missing-image")).toEqual([]);
  });

  test("cvat-yolo-1.1: obj_train_data, obj.names and a list of images by a path of another root", async () => {
    const files = p("obj_train_data/");
    const set = await opened(files, {
      ...labels("obj_train_data/"),
      "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
      "obj.names": "cat\ndog\n",
      "train.txt": files.map((file) => `data/${file}\n`).join(""),
    });
    expect(Object.values(boxesOf(set)).flat()).toEqual(DOGS);
    expect(counts(set)).toEqual([3, 1, 0]);
  });

  test("any two folders: pictures in one, labels in another, splits below both", async () => {
    const set = await opened([...p("photos/training/", 3), ...p("photos/testing/", 2)], {
      ...labels("marks/training/", 3),
      ...labels("marks/testing/", 2, "0 0.5 0.5 0.2 0.2\n"),
      "obj.names": "cat\ndog\n",
    });
    expect(boxesOf(set)["photos/testing/p0.png"]).toEqual(["cat 40,40,60,60"]);
    expect(boxesOf(set)["photos/training/p0.png"]).toEqual(["dog 30,20,70,80"]);
    expect(set.splits.test.count).toBe(2);
  });

  test("yolo-pose-2d: key points of two numbers are no outline", async () => {
    const pose = "0 0.5 0.5 0.4 0.6 0.45 0.4 0.55 0.4 0.5 0.5\n";
    const set = await opened(p("images/train/"), {
      ...labels("labels/train/", 4, pose),
      "data.yaml": "train: images/train\nkpt_shape: [3, 2]\nnames:\n  0: cat\n",
    });
    expect(new Set(Object.values(boxesOf(set)).flat())).toEqual(new Set(["cat 30,20,70,80"]));
  });

  test("yolo-train-is-val: splits are drawn anew from them, and told", async () => {
    const set = await opened(p("images/train2017/", 8), {
      ...labels("labels/train2017/", 8, "0 0.5 0.5 0.4 0.6\n"),
      "data.yaml":
        "path: ../datasets/mini\ntrain: images/train2017\nval: images/train2017\ntest:\nnames:\n  0: cat\n",
    });
    expect(set.splits.train.count).toBeGreaterThan(0);
    expect(set.splits.validation.count).toBeGreaterThan(0);
    expect(told(set)).toMatch(/training images that are all held out, too; splits are drawn anew/);
  });

  test("yolo-folder-ends-in-images", async () => {
    const set = await opened([...p("images/train_images/", 3), ...p("images/val_images/", 3)], {
      ...labels("labels/train_images/", 3, "0 0.5 0.5 0.4 0.6\n"),
      ...labels("labels/val_images/", 3, "0 0.5 0.5 0.4 0.6\n"),
      "data.yaml": "train: images/train_images\nval: images/val_images\nnames: [cat]\n",
    });
    expect(counts(set)).toEqual([3, 3, 0]);
    expect(Object.values(boxesOf(set)).flat()).toEqual(Array(6).fill("cat 30,20,70,80"));
  });

  test("yolo-windows: backslashes in data.yaml and in lists are slashes", async () => {
    const files = ["images/train/p 0.png", "images/train/p 1.png", "images/val/p 0.png"];
    const set = await opened(files, {
      ...Object.fromEntries(
        files.map((file) => [
          file.replace("images", "labels").replace(".png", ".txt"),
          "\ufeff1.0\t0.5 0.5  0.4 0.6 \n\n0 0.1 0.1 0.1 0.1",
        ]),
      ),
      "data.yaml":
        '\ufeffpath: C:\\Users\\me\\ds\ntrain: .\\train.txt\nval: images\\val\nnc: 2\nnames: ["yes","no"]\n',
      "train.txt": ".\\images\\train\\p 0.png\nC:\\Users\\me\\ds\\images\\train\\p 1.png\n",
    });
    expect(counts(set)).toEqual([2, 1, 0]);
    expect(boxesOf(set)["images/train/p 1.png"]).toEqual(["no 30,20,70,80", "yes 5,5,15,15"]);
  });

  test("oriented boxes: four corners become the box around them", async () => {
    const set = await opened(p("images/", 3), {
      ...labels("labels/", 3, "0 0.5 0.2 0.8 0.5 0.5 0.8 0.2 0.5\n"),
      "classes.txt": "plane\n",
    });
    expect(new Set(Object.values(boxesOf(set)).flat())).toEqual(new Set(["plane 20,20,80,80"]));
  });
});

describe("VOC", () => {
  const xml = (filename: string, name = "cat") =>
    `<annotation><filename>${filename}</filename><size><width>100</width><height>100</height><depth>3</depth></size><object><name>${name}</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>`;
  const files = (folder: string, count: number, name?: string) =>
    Object.fromEntries(p(folder, count).map((path, i) => [path.replace(".png", ".xml"), xml(`p${i}`, name)]));

  test("voc-split-folders: train/annotations with train/images; splits are used", async () => {
    const set = await opened([...p("train/images/", 3), ...p("val/images/", 2)], {
      ...files("train/annotations/", 3),
      ...files("val/annotations/", 2),
    });
    expect(counts(set)).toEqual([3, 2, 0]);
    expect(boxesOf(set)["val/images/p1.png"]).toEqual(["cat 10,10,50,60"]);
  });

  test("annotations/{train,valid,test}: splits are used", async () => {
    const set = await opened([...p("images/train/", 3), ...p("images/valid/", 2), ...p("images/test/", 1)], {
      ...files("annotations/train/", 3),
      ...files("annotations/valid/", 2),
      ...files("annotations/test/", 1),
    });
    expect(counts(set)).toEqual([3, 2, 1]);
    expect(told(set)).toMatch(/splits as given/);
  });

  test("voc-no-extension: a filename without ending", async () => {
    const set = await opened(p("images/"), files("annotations/", 4));
    expect(Object.values(boxesOf(set)).flat()).toEqual(Array(4).fill("cat 10,10,50,60"));
  });

  test("voc-class-case: names that look alike are told", async () => {
    const set = await opened(p("", 4), {
      ...files("", 4),
      "p0.xml": xml("p0", "Cat"),
      "p1.xml": xml("p1", "CAT"),
    });
    expect(set.classes).toEqual(["CAT", "Cat", "cat"]);
    expect(told(set)).toMatch(/names differ by case.*: 1 \(CAT\)/);
    expect(kinds(set, "similar-classes")[0]?.detail).toBe("and Cat, cat");
  });

  test("the folder above VOC2007, with its lists", async () => {
    const set = await opened(p("VOC2007/JPEGImages/"), {
      ...files("VOC2007/Annotations/", 4),
      "VOC2007/ImageSets/Main/train.txt": "p0\np1\n",
      "VOC2007/ImageSets/Main/val.txt": "p2\n",
      "VOC2007/ImageSets/Main/test.txt": "p3\n",
    });
    expect(counts(set)).toEqual([2, 1, 1]);
  });

  test("holdout is taken for the test split, and told; annotations in another format are named", async () => {
    const set = await opened([...p("train/", 3), ...p("holdout/", 1)], {
      ...files("train/", 3),
      ...files("holdout/", 1),
      "boxes.csv": "filename,class,xmin,ymin,xmax,ymax\ntrain/p0.png,cat,1,1,9,9\n",
    });
    expect(set.splits.test.count).toBe(1);
    expect(told(set)).toMatch(/taken for a split by a name that is not its own: 1 \(holdout\)/);
    expect(kinds(set, "unused-annotations")).toEqual([
      { kind: "unused-annotations", file: "boxes.csv", detail: "1 in the format csv" },
    ]);
  });
});

describe("labeling tools and data sets", () => {
  test("labelme: rectangles, polygons and circles; points are counted", async () => {
    const shapes = [
      {
        label: "cat",
        points: [
          [60, 80],
          [10, 20],
        ],
        shape_type: "rectangle",
      },
      {
        label: "dog",
        points: [
          [10, 10],
          [30, 5],
          [20, 40],
        ],
        shape_type: "polygon",
      },
      {
        label: "dog",
        points: [
          [50, 50],
          [50, 60],
        ],
        shape_type: "circle",
      },
      { label: "dog", points: [[50, 50]], shape_type: "point" },
    ];
    const one = {
      version: "5.0.1",
      flags: {},
      shapes,
      imagePath: "p0.png",
      imageData: null,
      imageHeight: 100,
      imageWidth: 100,
    };
    const set = await opened(p("", 2), {
      "p0.json": one,
      "p1.json": { ...one, shapes: [], imagePath: "p1.png" },
    });
    expect(boxesOf(set)).toEqual({
      "p0.png": ["cat 10,20,60,80", "dog 10,5,30,40", "dog 40,40,60,60"],
      "p1.png": [],
    });
    expect(kinds(set, "not-read").map(({ detail }) => detail)).toEqual(["shape 4: point (dog)"]);
  });

  test("CVAT's XML: boxes, turned boxes, polygons; lines are counted; subsets are splits", async () => {
    const text = `<?xml version="1.0"?><annotations><version>1.1</version><meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>
<image id="0" name="p0.png" subset="train" width="100" height="100"><box label="cat" occluded="0" xtl="10.5" ytl="20" xbr="60" ybr="80"/><polygon label="dog" points="10,10;30,5;20,40"/><polyline label="dog" points="1,1;2,2"/></image>
<image id="1" name="p1.png" subset="validation" width="100" height="100"><box label="cat" xtl="40" ytl="20" xbr="60" ybr="80" rotation="90"/></image></annotations>`;
    const set = await opened(p("images/", 2), { "annotations.xml": text });
    expect(set.classes).toEqual(["dog", "cat"]);
    expect(boxesOf(set)).toEqual({
      "images/p0.png": ["cat 10.5,20,60,80", "dog 10,5,30,40"],
      "images/p1.png": ["cat 20,40,80,60"],
    });
    expect(counts(set)).toEqual([1, 1, 0]);
    expect(kinds(set, "not-read")).toHaveLength(1);
  });

  test("Label Studio: percents, marks in front of names, cancelled work is not read; and its short form", async () => {
    const region = {
      type: "rectanglelabels",
      original_width: 100,
      original_height: 100,
      value: { x: 10, y: 20, width: 50, height: 60, rotation: 0, rectanglelabels: ["cat"] },
    };
    const wrong = { ...region, value: { ...region.value, rectanglelabels: ["dog"] } };
    const tasks = [0, 1].map((i) => ({
      id: i,
      data: { image: i === 0 ? "/data/upload/1/0a1b2c3d-p0.png" : "/data/local-files/?d=images/p1.png" },
      annotations: [
        { result: [region, { type: "choices", value: { choices: ["x"] } }] },
        { was_cancelled: true, result: [wrong] },
      ],
    }));
    const set = await opened(p("images/", 2), { "project.json": tasks });
    expect(boxesOf(set)).toEqual({
      "images/p0.png": ["cat 10,20,60,80"],
      "images/p1.png": ["cat 10,20,60,80"],
    });
    expect(kinds(set, "not-read")).toHaveLength(2);
    const short = [0, 1].map((i) => ({
      id: i,
      image: `http://localhost:8080/data/upload/1/0a1b2c3d-p${i}.png`,
      label: [{ ...region.value, original_width: 100, original_height: 100 }],
    }));
    expect(boxesOf(await opened(p("images/", 2), { "min.json": short }))).toEqual(boxesOf(set));
  });

  test("KITTI: edges in pixels; regions nobody cares for are crowds", async () => {
    const car = "Car 0.00 0 -1.58 10.5 20 60 80 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59";
    const care = "DontCare -1 -1 -10 0 0 30 30 -1 -1 -1 -1000 -1000 -1000 -10";
    const set = await opened(p("training/image_2/", 3), {
      ...Object.fromEntries(
        p("training/label_2/", 3).map((path) => [path.replace(".png", ".txt"), `${car}\n${care}\n`]),
      ),
    });
    expect(set.classes).toEqual(["Car"]);
    const { crowd, boxes } = set.splits.train.annotations(0);
    expect([...boxes]).toEqual([10.5, 20, 60, 80, 0, 0, 30, 30]);
    expect([...crowd]).toEqual([0, 1]);
  });

  test("a refusal says what was found", async () => {
    await expect(
      opened(p("images/", 3), { "annots/x0.xml": "<x/>", "annots/x1.xml": "<x/>" }),
    ).rejects.toThrow(
      /no annotations of objects found; found 3 \.png in images\/, 2 \.xml in annots\/; there may be/,
    );
  });
});

describe("exif: whose pixels boxes are in is settled by the whole file", () => {
  const RED = [250, 10, 10] as const;
  const upright = painted(60, 40, [90, 90, 90], [{ box: [6, 4, 20, 14], color: RED }]);
  const orientations = [1, 2, 3, 4, 5, 6, 7, 8] as const;

  /** The same stored pixels in eight orientations, with the box as marked in one frame or the other. */
  async function eight(
    name: string,
    frame: "stored" | "upright",
    write: (
      folder: string,
      boxes: readonly (readonly number[])[],
      sizes: readonly (readonly [number, number])[],
    ) => Promise<void>,
  ) {
    const folder = join(root, name);
    const boxes: number[][] = [];
    const sizes: [number, number][] = [];
    for (const orientation of orientations) {
      const file = `images/o${orientation}.jpg`;
      await writeImage(folder, file, upright, orientation);
      const bytes = await sharp(join(folder, file)).autoOrient().raw().toBuffer({ resolveWithObject: true });
      const { width, height } = bytes.info;
      const data = new Uint8Array(3 * width * height);
      for (let i = 0; i < width * height; i++)
        for (let c = 0; c < 3; c++) data[c * width * height + i] = bytes.data[3 * i + c] ?? 0;
      const found = extent({ width, height, data }, RED, 90)?.box ?? [0, 0, 0, 0];
      boxes.push(frame === "stored" ? [6, 4, 20, 14] : [...found]);
      sizes.push(frame === "stored" ? [60, 40] : [width, height]);
    }
    await write(folder, boxes, sizes);
    return folder;
  }

  async function fits(set: DetectionSet): Promise<void> {
    for (const part of Object.values(set.splits)) {
      for (let i = 0; i < part.count; i++) {
        const { image, boxes, file } = await part.sample(i);
        const seen = extent(image, RED, 90)?.box ?? [];
        for (const [k, edge] of [...boxes].entries()) {
          expect(Math.abs(edge - (seen[k] ?? Number.NaN)), `${file} ${boxes} ${seen}`).toBeLessThanOrEqual(
            1.01,
          );
        }
      }
    }
  }

  const asCoco =
    (declare: boolean) =>
    (
      folder: string,
      boxes: readonly (readonly number[])[],
      sizes: readonly (readonly [number, number])[],
    ) => {
      const images = sizes.map(([width, height], i) => ({
        id: i,
        file_name: `o${i + 1}.jpg`,
        ...(declare && { width, height }),
      }));
      const annotations = boxes.map(([x1 = 0, y1 = 0, x2 = 0, y2 = 0], i) => ({
        image_id: i,
        category_id: 1,
        bbox: [x1, y1, x2 - x1, y2 - y1],
      }));
      return writeText(
        folder,
        "annotations.json",
        JSON.stringify({ images, annotations, categories: [{ id: 1, name: "red" }] }),
      );
    };

  test("coco-stored: orientations 5 to 8 prove it for 2 to 4", async () => {
    await fits(await openDetectionFolder(await eight("stored", "stored", asCoco(true))));
  });
  test("coco-upright", async () => {
    await fits(await openDetectionFolder(await eight("upright", "upright", asCoco(true))));
  });
  test("voc-upright and yolo-upright", async () => {
    const voc = await eight("voc", "upright", async (folder, boxes, sizes) => {
      for (const [i, [x1, y1, x2, y2]] of boxes.entries()) {
        const size = `<size><width>${sizes[i]?.[0]}</width><height>${sizes[i]?.[1]}</height><depth>3</depth></size>`;
        const box = `<bndbox><xmin>${x1}</xmin><ymin>${y1}</ymin><xmax>${x2}</xmax><ymax>${y2}</ymax></bndbox>`;
        await writeText(
          folder,
          `annotations/o${i + 1}.xml`,
          `<annotation><filename>o${i + 1}.jpg</filename>${size}<object><name>red</name>${box}</object></annotation>`,
        );
      }
    });
    await fits(await openDetectionFolder(voc));
    const yolo = await eight("yolo", "upright", async (folder, boxes, sizes) => {
      for (const [i, [x1 = 0, y1 = 0, x2 = 0, y2 = 0]] of boxes.entries()) {
        const [w, h] = sizes[i] ?? [1, 1];
        await writeText(
          folder,
          `labels/o${i + 1}.txt`,
          `0 ${(x1 + x2) / 2 / w} ${(y1 + y2) / 2 / h} ${(x2 - x1) / w} ${(y2 - y1) / h}\n`,
        );
      }
    });
    await fits(await openDetectionFolder(yolo));
  });
  test("no sizes are declared: boxes that reach out of the upright image show it, or the option says it", async () => {
    const folder = await eight("option", "stored", asCoco(false));
    await fits(await openDetectionFolder(folder, { exif: "stored" }));
    const far = await eight("far", "stored", async (to, boxes, sizes) => {
      await asCoco(false)(
        to,
        boxes.map(() => [6, 4, 58, 14]),
        sizes,
      );
    });
    const set = await openDetectionFolder(far);
    expect(kinds(set, "turned-image").every(({ detail }) => detail.includes("as stored"))).toBe(true);
  });
});

describe("twins", () => {
  /** A textured picture, and a copy of it that was scaled and compressed. */
  async function textured(folder: string, file: string, seed: number, again = false): Promise<void> {
    const pixels = Uint8Array.from(
      { length: 8 * 8 * 3 },
      (_, i) => (seed * 7919 + Math.floor(i / 3) * 104729) % 251,
    );
    let image = sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } }).resize(64, 64, {
      kernel: "cubic",
    });
    if (again) image = sharp(await image.jpeg({ quality: 80 }).toBuffer()).resize(48, 48);
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), await image.png().toBuffer());
  }
  const csv = (files: readonly string[]) =>
    `filename,class,xmin,ymin,xmax,ymax\n${files.map((file) => `${file},dog,1,1,20,20\n`).join("")}`;

  test("stay in one split where splits are drawn", async () => {
    const folder = join(root, "twins");
    const files: string[] = [];
    for (let i = 0; i < 12; i++) {
      files.push(`a${i}.png`, `b${i}.png`);
      await textured(folder, `a${i}.png`, i);
      await textured(folder, `b${i}.png`, i, i % 2 === 0);
    }
    await writeText(folder, "boxes.csv", csv(files));
    for (const splitSeed of [0, 1, 2]) {
      const set = await openDetectionFolder(folder, { splitSeed, validation: 0.25, test: 0.25 });
      for (const part of Object.values(set.splits)) {
        const names = Array.from({ length: part.count }, (_, i) => part.annotations(i).file.slice(1));
        expect(new Set(names).size * 2).toBe(names.length);
      }
      expect(kinds(set, "identical-images")).toHaveLength(6);
      expect(kinds(set, "similar-images")).toHaveLength(6);
      expect(kinds(set, "shared-twin")).toEqual([]);
    }
  });

  test("are told where given splits share them", async () => {
    const folder = join(root, "shared");
    await textured(folder, "train/a.png", 1);
    await textured(folder, "train/b.png", 2);
    await textured(folder, "test/c.png", 1, true);
    for (const split of ["train", "test"]) {
      await writeText(folder, `${split}/boxes.csv`, csv(split === "train" ? ["a.png", "b.png"] : ["c.png"]));
    }
    const set = await openDetectionFolder(folder);
    expect(kinds(set, "shared-twin")).toEqual([
      { kind: "shared-twin", file: "train/a.png", detail: "in train; test/c.png is in test" },
    ]);
  });
});
