import { OptionError } from "../../errors.ts";
import { countNumbers } from "../../memory.ts";
import { Random } from "../../random.ts";
import type { Size } from "./boxes.ts";
import { boxAt, boxCount } from "./boxes.ts";

/** A grid of cells over an image, one for each location of a feature map. */
export interface CellGrid {
  readonly rows: number;
  readonly columns: number;
  /** Side of a cell in pixels of the image. */
  readonly stride: number;
}

/**
 * Where anchors of a cell stand: around its center, or around its upper left corner with edges rounded to whole pixels, as torchvision's
 * do.
 */
export type AnchorOrigin = "center" | "corner";

/** Where what a location predicts is relative to: the center of its cell, or the upper left corner, as in torchvision. */
export interface CellOrigin {
  /** Default: `center`. */
  readonly origin?: AnchorOrigin;
  /**
   * Size of the image. Where a stride does not divide it, torchvision's corners are ⌊side / cells⌋ apart; default: they are a stride apart.
   */
  readonly image?: Size;
}

/** The shape of an anchor, and how densely such anchors stand. */
export interface AnchorShape extends Size {
  /**
   * In each cell stand `tiles` × `tiles` anchors of this shape, evenly spread over it (Zhang et al. 2017, "FaceBoxes", section 3.3);
   * default: 1, in its middle.
   */
  readonly tiles?: number;
}

/** A grid with anchors of the same shapes in each cell. */
export interface AnchorGrid extends CellGrid, CellOrigin {
  readonly shapes: readonly AnchorShape[];
}

/** The anchors of one level among those of all. */
export interface AnchorLevel {
  readonly count: number;
  /** Anchors of each of its cells. */
  readonly perCell: number;
  /** Side of a cell in pixels of the image. */
  readonly stride: number;
}

/**
 * Shapes of anchors: for each ratio height / width (outer) and each size (inner) the rectangle of area size² with that ratio, as in
 * Faster R-CNN.
 */
export function anchorShapes(sizes: readonly number[], ratios: readonly number[]): readonly Size[] {
  return ratios.flatMap((ratio) =>
    sizes.map((size) => ({ width: size / Math.sqrt(ratio), height: size * Math.sqrt(ratio) })),
  );
}

/** How many anchors of given shapes stand in a cell. */
function anchorsPerCell(shapes: readonly AnchorShape[]): number {
  return shapes.reduce((sum, { tiles = 1 }) => sum + tiles ** 2, 0);
}

/** The anchors of a cell, each with its distance from the middle. */
function tiledShapes(
  shapes: readonly AnchorShape[],
  stride: number,
): readonly (Size & { readonly dx: number; readonly dy: number })[] {
  return shapes.flatMap(({ width, height, tiles = 1 }) =>
    Array.from({ length: tiles ** 2 }, (_, i) => {
      const along = (place: number): number => ((place + 0.5) / tiles - 0.5) * stride;
      return { width, height, dx: along(i % tiles), dy: along(Math.floor(i / tiles)) };
    }),
  );
}

/** Centers of the cells, x and y one after another, row by row: ((column + ½) stride, (row + ½) stride). */
export function cellCenters({ rows, columns, stride }: CellGrid): Float32Array {
  const centers = new Float32Array(2 * rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 2 * (row * columns + column);
      centers[at] = (column + 0.5) * stride;
      centers[at + 1] = (row + 0.5) * stride;
    }
  }
  return centers;
}

/** The points of the cells that predictions are relative to, x and y one after another, row by row. */
export function cellPoints(grid: CellGrid, { origin = "center", image }: CellOrigin): Float32Array {
  if (origin === "center") return cellCenters(grid);
  const { rows, columns, stride } = grid;
  const [dx, dy] =
    image === undefined
      ? [stride, stride]
      : [Math.floor(image.width / columns), Math.floor(image.height / rows)];
  return Float32Array.from({ length: 2 * rows * columns }, (_, i) => {
    const cell = Math.floor(i / 2);
    return i % 2 === 0 ? (cell % columns) * dx : Math.floor(cell / columns) * dy;
  });
}

/** Half a side, to the nearest whole number, halves to even. */
function wholeHalf(side: number): number {
  const half = side / 2;
  const low = Math.floor(half);
  return half - low === 0.5 ? low + (low % 2) : Math.round(half);
}

/**
 * Anchors as boxes around the centers of the cells, or their corners: row by row, column by column, shape by shape, and of a shape that
 * stands several times in a cell again row by row.
 */
export function anchorGrid(grid: AnchorGrid): Float32Array {
  const corner = grid.origin === "corner";
  const centers = cellPoints(grid, grid);
  const shapes = tiledShapes(grid.shapes, grid.stride).map(({ width, height, dx, dy }) =>
    corner
      ? { width: 2 * wholeHalf(width), height: 2 * wholeHalf(height), dx, dy }
      : { width, height, dx, dy },
  );
  const boxes = new Float32Array(2 * centers.length * shapes.length);
  for (let cell = 0; cell < centers.length / 2; cell++) {
    const [left, top] = [centers[2 * cell] ?? 0, centers[2 * cell + 1] ?? 0];
    for (const [s, { width, height, dx, dy }] of shapes.entries()) {
      const [x, y] = [left + dx, top + dy];
      boxes.set(
        [x - width / 2, y - height / 2, x + width / 2, y + height / 2],
        4 * (cell * shapes.length + s),
      );
    }
  }
  return boxes;
}

