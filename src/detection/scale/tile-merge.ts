import { append } from "../../append.ts";
import { OptionError } from "../../errors.ts";
import { area, type Box, boxAt, enclosing, intersection, iou } from "../boxes/boxes.ts";
import { candidatesOf } from "../boxes/candidates.ts";
import { type Detections, pickDetections } from "../boxes/detections.ts";
import type { Tiling } from "./tile-options.ts";
import type { Tile } from "./tiles.ts";

// What was found in several tiles of an image as one set.

/** Intersection over the smaller area, 0 … 1; 0 where one of the boxes is empty. Of a box within another one it is 1. */
export function overSmaller(a: Box, b: Box): number {
  const shared = intersection(a, b);
  return shared === 0 ? 0 : shared / Math.min(area(a), area(b));
}

/** The finest cells are so many pixels wide at least. */
const FINEST = 8;

/** And at most this part of a tile's side: objects are much smaller than tiles, and those of a cell are compared one by one. */
const OF_TILE = 1 / 32;

/** Rows and columns of cells lie within ±2^20. */
const MOST_CELLS = 2 ** 20;

/** A cell as one number. Texts in its place take half of the time that merging takes. */
const cellKey = (row: number, column: number): number =>
  (row + MOST_CELLS) * 2 * MOST_CELLS + (column + MOST_CELLS);

/** A detection that stays. */
interface Kept {
  /** How many better ones stay. */
  readonly rank: number;
  /** Its number among all detections, and that of its tile. */
  readonly place: number;
  readonly tile: number;
  readonly label: number;
  /** The least score of one that it grows by. */
  readonly least: number;
  /** Its own box. */
  readonly own: Box;
  /** Where it grows, the smallest box around it and all that it has replaced. */
  hull: Box;
}

/**
 * Boxes by the cells of grids over an image. A box stands in the grid whose cells are as large as it is, each grid twice as coarse as the one
 * before: so it reaches into four cells at most, whatever its size.
 */
export class BoxCells<Entry extends { readonly rank: number; readonly own: Box }> {
  private readonly side: number;
  /** By level: cells of `side` · 2^level pixels. */
  private readonly levels = new Map<number, Map<number, Entry[]>>();
  private entries = 0;
  private visits = 0;

  /** @param side of the cells of the finest grid */
  constructor(side: number) {
    this.side = side;
  }

  /** Cells that boxes were entered into, all together. */
  get entered(): number {
    return this.entries;
  }

  /** Cells that were looked into for boxes nearby, all together. */
  get visited(): number {
    return this.visits;
  }

  /** Columns and rows of the cells of a level that a box reaches into. */
  private range([x1, y1, x2, y2]: Box, level: number) {
    const cell = (at: number): number => Math.floor(at / (this.side * 2 ** level));
    return { left: cell(x1), right: cell(x2), top: cell(y1), bottom: cell(y2) };
  }

  enter(entry: Entry): void {
    const [x1, y1, x2, y2] = entry.own;
    const longest = Math.max(x2 - x1, y2 - y1);
    let level = 0;
    while (longest > this.side * 2 ** level) level++;
    const cells = this.levels.get(level) ?? new Map<number, Entry[]>();
    this.levels.set(level, cells);
    const { left, right, top, bottom } = this.range(entry.own, level);
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const key = cellKey(row, column);
        append(cells, key, entry);
        this.entries++;
      }
    }
  }

  /** What is held in the cells that a box reaches into, cell by cell, of every level. No more cells are looked into than hold something. */
  private *near(box: Box): Generator<readonly Entry[]> {
    for (const [level, cells] of this.levels) {
      const { left, right, top, bottom } = this.range(box, level);
      if ((right - left + 1) * (bottom - top + 1) > cells.size) {
        this.visits += cells.size;
        yield* cells.values();
        continue;
      }
      for (let row = top; row <= bottom; row++) {
        for (let column = left; column <= right; column++) {
          this.visits++;
          const list = cells.get(cellKey(row, column));
          if (list !== undefined) yield list;
        }
      }
    }
  }

  /** The first of those near a box, in the order in which they were entered, that is accepted. */
  first(box: Box, accepts: (entry: Entry) => boolean): Entry | undefined {
    let best: Entry | undefined;
    for (const list of this.near(box)) {
      // Entries of a cell stand in their order, too.
      for (const entry of list) {
        if (best !== undefined && entry.rank >= best.rank) break;
        if (accepts(entry)) best = entry;
      }
    }
    return best;
  }
}

/** Sets one behind the other, and the set that each detection is of. Landmarks are kept where all sets have them. */
function joined(sets: readonly Detections[]): { readonly all: Detections; readonly tiles: Uint32Array } {
  const full = sets.flatMap((set, tile) => (set.scores.length > 0 ? [{ set, tile }] : []));
  const flat = (of: (set: Detections) => ArrayLike<number>): number[] =>
    full.flatMap(({ set }) => Array.from(of(set)));
  const isMarked = full.length > 0 && full.every(({ set }) => set.landmarks !== undefined);
  return {
    all: {
      boxes: Float64Array.from(flat(({ boxes }) => boxes)),
      scores: Float64Array.from(flat(({ scores }) => scores)),
      classes: Uint32Array.from(flat(({ classes }) => classes)),
      ...(isMarked && { landmarks: Float64Array.from(flat(({ landmarks = [] }) => landmarks)) }),
    },
    tiles: Uint32Array.from(full.flatMap(({ set, tile }) => Array.from(set.scores, () => tile))),
  };
}

