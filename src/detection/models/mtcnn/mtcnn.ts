import type { ByteImage } from "../../../data/boxes/set.ts";
import { OptionError } from "../../../errors.ts";
import type { Losses } from "../../../model/capabilities.ts";
import type { SymbolicBatch } from "../../../model/data-info.ts";
import type { Session } from "../../../program/program.ts";
import { sizeAt } from "../../../tensor/graph.ts";
import type { Tensor } from "../../../tensor/index.ts";
import { clipBoxes, type Size } from "../../boxes/boxes.ts";
import type { Detections } from "../../boxes/detections.ts";
import {
  type CascadeDetector,
  type CascadeFindOptions,
  type DetectionInfo,
  type DetectOptions,
  defineCascade,
  detectOptionsOf,
} from "../detector.ts";
import { type CascadeLook, type CascadeStages, cascadeStages, type StageWindows } from "./cascade.ts";
import { exportedCascade } from "./exported.ts";
import { type CropTargets, cropLosses } from "./losses.ts";
import { INPUT_SIZES, normalizedPixels, ONet, PNet, RNet, STAGES, type Stage } from "./networks.ts";
import { type MtcnnOptions, mtcnnOptions } from "./options.ts";

/** The share of the smaller of two found objects from which on the better one stays, as published. */
const OVERLAP = 0.7;

/**
 * MTCNN (Zhang, Zhang, Li and Qiao 2016, "Joint face detection and alignment using multitask cascaded convolutional networks",
 * arXiv:1604.02878): a proposal network over an image pyramid, a refinement network and an output network, each of which looks more closely at
 * fewer windows. It finds objects of one class: faces, with five landmarks each. Names and layouts of the weights are facenet-pytorch's.
 */
export class Mtcnn implements CascadeDetector {
  readonly kind = "detector";
  readonly looks = "cascade";
  readonly imageSize: Size;
  readonly classes = 1;
  readonly pnet: PNet;
  readonly rnet: RNet;
  readonly onet: ONet;
  readonly options: MtcnnOptions;

  /** @throws OptionError where the data are no color images, or have not one class */
  constructor(options: MtcnnOptions, { sampleShape, classes }: DetectionInfo) {
    const [channels, height = 0, width = 0] = sampleShape;
    if (sampleShape.length !== 3 || channels !== 3) {
      throw new OptionError(`mtcnn: takes images of 3 channels, not samples of shape [${sampleShape}]`);
    }
    if (classes !== 1) {
      throw new OptionError(
        `mtcnn: finds objects of one class, and the data has ${classes ?? "none"}; name one with --classes`,
      );
    }
    const early = { landmarks: options.earlyLandmarks ? options.landmarks : 0 };
    this.imageSize = { width, height };
    this.options = options;
    this.pnet = new PNet(early);
    this.rnet = new RNet(early);
    this.onet = new ONet({ landmarks: options.landmarks });
  }

  /** The last threshold decides which objects count as found. */
  get usual(): Required<Pick<DetectOptions, "confidence" | "iou">> {
    return { confidence: this.look().thresholds[2], iou: OVERLAP };
  }

  get smallestObject(): number {
    return this.options.minimumSize;
  }

  /** The output network looks at squares of 48 pixels. */
  get enoughDetail(): number {
    return INPUT_SIZES.onet;
  }

  /** How it looks at an image, with options of detection that take the place of its own. */
  private look({
    confidence,
    iou = OVERLAP,
    smallest,
  }: Pick<CascadeFindOptions, "confidence" | "iou" | "smallest"> = {}): CascadeLook {
    const { factor, thresholds } = this.options;
    const minimumSize = smallest ?? this.options.minimumSize;
    const [first = 0, second = 0, third = 0] = thresholds;
    return { minimumSize, factor, thresholds: [first, second, confidence ?? third], overlap: iou };
  }

