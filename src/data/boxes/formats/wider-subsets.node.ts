import { DataError } from "../../../errors.ts";
import { FILE_KINDS } from "../../files/files.node.ts";
import { FACE_SUBSETS, type FaceSubset, subsetBits } from "../set.ts";
import type { DetectionFiles } from "./files.node.ts";
import { type MatValue, readMat } from "./mat.node.ts";
import { fileNameOf } from "./paths.node.ts";

// The folder `ground_truth` of WIDER FACE's evaluation tools: wider_easy_val.mat, wider_medium_val.mat and wider_hard_val.mat list for
// each event, and in it for each image, the numbers of the faces that count, from 1.

/** A face's box as the lists have it: left, top, width and height. */
type ListedBox = readonly [x: number, y: number, width: number, height: number];

/** What the lists have of an image. */
export interface ListedImage {
  /** Its faces in their order. */
  readonly boxes: readonly ListedBox[];
  /** The subsets of each, by `subsetBits`. */
  readonly subsets: Uint8Array;
}

/** The lists that are there, by subset. */
function listsIn({ all }: DetectionFiles): readonly (readonly [FaceSubset, string])[] {
  return FACE_SUBSETS.flatMap((subset) => {
    const name = `wider_${subset}_val.mat`;
    const file = all.find((path) => fileNameOf(path).toLowerCase() === name);
    return file === undefined ? [] : [[subset, file] as const];
  });
}

/**
 * The faces that the lists below a folder name, by `event/image` without extension; empty where there are no lists.
 * @throws DataError where one is damaged, or lists other images than another one
 */
export async function readSubsets(files: DetectionFiles): Promise<ReadonlyMap<string, ListedImage>> {
  const images = new Map<string, ListedImage>();
  for (const [subset, file] of listsIn(files)) {
    const values = readMat(await files.folder.read(file, FILE_KINDS.annotations), file);
    const cells = (name: string, value: MatValue | undefined): readonly MatValue[] => {
      if (value?.kind !== "cells")
        throw new DataError(`${file}: ${name} is no list; give WIDER FACE's own file`);
      return value.items;
    };
    const listOf = (name: string) => cells(name, values.get(name));
    const [names, boxes, kept] = [listOf("file_list"), listOf("face_bbx_list"), listOf("gt_list")];
    for (const [e, event] of listOf("event_list").entries()) {
      const [own, ownBoxes] = [cells("file_list", names[e]), cells("face_bbx_list", boxes[e])];
      const ownKept = cells("gt_list", kept[e]);
      for (const [i, image] of own.entries()) {
        if (event.kind !== "text" || image.kind !== "text") {
          throw new DataError(
            `${file}: an event or an image whose name is no text; give WIDER FACE's own file`,
          );
        }
        const key = `${event.text}/${image.text}`;
        const held = images.get(key);
        const listed = held ?? listedImage(ownBoxes[i]);
        if (held === undefined) images.set(key, listed);
        for (const number of numbersOf(ownKept[i])) {
          if (listed.boxes[number - 1] === undefined) {
            throw new DataError(`${file}: face ${number} of ${key}, which has ${listed.boxes.length}`);
          }
          listed.subsets[number - 1] = (listed.subsets[number - 1] ?? 0) | subsetBits([subset]);
        }
      }
    }
  }
  return images;
}

function numbersOf(value: MatValue | undefined): ArrayLike<number> & Iterable<number> {
  return value?.kind === "numbers" ? value.values : [];
}

function listedImage(value: MatValue | undefined): ListedImage {
  const rows = value?.kind === "numbers" ? value.rows : 0;
  const numbers = numbersOf(value);
  const at = (row: number, column: number): number => numbers[column * rows + row] ?? Number.NaN;
  return {
    boxes: Array.from(
      { length: rows },
      (_, row) => [at(row, 0), at(row, 1), at(row, 2), at(row, 3)] as const,
    ),
    subsets: new Uint8Array(rows),
  };
}
