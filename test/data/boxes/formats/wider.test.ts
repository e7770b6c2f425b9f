import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { convertDetections } from "../../../../src/data/boxes/convert.node.ts";
import { openDetectionFolder } from "../../../../src/data/boxes/folder.node.ts";
import { readMat } from "../../../../src/data/boxes/formats/mat.node.ts";
import { parseWider } from "../../../../src/data/boxes/formats/wider.node.ts";
import { type DetectionSet, FACE_SUBSETS, subsetBits } from "../../../../src/data/boxes/set.ts";
import { isDetectionData } from "../../../../src/data/open.node.ts";
import { DataError } from "../../../../src/errors.ts";
import { temporaryFolder } from "../../../support.ts";
import { painted, writeImage, writeText } from "../support.ts";

let root = "";
beforeAll(async () => {
  root = await temporaryFolder();
});
afterAll(() => rm(root, { recursive: true }));

const LISTS = fileURLToPath(new URL("../../../fixtures/detection/wider", import.meta.url));

// As the data set's own files are written, with a space at the end of each line of a face.
const TRAIN = `0--Parade/0_Parade_marchingband_1_849.jpg
1
4 3 12 14 0 0 0 0 0 0 
0--Parade/0_Parade_Parade_0_452.jpg
0
0 0 0 0 0 0 0 0 0 0 
`;
const VALIDATION = `0--Parade/0_Parade_marchingband_1_465.jpg
3
10 5 12 15 2 0 0 0 2 0 
30 8 6 8 1 0 0 1 0 1 
50 20 4 5 2 0 1 0 0 0 
0--Parade/0_Parade_none_1_2.jpg
0
0 0 0 0 0 0 0 0 0 0 
1--Handshaking/1_Handshaking_1_3.jpg
2
2 3 20 30 0 0 0 0 0 0 
40 3 9 9 0 0 0 0 0 0 
`;

/** The folder of WIDER FACE, with the lists of the evaluation tools where asked. */
async function wider(name: string, { lists = false, validation = VALIDATION } = {}): Promise<string> {
  const folder = join(root, name);
  await writeText(folder, "wider_face_split/wider_face_train_bbx_gt.txt", TRAIN);
  await writeText(folder, "wider_face_split/wider_face_val_bbx_gt.txt", validation);
  for (const [part, text] of [
    ["train", TRAIN],
    ["val", validation],
  ] as const) {
    for (const file of text.split("\n").filter((line) => line.endsWith(".jpg"))) {
      const path = `WIDER_${part}/images/${file}`;
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeImage(folder, path, painted(64, 48, [file.length, 90, part.length]));
    }
  }
  if (lists) await cp(LISTS, join(folder, "eval_tools/ground_truth"), { recursive: true });
  return folder;
}

/** Faces by file: edges, and what is marked. */
function listed({ splits }: DetectionSet, split: "train" | "validation") {
  return Array.from({ length: splits[split].count }, (_, i) => {
    const { file, boxes, difficult, subsets } = splits[split].annotations(i);
    return [file.slice(file.lastIndexOf("/") + 1), [...boxes], [...difficult], subsets && [...subsets]];
  });
}

const [easy, medium, hard] = FACE_SUBSETS.map((_, i) => subsetBits(FACE_SUBSETS.slice(i)));

