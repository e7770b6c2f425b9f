import { z } from "zod";
import type { FeatureLevel } from "../../backbones/backbone.ts";
import type { Dilations } from "../../backbones/dilations.ts";
import { list, MOST, positiveAmount, sampleCount, share, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import type { Losses } from "../../model/capabilities.ts";
import { Conv2d } from "../../nn/convolution.ts";
import { normal, zeros } from "../../nn/initializers.ts";
import { dimAt, sizeAt } from "../../tensor/graph.ts";
import {
  concat,
  constant,
  float32,
  gather,
  gatherElements,
  oneHot,
  slice,
  type Tensor,
  uniform,
} from "../../tensor/index.ts";
import { anchorLevels, anchorShapes, type CellGrid } from "../boxes/anchors.ts";
import type { Size } from "../boxes/boxes.ts";
import { bestPairs, squeezedSides } from "../boxes/decoding.ts";
import { checkThresholds, type ObjectRows, rowsAt } from "../loss/assignment.ts";
import { binaryCrossEntropy } from "../loss/losses.ts";
import { featureOptions, featureRows, pyramidOptions, sharedChannels } from "../network/feature-network.ts";
import { neckOption } from "../network/necks.ts";
import type { EnlargerLosses, ReadRegions, RegionEnlarger } from "../regions/enlarger.ts";
import { matchBoxes, nearestObjects } from "../regions/matching.ts";
import { type AnchorPredictions, clipped, type Proposals, proposalsOf } from "../regions/proposals.ts";
import { readRegions } from "../regions/region-read.ts";
import { regionFeatures } from "../regions/roi-align.ts";
import { sampleRows } from "../regions/sampling.ts";
import { type Decoded, DenseDetector, type DetectionInfo, defineDetector } from "./detector.ts";
import { enlargeOptions, enlargerOf, enlargingNotes, settledEnlarging } from "./enlarging.ts";
import {
  REGION_BETA,
  RegionHead,
  regionBoxes,
  regionLosses,
  regionTargets,
  rematched,
  stageWeights,
} from "./region-head.ts";
import { anchorOriginOption } from "./retina-anchors.ts";
import { deltasOf, smoothL1 } from "./retina-net.ts";

/** Options of both stages. */
const stageOptions = {
  anchorSides: list(positiveAmount(), MOST.shapes)
    .min(1)
    .default([2, 3])
    .describe(
      "sides of anchors, in strides of their map; 8 in the paper of FPN and 8,16,32 in that of Faster R-CNN, for images of 600 to 800 pixels",
    ),
  anchorRatios: list(positiveAmount(), MOST.shapes)
    .min(1)
    .default([0.5, 1, 2])
    .describe("shapes of anchors, height / width"),
  anchorOrigin: anchorOriginOption,
  foreground: share().default(0.7).describe("IoU with an object from which on an anchor is assigned to it"),
  background: share().default(0.3).describe("IoU below which an anchor is background"),
  sampledAnchors: sampleCount(2)
    .default(256)
    .describe("anchors of an image that are learnt from, half of them positive at most"),
  candidates: sampleCount()
    .default(300)
    .describe(
      "most anchors of a level that may become proposals, the best ones; 2000 in the paper, 1000 in detection",
    ),
  proposals: sampleCount()
    .default(150)
    .describe(
      "regions of an image that go on to the second stage; 2000 in the paper, 300 or 1000 in detection",
    ),
  proposalIou: share()
    .default(0.7)
    .describe("of two boxes of a level that overlap by a larger IoU the better one becomes a proposal"),
  sampledRegions: sampleCount(2)
    .default(64)
    .describe("regions of an image that are learnt from; 128 in the paper, 512 in torchvision"),
  positiveRegions: share().default(0.25).describe("largest share of positive ones among the sampled regions"),
  cascade: list(share(), 8)
    .min(1)
    .default([0.5])
    .describe(
      "IoU with an object from which on a region is positive; several, as 0.5,0.6,0.7: so many heads one after another (Cascade R-CNN)",
    ),
  bins: z.int().min(1).max(32).default(7).describe("RoIAlign: bins along each side of a region"),
  samples: z.int().min(1).max(8).default(2).describe("RoIAlign: samples along each side of a bin"),
  aligned: z
    .boolean()
    .default(true)
    .describe(
      "RoIAlign: the value of a location stands in the middle of its cell; false, as in torchvision's detectors: in its upper left corner",
    ),
  hidden: unitCount()
    .default(256)
    .describe("units of both hidden layers of the second stage; 1024 in the paper of FPN"),
  ...enlargeOptions,
};

/** Options of Faster R-CNN. */
export const fasterRcnnOptions = z.strictObject({
  ...featureOptions,
  neck: neckOption("fpn"),
  ...pyramidOptions,
  ...stageOptions,
});

export type FasterRcnnOptions = z.output<typeof fasterRcnnOptions>;

/** Options of what stands on the maps. */
export type TwoStageOptions = Pick<FasterRcnnOptions, keyof typeof stageOptions>;

/** Anchors over images of a size. */
export interface RegionGeometry {
  readonly size: Size;
  /** Of each level, [k, 4]: location by location, shape by shape. */
  readonly anchors: readonly Tensor[];
  /** Of all levels. */
  readonly all: Tensor;
}

/** Anchors over grids. */
export function regionGeometry(
  grids: readonly CellGrid[],
  size: Size,
  {
    anchorSides,
    anchorRatios,
    anchorOrigin,
  }: Pick<TwoStageOptions, "anchorSides" | "anchorRatios" | "anchorOrigin">,
): RegionGeometry {
  const boxes = grids.map(
    (grid) =>
      anchorLevels([
        {
          ...grid,
          shapes: anchorShapes(
            anchorSides.map((side) => side * grid.stride),
            anchorRatios,
          ),
          origin: anchorOrigin,
          image: size,
        },
      ]).boxes,
  );
  const tensor = (values: Float32Array): Tensor => constant(float32(values, [values.length / 4, 4]));
  const total = boxes.reduce((sum, { length }) => sum + length, 0);
  const all = new Float32Array(total);
  let at = 0;
  for (const level of boxes) {
    all.set(level, at);
    at += level.length;
  }
  return { size, anchors: boxes.map(tensor), all: tensor(all) };
}

/**
 * The head of a region proposal network (Ren et al. 2015, section 3.1), the same for all levels: a 3×3 convolution, and from it the objectness
 * and the deltas of each anchor. Names and layouts are those of torchvision's `RPNHead`, up to the last part of a name.
 */
class ProposalHead {
  readonly conv: Conv2d;
  readonly objectness: Conv2d;
  readonly deltas: Conv2d;
  private readonly shapes: number;

  constructor(channels: number, shapes: number) {
    const first = { initializeWeight: normal(0.01), initializeBias: zeros };
    this.shapes = shapes;
    this.conv = new Conv2d(channels, channels, 3, { padding: 1, ...first });
    this.objectness = new Conv2d(channels, shapes, 1, first);
    this.deltas = new Conv2d(channels, 4 * shapes, 1, first);
  }

  forward(map: Tensor): AnchorPredictions {
    const h = this.conv.forward(map).relu();
    const [objectness, deltas] = [this.objectness, this.deltas].map((conv) => featureRows([conv.forward(h)]));
    if (objectness === undefined || deltas === undefined) throw new RangeError("no predictions");
    const anchors = this.shapes * sizeAt("ProposalHead", objectness, 1);
    return {
      objectness: objectness.reshape([dimAt(map, 0), anchors]),
      deltas: deltas.reshape([dimAt(map, 0), anchors, 4]),
    };
  }
}

/** What the first stage predicts, with the maps that the second one reads. */
export interface TwoStageOutputs {
  readonly maps: readonly Tensor[];
  /** By level. */
  readonly predictions: readonly AnchorPredictions[];
  /** The finest map of the backbone, from which small regions are enlarged; absent where none are. */
  readonly finest?: Tensor;
}

/** Coarsest stride of the maps that regions are read from: the paper's P6 has anchors alone. */
const COARSEST_READ = 32;

/** Smallest side of a detection, in pixels, as in torchvision. */
const LEAST_SIDE = 0.01;

/** Most pairs of a region and a class that suppression is asked to look at. */
const MOST_PAIRS = 1000;

/** The losses of the second stage. */
interface StageLosses {
  readonly class: Tensor;
  readonly box: Tensor;
}

/** Both stages of Faster R-CNN on the maps of a network: proposals, and heads that look at regions. */
export class TwoStageHead {
  readonly rpn: ProposalHead;
  readonly stages: readonly RegionHead[];
  readonly enlarger: RegionEnlarger | undefined;
  private readonly levels: readonly FeatureLevel[];
  private readonly classes: number;
  private readonly options: TwoStageOptions;

  /**
   * @param enlarger of small regions; default: none
   * @throws OptionError where options do not fit each other
   */
  constructor(
    levels: readonly FeatureLevel[],
    classes: number,
    options: TwoStageOptions,
    enlarger?: RegionEnlarger,
  ) {
    const { anchorSides, anchorRatios, cascade, hidden, bins } = options;
    checkThresholds(options);
    if (cascade.some((iou, i) => iou < (cascade[i - 1] ?? 0))) {
      throw new OptionError(`option cascade: ${cascade.join()} must rise from head to head`);
    }
    const channels = sharedChannels(levels);
    this.levels = levels;
    this.classes = classes;
    this.options = options;
    this.rpn = new ProposalHead(channels, anchorSides.length * anchorRatios.length);
    // Where boxes are refined in turn, one refinement for all classes does (Cai and Vasconcelos 2018, section 3).
    const classSpecific = cascade.length === 1;
    this.stages = cascade.map(() => new RegionHead({ channels, classes, hidden, classSpecific, bins }));
    this.enlarger = enlarger;
  }

  /**
   * Maps of the levels → what the first stage predicts.
   * @param finest map of the backbone, which is needed where small regions are enlarged
   * @throws ShapeError
   */
  forward(maps: readonly Tensor[], finest?: Tensor): TwoStageOutputs {
    const predictions = maps.map((map) => this.rpn.forward(map));
    if (this.enlarger === undefined) return { maps, predictions };
    if (finest === undefined) throw new RangeError("enlarging wants the finest map of the backbone");
    return { maps, predictions, finest };
  }

  /** The losses of both stages for objects [n, m]. */
  losses(outputs: TwoStageOutputs, objects: ObjectRows, geometry: RegionGeometry): Losses {
    const first = this.proposalLosses(outputs.predictions, objects, geometry);
    const { game, ...second } = this.stageLosses(outputs, objects, geometry);
    const total = first.objectness.add(first.proposal).add(second.class).add(second.box);
    if (game === undefined) return { total, ...first, ...second };
    return { total: total.add(game.generator).add(game.discriminator), ...first, ...second, ...game };
  }

  /**
   * Equation 1 of the paper: cross entropy of objectness over a sample of anchors and smooth L1 of the deltas of its positive ones, both
   * divided by the size of the sample.
   */
  proposalLosses(
    predictions: readonly AnchorPredictions[],
    objects: ObjectRows,
    { all }: RegionGeometry,
  ): { readonly objectness: Tensor; readonly proposal: Tensor } {
    const { sampledAnchors, foreground, background } = this.options;
    const objectness = concat(
      predictions.map((level) => level.objectness),
      1,
    );
    const deltas = concat(
      predictions.map((level) => level.deltas),
      1,
    );
    const matches = matchBoxes(all, objects, { foreground, background, lowQuality: true });
    const rows = sampleRows(matches, uniform(objectness.shape), {
      count: sampledAnchors,
      positives: Math.floor(sampledAnchors / 2),
    });
    const count = sizeAt("FasterRcnn", rows.indices, 1);
    const entropy = binaryCrossEntropy(
      gatherElements(objectness, rows.indices, 1),
      rows.positive.cast("float32"),
    ).mul(rows.taken.cast("float32"));

    const places = slice(rows.indices, 1, 0, rows.positives);
    const from = gather(all, places);
    const own = rowsAt(objects.boxes, nearestObjects(from, objects));
    const errors = smoothL1(rowsAt(deltas, places).sub(deltasOf(own, from)), REGION_BETA).sum(2);
    const positive = slice(rows.positive, 1, 0, rows.positives).cast("float32");
    const mean = (losses: Tensor): Tensor =>
      losses
        .sum(1)
        .mean()
        .mul(1 / count);
    return { objectness: mean(entropy), proposal: mean(errors.mul(positive)) };
  }

  /**
   * The losses of all heads; those of later ones count half as much as of the one before, as in the code of Cascade R-CNN. With them the
   * players' losses, where small regions are enlarged.
   */
  private stageLosses(
    outputs: TwoStageOutputs,
    objects: ObjectRows,
    geometry: RegionGeometry,
  ): StageLosses & { readonly game: EnlargerLosses | undefined } {
    const { sampledRegions, positiveRegions, cascade } = this.options;
    let targets = regionTargets(this.proposals(outputs.predictions, geometry), objects, {
      iou: cascade[0] ?? 0.5,
      count: sampledRegions,
      positives: Math.max(1, Math.round(positiveRegions * sampledRegions)),
    });
    let total: StageLosses | undefined;
    let game: EnlargerLosses | undefined;
    for (const [stage, head] of this.stages.entries()) {
      if (stage > 0) targets = rematched(targets, objects, cascade[stage] ?? 0.5);
      const { features, read } = this.seen(regionFeatures, outputs, targets.regions);
      if (read !== undefined) game = this.enlarger?.losses(read, targets.positive);
      const predicted = head.forward(features);
      const losses = regionLosses(predicted, targets, objects, stageWeights(stage));
      const weight = 2 ** -stage;
      total = {
        class: total?.class.add(losses.class.mul(weight)) ?? losses.class,
        box: total?.box.add(losses.box.mul(weight)) ?? losses.box,
      };
      if (stage + 1 < this.stages.length) {
        const boxes = regionBoxes(predicted, targets.regions, stageWeights(stage)).squeeze(2).stopGradient();
        targets = { ...targets, regions: clipped(boxes, geometry.size) };
      }
    }
    if (total === undefined) throw new RangeError("there is no head");
    return { ...total, game };
  }

  /** Candidate boxes from what the first stage predicts. */
  proposals(predictions: readonly AnchorPredictions[], { anchors, size }: RegionGeometry): Proposals {
    const { candidates, proposals, proposalIou } = this.options;
    return proposalsOf(predictions, anchors, size, { candidates, proposals, iou: proposalIou });
  }

  /**
   * Features of regions as a head sees them, and, where small ones are enlarged, what that is made from. Losses are read by products, which
   * have a gradient and the same bits in training and validation; detections by the operator.
   */
  private seen(
    by: typeof regionFeatures | typeof readRegions,
    { maps, finest }: TwoStageOutputs,
    regions: Tensor,
  ): { readonly features: Tensor; readonly read?: ReadRegions } {
    const levels = this.levels.filter(({ stride }) => stride <= COARSEST_READ);
    const features = by(maps.slice(0, levels.length), levels, regions, this.options);
    const { enlarger } = this;
    if (enlarger === undefined || finest === undefined) return { features };
    const read = { regions, features, fine: by([finest], [enlarger.level], regions, this.options) };
    return { features: enlarger.forward(read), read };
  }

  /**
   * The best pairs of a region and a class: boxes within the image, and scores that are 0 for all classes but that of the pair. Of several
   * heads, probabilities are averaged, each over the regions as it has seen them. Without gradient.
   */
  decode(outputs: TwoStageOutputs, geometry: RegionGeometry): Decoded {
    const proposals = this.proposals(outputs.predictions, geometry);
    let regions = proposals.boxes;
    let boxes = regions.unsqueeze(2);
    const probabilities = this.stages.map((head, stage) => {
      const predicted = head.forward(this.seen(readRegions, outputs, regions).features);
      boxes = clipped(regionBoxes(predicted, regions, stageWeights(stage)), geometry.size);
      if (stage + 1 < this.stages.length) regions = boxes.squeeze(2);
      return predicted.classes.softmax();
    });
    const sum = probabilities.reduce((total, each) => total.add(each));
    const real = proposals.scores
      .greater(0)
      .cast("float32")
      .mul(1 / probabilities.length);
    // Boxes of which nothing is left within the image are none.
    const [x1, y1, x2, y2] = squeezedSides(boxes);
    const [width, height] = [x2.sub(x1), y2.sub(y1)];
    const large = width.minimum(height).greaterEqual(LEAST_SIDE).cast("float32");
    const scores = slice(sum, 2, 1).mul(real.unsqueeze(2)).mul(large);

    const [n, count, kinds] = [
      dimAt(boxes, 0),
      sizeAt("FasterRcnn", boxes, 1),
      sizeAt("FasterRcnn", boxes, 2),
    ];
    const best = bestPairs(scores.transpose([0, 2, 1]), Math.min(count * this.classes, MOST_PAIRS));
    const places = kinds > 1 ? best.places.mul(kinds).add(best.labels) : best.places;
    return {
      boxes: rowsAt(boxes.reshape([n, count * kinds, 4]), places.cast("int64")),
      scores: oneHot(best.labels.cast("int64"), this.classes).mul(best.scores.unsqueeze(2)),
    };
  }
}

/**
 * Faster R-CNN (Ren et al. 2015): a network proposes regions, and a second stage classifies what the maps hold in each of them and refines its
 * box. On a pyramid each region is read from the level of its size (Lin et al. 2017, "Feature pyramid networks"); with one level and no neck
 * it is the system as first published. Several heads make it a Cascade R-CNN (Cai and Vasconcelos 2018), and a generator between maps and head
 * a Perceptual GAN (Li et al. 2017).
 */
export class FasterRcnn extends DenseDetector<FasterRcnnOptions, TwoStageOutputs, RegionGeometry> {
  readonly needsSuppression = true;
  readonly head: TwoStageHead;

  /** @throws OptionError where options do not fit the data or each other */
  constructor(options: FasterRcnnOptions, data: DetectionInfo) {
    super({ name: "faster-rcnn", title: "Faster R-CNN" }, options, data, options);
    const enlarger = enlargerOf(options, data, this.features);
    this.head = new TwoStageHead(this.features.levels, this.classes, options, enlarger);
  }

  protected override outputsIn(x: Tensor, dilations: Dilations): TwoStageOutputs {
    const { maps, finest } = this.features.withFinest(x, dilations);
    return this.head.forward(maps, finest);
  }

  protected geometryOf(grids: readonly CellGrid[], size: Size): RegionGeometry {
    return regionGeometry(grids, size, this.options);
  }

  protected lossesOf(outputs: TwoStageOutputs, objects: ObjectRows, geometry: RegionGeometry): Losses {
    return this.head.losses(outputs, objects, geometry);
  }

  protected decode(outputs: TwoStageOutputs, geometry: RegionGeometry): Decoded {
    return this.head.decode(outputs, geometry);
  }
}

/** Faster R-CNN as the catalogue has it. */
export const fasterRcnnDefinition = defineDetector({
  name: "faster-rcnn",
  summary: "a network proposes regions, and a second stage classifies each and refines its box",
  paper:
    "Ren et al. 2015, Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks, arXiv:1506.01497",
  options: fasterRcnnOptions,
  build: (options, data) => new FasterRcnn(options, data),
  settled: settledEnlarging,
  notes: enlargingNotes,
});
