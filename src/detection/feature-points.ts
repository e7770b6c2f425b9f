import { concat, constant, float32, type Tensor } from "../tensor/index.ts";
import { type CellGrid, cellCentres } from "./anchors.ts";
import type { FeatureLevel } from "./backbone.ts";
import type { Size } from "./box-formats.ts";

/** The places of all maps of a detector, map by map, row by row, as constants. */
export interface FeaturePoints {
  readonly count: number;
  /** x and y of the centre of each place's cell in pixels of the image, [count, 2]. */
  readonly centres: Tensor;
  /** Side of each place's cell in pixels, [count, 1]. */
  readonly strides: Tensor;
}

/** The grid of places that each level has over an image; cells at the right and lower border may reach beyond it. */
export function levelGrids({ width, height }: Size, levels: readonly FeatureLevel[]): readonly CellGrid[] {
  return levels.map(({ stride }) => ({
    rows: Math.ceil(height / stride),
    columns: Math.ceil(width / stride),
    stride,
  }));
}

/** The places of grids. */
export function featurePoints(grids: readonly CellGrid[]): FeaturePoints {
  const centres = grids.map(cellCentres);
  const strides = grids.flatMap(({ rows, columns, stride }) =>
    new Array<number>(rows * columns).fill(stride),
  );
  const count = strides.length;
  return {
    count,
    centres: constant(float32(Float32Array.from(centres.flatMap((level) => [...level])), [count, 2])),
    strides: constant(float32(strides, [count, 1])),
  };
}

/** Maps [n, C, H, W] of several levels as rows [n, places, C], in the order of `featurePoints`. @throws ShapeError */
export function featureRows(maps: readonly Tensor[]): Tensor {
  const rows = maps.map((map) => {
    const [n = 1, channels = 1, height, width] = map.shape;
    return map.reshape([n, channels, Number(height) * Number(width)]).transpose();
  });
  return concat(rows, 1);
}
