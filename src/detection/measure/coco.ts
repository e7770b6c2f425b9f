import { OptionError } from "../../errors.ts";
import {
  type AreaRange,
  type ClassGroup,
  countObjects,
  type EvaluatedImage,
  evaluationOverlaps,
  groupByClass,
  type MatchingRules,
  matchGroup,
} from "./matching.ts";
import { areaRangeOf, type SizeBin, sizeBins } from "./sizes.ts";

/** What COCO's measures are taken over. Default: those of COCO. */
export interface CocoOptions {
  /** IoU thresholds, from the lowest up: 0.5, 0.55, … 0.95. */
  readonly thresholds?: readonly number[];
  /** How many detections of a class in an image count, from the fewest up: 1, 10 and 100. */
  readonly maximums?: readonly number[];
  /** Ranges of area by name; `all` must be among them. `small` up to 32², `medium` up to 96², `large` above. */
  readonly areaRanges?: Readonly<Record<string, AreaRange>>;
  /** Boundaries of further ranges, by size: `sizeBins` has what lies between them. Default: none. */
  readonly sizes?: readonly number[] | undefined;
}

/** Equal steps from one number to another, rounded as numpy.linspace rounds them: a threshold decides by the last bit. */
function steps(from: number, to: number, count: number): readonly number[] {
  const step = (to - from) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i === count - 1 ? to : i * step + from));
}

/** COCO's IoU thresholds. */
export const COCO_THRESHOLDS: readonly number[] = steps(0.5, 0.95, 10);

const COCO_MAXIMUMS: readonly number[] = [1, 10, 100];

/** Detections of a class in an image that COCO's measures look at. */
export const COCO_MAXIMUM = 100;

/** The numbers of detections of COCO where so many count at most: 1, 10 and 100 as far as they are fewer, and that number. */
export function maximumsTo(most: number): readonly number[] {
  return [...COCO_MAXIMUMS.filter((maximum) => maximum < most), most];
}

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
  /** Those of the areas that are ranges between sizes that were asked for. */
  readonly sizes: readonly SizeBin[];
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
  const sizes = options.sizes === undefined ? [] : sizeBins(options.sizes);
  const named = [
    ...Object.entries(areaRanges),
    ...sizes.map((bin): readonly [string, AreaRange] => [bin.name, areaRangeOf(bin)]),
  ];
  const areas = named.map(([name]) => name);
  const repeated = areas.find((name, i) => areas.indexOf(name) !== i);
  if (repeated !== undefined) throw new OptionError(`coco: two ranges of area are named ${repeated}`);
  const tables: CocoTables = {
    thresholds,
    classCount,
    areas,
    sizes,
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
    for (const [a, [, areaRange]] of named.entries()) {
      const objects = groups.reduce((sum, group) => sum + countObjects(group, areaRange), 0);
      tables.objects[label * areas.length + a] = objects;
      if (objects === 0) continue;
      const judged = judge(groups, overlaps, { thresholds, areaRange });
      for (let t = 0; t < thresholds.length; t++) {
        for (const [m, maximum] of maximums.entries()) {
          fill(tables, { t, label, a, m }, ranked(ranking, judged, t, maximum), objects);
        }
      }
    }
  }
  return tables;
}

const SKIPPED = -1;
const WRONG = 0;
const RIGHT = 1;

/** Detections of a class, group by group, in the order of their ranks: plain arrays, as there may be very many. */
interface Ranking {
  /** The index of each among all of them. */
  readonly places: Uint32Array;
  /** How many better ones the image has of each. */
  readonly better: Uint32Array;
}

/** From the best score down; equal ones in the order of the images. */
function rank(groups: readonly ClassGroup[]): Ranking {
  const scores = Float64Array.from(
    groups.flatMap(({ image, found }) => found.map((d) => image.found.scores[d] ?? 0)),
  );
  const rows = Uint32Array.from(groups.flatMap(({ found }) => [...found.keys()]));
  const places = Uint32Array.from(scores.keys()).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  return { places, better: places.map((place) => rows[place] ?? 0) };
}

