import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileError, makeFolder, writeFileAtomic } from "../../data/files/files.node.ts";
import {
  type VideoFrame,
  type VideoInfo,
  videoFrames,
  videoInfo,
  writeVideo,
} from "../../data/image/video.node.ts";
import type { Detection } from "../../detection/boxes/detections.ts";
import { OptionError } from "../../errors.ts";
import { boxColor, drawBoxes } from "../../report/index.ts";
import type { DetectorRun } from "../run/load.node.ts";
import { type DetectFilesOptions, detectFiles, USUAL_PIXELS } from "./detect.node.ts";

// What a detector finds in a video, frame by frame: a line of JSON each, written as it is found, so that what is done is kept whatever happens, and
// the video with its boxes where that is asked for.

/** Frames a second of a drawn video whose source does not say. */
const USUAL_RATE = "25/1";

/** How the frames of a video are looked at. */
export interface DetectFramesOptions extends Omit<DetectFilesOptions, "onUnreadable" | "shard"> {
  /** Called with what is wrong with a video of which some frames can be read, or with a frame, which is then left out. */
  readonly onDamage?: (reason: string) => void;
}

/** A frame of a video with what was found in it. */
export interface FrameFindings {
  readonly frame: VideoFrame;
  /** From the best down, in pixels of the upright frame. */
  readonly found: readonly Detection[];
  /** Whether more was found than the maximum, of which the best are here. */
  readonly cut: boolean;
}

/**
 * Looks at each frame of a video, one after the other. Where the signal ends, the frames end after the one under way.
 * @param video a file, which ffmpeg decodes, or frames from elsewhere
 * @throws DataError where it is no readable video; MissingPackageError where ffmpeg is not installed
 */
export async function* detectFrames(
  run: DetectorRun,
  video: string | AsyncIterable<VideoFrame> | Iterable<VideoFrame>,
  { onDamage, signal, pixelLimit = USUAL_PIXELS, ...looks }: DetectFramesOptions = {},
): AsyncGenerator<FrameFindings> {
  const name = typeof video === "string" ? video : "the video";
  const frames = typeof video === "string" ? videoFrames(video, { pixelLimit, signal, onDamage }) : video;
  for await (const frame of frames) {
    if (signal?.aborted) return;
    const images = [{ image: frame, name: `frame ${frame.index} of ${name}` }];
    const onUnreadable = (_: unknown, reason: string): void => onDamage?.(reason);
    const settings = { ...looks, pixelLimit, onUnreadable, ...(signal && { signal }) };
    for await (const { found, cut } of detectFiles(run, images, settings)) yield { frame, found, cut };
    if (signal?.aborted) return;
  }
}

export interface DetectVideoOptions extends Omit<DetectFramesOptions, "onDamage"> {
  readonly pixelLimit: number;
  /** Folder that is written into. */
  readonly out: string;
  /** Names of files there without their endings, which are not taken again. */
  readonly taken?: Set<string>;
  /** Whether the video with its boxes is written too. */
  readonly draw: boolean;
  /** @param share that is done; undefined where it is not known how long the video is */
  readonly onFrame?: (frames: number, objects: number, share: number | undefined) => void;
}

/** What was found in a video, all frames together; also what NAME.json holds. */
export interface VideoFindings {
  readonly video: string;
  readonly width: number;
  readonly height: number;
  readonly rate: string | undefined;
  /** Frames that were looked at. */
  readonly frames: number;
  readonly objects: number;
  /** Frames with more objects than the maximum, and the first of them. */
  readonly cut: { readonly frames: number; readonly first: number } | undefined;
  /** False where it was stopped, or where the rest of the video cannot be read. */
  readonly complete: boolean;
  /** What is wrong with the video, of which some frames were read. */
  readonly damage: string | undefined;
  /** Files that were written, in the folder. */
  readonly detections: string;
  readonly drawn: string | undefined;
}

/** The line of a frame. */
function lineOf(
  { index, seconds }: VideoFrame,
  found: readonly Detection[],
  classes: readonly string[],
  cut: boolean,
): string {
  const objects = found.map(({ class: label, score, box, landmarks }) => ({
    class: classes[label] ?? String(label),
    score,
    box,
    ...(landmarks && { landmarks }),
  }));
  return `${JSON.stringify({ frame: index, seconds, ...(cut && { cut }), objects })}\n`;
}

