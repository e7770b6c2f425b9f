import { z } from "zod";
import { amount, list, unitCount } from "../../../bounds.ts";
import type { SymbolicDetectionBatch } from "../../../data/boxes/set.ts";
import { OptionError } from "../../../errors.ts";
import type { Losses } from "../../../model/capabilities.ts";
import { Conv2d } from "../../../nn/convolution.ts";
import { constant, kaimingNormal, zeros } from "../../../nn/initializers.ts";
import { outputAt, sizeAt } from "../../../tensor/graph.ts";
import { shapeError } from "../../../tensor/index.operations.ts";
import { concat, maxPool2d, split, type Tensor } from "../../../tensor/index.ts";
import { resizeNearest } from "../../../tensor/operations/resize.ts";
import type { Size } from "../../boxes/boxes.ts";
import { FACE_LANDMARKS } from "../../boxes/landmarks.ts";
import { type ObjectRows, outsideRegions } from "../../loss/assignment.ts";
import { atLeastOne, binaryCrossEntropy, boxLoss, PRIOR_LOGIT } from "../../loss/losses.ts";
import {
  type FeaturePoints,
  featurePoints,
  featureRows,
  imageSize,
  levelGrids,
} from "../../network/feature-network.ts";
import {
  type Decoded,
  type DetectionInfo,
  type Detector,
  defineDetector,
  exportedDetector,
} from "../detector.ts";
import { alignTasks } from "../yolo.ts";

/** Stages of the backbone after the stem, and those that a map is pooled behind. */
const STAGES = 5;
const POOLED: readonly number[] = [1, 2, 3];

/** The stages whose maps the neck takes, and the strides of the maps. */
const TAKEN: readonly number[] = [2, 3, 4];
const STRIDES = [8, 16, 32] as const;

/** What bytes are divided by, so that inputs and weights are of usual size. A power of two: published weights, for bytes, change by it exactly. */
export const BYTE_SCALE = 128;

/** Largest logarithm of a side in strides: more than any image has. */
const MOST_LOG = 8;

/** Of first boxes: the centers, from the corner of the cell in strides, and the logarithms of the sides in strides. */
const FIRST = Math.LN2;

/**
 * A depthwise separable convolution (Wu et al. 2023, figure 3): 1×1 to the new number of channels, then 3×3 of each channel, with a rectifier
 * at the end or none. Batch normalization is part of the weights, as in the published files.
 */
class SeparableConvolution {
  readonly pointwise: Conv2d;
  readonly depthwise: Conv2d;
  private readonly rectified: boolean;

  constructor(inputs: number, outputs: number, first?: number) {
    // Between the two is no rectifier, which would halve what the first one makes.
    this.pointwise = new Conv2d(inputs, outputs, 1, {
      initializeWeight: kaimingNormal(1),
      initializeBias: zeros,
    });
    this.depthwise = new Conv2d(outputs, outputs, 3, {
      padding: 1,
      groups: outputs,
      initializeWeight: kaimingNormal(first === undefined ? 0 : 1),
      initializeBias: constant(first ?? 0),
    });
    this.rectified = first === undefined;
  }

  /** [n, inputs, H, W] → [n, outputs, H, W]. @throws ShapeError */
  forward(x: Tensor): Tensor {
    const y = this.depthwise.forward(this.pointwise.forward(x));
    return this.rectified ? y.relu() : y;
  }
}

/** What a map's locations predict: a convolution for all of it, then one each. */
class YuNetHead {
  readonly shared: SeparableConvolution;
  readonly classes: SeparableConvolution;
  readonly objectness: SeparableConvolution;
  readonly boxes: SeparableConvolution;
  readonly landmarks: SeparableConvolution | undefined;

  constructor(channels: number, classes: number, landmarks: number) {
    this.shared = new SeparableConvolution(channels, channels);
    this.classes = new SeparableConvolution(channels, classes, 0);
    this.objectness = new SeparableConvolution(channels, 1, PRIOR_LOGIT);
    this.boxes = new SeparableConvolution(channels, 4, FIRST);
    this.landmarks = landmarks === 0 ? undefined : new SeparableConvolution(channels, 2 * landmarks, 0);
  }

  /** @throws ShapeError */
  forward(map: Tensor): {
    readonly classes: Tensor;
    readonly objectness: Tensor;
    readonly boxes: Tensor;
    readonly landmarks: Tensor | undefined;
  } {
    const h = this.shared.forward(map);
    return {
      classes: this.classes.forward(h),
      objectness: this.objectness.forward(h),
      boxes: this.boxes.forward(h),
      landmarks: this.landmarks?.forward(h),
    };
  }
}