  /**
   * What each network passes on of an image, in the published convention of windows, whose left and top edges count from 1.
   * @param last the network after which it ends; default: all three look
   * @throws OptionError where an option is not acceptable
   */
  stages(
    session: Session,
    image: ByteImage,
    options: CascadeFindOptions = {},
    last: Stage = "onet",
  ): Promise<CascadeStages> {
    const { confidence, iou } = detectOptionsOf(this, options);
    const look = this.look({ confidence, iou, smallest: options.smallest });
    return cascadeStages(session, this, image, look, last, options);
  }

  /** What the proposal network would pass from another score on. */
  async proposals(session: Session, image: ByteImage, threshold: number): Promise<StageWindows> {
    const look = this.look();
    const [, second, third] = look.thresholds;
    const lower: CascadeLook = { ...look, thresholds: [threshold, second, third] };
    return (await cascadeStages(session, this, image, lower, "pnet")).proposals;
  }

  /** The boxes are the published ones, cut off at the borders of the image; `iou` is what two share of the smaller one. */
  async find(session: Session, image: ByteImage, options: CascadeFindOptions = {}): Promise<Detections> {
    const { maximum } = detectOptionsOf(this, options);
    const { found } = await this.stages(session, image, options);
    const count = Math.min(maximum, found.scores.length);
    const points = (found.landmarks?.length ?? 0) / Math.max(1, found.scores.length);
    return {
      boxes: clipBoxes(Float64Array.from(found.boxes.subarray(0, 4 * count)), image),
      scores: found.scores.slice(0, count),
      classes: new Uint32Array(count),
      ...(found.landmarks && { landmarks: found.landmarks.slice(0, points * count) }),
    };
  }

  /** The network that crops x [n, 3, side, side] are for, by their side. @throws OptionError where none takes them */
  private stageOf(x: Tensor): Stage {
    const side = sizeAt("mtcnn", x, 3);
    const stage = STAGES.find((each) => INPUT_SIZES[each] === side);
    if (stage === undefined) {
      throw new OptionError(
        `mtcnn: is trained on crops of ${Object.values(INPUT_SIZES).join(", ")} pixels, not on images of ${side}`,
      );
    }
    return stage;
  }

  trainedBy({ x }: SymbolicBatch): PNet | RNet | ONet {
    return this[this.stageOf(x)];
  }

  /** The losses of one of the networks on a batch of crops (`CropBatches`), by their side. @throws OptionError, ShapeError */
  loss(batch: SymbolicBatch & Partial<CropTargets>): Losses {
    const { x, kinds, offsets, landmarks, marked } = batch;
    const stage = this.stageOf(x);
    if (kinds === undefined || offsets === undefined) {
      throw new OptionError("mtcnn: is trained on crops with their kinds and offsets, not on whole images");
    }
    const outputs = this[stage].forward(normalizedPixels(x));
    return cropLosses(stage, outputs, { kinds, offsets, landmarks, marked });
  }

  exportedStages(): ReturnType<CascadeDetector["exportedStages"]> {
    return exportedCascade(this, this.look());
  }
}

/** MTCNN, as the catalogue has it. */
export const mtcnnDefinition = defineCascade({
  name: "mtcnn",
  summary:
    "a cascade of three small networks over an image pyramid, with landmarks: finds faces, or small objects of one class",
  paper:
    "Zhang, Zhang, Li and Qiao 2016, Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks, arXiv:1604.02878",
  options: mtcnnOptions,
  oneClass: true,
  build: (options, data) => new Mtcnn(options, data),
  // Landmarks are those that the data have; then all three networks learn them, as in the paper.
  settled: (options, { landmarks }) =>
    landmarks === undefined ? options : { ...options, landmarks, earlyLandmarks: landmarks > 0 },
  preferences: () => ({
    optimizer: "adamw",
    learningRate: 2e-3,
    beta2: 0.99,
    batchSize: 256,
    weightDecay: 1e-4,
    averageDecay: 0.99,
    warmupSteps: 50,
    clipNorm: 10,
  }),
});