describe("WIDER FACE", () => {
  test("both texts are read: images by event, faces that are invalid as ones that need not be found", async () => {
    const folder = await wider("plain");
    const set = await openDetectionFolder(folder);
    expect(set.classes).toEqual(["face"]);
    expect(listed(set, "train")).toEqual([
      ["0_Parade_Parade_0_452.jpg", [], [], undefined],
      ["0_Parade_marchingband_1_849.jpg", [4, 3, 16, 17], [0], undefined],
    ]);
    expect(listed(set, "validation")).toEqual([
      [
        "0_Parade_marchingband_1_465.jpg",
        [10, 5, 22, 20, 30, 8, 36, 16, 50, 20, 54, 25],
        [0, 1, 0],
        undefined,
      ],
      ["0_Parade_none_1_2.jpg", [], [], undefined],
      ["1_Handshaking_1_3.jpg", [2, 3, 22, 33, 40, 3, 49, 12], [0, 0], undefined],
    ]);
    expect(set.faults).toEqual([
      {
        kind: "invalid-face",
        file: "WIDER_val/images/0--Parade/0_Parade_marchingband_1_465.jpg",
        detail: "line 4 of wider_face_split/wider_face_val_bbx_gt.txt: [30, 8, 36, 16]",
      },
    ]);
    expect(set.describe().join("\n")).toContain(
      "WIDER FACE, 5 images, 2 without objects, 6 objects of 1 class",
    );
    expect(set.describe().join("\n")).toContain("faces marked as invalid; kept");
  });

  test("of one of its texts the other one is left out", async () => {
    const folder = await wider("one");
    const text = join(folder, "wider_face_split/wider_face_val_bbx_gt.txt");
    expect(await isDetectionData(text)).toBe(true);
    const { splits } = await openDetectionFolder(text);
    expect([splits.train.count, splits.validation.count]).toEqual([0, 3]);
  });

  test("the lists of the evaluation tools name easy, medium and hard faces", async () => {
    const set = await openDetectionFolder(await wider("lists", { lists: true }));
    expect(listed(set, "validation").map(([, , , subsets]) => subsets)).toEqual([
      [easy, medium, hard],
      undefined,
      [easy, 0],
    ]);
    expect(listed(set, "train").map(([, , , subsets]) => subsets)).toEqual([undefined, undefined]);
    expect(set.faults.map(({ kind }) => kind)).toEqual(["invalid-face"]);
    const plain = await openDetectionFolder(join(root, "plain"));
    expect(set.fingerprint).not.toBe(plain.fingerprint);

    const out = join(root, "as-coco");
    await convertDetections(set, out, "coco");
    const coco = await openDetectionFolder(out);
    expect(listed(coco, "validation").map(([, , , subsets]) => subsets)).toEqual([
      [easy, medium, hard],
      undefined,
      [easy, 0],
    ]);
    const { lost } = await convertDetections(set, join(root, "as-yolo"), "yolo");
    expect(lost).toEqual({ difficult: 1, crowds: 0, subsets: 4, landmarks: 0 });
  });

  test("subsets of other faces than those of the text are not read, and told", async () => {
    const other = VALIDATION.replace("50 20 4 5", "50 21 4 5");
    const set = await openDetectionFolder(await wider("other", { lists: true, validation: other }));
    expect(listed(set, "validation").map(([, , , subsets]) => subsets)).toEqual([
      undefined,
      undefined,
      [easy, 0],
    ]);
    expect(set.faults.filter(({ kind }) => kind === "other-faces")).toEqual([
      expect.objectContaining({ file: "WIDER_val/images/0--Parade/0_Parade_marchingband_1_465.jpg" }),
    ]);
  });

  test("counts that are not those of the lines, and lines that are none, are told", async () => {
    const { entries, stray } = parseWider("odd\na.jpg\n2\n1 2 3 4 0 0 0 0 0 0\nb.jpg\n5 6 x\nc.jpg\n");
    expect(stray).toBe(1);
    expect(entries.map(({ name, stated, objects }) => [name, stated, objects.map(({ box }) => box)])).toEqual(
      [
        ["a.jpg", 2, [[1, 2, 4, 6]]],
        ["b.jpg", undefined, [[Number.NaN, Number.NaN, Number.NaN, Number.NaN]]],
        ["c.jpg", undefined, []],
      ],
    );
    const validation = VALIDATION.replace("\n3\n", "\n4\n").replace("40 3 9 9", "40 3 9 0");
    const { faults } = await openDetectionFolder(await wider("odd", { validation }));
    expect(faults.map(({ kind }) => kind)).toEqual(["other-count", "invalid-face", "empty-box"]);
    expect(faults[0]?.detail).toBe(
      "line 1 of wider_face_split/wider_face_val_bbx_gt.txt: 4 by the count, 3 in the lines that follow",
    );
  });
});

