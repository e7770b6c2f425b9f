import type { z } from "zod";
import type { Dilations } from "../../backbones/dilations.ts";
import { backboneNames } from "../../backbones/published/names.ts";
import type { ByteImage, SymbolicDetectionBatch } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { Exportable, Losses, Trainable } from "../../model/capabilities.ts";
import type { DataInfo } from "../../model/data-info.ts";
import type { FitPreferences, ModelDefinition } from "../../model/definition.ts";
import type { ForeignNames } from "../../nn/names.ts";
import type { Session } from "../../program/program.ts";
import { input, type NdArray, type Tensor } from "../../tensor/index.ts";
import type { CellGrid } from "../boxes/anchors.ts";
import { boxAt, clipBoxes, type Size } from "../boxes/boxes.ts";
import { checkShare } from "../boxes/candidates.ts";
import { type Detections, pickDetections } from "../boxes/detections.ts";
import { FACE_LANDMARKS } from "../boxes/landmarks.ts";
import { nms } from "../boxes/nms.ts";
import type { ObjectRows } from "../loss/assignment.ts";
import {
  FeatureNetwork,
  type FeatureNetworkOptions,
  imageSize,
  levelGrids,
  settledFeatures,
} from "../network/feature-network.ts";
import { inRange, objectSize, type ValidRange } from "../scale/ranges.ts";

/** What a detector sees in images, before duplicates are taken away. The number of boxes k is that of its locations or anchors. */
export interface Decoded {
  /** [n, k, 4]: x1, y1, x2, y2 in pixels of the image; they may reach beyond it. */
  readonly boxes: Tensor;
  /** How sure it is of each class, 0 … 1: [n, k, classes]. */
  readonly scores: Tensor;
  /** x and y of each landmark in pixels of the image, [n, k, 2 · points]; absent where the detector predicts none. */
  readonly landmarks?: Tensor;
}

/** Values of `Decoded`. */
export type DecodedArrays = { readonly [Name in keyof Decoded]: NdArray<"float32"> };

/** A model that finds objects: its losses and its detections come from one object and one forward pass. */
export interface Detector extends Trainable, Exportable {
  /** Tells detectors from other models. */
  readonly kind: "detector";
  /** Tells detectors that look at an image once from cascades. */
  readonly looks?: "once";
  readonly imageSize: Size;
  readonly classes: number;
  /**
   * Whether an object is found several times, so that non-maximum suppression has to follow; false where the graph has
   * picked one box an object.
   */
  readonly needsSuppression: boolean;
  /** What counts as found where options and a validation do not say otherwise; default: as for all detectors. */
  readonly usual?: Required<Pick<DetectOptions, "confidence" | "iou">>;
  /** Whether it takes images of `imageSize` alone, not of any size that 32 divides; default: false. */
  readonly takesOneSize?: boolean;
  loss(batch: SymbolicDetectionBatch): Losses;
  /** x [n, 3, H, W] in bytes → boxes and scores. @throws ShapeError */
  decoded(x: Tensor): Decoded;
  /** For detectors with heat maps: how likely a center of each class is at each cell, [n, classes, rows, columns], 0 … 1. */
  heat?(x: Tensor): Tensor;
}

/** A graph of a cascade for use outside, by name. */
export interface ExportedStage extends ReturnType<Exportable["exported"]> {
  readonly name: string;
}

/**
 * A model that finds objects by several networks, one after the other: which windows a network looks at depends on what the one before has
 * found. It looks at an image at its own size, and at a pyramid of its own.
 */
export interface CascadeDetector extends Trainable {
  readonly kind: "detector";
  readonly looks: "cascade";
  /** Size of the images that it is trained on. It finds objects in images of any size. */
  readonly imageSize: Size;
  readonly classes: number;
  /** What counts as found where options do not say otherwise. */
  readonly usual: Required<Pick<DetectOptions, "confidence" | "iou">>;
  /**
   * What it finds in an image: detections from the best down, in pixels of the image and cut off at its borders.
   * @throws OptionError where an option is not acceptable
   */
  find(session: Session, image: ByteImage, options?: CascadeFindOptions): Promise<Detections>;
  /** Side in pixels of the image of the smallest objects that it looks for. */
  readonly smallestObject: number;
  /** Side from which on an object loses no detail that a network sees where it is made so small. */
  readonly enoughDetail: number;
  /** Its networks for use outside, and a text for a person and a record for a program on how they are used together. */
  exportedStages(): {
    readonly stages: readonly ExportedStage[];
    readonly guide: string;
    readonly record: Readonly<Record<string, unknown>>;
  };
}

