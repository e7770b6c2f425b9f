import type { Worker } from "node:worker_threads";
import { afterEach, expect, test, vi } from "vitest";
import { built } from "../../cli/support.ts";

// The threads of the build, as commands have them.

const { fitThread, keepThread }: typeof import("../../../src/tasks/fit/thread.node.ts") = await import(
  built("tasks/fit/thread.node.js")
);
const { endThread }: typeof import("../../../src/program/native-calls.node.ts") = await import(
  built("program/native-calls.node.js")
);

afterEach(() => vi.unstubAllEnvs());

const ended = (worker: Worker): Promise<unknown> => new Promise((resolve) => worker.once("exit", resolve));

test("a thread that has ended a fit does the next one, in the same environment alone", async () => {
  const first = fitThread();
  await keepThread(first);
  expect(fitThread()).toBe(first);
  await keepThread(first);
  const gone = ended(first);
  vi.stubEnv("EIDOS_CACHE", "/elsewhere");
  const second = fitThread();
  expect(second).not.toBe(first);
  await gone;
  // One is kept; another is ended.
  const third = fitThread();
  await keepThread(second);
  const over = Promise.all([ended(third), keepThread(third)]);
  expect(fitThread()).toBe(second);
  await over;
  await endThread(second);
});