describe("MAT-files", () => {
  test("have cells, numbers and texts, packed or not", async () => {
    for (const subset of FACE_SUBSETS) {
      const file = `wider_${subset}_val.mat`;
      const values = readMat(await readFile(join(LISTS, file)), file);
      expect(values.get("event_list")).toEqual({
        kind: "cells",
        items: [
          { kind: "text", text: "0--Parade" },
          { kind: "text", text: "1--Handshaking" },
        ],
      });
      const boxes = values.get("face_bbx_list");
      const [first] = boxes?.kind === "cells" ? boxes.items : [];
      expect(first?.kind === "cells" && first.items[0]).toEqual({
        kind: "numbers",
        rows: 3,
        values: Float64Array.of(10, 30, 50, 5, 8, 20, 12, 6, 4, 15, 8, 5),
      });
    }
    const hard = readMat(await readFile(join(LISTS, "wider_hard_val.mat")), "hard");
    expect(hard.get("about")).toEqual({ kind: "other" });
  });

  test("that are cut off or damaged are refused in one line, wherever it is", async () => {
    for (const subset of ["easy", "medium"] as const) {
      const bytes = await readFile(join(LISTS, `wider_${subset}_val.mat`));
      for (let length = 0; length < bytes.length; length += 3) {
        try {
          readMat(bytes.subarray(0, length), "cut.mat");
        } catch (error) {
          expect(error).toBeInstanceOf(DataError);
          expect((error as Error).message).toMatch(/^cut\.mat: [^\n]+$/);
        }
      }
      for (let at = 128; at < bytes.length; at++) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 0xff;
        try {
          readMat(changed, "changed.mat");
        } catch (error) {
          expect(error).toBeInstanceOf(DataError);
        }
      }
    }
  });

  test("of other kinds, and cells in cells without end, are refused by name", async () => {
    const header = (text: string) =>
      Buffer.concat([Buffer.from(text.padEnd(124)), Buffer.from([0, 1, 0x49, 0x4d])]);
    expect(() => readMat(Buffer.from("no such file"), "a.mat")).toThrow("a.mat: no MAT-file of Level 5");
    expect(() => readMat(header("MATLAB 7.3 MAT-file"), "a.mat")).toThrow(
      /version 7\.3; write it again with save/,
    );
    const element = (type: number, content: Buffer) => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(type, 0);
      head.writeUInt32LE(content.length, 4);
      return Buffer.concat([head, content, Buffer.alloc((8 - (content.length % 8)) % 8)]);
    };
    const cell = (content: Buffer) =>
      element(
        14,
        Buffer.concat([
          element(6, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])),
          element(5, Buffer.from([1, 0, 0, 0, 1, 0, 0, 0])),
          element(1, Buffer.alloc(0)),
          content,
        ]),
      );
    let nested = element(14, Buffer.alloc(0));
    for (let i = 0; i < 12; i++) nested = cell(nested);
    expect(() => readMat(Buffer.concat([header("MATLAB 5.0"), nested]), "a.mat")).toThrow(/more than 8 deep/);
    const packed = deflateSync(nested);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(15, 0);
    head.writeUInt32LE(packed.length, 4);
    expect(() => readMat(Buffer.concat([header("MATLAB 5.0"), head, packed]), "a.mat")).toThrow(
      /more than 8 deep/,
    );
    const folder = await wider("damaged", { lists: true });
    await writeFile(join(folder, "eval_tools/ground_truth/wider_hard_val.mat"), "nothing");
    await expect(openDetectionFolder(folder)).rejects.toThrow(
      /^eval_tools\/ground_truth\/wider_hard_val\.mat: no MAT-file of Level 5$/,
    );
  });
});

describe("COCO's JSON", () => {
  test("has a difficulty of faces: a name, with those that are harder, or a list; others are told and not read", async () => {
    const folder = join(root, "coco");
    await writeImage(folder, "a.png", painted(60, 40, [9, 90, 9]));
    const difficulties = ["easy", "medium", "hard", ["easy", "hard"], [], 3, undefined];
    const annotations = difficulties.map((difficulty, i) => {
      return { id: i, image_id: 1, category_id: 1, bbox: [i, i, 9, 9], difficulty };
    });
    const images = [{ id: 1, file_name: "a.png", width: 60, height: 40 }];
    const categories = [{ id: 1, name: "face" }];
    await writeText(folder, "a.json", JSON.stringify({ images, annotations, categories }));
    const set = await openDetectionFolder(folder);
    expect([...(set.splits.train.annotations(0).subsets ?? [])]).toEqual([7, 6, 4, 5, 0, 0, 0]);
    expect(set.faults).toEqual([
      { kind: "unknown-difficulty", file: "a.json", detail: "of 1 object, the first is annotation 6: 3" },
    ]);
  });
});
