import { ShapeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { finite, quantile, sorted } from "./statistics.ts";

/** A square part of the plane. */
export interface Frame {
  readonly x: readonly [low: number, high: number];
  readonly y: readonly [low: number, high: number];
}

export type Point = readonly [x: number, y: number];

/** Points of the plane that a model drew, and points of the data to compare them with, both `[count, 2]`. */
export interface PointSets {
  readonly data?: NdArray<"float32">;
  readonly samples: NdArray<"float32">;
}

/**
 * The rows of `[count, 2]` as points.
 * @throws ShapeError where the array has another shape.
 */
export function pointsOf(array: NdArray<"float32">, name: string): Point[] {
  if (array.shape.length !== 2 || array.shape[1] !== 2) {
    throw new ShapeError(`scatter plot: ${name} have shape [${array.shape}]; it must be [count, 2]`);
  }
  const { data } = array;
  return Array.from({ length: data.length / 2 }, (_, i) => [
    data[2 * i] ?? Number.NaN,
    data[2 * i + 1] ?? Number.NaN,
  ]);
}

/**
 * A square frame, with the same unit length on both axes, around the points with a margin. The farthest two in a
 * thousand points on each side do not count, so that one stray sample does not shrink everything else.
 */
export function squareFrame(points: readonly Point[]): Frame {
  const extent = (axis: 0 | 1): readonly [number, number] => {
    const values = sorted(finite(points.map((point) => point[axis])));
    return values.length === 0 ? [-1, 1] : [quantile(values, 0.002), quantile(values, 0.998)];
  };
  const [x, y] = [extent(0), extent(1)];
  const half = 0.55 * (Math.max(x[1] - x[0], y[1] - y[0]) || 1);
  const around = ([low, high]: readonly [number, number]): readonly [number, number] => [
    (low + high) / 2 - half,
    (low + high) / 2 + half,
  ];
  return { x: around(x), y: around(y) };
}

/** Whether a point lies within the frame; a point that is not finite does not. */
export function within(frame: Frame, [x, y]: Point): boolean {
  return x >= frame.x[0] && x <= frame.x[1] && y >= frame.y[0] && y <= frame.y[1];
}

/** Both sets as points, and the frame to draw them in. */
export function placePoints({ data, samples }: PointSets): {
  readonly data: readonly Point[];
  readonly samples: readonly Point[];
  readonly frame: Frame;
} {
  const points = {
    data: data === undefined ? [] : pointsOf(data, "data"),
    samples: pointsOf(samples, "samples"),
  };
  // Where there is data it alone sets the frame: pictures of one run are then comparable, however wild the samples.
  return { ...points, frame: squareFrame(data === undefined ? points.samples : points.data) };
}
