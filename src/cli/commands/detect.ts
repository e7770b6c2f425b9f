import { join } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { detectionOptionsSchema } from "../../data/boxes/options.ts";
import { writeFileAtomic } from "../../data/files/files.node.ts";
import { isVideoPath } from "../../data/image/video.node.ts";
import { detectOptionsOf, MANY_DETECTIONS } from "../../detection/models/detector.ts";
import { detectorViews } from "../../detection/models/image-pyramid.ts";
import { isPlain } from "../../detection/scale/test-time.ts";
import { DataError, OptionError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { windowsLine } from "../../tasks/measure/limits.ts";
import { checkConfidence, looksNote, looksOf } from "../../tasks/run/detection-options.ts";
import { findImages } from "../../tasks/run/inputs.node.ts";
import { detectorRun } from "../../tasks/run/load.node.ts";
import {
  DetectionWriter,
  hardlyTrained,
  imagesOfShard,
  leastScore,
  readCocoIds,
  TILED_PIXELS,
  USUAL_PIXELS,
  unknownLines,
} from "../../tasks/use/detect.node.ts";
import { ShardFolder } from "../../tasks/use/shards.node.ts";
import { checkVideoFlags, detectVideos } from "../detection-video.ts";
import { printJson, printLine, showDuration } from "../format.ts";
import { printWhole, shardFlags, shardOf, workOf } from "../shards.ts";
import { addVerb, runOptions } from "../verb.ts";
import {
  cascadeFlags,
  detectFlags,
  detectOptions,
  testTimeFlags,
  testTimeOptions,
  tridentFlag,
} from "../verb-options.ts";

const flagsSchema = z.strictObject({
  out: z.string().min(1).optional().describe("folder to write into (default: detections in the run folder)"),
  ...detectFlags,
  ...tridentFlag,
  ...cascadeFlags,
  ...testTimeFlags,
  coco: z
    .string()
    .min(1)
    .optional()
    .describe(
      "ground truth in COCO's format whose ids of images (by their file names) and categories (by their names) coco.json and coco-results.json have (default: numbers from 1 on)",
    ),
  pictures: z.boolean().default(true).describe("draw what is found; without, only JSON is written"),
  video: z
    .boolean()
    .default(false)
    .describe(
      "of a video, which ffmpeg decodes: write it with what is found drawn, too (NAME.mp4, without sound)",
    ),
  pixelLimit: z
    .int()
    .min(1)
    .max(TILED_PIXELS)
    .optional()
    .describe(
      `images of more pixels are left out, before they are decoded (default: ${USUAL_PIXELS}; in tiles ${TILED_PIXELS} for those that are decoded in parts)`,
    ),
  followLinks: detectionOptionsSchema.shape.followLinks,
  ...shardFlags,
  ...runOptions,
  json: z.boolean().default(false).describe("print what was found as JSON, too"),
});

export function configure(command: Command): void {
  addVerb(command, {
    name: "detect",
    heading: "Detection",
    flags: flagsSchema,
    help: 'Examples:\n  eidos detect runs/yolo-bccd photo.jpg\n  eidos detect runs/yolo-bccd photos --out found --confidence 0.5\n  eidos detect runs/yolo-bccd photos --test-scales 0.5,1,2 --mirror --merge fusion\n  eidos detect runs/mtcnn crowd.jpg --minimum-size 12 --confidence 0.9\n  eidos detect runs/yolo-bccd "photos/**/*.png" --out found --no-pictures\n  eidos detect runs/yolo-bccd clip.mp4 --out found --video\n  eidos detect runs/yolo-bccd photos --out found --shard 3/8    # then: eidos merge found',
    async action({ run, flags, operands: [paths], display, signal, seconds }) {
      const {
        out,
        json,
        coco,
        pictures,
        video,
        pixelLimit,
        followLinks,
        weights: _w,
        provider: _p,
        threads: _t,
        shard: shardText,
        ...found
      } = flags;
      const shard = shardOf(shardText);
      const given = paths as readonly string[];
      const videos = given.filter(isVideoPath);
      if (videos.length > 0 && videos.length < given.length) {
        throw new OptionError(
          `${videos[0]} is a video and others are not; give videos alone, or images and folders alone`,
        );
      }
      if (video && videos.length === 0) throw new OptionError("option video: there is no video to draw on");
      if (videos.length > 0) checkVideoFlags({ coco, pictures, shard: shardText });
      const detector = detectorRun(run.loaded);
      const asked = detectOptions(found);
      checkConfidence(asked.confidence, found);
      const options = detectOptionsOf(detector.model, {
        maximum: MANY_DETECTIONS,
        ...asked,
        confidence: await leastScore(detector, asked.confidence),
      });
      const looking = testTimeOptions(found);
      const looks = looksOf(run.config, looking);
      const note = looksNote(run.config, looking);
      const views = detectorViews(detector.model, looks);
      const severalViews = isPlain(views, detector.model.imageSize.width) ? {} : views.options;
      const folder = out ?? join(run.folder, "detections");
      const about = {
        run: run.folder,
        model: run.config.model,
        step: run.weightsStep,
        ...options,
        ...severalViews,
      };
      if (note !== undefined) display.say(note);
      const poor = await hardlyTrained(detector, run.weightsStep);
      if (poor !== undefined) display.say(poor);
      if (videos.length > 0) {
        const limit = pixelLimit ?? USUAL_PIXELS;
        const all = { ...options, ...looks, pixelLimit: limit, out: folder, draw: video, signal };
        await detectVideos({ run: detector, paths: videos, display, seconds, options: all, about, json });
        return;
      }
      const apart: { readonly image: string; readonly name: string; readonly why: string }[] = [];
      const all = await findImages(given, {
        followLinks,
        onLeftOut: (name, why) => apart.push({ image: name, name, why }),
      });
      const images = shard === undefined ? all : imagesOfShard(all, shard);
      const writer = new DetectionWriter(
        folder,
        detector,
        coco === undefined ? undefined : await readCocoIds(coco),
      );
      writer.reserve(all);
      // Of several shards, one reports what is left out of all.
      const linked = shard === undefined || shard.index === 0 ? apart : [];
      for (const { why, ...image } of linked) writer.leaveOut(image, why);
      const [link] = linked;
      if (link !== undefined) {
        display.say(`not looked into, left out: ${linked.length}, the first is ${link.name}: ${link.why}`);
      }
      const parts =
        shard &&
        new ShardFolder(folder, {
          kind: "detections",
          count: shard.count,
          extension: ".json",
          work: workOf(run, "detect", { about, coco, images: all.length, pictures }),
        });
      await parts?.begin();
      if (shard !== undefined && parts !== undefined && (await parts.has(shard.index))) {
        return printWhole(parts, shard, json);
      }
      const begun = seconds();
      const cut: string[] = [];
      const windows = new Map<string, number>();
      let [done, objects, unreadable] = [0, 0, 0];
      let reason = "";
      const speed = (): string => {
        const perSecond = done / (seconds() - begun);
        if (done > 0 && perSecond < 0.1) return `${showDuration(1 / perSecond)} an image`;
        return `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} images/s`;
      };
      /** @param part of the image under way that is done */
      const show = (part = 0, detail?: string): void => {
        const counts = `${done} of ${counted(images.length, "image")}, ${counted(objects, "object")}, ${speed()}`;
        display.show(
          "looking at images",
          (done + unreadable + part) / images.length,
          detail === undefined ? counts : `${counts}, ${detail}`,
        );
      };
      const seen = run.detections(images, {
        ...options,
        ...looks,
        ...(pixelLimit !== undefined && { pixelLimit }),
        signal,
        onTiles: ({ name }, tiles, count) =>
          show(tiles / count, `${name}: ${tiles} of ${counted(count, "tile")}`),
        onWindowLimit: ({ name }, most) => void windows.set(name, most),
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
        if (image.cut) cut.push(image.name);
        objects += image.found.length;
        show();
      }
      display.end();
      const left = images.length - done - unreadable;
      if (left > 0 && shard !== undefined) {
        display.say(
          `stopped: ${left} of ${counted(images.length, "image")} not looked at; the same command does this shard anew`,
        );
        return;
      }
      if (left > 0) {
        display.say(
          `stopped: ${left} of ${counted(images.length, "image")} not looked at; what was found in the others is kept`,
        );
      }
      const [first] = cut;
      if (first !== undefined) {
        display.say(
          `more than ${counted(options.maximum, "object")} in ${counted(cut.length, "image")}, of which the best ${options.maximum === 1 ? "is" : `${options.maximum} are`} kept, as in ${first}; --max raises it`,
        );
      }
      const [crowd] = windows;
      if (crowd !== undefined) {
        display.say(windowsLine({ images: windows.size, example: crowd[0], most: crowd[1] }));
      }
      if (done === 0 && unreadable > 0 && shard === undefined) {
        throw new DataError(
          unreadable === 1 ? reason : `none of ${unreadable} images can be read; the last: ${reason}`,
        );
      }
      if (shard !== undefined && parts !== undefined) {
        await parts.complete(shard, (path) => writeFileAtomic(path, `${JSON.stringify(writer.part())}\n`));
      } else {
        for (const line of unknownLines(await writer.finish(about), coco)) display.say(line);
      }
      if (json) printJson(writer.summary(about));
      else {
        const left = unreadable === 0 ? "" : `, ${unreadable} left out`;
        printLine(
          `${counted(done, "image")}${left}, ${counted(objects, "object")} with a score from ${Number(options.confidence.toPrecision(2))} on, ${speed()}: ${shard === undefined ? folder : (parts?.part(shard.index) ?? folder)}`,
        );
      }
    },
  });
}
