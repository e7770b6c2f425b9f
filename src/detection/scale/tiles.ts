import type { Box, Size } from "../boxes/boxes.ts";
import { gridPositions } from "./chips.ts";

// Images in overlapping tiles (Akyon, Altinuc and Temizel 2022, "Slicing aided hyper inference and fine-tuning for small object detection",
// SAHI, arXiv:2202.06934). All coordinates here are pixels of the image as it is.

/** How images are cut into tiles. */
export interface TileCut {
  /** Height and width of a tile, in pixels of the image. */
  readonly side: number;
  /** Share of its side that a tile has in common with its neighbor, 0 … 0.9. */
  readonly overlap: number;
}

/** A part of an image, in whole pixels: `side` × `side`, or less where the image is smaller. */
export interface Tile extends Size {
  readonly left: number;
  readonly top: number;
}

/** The tiles of an image, row by row from the top left. */
export interface TileGrid {
  readonly count: number;
  /** Left edges of the columns and top edges of the rows. */
  readonly columns: readonly number[];
  readonly rows: readonly number[];
  /** Tile `index`. @throws RangeError where there is no such tile */
  at(index: number): Tile;
  /** The numbers of all tiles that a box of positive area reaches into, in order. */
  touched(box: Box): readonly number[];
}

/** Pixels that neighboring tiles share at the least: an object that is no larger lies whole in a tile, wherever it is. */
export function sharedPixels({ side, overlap }: TileCut): number {
  return Math.min(side - 1, Math.round(side * overlap));
}

/**
 * The tiles of an image: every `side` − `sharedPixels` pixels along each axis, the last one shifted inward so that it is flush with the
 * border. They cover every pixel. An image that is smaller than a tile along an axis has one tile there, which is as small.
 *
 * Each object whose sides are at most `sharedPixels` lies whole in at least one tile: tile k of an axis covers k · step … k · step + side, and
 * an object that begins in k · step … (k + 1) · step ends before (k + 1) · step + `sharedPixels`, where that tile ends.
 */
export function tileGrid({ width, height }: Size, cut: TileCut): TileGrid {
  const { side } = cut;
  const step = side - sharedPixels(cut);
  const columns = gridPositions(width, side, step);
  const rows = gridPositions(height, side, step);
  const count = columns.length * rows.length;
  return {
    count,
    columns,
    rows,
    at(index) {
      const [left, top] = [columns[index % columns.length], rows[Math.floor(index / columns.length)]];
      if (left === undefined || top === undefined || index < 0) {
        throw new RangeError(`tile ${index} asked of an image that has ${count}`);
      }
      return { left, top, width: Math.min(side, width), height: Math.min(side, height) };
    },
    touched([x1, y1, x2, y2]) {
      const across = between(columns, x1 - side, x2);
      const down = between(rows, y1 - side, y2);
      const found: number[] = [];
      for (let row = down.first; row < down.end; row++) {
        for (let column = across.first; column < across.end; column++) {
          found.push(row * columns.length + column);
        }
      }
      return found;
    },
  };
}

/** Which of the sorted positions lie above `low` and below `high`. */
function between(
  positions: readonly number[],
  low: number,
  high: number,
): { readonly first: number; readonly end: number } {
  const countBelow = (isBelow: (at: number) => boolean): number => {
    let [from, to] = [0, positions.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (isBelow(positions[middle] ?? Number.POSITIVE_INFINITY)) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  return { first: countBelow((at) => at <= low), end: countBelow((at) => at < high) };
}
