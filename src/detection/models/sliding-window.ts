import { z } from "zod";
import { scaledChannels } from "../../backbones/backbone.ts";
import { MOST, positiveAmount, ratio, share } from "../../bounds.ts";
import type { SymbolicDetectionBatch } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import { showCount } from "../../memory.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { constant as constantly, kaimingNormal, normal } from "../../nn/initializers.ts";
import { dimAt, shapeError, sizeAt } from "../../tensor/graph.ts";
import { averagePool2d, broadcastTo, pad, resizeBilinear } from "../../tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  logicalAnd,
  logicalNot,
  oneHot,
  slice,
  type Tensor,
  topK,
  where,
} from "../../tensor/index.ts";
import type { Size } from "../boxes/boxes.ts";
import { assignByOverlap, sparing } from "../loss/anchor-assignment.ts";
import {
  centersOf,
  checkThresholds,
  type ObjectRows,
  outsideRegions,
  overlapsInvalid,
} from "../loss/assignment.ts";
import { atLeastOne } from "../loss/losses.ts";
import { imageSize } from "../network/feature-network.ts";
import { SIZE_UNIT } from "../scale/training-sizes.ts";
import {
  type Decoded,
  type DetectionInfo,
  type Detector,
  defineDetector,
  exportedDetector,
} from "./detector.ts";

/** Pixels between neighboring windows of a level of the pyramid. */
const STRIDE = 4;

/** Grey of the padding around a level, in bytes. */
const GREY = 114;

/** Channels of the layers for width 1. */
const CHANNELS = [16, 16, 32] as const;

/** Most windows of an image: those of a pyramid that begins with 4096 × 4096 pixels are 1.4 million, with an octave of two levels 2.1. */
const MOST_WINDOWS = 2 ** 22;

/** Most negatives of an image that are learnt from, at least and at most. */
const [FEWEST_NEGATIVES, MOST_NEGATIVES] = [8, 512] as const;

/**
 * A classifier of windows: a picture of window × window pixels becomes logits of the classes and of background. No layer pads, so that over
 * a larger picture it gives the logits of every window, 4 pixels apart, just as if each had been cut out (Sermanet et al. 2014, "OverFeat",
 * section 3.5).
 */
class WindowClassifier {
  readonly stem: Conv2d;
  readonly second: Conv2d;
  readonly blocks: readonly Conv2d[];
  readonly hidden: Conv2d;
  readonly output: Conv2d;

  /** @throws OptionError where the window is too small for so many layers */
  constructor(window: number, classes: number, width: number, depth: number) {
    const [first, second, third] = CHANNELS.map((channels) => scaledChannels(channels, width)) as [
      number,
      number,
      number,
    ];
    const blocks = Math.max(1, Math.round(2 * depth));
    // 4 × 4 and 3 × 3 at stride 2, then 3 × 3 at stride 1.
    const left = window / STRIDE - 1 - 2 * blocks;
    if (left < 1) {
      throw new OptionError(
        `option window: ${window} pixels are too few for ${blocks} blocks; take ${STRIDE * (2 + 2 * blocks)} or more, or a smaller depth`,
      );
    }
    const start = { initializeWeight: kaimingNormal() };
    this.stem = new Conv2d(3, first, 4, { stride: 2, ...start });
    this.second = new Conv2d(first, second, 3, { stride: 2, ...start });
    this.blocks = Array.from(
      { length: blocks },
      (_, i) => new Conv2d(i === 0 ? second : third, third, 3, { ...start }),
    );
    this.hidden = new Conv2d(third, third, left, start);
    this.output = new Conv2d(third, classes + 1, 1, {
      initializeWeight: normal(0.01),
      initializeBias: constantly(0),
    });
  }

  /** [n, 3, h, w] around 0 → logits of each window, background last: [n, classes + 1, (h − window) / 4 + 1, …]. @throws ShapeError */
  forward(x: Tensor): Tensor {
    const layers = [this.stem, this.second, ...this.blocks, this.hidden];
    return this.output.forward(layers.reduce((h, layer) => layer.forward(h).relu(), x));
  }
}