/** A model that finds objects, in one pass or by several networks. */
export type AnyDetector = Detector | CascadeDetector;

/** Whether a model finds objects. */
export function isDetector(model: object): model is AnyDetector {
  return "kind" in model && model.kind === "detector";
}

/** A detector as one that looks at an image once. @param what cannot be done by others, for errors @throws OptionError where it is a cascade */
export function oneLook(detector: AnyDetector, what: string): Detector {
  if (detector.looks !== "cascade") return detector;
  throw new OptionError(
    `${what}: by detectors that look at an image once, which a cascade is not; take another one`,
  );
}

export interface DetectOptions {
  /** Detections of a lower score are left out, 0 … 1; default: 0.05. */
  readonly confidence?: number;
  /** Of two detections of a class that overlap by a larger IoU than this the better one stays, 0 … 1; default: 0.6. */
  readonly iou?: number;
  /** Most detections of an image, of all its tiles and views together; default: 100. */
  readonly maximum?: number;
}

/** How a cascade looks at an image, and what it reports. */
export interface CascadeFindOptions extends DetectOptions, LookReports {
  /** Side in pixels of the image of the smallest objects that are looked for; default: the cascade's own. */
  readonly smallest?: number | undefined;
}

/** What is reported while a detector looks. */
export interface LookReports {
  /** Called where more windows of an image pass a network of a cascade than are kept, the best ones: with their most. */
  readonly onWindowLimit?: ((most: number) => void) | undefined;
}

/** Most detections of an image where there may be crowds: no photo of WIDER FACE has half as many faces. */
export const MANY_DETECTIONS = 5000;

/** Options of detection, those not given filled in. @throws OptionError where a share does not lie in 0 … 1 */
export function completeDetectOptions({
  confidence = 0.05,
  iou = 0.6,
  maximum = 100,
}: DetectOptions = {}): Required<DetectOptions> {
  checkShare("detections", "confidence", confidence);
  checkShare("detections", "iou", iou);
  return { confidence, iou, maximum };
}

/** Options of detection as `completeDetectOptions`, with those that a detector has of its own. @throws OptionError where a share does not lie in 0 … 1 */
export function detectOptionsOf(detector: AnyDetector, options: DetectOptions = {}): Required<DetectOptions> {
  if (detector.usual === undefined) return completeDetectOptions(options);
  const { confidence, iou } = detector.usual;
  return completeDetectOptions({
    ...options,
    confidence: options.confidence ?? confidence,
    iou: options.iou ?? iou,
  });
}

/**
 * @param option that asks for the sizes, for errors
 * @throws OptionError where a detector takes images of one size alone, and there are others among the sizes
 */
export function checkTakesSizes(
  { imageSize: { width }, takesOneSize = false }: Pick<Detector, "imageSize" | "takesOneSize">,
  option: string,
  sizes: readonly number[],
): void {
  const other = sizes.find((size) => size !== width);
  if (!takesOneSize || other === undefined) return;
  throw new OptionError(
    `option ${option}: this detector has weights for each place of images of ${width} × ${width} pixels, and takes none of ${other} × ${other}; leave it out, or fit one whose head is of convolutions`,
  );
}

/** Most detections of an image that suppression is asked to look at, the best ones. */
export const MOST_CANDIDATES = 20_000;

/**
 * What a detector finds in images, x [n, 3, H, W] in bytes: of each image the detections from the best down, in pixels of x and
 * cut off at its borders.
 * @param range sizes of objects that count, in pixels of x; default: all
 * @throws OptionError where an option is not acceptable
 * @throws ShapeError where the images are not of a size that the detector takes
 */
