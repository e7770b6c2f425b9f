import { type ChildProcess, execFile, spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { promisify } from "node:util";
import { z } from "zod";
import { DataError, FileError, MissingPackageError } from "../../errors.ts";
import { printable } from "../../printable.ts";

// Videos by ffmpeg, which is a program of its own and need not be there: it decodes a file and hands over one frame after the other by a pipe, so
// that a video is never in memory. A stranger's video reads no other file: playlists and addresses are refused.

/** Endings of files that are taken for videos. */
const ENDINGS = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|mts|m2ts|ogv|flv|wmv|3gp)$/i;

/** Whether a path is that of a video, by its name. */
export const isVideoPath = (path: string): boolean => ENDINGS.test(path);

/** What ffmpeg may read: containers of these kinds in the file that is named, and nothing that this names. */
const ONLY = [
  "-protocol_whitelist",
  "file",
  "-format_whitelist",
  "mov,matroska,avi,mpeg,mpegvideo,mpegts,ogg,flv,asf",
] as const;

/** A path as ffmpeg takes it, whatever it begins with. */
const fileOf = (path: string): string => `file:${resolve(path)}`;

function missing(tool: string, cause: unknown): MissingPackageError {
  return new MissingPackageError(
    `videos are read by ${tool}, which is not installed; install ffmpeg (apt-get install ffmpeg, brew install ffmpeg), or give images`,
    { cause },
  );
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT";

/** What the header of a video says. */
export interface VideoInfo {
  /** Of upright frames. */
  readonly width: number;
  readonly height: number;
  /** Frames a second on average, as a fraction: 30000/1001. Undefined where it does not say. */
  readonly rate: string | undefined;
  /** How many frames there are, about; undefined where it does not say. */
  readonly frames: number | undefined;
}

const number = z.coerce.number().positive();

const probed = z.object({
  streams: z
    .array(
      z.object({
        width: z.int().positive(),
        height: z.int().positive(),
        avg_frame_rate: z.string().optional(),
        nb_frames: z.string().optional(),
        duration: z.string().optional(),
        side_data_list: z.array(z.looseObject({ rotation: z.number().optional() })).optional(),
      }),
    )
    .min(1),
  format: z.object({ duration: z.string().optional() }).optional(),
});

/** The last line that a tool wrote, without the path. */
function lastLine(stderr: string, path: string): string {
  const lines = stderr.trim().split("\n");
  return (lines.at(-1) ?? "").replaceAll(fileOf(path), path).replace(/^(\[[^\]]*\] ?)+/, "");
}

/**
 * Reads the header of a video.
 * @throws DataError where it is none, or a frame has more pixels than the limit; MissingPackageError where ffmpeg is not installed
 */
export async function videoInfo(path: string, pixelLimit: number): Promise<VideoInfo> {
  const held = await stat(path).catch(() => undefined);
  if (held === undefined) throw new DataError(`there is no file ${printable(path)}`);
  if (!held.isFile()) throw new DataError(`${path}: no regular file`);
  let text: string;
  try {
    const entries =
      "stream=width,height,avg_frame_rate,nb_frames,duration:stream_side_data=rotation:format=duration";
    const args = ["-v", "error", ...ONLY, "-select_streams", "v:0", "-show_entries", entries, "-of", "json"];
    ({ stdout: text } = await promisify(execFile)("ffprobe", [...args, fileOf(path)]));
  } catch (error) {
    if (isMissing(error)) throw missing("ffprobe", error);
    const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
    throw new DataError(`${path}: no readable video (${lastLine(stderr, path)})`, { cause: error });
  }
  const parsed = probed.safeParse(JSON.parse(text));
  const stream = parsed.data?.streams[0];
  if (stream === undefined) throw new DataError(`${path}: there is no picture in this file`);
  const turned = stream.side_data_list?.some(({ rotation = 0 }) => Math.abs(rotation) % 180 === 90) === true;
  const [width, height] = turned ? [stream.height, stream.width] : [stream.width, stream.height];
  if (width * height > pixelLimit) {
    throw new DataError(`${path}: ${width} × ${height} pixels, more than the limit of ${pixelLimit}`);
  }
  const [, above = "", below = ""] = /^(\d+)\/(\d+)$/.exec(stream.avg_frame_rate ?? "") ?? [];
  const perSecond = Number(above) / Number(below);
  const known = Number.isFinite(perSecond) && perSecond > 0;
  const seconds = number.safeParse(stream.duration ?? parsed.data?.format?.duration);
  const counted = number.safeParse(stream.nb_frames);
  return {
    width,
    height,
    rate: known ? `${above}/${below}` : undefined,
    frames:
      counted.data ??
      (seconds.success && known ? Math.max(1, Math.round(seconds.data * perSecond)) : undefined),
  };
}

