import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDetectionFolder } from "../../../../src/data/boxes/folder.node.ts";
import { parseCsv } from "../../../../src/data/boxes/formats/csv.node.ts";
import { parseVoc } from "../../../../src/data/boxes/formats/voc.node.ts";
import { parseYoloLabels } from "../../../../src/data/boxes/formats/yolo.node.ts";
import type { DetectionSet } from "../../../../src/data/boxes/set.ts";
import { temporaryFolder } from "../../../support.ts";
import { painted, writeImage, writeText } from "../support.ts";

// Files as the formats' own documentation and tools write them, none made by this project.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const grey = (width: number, height: number, shade = 90) => painted(width, height, [shade, shade, shade]);

/** Objects by file, as plain values. */
function listed({ splits, classes }: DetectionSet) {
  return Object.entries(splits).flatMap(([split, part]) =>
    Array.from({ length: part.count }, (_, i) => {
      const { file, boxes, labels, difficult, crowd } = part.annotations(i);
      const objects = Array.from(labels, (label, k) => ({
        class: classes[label],
        box: [...boxes.subarray(4 * k, 4 * k + 4)].map((edge) => Math.round(edge * 1000) / 1000),
        ...(difficult[k] === 1 && { difficult: true }),
        ...(crowd[k] === 1 && { crowd: true }),
      }));
      return { split, file, objects };
    }),
  );
}

const vocXml = (name: string, objects: string) => `<annotation>
  <folder>VOC2007</folder>
  <filename>${name}</filename>
  <source><database>The VOC2007 Database</database><annotation>PASCAL VOC2007</annotation></source>
  <owner><flickrid>Fried Camels</flickrid><name>Jinky the Fruit Bat</name></owner>
  <size><width>500</width><height>375</height><depth>3</depth></size>
  <segmented>0</segmented>
  ${objects}
</annotation>`;

const CHAIR = `<object>
    <name>chair</name><pose>Rear</pose><truncated>0</truncated><difficult>0</difficult>
    <bndbox><xmin>263</xmin><ymin>211</ymin><xmax>324</xmax><ymax>339</ymax></bndbox>
  </object>`;
const PERSON = `<object>
    <name>person</name><pose>Left</pose><truncated>1</truncated><difficult>1</difficult>
    <bndbox><xmin>5.5</xmin><ymin>244</ymin><xmax>67</xmax><ymax>374</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part>
  </object>`;

