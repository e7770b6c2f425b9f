import { concat, oneHot, split, type Tensor } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { firstAtPlace } from "./assignment.ts";
import { boxOverlap } from "./box-losses.ts";

/** Which cell answers for each object, and what it ought to say. */
export interface CellTargets {
  /** The cell of the object's centre, row by row, [n, m] (int64). */
  readonly places: Tensor;
  /** 1 for an object that its cell answers for, 0 for other rows, [n, m]. */
  readonly weights: Tensor;
  /** Centre in its cell, in cells (0 … 1), and the square roots of width and height as shares of the image: [n, m, 4]. */
  readonly codes: Tensor;
}

/**
 * The assignment of YOLO (Redmon et al. 2016, section 2): the cell in which an object's centre falls answers for it. A cell has
 * one class, so that of several objects the first counts.
 * @param boxes [n, m, 4]
 * @param labels [n, m] (int64), −1 where a row is no object
 */
export function assignCells(boxes: Tensor, labels: Tensor, grid: CellGrid): CellTargets {
  const { rows, columns, stride } = grid;
  const [x1 = boxes, y1 = boxes, x2 = boxes, y2 = boxes] = split(boxes, 2, 4).map((side) => side.squeeze(2));
  const [x, y] = [x1.add(x2).mul(0.5 / stride), y1.add(y2).mul(0.5 / stride)];
  const column = x.floor().clamp(0, columns - 1);
  const row = y.floor().clamp(0, rows - 1);
  const places = row.mul(columns).add(column).cast("int64");
  const sides = [x2.sub(x1).mul(1 / (columns * stride)), y2.sub(y1).mul(1 / (rows * stride))];
  const codes = [x.sub(column), y.sub(row), ...sides.map((side) => side.sqrt())];
  return {
    places,
    weights: firstAtPlace(places, labels),
    codes: concat(
      codes.map((code) => code.unsqueeze(2)),
      2,
    ),
  };
}

/**
 * Which predictor of a cell is responsible (section 2.2): the one whose box has the largest IoU with the object's; where none
 * touches it, the one whose edges are nearest, as in the authors' code. Boxes [n, m, predictors, 4], truth [n, m, 4] → [n, m,
 * predictors], a 1 and zeros.
 */
export function responsible(boxes: Tensor, truth: Tensor): { readonly mask: Tensor; readonly iou: Tensor } {
  const object = truth.unsqueeze(2);
  const iou = boxOverlap(boxes, object);
  const apart = boxes.sub(object).square().sum(3);
  const rank = iou.sub(apart.mul(iou.lessEqual(0).cast("float32")));
  return { mask: oneHot(rank.argMax(2), Number(boxes.shape[2])), iou };
}
