import { z } from "zod";
import type { SymbolicDetectionBatch } from "../data/detection-set.ts";
import { OptionError } from "../errors.ts";
import type { Losses } from "../nn/model.ts";
import { constant, float32, type Tensor } from "../tensor/index.ts";
import { anchorLevels, anchorShapes } from "./anchors.ts";
import { centresOf, type ObjectRows, outsideRegions } from "./assignment.ts";
import { boxesOfDeltas } from "./box-decoding.ts";
import type { Size } from "./box-formats.ts";
import { type Decoded, type Detector, exportedDetector } from "./detector.ts";
import {
  classCount,
  type DetectionInfo,
  defineDetector,
  detectorPreferences,
} from "./detector-definition.ts";
import { atLeastOne, focalLoss } from "./detector-losses.ts";
import { FeatureNetwork, featureOptions, imageSize, pyramidOptions } from "./feature-network.ts";
import { levelGrids } from "./feature-points.ts";
import { neckOption } from "./neck.ts";
import { assignByOverlap } from "./retina-net-assignment.ts";
import { deltasOf, RetinaNetHead, type RetinaNetOutputs, smoothL1 } from "./retina-net-head.ts";

/** Options of RetinaNet. */
export const retinaNetOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  headBlocks: z
    .int()
    .min(1)
    .default(2)
    .describe("3×3 convolutions of each tower of the head; 4 in the paper"),
  anchorScale: z
    .number()
    .positive()
    .default(2)
    .describe("side of a level's smallest anchors in strides; 4 in the paper, for images of 800 pixels"),
  anchorSizes: z
    .int()
    .min(1)
    .default(3)
    .describe("sizes of anchors of a level: this many steps to twice the smallest"),
  anchorRatios: z
    .array(z.number().positive())
    .min(1)
    .default([0.5, 1, 2])
    .describe("shapes of anchors, height / width"),
  foreground: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe("IoU with an object from which on an anchor answers for it"),
  background: z.number().min(0).max(1).default(0.4).describe("IoU below which an anchor is background"),
  focalAlpha: z.number().min(0).max(1).default(0.25).describe("focal loss: weight of objects"),
  focalGamma: z.number().min(0).default(2).describe("focal loss: how much what is right already is spared"),
});

export type RetinaNetOptions = z.output<typeof retinaNetOptions>;

/** Where the box loss turns from a square to a line, in deltas. */
const BETA = 1 / 9;

/**
 * RetinaNet (Lin et al. 2017, "Focal loss for dense object detection"): anchors of several shapes at each place of a pyramid; the
 * focal loss bears with the many that are background.
 */
export class RetinaNet implements Detector {
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  readonly features: FeatureNetwork;
  readonly head: RetinaNetHead;
  /** [k, 4]. */
  private readonly anchors: Tensor;
  private readonly options: RetinaNetOptions;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: RetinaNetOptions, data: DetectionInfo) {
    const { anchorScale, anchorSizes, anchorRatios, headBlocks } = options;
    if (options.background > options.foreground) {
      throw new OptionError(
        `option background: ${options.background} must not be above foreground, ${options.foreground}`,
      );
    }
    this.options = options;
    this.imageSize = imageSize("retina-net", data.sampleShape);
    this.classes = classCount("retina-net", data);
    this.features = new FeatureNetwork(options);
    const { levels } = this.features;
    this.head = new RetinaNetHead(levels, this.classes, anchorSizes * anchorRatios.length, headBlocks);
    const { boxes } = anchorLevels(
      levelGrids(this.imageSize, levels).map((grid) => {
        const sizes = Array.from(
          { length: anchorSizes },
          (_, i) => grid.stride * anchorScale * 2 ** (i / anchorSizes),
        );
        return { ...grid, shapes: anchorShapes(sizes, anchorRatios) };
      }),
    );
    this.anchors = constant(float32(boxes, [boxes.length / 4, 4]));
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    const outputs = this.head.forward(this.features.forward(x));
    return retinaNetLosses(outputs, this.anchors, objects, this.options);
  }

  decoded(x: Tensor): Decoded {
    const { classes, deltas } = this.head.forward(this.features.forward(x));
    return { boxes: boxesOfDeltas(deltas, this.anchors), scores: classes.sigmoid() };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector("RetinaNet", this);
  }
}

/** The losses of what the head says, for objects [n, m], divided by the number of anchors that answer for one (section 4.1). */
export function retinaNetLosses(
  { classes, deltas }: RetinaNetOutputs,
  anchors: Tensor,
  { boxes, labels, ignored }: ObjectRows,
  options: Pick<RetinaNetOptions, "foreground" | "background" | "focalAlpha" | "focalGamma">,
): Losses {
  const { foreground, background, focalAlpha, focalGamma } = options;
  const targets = assignByOverlap(anchors, boxes, labels, Number(classes.shape[2]), {
    foreground,
    background,
  });
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const focal = focalLoss(classes, targets.classes, { alpha: focalAlpha, gamma: focalGamma });
  const counted = focal.sum(2).mul(targets.counted.cast("float32"));
  const label = outsideRegions(counted, targets.positive, centresOf(anchors), ignored).sum().div(positives);
  const errors = smoothL1(deltas.sub(deltasOf(targets.boxes, anchors)), BETA).sum(2);
  const box = errors.mul(positive).sum().div(positives);
  return { total: label.add(box), class: label, box };
}

/** RetinaNet as the catalogue is to know it. */
export const retinaNetDefinition = defineDetector({
  name: "retina-net",
  summary: "anchors of several shapes at each place of a feature pyramid, with focal loss",
  paper: "Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv:1708.02002",
  options: retinaNetOptions,
  build: (options, data) => new RetinaNet(options, data),
  preferences: () => detectorPreferences,
});