/** A frame of a video, upright. */
export interface VideoFrame {
  /** From 0 on. */
  readonly index: number;
  /** When it is shown, in seconds from the beginning of the video. */
  readonly seconds: number;
  readonly width: number;
  readonly height: number;
  /** Red, green, blue and alpha of each pixel. */
  readonly data: Uint8Array;
}

/** What a child process wrote to standard error, and when it has ended. */
class Told {
  /** Seconds at which frames are shown, in their order. */
  readonly times: number[] = [];
  /** The first thing that went wrong. */
  fault: string | undefined;
  readonly ended: Promise<number | null>;
  startFailure: unknown;
  private rest = "";
  private wake: () => void = () => undefined;
  private over = false;

  constructor(child: ChildProcess) {
    child.stderr?.on("data", (part: Buffer) => this.take(String(part)));
    this.ended = new Promise((resolve) => {
      child.on("error", (error) => {
        this.startFailure = error;
        this.finish();
        resolve(null);
      });
      child.on("close", (code) => {
        this.finish();
        resolve(code);
      });
    });
  }

  private finish(): void {
    this.over = true;
    this.wake();
  }

  private take(text: string): void {
    const lines = (this.rest + text).split(/[\r\n]/);
    this.rest = (lines.pop() ?? "").slice(-10_000);
    for (const line of lines) {
      const [, time] = /showinfo.*\bpts_time:\s*(\S+)/.exec(line) ?? [];
      if (time !== undefined) this.times.push(Number(time));
      const [, fault] = /\[(?:error|fatal|panic)\] (.*)$/.exec(line) ?? [];
      if (fault !== undefined) this.fault ??= fault;
    }
    this.wake();
  }

  /** The time of a frame, which may be told after its pixels. @throws DataError where it is not told */
  async timeOf(index: number, path: string): Promise<number> {
    while (this.times[index] === undefined && !this.over) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const time = this.times[index];
    if (time === undefined) throw new DataError(`${path}: ffmpeg does not say when frame ${index} is shown`);
    return time;
  }
}

/** Takes bytes off a stream, as many as are asked for. */
class Bytes {
  private readonly source: AsyncIterator<Buffer>;
  private held: Buffer[] = [];
  private length = 0;

  constructor(stream: Readable) {
    this.source = stream[Symbol.asyncIterator]();
  }

  private async more(): Promise<boolean> {
    const { done, value } = await this.source.next();
    if (done) return false;
    this.held.push(value);
    this.length += value.length;
    return true;
  }

  /** So many bytes; undefined where the stream ends before. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.length < count) if (!(await this.more())) return undefined;
    const all = this.held.length === 1 ? this.held[0] : Buffer.concat(this.held, this.length);
    if (all === undefined) return undefined;
    this.held = [all.subarray(count)];
    this.length -= count;
    return all.subarray(0, count);
  }

  /** A line, without its end; undefined where the stream ends. */
  async line(): Promise<string | undefined> {
    let line = "";
    for (;;) {
      const byte = await this.take(1);
      if (byte === undefined) return undefined;
      if (byte[0] === 10) return line;
      line += String.fromCharCode(byte[0] ?? 0);
      if (line.length > 200) throw new DataError("ffmpeg answers something else than frames");
    }
  }
}

/** The head of a picture in the format PAM: https://netpbm.sourceforge.net/doc/pam.html */
async function sizeOf(
  bytes: Bytes,
): Promise<{ readonly width: number; readonly height: number } | undefined> {
  const fields = new Map<string, string>();
  if ((await bytes.line()) === undefined) return undefined;
  for (;;) {
    const line = await bytes.line();
    if (line === undefined) return undefined;
    if (line === "ENDHDR") break;
    const [name = "", value = ""] = line.split(" ");
    fields.set(name, value);
  }
  const [width, height, depth] = ["WIDTH", "HEIGHT", "DEPTH"].map((name) => Number(fields.get(name)));
  if (!width || !height || depth !== 4) throw new DataError("ffmpeg answers something else than frames");
  return { width, height };
}

