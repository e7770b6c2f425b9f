import type { ByteImage } from "../../../data/boxes/set.ts";
import { OptionError } from "../../../errors.ts";
import type { Losses } from "../../../model/capabilities.ts";
import type { Session } from "../../../program/program.ts";
import { clipBoxes, type Size } from "../../boxes/boxes.ts";
import type { Detections } from "../../boxes/detections.ts";
import {
  type CascadeDetector,
  type DetectionInfo,
  type DetectOptions,
  defineCascade,
  detectOptionsOf,
} from "../detector.ts";
import { type CascadeLook, type CascadeStages, cascadeStages } from "./cascade.ts";
import { exportedCascade } from "./exported.ts";
import { ONet, PNet, RNet } from "./networks.ts";
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

  /** How it looks at an image, with options of detection that take the place of its own. */
  private look({ confidence, iou = OVERLAP }: DetectOptions = {}): CascadeLook {
    const { minimumSize, factor, thresholds } = this.options;
    const [first = 0, second = 0, third = 0] = thresholds;
    return { minimumSize, factor, thresholds: [first, second, confidence ?? third], overlap: iou };
  }

  /**
   * What each network passes on of an image, in the published convention of windows, whose left and top edges count from 1.
   * @throws OptionError where an option is not acceptable
   */
  stages(session: Session, image: ByteImage, options: DetectOptions = {}): Promise<CascadeStages> {
    const { confidence, iou } = detectOptionsOf(this, options);
    return cascadeStages(session, this, image, this.look({ confidence, iou }));
  }

  /** The boxes are the published ones, cut off at the borders of the image; `iou` is what two share of the smaller one. */
  async find(session: Session, image: ByteImage, options: DetectOptions = {}): Promise<Detections> {
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

  /** @throws OptionError always: each of the three networks has a loss of its own, on windows that the one before has found */
  loss(): Losses {
    throw new OptionError(
      "mtcnn: its networks are trained one after the other on windows of images, not by one loss on whole images",
    );
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
  build: (options, data) => new Mtcnn(options, data),
});