/** What the network predicts of each of k locations. */
export interface YuNetOutputs {
  /** Logits of the classes, [n, k, classes], and of there being an object at all, [n, k, 1]. */
  readonly classes: Tensor;
  readonly objectness: Tensor;
  /** Where the center is from the corner of the location's cell, in strides, and the logarithms of the sides in strides: [n, k, 4]. */
  readonly boxes: Tensor;
  /** Where landmarks are from that corner, in strides: [n, k, 2 · landmarks]. */
  readonly landmarks: Tensor | undefined;
}

/** Options of YuNet. */
export const yunetOptions = z.strictObject({
  channels: list(unitCount(), STAGES + 1)
    .length(STAGES + 1)
    .default([16, 64, 64, 64, 64, 64])
    .describe(
      "channels of the stem and of the five stages after it, of which the last three are alike; those of the published YuNet-n, of 73,840 parameters with one class and five landmarks",
    ),
  landmarks: unitCount(0)
    .default(0)
    .describe(
      `landmarks that a location predicts; ${FACE_LANDMARKS.length} with the published weights (${FACE_LANDMARKS.join(", ")}). They are not learnt in a fit`,
    ),
  candidates: unitCount().default(10).describe("locations that may be assigned to an object"),
  boxGain: amount().default(5).describe("weight of the box loss"),
});

export type YuNetOptions = z.output<typeof yunetOptions>;

/** @throws OptionError where there are landmarks, which batches of images with boxes have not */
function checkLearnt({ landmarks }: Pick<YuNetOptions, "landmarks">): void {
  if (landmarks === 0) return;
  throw new OptionError(
    `option landmarks: the ${landmarks === 1 ? "landmark of yunet is" : `${landmarks} landmarks of yunet are`} not learnt in a fit, which would spoil ${landmarks === 1 ? "it" : "them"}; --landmarks 0 fits classes and boxes without them`,
  );
}

/**
 * YuNet (Wu, Peng and Yu 2023, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20): a backbone of depthwise
 * separable convolutions, a pyramid from coarse to fine, and at each location one prediction without anchors, with the landmarks of a face.
 * Made for bytes in red, green, blue; the published weights are for blue, green, red.
 */
export class YuNet implements Detector {
  readonly kind = "detector";
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  /** As in OpenCV and its demonstration. */
  readonly usual = { confidence: 0.6, iou: 0.3 };
  readonly stem: Conv2d;
  readonly second: SeparableConvolution;
  readonly stages: readonly (readonly [SeparableConvolution, SeparableConvolution])[];
  readonly laterals: readonly SeparableConvolution[];
  readonly heads: readonly YuNetHead[];
  private readonly options: YuNetOptions;

  /** @throws OptionError where the data are no images of a size that the network takes, or have no classes, or channels do not fit */
  constructor(options: YuNetOptions, data: DetectionInfo) {
    this.imageSize = imageSize("yunet", data.sampleShape);
    const { classes } = data;
    if (classes === undefined || classes < 1) {
      throw new OptionError("yunet: the data has no classes; a detector needs annotated images");
    }
    this.classes = classes;
    this.options = options;
    const { channels, landmarks } = options;
    const first = outputAt(channels, 0);
    const last = outputAt(channels, STAGES);
    if (TAKEN.some((stage) => channels[stage + 1] !== last)) {
      throw new OptionError(
        `option channels: ${channels.join()}: the last three must be alike, as their maps are added`,
      );
    }
    this.stem = new Conv2d(3, first, 3, {
      stride: 2,
      padding: 1,
      initializeWeight: kaimingNormal(),
      initializeBias: zeros,
    });
    this.second = new SeparableConvolution(first, first);
    this.stages = channels.slice(1).map((outputs, i) => {
      const inputs = outputAt(channels, i);
      return [new SeparableConvolution(inputs, inputs), new SeparableConvolution(inputs, outputs)] as const;
    });
    this.laterals = STRIDES.map(() => new SeparableConvolution(last, last));
    this.heads = STRIDES.map(() => new YuNetHead(last, classes, landmarks));
  }

  /** x [n, 3, H, W] in bytes → maps of strides 8, 16 and 32. */
  private maps(x: Tensor): readonly Tensor[] {
    let h = maxPool2d(this.second.forward(this.stem.forward(x.mul(1 / BYTE_SCALE)).relu()), { kernel: 2 });
    const maps: Tensor[] = [];
    for (const [i, [first, second]] of this.stages.entries()) {
      h = second.forward(first.forward(h));
      if (TAKEN.includes(i)) maps.push(h);
      if (POOLED.includes(i)) h = maxPool2d(h, { kernel: 2 });
    }
    // From coarse to fine.
    let above: Tensor | undefined;
    const joined: Tensor[] = [];
    for (const [i, lateral] of [...this.laterals.entries()].reverse()) {
      const map = outputAt(maps, i);
      const size = [sizeAt("yunet", map, 2), sizeAt("yunet", map, 3)] as const;
      above = lateral.forward(above === undefined ? map : map.add(resizeNearest(above, size)));
      joined.unshift(above);
    }
    return joined;
  }