export async function detections(
  detector: Detector,
  session: Session,
  x: NdArray<"float32">,
  options: DetectOptions = {},
  range?: ValidRange,
): Promise<readonly Detections[]> {
  const decoded = session.compiled(detector, "detections", ["x"], ({ x }) => detector.decoded(x));
  return pickedDetections(detector, (await decoded.run({ x })) as DecodedArrays, options, sizeOf(x), range);
}

/** The size of images [n, 3, H, W]. */
function sizeOf({ shape }: { readonly shape: readonly unknown[] }): Size {
  return { width: Number(shape[3]), height: Number(shape[2]) };
}

/**
 * What of all that a detector has seen counts as found: of each image the detections from the best down, without duplicates,
 * in pixels of the images that it sees and cut off at their borders.
 * @param decoded values of `decoded`: boxes [n, k, 4], scores [n, k, classes] and, if there are any, landmarks [n, k, 2 · points]
 * @param seen size of the images that it looked at; default: the size it is made for
 * @param range sizes of objects that count, in pixels of those images; default: all
 * @throws OptionError where an option is not acceptable
 */
export function pickedDetections(
  detector: Pick<Detector, "imageSize" | "needsSuppression">,
  { boxes, scores, landmarks }: DecodedArrays,
  options: DetectOptions = {},
  seen: Size = detector.imageSize,
  range?: ValidRange,
): readonly Detections[] {
  const { confidence, iou, maximum } = completeDetectOptions(options);
  const [count = 0] = scores.shape;
  const ofImage = (values: NdArray<"float32">, i: number): Float32Array => {
    const length = values.data.length / count;
    return values.data.subarray(length * i, length * (i + 1));
  };
  return Array.from({ length: count }, (_, i) => {
    const own = {
      boxes: ofImage(boxes, i),
      scores: ofImage(scores, i),
      ...(landmarks && { landmarks: ofImage(landmarks, i) }),
    };
    const found = candidates(own, scores.shape[2] ?? 0, confidence, range);
    const kept = nms(found.boxes, found.scores, {
      classes: found.classes,
      maximum,
      threshold: detector.needsSuppression ? iou : 1,
    });
    const picked = pickDetections(found, kept);
    return { ...picked, boxes: clipBoxes(picked.boxes, seen) };
  });
}

/** All pairs of a location and a class with a score and a size that count; of too many the best. */
function candidates(
  { boxes, scores, landmarks }: { readonly [Name in keyof Decoded]: Float32Array },
  classes: number,
  confidence: number,
  range: ValidRange | undefined,
): Detections {
  let least = confidence;
  if (scores.length > MOST_CANDIDATES) {
    const ranked = scores.slice().sort();
    least = Math.max(least, ranked[ranked.length - MOST_CANDIDATES] ?? 0);
  }
  const found: number[] = [];
  const counts = (i: number): boolean =>
    range === undefined || inRange(objectSize(boxAt(boxes, Math.floor(i / classes))), range);
  for (const [i, score] of scores.entries()) if (score >= least && counts(i)) found.push(i);
  const atPlaces = (values: Float32Array): Float32Array => {
    const width = (values.length * classes) / scores.length;
    return Float32Array.from(
      found.flatMap((i) => {
        const at = width * Math.floor(i / classes);
        return [...values.subarray(at, at + width)];
      }),
    );
  };
  return {
    boxes: atPlaces(boxes),
    scores: Float32Array.from(found, (i) => scores[i] ?? 0),
    classes: Uint32Array.from(found, (i) => i % classes),
    ...(landmarks && { landmarks: atPlaces(landmarks) }),
  };
}

/** What a detector must know of its data: images [3, height, width], and the number of classes. */
export interface DetectionInfo extends Pick<DataInfo, "sampleShape" | "classes"> {
  /** Shapes of training boxes (all, or a sample) in pixels of those images, from which anchors are made. */
  readonly boxShapes?: readonly Size[];
  /** Whether a fit begins with given weights, on which it depends what of a backbone is trained; default: false. */
  readonly fromWeights?: boolean;
  /** Landmarks that the objects of a fit have, 0 or more; absent where nothing is fitted. */
  readonly landmarks?: number;
}

/** A detector by name: a model definition whose data are annotated images. */
export interface DetectorDefinition<
  N extends string = string,
  S extends z.ZodObject = z.ZodObject,
  M extends AnyDetector = Detector,
