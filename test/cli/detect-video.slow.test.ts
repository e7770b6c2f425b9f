import { execFileSync } from "node:child_process";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { configure } from "../../src/cli/commands/detect.ts";
import { type VideoFrame, videoFrames, videoInfo } from "../../src/data/image/video.node.ts";
import { DataError, MissingPackageError, OptionError } from "../../src/errors.ts";
import { openRun } from "../../src/tasks/open-run.node.ts";
import { detectorRun } from "../../src/tasks/run/load.node.ts";
import { detectVideo } from "../../src/tasks/use/detect-video.node.ts";
import { present, temporaryFolder } from "../support.ts";

// Videos by ffmpeg, which makes the clips of these tests as well. Where it is not installed, only what is said then is tested.

function ffmpeg(...args: readonly string[]): boolean {
  try {
    execFileSync("ffmpeg", ["-y", "-v", "error", ...args], { stdio: ["ignore", "ignore", "pipe"] });
    return true;
  } catch {
    return false;
  }
}

const isInstalled = ffmpeg("-version");
if (!isInstalled) console.log("ffmpeg is not installed: tests of videos are skipped");

const LIMIT = 1_000_000;
const fixture = fileURLToPath(new URL("../fixtures/runs/fcos-digit-scenes", import.meta.url));

let folder = "";
const at = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** A clip of a moving test picture; `before` stands before its input, `after` before its file. */
function clip(name: string, source: string, ...after: readonly string[]): string {
  const made = ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", ...after, at(name));
  if (!made) throw new Error(`ffmpeg cannot make ${name}`);
  return at(name);
}

const TEST = "testsrc=size=161x120:rate=10:duration=1";

async function all(path: string): Promise<readonly VideoFrame[]> {
  const frames: VideoFrame[] = [];
  for await (const frame of videoFrames(path, { pixelLimit: LIMIT })) frames.push(frame);
  return frames;
}

interface Line {
  readonly frame: number;
  readonly seconds: number;
  readonly objects: readonly {
    readonly class: string;
    readonly score: number;
    readonly box: readonly number[];
  }[];
}