/** Whether each detection is right, wrong or skipped, group by group: a row for each threshold. */
function judge(
  groups: readonly ClassGroup[],
  overlaps: readonly Float64Array[],
  rules: MatchingRules,
): Int8Array {
  const total = groups.reduce((sum, { found }) => sum + found.length, 0);
  const judged = new Int8Array(rules.thresholds.length * total);
  let base = 0;
  for (const [i, group] of groups.entries()) {
    const count = group.found.length;
    const matches = matchGroup(group, overlaps[i] ?? new Float64Array(), rules);
    for (let t = 0; t < rules.thresholds.length; t++) {
      for (let row = 0; row < count; row++) {
        const at = t * count + row;
        const taken = (matches.objects[at] ?? -1) >= 0;
        judged[t * total + base + row] = matches.ignored[at] === 1 ? SKIPPED : taken ? RIGHT : WRONG;
      }
    }
    base += count;
  }
  return judged;
}

/** What counts at a threshold, in the order of the ranks: 1 for right, 0 for wrong. */
function ranked({ places, better }: Ranking, judged: Int8Array, t: number, maximum: number): Int8Array {
  const total = places.length;
  const outcome = new Int8Array(total);
  let count = 0;
  for (let i = 0; i < total; i++) {
    const kind = judged[t * total + (places[i] ?? 0)] ?? SKIPPED;
    if (kind !== SKIPPED && (better[i] ?? 0) < maximum) outcome[count++] = kind;
  }
  return outcome.subarray(0, count);
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
  /** With the largest of the maximums. */
  readonly ar: number;
  readonly arSmall: number;
  readonly arMedium: number;
  readonly arLarge: number;
}

/** Takes means over the tables: of all classes with objects, or of one class. One that is not in the tables is NaN. */
function meanOf({ thresholds, classCount, areas, maximums }: CocoTables, label: number | undefined) {
  return (values: Float64Array, area: string, maximum: number, threshold?: number): number => {
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
}

/** COCO's numbers of a range of sizes: objects of other sizes, and detections of other sizes that are matched to none, do not count. */
export interface SizeSummary extends SizeBin {
  /** Objects to find. */
  readonly objects: number;
  /** Average precision: the mean over all IoU thresholds, recalls and classes with objects of these sizes. */
  readonly ap: number;
  /** At an IoU of 0.5. */
  readonly ap50: number;
  /** Average recall, with the largest of the maximums. */
  readonly ar: number;
}

/** COCO's numbers by the sizes that were asked for, of all classes or of one. */
export function summarizeSizes(tables: CocoTables, label?: number): readonly SizeSummary[] {
  const mean = meanOf(tables, label);
  const { precision, recall, areas, objects, sizes, classCount } = tables;
  const most = tables.maximums.at(-1) ?? 0;
  return sizes.map((bin) => ({
    ...bin,
    objects: Array.from({ length: classCount }, (_, k) => k)
      .filter((k) => label === undefined || k === label)
      .reduce((sum, k) => sum + (objects[k * areas.length + areas.indexOf(bin.name)] ?? 0), 0),
    ap: mean(precision, bin.name, most),
    ap50: mean(precision, bin.name, most, 0.5),
    ar: mean(recall, bin.name, most),
  }));
}

/**
 * Means over the tables: of all classes with objects, or of one class. Precision, and recall by size, are those with the largest
 * of the maximums. A number whose threshold, size or maximum is not in the tables is NaN.
 */
export function summarizeCoco(tables: CocoTables, label?: number): CocoSummary {
  const mean = meanOf(tables, label);
  const { precision, recall, maximums } = tables;
  const most = maximums.at(-1) ?? 0;
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
    ar: mean(recall, "all", most),
    arSmall: mean(recall, "small", most),
    arMedium: mean(recall, "medium", most),
    arLarge: mean(recall, "large", most),
  };
}
