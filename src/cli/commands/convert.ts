import type { Command } from "commander";
import { z } from "zod";
import { DETECTION_FORMATS } from "../../data/boxes/check.ts";
import { convertDetections } from "../../data/boxes/convert.node.ts";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import { faultLines } from "../../data/boxes/set.ts";
import { openDetection } from "../../data/open.node.ts";
import { counted } from "../../memory.ts";
import { divideOptions, parseOptions } from "../../options.ts";
import { showing } from "../flags.ts";
import { printJson, printLine } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { csvFlags, noteMarked } from "../verb.ts";

const convertFlags = z.strictObject({
  to: z.enum(DETECTION_FORMATS).describe("format to write"),
  ...csvFlags,
  ...showing,
});

export function configure(command: Command): void {
  addSchemaOptions(command, "Convert", convertFlags);
  addSchemaOptions(command, "Data", detectionOptionsSchema);
  command.action(async (name: string, out: string, flags: Record<string, unknown>) => {
    const schemas = { convert: convertFlags, data: detectionOptionsSchema };
    const divided = divideOptions("convert", flagValues(flags, Object.values(schemas)), schemas);
    const { to, json, quiet, csvSafe } = parseOptions("convert", convertFlags, divided.convert);
    const set = await openDetection(name, parseOptions("data", detectionOptionsSchema, divided.data));
    const progress = new ProgressLine();
    const onProgress = (share: number): void => {
      if (!quiet) progress.show(`${Math.floor(100 * share)} % of the images`);
    };
    const done = await convertDetections(set, out, to, onProgress, { csvSafe });
    progress.clear();
    if (json) return printJson({ ...done, faults: set.faults });
    const { train, validation, test } = done.images;
    printLine(
      `${out}: ${train} training, ${validation} validation and ${counted(test, "test image")}, ${counted(done.objects, "object")}`,
    );
    if (done.encoded > 0)
      printLine(`${counted(done.encoded, "image")} written anew as PNG, the others copied as they are`);
    const { difficult, crowds, subsets, landmarks } = done.lost;
    if (difficult > 0)
      printLine(`marks of what is difficult, which the format does not have: ${difficult} left out`);
    if (crowds > 0) printLine(`crowds, which the format does not have: ${crowds} left out`);
    if (subsets > 0)
      printLine(`easy, medium and hard faces, which the format does not have: marks of ${subsets} left out`);
    if (landmarks > 0) {
      printLine(
        `landmarks, which the format does not have: those of ${counted(landmarks, "object")} left out; --to coco keeps them`,
      );
    }
    if (done.marked !== undefined) noteMarked(done.marked);
    for (const line of faultLines(set.faults)) printLine(line);
  });
}
