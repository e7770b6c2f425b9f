import { z } from "zod";
import { normalizedImages } from "../../../backbones/image-normalization.ts";
import { amount, share, unitCount } from "../../../bounds.ts";
import type { SymbolicDetectionBatch } from "../../../data/boxes/set.ts";
import { OptionError } from "../../../errors.ts";
import type { Losses } from "../../../model/capabilities.ts";
import { Conv2d } from "../../../nn/convolution.ts";
import { kaimingNormal, zeros } from "../../../nn/initializers.ts";
import { dimAt, outputAt, sizeAt } from "../../../tensor/graph.ts";
import { shapeError } from "../../../tensor/index.operations.ts";
import {
  concat,
  constant,
  float32,
  logicalAnd,
  logicalNot,
  slice,
  type Tensor,
  where,
} from "../../../tensor/index.ts";
import type { Size } from "../../boxes/boxes.ts";
import { boxesOfDeltas } from "../../boxes/decoding.ts";
import { assignByOverlap, sparing } from "../../loss/anchor-assignment.ts";
import { centersOf, type ObjectRows, outsideRegions, overlapsInvalid } from "../../loss/assignment.ts";
import { atLeastOne } from "../../loss/losses.ts";
import { featureRows, imageSize, levelGrids } from "../../network/feature-network.ts";
import {
  type Decoded,
  type DetectionInfo,
  type Detector,
  defineDetector,
  exportedDetector,
} from "../detector.ts";
import { deltasOf, smoothL1 } from "../retina-net.ts";
import { hardest } from "../sliding-window.ts";

/** Strides of the maps, and the sides of the square anchors of a location of each, in pixels whatever the size of the image. */
const LEVELS = [
  { stride: 8, sides: [10, 16, 24] },
  { stride: 16, sides: [32, 48] },
  { stride: 32, sides: [64, 96] },
  { stride: 64, sides: [128, 192, 256] },
] as const;

/** What divides the sides of images: 320 × 240 pixels, of which the published network was made, are among them. */
const UNIT = 16;

/** Predictions are divided by these: the authors' variances of centers, 0.1, and of sides, 0.2. */
const WEIGHTS = [10, 10, 5, 5] as const;

/** Where the box loss turns from a square to a line, in predictions. */
const BETA = 1;

interface Form {
  readonly kernel?: number;
  readonly stride?: number;
  readonly groups?: number;
  readonly dilation?: number;
  /** Whether no rectifier follows; default: false. */
  readonly linear?: boolean;
}

/** A convolution that keeps the size of maps, or halves it. Batch normalization is part of the weights, as in the published file. */
function convolution(inputs: number, outputs: number, form: Form = {}): Conv2d {
  const { kernel = 1, stride = 1, groups = 1, dilation = 1, linear = false } = form;
  return new Conv2d(inputs, outputs, kernel, {
    stride,
    groups,
    dilation,
    padding: (dilation * (kernel - 1)) / 2,
    initializeWeight: kaimingNormal(linear ? 1 : 0),
    initializeBias: zeros,
  });
}

/** 3×3 of each channel, a rectifier, and 1×1 to the new number of channels. */
class SeparableConvolution {
  readonly depthwise: Conv2d;
  readonly pointwise: Conv2d;
  private readonly linear: boolean;

  constructor(inputs: number, outputs: number, { stride = 1, linear = false }: Form = {}) {
    this.depthwise = convolution(inputs, inputs, { kernel: 3, stride, groups: inputs });
    this.pointwise = convolution(inputs, outputs, { linear });
    this.linear = linear;
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const y = this.pointwise.forward(this.depthwise.forward(x).relu());
    return this.linear ? y : y.relu();
  }
}

/**
 * A receptive field block (Liu, Huang and Wang 2018, "Receptive field block net", section 3.2): three branches of ever larger kernels, each
 * ended by a convolution that is dilated the more, beside a shortcut.
 */
