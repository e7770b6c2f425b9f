import { arange, split, stack, type Tensor, where } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";

/** What maps ought to hold, and where objects are in them. */
export interface CenterNetTargets {
  /** Heat of each class, [n, classes, rows, columns]: 1 at the cells of centres, falling off around them. */
  readonly heat: Tensor;
  /** The cell of each object's centre, row by row, [n, m] (int64). */
  readonly places: Tensor;
  /** Where in its cell the centre lies, x and y in cells, 0 … 1: [n, m, 2]. */
  readonly offsets: Tensor;
  /** Width and height in cells, [n, m, 2]. */
  readonly sizes: Tensor;
  /** 1 for an object, 0 for a row that is none, [n, m]. */
  readonly valid: Tensor;
}

/**
 * IoU with an object's box that a box whose corners lie within the radius has at least: 0.7 in the code of CornerNet and
 * CenterNet.
 */
const LEAST_OVERLAP = 0.7;

/**
 * How far both corners of a box may be moved so that the IoU with it stays above 0.7: the least of three cases (Law and Deng
 * 2018, "CornerNet", section 3.2), each the root of a quadratic equation. The moved box lies beside the old one, in it, or around
 * it.
 */
export function heatRadius(width: Tensor, height: Tensor, overlap = LEAST_OVERLAP): Tensor {
  const [sum, area] = [width.add(height), width.mul(height)];
  const root = (c: number): Tensor => sum.square().sub(area.mul(c)).relu().sqrt();
  // (w − r)(h − r) = 2 o / (1 + o) w h
  const beside = sum.sub(root((4 * (1 - overlap)) / (1 + overlap))).mul(1 / 2);
  // (w − 2r)(h − 2r) = o w h
  const inside = sum.sub(root(4 * (1 - overlap))).mul(1 / 4);
  // (w + 2r)(h + 2r) = w h / o
  const around = root(4 - 4 / overlap)
    .sub(sum)
    .mul(1 / 4);
  return beside.minimum(inside).minimum(around);
}

/**
 * The targets of CenterNet (Zhou et al. 2019, "Objects as points", section 3): around the cell of each object's centre a Gaussian
 * of deviation (2r + 1) / 6 within the radius r of `heatRadius`, rounded down; where those of a class overlap, the larger value.
 * @param boxes [n, m, 4] in pixels
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function heatTargets(
  boxes: Tensor,
  labels: Tensor,
  { rows, columns, stride }: CellGrid,
  classes: number,
): CenterNetTargets {
  const [x1 = boxes, y1 = boxes, x2 = boxes, y2 = boxes] = split(boxes.mul(1 / stride), 2, 4).map((side) =>
    side.squeeze(2),
  );
  const [x, y] = [x1.add(x2).mul(0.5), y1.add(y2).mul(0.5)];
  const [width, height] = [x2.sub(x1), y2.sub(y1)];
  const column = x.floor().clamp(0, columns - 1);
  const row = y.floor().clamp(0, rows - 1);
  const valid = labels.greaterEqual(0).cast("float32");

  const radius = heatRadius(width, height).floor().unsqueeze(2);
  const deviation = radius
    .mul(2)
    .add(1)
    .mul(1 / 6);
  const along = (centre: Tensor, length: number): Tensor => {
    const distance = arange(0, length, 1, "float32").sub(centre.unsqueeze(2));
    const bell = distance.div(deviation).square().mul(-0.5).exp();
    return where(distance.abs().lessEqual(radius), bell, 0);
  };
  const across = along(column, columns).unsqueeze(2);
  const down = along(row, rows);
  const heat = Array.from({ length: classes }, (_, label) => {
    const own = labels.equal(label).cast("float32").unsqueeze(2);
    return down.mul(own).unsqueeze(3).mul(across).max(1);
  });
  return {
    heat: stack(heat, 1),
    places: row.mul(columns).add(column).cast("int64"),
    offsets: stack([x.sub(column), y.sub(row)], 2),
    sizes: stack([width, height], 2),
    valid,
  };
}
