import { join } from "node:path";
import { OptionError } from "../errors.ts";
import { counted } from "../memory.ts";
import type { DetectorRun } from "../tasks/run/load.node.ts";
import { type DetectVideoOptions, detectVideo, type VideoFindings } from "../tasks/use/detect-video.node.ts";
import { printJson, printLine, showDuration } from "./format.ts";
import type { WorkDisplay } from "./progress.ts";

// `eidos detect RUN clip.mp4`.

/** Flags that are of images alone, refused beside videos rather than passed over. @throws OptionError */
export function checkVideoFlags(flags: {
  readonly coco?: string | undefined;
  readonly shard?: string | undefined;
  readonly pictures: boolean;
}): void {
  if (flags.coco !== undefined) throw new OptionError("option coco: is of images; leave it out for videos");
  if (flags.shard !== undefined) {
    throw new OptionError("option shard: is of images; of several videos, give each process its own");
  }
  if (!flags.pictures) {
    throw new OptionError("option pictures: of videos none are drawn unless --video is given; leave it out");
  }
}

export interface VideoCommand {
  readonly run: DetectorRun;
  readonly paths: readonly string[];
  readonly display: WorkDisplay;
  /** A clock. */
  seconds(): number;
  readonly options: Omit<DetectVideoOptions, "onFrame" | "taken">;
  /** What the JSON beside the detections says of the run. */
  readonly about: Readonly<Record<string, unknown>>;
  readonly json: boolean;
}

/** Looks at videos, one after the other, and prints what was found. @throws as `detectVideo` */
export async function detectVideos({
  run,
  paths,
  display,
  seconds,
  options,
  about,
  json,
}: VideoCommand): Promise<void> {
  const all: VideoFindings[] = [];
  const taken = new Set<string>();
  for (const path of paths) {
    if (options.signal?.aborted) break;
    const begun = seconds();
    const speed = (frames: number): string => {
      const perSecond = frames / (seconds() - begun);
      return perSecond > 0 && perSecond < 0.1
        ? `${showDuration(1 / perSecond)} a frame`
        : `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} frames/s`;
    };
    const findings = await detectVideo(
      run,
      path,
      {
        ...options,
        taken,
        onFrame: (frames, objects, share) =>
          display.show(
            `looking at ${path}`,
            share,
            `${counted(frames, "frame")}, ${counted(objects, "object")}, ${speed(frames)}`,
          ),
      },
      about,
    );
    display.end();
    all.push(findings);
    const { frames, objects, cut, damage } = findings;
    if (options.signal?.aborted) {
      display.say(`stopped after ${counted(frames, "frame")} of ${path}; what was found in them is kept`);
    }
    if (damage !== undefined) {
      display.say(`${path}: not all of it can be read (${damage}); ${counted(frames, "frame")} could`);
    }
    if (cut !== undefined) {
      display.say(
        `more objects than --max in ${counted(cut.frames, "frame")} of ${path}, of which the best are kept, as in frame ${cut.first}`,
      );
    }
    if (!json) {
      const files = [findings.detections, ...(findings.drawn === undefined ? [] : [findings.drawn])];
      printLine(
        `${path}: ${counted(frames, "frame")}, ${counted(objects, "object")}, ${speed(frames)}: ${files.map((file) => join(options.out, file)).join(", ")}`,
      );
    }
  }
  const left = paths.length - all.length;
  if (left > 0) display.say(`not looked at: ${counted(left, "video")}`);
  if (json) printJson({ ...about, classes: run.classes, videos: all });
}