describe("Pascal VOC", () => {
  test("a file's own objects are read, and not their parts", () => {
    const { filename, declared, objects } = parseVoc(vocXml("000005.jpg", CHAIR + PERSON), "a.xml");
    expect(filename).toBe("000005.jpg");
    expect(declared).toEqual({ width: 500, height: 375 });
    expect(objects.map(({ class: name, box, difficult }) => [name, box, difficult])).toEqual([
      ["chair", [263, 211, 324, 339], false],
      ["person", [5.5, 244, 67, 374], true],
    ]);
  });

  test("the folder of VOC 2007: lists of splits, and of classes, which are not splits", async () => {
    const folder = join(root, "voc");
    for (const [name, objects] of [
      ["000005", CHAIR],
      ["000007", PERSON],
      ["000009", CHAIR + PERSON],
      ["000012", CHAIR],
    ] as const) {
      await writeText(folder, `Annotations/${name}.xml`, vocXml(`${name}.jpg`, objects));
      await writeImage(folder, `JPEGImages/${name}.jpg`, grey(500, 375, Number(name)));
    }
    await writeText(folder, "ImageSets/Main/train.txt", "000005\n000007\n");
    await writeText(folder, "ImageSets/Main/chair_train.txt", "000005  1\n000007 -1\n");
    await writeText(folder, "ImageSets/Main/val.txt", "000009\n");
    await writeText(folder, "ImageSets/Main/trainval.txt", "000005\n000007\n000009\n");
    const set = await openDetectionFolder(folder);
    expect(set.classes).toEqual(["chair", "person"]);
    expect(listed(set)).toEqual([
      {
        split: "train",
        file: "JPEGImages/000005.jpg",
        objects: [{ class: "chair", box: [263, 211, 324, 339] }],
      },
      {
        split: "train",
        file: "JPEGImages/000007.jpg",
        objects: [{ class: "person", box: [5.5, 244, 67, 374], difficult: true }],
      },
      {
        split: "validation",
        file: "JPEGImages/000009.jpg",
        objects: [
          { class: "chair", box: [263, 211, 324, 339] },
          { class: "person", box: [5.5, 244, 67, 374], difficult: true },
        ],
      },
    ]);
    expect(set.faults).toEqual([
      { kind: "not-in-a-split", file: "Annotations/000012.xml", detail: expect.any(String) },
    ]);
    expect(set.describe()[1]).toMatch(/^2 training, 1 validation and 0 test images; splits as given/);
  });

  test("trainval alone: validation is drawn from it, the test split stays as given", async () => {
    const folder = join(root, "trainval");
    const names = Array.from({ length: 12 }, (_, i) => `i${i}`);
    for (const [i, name] of names.entries()) {
      await writeText(folder, `Annotations/${name}.xml`, vocXml("stale.jpg", CHAIR));
      await writeImage(folder, `JPEGImages/${name}.png`, grey(500, 375, 10 * i));
    }
    await writeText(folder, "ImageSets/Main/trainval.txt", names.slice(0, 10).join("\n"));
    await writeText(folder, "ImageSets/Main/test.txt", names.slice(10).join("\n"));
    const { splits } = await openDetectionFolder(folder, { validation: 0.3 });
    expect([splits.train.count, splits.validation.count, splits.test.count]).toEqual([7, 3, 2]);
  });

  test("files beside images, in folders of splits", async () => {
    const folder = join(root, "beside");
    for (const [i, path] of ["train/train_1", "train/b", "valid/c"].entries()) {
      await writeText(folder, `${path}.xml`, vocXml("stale.jpg", CHAIR));
      await writeImage(folder, `${path}.jpg`, grey(500, 375, 40 * i));
    }
    expect(listed(await openDetectionFolder(folder)).map(({ split, file }) => [split, file])).toEqual([
      ["train", "train/b.jpg"],
      ["train", "train/train_1.jpg"],
      ["validation", "valid/c.jpg"],
    ]);
    // One folder and no splits: drawn by seed, whatever images are called.
    const { splits } = await openDetectionFolder(join(folder, "train"), { validation: 0, test: 0 });
    expect(splits.train.count).toBe(2);
  });
});

const COCO = {
  info: { description: "COCO 2017 Dataset", year: 2017 },
  images: [
    { license: 4, file_name: "000000397133.jpg", height: 427, width: 640, id: 397133 },
    { license: 1, file_name: "000000037777.jpg", height: 230, width: 352, id: 37777 },
  ],
  annotations: [
    {
      segmentation: [[10, 10, 40, 10, 40, 60]],
      area: 1500.25,
      iscrowd: 0,
      image_id: 397133,
      bbox: [217.62, 240.54, 38.99, 57.75],
      category_id: 44,
      id: 82445,
    },
    {
      area: 9000,
      iscrowd: 1,
      image_id: 397133,
      bbox: [1, 240.24, 346.63, 186.76],
      category_id: 1,
      id: 119568,
    },
  ],
  categories: [
    { supercategory: "kitchen", id: 44, name: "bottle" },
    { supercategory: "person", id: 1, name: "person" },
  ],
};

