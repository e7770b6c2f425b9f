import type { Box, Size } from "../boxes/boxes.ts";

// Parts of scaled images that are worth training on (Singh, Najibi and Davis 2018, "SNIPER: Efficient multi-scale training", section 3).
// All coordinates here are pixels of the image at the chip's scale.

/** A square part of a scaled image. */
export interface Chip {
  /** Its top left corner, in whole pixels. It lies in the image, unless that is smaller: then it begins at its corner. */
  readonly left: number;
  readonly top: number;
  /** The smallest box around the objects that it was chosen for; undefined for one of background. */
  readonly hull: Box | undefined;
}

/** Chips of an image at a scale, and which of the boxes lie in none. */
export interface CoveringChips {
  readonly chips: readonly Chip[];
  /** Indices of boxes that no chip of the grid holds wholly: they are too large. */
  readonly uncovered: readonly number[];
}

/** The positions along an axis: every `step` pixels, and the last one flush with the border. */
export function gridPositions(length: number, side: number, step: number): readonly number[] {
  const last = Math.max(0, Math.ceil(length) - side);
  const positions: number[] = [];
  for (let at = 0; at < last; at += step) positions.push(at);
  return [...positions, last];
}

/** The distance of neighboring chips of the grid: 32 pixels for chips of 512, as in the paper. */
export function gridStep(side: number): number {
  return Math.max(1, Math.round(side / 16));
}

/** Indices of the sorted positions at which a chip holds all from `low` to `high`. */
function holding(
  positions: readonly number[],
  side: number,
  low: number,
  high: number,
): readonly [first: number, end: number] {
  let first = positions.findIndex((at) => at + side >= high);
  if (first === -1) first = positions.length;
  let end = first;
  while (end < positions.length && (positions[end] ?? Number.POSITIVE_INFINITY) <= low) end++;
  return [first, end];
}

const around = (a: Box | undefined, b: Box): Box =>
  a === undefined
    ? b
    : [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];

/** Boxes by the chips of a grid that hold them wholly. */
interface Candidates {
  readonly columns: readonly number[];
  readonly rows: readonly number[];
  /** Indices of boxes by row · columns + column, of those chips alone that hold one. */
  readonly held: Map<number, Set<number>>;
  readonly uncovered: readonly number[];
}

function candidatesOf(
  boxes: readonly Box[],
  { width, height }: Size,
  side: number,
  step: number,
): Candidates {
  const columns = gridPositions(width, side, step);
  const rows = gridPositions(height, side, step);
  const held = new Map<number, Set<number>>();
  const uncovered: number[] = [];
  for (const [i, [x1, y1, x2, y2]] of boxes.entries()) {
    const [left, right] = holding(columns, side, x1, x2);
    const [top, bottom] = holding(rows, side, y1, y2);
    if (left === right || top === bottom) uncovered.push(i);
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const key = row * columns.length + column;
        const own = held.get(key) ?? new Set();
        held.set(key, own.add(i));
      }
    }
  }
  return { columns, rows, held, uncovered };
}

/**
 * Chips that hold boxes, by greedy set cover (section 3.1): of all chips of a grid the one that wholly holds most boxes that none before
 * holds, of equal ones the topmost, then the leftmost; again, until every box that fits into a chip of the grid is in one. One whose sides
 * are at most `side` − `step` always fits. Greedy takes at most 1 + ln n times as many chips as there must be for n boxes.
 * @param boxes within the image, in its pixels at that scale
 * @param size of the image at that scale
 * @param side of the chips
 * @param step of the grid; default: a sixteenth of the side
 * @param least boxes that a chip must hold beside those that others hold; default: 1
 */
export function coverByChips(
  boxes: readonly Box[],
  size: Size,
  side: number,
  step: number = gridStep(side),
  least = 1,
): CoveringChips {
  const { columns, rows, held, uncovered } = candidatesOf(boxes, size, side, step);
  // In the order of the rows, so that of equal chips the first is found.
  const candidates = [...held].sort(([a], [b]) => a - b).map(([key, own]) => ({ key, left: new Set(own) }));
  const chips: Chip[] = [];
  for (;;) {
    let best: (typeof candidates)[number] | undefined;
    for (const candidate of candidates) {
      if (candidate.left.size > (best?.left.size ?? least - 1)) best = candidate;
    }
    if (best === undefined) break;
    const taken = [...best.left];
    let hull: Box | undefined;
    for (const i of held.get(best.key) ?? []) {
      const box = boxes[i];
      if (box !== undefined) hull = around(hull, box);
    }
    const column = best.key % columns.length;
    chips.push({
      left: columns[column] ?? 0,
      top: rows[(best.key - column) / columns.length] ?? 0,
      hull,
    });
    for (const candidate of candidates) for (const i of taken) candidate.left.delete(i);
  }
  return { chips, uncovered };
}

/** Whether a chip wholly holds a box. */
export function holds(
  { left, top }: Pick<Chip, "left" | "top">,
  side: number,
  [x1, y1, x2, y2]: Box,
): boolean {
  return x1 >= left && y1 >= top && x2 <= left + side && y2 <= top + side;
}

/**
 * Chips of what a detector takes for objects where there are none: a cover of the proposals that no positive chip holds, of chips that hold
 * at least `least` of them (section 3.2).
 * @param proposals boxes that a detector proposes, within the image, of sizes that are valid at the scale
 * @param positive chips that are trained on anyway
 */
export function negativeChips(
  proposals: readonly Box[],
  positive: readonly Chip[],
  size: Size,
  side: number,
  least: number,
): readonly Chip[] {
  const left = proposals.filter((box) => !positive.some((chip) => holds(chip, side, box)));
  return coverByChips(left, size, side, gridStep(side), least).chips.map((chip) => ({
    ...chip,
    hull: undefined,
  }));
}

/** Where a chip may lie, so that it still holds the boxes that it was chosen for and lies in the image. */
export interface ChipRoom {
  readonly left: readonly [least: number, most: number];
  readonly top: readonly [least: number, most: number];
}

/** Room in which a chip can be moved: none for one without objects. */
export function chipRoom({ left, top, hull }: Chip, { width, height }: Size, side: number): ChipRoom {
  if (hull === undefined) return { left: [left, left], top: [top, top] };
  const along = (at: number, low: number, high: number, length: number): readonly [number, number] => {
    const last = Math.max(0, Math.ceil(length) - side);
    return [Math.min(at, Math.max(0, Math.ceil(high - side))), Math.max(at, Math.min(last, Math.floor(low)))];
  };
  return { left: along(left, hull[0], hull[2], width), top: along(top, hull[1], hull[3], height) };
}