class ReceptiveFieldBlock {
  readonly branches: readonly (readonly Conv2d[])[];
  readonly joined: Conv2d;
  readonly shortcut: Conv2d;

  constructor(channels: number) {
    const inner = channels / 8;
    const between = 3 * Math.floor(inner / 2);
    const last = (dilation: number) =>
      convolution(2 * inner, 2 * inner, { kernel: 3, dilation, linear: true });
    this.branches = [
      [convolution(channels, inner, { linear: true }), convolution(inner, 2 * inner, { kernel: 3 }), last(2)],
      [convolution(channels, inner, { linear: true }), convolution(inner, 2 * inner, { kernel: 3 }), last(3)],
      [
        convolution(channels, inner, { linear: true }),
        convolution(inner, between, { kernel: 3 }),
        convolution(between, 2 * inner, { kernel: 3 }),
        last(5),
      ],
    ];
    this.joined = convolution(6 * inner, channels, { linear: true });
    this.shortcut = convolution(channels, channels, { linear: true });
  }

  /** @throws ShapeError */
  forward(x: Tensor): Tensor {
    const seen = this.branches.map((branch) =>
      branch.reduce((h, layer, i) => {
        const y = layer.forward(h);
        // Rectified in the middle alone.
        return i === 0 || i === branch.length - 1 ? y : y.relu();
      }, x),
    );
    return this.joined.forward(concat(seen, 1)).add(this.shortcut.forward(x)).relu();
  }
}

/** What a map's anchors predict, by one network for classes and one for boxes. */
class AnchorHead {
  readonly classes: SeparableConvolution | Conv2d;
  readonly boxes: SeparableConvolution | Conv2d;

  /** @param separable whether convolutions are divided; those of the coarsest map are not */
  constructor(channels: number, anchors: number, classes: number, separable: boolean) {
    const layer = (outputs: number) =>
      separable
        ? new SeparableConvolution(channels, outputs, { linear: true })
        : convolution(channels, outputs, { kernel: 3, linear: true });
    this.classes = layer(anchors * (classes + 1));
    this.boxes = layer(4 * anchors);
  }
}

/** What the network predicts of each of k anchors. */
export interface UltraLightOutputs {
  /** Logits of background and of the classes, [n, k, 1 + classes]. */
  readonly classes: Tensor;
  /** Deltas of the box from the anchor, times 10 of its center and times 5 of its sides: [n, k, 4]. */
  readonly boxes: Tensor;
}

/** Options of the Ultra-Light detector. */
export const ultraLightRfbOptions = z.strictObject({
  channels: unitCount(4)
    .default(16)
    .describe(
      "channels of the first layer, a multiple of 4, to which all others are in proportion; 16 in the published network",
    ),
  foreground: share()
    .default(0.35)
    .describe("IoU with an object from which on an anchor is assigned to it; below it is background"),
  negatives: amount()
    .default(3)
    .describe(
      "background anchors that are learnt from, for each anchor of an object: those that it gets most wrong",
    ),
});

export type UltraLightRfbOptions = z.output<typeof ultraLightRfbOptions>;

/**
 * The face detector of the project Ultra-Light-Fast-Generic-Face-Detector-1MB (Linzaer 2019), in its form RFB: SSD (Liu et al. 2016) with square
 * anchors on a small MobileNet, in which a receptive field block stands before the finest map. Made for images of 320 × 240 pixels; images of
 * other sizes have the same anchors in pixels.
 */
export class UltraLightRfb implements Detector {
  readonly kind = "detector";
  readonly imageSize: Size;
  readonly classes: number;
  readonly needsSuppression = true;
  /** The score is that of the programs of the project. */
  readonly usual = { confidence: 0.7, iou: 0.3 };
  readonly stem: Conv2d;
  readonly finest: readonly SeparableConvolution[];
  readonly field: ReceptiveFieldBlock;
  readonly middle: readonly SeparableConvolution[];
  readonly coarse: readonly SeparableConvolution[];
  readonly narrow: Conv2d;
  readonly extra: SeparableConvolution;
  readonly heads: readonly AnchorHead[];
  private readonly options: UltraLightRfbOptions;

