import type { FaceSubset } from "../../data/boxes/set.ts";
import { OptionError } from "../../errors.ts";
import type { Detections, Truth } from "../boxes/detections.ts";
import {
  type CocoOptions,
  type CocoSummary,
  type CocoTables,
  cocoTables,
  type SizeSummary,
  summarizeCoco,
  summarizeSizes,
} from "./coco.ts";
import { type ConfusionMatrix, type ConfusionOptions, confusionMatrix } from "./confusion.ts";
import { type DetectionErrors, detectionErrors, type ErrorOptions } from "./errors.ts";
import { type RocCurve, type RocOptions, rocCurve } from "./fddb.ts";
import { type EvaluatedImage, evaluatedImage } from "./matching.ts";
import { type CurveOptions, type DetectionCurves, detectionCurves } from "./precision-recall.ts";
import { recallBySize, type SizeRecall, type SizeRecallOptions } from "./sizes.ts";
import { type VocAccuracy, type VocOptions, vocAccuracy } from "./voc.ts";
import { type FaceAccuracy, faceAccuracy } from "./wider.ts";

/** COCO's numbers of one class. */
export interface ClassSummary extends CocoSummary {
  readonly name: string;
  /** Objects to find. */
  readonly objects: number;
  /** By size, where sizes were asked for. */
  readonly sizes?: readonly SizeSummary[];
}

/** COCO's numbers, overall and class by class. */
export interface CocoResult extends CocoSummary {
  readonly images: number;
  readonly objects: number;
  /** Detections of a class in an image that count at most; 100 by COCO's rules. */
  readonly maximum: number;
  readonly classes: readonly ClassSummary[];
  /** By size, where sizes were asked for. */
  readonly sizes?: readonly SizeSummary[];
}

/**
 * Gathers detections and objects image by image, and judges them by any of the measures of this room. What is added is copied;
 * nothing is computed before it is asked for, and more may be added afterwards.
 *
 *     const evaluator = new DetectionEvaluator(["cell", "platelet"]);
 *     for (const { detections, truth } of images) evaluator.add(detections, truth);
 *     const { ap, ap50 } = evaluator.coco();
 */
export class DetectionEvaluator {
  readonly classes: readonly string[];
  private readonly images: EvaluatedImage[] = [];

  /** @param classes names of the classes, in the order of their numbers. @throws OptionError where there is none */
  constructor(classes: readonly string[]) {
    if (classes.length === 0) throw new OptionError("DetectionEvaluator: there are no classes");
    this.classes = classes;
  }

  /** Number of images so far. */
  get count(): number {
    return this.images.length;
  }

  /**
   * Adds an image. Images without objects or detections count, too.
   * @param name of the image, for errors
   * @throws OptionError where arrays do not belong together, a class does not exist, a score is NaN or a coordinate is not finite
   */
  add(detections: Detections, truth: Truth, name = `image ${this.images.length}`): void {
    this.images.push(evaluatedImage(name, this.classes.length, detections, truth));
  }

  /** COCO's average precision and recall. @throws OptionError where an option is not acceptable */
  coco(options: CocoOptions = {}): CocoResult {
    const tables = this.cocoTables(options);
    const all = tables.areas.indexOf("all");
    const bySize = (label?: number) =>
      options.sizes === undefined ? {} : { sizes: summarizeSizes(tables, label) };
    const classes = this.classes.map((name, label) => ({
      name,
      objects: tables.objects[label * tables.areas.length + all] ?? 0,
      ...summarizeCoco(tables, label),
      ...bySize(label),
    }));
    return {
      images: this.count,
      objects: classes.reduce((sum, { objects }) => sum + objects, 0),
      maximum: tables.maximums.at(-1) ?? Number.NaN,
      ...summarizeCoco(tables),
      classes,
      ...bySize(),
    };
  }

  /** Precision at 101 recalls, and the highest recall, by IoU, class, size and number of detections. */
  cocoTables(options: CocoOptions = {}): CocoTables {
    return cocoTables(this.images, this.classes.length, options);
  }

  /** VOC's average precision, at eleven points or exactly. */
  voc(options: VocOptions = {}): VocAccuracy {
    return vocAccuracy(this.images, this.classes.length, options);
  }

  /** Precision, recall and F₁ over the score. */
  curves(options: CurveOptions = {}): DetectionCurves {
    return detectionCurves(this.images, this.classes.length, options);
  }

  /** Recall by size. @throws OptionError where boundaries do not rise */
  recallBySize(options: SizeRecallOptions): readonly SizeRecall[] {
    return recallBySize(this.images, this.classes.length, options);
  }

  /** FDDB's true positive rates against wrong detections. */
  roc(options: RocOptions = {}): RocCurve {
    return rocCurve(this.images, this.classes.length, options);
  }

  /** WIDER FACE's average precision of easy, medium and hard faces, by the `subsets` of the objects. */
  faces(): Readonly<Record<FaceSubset, FaceAccuracy>> {
    return faceAccuracy(this.images, this.classes.length);
  }

  /** Which class is taken for which, and for background. */
  confusion(options: ConfusionOptions = {}): ConfusionMatrix {
    return confusionMatrix(this.images, this.classes.length, options);
  }

  /** Why detections are wrong and objects not found. */
  errors(options: ErrorOptions = {}): DetectionErrors {
    return detectionErrors(this.images, this.classes.length, options);
  }
}