/** A box as near to the edge of its tile as this part of the tile's side is cut off by it. */
const EDGE = 0.02;

/** What grows, grows by detections with at least this part of its own score: there is always a box that is unsure and far too large. */
const SURE = 0.5;

/** Whether a box ends at an edge of its tile behind which the image goes on; nothing cuts off what is found in the whole image. */
function cutOffTest(
  windows: readonly (Tile | undefined)[],
  side: number,
): (own: Box, tile: number) => boolean {
  const known = windows.filter((window) => window !== undefined);
  const right = known.reduce((most, { left, width }) => Math.max(most, left + width), 0);
  const bottom = known.reduce((most, { top, height }) => Math.max(most, top + height), 0);
  const near = EDGE * side;
  return ([x1, y1, x2, y2], tile) => {
    const window = windows[tile];
    if (window === undefined) return false;
    const { left, top, width, height } = window;
    return (
      (left > 0 && x1 <= left + near) ||
      (top > 0 && y1 <= top + near) ||
      (left + width < right && x2 >= left + width - near) ||
      (top + height < bottom && y2 >= top + height - near)
    );
  };
}

/**
 * What was found in the tiles of an image as one set, from the best down: a detection is replaced by the best one before it that overlaps with
 * it by at least the threshold. This is `GREEDYNMM` (`union`) and `NMS` of SAHI's own code, but for one thing: detections of the same class
 * of the same tile never replace each other, as they are freed of duplicates already. So an image of one tile has what its tile has.
 *
 * The overlap is the intersection over the union (`nms`), or over the smaller area (`ios`, `union`, `edges`): of an object that is cut by the edge of
 * a tile, the part that was found there lies in the whole that a neighbor has found, and their union says little of it.
 *
 * A detection grows to hold those that it replaces: all of them (`union`), or, where an edge of its tile cuts it off, those at least half as sure
 * (`edges`). Measures count detections of any score, and among these there is always one that is far too large: `union` then grows every box.
 * @param sets what was found in each tile, in pixels of the image
 * @param windows the tile of each set, undefined for the whole image; `edges` needs them
 * @throws OptionError where the arrays of a set do not belong together, or `edges` is not given the tile of each set
 */
export function mergeTiles(
  sets: readonly Detections[],
  { side, merge, threshold, acrossClasses }: Pick<Tiling, "side" | "merge" | "threshold" | "acrossClasses">,
  windows: readonly (Tile | undefined)[] = [],
): Detections {
  if (merge === "edges" && windows.length !== sets.length) {
    throw new OptionError(
      `mergeTiles: ${sets.length} sets have ${windows.length} tiles; edges needs that of each`,
    );
  }
  const { all, tiles } = joined(sets);
  const { places } = candidatesOf("tiles", all.boxes, all.scores, { classes: all.classes });
  const overlap = merge === "nms" ? iou : overSmaller;
  const isCutOff = cutOffTest(windows, side);
  const leastOf = (own: Box, tile: number, score: number): number => {
    if (merge === "union") return Number.NEGATIVE_INFINITY;
    return merge === "edges" && isCutOff(own, tile) ? SURE * score : Number.POSITIVE_INFINITY;
  };
  const cellsByClass = new Map<number, BoxCells<Kept>>();
  /** Where classes are apart, so are their cells. */
  const cellsOf = (label: number): BoxCells<Kept> => {
    const key = acrossClasses ? 0 : label;
    const known = cellsByClass.get(key) ?? new BoxCells<Kept>(Math.max(FINEST, side * OF_TILE));
    cellsByClass.set(key, known);
    return known;
  };
  const kept: Kept[] = [];
  for (const place of places) {
    const own = boxAt(all.boxes, place);
    const [tile = 0, label = 0, score = 0] = [tiles[place], all.classes[place], all.scores[place]];
    const replaces = (other: Kept): boolean => {
      const comparable = other.label === label ? other.tile !== tile : acrossClasses;
      if (!comparable) return false;
      const shared = overlap(other.own, own);
      return shared > 0 && shared >= threshold;
    };
    const cells = cellsOf(label);
    const better = cells.first(own, replaces);
    if (better === undefined) {
      const least = leastOf(own, tile, score);
      const stays: Kept = { rank: kept.length, place, tile, label, least, own, hull: own };
      kept.push(stays);
      cells.enter(stays);
    } else if (score >= better.least) better.hull = enclosing(better.hull, own);
  }
  const picked = pickDetections(
    all,
    kept.map(({ place }) => place),
  );
  return { ...picked, boxes: Float64Array.from(kept.flatMap(({ hull }) => hull)) };
}
