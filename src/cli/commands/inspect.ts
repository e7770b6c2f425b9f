import type { Command } from "commander";
import { z } from "zod";
import { seedNumber } from "../../bounds.ts";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import type { DetectionSet } from "../../data/boxes/set.ts";
import { detectionStatistics } from "../../data/boxes/statistics.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { openDetection } from "../../data/open.node.ts";
import { OptionError } from "../../errors.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { Random } from "../../random.ts";
import { anchorSizePlot } from "../../report/boxes/anchors.ts";
import { encodePng } from "../../report/index.ts";
import { type AnchorCounts, anchorCounts } from "../../tasks/measure/anchor-counts.node.ts";
import { chipSheet } from "../../tasks/measure/chip-pictures.ts";
import { detectionSheet } from "../../tasks/measure/data.node.ts";
import { usualOptions } from "../../tasks/measure/detection-data.ts";
import { type SizeReport, sizeReport } from "../../tasks/measure/scale-training.ts";
import { detectionFitOptions } from "../../tasks/run/detection-options.ts";
import { printAnchors, printFaults, printSizes, printStatistics } from "../detection-summary.ts";
import { showing } from "../flags.ts";
import { print, printJson, printLine } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";

const inspectFlags = z.strictObject({
  out: z.string().min(1).optional().describe("where to write the contact sheet (default: NAME-boxes.png)"),
  images: z.int().min(0).max(400).default(12).describe("images on the contact sheet; 0 for no sheet"),
  seed: seedNumber().default(0).describe("seed that chooses the images of the sheet"),
  size: detectionFitOptions.shape.size.describe(
    "height and width of the images that a detector would see; sizes of objects are counted there, too (default: as for a fit)",
  ),
  scales: detectionFitOptions.shape.scales.describe(
    "scales to choose valid ranges and chips for, factors of --size (default: 0.5,1,2 for --snip of fit, 1,0.5,0.25 for --sniper)",
  ),
  chip: detectionFitOptions.shape.chip,
  chips: z
    .string()
    .min(1)
    .optional()
    .describe("picture to write: a few training images with the chips that fit --sniper would train on"),
  anchorPlot: z
    .string()
    .min(1)
    .optional()
    .describe(
      "picture to write, an SVG file: how many anchors retina-net gives a training object by its size, by the rules of several papers; the numbers are printed, too",
    ),
  ...showing,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Inspect", inspectFlags);
  addSchemaOptions(command, "Data", detectionOptionsSchema);
  command.action(async (name: string, flags: Record<string, unknown>) => {
    const schemas = { inspect: inspectFlags, data: detectionOptionsSchema };
    const divided = divideOptions("inspect", flagValues(flags, Object.values(schemas)), schemas);
    const { out, images, seed, json, size, scales, chip, chips, anchorPlot } = parseOptions(
      "inspect",
      inspectFlags,
      divided.inspect,
    );
    const set = await openDetection(name, parseOptions("data", detectionOptionsSchema, divided.data));
    const statistics = detectionStatistics(set);
    const sizes = sizeReport(set, size ?? usualOptions(name, set).size, { scales, chip });
    const sheet = images === 0 ? undefined : (out ?? `${set.name}-boxes.png`);
    if (sheet !== undefined) await writeFileAtomic(sheet, await detectionSheet(set, images, seed));
    if (chips !== undefined) await writeFileAtomic(chips, await chipPicture(set, sizes, seed));
    const byRule = anchorPlot === undefined ? undefined : await anchorCounts(set, sizes.size);
    if (anchorPlot !== undefined && byRule !== undefined)
      await writeFileAtomic(anchorPlot, await plotted(byRule, set.name));
    if (json) {
      const { name, classes, faults, fingerprint } = set;
      const { faults: faultCounts, ...counts } = statistics;
      return printJson({
        name,
        classes,
        fingerprint,
        ...counts,
        objectSizes: sizes,
        faultCounts,
        faults,
        sheet,
        chips,
        ...(byRule !== undefined && { anchorCounts: byRule, anchorPlot }),
      });
    }
    for (const line of set.describe()) printLine(line);
    printStatistics(set, statistics);
    printSizes(sizes);
    if (byRule !== undefined) printAnchors(byRule);
    printFaults(set.faults);
    if (sheet !== undefined) {
      print("");
      printLine(`contact sheet: ${sheet}`);
    }
    if (chips !== undefined) printLine(`chips: ${chips}`);
    if (anchorPlot !== undefined) printLine(`anchors by size: ${anchorPlot}`);
  });
}

/** The picture of how many anchors each rule gives an object. */
function plotted({ rules, bins, size, objects }: AnchorCounts, name: string): Promise<string> {
  const curves = rules.map((rule, i) => ({
    name: rule.name,
    points: bins.map(({ from, to, anchors }) => ({ size: Math.sqrt(from * to), anchors: anchors[i] ?? 0 })),
  }));
  return anchorSizePlot(curves, `${objects} training objects of ${name}, images of ${size} pixels`);
}

/** Training images with chips on a picture. */
const CHIP_IMAGES = 2;

/** The picture of a few training images with their chips. @throws OptionError where there are no objects */
async function chipPicture(set: DetectionSet, { sniper }: SizeReport, seed: number): Promise<Uint8Array> {
  if (sniper === undefined)
    throw new OptionError("option chips: no training image has an object; leave it out");
  const { count } = set.splits.train;
  const images = new Random(seed).permutation(count).subarray(0, CHIP_IMAGES);
  const sheet = await chipSheet(
    set,
    sniper.options,
    [...images].sort((a, b) => a - b),
  );
  return encodePng(sheet, `chips of ${images.length} training images of ${set.name}`);
}
