import type { DetectionSet } from "../data/boxes/set.ts";
import { type DetectionFault, FAULTS } from "../data/boxes/set.ts";
import type { DetectionStatistics, ObjectSizes, Quartiles } from "../data/boxes/statistics.ts";
import { counted } from "../memory.ts";
import type { AnchorCounts } from "../tasks/measure/anchor-counts.node.ts";
import type { SizeReport } from "../tasks/measure/scale-training.ts";
import { print, printLine, showTable } from "./format.ts";
import { flagName } from "./options.ts";

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
    printLine(`… and ${counted(set.classes.length - CLASSES, "more class", "more classes")}; --json has all`);
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

/** Length of the longest bar of a histogram. */
const BAR = 40;

/** Prints how large the training objects are, in the images and as a detector sees them, and what SNIP and SNIPER would choose. */
export function printSizes({ size, original, seen, snip, sniper }: SizeReport): void {
  print("");
  if (original.quantiles === undefined) {
    print("training images have no objects whose sizes could be looked at");
    return;
  }
  const rounded = (value: number): number => Number(value.toFixed(1));
  const row = (name: string, { quantiles = [] }: ObjectSizes) => [
    name,
    ...quantiles.map((each) => rounded(each.size)),
  ];
  print("size of training objects: square root of the area of their box, in pixels");
  print(
    showTable(
      ["", ...original.quantiles.map(({ percent }) => `${percent} %`)],
      [row("in the images", original), row(`at ${size} pixels`, seen)],
    ),
  );
  const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;
  for (const [where, { shares }] of [
    ["in the images", original],
    [`at ${size} pixels`, seen],
  ] as const) {
    if (shares === undefined) continue;
    const { small, medium, large } = shares;
    print(`${where}: small ${percent(small)}, medium ${percent(medium)}, large ${percent(large)} (COCO)`);
  }
  print(`\nat ${size} pixels`);
  const most = Math.max(...seen.histogram.map(({ objects }) => objects));
  for (const { from, to, objects } of seen.histogram) {
    const bar = "█".repeat(Math.ceil((BAR * objects) / most));
    print(`${String(rounded(from)).padStart(7)} – ${String(rounded(to)).padEnd(6)} ${bar} ${objects}`);
  }
  for (const [flag, suggestion] of [
    ["--snip", snip],
    ["--sniper", sniper],
  ] as const) {
    if (suggestion === undefined) continue;
    print(
      `\n${flag} --scales ${suggestion.scales.join()} would take --valid-ranges ${suggestion.validRanges.join()}`,
    );
    for (const line of suggestion.lines) printLine(`  ${line}`);
  }
}

/** Prints how many anchors each rule gives an object by its size, and by which options of retina-net. */
export function printAnchors({ size, images, allImages, objects, rules, bins, without }: AnchorCounts): void {
  const rounded = (value: number): number => Number(value.toFixed(1));
  const of =
    images === allImages
      ? counted(images, "training image")
      : `the first ${images} of ${counted(allImages, "training image")}`;
  print(
    `\nanchors of an object on average, by its size at ${size} pixels: ${counted(objects, "object")} of ${of}`,
  );
  const rows = bins.map(({ from, to, objects, anchors }) => [
    `${rounded(from)} – ${rounded(to)}`,
    objects,
    ...anchors.map(rounded),
  ]);
  const none = ["% without any", objects, ...without.map((share) => rounded(100 * share))];
  const columns = rules.map((_, i) => `(${i + 1})`);
  print(showTable(["size", "objects", ...columns], [...rows, none]));
  for (const [i, { name, options, anchors }] of rules.entries()) {
    const flags = Object.entries(options).map(([option, value]) => `--${flagName(option)} ${value}`);
    print(`(${i + 1}) ${name}, ${anchors} anchors: ${["fit retina-net", ...flags].join(" ")}`);
  }
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
