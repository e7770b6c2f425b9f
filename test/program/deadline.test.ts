import { describe, expect, test } from "vitest";
import { sampleInParts } from "../../src/model/sampling.ts";
import { Deadline, Interrupted, untilDeadline } from "../../src/program/deadline.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { float32 } from "../../src/tensor/array.ts";

/** What a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("a deadline", () => {
  test("without a limit never comes", () => {
    const deadline = new Deadline();
    expect(deadline.secondsLeft).toBe(Number.POSITIVE_INFINITY);
    expect(() => deadline.check()).not.toThrow();
  });

  test("ends work whose time is up, and is as it was before afterwards", async () => {
    const deadline = new Deadline();
    const error = await rejection(deadline.within(0, async () => deadline.check()));
    expect(error).toBeInstanceOf(Interrupted);
    expect(error).toMatchObject({ reason: "time" });
    expect(deadline.secondsLeft).toBe(Number.POSITIVE_INFINITY);
  });

  test("of a part is never later than that of the whole", async () => {
    const deadline = new Deadline();
    await deadline.within(100, async () => {
      await deadline.within(1000, async () => expect(deadline.secondsLeft).toBeLessThanOrEqual(100));
      await deadline.within(1, async () => expect(deadline.secondsLeft).toBeLessThanOrEqual(1));
      expect(deadline.secondsLeft).toBeGreaterThan(1);
    });
  });

  test("comes at once where a person stops the work", () => {
    let stopped = false;
    const deadline = new Deadline(() => stopped);
    expect(deadline.stopped).toBe(false);
    stopped = true;
    expect(deadline.stopped).toBe(true);
    expect(() => deadline.check()).toThrow(Interrupted);
  });
});

test("a runtime begins no call after the deadline, and still releases what it holds", async () => {
  const calls: string[] = [];
  const runtime: Runtime = {
    provider: "cpu",
    target: { contrib: false, block: 0 },
    async load() {
      calls.push("load");
      return {
        async run() {
          calls.push("run");
          return {};
        },
        async release() {
          calls.push("release");
        },
      };
    },
  };
  let stopped = false;
  const watched = untilDeadline(runtime, new Deadline(() => stopped));
  const session = await watched.load(new Uint8Array());
  await session.run({});
  stopped = true;
  await expect(session.run({})).rejects.toMatchObject({ reason: "stopped" });
  await expect(watched.load(new Uint8Array())).rejects.toBeInstanceOf(Interrupted);
  await session.release();
  expect(calls).toEqual(["load", "run", "release"]);
});

describe("samples that are drawn in parts", () => {
  const draw = (stopAt: number) =>
    sampleInParts({ count: 10, seed: 0 }, [2], 4, async (randoms, first) => {
      if (first >= stopAt) throw new Interrupted("time");
      return float32(
        randoms.flatMap((_, i) => [first + i, -first - i]),
        [randoms.length, 2],
      );
    });

  test("keep their whole parts where there is no time for all", async () => {
    const error = await rejection(draw(8));
    expect(error).toMatchObject({ reason: "time" });
    // Ten in parts of four: three parts, of which two were done.
    const kept = (error as Interrupted).kept as ReturnType<typeof float32>;
    expect(kept.shape).toEqual([8, 2]);
    expect(Array.from(kept.data.subarray(0, 6))).toEqual([0, -0, 1, -1, 2, -2]);
  });

  test("keep nothing where not even one part was done", async () => {
    expect(await rejection(draw(0))).toMatchObject({ reason: "time", kept: undefined });
  });
});
