import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { convertDetections } from "../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../src/data/boxes/folder.node.ts";
import { parseYoloLabels } from "../../../src/data/boxes/formats/yolo.node.ts";
import { openPhoto } from "../../../src/data/boxes/image.node.ts";
import type { DetectionSet } from "../../../src/data/boxes/set.ts";
import { openDetection } from "../../../src/data/open.node.ts";
import { DataError } from "../../../src/errors.ts";
import { temporaryFolder } from "../../support.ts";
import { annotationsOf, painted, setInMemory, writeImage, writeText } from "./support.ts";

// Data sets of a stranger that reach for other files, never end, or are of no sane size.

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
  await writeImage(root, "private/x.png", painted(32, 24, [200, 10, 10]));
});
afterAll(() => rm(root, { recursive: true }));

const isWindows = process.platform === "win32";
const grey = painted(32, 24, [90, 90, 90]);

const faultsOf = ({ faults }: DetectionSet) => faults.map(({ kind, file }) => [kind, file]);

/** COCO's file for images of one object each. */
function coco(files: readonly string[]): string {
  const images = files.map((file_name, i) => ({ id: i + 1, file_name, width: 32, height: 24 }));
  const annotations = files.map((_, i) => ({ image_id: i + 1, category_id: 1, bbox: [2, 2, 10, 10] }));
  return JSON.stringify({ images, annotations, categories: [{ id: 1, name: "thing" }] });
}

const YAML = "train: images\nnames: [thing]\n";

/** A folder with one image in YOLO's format. */
async function yolo(name: string, yaml: string): Promise<string> {
  const folder = join(root, name);
  await writeImage(folder, "images/a.png", grey);
  await writeText(folder, "labels/a.txt", "0 0.5 0.5 0.5 0.5\n");
  await writeText(folder, "data.yaml", yaml);
  return folder;
}

