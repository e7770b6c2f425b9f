import { Conv2d } from "../nn/convolution.ts";
import { Dropout } from "../nn/dropout.ts";
import { normal } from "../nn/initialisers.ts";
import { Linear } from "../nn/linear.ts";
import { concat, type Initialiser, split, stack, type Tensor } from "../tensor/index.ts";
import type { CellGrid } from "./anchors.ts";
import { ConvBlock } from "./backbone-block.ts";
import { featureRows } from "./feature-points.ts";

/** What a cell says, row by row. */
export interface YoloV1Outputs {
  /** For each predictor x and y in the cell (in cells) and √w and √h (shares of the image): [n, cells, predictors, 4]. */
  readonly codes: Tensor;
  /** Confidence of each predictor: Pr(object) · IoU, [n, cells, predictors]. */
  readonly confidence: Tensor;
  /** Probability of each class where there is an object, [n, cells, classes]. */
  readonly classes: Tensor;
}

export interface YoloV1HeadOptions {
  readonly channels: number;
  readonly predictors: number;
  readonly classes: number;
  readonly grid: CellGrid;
  /** Units of the hidden layer of a connected head; a head of convolutions unless told. */
  readonly hidden?: number;
}

/**
 * The last layers of YOLO (Redmon et al. 2016, section 2.1), linear at the end: connected ones as in the paper, which see the
 * whole image, or convolutions, whose cells have the same weights.
 */
export class YoloV1Head {
  readonly output: Conv2d | Linear;
  readonly hidden: ConvBlock | Linear;
  private readonly dropout = new Dropout(0.5);
  private readonly options: YoloV1HeadOptions;

  constructor(options: YoloV1HeadOptions) {
    const { channels, predictors, classes, grid, hidden } = options;
    const [cells, values] = [grid.rows * grid.columns, 5 * predictors + classes];
    const start = { initialiseWeight: normal(0.01), initialiseBias: firstOutputs(predictors, classes) };
    this.options = options;
    if (hidden === undefined) {
      this.hidden = new ConvBlock(channels, channels, 3);
      this.output = new Conv2d(channels, values, 1, start);
    } else {
      this.hidden = new Linear(cells * channels, hidden);
      this.output = new Linear(hidden, cells * values, start);
    }
  }

  /** The map of the grid → what its cells say. @throws ShapeError */
  forward(map: Tensor): YoloV1Outputs {
    const { predictors, classes, grid } = this.options;
    const cells = grid.rows * grid.columns;
    const n = map.shape[0] ?? 1;
    const rows = this.rows(map).reshape([n, cells, 5 * predictors + classes]);
    const [boxes = rows, own = rows] = split(rows, 2, [5 * predictors, classes]);
    const [codes = boxes, confidence = boxes] = split(boxes.reshape([n, cells, predictors, 5]), 3, [4, 1]);
    return { codes, confidence: confidence.squeeze(3), classes: own };
  }

  private rows(map: Tensor): Tensor {
    const { hidden, output } = this;
    if (hidden instanceof ConvBlock) return featureRows([output.forward(hidden.forward(map))]);
    const flat = map.reshape([map.shape[0] ?? 1, -1]);
    return output.forward(this.dropout.forward(hidden.forward(flat).leakyRelu(0.1)));
  }
}

/** First outputs: centres in the middle of cells, predictors of different sizes, small confidence, equal classes. */
function firstOutputs(predictors: number, classes: number): Initialiser {
  const boxes = Array.from({ length: predictors }, (_, i) => {
    const side = (i + 1) / (predictors + 1);
    return [0.5, 0.5, side, side, 0.1];
  });
  const values = [...boxes.flat(), ...new Array<number>(classes).fill(1 / classes)];
  return (target) => {
    for (let i = 0; i < target.length; i++) target[i] = values[i % values.length] ?? 0;
  };
}

/** The boxes that codes stand for: codes [..., 4] of cells whose corners (in cells) are [..., 2] → [..., 4] in pixels. */
export function boxesOfCodes(codes: Tensor, corners: Tensor, { rows, columns, stride }: CellGrid): Tensor {
  const axis = codes.rank - 1;
  const [places = codes, roots = codes] = split(codes, axis, 2);
  const centres = places.add(corners).mul(stride);
  const [width = roots, height = roots] = split(roots.square(), axis, 2);
  const half = concat([width.mul(columns * stride), height.mul(rows * stride)], axis).mul(0.5);
  return concat([centres.sub(half), centres.add(half)], axis);
}

/** Column and row of each cell, from the places of cells, [...] (int64) → [..., 2]. */
export function cornersOf(places: Tensor, { columns }: CellGrid): Tensor {
  const at = places.cast("float32");
  const row = at.div(columns).floor();
  return stack([at.sub(row.mul(columns)), row], places.rank);
}
