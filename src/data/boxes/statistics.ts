import { counted } from "../../memory.ts";
import type { SplitName } from "../sources/data-set.ts";
import type { DetectionSet, DetectionSplit, FaultKind } from "./set.ts";
import { countFaults } from "./set.ts";

/** Objects by their area, in the sizes of COCO: small below 32² pixels, large from 96² on. */
export interface SizeCounts {
  readonly small: number;
  readonly medium: number;
  readonly large: number;
}

export interface ClassStatistics {
  readonly name: string;
  readonly objects: number;
  /** Images in which the class occurs. */
  readonly images: number;
  readonly sizes: SizeCounts;
  /** Those that need not be found, and crowds; they are counted among the objects as well. */
  readonly difficult: number;
  readonly crowd: number;
}

/** Minimum, quartiles and maximum of some numbers. */
export type Quartiles = readonly [
  minimum: number,
  lower: number,
  median: number,
  upper: number,
  maximum: number,
];

export interface SplitStatistics {
  readonly images: number;
  readonly objects: number;
  /** Images without an object. */
  readonly empty: number;
  readonly sizes: SizeCounts;
  readonly classes: readonly ClassStatistics[];
  /** Most objects in an image. */
  readonly mostObjects: number;
}

/** What a detection set holds. */
export interface DetectionStatistics {
  readonly splits: Readonly<Record<SplitName, SplitStatistics>>;
  readonly total: SplitStatistics;
  /** Of images and boxes, in pixels; undefined where there are none. */
  readonly imageWidth: Quartiles | undefined;
  readonly imageHeight: Quartiles | undefined;
  readonly boxWidth: Quartiles | undefined;
  readonly boxHeight: Quartiles | undefined;
  readonly objectsPerImage: Quartiles | undefined;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
}

const [SMALL, LARGE] = [32 ** 2, 96 ** 2];

const noSizes = () => ({ small: 0, medium: 0, large: 0 });

function quartiles(values: readonly number[]): Quartiles | undefined {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return sorted.length === 0 ? undefined : [at(0), at(0.25), at(0.5), at(0.75), at(1)];
}

function splitStatistics(split: DetectionSplit, names: readonly string[]): SplitStatistics {
  const classes = names.map((name) => ({
    name,
    objects: 0,
    images: 0,
    sizes: noSizes(),
    difficult: 0,
    crowd: 0,
  }));
  const sizes = noSizes();
  let [objects, empty, mostObjects] = [0, 0, 0];
  for (let index = 0; index < split.count; index++) {
    const { labels, areas, difficult, crowd } = split.annotations(index);
    objects += labels.length;
    mostObjects = Math.max(mostObjects, labels.length);
    if (labels.length === 0) empty++;
    for (const label of new Set(labels)) {
      const own = classes[label];
      if (own !== undefined) own.images++;
    }
    for (const [i, label] of labels.entries()) {
      const own = classes[label];
      if (own === undefined) continue;
      const area = areas[i] ?? 0;
      const size = area < SMALL ? "small" : area < LARGE ? "medium" : "large";
      own.objects++;
      own.sizes[size]++;
      sizes[size]++;
      own.difficult += difficult[i] ?? 0;
      own.crowd += crowd[i] ?? 0;
    }
  }
  return { images: split.count, objects, empty, sizes, classes, mostObjects };
}

function sum(parts: readonly SplitStatistics[]): SplitStatistics {
  const add = (of: (part: SplitStatistics) => number) => parts.reduce((total, part) => total + of(part), 0);
  const addSizes = (of: (part: SplitStatistics) => SizeCounts) => ({
    small: add((part) => of(part).small),
    medium: add((part) => of(part).medium),
    large: add((part) => of(part).large),
  });
  return {
    images: add(({ images }) => images),
    objects: add(({ objects }) => objects),
    empty: add(({ empty }) => empty),
    sizes: addSizes(({ sizes }) => sizes),
    mostObjects: Math.max(0, ...parts.map(({ mostObjects }) => mostObjects)),
    classes: (parts[0]?.classes ?? []).map(({ name }, i) => {
      const of = (part: SplitStatistics, key: "objects" | "images" | "difficult" | "crowd") =>
        part.classes[i]?.[key] ?? 0;
      return {
        name,
        objects: add((part) => of(part, "objects")),
        images: add((part) => of(part, "images")),
        sizes: addSizes((part) => part.classes[i]?.sizes ?? noSizes()),
        difficult: add((part) => of(part, "difficult")),
        crowd: add((part) => of(part, "crowd")),
      };
    }),
  };
}

