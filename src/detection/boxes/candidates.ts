import { append } from "../../append.ts";
import { OptionError } from "../../errors.ts";
import { boxCount } from "./boxes.ts";

/** Boxes that take part in a suppression, in columns, from the best score down. */
export interface Candidates {
  readonly count: number;
  /** Where each stands among the boxes given. */
  readonly places: Uint32Array;
  readonly x1: Float64Array;
  readonly y1: Float64Array;
  readonly x2: Float64Array;
  readonly y2: Float64Array;
  readonly areas: Float64Array;
  readonly scores: Float64Array;
}

/** What takes part. */
export interface CandidateOptions {
  /** Class of each box: boxes of different classes do not touch each other. Default: all are of one class. */
  readonly classes?: ArrayLike<number>;
  /** Boxes of a lower score are left out from the start. Default: all take part. */
  readonly minimumScore?: number;
}

/**
 * Candidates from the highest score down, equal scores in the order in which they stand. A box whose score is NaN, or with a
 * coordinate that is not finite, is none.
 * @param name of the function, for errors
 * @throws OptionError where the arrays do not belong together
 */
export function candidatesOf(
  name: string,
  boxes: ArrayLike<number>,
  scores: ArrayLike<number>,
  { classes, minimumScore = -Infinity }: CandidateOptions,
): Candidates {
  const total = boxCount(boxes);
  if (scores.length !== total || (classes !== undefined && classes.length !== total)) {
    const labels = classes === undefined ? "" : ` and ${classes.length} classes`;
    throw new OptionError(`${name}: ${total} boxes, ${scores.length} scores${labels} do not belong together`);
  }
  const ranked = Float64Array.from(scores);
  const usable = (i: number) => {
    const at = 4 * i;
    // Of a NaN or an infinity among the edges something is left in the sum.
    const sum = (boxes[at] ?? 0) + (boxes[at + 1] ?? 0) + (boxes[at + 2] ?? 0) + (boxes[at + 3] ?? 0);
    return (ranked[i] ?? 0) >= minimumScore && Number.isFinite(sum);
  };
  const usables = new Uint32Array(total);
  let count = 0;
  for (let i = 0; i < total; i++) if (usable(i)) usables[count++] = i;
  const places = usables.slice(0, count).sort((a, b) => (ranked[b] ?? 0) - (ranked[a] ?? 0) || a - b);
  const columns = {
    x1: new Float64Array(count),
    y1: new Float64Array(count),
    x2: new Float64Array(count),
    y2: new Float64Array(count),
    areas: new Float64Array(count),
    scores: new Float64Array(count),
  };
  for (let i = 0; i < count; i++) {
    const place = places[i] ?? 0;
    const x1 = boxes[4 * place] ?? 0;
    const y1 = boxes[4 * place + 1] ?? 0;
    const x2 = boxes[4 * place + 2] ?? 0;
    const y2 = boxes[4 * place + 3] ?? 0;
    columns.x1[i] = x1;
    columns.y1[i] = y1;
    columns.x2[i] = x2;
    columns.y2[i] = y2;
    columns.areas[i] = Math.max(0, x2 - x1) * Math.max(0, y2 - y1);
    columns.scores[i] = ranked[place] ?? 0;
  }
  return { count, places, ...columns };
}

/** Numbers of the candidates of each class, from the best score down; one list where no classes are given. */
export function classMembers(
  { count, places }: Candidates,
  classes: ArrayLike<number> | undefined,
): readonly Uint32Array[] {
  if (classes === undefined) return [Uint32Array.from({ length: count }, (_, i) => i)];
  const members = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const label = classes[places[i] ?? 0] ?? 0;
    append(members, label, i);
  }
  return [...members.values()].map((list) => Uint32Array.from(list));
}

/** @throws OptionError where an option is not in 0 … 1 */
export function checkShare(name: string, option: string, value: number): void {
  if (!(value >= 0 && value <= 1)) throw new OptionError(`${name}: ${option} ${value} must lie in 0 … 1`);
}