/** A level of the pyramid: how large the picture is there, and its windows. */
interface PyramidLevel {
  readonly size: Size;
  /** How often the picture is halved before it is resized, so that fine detail is averaged and does not alias. */
  readonly halvings: number;
  /** What windows of the level stand for, row by row: boxes of objects in pixels of the image. */
  readonly boxes: readonly number[];
}

export const slidingWindowOptions = z.strictObject({
  window: z
    .int()
    .min(12)
    .max(128)
    .multipleOf(STRIDE)
    .default(32)
    .describe("height and width in pixels of the windows that the network classifies, a multiple of 4"),
  fill: z
    .number()
    .min(0.25)
    .max(1)
    .default(0.8)
    .describe("height of an object in its window, in parts of the window; the rest is its surroundings"),
  ratio: positiveAmount()
    .max(MOST.ratio)
    .optional()
    .describe("width / height of all objects (default: the median of the training boxes)"),
  smallestHeight: positiveAmount()
    .max(MOST.pixels)
    .optional()
    .describe(
      "height of the smallest objects in pixels of the image, which decides how large the pyramid's first level is (default: that of the smallest twentieth of the training boxes, at least 0.4 of the window)",
    ),
  octave: z
    .int()
    .min(1)
    .max(8)
    .default(2)
    .describe("levels of the pyramid from a size of objects to twice that size"),
  width: ratio().default(1).describe("channels relative to the usual ones; rounded to multiples of 16"),
  depth: ratio().default(1).describe("3×3 convolutions relative to the usual two"),
  foreground: share().default(0.5).describe("IoU with an object from which on a window is one of it"),
  background: share().default(0.35).describe("IoU below which a window is background"),
  negatives: ratio()
    .default(3)
    .describe(
      "hard negatives: background windows that are learnt from, the worst ones, for each window of an object",
    ),
});

export type SlidingWindowOptions = z.output<typeof slidingWindowOptions>;

/** The one aspect ratio of all objects, and the height of the smallest ones. */
interface ObjectShape {
  readonly ratio: number;
  readonly smallestHeight: number;
}

/** What options leave open, from the shapes of training boxes. */
function settledShape(
  { ratio, smallestHeight, window, fill }: SlidingWindowOptions,
  { boxShapes = [] }: DetectionInfo,
): ObjectShape {
  const sorted = (values: readonly number[]) => values.filter((value) => value > 0).sort((a, b) => a - b);
  const ratios = sorted(boxShapes.map(({ width, height }) => (height > 0 ? width / height : 0)));
  const heights = sorted(boxShapes.map(({ height }) => height));
  const usual = ratios[Math.floor(ratios.length / 2)] ?? 1;
  const small = heights[Math.floor(heights.length / 20)] ?? window * fill;
  return {
    ratio: ratio ?? Math.min(MOST.ratio, Math.max(1 / MOST.ratio, Number(usual.toPrecision(3)))),
    smallestHeight: smallestHeight ?? Math.max(0.4 * window, Math.floor(small)),
  };
}

/**
 * Sliding windows over an image pyramid, as detectors were before deep ones (Rowley, Baluja and Kanade 1998, "Neural network-based face
 * detection"; Dalal and Triggs 2005, "Histograms of oriented gradients for human detection"): one small network classifies windows of a
 * fixed size at every place and every scale of the picture. Boxes are the windows: nothing corrects their position, size or shape, so that
 * all objects have one aspect ratio. Learnt from are windows that overlap objects and the background windows that the network gets most
 * wrong (hard negatives).
 */
