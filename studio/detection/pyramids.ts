import { inRange, objectSize, type ValidRange } from "eidos/detection/scale";
import { MAP_STRIDE, SCALES } from "./scales.ts";
import type { Edges } from "./scene.ts";

// An object under an image pyramid and a feature pyramid: how large it is in cells, and who looks for it.

/** An object as it is seen at a scale of the picture, or on a map. */
export interface Seen {
  readonly scale: number;
  readonly stride: number;
  /** √(width · height) in pixels of the scaled picture. */
  readonly size: number;
  /** The same in cells. */
  readonly cells: number;
  /** Whether it is looked for here: in the valid range of the scale, or by a location of the map. */
  readonly counts: boolean;
}

/** The object at each scale. */
export function atScales(box: Edges, range: ValidRange): readonly Seen[] {
  return SCALES.map((scale) => {
    const size = scale * objectSize(box);
    return { scale, stride: MAP_STRIDE, size, cells: size / MAP_STRIDE, counts: inRange(size, range) };
  });
}

/** The object on maps of several strides. @param positives locations of each map that are assigned to it */
export function onMaps(
  box: Edges,
  strides: readonly number[],
  positives: readonly number[],
): readonly Seen[] {
  const size = objectSize(box);
  return strides.map((stride, i) => ({
    scale: 1,
    stride,
    size,
    cells: size / stride,
    counts: (positives[i] ?? 0) > 0,
  }));
}

/** An object under both pyramids. */
export interface Pyramids {
  readonly image: readonly Seen[];
  readonly feature: readonly Seen[];
}