describe("names that lead out of the folder", () => {
  test("of COCO's images are neither read nor copied", async () => {
    const folder = join(root, "coco/set");
    await writeImage(folder, "a.png", grey);
    await writeImage(join(root, "coco"), "private/y.png", painted(32, 24, [200, 10, 10]));
    const away = ["../private/y.png", "a\0.png", "sub/../../private/y.png", "..\\private\\y.png"];
    await writeText(folder, "boxes.json", coco(["a.png", ...away]));
    for (const path of [folder, join(folder, "boxes.json")]) {
      const set = await openDetectionFolder(path, { validation: 0, test: 0 });
      expect(set.splits.train.count).toBe(1);
      expect(faultsOf(set)).toEqual([
        ["repeated-image", "../private/y.png"],
        ["repeated-image", "../private/y.png"],
        ["outside", "../private/y.png"],
        ["unreadable-image", "a\\u0000.png"],
      ]);
    }
    const set = await openDetectionFolder(folder, { validation: 0, test: 0 });
    await convertDetections(set, join(root, "coco/out"), "yolo");
    expect(await readdir(join(root, "coco/out/images/train"))).toEqual(["a.png"]);
  });

  test("of the other formats, likewise", async () => {
    const folder = join(root, "formats");
    const name = "../private/x.png";
    await writeImage(folder, "csv/a.png", grey);
    const head = "filename,class,xmin,ymin,xmax,ymax\n";
    await writeText(folder, "csv/boxes.csv", `${head}a.png,thing,1,1,9,9\n../${name},thing,1,1,9,9\n`);
    await writeImage(folder, "createml/a.png", grey);
    const annotations = [{ label: "thing", coordinates: { x: 9, y: 9, width: 4, height: 4 } }];
    const list = ["a.png", `../${name}`].map((image) => ({ image, annotations }));
    await writeText(folder, "createml/boxes.json", JSON.stringify(list));
    const xml = (file: string) =>
      `<annotation><filename>${file}</filename><object><name>thing</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>`;
    await writeImage(folder, "voc/JPEGImages/a.png", grey);
    await writeText(folder, "voc/Annotations/a.xml", xml("a.png"));
    await writeText(folder, "voc/Annotations/b.xml", xml(`../../${name}`));
    for (const format of ["csv", "createml", "voc"] as const) {
      const set = await openDetectionFolder(join(folder, format), { validation: 0, test: 0 });
      expect(set.splits.train.count, format).toBe(1);
      expect(set.faults.map(({ kind }) => kind)).toEqual(["outside"]);
    }
  });

  test("of data.yaml are refused, with what to do", async () => {
    for (const [i, train] of ["/dev/zero", "/", join(root, "private"), "../private"].entries()) {
      const folder = await yolo(`yaml-${i}`, `train: ${train}\nnames: [thing]\n`);
      const opening = openDetectionFolder(folder);
      await expect(opening).rejects.toThrow(DataError);
      await expect(opening).rejects.toThrow(
        /data\.yaml: train is .*, outside of the folder of this file, .*; put a copy of the file into/,
      );
    }
    const folder = await yolo("yaml-path", "path: /\ntrain: dev\nval: dev/zero\nnames: [thing]\n");
    await expect(openDetectionFolder(folder)).rejects.toThrow(/train is .*dev, outside/);
    // A path of the folder itself is one of its own, however it is spelled.
    const absolute = join(root, "yaml-absolute");
    await yolo("yaml-absolute", `path: ${absolute}\ntrain: ${absolute}/images\ntest: /dev\nnames: [thing]\n`);
    const set = await openDetectionFolder(absolute, { validation: 0 });
    expect(set.splits.train.annotations(0).file).toBe("images/a.png");
    expect(faultsOf(set)).toEqual([["outside", "/dev"]]);
  });

  test("of a list of images are faults", async () => {
    const folder = await yolo("list", "train: train.txt\nnames: [thing]\n");
    const away = join(root, "private/x.png");
    await writeText(folder, "train.txt", `images/a.png\n../private/x.png\n${away}\n${folder}/images/a.png\n`);
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(set.splits.train.count).toBe(1);
    expect(faultsOf(set)).toEqual([
      ["outside", "../private/x.png"],
      ["outside", away],
      ["repeated-image", "images/a.png"],
    ]);
  });
});

describe.skipIf(isWindows)("links", () => {
  test("within the folder are followed, those out of it with followLinks alone", async () => {
    const folder = join(root, "links");
    await writeImage(folder, "store/a.png", grey);
    await symlink("store", join(folder, "images"));
    await mkdir(join(folder, "more"));
    await symlink(join(root, "private/x.png"), join(folder, "more/x.png"));
    await writeText(folder, "boxes.json", coco(["images/a.png", "more/x.png"]));
    const set = await openDetectionFolder(folder, { validation: 0, test: 0 });
    expect(set.splits.train.count).toBe(1);
    expect(faultsOf(set)).toEqual([["outside", "more/x.png"]]);
    expect(set.faults[0]?.detail).toMatch(/^a link to .*x\.png; copy .*--follow-links/);
    const all = await openDetectionFolder(folder, { validation: 0, test: 0, followLinks: true });
    expect(all.splits.train.count).toBe(2);
  });

  test("of all annotations or images out of the folder say what to do", async () => {
    const folder = join(root, "linked");
    const store = join(root, "linked-store");
    await writeImage(store, "a.png", grey);
    await writeText(store, "boxes.json", coco(["a.png"]));
    await mkdir(folder);
    await symlink(join(store, "a.png"), join(folder, "a.png"));
    await symlink(join(store, "boxes.json"), join(folder, "boxes.json"));
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /no annotations of objects found; .*left out \(--follow-links follows links out of it\): 2/,
    );
    // The file that the caller names is read; the image that it names is not.
    await expect(openDetectionFolder(join(folder, "boxes.json"))).rejects.toThrow(
      /no image can be used; files outside of the data's folder; left out \(--follow-links/,
    );
    const set = await openDetectionFolder(folder, { followLinks: true });
    expect(set.splits.train.count).toBe(1);
  });

  test("to labels out of the folder are no images without objects", async () => {
    const folder = await yolo("labels", YAML);
    await rm(join(folder, "labels"), { recursive: true });
    await writeText(join(root, "labels-store"), "a.txt", "0 0.5 0.5 0.5 0.5\n");
    await symlink(join(root, "labels-store"), join(folder, "labels"));
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /no image can be used; .*--follow-links.* \(labels\)/,
    );
    expect((await openDetectionFolder(folder, { followLinks: true })).splits.train.count).toBe(1);
  });

  test("in circles end", async () => {
    const folder = await yolo("circle", YAML);
    await symlink("..", join(folder, "images/up"));
    await symlink("loop", join(folder, "images/loop.png"));
    await symlink("loop.png", join(folder, "images/loop"));
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(faultsOf(set)).toEqual([
      ["not-looked-into", "images/up"],
      ["unreadable-image", "images/loop.png"],
    ]);
  });
});