export class SlidingWindow implements Detector {
  readonly kind = "detector";
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly classifier: WindowClassifier;
  private readonly options: SlidingWindowOptions;
  private readonly shape: ObjectShape;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: SlidingWindowOptions, data: DetectionInfo) {
    this.imageSize = imageSize("sliding-window", data.sampleShape);
    const { classes } = data;
    if (classes === undefined || classes < 1) {
      throw new OptionError("sliding-window: the data has no classes; a detector needs annotated images");
    }
    checkThresholds(options);
    this.classes = classes;
    this.options = options;
    this.shape = settledShape(options, data);
    this.classifier = new WindowClassifier(options.window, classes, options.width, options.depth);
    this.levelSizes(this.imageSize);
  }

  /**
   * How large images of that size are on the levels of the pyramid, from the one for the smallest objects on.
   * @throws OptionError where they would have too many windows
   */
  private levelSizes({ width, height }: Size): readonly Size[] {
    const { window, fill, octave } = this.options;
    const { ratio, smallestHeight } = this.shape;
    const largest = Math.max(smallestHeight, Math.min(height, width / ratio));
    const count = 1 + Math.floor(octave * Math.log2(largest / smallestHeight) + 1e-9);
    const sizes = Array.from({ length: count }, (_, i): Size => {
      const scale = (fill * window) / (smallestHeight * 2 ** (i / octave));
      return {
        width: Math.max(1, Math.round((width * scale) / ratio)),
        height: Math.max(1, Math.round(height * scale)),
      };
    });
    const windows = sizes.reduce(
      (sum, size) => sum + windowsAlong(size.width) * windowsAlong(size.height),
      0,
    );
    if (windows > MOST_WINDOWS) {
      throw new OptionError(
        `option smallestHeight: objects of ${smallestHeight} pixels and a ratio of ${ratio} want ${showCount(windows)} windows of images of ${width} × ${height} pixels, more than ${showCount(MOST_WINDOWS)}; take larger objects, or smaller images`,
      );
    }
    return sizes;
  }

  /** The levels of the pyramid over images of that size. @throws OptionError where they would have too many windows */
  private levels(image: Size): readonly PyramidLevel[] {
    const { width, height } = image;
    const objectHeight = this.options.fill * this.options.window;
    return this.levelSizes(image).map((size): PyramidLevel => {
      const [across, down] = [width / size.width, height / size.height];
      const boxes: number[] = [];
      for (let row = 0; row < windowsAlong(size.height); row++) {
        for (let column = 0; column < windowsAlong(size.width); column++) {
          const [x, y] = [STRIDE * column * across, STRIDE * row * down];
          const [dx, dy] = [(objectHeight / 2) * across, (objectHeight / 2) * down];
          boxes.push(x - dx, y - dy, x + dx, y + dy);
        }
      }
      // Sides divide by 32.
      const halvings = Math.min(5, Math.max(0, Math.floor(Math.log2(Math.min(across, down)) + 1e-9)));
      return { size, halvings, boxes };
    });
  }

  /** The logits of all windows of images x [n, 3, H, W] in bytes, background last, [n, k, classes + 1], and their boxes [k, 4]. */
  private windows(x: Tensor): { readonly logits: Tensor; readonly boxes: Tensor } {
    const size = { width: sizeAt("sliding-window", x, 3), height: sizeAt("sliding-window", x, 2) };
    if (size.width % SIZE_UNIT !== 0 || size.height % SIZE_UNIT !== 0) {
      throw shapeError("sliding-window", [x], `takes images whose sides divide by ${SIZE_UNIT}`);
    }
    const levels = this.levels(size);
    const n = dimAt(x, 0);
    // Half a window of padding all around: windows stand at every place of the picture, the border included.
    const margin = this.options.window / 2;
    const halved = [x.sub(GREY).mul(1 / 64)];
    const rows = levels.map(({ size: { width, height }, halvings }) => {
      for (let i = halved.length; i <= halvings; i++) {
        const [before = x] = halved.slice(-1);
        halved.push(averagePool2d(before, { kernel: 2 }));
      }
      const [source = x] = halved.slice(halvings, halvings + 1);
      const resized = resizeBilinear(source, [height, width]);
      const after = (side: number) => STRIDE * (windowsAlong(side) - 1) - side + margin;
      const padded = pad(resized, [
        [margin, after(height)],
        [margin, after(width)],
      ]);
      const logits = this.classifier.forward(padded);
      return logits
        .reshape([n, this.classes + 1, windowsAlong(height) * windowsAlong(width)])
        .transpose([0, 2, 1]);
    });
    const boxes = levels.flatMap((level) => level.boxes);
    return { logits: concat(rows, 1), boxes: constant(float32(boxes, [boxes.length / 4, 4])) };
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    const { logits, boxes } = this.windows(x);
    return slidingWindowLosses(logits, boxes, objects, this.options);
  }

  decoded(x: Tensor): Decoded {
    const { logits, boxes } = this.windows(x);
    const [n, k] = [dimAt(logits, 0), dimAt(logits, 1)];
    return {
      boxes: broadcastTo(boxes.unsqueeze(0), [n, k, 4]),
      scores: slice(logits.softmax(2), 2, 0, this.classes),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector(this, "Sliding windows over an image pyramid");
  }
}

