import type { ImagePart } from "../../../data/boxes/set.ts";
import { boxAt, type Size } from "../../boxes/boxes.ts";
import { INPUT_SIZES, PROPOSAL_STRIDE } from "./networks.ts";

// Windows of the cascade, with the arithmetic of the published code in float32, step by step: which pixels are cut out depends on where a
// coordinate is rounded. Their left and top edges count from 1, as in MATLAB: a window [x1, y1, x2, y2] has the pixels x1 − 1 … x2 − 1, and is
// x2 − x1 + 1 pixels wide. In the terms of other boxes here its left edge lies at x1 − 1 and its right edge at x2.

/** Windows with what a network has predicted of each. */
export interface Windows {
  /** Four numbers a window. */
  readonly boxes: Float32Array;
  /** How likely each has an object, 0 … 1. */
  readonly scores: Float32Array;
  /** Four numbers a window, in parts of its side: how edges of the object lie beside its own. */
  readonly offsets: Float32Array;
  /** All x, then all y of each window's landmarks, in parts of its side; absent where the network predicts none. */
  readonly landmarks?: Float32Array;
}

const f = Math.fround;

/** The windows at the indices given, in their order. */
export function pickWindows(
  { boxes, scores, offsets, landmarks }: Windows,
  places: ArrayLike<number>,
): Windows {
  const picked = Array.from(places);
  const rows = (values: Float32Array): Float32Array => {
    const length = values.length / Math.max(1, scores.length);
    const taken = new Float32Array(length * picked.length);
    for (const [i, place] of picked.entries()) {
      taken.set(values.subarray(place * length, (place + 1) * length), i * length);
    }
    return taken;
  };
  return {
    boxes: rows(boxes),
    scores: rows(scores),
    offsets: rows(offsets),
    ...(landmarks && { landmarks: rows(landmarks) }),
  };
}

/** Windows of several sets, without landmarks, one set after the other. */
export function joinWindows(sets: readonly Windows[]): Windows {
  const joined = (name: "boxes" | "scores" | "offsets"): Float32Array =>
    Float32Array.from(sets.flatMap((set) => [...set[name]]));
  return { boxes: joined("boxes"), scores: joined("scores"), offsets: joined("offsets") };
}

/** The window of a location of the proposal network's map over an image that is resized by a scale. */
export function proposalWindow(row: number, column: number, scale: number): readonly number[] {
  const edge = (cell: number, within: number): number =>
    Math.floor(f(f(PROPOSAL_STRIDE * cell + within) / f(scale)));
  return [edge(column, 1), edge(row, 1), edge(column, INPUT_SIZES.pnet), edge(row, INPUT_SIZES.pnet)];
}

/**
 * Calibration (bounding box regression; Zhang et al. 2016, section 2.2): windows moved by what was predicted of them, an edge at x to
 * x + offset · side.
 * @param extra what is added to x2 − x1 for the side: 1, but 0 for the proposal network, as published
 */
export function calibrated({ boxes, offsets }: Windows, extra: 0 | 1): Float32Array {
  const moved = new Float32Array(boxes.length);
  for (let at = 0; at < boxes.length; at += 4) {
    const [x1, y1, x2, y2] = boxAt(boxes, at / 4);
    const sides = [f(f(x2 - x1) + extra), f(f(y2 - y1) + extra)] as const;
    for (const side of [0, 1, 2, 3] as const) {
      const offset = f((offsets[at + side] ?? Number.NaN) * sides[side % 2 === 0 ? 0 : 1]);
      moved[at + side] = f((boxes[at + side] ?? Number.NaN) + offset);
    }
  }
  return moved;
}

/** Boxes made square about their centers, the shorter side as long as the longer one. */
export function squared(boxes: Float32Array): Float32Array {
  const made = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length / 4; i++) {
    const [x1, y1, x2, y2] = boxAt(boxes, i);
    const [width, height] = [f(x2 - x1), f(y2 - y1)];
    const side = Math.max(width, height);
    const left = f(f(x1 + f(width * 0.5)) - f(side * 0.5));
    const top = f(f(y1 + f(height * 0.5)) - f(side * 0.5));
    made.set([left, top, f(left + side), f(top + side)], 4 * i);
  }
  return made;
}

/** The pixels of a window that lie in the image; undefined where there are none. */
export function pixelsOf(boxes: Float32Array, index: number, { width, height }: Size): ImagePart | undefined {
  const [x1, y1, x2, y2] = boxAt(boxes, index).map(Math.trunc) as [number, number, number, number];
  const [left, top] = [Math.max(x1, 1) - 1, Math.max(y1, 1) - 1];
  const part = { left, top, width: Math.min(x2, width) - left, height: Math.min(y2, height) - top };
  return part.width > 0 && part.height > 0 ? part : undefined;
}

/** x and y of each landmark of each window in pixels of the image, one after the other. */
export function landmarksInImage({ boxes, landmarks }: Windows): Float32Array | undefined {
  if (landmarks === undefined) return undefined;
  const count = boxes.length / 4;
  const points = landmarks.length / Math.max(1, count) / 2;
  const placed = new Float32Array(landmarks.length);
  for (let i = 0; i < count; i++) {
    const [x1, y1, x2, y2] = boxAt(boxes, i);
    const [width, height] = [f(f(x2 - x1) + 1), f(f(y2 - y1) + 1)];
    for (let point = 0; point < points; point++) {
      const x = landmarks[2 * points * i + point] ?? Number.NaN;
      const y = landmarks[2 * points * i + points + point] ?? Number.NaN;
      placed[2 * (points * i + point)] = f(f(f(width * x) + x1) - 1);
      placed[2 * (points * i + point) + 1] = f(f(f(height * y) + y1) - 1);
    }
  }
  return placed;
}

/**
 * Suppression by the intersection over the smaller area (called "Min" in the published code): from the best score down, a window is kept unless
 * one that was kept before shares more than the threshold of the smaller of the two. So of a face in a face one stays. Of equal scores the later
 * one comes first, as published.
 * @returns indices of those that are kept, from the best down
 */
export function suppressedWithin(
  boxes: Float32Array,
  scores: Float32Array,
  threshold: number,
): readonly number[] {
  const order = Array.from(scores, (_, i) => i)
    .filter((i) => !Number.isNaN(scores[i]) && boxAt(boxes, i).every(Number.isFinite))
    .sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || b - a);
  const kept: number[] = [];
  for (const i of order) if (!kept.some((other) => within(boxes, i, other) > threshold)) kept.push(i);
  return kept;
}

/** The area that two windows share, in parts of the smaller one. */
function within(boxes: Float32Array, a: number, b: number): number {
  const [first, second] = [boxAt(boxes, a), boxAt(boxes, b)];
  const side = (from: number, to: number): number => to - from + 1;
  const area = ([x1, y1, x2, y2]: typeof first): number => side(x1, x2) * side(y1, y2);
  const width = side(Math.max(first[0], second[0]), Math.min(first[2], second[2]));
  const height = side(Math.max(first[1], second[1]), Math.min(first[3], second[3]));
  return (Math.max(0, width) * Math.max(0, height)) / Math.min(area(first), area(second));
}