/** A frame with its boxes, as red, green and blue of each pixel. */
function drawn({ width, height, data }: VideoFrame, found: readonly Detection[], classes: readonly string[]) {
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < pixels.length; from += 4, to += 3) {
    pixels[to] = data[from] ?? 0;
    pixels[to + 1] = data[from + 1] ?? 0;
    pixels[to + 2] = data[from + 2] ?? 0;
  }
  const marked = found.map(({ box, class: label, score, landmarks = [] }) => ({
    box,
    points: landmarks,
    label: `${classes[label] ?? label} ${score.toFixed(2)}`,
    color: boxColor(label),
  }));
  return drawBoxes({ width, height, channels: 3, data: pixels }, marked).data;
}

/** A name in the folder that is not taken: clip, clip-2. */
function freeName(path: string, taken: Set<string>): string {
  const stem = basename(path).replace(/\.[^.]*$/, "");
  let free = stem;
  for (let n = 2; taken.has(free.toLowerCase()); n++) free = `${stem}-${n}`;
  taken.add(free.toLowerCase());
  return free;
}

/**
 * Looks at each frame of a video and writes NAME.jsonl, a line for each frame (`frame`, `seconds`, `objects` with boxes in pixels of the upright
 * frame), NAME.json with what it is of, and where asked NAME.mp4, the video with its boxes, without sound.
 * @param about what else is worth knowing, for NAME.json: the run, what counted as found
 * @throws DataError where it is no readable video; MissingPackageError where ffmpeg is not installed; OptionError where the drawn video would take the place of the video; FileError
 */
export async function detectVideo(
  run: DetectorRun,
  path: string,
  options: DetectVideoOptions,
  about: Readonly<Record<string, unknown>> = {},
): Promise<VideoFindings> {
  const { pixelLimit, out, taken = new Set(), draw, onFrame, ...looks } = options;
  const { signal } = looks;
  const info = await videoInfo(path, pixelLimit);
  const name = freeName(path, taken);
  const [lines, picture] = [join(out, `${name}.jsonl`), join(out, `${name}.mp4`)];
  if (draw && resolve(picture) === resolve(path)) {
    throw new OptionError(`option out: ${picture} would take the place of the video; choose another folder`);
  }
  const file = await begun(lines);
  const video = draw ? new DrawnVideo(picture, info) : undefined;
  let [frames, objects] = [0, 0];
  let cut: VideoFindings["cut"];
  let damage: string | undefined;
  try {
    const onDamage = (reason: string): void => {
      damage ??= reason;
    };
    for await (const seen of detectFrames(run, path, { ...looks, pixelLimit, onDamage })) {
      const { frame, found } = seen;
      await file.appendFile(lineOf(frame, found, run.classes, seen.cut));
      await video?.add(frame, drawn(frame, found, run.classes));
      frames++;
      objects += found.length;
      if (seen.cut) cut = { frames: (cut?.frames ?? 0) + 1, first: cut?.first ?? frame.index };
      onFrame?.(frames, objects, info.frames === undefined ? undefined : Math.min(1, frames / info.frames));
    }
    await file.sync();
    await video?.end();
  } catch (error) {
    await video?.abandon();
    throw error;
  } finally {
    await file.close();
  }
  const findings: VideoFindings = {
    video: path,
    width: info.width,
    height: info.height,
    rate: info.rate,
    frames,
    objects,
    cut,
    complete: signal?.aborted !== true && damage === undefined,
    damage,
    detections: basename(lines),
    drawn: video?.isBegun === true ? basename(picture) : undefined,
  };
  await writeFileAtomic(
    join(out, `${name}.json`),
    `${JSON.stringify({ ...about, classes: run.classes, ...findings }, null, 1)}\n`,
  );
  return findings;
}

/** An empty file to write lines into. @throws FileError */
async function begun(path: string): Promise<FileHandle> {
  try {
    await makeFolder(dirname(path));
    return await open(path, "w");
  } catch (error) {
    throw fileError(error, "write", path);
  }
}

/** The video with its boxes: it has its name when it is whole. */
class DrawnVideo {
  private readonly path: string;
  private readonly info: VideoInfo;
  private writer: Awaited<ReturnType<typeof writeVideo>> | undefined;

  constructor(path: string, info: VideoInfo) {
    this.path = path;
    this.info = info;
  }

  private get part(): string {
    return `${this.path}.part`;
  }

  get isBegun(): boolean {
    return this.writer !== undefined;
  }

  async add({ width, height }: VideoFrame, pixels: Uint8Array): Promise<void> {
    this.writer ??= await writeVideo(this.part, { width, height, rate: this.info.rate ?? USUAL_RATE });
    await this.writer.add(pixels);
  }

  async end(): Promise<void> {
    if (this.writer === undefined) return;
    await this.writer.end();
    await rename(this.part, this.path);
  }

  /** Removes what cannot become a video any more. */
  async abandon(): Promise<void> {
    await this.writer?.end().catch(() => undefined);
    await rm(this.part, { force: true });
  }
}
