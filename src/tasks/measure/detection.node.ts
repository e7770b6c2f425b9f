import type { DetectionSet, DetectionSplit } from "../../data/boxes/set.ts";
import type { SplitName } from "../../data/sources/data-set.ts";
import { letterboxBatch } from "../../detection/augment/batches.ts";
import { type DetectionErrors, ERROR_KINDS } from "../../detection/measure/errors.ts";
import { type CocoResult, DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import type { AnyDetector, DetectOptions } from "../../detection/models/detector.ts";
import {
  detectorViews,
  type PyramidImages,
  pyramidDetections,
} from "../../detection/models/image-pyramid.ts";
import { isPlain, type TestTimeOptions, type Views } from "../../detection/scale/test-time.ts";
import { OptionError } from "../../errors.ts";
import { parameterCount } from "../../nn/module.ts";
import type { Session } from "../../program/program.ts";
import type { ReportResult } from "../../report/index.ts";
import type { NdArray } from "../../tensor/array.ts";
import { looksOf } from "../run/detection-options.ts";
import type { DetectorRun } from "../run/load.node.ts";
import type { FoundIn } from "./detection-pictures.ts";
import { evaluationOptions, truthOf } from "./evaluator.ts";

/** Images that a detector looks at in one run of its program. */
const AT_ONCE = 4;

/** What a detector finds in some images of a split, in pixels of those images. */
export async function detectImages(
  detector: AnyDetector,
  session: Session,
  split: DetectionSplit,
  indices: readonly number[],
  options: DetectOptions & TestTimeOptions,
): Promise<readonly FoundIn[]> {
  const images = await pyramidImages(split, indices, detectorViews(detector, options));
  const found = await pyramidDetections(detector, session, images, options);
  return indices.flatMap((index, i) => {
    const own = found[i];
    return own === undefined ? [] : [{ index, found: own }];
  });
}

/** How well a detector finds the objects of a split: numbers with all that they depend on. */
export interface DetectionEvaluation {
  readonly run: string;
  readonly model: string;
  readonly modelOptions: Readonly<Record<string, unknown>>;
  readonly data: string;
  readonly split: SplitName;
  readonly parameters: number;
  /** Height and width of the images that the detector sees. */
  readonly size: number;
  /** Seed of the training. */
  readonly seed: number;
  /** Steps and seconds of training. */
  readonly steps: number;
  readonly seconds: number;
  /** Step of the weights that were measured. */
  readonly step: number;
  /** What counted as found; and how often the detector looked at an image, where that is more than once. */
  readonly detect: Required<DetectOptions> & TestTimeOptions;
  /**
   * Images a second that the detector looks at, a few at once, with decoding and suppression, without reading files; an image that it looks
   * at several times counts once.
   */
  readonly imagesPerSecond: number;
  readonly coco: CocoResult;
  /** Average precision at IoU ½ by VOC's rules: exact, and at eleven recalls. */
  readonly voc: { readonly ap: number; readonly ap11: number };
  /** Where F₁ is highest at IoU ½: the score at which to cut. */
  readonly best?: {
    readonly score: number;
    readonly f1: number;
    readonly precision: number;
    readonly recall: number;
  };
  readonly errors: DetectionErrors;
  /** All of it as a table. */
  readonly results: readonly ReportResult[];
}

export interface DetectionEvaluationOptions extends DetectOptions, TestTimeOptions {
  /** Default: the test split. */
  readonly split?: SplitName;
  /** Called with the share of images that are done. */
  readonly onProgress?: (share: number) => void;
}

/** What was found in a split, and how fast. */
export interface EvaluatedSplit {
  readonly evaluator: DetectionEvaluator;
  /** What was found in each image, in pixels of it. */
  readonly found: readonly FoundIn[];
  readonly imagesPerSecond: number;
}

/** Images of a split as a detector looks at them in all views. */
async function pyramidImages(
  split: DetectionSplit,
  indices: readonly number[],
  { sides }: Pick<Views, "sides">,
): Promise<PyramidImages> {
  const images = new Map<number, NdArray<"float32">>();
  for (const side of sides) images.set(side, (await letterboxBatch(split, indices, side)).x);
  return {
    sizes: indices.map((index) => split.annotations(index)),
    at(side) {
      const x = images.get(side);
      if (x === undefined) throw new RangeError(`images of ${side} pixels are not among those of the views`);
      return x;
    },
    whole: async (i) => (await split.sample(indices[i] ?? Number.NaN)).image,
  };
}

/**
 * Lets a detector find the objects of a split; one that was fitted with SNIP or SNIPER looks at its own scales unless others are given.
 * @throws OptionError where it is empty; DataError where an image can no longer be read
 */
export async function evaluateSplit(
  run: DetectorRun,
  set: DetectionSet,
  splitName: SplitName,
  options: DetectionEvaluationOptions = {},
): Promise<EvaluatedSplit> {
  const split = set.splits[splitName];
  if (split.count === 0) {
    throw new OptionError(`option split: the ${splitName} split of ${set.name} is empty; choose another`);
  }
  const evaluator = new DetectionEvaluator(run.classes);
  const found: FoundIn[] = [];
  const looks = looksOf(run.config, options);
  const views = detectorViews(run.model, looks);
  const settings = { ...looks, ...evaluationOptions(options, run.model) };
  let [timed, seconds] = [0, 0];
  for (let first = 0; first < split.count; first += AT_ONCE) {
    const indices = Array.from({ length: Math.min(AT_ONCE, split.count - first) }, (_, i) => first + i);
    const images = await pyramidImages(split, indices, views);
    const begun = performance.now();
    const seen = await pyramidDetections(run.model, run.session, images, settings);
    // The first and the last images wait for a program to be built.
    if (first > 0 && indices.length === AT_ONCE) {
      seconds += (performance.now() - begun) / 1000;
      timed += indices.length;
    }
    for (const [i, index] of indices.entries()) {
      const own = seen[i];
      if (own === undefined) continue;
      evaluator.add(own, truthOf(split, index), split.annotations(index).file);
      found.push({ index, found: own });
    }
    options.onProgress?.((first + indices.length) / split.count);
  }
  return { evaluator, found, imagesPerSecond: timed / seconds };
}

/**
 * Measures a detector on a split: COCO's and VOC's average precision, the best cut, and what is wrong. One that was fitted with SNIP or
 * SNIPER looks at its own scales, each for the objects that were learnt there, unless `testScales` are given.
 * @throws OptionError where the split is empty; DataError where an image can no longer be read
 */
export async function evaluateDetector(
  run: DetectorRun,
  set: DetectionSet,
  options: DetectionEvaluationOptions = {},
): Promise<DetectionEvaluation> {
  const { split = "test" } = options;
  return summarize(run, set, split, await evaluateSplit(run, set, split, options), options);
}

/** The measures of what was found in a split. */
export async function summarize(
  run: DetectorRun,
  set: DetectionSet,
  split: SplitName,
  { evaluator, imagesPerSecond }: EvaluatedSplit,
  options: DetectOptions & TestTimeOptions = {},
): Promise<DetectionEvaluation> {
  const { config, folder, model } = run;
  const last = (await folder.readMetrics()).at(-1);
  const step = run.weightsStep ?? last?.step ?? 0;
  const coco = evaluator.coco();
  const errors = evaluator.errors();
  const voc = { ap: evaluator.voc().ap, ap11: evaluator.voc({ points: 11 }).ap };
  const { best } = evaluator.curves().all;
  const views = detectorViews(model, looksOf(config, options));
  return {
    run: folder.path,
    model: config.model,
    modelOptions: config.modelOptions,
    data: set.name,
    split,
    parameters: parameterCount(model),
    size: model.imageSize.width,
    seed: config.fit.seed,
    steps: last?.step ?? 0,
    seconds: last?.seconds ?? 0,
    step,
    detect: {
      ...evaluationOptions(options, model),
      ...(!isPlain(views, model.imageSize.width) && views.options),
    },
    imagesPerSecond,
    coco,
    voc,
    ...(best !== undefined && { best }),
    errors,
    results: measuresOf({ coco, voc, best, errors, imagesPerSecond }).map((measure) => ({
      ...measure,
      dataSet: set.name,
      split,
      samples: coco.images,
      seed: config.fit.seed,
      step,
    })),
  };
}

type Measures = Pick<DetectionEvaluation, "coco" | "voc" | "errors" | "imagesPerSecond"> & {
  readonly best: DetectionEvaluation["best"] | undefined;
};

const ERROR_NAMES: Readonly<Record<(typeof ERROR_KINDS)[number], string>> = {
  class: "wrong class",
  localisation: "wrong location",
  both: "wrong class and location",
  duplicate: "found twice",
  background: "nothing there",
  missed: "not found",
};

/** Numbers by name; those that are not defined, as of large objects where there are none, are left out. */
function measuresOf({ coco, voc, best, errors, imagesPerSecond }: Measures) {
  const measure = (name: string, value: number, note?: string, unit = "") =>
    Number.isFinite(value) ? [{ name, value, unit, ...(note !== undefined && { note }) }] : [];
  return [
    ...measure("AP", coco.ap, "COCO: mean over classes and IoU 0.5 … 0.95"),
    ...measure("AP50", coco.ap50, "at IoU 0.5"),
    ...measure("AP75", coco.ap75, "at IoU 0.75"),
    ...measure("AP small", coco.apSmall, "objects below 32² pixels"),
    ...measure("AP medium", coco.apMedium, "objects below 96² pixels"),
    ...measure("AP large", coco.apLarge, "larger objects"),
    ...measure("AR", coco.ar100, "recall, mean over classes and IoU, 100 detections an image"),
    ...measure("VOC AP", voc.ap, "at IoU 0.5, exact"),
    ...measure("VOC AP, 11 points", voc.ap11, "at IoU 0.5"),
    ...(best === undefined
      ? []
      : measure(
          "best F₁",
          best.f1,
          `score from ${best.score.toFixed(3)} on: precision ${best.precision.toFixed(3)}, recall ${best.recall.toFixed(3)}`,
        )),
    ...coco.classes.flatMap(({ name, ap50, ap, objects }) =>
      measure(`AP50 of ${name}`, ap50, `${objects} objects, AP ${ap.toFixed(3)}`),
    ),
    ...ERROR_KINDS.flatMap((kind) =>
      measure(
        `cost: ${ERROR_NAMES[kind]}`,
        errors.costs[kind],
        `${errors.counts[kind]} times; AP50 that is lost`,
      ),
    ),
    ...measure("speed", imagesPerSecond, undefined, "images a second"),
  ];
}
