import type { DetectionSet, DetectionSplit } from "../../data/boxes/set.ts";
import type { SplitName } from "../../data/sources/data-set.ts";
import { type Detections, limited } from "../../detection/boxes/detections.ts";
import { maximumsTo } from "../../detection/measure/coco.ts";
import { type DetectionErrors, ERROR_KINDS } from "../../detection/measure/errors.ts";
import { type CocoResult, DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import {
  type AnyDetector,
  type DetectOptions,
  type LookReports,
  MANY_DETECTIONS,
} from "../../detection/models/detector.ts";
import { detectorViews, pyramidDetections } from "../../detection/models/image-pyramid.ts";
import { lookedAt, splitImages, tiledDetections } from "../../detection/models/tiled-images.ts";
import { isPlain, type TestTimeOptions } from "../../detection/scale/test-time.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { parameterCount } from "../../nn/module.ts";
import { Interrupted } from "../../program/deadline.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import type { ReportResult } from "../../report/index.ts";
import { askedConfidence, looksOf } from "../run/detection-options.ts";
import type { DetectorRun } from "../run/load.node.ts";
import { leastScore } from "../use/detect.node.ts";
import {
  checkedMeasures,
  type MeasureOptions,
  type MoreMeasures,
  measureLines,
  moreMeasures,
} from "./detection-measures.ts";
import type { FoundIn } from "./detection-pictures.ts";
import { writeDetectionPlots } from "./detection-plots.node.ts";
import { evaluationOptions, truthOf } from "./evaluator.ts";
import { limitsOf, type SplitLimits } from "./limits.ts";

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
  const views = detectorViews(detector, options);
  if (views.tiling !== undefined) {
    const tiles = lookedAt(detector, split, views.tiling);
    const all: FoundIn[] = [];
    for (const index of indices) {
      const found = await tiledDetections(detector, session, tiles, index, options);
      if (found !== undefined) all.push({ index, found });
    }
    return all;
  }
  const images = await splitImages(split, indices, views);
  const found = await pyramidDetections(detector, session, images, options);
  return indices.flatMap((index, i) => {
    const own = found[i];
    return own === undefined ? [] : [{ index, found: own }];
  });
}

/** How well a detector finds the objects of a split: numbers with all that they depend on. */
export interface DetectionEvaluation extends MoreMeasures {
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
   * at several times counts once. The first images, for which programs are built, count where there are no others alone.
   */
  readonly imagesPerSecond: number;
  /** Where a maximum bites. */
  readonly limits: SplitLimits;
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

export interface DetectionEvaluationOptions extends DetectOptions, TestTimeOptions, MeasureOptions {
  /** Default: the test split. */
  readonly split?: SplitName;
  /** Folder to write plots and evaluation.json into. Default: nothing is written. */
  readonly out?: string;
  /** Called with the share of images that are done. */
  readonly onProgress?: (share: number) => void;
}

/** What was found in a split, and how fast. */
export interface EvaluatedSplit {
  readonly evaluator: DetectionEvaluator;
  /** What was found in each image, in pixels of it. */
  readonly found: readonly FoundIn[];
  /** What counted as found. */
  readonly counted: Required<DetectOptions>;
  readonly limits: SplitLimits;
  readonly pace: Pace;
}

/** How fast a detector looks at images. Programs are built while it looks at the first ones, which count where there are no others. */
class Pace {
  private readonly usual = { images: 0, seconds: 0 };
  private readonly building = { images: 0, seconds: 0 };

  /** @param builds whether programs may have been built meanwhile */
  add(images: number, seconds: number, builds: boolean): void {
    const sums = builds ? this.building : this.usual;
    sums.images += images;
    sums.seconds += seconds;
  }

  /** Whether there is no other time than that in which programs were built. */
  get builds(): boolean {
    return this.usual.images === 0;
  }