> extends ModelDefinition<S, M> {
  readonly name: N;
  readonly dataKinds: readonly ["detection"];
  readonly can: readonly ["detect", "export"];
  build(options: z.output<S>, data: DetectionInfo): M;
  settled?(options: z.output<S>, data: DetectionInfo): z.output<S>;
  notes?(options: z.output<S>, data: DetectionInfo): readonly string[];
  preferences(data: DetectionInfo): FitPreferences;
}

/** What the definition of a detector says of itself. */
type OwnDefinition<N extends string, S extends z.ZodObject, M extends AnyDetector> = Pick<
  DetectorDefinition<N, S, M>,
  "name" | "summary" | "paper" | "options" | "build" | "settled" | "notes"
>;

/** The definition of a detector: what all of them share is added. Keeps the literal name and the types of the options. */
export function defineDetector<const N extends string, S extends z.ZodObject>(
  definition: OwnDefinition<N, S, Detector>,
): DetectorDefinition<N, S> {
  return defined(definition);
}

/** As `defineDetector`, of a cascade, which may prefer other options of training. */
export function defineCascade<const N extends string, S extends z.ZodObject>({
  preferences,
  oneClass,
  ...definition
}: OwnDefinition<N, S, CascadeDetector> &
  Pick<DetectorDefinition<N, S, CascadeDetector>, "preferences" | "oneClass">): DetectorDefinition<
  N,
  S,
  CascadeDetector
> {
  return { ...defined(definition), preferences, ...(oneClass !== undefined && { oneClass }) };
}

function defined<N extends string, S extends z.ZodObject, M extends AnyDetector>(
  definition: OwnDefinition<N, S, M>,
): DetectorDefinition<N, S, M> {
  return {
    ...definition,
    dataKinds: ["detection"],
    can: ["detect", "export"],
    preferences: () => detectorPreferences,
    settled(options, data) {
      const own = definition.settled?.(options, data) ?? options;
      if (!("backbone" in own)) return own;
      return { ...own, ...settledFeatures(own, data.fromWeights === true) };
    },
  };
}

/**
 * Training options that the detectors prefer. First gradients are many times larger than later ones, and runs are short: with a
 * long memory of their squares, Adam's steps would stay small.
 */
const detectorPreferences: FitPreferences = {
  optimizer: "adamw",
  learningRate: 2e-3,
  beta2: 0.99,
  batchSize: 8,
  weightDecay: 0.05,
  averageDecay: 0.99,
  warmupSteps: 100,
  clipNorm: 10,
};

/** The grid of a detector with one map. @throws OptionError where there is none */
export function onlyGrid([grid]: readonly CellGrid[]): CellGrid {
  if (grid === undefined) throw new OptionError("the detector has no map");
  return grid;
}

/** How a dense detector is called: by name in errors and by title in the description of its graph. */
export interface DetectorNames {
  readonly name: string;
  readonly title: string;
}

/**
 * A detector that predicts at every location of its maps: backbone and neck make the maps, and a head reads them. What its head,
 * losses and decoding are, its paper gives. All but the geometry is the same for images of any size that its strides divide.
 * @typeParam Geometry what follows from the size of the images: grids, points, anchors
 */
export abstract class DenseDetector<Options, Outputs, Geometry> implements Detector {
  readonly kind = "detector";
  readonly imageSize: Size;
  readonly classes: number;
  readonly features: FeatureNetwork;
  abstract readonly needsSuppression: boolean;
  abstract readonly head: { forward(maps: readonly Tensor[]): Outputs };
  protected readonly options: Options;
  /** The grid of each map over images of the size it is made for, from the finest on. */
  protected readonly grids: readonly CellGrid[];
  private readonly title: string;
  /** By height and width. Not a field of a state: a map's entries are no properties. */
  private readonly geometries = new Map<string, Geometry>();

  /** @throws OptionError where the data are no images of a size that the network takes, or have no classes */
  constructor(
    { name, title }: DetectorNames,
    options: Options,
    data: DetectionInfo,
    network: FeatureNetworkOptions,
  ) {
    const { classes } = data;
    this.imageSize = imageSize(name, data.sampleShape);
    if (classes === undefined || classes < 1) {
      throw new OptionError(`${name}: the data has no classes; a detector needs annotated images`);
    }
    this.classes = classes;
    this.options = options;
    this.title = title;
    this.features = new FeatureNetwork(network);
    this.grids = levelGrids(this.imageSize, this.features.levels);
  }