/** Anchors of several levels, one level after another, each with the stride of its cells. */
export function anchorLevels(grids: readonly AnchorGrid[]): {
  readonly boxes: Float32Array;
  readonly strides: Float32Array;
  readonly levels: readonly AnchorLevel[];
} {
  const levels = grids.map(({ rows, columns, stride, shapes }): AnchorLevel => {
    const perCell = anchorsPerCell(shapes);
    return { count: rows * columns * perCell, perCell, stride };
  });
  const count = levels.reduce((sum, level) => sum + level.count, 0);
  countNumbers("anchors", 4 * count);
  const [boxes, strides] = [new Float32Array(4 * count), new Float32Array(count)];
  let at = 0;
  for (const grid of grids) {
    const own = anchorGrid(grid);
    boxes.set(own, 4 * at);
    strides.fill(grid.stride, at, at + own.length / 4);
    at += own.length / 4;
  }
  return { boxes, strides, levels };
}

export interface AnchorClusterOptions {
  /** Decides the first anchors; default: 0. */
  readonly seed?: number;
  /** Most rounds of assignment and update; default: 300. */
  readonly iterations?: number;
}

/** Shapes that stand for those of many boxes. */
export interface AnchorClusters {
  /** From the smallest area up. */
  readonly shapes: readonly Size[];
  /** Mean over the boxes of the IoU with the best of the shapes, centers put together. */
  readonly meanIou: number;
}

/**
 * Anchors from the boxes of a data set (Redmon and Farhadi 2017, "YOLO9000", section 2): k-means over widths and heights with the
 * distance 1 − IoU, of boxes whose centers are put together, so that large boxes do not count for more. A cluster's shape is the mean
 * of its boxes. The first shapes are drawn as in k-means++. As the mean need not minimize this distance, the best
 * round is kept.
 * @param boxes four numbers a box, in pixels of the network's input
 * @throws OptionError where a box is empty, or there are fewer different shapes than anchors
 */
export function clusterAnchors(
  boxes: ArrayLike<number>,
  count: number,
  { seed = 0, iterations = 300 }: AnchorClusterOptions = {},
): AnchorClusters {
  const sizes = Array.from({ length: boxCount(boxes) }, (_, i): Size => {
    const [x1, y1, x2, y2] = boxAt(boxes, i);
    if (!(x2 > x1 && y2 > y1)) {
      throw new OptionError(`clusterAnchors: box ${i}, [${boxAt(boxes, i)}], is empty; it has no shape`);
    }
    return { width: x2 - x1, height: y2 - y1 };
  });
  const different = new Set(sizes.map(({ width, height }) => `${width}×${height}`)).size;
  if (!Number.isInteger(count) || count < 1 || count > different) {
    throw new OptionError(
      `clusterAnchors: ${count} anchors cannot be made of ${sizes.length} boxes with ${different} different shapes`,
    );
  }
  let shapes = firstShapes(sizes, count, new Random(seed));
  let best: AnchorClusters = { shapes, meanIou: 0 };
  let before = "";
  for (let round = 0; round < iterations; round++) {
    const nearest = sizes.map((size) => nearestShape(size, shapes));
    const meanIou = nearest.reduce((sum, { iou }) => sum + iou, 0) / sizes.length;
    if (meanIou > best.meanIou) best = { shapes, meanIou };
    const assignment = nearest.map(({ index }) => index).join();
    if (assignment === before) break;
    before = assignment;
    shapes = shapes.map((shape, index) => {
      const own = sizes.filter((_, i) => nearest[i]?.index === index);
      return own.length === 0 ? shape : meanSize(own);
    });
  }
  const area = ({ width, height }: Size) => width * height;
  return { shapes: best.shapes.toSorted((a, b) => area(a) - area(b)), meanIou: best.meanIou };
}

function meanSize(sizes: readonly Size[]): Size {
  const mean = (value: (size: Size) => number) =>
    sizes.reduce((sum, size) => sum + value(size), 0) / sizes.length;
  return { width: mean(({ width }) => width), height: mean(({ height }) => height) };
}

/** IoU of two boxes with a common center. */
function shapeIou(a: Size, b: Size): number {
  const shared = Math.min(a.width, b.width) * Math.min(a.height, b.height);
  return shared / (a.width * a.height + b.width * b.height - shared);
}

function nearestShape(size: Size, shapes: readonly Size[]): { readonly index: number; readonly iou: number } {
  let [index, iou] = [0, -1];
  for (const [i, shape] of shapes.entries()) {
    const overlap = shapeIou(size, shape);
    if (overlap > iou) [index, iou] = [i, overlap];
  }
  return { index, iou };
}

/** Shapes of boxes, each drawn with a probability that grows with the squared distance from those drawn before. */
function firstShapes(sizes: readonly Size[], count: number, random: Random): readonly Size[] {
  const first = sizes[random.integer(sizes.length)];
  const shapes = first === undefined ? [] : [first];
  while (shapes.length < count) {
    const weights = sizes.map((size) => (1 - nearestShape(size, shapes).iou) ** 2);
    let left = random.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
    // Rounding may leave something behind the last weight: then it is the farthest box.
    const farthest = weights.indexOf(Math.max(...weights));
    const drawn = weights.findIndex((weight) => {
      left -= weight;
      return left < 0 && weight > 0;
    });
    const size = sizes[drawn < 0 ? farthest : drawn];
    if (size === undefined) break;
    shapes.push(size);
  }
  return shapes;
}
