import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { openRun, type Run, type VideoFrame } from "../../../src/tasks/index.node.ts";

// Videos as frames that are made here: files, which ffmpeg decodes, are those of test/cli/detect-video.slow.test.ts.

const runs = fileURLToPath(new URL("../../fixtures/runs/", import.meta.url));

let run: Run;
beforeAll(async () => {
  run = await openRun(`${runs}fcos-digit-scenes`, { threads: 1 });
});
afterAll(() => run.release());

/** A frame of moving stripes. */
function frameOf(index: number, width = 80, height = 60): VideoFrame {
  const data = Uint8Array.from({ length: 4 * width * height }, (_, i) =>
    i % 4 === 3 ? 255 : ((i >> 2) * (7 + index) + 40 * index) % 256,
  );
  return { index, seconds: index / 10, width, height, data };
}

describe("objects of a video", () => {
  it("are those of each frame as an image, with their times", async () => {
    async function* frames() {
      for (let i = 0; i < 4; i++) yield frameOf(i, 80 + 8 * i);
    }
    const options = { confidence: 0.01, maximum: 5 };
    let count = 0;
    for await (const { frame, seconds, cut, ...found } of run.detectVideo(frames(), options)) {
      expect(frame).toBe(count++);
      expect(seconds).toBe(frame / 10);
      const alone = await run.detect(frameOf(frame, 80 + 8 * frame), options);
      expect(found).toEqual(alone);
      expect(found.objects.length > 0 && found.objects.every(({ label }) => label !== "")).toBe(true);
      expect(cut).toBe(found.objects.length === 5);
    }
    expect(count).toBe(4);
  });

  it("end with the signal, and with the loop, and no further frame is read", async () => {
    const read: number[] = [];
    let closed = 0;
    function* frames() {
      try {
        for (let i = 0; i < 50; i++) {
          read.push(i);
          yield frameOf(i);
        }
      } finally {
        closed++;
      }
    }
    const controller = new AbortController();
    const seen: number[] = [];
    for await (const { frame } of run.detectVideo(frames(), { signal: controller.signal })) {
      seen.push(frame);
      if (frame === 2) controller.abort();
    }
    expect(seen).toEqual([0, 1, 2]);
    expect(read).toEqual([0, 1, 2]);
    for await (const { frame } of run.detectVideo(frames())) if (frame === 1) break;
    expect(read).toEqual([0, 1, 2, 0, 1]);
    expect(closed).toBe(2);
    const aborted = AbortSignal.abort();
    for await (const _ of run.detectVideo(frames(), { signal: aborted }))
      throw new Error("no frame is wanted");
  });

  it("are of detectors alone", async () => {
    await using flow = await openRun(`${runs}nice-two-moons`, { threads: 1 });
    await expect(flow.detectVideo([frameOf(0)]).next()).rejects.toThrow(OptionError);
  });
});