describe.skipIf(isWindows)("pipes in place of files", () => {
  const pipe = (path: string) => execFileSync("mkfifo", [path]);

  test("as an image, as labels, as data.yaml, as a list of images, as a list of classes", async () => {
    const folder = await yolo("pipes", YAML);
    pipe(join(folder, "images/b.png"));
    pipe(join(folder, "labels/c.txt"));
    await writeImage(folder, "images/c.png", painted(32, 24, [3, 3, 3]));
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(set.faults.map(({ kind, file, detail }) => [kind, file, detail])).toEqual([
      ["unreadable-annotations", "labels/c.txt", "it is a pipe, not a regular file"],
      ["missing-image", "labels/c.txt", expect.any(String)],
      ["unreadable-image", "images/b.png", "it is a pipe, not a regular file"],
    ]);
    await writeText(folder, "data.yaml", "train: train.txt\nnames: [thing]\n");
    pipe(join(folder, "train.txt"));
    await expect(openDetectionFolder(folder)).rejects.toThrow(/train\.txt: it is a pipe/);
    await rm(join(folder, "data.yaml"));
    pipe(join(folder, "data.yaml"));
    await expect(openDetectionFolder(folder)).rejects.toThrow(/data\.yaml: it is a pipe/);
    await rm(join(folder, "data.yaml"));
    pipe(join(folder, "classes.txt"));
    await expect(openDetectionFolder(folder)).rejects.toThrow(/classes\.txt: it is a pipe/);
  });

  test("as files of annotations, and as data that is named", async () => {
    const folder = join(root, "pipes-2");
    await writeImage(folder, "a.png", grey);
    for (const name of ["annotations.json", "boxes.csv", "a.xml"]) {
      const path = join(folder, name);
      pipe(path);
      await expect(openDetection(folder), name).rejects.toThrow(DataError);
      await expect(openDetection(path), name).rejects.toThrow(/it is a pipe, not a regular file/);
      await rm(path);
    }
    await expect(openDetection("/dev/zero")).rejects.toThrow(/\/dev\/zero: it is a device/);
  });
});