export interface FrameOptions {
  /** Videos whose frames have more pixels are refused. */
  readonly pixelLimit: number;
  /** Ends the frames where it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Takes what is wrong with a video of which some frames can be read, at its end. */
  readonly onDamage?: ((reason: string) => void) | undefined;
}

/**
 * The frames of a video, one after the other and each once, upright.
 * @throws DataError where no frame can be read; MissingPackageError where ffmpeg is not installed
 */
export async function* videoFrames(
  path: string,
  { pixelLimit, signal, onDamage }: FrameOptions,
): AsyncGenerator<VideoFrame> {
  const child = spawn(
    "ffmpeg",
    [
      ...[
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-loglevel",
        "level+info",
        "-max_pixels",
        String(pixelLimit),
      ],
      ...[...ONLY, "-i", fileOf(path), "-map", "0:v:0", "-fps_mode", "passthrough"],
      ...["-vf", "showinfo=checksum=0", "-c:v", "pam", "-pix_fmt", "rgba", "-f", "image2pipe", "pipe:1"],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const told = new Told(child);
  const stop = (): void => void child.kill("SIGKILL");
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  let index = 0;
  try {
    child.stdout.on("error", () => undefined);
    const bytes = new Bytes(child.stdout);
    for (; ; index++) {
      const size = await sizeOf(bytes);
      const data = size && (await bytes.take(4 * size.width * size.height));
      if (size === undefined || data === undefined || signal?.aborted) break;
      yield { index, seconds: await told.timeOf(index, path), ...size, data };
    }
    if (signal?.aborted) return;
    const code = await told.ended;
    if (isMissing(told.startFailure)) throw missing("ffmpeg", told.startFailure);
    const why =
      told.fault?.replaceAll(fileOf(path), path) ??
      (code === 0 ? undefined : `ffmpeg ends with code ${code}`);
    if (index === 0) throw new DataError(`${path}: no frame can be read (${why ?? "there is none"})`);
    if (why !== undefined) onDamage?.(why);
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
    // What has not been read would keep it from being closed.
    child.stdout.destroy();
    await told.ended;
  }
}

/** Pictures of one size that become a video. */
export interface VideoWriter {
  /** @param pixels red, green and blue of each pixel */
  add(pixels: Uint8Array): Promise<void>;
  /** Ends the file, which can then be played. @throws FileError */
  end(): Promise<void>;
}

/**
 * Begins to write an MP4: H.264 where this ffmpeg has it, otherwise MPEG-4.
 * @param rate frames a second, as a fraction
 * @throws MissingPackageError where ffmpeg is not installed; FileError where the file cannot be written
 */
export async function writeVideo(
  path: string,
  { width, height, rate }: { readonly width: number; readonly height: number; readonly rate: string },
): Promise<VideoWriter> {
  let encoders: string;
  try {
    ({ stdout: encoders } = await promisify(execFile)("ffmpeg", ["-hide_banner", "-encoders"], {
      maxBuffer: 1 << 24,
    }));
  } catch (error) {
    throw isMissing(error) ? missing("ffmpeg", error) : error;
  }
  const codec = encoders.includes(" libx264 ") ? ["libx264", "-crf", "20"] : ["mpeg4", "-q:v", "4"];
  const child = spawn(
    "ffmpeg",
    [
      ...[
        "-hide_banner",
        "-nostats",
        "-loglevel",
        "level+error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
      ],
      ...["-video_size", `${width}x${height}`, "-framerate", rate, "-i", "pipe:0"],
      // Sides of this kind of video are even.
      ...["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", ...codec, "-pix_fmt", "yuv420p"],
      ...["-movflags", "+faststart", "-f", "mp4", fileOf(path)],
    ],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  const told = new Told(child);
  const input: Writable = child.stdin;
  // What has gone wrong is what the program says as it ends.
  input.on("error", () => undefined);
  const failed = (): FileError =>
    new FileError(`${path}: the video cannot be written (${told.fault ?? "ffmpeg has ended"})`);
  return {
    async add(pixels) {
      if (child.exitCode !== null || input.destroyed) {
        await told.ended;
        throw failed();
      }
      await new Promise<void>((resolve) => {
        input.write(pixels, () => resolve());
      });
    },
    async end() {
      input.end();
      if ((await told.ended) !== 0) throw failed();
    },
  };
}