const lines = async (path: string): Promise<readonly Line[]> =>
  (await readFile(path, "utf8"))
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** What the command prints on standard output, and on standard error. */
async function printed(
  ...args: readonly string[]
): Promise<{ readonly out: string; readonly error: string }> {
  const program = new Command().exitOverride();
  configure(program.command("detect <run> <images...>").exitOverride());
  const texts = { out: "", error: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((chunk) => {
      texts[name === "stdout" ? "out" : "error"] += chunk;
      return true;
    }),
  );
  try {
    await program.parseAsync(["detect", fixture, ...args], { from: "user" });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return texts;
}

describe.skipIf(!isInstalled)("frames of a video", () => {
  it("come one after the other, with their times and pixels", async () => {
    const path = clip("red.mp4", "color=color=red:size=64x48:rate=5:duration=1");
    expect(await videoInfo(path, LIMIT)).toEqual({ width: 64, height: 48, rate: "5/1", frames: 5 });
    const frames = await all(path);
    expect(frames.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    for (const { index, seconds, width, height, data } of frames) {
      expect(seconds).toBeCloseTo(index / 5, 3);
      expect([width, height, data.length]).toEqual([64, 48, 4 * 64 * 48]);
      const [red = 0, green = 0, blue = 0, alpha] = data;
      expect(red).toBeGreaterThan(245);
      expect(Math.max(green, blue)).toBeLessThan(10);
      expect(alpha).toBe(255);
    }
  });

  it("have their own times where these are uneven, and none comes twice", async () => {
    const uneven = "setpts='if(lt(N,3),N*0.1,N*0.5)/TB'";
    const path = clip(
      "uneven.mkv",
      "testsrc2=size=64x48:rate=10:duration=1",
      "-vf",
      uneven,
      "-fps_mode",
      "passthrough",
    );
    const seconds = (await all(path)).map((frame) => frame.seconds);
    expect(seconds).toHaveLength(10);
    for (const [i, time] of seconds.entries()) expect(time).toBeCloseTo(i < 3 ? 0.1 * i : 0.5 * i, 2);
  });

  it("are upright", async () => {
    const path = clip("lying.mp4", "color=color=blue:size=64x48:rate=5:duration=1");
    const turned = at("turned.mp4");
    if (!ffmpeg("-display_rotation", "90", "-i", path, "-c", "copy", turned)) {
      expect(ffmpeg("-i", path, "-metadata:s:v:0", "rotate=90", "-c", "copy", turned)).toBe(true);
    }
    expect(await videoInfo(turned, LIMIT)).toMatchObject({ width: 48, height: 64 });
    expect((await all(turned))[0]).toMatchObject({ width: 48, height: 64 });
  });

  it("of what is none are refused in one line", async () => {
    await writeFile(at("text.mp4"), "no video at all");
    await writeFile(at("list.mp4"), `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${at("red.mp4")}\n`);
    await writeFile(at("concat.mp4"), `ffconcat version 1.0\nfile ${at("red.mp4")}\n`);
    expect(ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", at("sound.mp4"))).toBe(true);
    const wrong = [
      ["text.mp4", /text\.mp4: no readable video \(.+\)$/],
      ["list.mp4", /list\.mp4: no readable video/],
      ["concat.mp4", /concat\.mp4: no readable video/],
      ["sound.mp4", /sound\.mp4: there is no picture in this file/],
      ["none.mp4", /there is no file .*none\.mp4/],
    ] as const;
    for (const [name, message] of wrong) {
      const failure: unknown = await videoInfo(at(name), LIMIT).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(DataError);
      expect(String(failure)).toMatch(message);
    }
    await expect(videoInfo(at("red.mp4"), 64 * 48 - 1)).rejects.toThrow(
      /64 × 48 pixels, more than the limit of 3071/,
    );
    // Nor where only the frames are asked for.
    await expect(all(at("list.mp4"))).rejects.toThrow(DataError);
  });
});

describe.skipIf(!isInstalled)("eidos detect of a video", () => {
  it("writes what is found in each frame, and the video with boxes", async () => {
    // Lossless, so that sides may be odd.
    const path = clip("clip.mkv", TEST, "-c:v", "ffv1", "-pix_fmt", "yuv444p");
    const out = at("found");
    const { out: said, error } = await printed(
      path,
      "--out",
      out,
      "--confidence",
      "0.01",
      "--max",
      "3",
      "--video",
      "--threads",
      "1",
    );
    expect(said).toMatch(/clip\.mkv: 10 frames, 30 objects, .* frames?\/s: .*clip\.jsonl, .*clip\.mp4\n$/);
    expect(error).toMatch(
      /more objects than --max in 10 frames of .*clip\.mkv, of which the best are kept, as in frame 0/,
    );
    expect((await readdir(out)).sort()).toEqual(["clip.json", "clip.jsonl", "clip.mp4"]);
    const found = await lines(join(out, "clip.jsonl"));
    expect(found.map(({ frame }) => frame)).toEqual(Array.from({ length: 10 }, (_, i) => i));
    // The same as of the frame by itself.
    await using run = await openRun(fixture, { threads: 1 });
    const frames = await all(path);
    for (const index of [0, 9]) {
      const { objects } = await run.detect(present(frames[index]), { confidence: 0.01, maximum: 3 });
      const line = present(found[index]);
      expect(line.objects.map((one) => one.class)).toEqual(objects.map(({ label }) => label));
      for (const [i, { score, box }] of line.objects.entries()) {
        expect(score).toBeCloseTo(present(objects[i]).score, 5);
        for (const [j, value] of box.entries())
          expect(value).toBeCloseTo(present(objects[i]).box[j] ?? Number.NaN, 3);
      }
    }
    const about = JSON.parse(await readFile(join(out, "clip.json"), "utf8"));
    expect(about).toMatchObject({
      model: "fcos",
      video: path,
      frames: 10,
      objects: 30,
      complete: true,
      drawn: "clip.mp4",
    });
    const drawn = await all(join(out, "clip.mp4"));
    expect(drawn).toHaveLength(10);
    // Sides of such a video are even.
    expect(drawn[0]).toMatchObject({ width: 162, height: 120 });
    const before = present(frames[0]).data;
    const after = present(drawn[0]).data;
    let changed = 0;
    for (let y = 0; y < 120; y++) {
      for (let x = 0; x < 161; x++) {
        const [i, j] = [4 * (161 * y + x), 4 * (162 * y + x)];
        if (Math.abs((before[i] ?? 0) - (after[j] ?? 0)) > 60) changed++;
      }
    }
    expect(changed).toBeGreaterThan(50);
    expect(changed).toBeLessThan(161 * 60);
  });

  it("keeps what is done where it is stopped", async () => {
    const path = clip("long.mp4", "testsrc2=size=64x64:rate=10:duration=20");
    await using run = await openRun(fixture, { threads: 1 });
    const stop = new AbortController();
    const shares: (number | undefined)[] = [];
    const findings = await detectVideo(detectorRun(run.loaded), path, {
      confidence: 0.5,
      pixelLimit: LIMIT,
      out: at("stopped"),
      draw: true,
      signal: stop.signal,
      onFrame(frames, _objects, share) {
        shares.push(share);
        if (frames === 3) stop.abort();
      },
    });
    expect(findings).toMatchObject({ frames: 3, complete: false, damage: undefined });
    expect(shares).toEqual([1 / 200, 2 / 200, 3 / 200]);
    expect((await lines(join(at("stopped"), "long.jsonl"))).map(({ frame }) => frame)).toEqual([0, 1, 2]);
    expect(await all(join(at("stopped"), "long.mp4"))).toHaveLength(3);
    expect((await readdir(at("stopped"))).sort()).toEqual(["long.json", "long.jsonl", "long.mp4"]);
  });

  it("says where the rest of a video cannot be read", async () => {
    const path = clip("whole.mkv", "testsrc2=size=64x64:rate=10:duration=5", "-g", "5");
    const bytes = await readFile(path);
    await writeFile(at("cut.mkv"), bytes.subarray(0, Math.floor(bytes.length / 2)));
    const { error } = await printed(at("cut.mkv"), "--out", at("cut"), "--threads", "1");
    const about = JSON.parse(await readFile(join(at("cut"), "cut.json"), "utf8"));
    expect(about.frames).toBeGreaterThan(5);
    expect(about.frames).toBeLessThan(45);
    expect(about.complete).toBe(false);
    expect(error).toMatch(/cut\.mkv: not all of it can be read \(.+\); \d+ frames could/);
  });

  it("does not overwrite the video, and takes several of one name apart", async () => {
    const path = clip("own.mp4", "testsrc2=size=64x64:rate=2:duration=1");
    const { size } = await stat(path);
    await expect(printed(path, "--out", folder, "--video")).rejects.toThrow(
      /would take the place of the video/,
    );
    expect((await stat(path)).size).toBe(size);
    await printed(path, path, "--out", at("twice"), "--threads", "1");
    expect((await readdir(at("twice"))).sort()).toEqual([
      "own-2.json",
      "own-2.jsonl",
      "own.json",
      "own.jsonl",
    ]);
  });
});

describe("eidos detect", () => {
  it("refuses flags of the other kind, and both kinds at once", async () => {
    const refused = [
      [["a.mp4", "photo.jpg"], /a\.mp4 is a video and others are not/],
      [["photo.jpg", "--video"], /option video: there is no video to draw on/],
      [["a.mp4", "--coco", "truth.json"], /option coco: is of images/],
      [["a.mp4", "--no-pictures"], /option pictures: of videos none are drawn/],
    ] as const;
    for (const [args, message] of refused) {
      const failure: unknown = await printed(...args).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(OptionError);
      expect(String(failure)).toMatch(message);
    }
  });

  it("names what to install where there is no ffmpeg", async () => {
    await writeFile(at("any.mp4"), "");
    vi.stubEnv("PATH", folder);
    const failure: unknown = await printed(at("any.mp4")).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(MissingPackageError);
    expect(String(failure)).toMatch(
      /read by ffprobe, which is not installed; install ffmpeg \(apt-get install ffmpeg/,
    );
    await expect(all(at("any.mp4"))).rejects.toThrow(/read by ffmpeg, which is not installed/);
  });
});