  get imagesPerSecond(): number {
    const { images, seconds } = this.builds ? this.building : this.usual;
    return images / seconds;
  }
}

/** What an evaluation takes as found, with every default: at most 100 detections of an image, but more where a protocol or tiles know no limit. */
function countedOptions(
  run: DetectorRun,
  options: DetectOptions & TestTimeOptions & Pick<MeasureOptions, "roc" | "face">,
): Required<DetectOptions> {
  const { tiling } = detectorViews(run.model, looksOf(run.config, options));
  const inCrowds = tiling !== undefined || options.face === true || options.roc !== undefined;
  const maximum = options.maximum ?? (inCrowds ? MANY_DETECTIONS : undefined);
  const confidence = askedConfidence(options.confidence, run.cascade);
  return evaluationOptions(
    {
      ...(confidence !== undefined && { confidence }),
      ...(options.iou !== undefined && { iou: options.iou }),
      ...(maximum !== undefined && { maximum }),
    },
    run.model,
  );
}

/**
 * Lets a detector find the objects of a split; one that was fitted with SNIP or SNIPER looks at its own scales unless others are given. Where
 * the run's deadline comes first, or a person stops it, the images that were looked at until then stand for all.
 * @throws OptionError where it is empty; DataError where an image can no longer be read; Interrupted where no image was looked at
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
  const counted = countedOptions(run, options);
  const limits = limitsOf(split, counted.maximum, options.maximum);
  const pace = new Pace();
  const settingsOf = (index: number): DetectOptions & TestTimeOptions & LookReports => ({
    ...looks,
    ...counted,
    // One more than counts: so it is known whether any is left out.
    maximum: counted.maximum + 1,
    onWindowLimit: (most) => limits.windows(split.annotations(index).file, most),
  });
  const note = (index: number, all: Detections): void => {
    const { file } = split.annotations(index);
    const { found: own, cut } = limited(all, counted.maximum);
    if (cut) limits.cut(file);
    evaluator.add(own, truthOf(split, index), file);
    found.push({ index, found: own });
  };
  // In an order drawn at random where the time may be too short for all: those that are looked at stand for the others.
  const isLimited = Number.isFinite(run.deadline.secondsLeft);
  const order = isLimited ? new Random(0).split("order of images").permutation(split.count) : undefined;
  const at = (position: number): number => order?.[position] ?? position;
  try {
    if (views.tiling !== undefined) {
      const tiles = lookedAt(run.model, split, views.tiling);
      for (let position = 0; position < split.count; position++) {
        const begun = performance.now();
        const onTiles = (done: number, count: number) =>
          options.onProgress?.((position + done / count) / split.count);
        const index = at(position);
        const own = await tiledDetections(run.model, run.session, tiles, index, settingsOf(index), {
          onTiles,
        });
        pace.add(1, (performance.now() - begun) / 1000, position === 0);
        if (own !== undefined) note(index, own);
      }
      return { evaluator, found, counted, limits: limits.all, pace };
    }
    // What a cascade reports is of the image that it looks at.
    const atOnce = run.model.looks === "cascade" ? 1 : AT_ONCE;
    for (let first = 0; first < split.count; first += atOnce) {
      const indices = Array.from({ length: Math.min(atOnce, split.count - first) }, (_, i) => at(first + i));
      const images = await splitImages(split, indices, views);
      const begun = performance.now();
      const seen = await pyramidDetections(run.model, run.session, images, settingsOf(at(first)));
      pace.add(indices.length, (performance.now() - begun) / 1000, first === 0 || indices.length < atOnce);
      for (const [i, index] of indices.entries()) {
        const own = seen[i];
        if (own !== undefined) note(index, own);
      }
      options.onProgress?.((first + indices.length) / split.count);
    }
  } catch (error) {
    if (!(error instanceof Interrupted) || found.length === 0) throw error;
  }
  return { evaluator, found, counted, limits: limits.all, pace };
}

/**
 * Measures a detector on a split: COCO's and VOC's average precision, the best cut, what is wrong, and what the options ask for. One that was
 * fitted with SNIP or SNIPER looks at its own scales, each for the objects that were learnt there, unless `testScales` are given.
 * @throws OptionError where the split is empty, or `face` is asked for and no face is easy, medium or hard; DataError where an image can no
 * longer be read; FileError where plots cannot be written
 */
export async function evaluateDetector(
  run: DetectorRun,
  set: DetectionSet,
  options: DetectionEvaluationOptions = {},
): Promise<DetectionEvaluation> {
  const { split = "test" } = options;
  const measures = checkedMeasures(options, set, split);
  const evaluated = await evaluateSplit(run, set, split, options);
  const evaluation = await summarize(run, set, split, evaluated, options, measures);
  if (options.out !== undefined) {
    const score = await leastScore(run, options.confidence);
    await writeDetectionPlots(options.out, run.classes, evaluated.evaluator, evaluation, {
      ...measures,
      score,
    });
  }
  return evaluation;
}

/** The measures of what was found in a split. @param measures what else is wanted */
export async function summarize(
  run: DetectorRun,
  set: DetectionSet,
  split: SplitName,
  { evaluator, counted, limits, pace }: EvaluatedSplit,
  options: DetectOptions & TestTimeOptions = {},
  measures: MeasureOptions = {},
): Promise<DetectionEvaluation> {
  const { config, folder, model } = run;
  const last = (await folder.readMetrics()).at(-1);
  const step = run.weightsStep ?? last?.step ?? 0;
  const { maximum } = counted;
  const coco = evaluator.coco({ sizes: measures.sizes, maximums: maximumsTo(limits.coco) });
  const errors = evaluator.errors({ maximum });
  const voc = { ap: evaluator.voc().ap, ap11: evaluator.voc({ points: 11 }).ap };
  const { best } = evaluator.curves({ maximum }).all;
  const { imagesPerSecond } = pace;
  const views = detectorViews(model, looksOf(config, options));
  const more = moreMeasures(evaluator, measures, {
    score: await leastScore(run, options.confidence),
    maximum,
  });
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
      ...counted,
      ...(!isPlain(views, model.imageSize.width) && views.options),
    },
    imagesPerSecond,
    limits,
    coco,
    voc,
    ...(best !== undefined && { best }),
    errors,
    ...more,
    results: measuresOf({ coco, voc, best, errors, pace, more }).map((measure) => ({
      ...measure,
      dataSet: set.name,
      split,
      samples: coco.images,
      seed: config.fit.seed,
      step,
    })),
  };
}