describe("COCO", () => {
  test("its own folder: annotations/instances_*.json, images in folders by year", async () => {
    const folder = join(root, "coco");
    await writeText(folder, "annotations/instances_train2017.json", JSON.stringify(COCO));
    const val = { ...COCO, images: [{ ...COCO.images[1], file_name: "v.jpg", id: 1 }], annotations: [] };
    await writeText(folder, "annotations/instances_val2017.json", JSON.stringify(val));
    await writeText(folder, "annotations/person_keypoints_val2017.json", JSON.stringify(val));
    await writeText(
      folder,
      "annotations/captions_val2017.json",
      JSON.stringify({ images: [], annotations: [] }),
    );
    await writeImage(folder, "train2017/000000397133.jpg", grey(640, 427));
    await writeImage(folder, "train2017/000000037777.jpg", grey(352, 230));
    await writeImage(folder, "val2017/v.jpg", grey(352, 230, 7));
    const set = await openDetectionFolder(folder);
    // Classes are in order of their ids.
    expect(set.classes).toEqual(["person", "bottle"]);
    expect(listed(set)).toEqual([
      { split: "train", file: "train2017/000000037777.jpg", objects: [] },
      {
        split: "train",
        file: "train2017/000000397133.jpg",
        objects: [
          { class: "bottle", box: [217.62, 240.54, 256.61, 298.29] },
          { class: "person", box: [1, 240.24, 347.63, 427], crowd: true },
        ],
      },
      { split: "validation", file: "val2017/v.jpg", objects: [] },
    ]);
    expect([...set.splits.train.annotations(1).areas]).toEqual([1500.25, 9000]);
    expect(set.faults).toEqual([
      {
        kind: "unused-annotations",
        file: "annotations/person_keypoints_val2017.json",
        detail: "in the format coco, too",
      },
    ]);
  });

  test("one file beside its images, opened by its path", async () => {
    const folder = join(root, "coco-one");
    await writeText(folder, "_annotations.coco.json", JSON.stringify(COCO));
    await writeText(folder, "other.json", JSON.stringify({ ...COCO, categories: [] }));
    await writeImage(folder, "000000397133.jpg", grey(640, 427));
    const set = await openDetectionFolder(join(folder, "_annotations.coco.json"));
    expect(listed(set).map(({ file }) => file)).toEqual(["000000397133.jpg"]);
    expect(set.faults.map(({ kind, file }) => [kind, file])).toEqual([["missing-image", "000000037777.jpg"]]);
  });

  test("annotations of images and categories that are not listed, and broken ones, are faults", async () => {
    const folder = join(root, "coco-broken");
    const more = [
      { image_id: 5, category_id: 1, bbox: [1, 1, 5, 5] },
      { image_id: 397133, category_id: 99, bbox: [1, 1, 5, 5] },
      { image_id: 397133, category_id: 1, bbox: [1, null, 5, 5] },
      { image_id: 397133, category_id: 1 },
      { category_id: 1, bbox: [1, 1, 5, 5] },
    ];
    const value = { ...COCO, annotations: [...COCO.annotations, ...more] };
    await writeText(folder, "labels.json", JSON.stringify(value));
    await writeImage(folder, "images/000000397133.jpg", grey(640, 427));
    await writeImage(folder, "images/000000037777.jpg", grey(352, 230));
    const set = await openDetectionFolder(folder);
    const faults = set.faults.map(({ kind, file, detail }) => `${kind} ${file}: ${detail}`).sort();
    expect(faults).toEqual([
      expect.stringMatching(/^broken-box images\/000000397133.jpg: annotation 5 \(person\)/),
      expect.stringMatching(/^broken-box images\/000000397133.jpg: annotation 6 \(person\)/),
      expect.stringMatching(
        /^missing-image labels.json: image 5 is not among the images .*; 1 .* the first is annotation 3/,
      ),
      expect.stringMatching(/^unknown-class images\/000000397133.jpg: annotation 4 \(category 99\)/),
      expect.stringMatching(/^unreadable-annotations labels.json: annotation 7: image_id/),
    ]);
  });
});

