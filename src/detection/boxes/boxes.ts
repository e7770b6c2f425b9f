import { OptionError } from "../../errors.ts";

/**
 * A box [x1, y1, x2, y2]: its left, top, right and bottom edge in absolute pixels, as continuous coordinates, so that its
 * width is x2 − x1. A pixel of column c covers c … c + 1. A box whose edges are crossed or equal is empty.
 */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** Boxes one after another, four numbers each. */
export type BoxArray = Float32Array | Float64Array;

/**
 * How far two boxes agree: the intersection over the union, or that less a penalty for boxes that lie apart (see `giou`,
 * `diou` and `ciou`).
 */
export type OverlapKind = "iou" | "giou" | "diou" | "ciou";

/** Number of boxes in an array. @throws OptionError where it does not hold four numbers a box */
export function boxCount(boxes: ArrayLike<number>): number {
  if (boxes.length % 4 !== 0) {
    throw new OptionError(`boxes: ${boxes.length} numbers are no whole number of boxes [x1, y1, x2, y2]`);
  }
  return boxes.length / 4;
}

/** The box at an index of an array; NaN beyond its end. */
export function boxAt(boxes: ArrayLike<number>, index: number): Box {
  const at = (side: number) => boxes[4 * index + side] ?? Number.NaN;
  return [at(0), at(1), at(2), at(3)];
}

/** Boxes as an array of float64. */
export function boxArray(boxes: readonly Box[]): Float64Array {
  return Float64Array.from(boxes.flat());
}

/** Area in square pixels; 0 for an empty box. */
export function area([x1, y1, x2, y2]: Box): number {
  return Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
}

/** Area of each box; 0 for an empty one. @throws OptionError as `boxCount` */
export function areas(boxes: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: boxCount(boxes) }, (_, i) => area(boxAt(boxes, i)));
}

/** Area that two boxes share. */
export function intersection([ax1, ay1, ax2, ay2]: Box, [bx1, by1, bx2, by2]: Box): number {
  const width = Math.min(ax2, bx2) - Math.max(ax1, bx1);
  const height = Math.min(ay2, by2) - Math.max(ay1, by1);
  return width > 0 && height > 0 ? width * height : 0;
}

/** The smallest box around two boxes. */
export function enclosing([ax1, ay1, ax2, ay2]: Box, [bx1, by1, bx2, by2]: Box): Box {
  return [Math.min(ax1, bx1), Math.min(ay1, by1), Math.max(ax2, bx2), Math.max(ay2, by2)];
}

/** Intersection over union, 0 … 1; 0 where one of the boxes is empty. */
export function iou(a: Box, b: Box): number {
  const shared = intersection(a, b);
  return shared === 0 ? 0 : shared / (area(a) + area(b) - shared);
}

/**
 * Generalized IoU (Rezatofighi et al. 2019, "Generalized intersection over union", algorithm 1): IoU − (C − U) / C, where
 * U is the area of the union and C that of the enclosing box. From −1 (boxes far apart) to 1 (equal boxes).
 */
export function giou(a: Box, b: Box): number {
  const hull = area(enclosing(a, b));
  const union = area(a) + area(b) - intersection(a, b);
  return iou(a, b) - (hull > 0 ? (hull - union) / hull : 0);
}

/**
 * Distance IoU (Zheng et al. 2020, "Distance-IoU loss", equation 7): IoU − ρ² / c², where ρ is the distance between the
 * centers and c the diagonal of the enclosing box. From −1 to 1.
 */
export function diou(a: Box, b: Box): number {
  const [x1, y1, x2, y2] = enclosing(a, b);
  const diagonal = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const distance = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2;
  return iou(a, b) - (diagonal > 0 ? distance / diagonal : 0);
}

/**
 * Complete IoU (Zheng et al. 2020, equations 8 to 11): DIoU − αv with v = 4/π² (atan(w/h) − atan(w′/h′))², how far the
 * shapes differ, and α = v / (1 − IoU + v). From −1½ to 1.
 */
