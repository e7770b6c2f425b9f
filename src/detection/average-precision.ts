import { OptionError } from "../errors.ts";
import { type ClassGroup, type EvaluatedImage, groupByClass } from "./evaluated-image.ts";
import { countObjects, evaluationOverlaps, matchGroup } from "./matching.ts";

/** Smallest and largest area in square pixels; both belong to the range. */
export type AreaRange = readonly [smallest: number, largest: number];

/** What COCO's measures are taken over. Those of COCO unless told. */
export interface CocoOptions {
  /** IoU thresholds, from the lowest up: 0.5, 0.55, … 0.95. */
  readonly thresholds?: readonly number[];
  /** How many detections of a class in an image count, from the fewest up: 1, 10 and 100. */
  readonly maximums?: readonly number[];
  /** Ranges of area by name; `all` must be among them. `small` up to 32², `medium` up to 96², `large` above. */
  readonly areaRanges?: Readonly<Record<string, AreaRange>>;
}

/** Equal steps from one number to another, rounded as numpy.linspace rounds them: a threshold decides by the last bit. */
function steps(from: number, to: number, count: number): readonly number[] {
  const step = (to - from) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? to : i * step + from));
}

/** COCO's IoU thresholds. */
export const COCO_THRESHOLDS: readonly number[] = steps(0.5, 0.95, 10);

const COCO_MAXIMUMS: readonly number[] = [1, 10, 100];

/** COCO's ranges of area. */
export const COCO_AREAS = {
  all: [0, 1e10],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e10],
} as const satisfies Record<string, AreaRange>;

/** The recalls at which precision is read off. */
const RECALLS = steps(0, 1, 101);

/** The whole result of an evaluation by COCO's rules; NaN where a class has no object that counts. */
export interface CocoTables {
  readonly thresholds: readonly number[];
  readonly classCount: number;
  readonly areas: readonly string[];
  readonly maximums: readonly number[];
  /** Precision at the recalls 0, 0.01, … 1: [thresholds, 101, classes, areas, maximums]. */
  readonly precision: Float64Array;
  /** The highest recall: [thresholds, classes, areas, maximums]. */
  readonly recall: Float64Array;
  /** Objects that count: [classes, areas]. */
  readonly objects: Uint32Array;
}

/**
 * Precision and recall by COCO's rules (Lin et al. 2014, "Microsoft COCO"; the numbers are those of pycocotools): within a
 * class, detections of all images are ranked by score (equal scores in the order of the images, then as given), each is right
 * or wrong by `matchGroup`, and precision at a recall is the highest at that recall or above.
 * @throws OptionError where an option is not acceptable
 */
export function cocoTables(
  images: readonly EvaluatedImage[],
  classCount: number,
  options: CocoOptions = {},
): CocoTables {
  const { thresholds = COCO_THRESHOLDS, maximums = COCO_MAXIMUMS, areaRanges = COCO_AREAS } = options;
  checkAscending("thresholds", thresholds);
  checkAscending("maximums", maximums);
  if (!("all" in areaRanges)) throw new OptionError("coco: areaRanges must have one named all");
  const areas = Object.keys(areaRanges);
  const tables: CocoTables = {
    thresholds,
    classCount,
    areas,
    maximums,
    precision: new Float64Array(
      thresholds.length * RECALLS.length * classCount * areas.length * maximums.length,
    ).fill(Number.NaN),
    recall: new Float64Array(thresholds.length * classCount * areas.length * maximums.length).fill(
      Number.NaN,
    ),
    objects: new Uint32Array(classCount * areas.length),
  };
  const most = maximums.at(-1) ?? 0;
  for (const [label, all] of groupByClass(images, classCount).entries()) {
    const groups = all.map((group) => ({ ...group, found: group.found.slice(0, most) }));
    const ranking = rank(groups);
    const overlaps = groups.map(({ image, found, truth }) => evaluationOverlaps(image, found, truth));
    for (const [a, areaRange] of Object.values(areaRanges).entries()) {
      const objects = groups.reduce((sum, group) => sum + countObjects(group, areaRange), 0);
      tables.objects[label * areas.length + a] = objects;
      if (objects === 0) continue;
      const rules = { thresholds, areaRange };
      const matches = groups.map((group, i) => matchGroup(group, overlaps[i] ?? new Float64Array(), rules));
      for (let t = 0; t < thresholds.length; t++) {
        const outcome = Int8Array.from(ranking, ({ group, row }) => {
          const at = t * (groups[group]?.found.length ?? 0) + row;
          if (matches[group]?.ignored[at] === 1) return SKIPPED;
          return (matches[group]?.objects[at] ?? -1) >= 0 ? RIGHT : WRONG;
        });
        for (const [m, maximum] of maximums.entries()) {
          const counted = outcome.filter((kind, i) => kind !== SKIPPED && (ranking[i]?.row ?? 0) < maximum);
          fill(tables, { t, label, a, m }, counted, objects);
        }
      }
    }
  }
  return tables;
}

const SKIPPED = -1;
const WRONG = 0;
const RIGHT = 1;