/**
 * Cross entropy of the windows of objects and of the worst windows of background, both divided by the number of the former. Windows that
 * overlap an object of a size that is not learnt count for nothing.
 * @param logits of the classes and of background, [n, k, classes + 1]
 * @param windows boxes that they stand for, [k, 4]
 */
export function slidingWindowLosses(
  logits: Tensor,
  windows: Tensor,
  { boxes, labels, ignored, invalid }: ObjectRows,
  {
    foreground,
    background,
    negatives,
  }: Pick<SlidingWindowOptions, "foreground" | "background" | "negatives">,
): Losses {
  const classes = sizeAt("sliding-window", logits, 2) - 1;
  const assigned = assignByOverlap(windows, boxes, labels, classes, { foreground, background });
  const targets = invalid === undefined ? assigned : sparing(assigned, overlapsInvalid(windows, invalid));
  const positive = targets.positive.cast("float32");
  const likelihoods = logits.logSoftmax(2);
  const own = slice(likelihoods, 2, 0, classes).mul(targets.classes).sum(2).neg().mul(positive);
  const nothing = slice(likelihoods, 2, classes, classes + 1)
    .squeeze(2)
    .neg();
  const empty = where(logicalAnd(targets.counted, logicalNot(targets.positive)), nothing, 0);
  const counted = outsideRegions(empty, targets.positive, centersOf(windows), ignored);
  const hard = hardest(counted, positive.sum(1).mul(negatives));
  const count = atLeastOne(positive);
  const parts = { object: own.sum().div(count), background: counted.mul(hard).sum().div(count) };
  return { total: parts.object.add(parts.background), ...parts };
}

/** Windows along a side of so many pixels: their centers are 4 pixels apart, from one border on, and none beyond the other. */
function windowsAlong(side: number): number {
  return 1 + Math.floor(side / STRIDE);
}

/**
 * 1 for the negatives of an image with the largest losses, as many as wanted, within bounds: losses [n, k] that are 0 where a window is no
 * negative, wanted [n] → [n, k].
 */
export function hardest(losses: Tensor, wanted: Tensor): Tensor {
  const fixed = losses.stopGradient();
  const most = Math.min(MOST_NEGATIVES, Number(losses.shape[1]));
  const sorted = topK(fixed, most).values;
  const last = wanted.clamp(Math.min(FEWEST_NEGATIVES, most), most).floor().sub(1).cast("int64");
  const threshold = sorted.mul(oneHot(last, most)).sum(1, true);
  return fixed.greaterEqual(threshold).cast("float32").stopGradient();
}

/** Sliding windows over an image pyramid, as the catalogue has them. */
export const slidingWindowDefinition = defineDetector({
  name: "sliding-window",
  summary:
    "a classifier of windows at every place and scale of an image pyramid, as before deep detectors: a baseline",
  paper:
    "Rowley, Baluja and Kanade 1998, Neural Network-Based Face Detection; Sermanet et al. 2014, OverFeat, arXiv:1312.6229",
  options: slidingWindowOptions,
  build: (options, data) => new SlidingWindow(options, data),
  settled: (options, data) => ({ ...options, ...settledShape(options, data) }),
});
