import { OptionError } from "../../errors.ts";
import {
  type CandidateOptions,
  type Candidates,
  candidatesOf,
  checkShare,
  classMembers,
} from "./candidates.ts";

/** Fewest boxes for which a grid is worth its making. */
const WORTHWHILE = 64;

/** Most cells along an axis, and most levels of area. */
const FINEST = 96;
const MOST_LEVELS = 32;

/** Below this threshold a box may suppress others so far away that the grid would be one cell. */
const LEAST_THRESHOLD = 0.05;

/** Numbers of a kept box: its edges and its area. */
const STRIDE = 8;

/** How one axis is divided into cells. */
interface Axis {
  readonly low: number;
  readonly cells: number;
  readonly perPixel: number;
}

/**
 * The boxes that a suppression has kept so far, arranged so that a candidate meets few of those that cannot suppress it: in
 * cells over the plane, and within a cell by levels of area.
 *
 * Two boxes with IoU > t share more than t of the area of either and more than t of the width of either. So their areas differ
 * by less than the factor 1/t, which is the step from one level to the next; and for widths w and w′ the centers lie less
 * than (w + w′) / 2 − t · max(w, w′) apart: at most (1 − t) w for w′ ≤ w, and w/2 + w′ (½ − t) for w′ > w, of which the
 * largest value is that for w′ = w where t ≥ ½ and that for w′ = w / t elsewhere. A kept box is entered in all cells
 * where the center of a box can lie that it suppresses; a candidate looks in the cell of its own center.
 */
class SuppressionGrid {
  private readonly threshold: number;
  private readonly byDistance: boolean;
  /** How far from its center a kept box suppresses, in widths and heights of its own. */
  private readonly reach: number;
  private readonly horizontal: Axis;
  private readonly vertical: Axis;
  private readonly smallestArea: number;
  private readonly levelsPerLog: number;
  private readonly levels: number;
  /** The latest entry of each level of each cell, −1 where there is none. */
  private readonly heads: Int32Array;
  /** Of each entry the kept box, and the entry before it in the same level and cell. */
  private items: Int32Array;
  private earlier: Int32Array;
  private entries = 0;
  private readonly kept: Float64Array;
  private count = 0;

  /**
   * @param members which of the candidates take part
   * @param byDistance whether DIoU is compared with the threshold; it is at most the IoU, so that all of the above holds
   */
  constructor(candidates: Candidates, members: Uint32Array, threshold: number, byDistance: boolean) {
    const { x1, y1, x2, y2, areas } = candidates;
    this.threshold = threshold;
    this.byDistance = byDistance;
    // A little more than what the bounds above give, for the rounding of centers and logarithms.
    this.reach = 1e-6 + Math.max(1 - threshold, (1 / threshold - 1) / 2);
    const usable = members.length >= WORTHWHILE && threshold >= LEAST_THRESHOLD;
    const finest = usable ? Math.min(FINEST, Math.ceil(Math.sqrt(members.length))) : 1;
    this.horizontal = divide(x1, x2, members, this.reach, finest);
    this.vertical = divide(y1, y2, members, this.reach, finest);
    let [smallest, largest] = [Infinity, 0];
    for (const i of members) {
      const area = areas[i] ?? 0;
      if (area > 0 && area < smallest) smallest = area;
      if (area > largest) largest = area;
    }
    this.smallestArea = smallest;
    this.levelsPerLog = 1 / (1e-6 + Math.log(Math.max(1.25, 1 / threshold)));
    const spread = largest > 0 ? Math.log(largest / smallest) * this.levelsPerLog : 0;
    this.levels = usable ? Math.min(MOST_LEVELS, 1 + Math.floor(spread)) : 1;
    this.heads = new Int32Array(this.horizontal.cells * this.vertical.cells * this.levels).fill(-1);
    this.items = new Int32Array(2 * members.length);
    this.earlier = new Int32Array(2 * members.length);
    this.kept = new Float64Array(STRIDE * members.length);
  }

  /** Whether a kept box suppresses this one. Kept as plain loads and comparisons: this is where the time goes. */
  suppresses(x1: number, y1: number, x2: number, y2: number, area: number): boolean {
    const { threshold, kept, items, earlier, heads, levels } = this;
    const least = threshold * (1 - 1e-9);
    const level = this.level(area);
    const cell =
      (place((y1 + y2) / 2, this.vertical) * this.horizontal.cells + place((x1 + x2) / 2, this.horizontal)) *
      levels;
    const last = cell + Math.min(level + 1, levels - 1);
    for (let list = cell + Math.max(level - 1, 0); list <= last; list++) {
      for (let entry = heads[list] ?? -1; entry >= 0; entry = earlier[entry] ?? -1) {
        const at = items[entry] ?? 0;
        const left = kept[at] ?? 0;
        const top = kept[at + 1] ?? 0;
        const right = kept[at + 2] ?? 0;
        const bottom = kept[at + 3] ?? 0;
        const width = Math.min(x2, right) - Math.max(x1, left);
        const height = Math.min(y2, bottom) - Math.max(y1, top);
        const shared = width * height;
        const union = area + (kept[at + 4] ?? 0) - shared;
        // One test that hardly ever passes, and nothing else to branch on: twice as fast as a test of each side first.
        if (!(shared > least * union)) continue;
        if (width <= 0 || height <= 0 || shared / union <= threshold) continue;
        if (!this.byDistance) return true;
        const dx = (x1 + x2 - left - right) / 2;
        const dy = (y1 + y2 - top - bottom) / 2;
        const hullWidth = Math.max(x2, right) - Math.min(x1, left);
        const hullHeight = Math.max(y2, bottom) - Math.min(y1, top);
        const penalty = (dx ** 2 + dy ** 2) / (hullWidth ** 2 + hullHeight ** 2);
        if (shared / union - penalty > threshold) return true;
      }
    }
    return false;
  }