  /** @throws OptionError where the data are no images of a size that the network takes, or have no classes, or channels do not fit */
  constructor(options: UltraLightRfbOptions, data: DetectionInfo) {
    this.imageSize = imageSize("ultra-light-rfb", data.sampleShape, UNIT);
    const { classes } = data;
    if (classes === undefined || classes < 1) {
      throw new OptionError("ultra-light-rfb: the data has no classes; a detector needs annotated images");
    }
    const { channels: c } = options;
    if (c % 4 !== 0) {
      throw new OptionError(
        `option channels: ${c} is no multiple of 4, as the receptive field block needs it`,
      );
    }
    this.classes = classes;
    this.options = options;
    const blocks = (widths: readonly (readonly [inputs: number, outputs: number, stride: number])[]) =>
      widths.map(([inputs, outputs, stride]) => new SeparableConvolution(inputs, outputs, { stride }));
    this.stem = convolution(3, c, { kernel: 3, stride: 2 });
    this.finest = blocks([
      [c, 2 * c, 1],
      [2 * c, 2 * c, 2],
      [2 * c, 2 * c, 1],
      [2 * c, 4 * c, 2],
      [4 * c, 4 * c, 1],
      [4 * c, 4 * c, 1],
    ]);
    this.field = new ReceptiveFieldBlock(4 * c);
    this.middle = blocks([
      [4 * c, 8 * c, 2],
      [8 * c, 8 * c, 1],
      [8 * c, 8 * c, 1],
    ]);
    this.coarse = blocks([
      [8 * c, 16 * c, 2],
      [16 * c, 16 * c, 1],
    ]);
    this.narrow = convolution(16 * c, 4 * c);
    this.extra = new SeparableConvolution(4 * c, 16 * c, { stride: 2 });
    const widths = [4 * c, 8 * c, 16 * c, 16 * c];
    this.heads = LEVELS.map(
      ({ sides }, i) => new AnchorHead(outputAt(widths, i), sides.length, classes, i < LEVELS.length - 1),
    );
  }

  /**
   * What the network predicts for images x [n, 3, H, W] in bytes: map by map from the finest on, location by location, anchor by anchor.
   * @throws ShapeError where 16 does not divide the sides
   */
  outputs(x: Tensor): UltraLightOutputs {
    const { height, width } = sizeOf(x);
    if (height % UNIT !== 0 || width % UNIT !== 0) {
      throw shapeError("ultra-light-rfb", [x], `takes images whose sides divide by ${UNIT}`);
    }
    const through = (layers: readonly SeparableConvolution[], from: Tensor): Tensor =>
      layers.reduce((h, layer) => layer.forward(h), from);
    const first = this.stem.forward(normalizedImages(x, "half")).relu();
    const fine = this.field.forward(through(this.finest, first));
    const middle = through(this.middle, fine);
    const coarse = through(this.coarse, middle);
    const coarsest = this.extra.forward(this.narrow.forward(coarse).relu());
    const maps = [fine, middle, coarse, coarsest];
    const all = (part: "classes" | "boxes"): Tensor =>
      concat(
        this.heads.map((head, i) => {
          const rows = featureRows([head[part].forward(outputAt(maps, i))]);
          const anchors = outputAt(LEVELS, i).sides.length;
          const [cells, numbers] = [sizeAt("ultra-light-rfb", rows, 1), sizeAt("ultra-light-rfb", rows, 2)];
          return rows.reshape([dimAt(rows, 0), cells * anchors, numbers / anchors]);
        }),
        1,
      );
    return { classes: all("classes"), boxes: all("boxes") };
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    return ultraLightLosses(this.outputs(x), ultraLightAnchors(sizeOf(x)), objects, this.options);
  }

  decoded(x: Tensor): Decoded {
    const { classes, boxes } = this.outputs(x);
    return {
      boxes: boxesOfDeltas(boxes, ultraLightAnchors(sizeOf(x)), WEIGHTS),
      scores: slice(classes.softmax(2), 2, 1, 1 + this.classes),
    };
  }

