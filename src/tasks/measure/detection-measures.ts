import { z } from "zod";
import { amount, list, positiveAmount, share } from "../../bounds.ts";
import { type DetectionSet, FACE_SUBSETS, type FaceSubset } from "../../data/boxes/set.ts";
import type { SplitName } from "../../data/sources/data-set.ts";
import type { CocoResult, DetectionEvaluator } from "../../detection/measure/evaluator.ts";
import { ratesAt } from "../../detection/measure/fddb.ts";
import { atFalsePositives, atRecall, type OperatingPoint } from "../../detection/measure/precision-recall.ts";
import { type SizeRecall, sizeBins } from "../../detection/measure/sizes.ts";
import { OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { parseOptions } from "../../options.ts";
import type { ReportResult } from "../../report/index.ts";

/** Numbers of a list in one option. */
const MOST_NUMBERS = 64;

/** What of a detector is measured where it is asked for. */
export const measureSchema = z.strictObject({
  sizes: list(positiveAmount(), MOST_NUMBERS)
    .min(1)
    .optional()
    .describe(
      "AP, AR and recall by size: boundaries that rise, of the square root of an object's area in pixels of its image, as in 8,16,32,96",
    ),
  falsePositives: list(amount(), MOST_NUMBERS)
    .min(1)
    .optional()
    .describe("recall with at most so many wrong detections an image, as in 0.1,1"),
  recalls: list(share(), MOST_NUMBERS)
    .min(1)
    .optional()
    .describe("wrong detections an image at these recalls, as in 0.8,0.9"),
  roc: list(amount(), MOST_NUMBERS)
    .min(1)
    .optional()
    .describe(
      "true positive rates as FDDB has them, discrete and continuous, with at most so many wrong detections in all, as in 100,1000",
    ),
  face: z
    .boolean()
    .optional()
    .describe(
      "average precision of easy, medium and hard faces by WIDER FACE's protocol, of data that have them, and --roc 100,1000",
    ),
});

/** Which further measures are wanted: see `measureSchema`. Default: none. */
export interface MeasureOptions {
  /** Boundaries that rise, of the square root of an object's area in pixels of its image: AP, AR and recall of each range. */
  readonly sizes?: readonly number[] | undefined;
  /** Recall with at most so many wrong detections an image. */
  readonly falsePositives?: readonly number[] | undefined;
  /** Wrong detections an image at these recalls. */
  readonly recalls?: readonly number[] | undefined;
  /** FDDB's true positive rates with at most so many wrong detections in all. */
  readonly roc?: readonly number[] | undefined;
  /** WIDER FACE's average precision of easy, medium and hard faces, and `roc` at 100 and 1000 unless it is given. */
  readonly face?: boolean | undefined;
}

/** Wrong detections at which rates are read off where faces are measured. */
const FACE_ROC: readonly number[] = [100, 1000];

/** Recall by size, of the detections that score at least as much. */
export interface RecallBySize {
  readonly score: number;
  readonly sizes: readonly SizeRecall[];
}

/** What the options asked for; what was not asked for is absent. */
export interface MoreMeasures {
  /** By COCO's rules of size: in `coco.sizes`. Here recall at the score from which on the run's detections count. */
  readonly recallBySize?: RecallBySize;
  /** For each limit the point of the free-response curve with at most so many wrong detections an image; none where the best scores have more. */
  readonly falsePositives?: readonly { readonly limit: number; readonly point?: OperatingPoint }[];
  /** For each recall the point with the fewest wrong detections; none where it is not reached. */
  readonly recalls?: readonly { readonly recall: number; readonly point?: OperatingPoint }[];
  /** The highest recall that is reached, and with how many wrong detections an image: all detections count. */
  readonly lowest?: OperatingPoint;
  /** WIDER FACE's average precision. */
  readonly face?: Readonly<Record<FaceSubset, { readonly faces: number; readonly ap: number }>>;
  /** FDDB's rates; `falsePositives` are all wrong detections that there are. */
  readonly roc?: {
    readonly falsePositives: number;
    readonly at: readonly {
      readonly limit: number;
      readonly discrete: number;
      readonly continuous: number;
    }[];
  };
}

/**
 * Checks what is asked for, before images are looked at.
 * @throws OptionError where an option is not acceptable, or data have no easy, medium and hard faces and `face` is asked for
 */
export function checkedMeasures(
  { sizes, falsePositives, recalls, roc, face }: MeasureOptions,
  set: DetectionSet,
  splitName: SplitName,
): MeasureOptions {
  const measures = parseOptions("eval", measureSchema, { sizes, falsePositives, recalls, roc, face });
  if (sizes !== undefined) sizeBins(sizes);
  const split = set.splits[splitName];
  if (
    face === true &&
    !Array.from({ length: split.count }, (_, i) => i).some((i) => split.annotations(i).subsets)
  ) {
    throw new OptionError(
      `option face: no face of the ${splitName} split of ${set.name} counts as easy, medium or hard; give WIDER FACE with wider_easy_val.mat, wider_medium_val.mat and wider_hard_val.mat below its folder, or COCO's JSON whose objects have "difficulty": "easy", "medium" or "hard" (roc measures faces without)`,
    );
  }
  return face === true && roc === undefined ? { ...measures, roc: [...FACE_ROC] } : measures;
}

/** @param score from which on detections count for recall by size @param maximum of detections of a class in an image */
export function moreMeasures(
  evaluator: DetectionEvaluator,
  { sizes, falsePositives, recalls, roc, face }: MeasureOptions,
  { score, maximum }: { readonly score: number; readonly maximum: number },
): MoreMeasures {
  const needsCurve = falsePositives !== undefined || recalls !== undefined;
  const curve = needsCurve ? evaluator.curves({ maximum }).all : undefined;
  const rates = roc === undefined ? undefined : evaluator.roc();
  const faces = face === true ? evaluator.faces() : undefined;
  const optional = (point: OperatingPoint | undefined) => (point === undefined ? {} : { point });
  const lowest = curve && atFalsePositives(curve, Number.POSITIVE_INFINITY);
  return {
    ...(sizes !== undefined && {
      recallBySize: { score, sizes: evaluator.recallBySize({ sizes, minimumScore: score, maximum }) },
    }),
    ...(curve &&
      falsePositives && {
        falsePositives: falsePositives.map((limit) => ({
          limit,
          ...optional(atFalsePositives(curve, limit)),
        })),
      }),
    ...(curve &&
      recalls && { recalls: recalls.map((recall) => ({ recall, ...optional(atRecall(curve, recall)) })) }),
    ...(lowest && { lowest }),
    ...(faces && {
      face: {
        easy: { faces: faces.easy.faces, ap: faces.easy.ap },
        medium: { faces: faces.medium.faces, ap: faces.medium.ap },
        hard: { faces: faces.hard.faces, ap: faces.hard.ap },
      },
    }),
    ...(rates &&
      roc && {
        roc: {
          falsePositives: rates.falsePositives.at(-1) ?? 0,
          at: roc.map((limit) => ({ limit, ...ratesAt(rates, limit) })),
        },
      }),
  };
}

/** A line of the table of results. */
export type Measure = Pick<ReportResult, "name" | "value" | "unit" | "note">;

const digits = (value: number): string => value.toFixed(3);

/** The further measures as lines of a table. Those that are not defined are left out: `missingMeasures` names them. */
export function measureLines(
  { recallBySize, falsePositives = [], recalls = [], lowest, face, roc }: MoreMeasures,
  coco: CocoResult,
): readonly Measure[] {
  const line = (name: string, value: number, note: string): readonly Measure[] =>
    Number.isFinite(value) ? [{ name, value, unit: "", note }] : [];
  const from = (point: OperatingPoint): string => {
    const all = point.score === lowest?.score ? "all detections" : `score from ${digits(point.score)} on`;
    return `${all}: precision ${digits(point.precision)}, recall ${digits(point.recall)}, ${digits(point.falsePositives)} wrong detections an image`;
  };
  const bySize = (coco.sizes ?? []).flatMap(({ name, ap, ap50, ar, objects }, i) => {
    const found = recallBySize?.sizes[i];
    return [
      ...line(
        `AP of size ${name}`,
        ap,
        `${counted(objects, "object")}: AP50 ${digits(ap50)}, AR ${digits(ar)}`,
      ),
      ...(recallBySize === undefined || found === undefined
        ? []
        : line(
            `recall of size ${name}`,
            found.recall,
            `${found.found} of ${found.objects} at IoU 0.5, score from ${digits(recallBySize.score)} on`,
          )),
    ];
  });
  return [
    ...bySize,
    ...falsePositives.flatMap(({ limit, point }) =>
      line(
        `recall at ${limit} wrong an image`,
        point?.recall ?? 0,
        point === undefined ? "the best score alone has more" : from(point),
      ),
    ),
    ...recalls.flatMap(({ recall, point }) =>
      point === undefined
        ? []
        : line(`wrong an image at recall ${recall}`, point.falsePositives, from(point)),
    ),
    ...(face === undefined
      ? []
      : FACE_SUBSETS.flatMap((subset) =>
          line(
            `AP of ${subset} faces`,
            face[subset].ap,
            `WIDER FACE, ${counted(face[subset].faces, "face")}`,
          ),
        )),
    ...(roc?.at ?? []).flatMap(({ limit, discrete, continuous }) => {
      const note = `FDDB: at most ${counted(limit, "wrong detection")} of ${roc?.falsePositives ?? 0} in all`;
      return [
        ...line(`discrete rate at ${limit} wrong`, discrete, note),
        ...line(`continuous rate at ${limit} wrong`, continuous, note),
      ];
    }),
  ];
}

/** A line for each measure that was asked for and is not defined, and why. */
export function missingMeasures({
  recallBySize,
  recalls = [],
  lowest,
  face,
}: MoreMeasures): readonly string[] {
  const empty = (recallBySize?.sizes ?? []).filter(({ objects }) => objects === 0).map(({ name }) => name);
  const unreached = recalls.filter(({ point }) => point === undefined).map(({ recall }) => recall);
  const faceless = face === undefined ? [] : FACE_SUBSETS.filter((subset) => face[subset].faces === 0);
  const highest =
    lowest === undefined
      ? "nothing is found that counts"
      : `the highest is ${digits(lowest.recall)}, with ${digits(lowest.falsePositives)} wrong detections an image`;
  return [
    ...(empty.length === 0 ? [] : [`no objects of size ${empty.join(", ")} (pixels)`]),
    ...(unreached.length === 0 ? [] : [`recall ${unreached.join(", ")} is not reached: ${highest}`]),
    ...(faceless.length === 0 ? [] : [`no faces of the subset ${faceless.join(", ")}`]),
  ];
}
