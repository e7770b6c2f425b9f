import { isRecord } from "../../../options.ts";
import type { RawBox } from "../check.ts";

// Boxes around what annotations outline: polygons, and masks in run lengths as COCO has them.

/** The box around points, x and y after each other in any number of lists; undefined where there are fewer than two points. */
export function boxAround(outlines: Iterable<readonly unknown[]>): RawBox | undefined {
  let [x1, y1, x2, y2, points] = [
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0,
  ];
  for (const outline of outlines) {
    for (let i = 0; i + 1 < outline.length; i += 2) {
      const [x, y] = [outline[i], outline[i + 1]];
      if (typeof x !== "number" || typeof y !== "number") return undefined;
      points++;
      [x1, y1, x2, y2] = [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x), Math.max(y2, y)];
    }
  }
  return points < 2 ? undefined : [x1, y1, x2, y2];
}

/** The most rows or columns of a mask. */
const MOST_SIDE = 100_000;

/** Run lengths of COCO's text form (its maskApi.c, rleFrString): groups of 5 bits, each after the second the difference to the last but one. */
function runsOfText(text: string): readonly number[] | undefined {
  const runs: number[] = [];
  for (let at = 0; at < text.length; ) {
    let [value, shift, more] = [0, 0, true];
    while (more) {
      const code = text.charCodeAt(at++) - 48;
      if (!(code >= 0 && code < 64) || shift > 30) return undefined;
      value |= (code & 0x1f) << shift;
      more = (code & 0x20) !== 0;
      shift += 5;
      if (!more && (code & 0x10) !== 0) value |= -1 << shift;
    }
    runs.push(runs.length > 2 ? value + (runs.at(-2) ?? 0) : value);
  }
  return runs;
}

/**
 * The box around a mask `{ size: [height, width], counts }`: run lengths of zeros and ones in turn, column after column, as numbers or as
 * COCO's text. Undefined where it is no such mask, or has no ones.
 */
export function boxOfMask(mask: unknown): RawBox | undefined {
  if (!isRecord(mask) || !Array.isArray(mask.size)) return undefined;
  const [height, width] = mask.size;
  const isSide = (side: unknown): side is number =>
    typeof side === "number" && Number.isInteger(side) && side > 0 && side <= MOST_SIDE;
  if (!isSide(height) || !isSide(width)) return undefined;
  const runs: readonly unknown[] | undefined =
    typeof mask.counts === "string"
      ? runsOfText(mask.counts)
      : Array.isArray(mask.counts)
        ? mask.counts
        : undefined;
  if (runs === undefined) return undefined;
  let [x1, y1, x2, y2, at] = [width, height, 0, 0, 0];
  for (const [i, run] of runs.entries()) {
    if (typeof run !== "number" || !(run >= 0) || at + run > height * width) return undefined;
    if (i % 2 === 1 && run > 0) {
      const [from, to] = [Math.floor(at / height), Math.floor((at + run - 1) / height)];
      const whole = to > from;
      x1 = Math.min(x1, from);
      x2 = Math.max(x2, to + 1);
      y1 = Math.min(y1, whole ? 0 : at % height);
      y2 = Math.max(y2, whole ? height : ((at + run - 1) % height) + 1);
    }
    at += run;
  }
  return x2 > x1 && y2 > y1 ? [x1, y1, x2, y2] : undefined;
}

/** The box around one that is turned by an angle in degrees, clockwise on the screen, about a point. */
export function turnedBox(
  [x1, y1, x2, y2]: RawBox,
  angle: number,
  [cx, cy]: readonly [x: number, y: number],
): RawBox {
  if (!(Math.abs(angle) > 0)) return [x1, y1, x2, y2];
  const [cos, sin] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const corners = [x1, x2].flatMap((x) =>
    [y1, y2].map(
      (y) => [cx + cos * (x - cx) - sin * (y - cy), cy + sin * (x - cx) + cos * (y - cy)] as const,
    ),
  );
  return boxAround(corners) ?? [x1, y1, x2, y2];
}
