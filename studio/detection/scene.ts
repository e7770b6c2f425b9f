// The drawn scene: objects in an image of a few hundred pixels, as a detector would see it, and what moves them.

/** Edges of a box in pixels: left, top, right, bottom. */
export type Edges = readonly [x1: number, y1: number, x2: number, y2: number];

/** What is drawn; each kind is a class of its own. */
export const KINDS = ["house", "tree", "ball", "bird"] as const;
export type Kind = (typeof KINDS)[number];

export interface SceneObject {
  readonly kind: Kind;
  /** Whole pixels inside of the image. */
  readonly box: Edges;
}

/** Height and width of the image in pixels. */
export const IMAGE_SIDE = 320;

/** Objects of a scene at most. */
export const MOST_OBJECTS = 6;

/** Shortest side of an object in pixels. */
export const SHORTEST = 4;

/** A large and a tall object, two alike that overlap, and a small one. */
export const FIRST_SCENE: readonly SceneObject[] = [
  { kind: "house", box: [150, 78, 290, 222] },
  { kind: "tree", box: [30, 70, 110, 240] },
  { kind: "ball", box: [120, 240, 164, 284] },
  { kind: "ball", box: [138, 246, 182, 290] },
  { kind: "bird", box: [84, 24, 108, 40] },
];

const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));

/** The nearest box of whole pixels inside of the image, with sides that are long enough. Edges may be crossed. */
export function heldBox([x1, y1, x2, y2]: Edges): Edges {
  const along = (a: number, b: number): readonly [number, number] => {
    const low = clamp(Math.round(Math.min(a, b)), 0, IMAGE_SIDE - SHORTEST);
    return [low, clamp(Math.round(Math.max(a, b)), low + SHORTEST, IMAGE_SIDE)];
  };
  const [[left, right], [top, bottom]] = [along(x1, x2), along(y1, y2)];
  return [left, top, right, bottom];
}

/** A box moved, as far as the image goes; its sides stay as they are. */
export function moved([x1, y1, x2, y2]: Edges, dx: number, dy: number): Edges {
  const [right, down] = [
    clamp(Math.round(dx), -x1, IMAGE_SIDE - x2),
    clamp(Math.round(dy), -y1, IMAGE_SIDE - y2),
  ];
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** A box whose lower right corner is moved; it keeps its shortest sides. */
export function resized([x1, y1, x2, y2]: Edges, dx: number, dy: number): Edges {
  return [
    x1,
    y1,
    clamp(Math.round(x2 + dx), x1 + SHORTEST, IMAGE_SIDE),
    clamp(Math.round(y2 + dy), y1 + SHORTEST, IMAGE_SIDE),
  ];
}

/** A box of the same shape whose center is as near to a point as the image allows. */
export function centeredAt(box: Edges, x: number, y: number): Edges {
  return moved(box, x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2);
}

/** A box with other sides. Its upper left corner stays, but where it would leave the image. */
export function withSides([x1, y1]: Edges, width: number, height: number): Edges {
  const along = (from: number, side: number): readonly [number, number] => {
    const length = clamp(Math.round(side), SHORTEST, IMAGE_SIDE);
    const start = Math.min(from, IMAGE_SIDE - length);
    return [start, start + length];
  };
  const [[left, right], [top, bottom]] = [along(x1, width), along(y1, height)];
  return [left, top, right, bottom];
}

/** Corners of a box: left or right, top or bottom edge. */
export const CORNERS = [
  [0, 1],
  [2, 1],
  [2, 3],
  [0, 3],
] as const;
export type Corner = (typeof CORNERS)[number];

/** A box whose corner lies at a point; drawn over the opposite one, it turns over. */
export function withCorner(box: Edges, [horizontal, vertical]: Corner, x: number, y: number): Edges {
  const edges: [number, number, number, number] = [...box];
  edges[horizontal] = x;
  edges[vertical] = y;
  return heldBox(edges);
}

/** What lies under a point: a corner of the chosen object, or an object; the smallest, where several are there. */
export type Grip =
  | { readonly kind: "corner"; readonly object: number; readonly corner: Corner }
  | { readonly kind: "inside"; readonly object: number };

/** @param reach pixels around a corner that belong to it */
export function gripAt(
  objects: readonly SceneObject[],
  chosen: number,
  x: number,
  y: number,
  reach: number,
): Grip | undefined {
  const own = objects[chosen]?.box;
  const corner =
    own === undefined
      ? undefined
      : CORNERS.find(([h, v]) => Math.hypot(own[h] - x, own[v] - y) <= Math.min(reach, sideOf(own) / 2));
  if (corner !== undefined) return { kind: "corner", object: chosen, corner };
  const inside = objects
    .map(({ box }, object) => ({ box, object }))
    .filter(({ box: [x1, y1, x2, y2] }) => x >= x1 && x <= x2 && y >= y1 && y <= y2)
    .sort((a, b) => sideOf(a.box) - sideOf(b.box));
  const held = inside.find(({ object }) => object === chosen) ?? inside[0];
  return held && { kind: "inside", object: held.object };
}

function sideOf([x1, y1, x2, y2]: Edges): number {
  return Math.sqrt((x2 - x1) * (y2 - y1));
}

/** Sides of a new object, by its kind. */
const FIRST_SIDES: Readonly<Record<Kind, readonly [number, number]>> = {
  house: [96, 96],
  tree: [48, 96],
  ball: [36, 36],
  bird: [30, 20],
};

/** A new object, near the middle; each further one a little aside, so that it does not hide the one before. */
export function newObject(kind: Kind, before: number): SceneObject {
  const [width, height] = FIRST_SIDES[kind];
  const middle = IMAGE_SIDE / 2 + 14 * (before % 4) - 21;
  return {
    kind,
    box: heldBox([middle - width / 2, middle - height / 2, middle + width / 2, middle + height / 2]),
  };
}
