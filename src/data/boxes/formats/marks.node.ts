import { createHash } from "node:crypto";
import { append } from "../../../append.ts";
import type { PixelSize, RawBox, RawObject } from "../check.ts";

// Objects of a photo as they are edited: what a file holds besides goes along with them, and comes back as it was.

/** An object of a photo, and what its file has for it. */
export interface Mark {
  readonly class: string;
  /** In pixels. */
  readonly box: RawBox;
  readonly difficult: boolean;
  readonly crowd: boolean;
  /** Outlines, x and y of each corner in pixels, where the file has some. They move with the box. */
  readonly outlines?: readonly (readonly number[])[];
  /** What the file has for it; absent for a new one. All that is not edited stays as it stands there. */
  readonly kept?: string | undefined;
}

/** What annotations hold of a photo. */
export interface PhotoMarks {
  /** Whether annotations have the photo, be it without objects. */
  readonly isMarked: boolean;
  readonly marks: readonly Mark[];
  /** Entries that are no boxes of known classes: they are not shown, and stay as they are. */
  readonly hidden: number;
  /** Changes with all that annotations hold of the photo. */
  readonly version: string;
}

/** The version of a photo that annotations do not have. */
export const UNMARKED = "none";

/** The version of what a file holds of a photo. */
export function versionOf(...texts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(`${text.length} ${text}`);
  return hash.digest("base64url").slice(0, 22);
}

/** Boxes that differ by less, in pixels, differ by rounding alone. */
const ROUNDING = 1e-4;

/** Whether two boxes are the same, but for rounding. */
export function isSameBox(a: RawBox, b: RawBox): boolean {
  return a.every((edge, side) => Math.abs(edge - (b[side] ?? Number.NaN)) < ROUNDING);
}

/** Whether nothing of an object was edited. */
export function isSameMark(a: Mark, b: Mark): boolean {
  return a.class === b.class && a.difficult === b.difficult && a.crowd === b.crowd && isSameBox(a.box, b.box);
}

/** Coordinates x, y, x, y … that go with a box: they are moved and stretched as it was. */
export function moved(numbers: readonly number[], from: RawBox, to: RawBox): number[] {
  return numbers.map((value, i) => {
    const axis = i % 2;
    const [a = 0, b = 0] = [from[axis], from[axis + 2]];
    const [c = 0, d = 0] = [to[axis], to[axis + 2]];
    return b > a ? c + ((value - a) / (b - a)) * (d - c) : value - a + c;
  });
}

/** An object that can be shown as a mark; undefined where its box is none. */
export function markOf(
  { class: name, box, unit, difficult = false, crowd = false }: RawObject,
  className: string | undefined,
  { width, height }: PixelSize,
): Omit<Mark, "kept" | "outlines"> | undefined {
  const [x1, y1, x2, y2] = box;
  if (className === undefined || !box.every(Number.isFinite) || x2 <= x1 || y2 <= y1) return undefined;
  const pixels: RawBox = unit === "pixels" ? box : [x1 * width, y1 * height, x2 * width, y2 * height];
  return { class: typeof name === "string" ? name : className, box: pixels, difficult, crowd };
}

/**
 * Which of the entries that a photo has are kept, changed or gone, and which marks are new: a mark belongs to the entry that it came from.
 * @param shown entries that are shown, with their texts and marks
 * @returns for each entry its mark, undefined where it was deleted; and the marks that belong to none
 */
export function paired<E extends { readonly text: string }>(
  shown: readonly E[],
  marks: readonly Mark[],
): { readonly held: ReadonlyMap<E, Mark>; readonly added: readonly Mark[] } {
  const free = new Map<string, E[]>();
  for (const entry of shown) append(free, entry.text, entry);
  const held = new Map<E, Mark>();
  const added: Mark[] = [];
  for (const mark of marks) {
    const entry = mark.kept === undefined ? undefined : free.get(mark.kept)?.shift();
    if (entry === undefined) added.push(mark);
    else held.set(entry, mark);
  }
  return { held, added };
}