describe("contents of no sane size or kind", () => {
  test("an outline of 300,000 numbers is a box, and a line of nothing else too", () => {
    const outline = Array.from({ length: 300_000 }, (_, i) => (i % 7) / 10);
    const [object] = parseYoloLabels(`0 ${outline.join(" ")}\n`);
    expect(object?.box).toEqual([0, 0, 0.6, 0.6]);
    expect(parseYoloLabels(`0 ${"x ".repeat(300_000)}`)[0]?.box).toEqual(Array(4).fill(Number.NaN));
  });

  test("more images than a call takes arguments", async () => {
    const folder = await yolo("many", "train: train.txt\nnames: [thing]\n");
    const lines = Array.from({ length: 200_000 }, () => "images/a.png\n");
    await writeText(folder, "train.txt", lines.join(""));
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(set.splits.train.count).toBe(1);
  });

  test("the number of a class does not decide how many classes there are", async () => {
    const folder = await yolo("numbers", YAML);
    await rm(join(folder, "data.yaml"));
    await writeText(
      folder,
      "labels/a.txt",
      "2 0.5 0.5 0.5 0.5\n4000000000 0.5 0.5 0.2 0.2\n1e300 0.5 0.5 0.2 0.2\n",
    );
    const set = await openDetectionFolder(folder, { validation: 0, test: 0 });
    expect(set.classes).toEqual(["0", "1", "2"]);
    expect(faultsOf(set)).toEqual([
      ["unknown-class", "images/a.png"],
      ["unknown-class", "images/a.png"],
    ]);
  });

  test("NUL characters in every file of annotations", async () => {
    const folder = await yolo("nul", YAML);
    await writeText(folder, "labels/a.txt", "0 0.5 0.5\0 0.5 0.5\n");
    await writeImage(folder, "images/b.png", painted(32, 24, [3, 3, 3]));
    await writeText(folder, "labels/b.txt", "0 0.5 0.5 0.5 0.5\n");
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(set.faults[0]).toEqual({
      kind: "unreadable-annotations",
      file: "labels/a.txt",
      detail: "a NUL character at byte 9; the file is damaged, or is no text in UTF-8",
    });
    for (const [name, text] of [
      ["data.yaml", "train: im\0ages\nnames: [thing]\n"],
      ["boxes.csv", "filename,class,xmin,ymin,xmax,ymax\na\0.png,thing,1,1,9,9\n"],
      ["annotations.json", `${coco(["a.png"])}\0`],
    ] as const) {
      const odd = join(root, `nul-${name}`);
      await writeImage(odd, "a.png", grey);
      await writeText(odd, name, text);
      await expect(openDetectionFolder(odd), name).rejects.toThrow(/a NUL character at byte/);
    }
    // YAML and JSON spell the character out, too.
    const spelled = await yolo("nul-spelled", 'train: "im\\0ages"\nval: images\nnames: [thing]\n');
    expect(faultsOf(await openDetectionFolder(spelled))).toEqual([["missing-image", "im\\u0000ages"]]);
    await expect(openDetection("a\0b")).rejects.toThrow(DataError);
  });

  test("a line of spaces in a list of VOC", async () => {
    const folder = join(root, "spaces");
    await writeImage(folder, "JPEGImages/a.png", grey);
    const xml =
      "<annotation><object><name>thing</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>";
    await writeText(folder, "Annotations/a.xml", xml);
    await writeText(folder, "ImageSets/Main/train.txt", `a  1\nb${" ".repeat(1_000_000)}c\n`);
    const set = await openDetectionFolder(folder, { validation: 0 });
    expect(set.splits.train.count).toBe(1);
    expect(set.faults.map(({ kind }) => kind)).toEqual(["missing-annotations"]);
  });

  test("an image with too many pixels, a drawing that is called a picture", async () => {
    const folder = join(root, "odd-images");
    await writeImage(folder, "a.png", grey);
    await writeImage(folder, "large.png", painted(200, 100, [1, 1, 1]));
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="24"><rect width="9" height="9"/></svg>';
    await writeText(folder, "drawing.png", svg);
    await writeText(folder, "boxes.json", coco(["a.png", "large.png", "drawing.png"]));
    const set = await openDetectionFolder(folder, { validation: 0, test: 0, pixelLimit: 10_000 });
    expect(set.faults.map(({ kind, file, detail }) => [kind, file, detail])).toEqual([
      ["unreadable-image", "drawing.png", expect.stringMatching(/it holds SVG, not pixels/)],
      ["huge-image", "large.png", expect.stringMatching(/200 × 100 pixels/)],
    ]);
  });
});