  exported(): ReturnType<Detector["exported"]> {
    return exportedDetector(this, "Ultra-Light face detector with a receptive field block");
  }
}

function sizeOf(x: Tensor): Size {
  return { width: sizeAt("ultra-light-rfb", x, 3), height: sizeAt("ultra-light-rfb", x, 2) };
}

/**
 * The anchors over images of a size, [k, 4]. As the authors have it, the cells of a map share the image equally also where the stride does not
 * divide it (those of stride 32 are 30 pixels high in 240), and no side is longer than that of the image.
 */
export function ultraLightAnchors(image: Size): Tensor {
  const { width, height } = image;
  const edges = LEVELS.flatMap(({ stride, sides }) =>
    levelGrids(image, [{ stride, channels: 1 }]).flatMap(({ rows, columns }) =>
      Array.from({ length: rows * columns }, (_, cell) => {
        const x = (((cell % columns) + 0.5) * width) / columns;
        const y = ((Math.floor(cell / columns) + 0.5) * height) / rows;
        return sides.flatMap((side) => {
          const [dx, dy] = [Math.min(side, width) / 2, Math.min(side, height) / 2];
          return [x - dx, y - dy, x + dx, y + dy];
        });
      }).flat(),
    ),
  );
  return constant(float32(edges, [edges.length / 4, 4]));
}

/**
 * The losses of SSD (Liu et al. 2016, section 2.2) for objects [n, m], divided by the number of anchors that are assigned to one: smooth L1 of
 * their boxes; cross entropy of their classes, and of the background anchors that the network gets most wrong (hard negatives).
 */
export function ultraLightLosses(
  { classes, boxes: predicted }: UltraLightOutputs,
  anchors: Tensor,
  { boxes, labels, ignored, invalid }: ObjectRows,
  { foreground, negatives }: Pick<UltraLightRfbOptions, "foreground" | "negatives">,
): Losses {
  const count = sizeAt("ultra-light-rfb", classes, 2) - 1;
  const thresholds = { foreground, background: foreground };
  const assigned = assignByOverlap(anchors, boxes, labels, count, thresholds);
  const targets = invalid === undefined ? assigned : sparing(assigned, overlapsInvalid(anchors, invalid));
  const positive = targets.positive.cast("float32");
  const positives = atLeastOne(positive);
  const likelihoods = classes.logSoftmax(2);
  const own = slice(likelihoods, 2, 1, 1 + count)
    .mul(targets.classes)
    .sum(2)
    .neg()
    .mul(positive);
  const nothing = slice(likelihoods, 2, 0, 1).squeeze(2).neg();
  const empty = where(logicalAnd(targets.counted, logicalNot(targets.positive)), nothing, 0);
  const counted = outsideRegions(empty, targets.positive, centersOf(anchors), ignored);
  const hard = hardest(counted, positive.sum(1).mul(negatives));
  const wanted = deltasOf(targets.boxes, anchors).mul(constant(float32(WEIGHTS, [4])));
  const errors = smoothL1(predicted.sub(wanted), BETA).sum(2).mul(positive);
  const parts = {
    object: own.sum().div(positives),
    background: counted.mul(hard).sum().div(positives),
    box: errors.sum().div(positives),
  };
  return { total: parts.object.add(parts.background).add(parts.box), ...parts };
}

/** The Ultra-Light detector as the catalogue has it. */
export const ultraLightRfbDefinition = defineDetector({
  name: "ultra-light-rfb",
  summary:
    "a face detector of 270,000 parameters: SSD with a receptive field block, for images of 320 pixels",
  paper:
    "Liu, Huang and Wang 2018, Receptive Field Block Net for Accurate and Fast Object Detection, arXiv:1711.07767",
  options: ultraLightRfbOptions,
  build: (options, data) => new UltraLightRfb(options, data),
});