/** A detection of a class: its image's group, and how many better ones the image has. */
interface Ranked {
  readonly group: number;
  readonly row: number;
  readonly score: number;
}

/** All detections of a class from the best score down; equal ones in the order of the images. */
function rank(groups: readonly ClassGroup[]): readonly Ranked[] {
  return groups
    .flatMap(({ image, found }, group) =>
      found.map((d, row): Ranked => ({ group, row, score: image.found.scores[d] ?? 0 })),
    )
    .sort((a, b) => b.score - a.score || 0);
}

/** The highest precision at each of the recalls or above; zeros behind the last recall that is reached. */
export function interpolatedPrecision(
  outcome: ArrayLike<number>,
  objects: number,
): { readonly precision: Float64Array; readonly recall: number } {
  const count = outcome.length;
  const [precisions, recalls] = [new Float64Array(count), new Float64Array(count)];
  let right = 0;
  for (let i = 0; i < count; i++) {
    right += outcome[i] ?? 0;
    precisions[i] = right / (i + 1);
    recalls[i] = right / objects;
  }
  for (let i = count - 1; i > 0; i--) {
    if ((precisions[i] ?? 0) > (precisions[i - 1] ?? 0)) precisions[i - 1] = precisions[i] ?? 0;
  }
  let at = 0;
  const precision = Float64Array.from(RECALLS, (recall) => {
    while (at < count && (recalls[at] ?? 0) < recall) at++;
    return precisions[at] ?? 0;
  });
  return { precision, recall: recalls[count - 1] ?? 0 };
}

interface Cell {
  readonly t: number;
  readonly label: number;
  readonly a: number;
  readonly m: number;
}

function fill(tables: CocoTables, { t, label, a, m }: Cell, outcome: Int8Array, objects: number): void {
  const { precision, recall } = interpolatedPrecision(outcome, objects);
  const [areas, maximums] = [tables.areas.length, tables.maximums.length];
  const inner = (label * areas + a) * maximums + m;
  const size = tables.classCount * areas * maximums;
  tables.recall[t * size + inner] = recall;
  for (const [r, value] of precision.entries()) {
    tables.precision[(t * RECALLS.length + r) * size + inner] = value;
  }
}

function checkAscending(option: string, values: readonly number[]): void {
  if (values.length === 0 || !values.every((value, i) => value > (values[i - 1] ?? 0))) {
    throw new OptionError(`coco: ${option} [${values}] must be positive and rise`);
  }
}

/** What COCO reports, each a number in 0 … 1, or NaN where there is no object to find. */
export interface CocoSummary {
  /** Average precision: the mean over all IoU thresholds, recalls and classes with objects. COCO's main number. */
  readonly ap: number;
  /** At an IoU of 0.5. */
  readonly ap50: number;
  /** At an IoU of 0.75. */
  readonly ap75: number;
  readonly apSmall: number;
  readonly apMedium: number;
  readonly apLarge: number;
  /** Average recall: the mean highest recall where the best detection of a class in an image counts alone. */
  readonly ar1: number;
  /** With ten detections. */
  readonly ar10: number;
  /** With a hundred detections. */
  readonly ar100: number;
  readonly arSmall: number;
  readonly arMedium: number;
  readonly arLarge: number;
}

/**
 * Means over the tables: of all classes with objects, or of one class. Precision, and recall by size, are those with the largest
 * of the maximums. A number whose threshold, size or maximum is not in the tables is NaN.
 */
export function summariseCoco(tables: CocoTables, label?: number): CocoSummary {
  const { thresholds, classCount, areas, maximums } = tables;
  const most = maximums.at(-1) ?? 0;
  const mean = (values: Float64Array, area: string, maximum: number, threshold?: number): number => {
    const [a, m] = [areas.indexOf(area), maximums.indexOf(maximum)];
    if (a < 0 || m < 0) return Number.NaN;
    const rows = values.length / (classCount * areas.length * maximums.length);
    let [sum, count] = [0, 0];
    for (let row = 0; row < rows; row++) {
      const t = Math.floor((row * thresholds.length) / rows);
      if (threshold !== undefined && thresholds[t] !== threshold) continue;
      for (let k = label ?? 0; k <= (label ?? classCount - 1); k++) {
        const value = values[((row * classCount + k) * areas.length + a) * maximums.length + m] ?? Number.NaN;
        if (Number.isNaN(value)) continue;
        sum += value;
        count++;
      }
    }
    return sum / count;
  };
  const { precision, recall } = tables;
  return {
    ap: mean(precision, "all", most),
    ap50: mean(precision, "all", most, 0.5),
    ap75: mean(precision, "all", most, 0.75),
    apSmall: mean(precision, "small", most),
    apMedium: mean(precision, "medium", most),
    apLarge: mean(precision, "large", most),
    ar1: mean(recall, "all", 1),
    ar10: mean(recall, "all", 10),
    ar100: mean(recall, "all", 100),
    arSmall: mean(recall, "small", most),
    arMedium: mean(recall, "medium", most),
    arLarge: mean(recall, "large", most),
  };
}