type Measures = Pick<DetectionEvaluation, "coco" | "voc" | "errors"> & {
  readonly pace: Pace;
  readonly best: DetectionEvaluation["best"] | undefined;
  readonly more: MoreMeasures;
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
function measuresOf({ coco, voc, best, errors, pace, more }: Measures) {
  const measure = (name: string, value: number, note?: string, unit = "") =>
    Number.isFinite(value) ? [{ name, value, unit, ...(note !== undefined && { note }) }] : [];
  return [
    ...measure(
      "AP",
      coco.ap,
      `COCO: mean over classes and IoU 0.5 … 0.95, at most ${counted(coco.maximum, "detection")} of a class in an image`,
    ),
    ...measure("AP50", coco.ap50, "at IoU 0.5"),
    ...measure("AP75", coco.ap75, "at IoU 0.75"),
    ...measure("AP small", coco.apSmall, "objects below 32² pixels"),
    ...measure("AP medium", coco.apMedium, "objects below 96² pixels"),
    ...measure("AP large", coco.apLarge, "larger objects"),
    ...measure(
      "AR",
      coco.ar,
      `recall, mean over classes and IoU, ${counted(coco.maximum, "detection")} of a class in an image`,
    ),
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
      measure(`AP50 of ${name}`, ap50, `${counted(objects, "object")}, AP ${ap.toFixed(3)}`),
    ),
    ...ERROR_KINDS.flatMap((kind) =>
      measure(
        `cost: ${ERROR_NAMES[kind]}`,
        errors.costs[kind],
        `${errors.counts[kind]} times; AP50 that is lost`,
      ),
    ),
    ...measureLines(more, coco),
    ...measure(
      "speed",
      pace.imagesPerSecond,
      pace.builds
        ? "with the time in which programs are built: there are too few images to leave it out"
        : undefined,
      "images a second",
    ),
  ];
}