export function ciou(a: Box, b: Box): number {
  const shape = ([x1, y1, x2, y2]: Box) => Math.atan2(x2 - x1, y2 - y1);
  const v = (4 / Math.PI ** 2) * (shape(a) - shape(b)) ** 2;
  return diou(a, b) - (v > 0 ? v ** 2 / (1 - iou(a, b) + v) : 0);
}

const OVERLAPS = { iou, giou, diou, ciou } as const;

/** How far two boxes agree, by the measure named. */
export function overlap(a: Box, b: Box, kind: OverlapKind): number {
  return OVERLAPS[kind](a, b);
}

/**
 * How far each of n boxes agrees with each of m others: n rows of m numbers, one after another.
 * @throws OptionError as `boxCount`
 */
export function iouMatrix(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  kind: OverlapKind = "iou",
): Float64Array {
  const [rows, columns] = [boxCount(a), boxCount(b)];
  const matrix = new Float64Array(rows * columns);
  const others = Array.from({ length: columns }, (_, j) => boxAt(b, j));
  for (let i = 0; i < rows; i++) {
    const box = boxAt(a, i);
    for (const [j, other] of others.entries()) matrix[i * columns + j] = overlap(box, other, kind);
  }
  return matrix;
}

/**
 * How a box is written in four numbers: by its edges (`xyxy`, the form of all functions here), by its top left corner, width and
 * height (`xywh`, as in COCO's JSON), or by its center, width and height (`cxcywh`, as in YOLO's text files).
 */
export type BoxFormat = "xyxy" | "xywh" | "cxcywh";

/** A copy in which `change` has rewritten each four numbers. @throws OptionError as `boxCount` */
function mapped<T extends BoxArray>(
  boxes: T,
  change: (a: number, b: number, c: number, d: number) => readonly [number, number, number, number],
): T {
  const count = boxCount(boxes);
  const result = boxes.slice() as T;
  for (let i = 0; i < 4 * count; i += 4) {
    const [a, b, c, d] = change(boxes[i] ?? 0, boxes[i + 1] ?? 0, boxes[i + 2] ?? 0, boxes[i + 3] ?? 0);
    result[i] = a;
    result[i + 1] = b;
    result[i + 2] = c;
    result[i + 3] = d;
  }
  return result;
}

/** Boxes in another format, as an array of the same type. @throws OptionError as `boxCount` */
export function convertBoxes<T extends BoxArray>(boxes: T, from: BoxFormat, to: BoxFormat): T {
  if (from === to) return mapped(boxes, (...box) => box);
  if (from === "xywh") {
    return to === "xyxy"
      ? mapped(boxes, (x, y, w, h) => [x, y, x + w, y + h])
      : mapped(boxes, (x, y, w, h) => [x + w / 2, y + h / 2, w, h]);
  }
  if (from === "cxcywh") {
    return to === "xyxy"
      ? mapped(boxes, (x, y, w, h) => [x - w / 2, y - h / 2, x + w / 2, y + h / 2])
      : mapped(boxes, (x, y, w, h) => [x - w / 2, y - h / 2, w, h]);
  }
  return to === "xywh"
    ? mapped(boxes, (x1, y1, x2, y2) => [x1, y1, x2 - x1, y2 - y1])
    : mapped(boxes, (x1, y1, x2, y2) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]);
}

/** Width and height, in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Boxes cut off at the borders of an image: 0 … width and 0 … height. A box outside becomes an empty one at the border. */
export function clipBoxes<T extends BoxArray>(boxes: T, { width, height }: Size): T {
  const clamp = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  return mapped(boxes, (x1, y1, x2, y2) => [
    clamp(x1, width),
    clamp(y1, height),
    clamp(x2, width),
    clamp(y2, height),
  ]);
}

/** Boxes moved by a number of pixels. */
export function shiftBoxes<T extends BoxArray>(boxes: T, x: number, y: number): T {
  return mapped(boxes, (x1, y1, x2, y2) => [x1 + x, y1 + y, x2 + x, y2 + y]);
}

/** Boxes of an image that is stretched by a factor along each axis. */
export function scaleBoxes<T extends BoxArray>(boxes: T, x: number, y = x): T {
  return mapped(boxes, (x1, y1, x2, y2) => [x1 * x, y1 * y, x2 * x, y2 * y]);
}