describe("YOLO", () => {
  test("lines are center, width and height in shares; an outline becomes the box around it", () => {
    const objects = parseYoloLabels(
      "0 0.5 0.25 0.5 0.1\n\n11 0.1 0.1 0.3 0.2 0.2 0.4\n1 0.5 0.5 0.1\ncat 0 0 1 1\n",
    );
    expect(objects.map(({ class: name, location }) => [name, location])).toEqual([
      [0, "line 1"],
      [11, "line 2"],
      [1, "line 3"],
      ["cat", "line 4"],
    ]);
    expect(objects[0]?.box.map((edge) => +edge.toFixed(6))).toEqual([0.25, 0.2, 0.75, 0.3]);
    expect(objects[1]?.box).toEqual([0.1, 0.1, 0.3, 0.4]);
    expect(objects[2]?.box).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
    expect(objects[3]?.box).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  });

  const write = async (folder: string) => {
    for (const [i, path] of ["train/images/a", "train/images/b", "valid/images/c"].entries()) {
      await writeImage(folder, `${path}.jpg`, grey(200, 100, 30 * i));
    }
    await writeText(folder, "train/labels/a.txt", "1 0.5 0.5 0.5 0.5\n");
    await writeText(folder, "train/labels/lost.txt", "1 0.5 0.5 0.5 0.5\n");
    await writeText(folder, "valid/labels/c.txt", "0 0.25 0.5 0.1 1\n7 0.5 0.5 0.1 0.1\n");
  };

  test("data.yaml with paths that lead out of the folder, as exports have them", async () => {
    const folder = join(root, "yolo");
    await write(folder);
    await writeText(
      folder,
      "data.yaml",
      "path: /elsewhere/datasets/cells\ntrain: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cell', 'dirt']\nroboflow: {version: 1}\n",
    );
    const set = await openDetectionFolder(folder);
    expect(set.classes).toEqual(["cell", "dirt"]);
    expect(listed(set)).toEqual([
      { split: "train", file: "train/images/a.jpg", objects: [{ class: "dirt", box: [50, 25, 150, 75] }] },
      { split: "train", file: "train/images/b.jpg", objects: [] },
      {
        split: "validation",
        file: "valid/images/c.jpg",
        objects: [{ class: "cell", box: [40, 0, 60, 100] }],
      },
    ]);
    expect(set.faults.map(({ kind, file }) => [kind, file]).sort()).toEqual([
      ["missing-image", "../test/images"],
      ["missing-image", "train/labels/lost.txt"],
      ["unknown-class", "valid/images/c.jpg"],
    ]);
  });

  test("names by numbers, lists of images in text files", async () => {
    const folder = join(root, "yolo-lists");
    await write(folder);
    await writeText(
      folder,
      "some.txt",
      "./train/images/a.jpg\n./valid/images/c.jpg\n./train/images/gone.jpg\n",
    );
    await writeText(folder, "set.yml", "train: some.txt\nnames:\n  0: cell\n  1: dirt\n");
    const set = await openDetectionFolder(join(folder, "set.yml"), { validation: 0 });
    expect(listed(set).map(({ split, file }) => [split, file])).toEqual([
      ["train", "train/images/a.jpg"],
      ["train", "valid/images/c.jpg"],
    ]);
    expect(set.faults.map(({ kind, file }) => [kind, file])).toContainEqual([
      "missing-image",
      "train/images/gone.jpg",
    ]);
    await writeText(folder, "set.yml", "train: some.txt\nnames:\n  0: cell\n  2: dirt\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(/set.yml: names: there is none for class 1/);
  });

  test("folders images and labels alone; classes are numbers or those of classes.txt", async () => {
    const folder = join(root, "yolo-bare");
    await writeImage(folder, "images/train/a.jpg", grey(200, 100));
    await writeImage(folder, "images/val/b.jpg", grey(200, 100, 3));
    await writeText(folder, "labels/train/a.txt", "2 0.5 0.5 0.5 0.5\n");
    await writeText(folder, "labels/classes.txt", "not read here\n");
    const set = await openDetectionFolder(folder);
    expect(set.classes).toEqual(["0", "1", "2"]);
    expect(set.describe().join("\n")).toMatch(/classes without an object to learn from: 0, 1/);
    expect(listed(set).map(({ split, objects }) => [split, objects.length])).toEqual([
      ["train", 1],
      ["validation", 0],
    ]);
    await writeText(folder, "classes.txt", "ant\nbee\ncow\n");
    expect((await openDetectionFolder(folder)).classes).toEqual(["ant", "bee", "cow"]);
  });

  test("images without any labels are reported", async () => {
    const folder = join(root, "yolo-none");
    await writeImage(folder, "images/a.jpg", grey(20, 10));
    await writeText(folder, "data.yaml", "train: images\nnames: [a]\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(/has labels\/a.txt for images\/a.jpg/);
  });
});

test("Create ML: boxes by their centers, in pixels", async () => {
  const folder = join(root, "createml");
  await writeImage(folder, "train/a.jpg", grey(200, 100));
  await writeImage(folder, "train/b.jpg", grey(200, 100, 3));
  const list = [
    {
      image: "a.jpg",
      annotations: [
        { label: "carrot", coordinates: { x: 60, y: 50, width: 40, height: 20 } },
        { label: "carrot", coordinates: { x: 60, y: "fifty", width: 40, height: 20 } },
      ],
    },
    { image: "b.jpg", annotations: [] },
    { image: 5, annotations: [] },
  ];
  await writeText(folder, "train/_annotations.createml.json", JSON.stringify(list));
  const set = await openDetectionFolder(folder, { validation: 0 });
  expect(listed(set)).toEqual([
    { split: "train", file: "train/a.jpg", objects: [{ class: "carrot", box: [40, 40, 80, 60] }] },
    { split: "train", file: "train/b.jpg", objects: [] },
  ]);
  expect(set.faults.map(({ kind, detail }) => [kind, detail])).toEqual([
    ["unreadable-annotations", expect.stringContaining("image 3: image")],
    ["broken-box", expect.stringContaining("annotation 2")],
  ]);
});

describe("CSV", () => {
  test("cells are read by RFC 4180", () => {
    expect(parseCsv('a,"b ""c"", d"\r\n"two\nlines",e\r\n\r\n')).toEqual([
      ["a", 'b "c", d'],
      ["two\nlines", "e"],
    ]);
    expect(parseCsv("a;b\n1;2")).toEqual([
      ["a", "b"],
      ["1", "2"],
    ]);
  });

  test("a row for each object, as TensorFlow's and Roboflow's tables have it", async () => {
    const folder = join(root, "csv");
    await writeImage(folder, "test/a.jpg", grey(200, 100));
    await writeImage(folder, "train/b, c.jpg", grey(200, 100, 3));
    const head = "filename,width,height,class,xmin,ymin,xmax,ymax\n";
    await writeText(
      folder,
      "test/_annotations.csv",
      `${head}a.jpg,200,100,dog,10,20,30,40\na.jpg,200,100,cat,1,2,3,4.5\n`,
    );
    await writeText(
      folder,
      "train/_annotations.csv",
      `${head}"b, c.jpg",200,100,,,,,\n,200,100,dog,1,2,3,4\n`,
    );
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(listed(set)).toEqual([
      { split: "train", file: "train/b, c.jpg", objects: [] },
      {
        split: "test",
        file: "test/a.jpg",
        objects: [
          { class: "dog", box: [10, 20, 30, 40] },
          { class: "cat", box: [1, 2, 3, 4.5] },
        ],
      },
    ]);
    expect(set.faults.map(({ kind, detail }) => [kind, detail])).toEqual([
      ["unreadable-annotations", "line 3: no name of an image"],
    ]);
  });

  test("without names, as keras-retinanet has it", async () => {
    const folder = join(root, "csv-bare");
    await writeImage(folder, "imgs/a.jpg", grey(1000, 500));
    await writeText(
      folder,
      "boxes.csv",
      "/data/imgs/a.jpg,837,346,981,456,cow\nimgs/a.jpg,10,20,30,40,cow\n",
    );
    await writeText(folder, "prices.csv", "x,y\n1,2\n");
    const set = await openDetectionFolder(folder);
    expect(listed(set)).toMatchObject([
      { file: "imgs/a.jpg", objects: [{ box: [837, 346, 981, 456] }, { box: [10, 20, 30, 40] }] },
    ]);
  });
});

describe("what is no detection set", () => {
  test("is reported, with what is looked for", async () => {
    const folder = join(root, "none");
    await writeImage(folder, "a.jpg", grey(20, 10));
    await writeText(folder, "package.json", "{}");
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /none: no annotations of objects found; found 1 .jpg at the top, 1 .json at the top; there may be Pascal VOC/,
    );
    await expect(openDetectionFolder(join(root, "nowhere"))).rejects.toThrow(
      /nowhere: there is no such file or folder/,
    );
    await expect(openDetectionFolder(join(root, "voc"), { format: "coco" })).rejects.toThrow(
      /in the format COCO/,
    );
  });

  test("damaged files name themselves", async () => {
    const folder = join(root, "damaged");
    await writeImage(folder, "a.jpg", grey(20, 10));
    await writeText(folder, "_annotations.coco.json", '{"images": [');
    await expect(openDetectionFolder(folder)).rejects.toThrow(/_annotations.coco.json: not valid JSON/);
    await writeText(folder, "_annotations.coco.json", '{"images": 5, "annotations": [], "categories": []}');
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /_annotations.coco.json: not as COCO defines it; images/,
    );
    await writeFile(join(folder, "_annotations.coco.json"), Uint8Array.of(0x7b, 0xff, 0xfe));
    await expect(openDetectionFolder(folder)).rejects.toThrow(/_annotations.coco.json: not a text in UTF-8/);
    await rm(join(folder, "_annotations.coco.json"));
    await writeText(folder, "data.yaml", "names: [a\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(/data.yaml: not valid YAML/);
  });
});
