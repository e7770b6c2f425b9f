import type { DetectionSet } from "../../data/boxes/set.ts";
import { type Box, boxAt } from "../../detection/boxes/boxes.ts";
import { letterbox, toLetterbox } from "../../detection/boxes/letterbox.ts";
import { assignAnchorsBy } from "../../detection/loss/anchor-assignment.ts";
import { retinaAnchors } from "../../detection/models/retina-anchors.ts";
import { retinaNetOptions } from "../../detection/models/retina-net.ts";
import { levelGrids } from "../../detection/network/feature-network.ts";
import { learntBoxes } from "../../detection/scale/chip-batches.ts";
import { objectSize } from "../../detection/scale/ranges.ts";
import { OptionError, RuntimeError } from "../../errors.ts";
import { nodeRuntime } from "../../program/node.ts";
import { Program } from "../../program/program.ts";
import type { Runtime } from "../../program/runtime.ts";
import { float32, input, int64, where } from "../../tensor/index.ts";

// How many anchors objects are given by their size: the assignment of the training step itself, on the boxes of a data set.

/** Anchors and their assignment, as options of retina-net. */
export interface AnchorRule {
  readonly name: string;
  readonly options: Readonly<Record<string, string | number>>;
}

const S3FD = { anchorLayout: "s3fd", finestStride: 4, levels: 4 } as const;
const FACEBOXES = { anchorLayout: "faceboxes", foreground: 0.35, background: 0.35 } as const;

/** The rules that are compared: squares from stride 4 on with three assignments, and what else the papers have. */
export const ANCHOR_RULES: readonly AnchorRule[] = [
  { name: "RetinaNet", options: {} },
  { name: "RetinaNet, stride 4", options: { finestStride: 4 } },
  { name: "squares, overlap", options: S3FD },
  { name: "S³FD", options: { ...S3FD, assignment: "s3fd" } },
  { name: "ATSS", options: { ...S3FD, assignment: "atss" } },
  { name: "FaceBoxes, sparse", options: { ...FACEBOXES, anchorDensity: 0 } },
  { name: "FaceBoxes", options: FACEBOXES },
];

/** Objects of a size, and what a rule gives them. */
export interface SizeBin {
  readonly from: number;
  readonly to: number;
  readonly objects: number;
  /** Anchors of an object on average, by rule. */
  readonly anchors: readonly number[];
  /** Share of objects that have none, by rule. */
  readonly without: readonly number[];
}

/** How many anchors each rule gives the objects of a set. */
export interface AnchorCounts {
  /** Height and width of the images that the detector sees. */
  readonly size: number;
  /** Images of the training split that were looked at, and all of it. */
  readonly images: number;
  readonly allImages: number;
  readonly objects: number;
  /** Each with the number of its anchors in an image. */
  readonly rules: readonly (AnchorRule & { readonly anchors: number })[];
  /** Half octaves of sizes, those that have objects. */
  readonly bins: readonly SizeBin[];
  /** Share of all objects without an anchor, by rule. */
  readonly without: readonly number[];
}

/** Images that are looked at, at most: the first ones of the training split. */
const MOST_IMAGES = 200;

/** Anchors of each object of images, for one rule. */
async function countsOf(
  images: readonly (readonly Box[])[],
  size: number,
  { options }: AnchorRule,
  runtime: Runtime,
): Promise<{ readonly anchors: number; readonly counts: readonly number[] }> {
  const own = retinaNetOptions.parse(options);
  const image = { width: size, height: size };
  const strides = Array.from({ length: own.levels }, (_, i) => own.finestStride * 2 ** i);
  const grids = levelGrids(
    image,
    strides.map((stride) => ({ stride, channels: 1 })),
  );
  const placed = retinaAnchors(own, grids, image);
  const rows = images.reduce((most, { length }) => Math.max(most, length), 0);
  const targets = assignAnchorsBy(
    own,
    placed,
    input("boxes", [1, rows, 4]),
    input("labels", [1, rows], "int64"),
    1,
  );
  const outputs = { rows: where(targets.positive, targets.owner.add(1), 0) };
  const program = await Program.build(outputs, runtime);
  const counts: number[] = [];
  try {
    for (const boxes of images) {
      const padded = Array.from({ length: rows }, (_, i) => boxes[i] ?? [0, 0, 0, 0]);
      const labels = padded.map((_, i) => (i < boxes.length ? 0 : -1));
      // One more than the row of each anchor's object, 0 for none.
      const { rows: found } = await program.run({
        boxes: float32(padded.flat(), [1, rows, 4]),
        labels: int64(labels, [1, rows]),
      });
      const ofRow = new Uint32Array(rows + 1);
      if (found === undefined) throw new RuntimeError("the rows of anchors were not computed");
      for (const row of found.data) ofRow[Number(row)] = (ofRow[Number(row)] ?? 0) + 1;
      for (const count of ofRow.subarray(1, boxes.length + 1)) counts.push(count);
    }
  } finally {
    await program.release();
  }
  return { anchors: Number(placed.anchors.shape[0]), counts };
}

/** The half octave of a size: it lies from √2ⁿ on, and below √2ⁿ⁺¹. */
const halfOctave = (size: number): number => Math.floor(2 * Math.log2(size) + 1e-9);

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const shareWithout = (counts: readonly number[]): number => mean(counts.map((count) => Number(count === 0)));

/**
 * Counts the anchors that each rule gives the training objects of a set, by their size in images as a detector sees them. Of many images the
 * first 200 are looked at.
 * @param size height and width of those images
 * @throws OptionError where there is no object to look at
 */
export async function anchorCounts(set: DetectionSet, size: number): Promise<AnchorCounts> {
  const { train } = set.splits;
  const canvas = { width: size, height: size };
  const images = Array.from({ length: Math.min(MOST_IMAGES, train.count) }, (_, index) => {
    const annotations = train.annotations(index);
    const own = Float32Array.from(learntBoxes(annotations, false).flat());
    const boxes = toLetterbox(own, letterbox(annotations, canvas));
    return Array.from({ length: boxes.length / 4 }, (__, i) => boxAt(boxes, i));
  }).filter((boxes) => boxes.length > 0);
  const sizes = images.flat().map(objectSize);
  if (sizes.length === 0) {
    throw new OptionError(
      `option anchorPlot: ${train.count === 1 ? "the only training image has no object" : `none of the ${Math.min(MOST_IMAGES, train.count)} training images that are looked at has an object`}; leave it out`,
    );
  }
  const runtime = await nodeRuntime();
  const rules: (AnchorRule & { readonly anchors: number })[] = [];
  const columns: (readonly number[])[] = [];
  for (const rule of ANCHOR_RULES) {
    const { anchors, counts } = await countsOf(images, size, rule, runtime);
    rules.push({ ...rule, anchors });
    columns.push(counts);
  }
  const octaves = sizes.map(halfOctave);
  const bins = [...new Set(octaves)]
    .sort((a, b) => a - b)
    .map((octave): SizeBin => {
      const own = (counts: readonly number[]) => counts.filter((_, i) => octaves[i] === octave);
      return {
        from: 2 ** (octave / 2),
        to: 2 ** ((octave + 1) / 2),
        objects: own(sizes).length,
        anchors: columns.map((counts) => mean(own(counts))),
        without: columns.map((counts) => shareWithout(own(counts))),
      };
    });
  return {
    size,
    images: Math.min(MOST_IMAGES, train.count),
    allImages: train.count,
    objects: sizes.length,
    rules,
    bins,
    without: columns.map(shareWithout),
  };
}
