import type { DetectionSet } from "../data/boxes/set.ts";
import { type DetectionFault, FAULTS } from "../data/boxes/set.ts";
import type { DetectionStatistics, Quartiles } from "../data/boxes/statistics.ts";
import { print, printLine, showTable } from "./format.ts";

/** Classes shown in a table. */
const CLASSES = 60;
/** Faults of a kind shown one by one. */
const FAULTS_SHOWN = 10;

/** Prints what a detection set holds: objects by class and size, and how large images and boxes are. */
export function printStatistics(set: DetectionSet, { splits, total, ...of }: DetectionStatistics): void {
  const marked = total.classes.some(({ difficult, crowd }) => difficult + crowd > 0);
  const rows = total.classes
    .slice(0, CLASSES)
    .map(({ name, objects, images, sizes, difficult, crowd }, i) => [
      name,
      ...[objects, images, sizes.small, sizes.medium, sizes.large],
      ...Object.values(splits).map(({ classes }) => classes[i]?.objects ?? 0),
      ...(marked ? [difficult, crowd] : []),
    ]);
  const { small, medium, large } = total.sizes;
  const sums = Object.values(splits).map(({ objects }) => objects);
  const all = ["all", total.objects, total.images, small, medium, large, ...sums];
  const header = ["class", "objects", "images", "small", "medium", "large", "train", "validation", "test"];
  print("");
  print(showTable(marked ? [...header, "difficult", "crowd"] : header, [...rows, all]));
  if (set.classes.length > CLASSES)
    printLine(`… and ${set.classes.length - CLASSES} more classes; --json has all`);
  print("small: below 32² pixels, medium: below 96²");

  const measured: readonly (readonly [string, Quartiles | undefined])[] = [
    ["image width", of.imageWidth],
    ["image height", of.imageHeight],
    ["objects in an image", of.objectsPerImage],
    ["box width", of.boxWidth],
    ["box height", of.boxHeight],
  ];
  const lines = measured.flatMap(([name, quartiles]) =>
    quartiles === undefined ? [] : [[name, ...quartiles]],
  );
  print("");
  print(showTable(["", "minimum", "25 %", "median", "75 %", "maximum"], lines));
}

/** Prints faults one by one, by kind. */
export function printFaults(faults: readonly DetectionFault[]): void {
  for (const [kind, what] of Object.entries(FAULTS)) {
    const own = faults.filter((fault) => fault.kind === kind);
    if (own.length === 0) continue;
    print(`\n${what}: ${own.length}`);
    for (const { file, detail } of own.slice(0, FAULTS_SHOWN)) printLine(`  ${file}: ${detail}`);
    if (own.length > FAULTS_SHOWN) printLine(`  … and ${own.length - FAULTS_SHOWN} more; --json lists all`);
  }
}
