import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { getEnvironmentData, type Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { built } from "../cli/support.ts";
import { temporaryFolder } from "../support.ts";

// Threads of the build that start threads of their own, as a fit does with replicas.

const native = built("program/native-calls.node.js");
const { endThread, startThread }: typeof import("../../src/program/native-calls.node.ts") = await import(
  native
);

let folder = "";
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Calls under way in the process, by the counts that its end waits for. */
function underWay(): number {
  const { process } = getEnvironmentData("eidos native calls") as unknown as {
    readonly process: SharedArrayBuffer;
  };
  return new Int32Array(process)[1] ?? Number.NaN;
}

/** Writes the module of a thread, which may call what native-calls.node.ts exports. */
async function module(name: string, code: string): Promise<URL> {
  const file = join(folder, `${name}.mjs`);
  const lines = [
    `import { endThread, nativeCall, startThread, threadLoaded } from ${JSON.stringify(native)};`,
    'import { parentPort, workerData } from "node:worker_threads";',
    'import { setTimeout as sleep } from "node:timers/promises";',
    code,
  ];
  await writeFile(file, lines.join("\n"));
  return pathToFileURL(file);
}

/** A thread that starts another one, with what it was itself given, and passes on what that says. */
const starter = (inner: URL): string => `threadLoaded();
  const inner = startThread(new URL(${JSON.stringify(inner.href)}), workerData);
  inner.on("message", (message) => parentPort.postMessage(message));
  parentPort.postMessage("started");`;

/** Waits for a message of a thread. @throws what it fails with */
const told = (worker: Worker, message: string): Promise<void> =>
  new Promise((resolve, reject) => {
    worker.on("message", (found) => {
      if (found === message) resolve();
    });
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`it ended with code ${code}`)));
  });

test("a thread is ended after the call of native code in a thread that it has started", async () => {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const inner = await module(
    "calling",
    `threadLoaded();
    await nativeCall(async () => { parentPort.postMessage("calling"); await sleep(300); workerData[0] = 1; });`,
  );
  const outer = startThread(await module("outer", starter(inner)), state);
  await told(outer, "calling");
  await endThread(outer);
  expect(state[0]).toBe(1);
  expect(underWay()).toBe(0);
});

test("a thread that ends while the one that it has started still loads leaves no call that the process would wait for", async () => {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const inner = await module("loading", "await sleep(300); workerData[0] = 1; threadLoaded();");
  const outer = startThread(await module("early", starter(inner)), state);
  await told(outer, "started");
  await endThread(outer);
  expect(state[0]).toBe(1);
  expect(underWay()).toBe(0);
});

test("a thread that fails leaves none either, nor does the one below it", async () => {
  const inner = await module(
    "idle",
    'threadLoaded(); parentPort.postMessage("ready"); setInterval(() => 0, 1000);',
  );
  const failing = `threadLoaded();
    const inner = startThread(new URL(${JSON.stringify(inner.href)}), undefined);
    await new Promise((resolve) => inner.once("message", resolve));
    throw new Error("on purpose");`;
  const outer = startThread(await module("failing", failing), undefined);
  await expect(told(outer, "never")).rejects.toThrow("on purpose");
  await endThread(outer);
  expect(underWay()).toBe(0);
});