test("converted images stay in the folder, whatever they were called", async () => {
  const files = ["../up.png", "/etc/passwd", "a\0b.png", "..", "C:\\x\\..\\y.png", ".hidden.png", "x/\n.png"];
  const train = files.map((file, i) => ({
    ...annotationsOf(file, grey, [{ box: [1, 1, 5, 9], label: 0 }]),
    image: painted(32, 24, [i, i, i]),
  }));
  for (const format of ["voc", "coco", "yolo", "createml", "csv"] as const) {
    const out = join(root, "named", format, "out");
    await convertDetections(setInMemory(["c"], { train, validation: [], test: [] }), out, format);
    expect(await readdir(join(root, "named", format))).toEqual(["out"]);
    const set = await openDetectionFolder(out, { validation: 0, test: 0 });
    expect(set.splits.train.count, format).toBe(files.length);
    expect(set.faults).toEqual([]);
  }
});

describe("a file that is replaced under its path", () => {
  /** A WebP of one color, as a file of a fixed size and time. */
  async function webp(path: string, color: readonly [number, number, number], length = 4000): Promise<void> {
    const [r, g, b] = color;
    const bytes = await sharp({ create: { width: 32, height: 24, channels: 3, background: { r, g, b } } })
      .webp({ lossless: true })
      .toBuffer();
    const padded = Buffer.alloc(length);
    bytes.copy(padded);
    await writeFile(path, padded);
    await utimes(path, 1_000_000, 1_000_000);
  }
  const first = ({ data }: { readonly data: Uint8Array }) => [data[0], data[32 * 24], data[2 * 32 * 24]];

  test("is decoded as it is now, in photos and in data sets", async () => {
    const folder = join(root, "stale");
    await mkdir(folder);
    const path = join(folder, "a.webp");
    await writeText(folder, "boxes.json", coco(["a.webp"]));
    await webp(path, [255, 0, 0]);
    const set = await openDetectionFolder(folder, { validation: 0, test: 0, cache: 0 });
    const sample = async () => first((await set.splits.train.sample(0)).image);
    const photo = async () => first(await (await openPhoto(path, "a", { pixelLimit: 1e6 })).decode());
    expect(await sample()).toEqual([255, 0, 0]);
    expect(await photo()).toEqual([255, 0, 0]);
    const { size, mtimeMs } = await stat(path);
    await webp(path, [0, 255, 0]);
    expect(await stat(path)).toMatchObject({ size, mtimeMs });
    expect(await photo()).toEqual([0, 255, 0]);
    expect(await sample()).toEqual([0, 255, 0]);
  });

  test("is not mixed with what was seen of it before", async () => {
    const path = join(root, "replaced.webp");
    await webp(path, [255, 0, 0]);
    const photo = await openPhoto(path, "a", { pixelLimit: 1e6 });
    await webp(path, [0, 255, 0]);
    // What was looked at is what is decoded; after that it is another picture.
    expect(first(await photo.decode())).toEqual([255, 0, 0]);
    await expect(photo.decode()).rejects.toThrow(/a: the file was replaced since it was looked at/);
    const folder = join(root, "replaced");
    await writeImage(folder, "a.png", grey);
    await writeText(folder, "boxes.json", coco(["a.png"]));
    const set = await openDetectionFolder(folder, { validation: 0, test: 0, cache: 0 });
    await writeImage(folder, "a.png", painted(24, 32, [1, 1, 1]));
    await expect(set.splits.train.sample(0)).rejects.toThrow(/24 × 32 pixels, where it had 32 × 24/);
  });
});

describe("a YAML file of many", () => {
  test.each([
    [
      "aliases",
      `names: [a]\nx: [${Array.from({ length: 2000 }, (_, i) => `&a${i} x, *a${i}`).join(", ")}]\n`,
      /more than 100 aliases/,
    ],
    [
      "errors in one line",
      `names: [a]\nx: ${'"\\q" '.repeat(2000)}\n`,
      /not valid YAML \(.* at line 2, column \d+/,
    ],
  ])("%s is refused in a few words", async (name, yaml, refusal) => {
    const opened = openDetectionFolder(await yolo(`yaml-${name.replaceAll(" ", "-")}`, yaml));
    await expect(opened).rejects.toThrow(refusal);
  });
});
