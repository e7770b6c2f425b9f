import { type BoxArray, boxCount } from "./boxes.ts";

/**
 * How a box is written in four numbers: by its edges (`xyxy`, the form of all functions here), by its top left corner, width and
 * height (`xywh`, as in COCO's JSON), or by its centre, width and height (`cxcywh`, as in YOLO's text files).
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
