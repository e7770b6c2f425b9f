import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import { completeDetectOptions } from "../../detection/models/detector.ts";
import { DataError } from "../../errors.ts";
import { parseOptions } from "../../options.ts";
import { findImages } from "../../tasks/run/inputs.node.ts";
import { openDetectorRun } from "../../tasks/run/run.node.ts";
import { DetectionWriter, detectFiles, usualConfidence } from "../../tasks/use/detect.node.ts";
import { detectFlags, detectOptions } from "../detect-options.ts";
import { print, printJson, showDuration } from "../format.ts";
import { addSchemaOptions, flagValues } from "../options.ts";
import { interruptible, ProgressDisplay } from "../progress.ts";
import { runOptions } from "../run-options.ts";

const flagsSchema = z.strictObject({
  out: z.string().min(1).optional().describe("folder to write into (default: detections in the run folder)"),
  ...detectFlags,
  pictures: z.boolean().default(true).describe("draw what is found; without, only JSON is written"),
  pixelLimit: detectionOptionsSchema.shape.pixelLimit,
  ...runOptions,
  json: z.boolean().default(false).describe("print what was found as JSON, too"),
});

/** Milliseconds between lines of progress. */
const SHOWN_EVERY = 200;

export function configure(command: Command): void {
  addSchemaOptions(command, "Detection", flagsSchema);
  command.addHelpText(
    "after",
    '\nExamples:\n  eidos detect runs/yolo-bccd photo.jpg\n  eidos detect runs/yolo-bccd photos --out found --confidence 0.5\n  eidos detect runs/yolo-bccd "photos/**/*.png" --out found --no-pictures',
  );
  command.action(async (path: string, places: readonly string[], flags: Record<string, unknown>) => {
    const { out, json, pictures, pixelLimit, weights, provider, threads, ...found } = parseOptions(
      "detect",
      flagsSchema,
      flagValues(flags, [flagsSchema]),
    );
    const images = await findImages(places);
    const run = await openDetectorRun(path, { weights, provider, threads });
    const options = completeDetectOptions({
      confidence: await usualConfidence(run),
      ...detectOptions(found),
    });
    const folder = out ?? join(path, "detections");
    const writer = new DetectionWriter(folder, run);
    const display = new ProgressDisplay();
    const begun = performance.now();
    let [done, objects, unreadable, shownAt] = [0, 0, 0, 0];
    let reason = "";
    const speed = (): string => {
      const perSecond = (1000 * done) / (performance.now() - begun);
      return `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} images/s`;
    };
    await interruptible(display, async (signal) => {
      const seen = detectFiles(run, images, {
        ...options,
        pixelLimit,
        signal,
        onUnreadable: (image, why) => {
          unreadable++;
          reason = `${image.name}: ${why}`;
          writer.leaveOut(image, why);
          if (images.length > 1) display.say(`left out ${image.name}: ${why}`);
        },
      });
      for await (const image of seen) {
        await writer.add(image, pictures);
        done++;
        objects += image.found.length;
        if (performance.now() - shownAt < SHOWN_EVERY) continue;
        shownAt = performance.now();
        const left = ((images.length - done - unreadable) * (shownAt - begun)) / done / 1000;
        display.showLine(
          `${done} of ${images.length} images, ${objects} objects, ${speed()}, ${showDuration(left)} left`,
          {
            stage: "training",
            seconds: (shownAt - begun) / 1000,
          },
        );
      }
    });
    await run.session.release();
    if (done === 0 && unreadable > 0) {
      throw new DataError(
        unreadable === 1 ? reason : `none of ${unreadable} images can be read; the last: ${reason}`,
      );
    }
    const about = { run: path, model: run.config.model, step: run.weightsStep, ...options };
    await writer.finish(about);
    if (json) printJson(writer.summary(about));
    else {
      const left = unreadable === 0 ? "" : `, ${unreadable} left out`;
      print(
        `${done} images${left}, ${objects} objects with a score from ${options.confidence.toFixed(2)} on, ${speed()}: ${folder}`,
      );
    }
  });
}
