// Boxes of a photo: where they are on the screen, and what pointer and keys make of them. Pure functions.

/** Left, top, right and bottom edge, in pixels of the photo. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** How a photo lies in its frame: screen = photo · scale + (x, y). */
export interface View {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** Scales between which one zooms: at the last, a pixel of the photo is a square that is easily seen. */
const LEAST_SCALE = 0.02;
export const MOST_SCALE = 40;

/** The view in which all of a photo is seen; small ones are enlarged. */
export function fitted(photo: Size, frame: Size): View {
  const scale = Math.max(LEAST_SCALE, Math.min(8, frame.width / photo.width, frame.height / photo.height));
  return {
    scale,
    x: (frame.width - photo.width * scale) / 2,
    y: (frame.height - photo.height * scale) / 2,
  };
}

/** A view that is `factor` times as large, with a point of the screen where it is. */
export function zoomed({ scale, x, y }: View, factor: number, at: readonly [number, number]): View {
  const larger = Math.max(LEAST_SCALE, Math.min(MOST_SCALE, scale * factor));
  const share = larger / scale;
  return { scale: larger, x: at[0] - (at[0] - x) * share, y: at[1] - (at[1] - y) * share };
}

/** A view moved so that a part of the photo stays in the frame. */
export function heldIn({ scale, x, y }: View, photo: Size, frame: Size): View {
  const hold = (at: number, side: number, room: number): number => {
    const least = Math.min(60, side * scale);
    return Math.max(least - side * scale, Math.min(room - least, at));
  };
  return { scale, x: hold(x, photo.width, frame.width), y: hold(y, photo.height, frame.height) };
}

/** A point of the screen as one of the photo. */
export function toPhoto({ scale, x, y }: View, at: readonly [number, number]): readonly [number, number] {
  return [(at[0] - x) / scale, (at[1] - y) / scale];
}

const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));

/** A box from one point to another, with edges on whole pixels within the photo; undefined where it has no area. */
export function boxBetween(
  a: readonly [number, number],
  b: readonly [number, number],
  { width, height }: Size,
): Box | undefined {
  const x = [a[0], b[0]].map((value) => clamp(Math.round(value), 0, width)) as [number, number];
  const y = [a[1], b[1]].map((value) => clamp(Math.round(value), 0, height)) as [number, number];
  const box: Box = [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
  return box[2] > box[0] && box[3] > box[1] ? box : undefined;
}

/** Edges that a handle moves: −1 left or top, 1 right or bottom, 0 neither. */
export type Handle = readonly [horizontal: -1 | 0 | 1, vertical: -1 | 0 | 1];

export const HANDLES: readonly Handle[] = [
  [-1, -1],
  [0, -1],
  [1, -1],
  [1, 0],
  [1, 1],
  [0, 1],
  [-1, 1],
  [-1, 0],
];

/** Where a handle of a box is, in the photo. */
export function handleAt([x1, y1, x2, y2]: Box, [h, v]: Handle): readonly [number, number] {
  const of = (side: -1 | 0 | 1, from: number, to: number): number =>
    side < 0 ? from : side > 0 ? to : (from + to) / 2;
  return [of(h, x1, x2), of(v, y1, y2)];
}

/** The handle of a box that is near a point of the photo. @param reach in pixels of the photo */
export function handleNear(box: Box, at: readonly [number, number], reach: number): Handle | undefined {
  let [nearest, best]: [Handle | undefined, number] = [undefined, reach];
  for (const handle of HANDLES) {
    const [x, y] = handleAt(box, handle);
    const far = Math.max(Math.abs(x - at[0]), Math.abs(y - at[1]));
    if (far <= best) [nearest, best] = [handle, far];
  }
  return nearest;
}

/** A box of which a handle was moved to a point; the edges do not pass each other. */
export function resized(
  box: Box,
  [h, v]: Handle,
  to: readonly [number, number],
  { width, height }: Size,
): Box {
  const [x1, y1, x2, y2] = box;
  const [x, y] = [Math.round(to[0]), Math.round(to[1])];
  return [
    h < 0 ? clamp(x, 0, x2 - 1) : x1,
    v < 0 ? clamp(y, 0, y2 - 1) : y1,
    h > 0 ? clamp(x, x1 + 1, width) : x2,
    v > 0 ? clamp(y, y1 + 1, height) : y2,
  ];
}

/** A box moved within the photo. */
export function shifted([x1, y1, x2, y2]: Box, by: readonly [number, number], { width, height }: Size): Box {
  // What reaches beyond the photo already is not pulled in.
  const dx = clamp(by[0], Math.min(0, -x1), Math.max(0, width - x2));
  const dy = clamp(by[1], Math.min(0, -y1), Math.max(0, height - y2));
  return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
}

/** A box whose right and bottom edges were moved; it keeps a pixel. */
export function stretched(
  [x1, y1, x2, y2]: Box,
  by: readonly [number, number],
  { width, height }: Size,
): Box {
  const edge = (from: number, to: number, most: number): number =>
    clamp(to, from + 1, Math.max(to - 1, most));
  return [
    x1,
    y1,
    by[0] === 0 ? x2 : edge(x1, x2 + by[0], width),
    by[1] === 0 ? y2 : edge(y1, y2 + by[1], height),
  ];
}

export const areaOf = ([x1, y1, x2, y2]: Box): number => (x2 - x1) * (y2 - y1);

const holds = ([x1, y1, x2, y2]: Box, [x, y]: readonly [number, number], reach: number): boolean =>
  x >= x1 - reach && x <= x2 + reach && y >= y1 - reach && y <= y2 + reach;

/** The smallest box under a point: one that lies in another one can be chosen, too. */
export function smallestAt<M extends { readonly box: Box }>(
  marks: readonly M[],
  at: readonly [number, number],
  reach: number,
): M | undefined {
  return marks
    .filter(({ box }) => holds(box, at, reach))
    .toSorted((a, b) => areaOf(a.box) - areaOf(b.box))[0];
}

/** Intersection over union. */
export function overlap(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / (areaOf(a) + areaOf(b) - shared);
}

/** A box for an object that is marked by keys: in the middle of what is seen, a quarter as wide. */
export function middleBox(view: View, photo: Size, frame: Size): Box {
  const from = toPhoto(view, [0, 0]);
  const to = toPhoto(view, [frame.width, frame.height]);
  const side = (axis: 0 | 1, most: number): readonly [number, number] => {
    const [least, last] = [clamp(from[axis], 0, most), clamp(to[axis], 0, most)];
    const half = Math.max(1, Math.round((last - least) / 8));
    const middle = clamp(Math.round((least + last) / 2), Math.min(half, most), Math.max(half, most - half));
    return [Math.max(0, middle - half), Math.min(most, middle + half)];
  };
  const [x1, x2] = side(0, photo.width);
  const [y1, y2] = side(1, photo.height);
  return [x1, y1, x2, y2];
}

/** Coordinates x, y, x, y … that go with a box as it is moved and stretched. */
export function along(numbers: readonly number[], from: Box, to: Box): readonly number[] {
  return numbers.map((value, i) => {
    const axis = i % 2 === 0 ? 0 : 1;
    const side = from[axis + 2 === 2 ? 2 : 3] - from[axis];
    const other = to[axis === 0 ? 2 : 3] - to[axis];
    return side > 0 ? to[axis] + ((value - from[axis]) / side) * other : value - from[axis] + to[axis];
  });
}