/** Counts images and objects by split, class and size. */
export function detectionStatistics({ splits, classes, faults }: DetectionSet): DetectionStatistics {
  const parts = {
    train: splitStatistics(splits.train, classes),
    validation: splitStatistics(splits.validation, classes),
    test: splitStatistics(splits.test, classes),
  };
  const images = Object.values(splits).flatMap((split) =>
    Array.from({ length: split.count }, (_, index) => split.annotations(index)),
  );
  const sides = (side: 0 | 1) =>
    images.flatMap(({ boxes }) =>
      Array.from(
        { length: boxes.length / 4 },
        (_, i) => (boxes[4 * i + 2 + side] ?? 0) - (boxes[4 * i + side] ?? 0),
      ),
    );
  return {
    splits: parts,
    total: sum(Object.values(parts)),
    imageWidth: quartiles(images.map(({ width }) => width)),
    imageHeight: quartiles(images.map(({ height }) => height)),
    boxWidth: quartiles(sides(0)),
    boxHeight: quartiles(sides(1)),
    objectsPerImage: quartiles(images.map(({ labels }) => labels.length)),
    faults: Object.fromEntries(countFaults(faults)),
  };
}

/** Shares at which quantiles of sizes are given, in percent. */
const QUANTILES = [0, 5, 10, 25, 50, 75, 90, 95, 100] as const;

/** The bin of a histogram that a size is in: each begins at √2 times the size at which the one before does, 0 at 1 pixel. */
const binOf = (size: number): number => Math.floor(2 * Math.log2(size));

const binStart = (bin: number): number => 2 ** (bin / 2);

/** How large objects are: sizes are square roots of the areas of their boxes, in pixels. */
export interface ObjectSizes {
  readonly count: number;
  /** The size below which a percentage of the objects is; undefined where there are none. */
  readonly quantiles: readonly { readonly percent: number; readonly size: number }[] | undefined;
  /** Objects by size, from the smallest to the largest that occurs; `to` is beyond the bin. */
  readonly histogram: readonly { readonly from: number; readonly to: number; readonly objects: number }[];
  /** Shares of small, medium and large ones by COCO's areas; undefined where there are none. */
  readonly shares: SizeCounts | undefined;
}

/** Counts sizes of objects, which are those of their boxes; COCO's outlines are smaller. */
export function objectSizes(sizes: ArrayLike<number>): ObjectSizes {
  const sorted = Float64Array.from(sizes).sort();
  const count = sorted.length;
  const [least, most] = [sorted[0], sorted[count - 1]];
  if (least === undefined || most === undefined) {
    return { count, quantiles: undefined, histogram: [], shares: undefined };
  }
  const below = (size: number): number => sorted.reduce((sum, value) => sum + Number(value < size), 0);
  const [first, last] = [binOf(least), binOf(most)];
  const bins = Array.from({ length: last - first + 1 }, (_, i) => ({
    from: binStart(first + i),
    to: binStart(first + i + 1),
    objects: 0,
  }));
  for (const size of sorted) {
    const bin = bins[binOf(size) - first];
    if (bin !== undefined) bin.objects++;
  }
  const [small, notLarge] = [below(Math.sqrt(SMALL)), below(Math.sqrt(LARGE))];
  return {
    count,
    quantiles: QUANTILES.map((percent) => ({
      percent,
      size: sorted[Math.round((percent / 100) * (count - 1))] ?? most,
    })),
    histogram: bins,
    shares: { small: small / count, medium: (notLarge - small) / count, large: 1 - notLarge / count },
  };
}

/** Classes named in a line. */
const NAMED = 12;

/** How many images and objects there are, and of which classes, as a part of a line. */
export function describeObjects(set: DetectionSet): string {
  const { images, objects, classes, empty } = detectionStatistics(set).total;
  const named = classes
    .toSorted((a, b) => b.objects - a.objects)
    .slice(0, NAMED)
    .map(({ name, objects }) => `${name} ${objects}`);
  const more = classes.length > NAMED ? ", …" : "";
  const without = empty === 0 ? "" : `, ${empty} without objects`;
  return `${counted(images, "image")}${without}, ${counted(objects, "object")} of ${counted(classes.length, "class", "classes")} (${named.join(", ")}${more})`;
}