  /** What the head's predictions are relative to, for maps of these grids over images of that size. */
  protected abstract geometryOf(grids: readonly CellGrid[], size: Size): Geometry;
  /** The losses of what the head predicts. */
  protected abstract lossesOf(outputs: Outputs, objects: ObjectRows, geometry: Geometry): Losses;
  /** The boxes and scores that the head's predictions stand for. */
  protected abstract decode(outputs: Outputs, geometry: Geometry): Decoded;

  /** The geometry for images x [n, 3, H, W]. */
  private geometry(x: Tensor): Geometry {
    const size = sizeOf(x);
    const key = `${size.height}x${size.width}`;
    const known = this.geometries.get(key);
    if (known !== undefined) return known;
    const made = this.geometryOf(levelGrids(size, this.features.levels), size);
    this.geometries.set(key, made);
    return made;
  }

  /** What the head predicts for x [n, 3, H, W] in bytes in each of the branches that look. @throws ShapeError */
  protected outputs(x: Tensor): readonly Outputs[] {
    return this.features.trident.looking.map((dilations) => this.outputsIn(x, dilations));
  }

  /** What the head predicts for x [n, 3, H, W] in bytes, in branches of these dilations. @throws ShapeError */
  protected outputsIn(x: Tensor, dilations: Dilations): Outputs {
    return this.head.forward(this.features.forward(x, dilations));
  }

  /** The share of the learning rate of a parameter: what is frozen of the backbone has 0. */
  rateOf(name: string): number {
    return name.startsWith("features.") ? this.features.rateOf(name.slice("features.".length)) : 1;
  }

  foreignNames(): ForeignNames {
    return backboneNames(this.features.backboneName, "features.backbone.");
  }

  loss({ x, ...objects }: SymbolicDetectionBatch): Losses {
    const { trident } = this.features;
    const outputs = this.outputsIn(x, trident.trained);
    return this.lossesOf(outputs, trident.objects(objects), this.geometry(x));
  }

  decoded(x: Tensor): Decoded {
    const geometry = this.geometry(x);
    return this.features.trident.merged(this.outputs(x).map((outputs) => this.decode(outputs, geometry)));
  }

  /** The graph for use outside: decoding is inside, suppression is not. */
  exported(): ReturnType<Exportable["exported"]> {
    return exportedDetector(this, this.title);
  }
}

/** What an exported graph says of landmarks [batch, k, 2 · points]. */
export function landmarksText({ shape: [, places, numbers] }: Tensor): string {
  const points = Number(numbers) / 2;
  const names = points === FACE_LANDMARKS.length ? FACE_LANDMARKS.join(", ") : counted(points, "point");
  return `landmarks: [batch, ${places}, ${numbers}], x and y of ${names}, in pixels of x. `;
}

/** A detector's graph for use outside, with a description: decoding is inside, suppression is not. @param title how it is called there */
export function exportedDetector(
  detector: Pick<Detector, "imageSize" | "classes" | "needsSuppression" | "decoded">,
  title: string,
): ReturnType<Exportable["exported"]> {
  const { width, height } = detector.imageSize;
  const { boxes, scores, landmarks } = detector.decoded(input("x", ["batch", 3, height, width]));
  return {
    outputs: { boxes, scores, ...(landmarks && { landmarks }) },
    description:
      `${title}. x: RGB images as bytes 0 … 255 in float32, [batch, 3, ${height}, ${width}]. boxes: [batch, ${boxes.shape[1]}, 4], ` +
      `x1, y1, x2, y2 in pixels of x, which may reach beyond it. scores: [batch, ${boxes.shape[1]}, ${detector.classes}], 0 … 1 for each class. ` +
      `${landmarks ? landmarksText(landmarks) : ""}${
        detector.needsSuppression
          ? "An object is found several times: non-maximum suppression by class has to follow."
          : "Duplicates are taken away already; boxes that stand for none have low scores."
      }`,
  };
}
