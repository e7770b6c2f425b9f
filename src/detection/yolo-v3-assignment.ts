import { argMax, constant, float32, matmul, oneHot, split, stack, type Tensor } from "../tensor/index.ts";
import type { AnchorGrid } from "./anchors.ts";
import { firstAtPlace } from "./assignment.ts";

/** Which anchor answers for each object, and what it ought to say. */
export interface AnchorTargets {
  /** The anchor among all k of all levels, [n, m] (int64). */
  readonly places: Tensor;
  /** 1 for an object that an anchor answers for, 0 for other rows, [n, m]. */
  readonly weights: Tensor;
  /** Centre in its cell, in cells (0 … 1), and log(w / anchor's), log(h / anchor's): [n, m, 4]. */
  readonly codes: Tensor;
}

/** Smallest side in pixels that is encoded: rows that are no objects have none. */
const LEAST_SIDE = 1e-3;

/**
 * The assignment of YOLOv2 and v3 (Redmon and Farhadi 2018, "YOLOv3", section 2.1): the anchor whose shape has the largest IoU
 * with the object's, centres put together, of all anchors of all levels, in the cell with the object's centre. Of several objects
 * with the same anchor in the same cell the first counts.
 * @param levels with anchors of as many shapes each, in the order of the head's rows
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignAnchors(boxes: Tensor, labels: Tensor, levels: readonly AnchorGrid[]): AnchorTargets {
  const shapes = levels.flatMap((level) => level.shapes);
  const column = (values: readonly number[]): Tensor => constant(float32(values, [values.length]));
  const [x1 = boxes, y1 = boxes, x2 = boxes, y2 = boxes] = split(boxes, 2, 4);
  const [width, height] = [x2.sub(x1), y2.sub(y1)];
  const [widths, heights] = [column(shapes.map((s) => s.width)), column(shapes.map((s) => s.height))];
  const shared = width.minimum(widths).mul(height.minimum(heights));
  const union = width.mul(height).add(widths.mul(heights)).sub(shared);
  const best = oneHot(argMax(shared.div(union), 2), shapes.length);

  // What belongs to the best anchor: its sides, and its level's stride, size and first row.
  let before = 0;
  const anchors = levels.flatMap((level) => {
    const first = before;
    before += level.rows * level.columns * level.shapes.length;
    return level.shapes.map((shape, i) => ({
      ...level,
      ...shape,
      each: level.shapes.length,
      row: first + i,
    }));
  });
  const flat = (value: Tensor): Tensor => value.squeeze(2);
  const fact = (name: "width" | "height" | "stride" | "rows" | "columns" | "each" | "row"): Tensor => {
    const values = anchors.map((anchor) => anchor[name]);
    return flat(matmul(best, constant(float32(values, [values.length, 1]))));
  };
  const stride = fact("stride");
  const x = flat(x1.add(x2)).mul(0.5).div(stride);
  const y = flat(y1.add(y2)).mul(0.5).div(stride);
  const cellX = x.floor().maximum(0).minimum(fact("columns").sub(1));
  const cellY = y.floor().maximum(0).minimum(fact("rows").sub(1));
  const places = cellY.mul(fact("columns")).add(cellX).mul(fact("each")).add(fact("row")).cast("int64");
  const ratio = (side: Tensor, anchor: Tensor): Tensor => flat(side).maximum(LEAST_SIDE).div(anchor).log();
  const codes = stack(
    [x.sub(cellX), y.sub(cellY), ratio(width, fact("width")), ratio(height, fact("height"))],
    2,
  );
  return { places, weights: firstAtPlace(places, labels), codes };
}