  /**
   * What the network predicts for images x [n, 3, H, W] in bytes, location by location from the finest map on.
   * @throws ShapeError where 32 does not divide the sides
   */
  outputs(x: Tensor): YuNetOutputs {
    const [height, width] = [sizeAt("yunet", x, 2), sizeAt("yunet", x, 3)];
    if (height % 32 !== 0 || width % 32 !== 0) {
      throw shapeError("yunet", [x], "takes images whose sides divide by 32");
    }
    const predicted = this.maps(x).map((map, i) => outputAt(this.heads, i).forward(map));
    const landmarks = predicted.flatMap((own) => own.landmarks ?? []);
    return {
      classes: featureRows(predicted.map((own) => own.classes)),
      objectness: featureRows(predicted.map((own) => own.objectness)),
      boxes: featureRows(predicted.map((own) => own.boxes)),
      landmarks: landmarks.length === 0 ? undefined : featureRows(landmarks),
    };
  }

  /** The corners of the cells of all locations over images x, as the published network predicts from there. */
  private points(x: Tensor, origin: "corner" | "center"): FeaturePoints {
    const size = { width: sizeAt("yunet", x, 3), height: sizeAt("yunet", x, 2) };
    const levels = STRIDES.map((stride) => ({ channels: outputAt(this.options.channels, STAGES), stride }));
    return featurePoints(levelGrids(size, levels), { origin });
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    checkLearnt(this.options);
    const outputs = this.outputs(x);
    const predicted = yunetBoxes(outputs.boxes, this.points(x, "corner"));
    return yunetLosses({ ...outputs, predicted }, this.points(x, "center"), objects, this.options);
  }

  decoded(x: Tensor): Decoded {
    const { classes, objectness, boxes, landmarks } = this.outputs(x);
    const corners = this.points(x, "corner");
    const { centers, strides } = corners;
    return {
      boxes: yunetBoxes(boxes, corners),
      scores: classes.sigmoid().mul(objectness.sigmoid()).sqrt(),
      ...(landmarks && {
        landmarks: landmarks
          .mul(strides)
          .add(concat(new Array<Tensor>(this.options.landmarks).fill(centers), 1)),
      }),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector(this, "YuNet");
  }
}

/** The boxes that predictions [n, k, 4] stand for: centers from the corner of a cell in strides, logarithms of sides in strides. */
export function yunetBoxes(boxes: Tensor, { centers, strides }: FeaturePoints): Tensor {
  const [offset, logSides] = split(boxes, boxes.rank - 1, 2);
  const center = offset.mul(strides).add(centers);
  const half = logSides.minimum(MOST_LOG).exp().mul(strides).mul(0.5);
  return concat([center.sub(half), center.add(half)], boxes.rank - 1);
}

/**
 * The losses of what locations predict, for objects [n, m], divided by the number of locations that are assigned to one: objectness of all
 * locations; class, against the IoU of the box as in the authors' code, and box of those. Objects are assigned by alignment (`alignTasks`),
 * where the authors have SimOTA: both choose, of the locations in an object, those that predict it best.
 */
export function yunetLosses(
  {
    classes,
    objectness,
    predicted,
  }: Pick<YuNetOutputs, "classes" | "objectness"> & { readonly predicted: Tensor },
  points: FeaturePoints,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { candidates, boxGain }: Pick<YuNetOptions, "candidates" | "boxGain">,
): Losses {
  const scores = classes.sigmoid().mul(objectness.sigmoid()).sqrt();
  const targets = alignTasks({ boxes: predicted, scores }, points, boxes, labels, candidates);
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const sure = binaryCrossEntropy(objectness.squeeze(2), positive);
  const object = outsideRegions(sure, targets.positive, points.centers, ignored, invalid)
    .sum()
    .div(positives);
  const label = binaryCrossEntropy(classes, targets.scores).sum(2).mul(positive).sum().div(positives);
  const box = boxLoss(predicted, targets.boxes, "ciou").mul(positive).sum().div(positives).mul(boxGain);
  return { total: object.add(label).add(box), objectness: object, class: label, box };
}

/** YuNet as the catalogue has it. */
export const yunetDefinition = defineDetector({
  name: "yunet",
  summary: "a face detector of 74,000 parameters without anchors, with landmarks of imported weights",
  paper:
    "Wu, Peng and Yu 2023, YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 20",
  options: yunetOptions,
  build: (options, data) => new YuNet(options, data),
  settled: (options) => {
    checkLearnt(options);
    return options;
  },
});