  /** Keeps a box. */
  enter(x1: number, y1: number, x2: number, y2: number, area: number): void {
    const { horizontal, vertical, levels, reach } = this;
    const at = STRIDE * this.count++;
    this.kept[at] = x1;
    this.kept[at + 1] = y1;
    this.kept[at + 2] = x2;
    this.kept[at + 3] = y2;
    this.kept[at + 4] = area;
    const level = this.level(area);
    const left = place((x1 + x2) / 2 - reach * (x2 - x1), horizontal);
    const right = place((x1 + x2) / 2 + reach * (x2 - x1), horizontal);
    const top = place((y1 + y2) / 2 - reach * (y2 - y1), vertical);
    const bottom = place((y1 + y2) / 2 + reach * (y2 - y1), vertical);
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        if (this.entries === this.items.length) {
          this.items = doubled(this.items);
          this.earlier = doubled(this.earlier);
        }
        const list = (row * horizontal.cells + column) * levels + level;
        this.items[this.entries] = at;
        this.earlier[this.entries] = this.heads[list] ?? -1;
        this.heads[list] = this.entries++;
      }
    }
  }

  private level(area: number): number {
    if (this.levels === 1) return 0;
    const level = Math.floor(Math.log(area / this.smallestArea) * this.levelsPerLog);
    return level < 0 ? 0 : level < this.levels ? level : this.levels - 1;
  }
}

/** Cells half as wide as a box reaches to one side. */
function divide(
  from: Float64Array,
  to: Float64Array,
  members: Uint32Array,
  reach: number,
  finest: number,
): Axis {
  let [first, last, sizes] = [Infinity, -Infinity, 0];
  for (const i of members) {
    const [low, high] = [from[i] ?? 0, to[i] ?? 0];
    const center = (low + high) / 2;
    if (center < first) first = center;
    if (center > last) last = center;
    sizes += Math.max(0, high - low);
  }
  const cell = Math.max((last - first) / finest, 0.5 * reach * (sizes / members.length));
  const cells = cell > 0 && finest > 1 ? Math.min(finest, Math.ceil((last - first) / cell)) : 1;
  return { low: first, cells, perPixel: cells > 1 ? cells / (last - first) : 0 };
}

/** The cell of a coordinate, or the outermost one for what lies beyond. */
function place(coordinate: number, { low, cells, perPixel }: Axis): number {
  const cell = Math.floor((coordinate - low) * perPixel);
  return cell < 0 ? 0 : cell < cells ? cell : cells - 1;
}

function doubled(values: Int32Array): Int32Array {
  const longer = new Int32Array(2 * values.length);
  longer.set(values);
  return longer;
}

export interface NmsOptions extends CandidateOptions {
  /** A box is suppressed by a better one that it overlaps with by more than this, 0 … 1; default: ½. */
  readonly threshold?: number;
  /**
   * What is compared with the threshold: the IoU, or the DIoU (Zheng et al. 2020, "Distance-IoU loss", equation 13), which
   * spares boxes whose centers lie apart, as those of one object behind another do. Default: `iou`.
   */
  readonly overlap?: "iou" | "diou";
  /** Most boxes to keep; default: all. */
  readonly maximum?: number;
}

/**
 * Non-maximum suppression: from the best score down, a box is kept unless it overlaps with one kept before by more than the
 * threshold. Over all boxes together (class-agnostic), or within each class where `classes` are given.
 *
 * Of boxes with equal scores the first comes first. A box whose score is NaN, or with a coordinate that is not finite, is never
 * kept. An empty box overlaps with nothing and is kept. A grid spares most comparisons: 10,000 boxes take some milliseconds.
 * @param boxes four numbers a box, [x1, y1, x2, y2]
 * @returns indices of the kept boxes, from the best score down
 * @throws OptionError where the arrays do not belong together or an option is not acceptable
 */
export function nms(
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: NmsOptions = {},
): Uint32Array {
  const { threshold = 0.5, overlap = "iou", maximum = Infinity } = options;
  checkShare("nms", "threshold", threshold);
  if (!(maximum >= 0)) throw new OptionError(`nms: maximum ${maximum} must be a number of boxes, 0 or more`);
  const candidates = candidatesOf("nms", boxes, scores, options);
  const { x1, y1, x2, y2, areas, places } = candidates;
  const keeps = new Uint8Array(candidates.count);
  for (const members of classMembers(candidates, options.classes)) {
    const grid = new SuppressionGrid(candidates, members, threshold, overlap === "diou");
    let kept = 0;
    for (const i of members) {
      if (kept >= maximum) break;
      const [left, top, right, bottom, area] = [
        x1[i] ?? 0,
        y1[i] ?? 0,
        x2[i] ?? 0,
        y2[i] ?? 0,
        areas[i] ?? 0,
      ];
      if (grid.suppresses(left, top, right, bottom, area)) continue;
      grid.enter(left, top, right, bottom, area);
      keeps[i] = 1;
      kept++;
    }
  }
  return places.filter((_, i) => keeps[i] === 1).slice(0, Math.min(maximum, candidates.count));
}
