import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { getEnvironmentData, Worker } from "node:worker_threads";
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

/** Columns of the table of threads, as in native-calls.node.ts: whether a line is taken, and the calls under way. */
function column(number: 0 | 2): Int32Array {
  const { table } = getEnvironmentData("eidos threads 1") as unknown as { readonly table: SharedArrayBuffer };
  return new Int32Array(table, 4 * 1024 * number, 1024);
}

const total = (numbers: Int32Array): number => numbers.reduce((sum, one) => sum + one, 0);

/** Calls under way in the process, which its end waits for. */
const underWay = (): number => total(column(2));

/** Writes the module of a thread, which may call what native-calls.node.ts exports. */
async function module(name: string, code: string): Promise<URL> {
  const file = join(folder, `${name}.mjs`);
  const lines = [
    `import { endThread, nativeCall, nativeObject, startThread, threadLoaded } from ${JSON.stringify(native)};`,
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

test.each([
  [
    "idles",
    "threadLoaded(); parentPort.postMessage('ready'); workerData[0] = 1; setInterval(() => 0, 1000);",
  ],
  [
    "is in a call",
    `threadLoaded();
    await nativeCall(async () => { parentPort.postMessage("ready"); await sleep(300); workerData[0] = 1; });`,
  ],
  ["loads", "parentPort.postMessage('ready'); await sleep(300); workerData[0] = 1; threadLoaded();"],
])("a thread that fails waits for the one below it, which %s, and leaves no call", async (name, code) => {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const inner = await module(name.replaceAll(" ", "-"), code);
  const failing = `threadLoaded();
    const inner = startThread(new URL(${JSON.stringify(inner.href)}), workerData);
    await new Promise((resolve) => inner.once("message", resolve));
    throw new Error("on purpose");`;
  const outer = startThread(await module("failing", failing), state);
  await expect(told(outer, "never")).rejects.toThrow("on purpose");
  await endThread(outer);
  expect(state[0]).toBe(1);
  expect(underWay()).toBe(0);
});

test("a thread that others have started and cut off inside a call leaves none", async () => {
  const calling = await module(
    "cut-off",
    `await nativeCall(async () => { parentPort.postMessage("calling"); await sleep(60_000); });`,
  );
  const other = new Worker(calling);
  await told(other, "calling");
  expect(underWay()).toBe(1);
  await other.terminate();
  expect(underWay()).toBe(0);
});

test("a thread that has loaded another copy of this package first is counted once, and ended", async () => {
  const file = await module(
    "copies",
    "threadLoaded(); parentPort.postMessage('ready'); setInterval(() => 0, 1000);",
  );
  const code = await readFile(file, "utf8");
  await writeFile(file, `import ${JSON.stringify(`${native}?another`)};\n${code}`);
  const thread = startThread(file, undefined);
  await told(thread, "ready");
  expect(underWay()).toBe(0);
  await endThread(thread);
});

test("threads that others have started count their calls each by itself", async () => {
  const release = new Int32Array(new SharedArrayBuffer(4));
  const calling = await module(
    "foreign",
    `await nativeCall(async () => {
      parentPort.postMessage("calling");
      while (Atomics.load(workerData, 0) === 0) await sleep(1);
    });`,
  );
  const [first, second] = [
    new Worker(calling, { workerData: release }),
    new Worker(calling, { workerData: release }),
  ];
  await Promise.all([told(first, "calling"), told(second, "calling")]);
  expect(underWay()).toBe(2);
  const quits = await module("quits", `await nativeCall(async () => { process.exit(0); });`);
  await once(new Worker(quits), "exit");
  expect(underWay()).toBe(2);
  const ends = Promise.all([once(first, "exit"), once(second, "exit")]);
  Atomics.store(release, 0, 1);
  await ends;
  expect(underWay()).toBe(0);
});

test("a call that returns at once is made where a longer one has to come to its end, though the thread is to end", async () => {
  const state = new Int32Array(new SharedArrayBuffer(8));
  const both = await module(
    "both",
    `threadLoaded();
    const native = nativeObject({ now: () => { workerData[1] = 1; } }, () => false);
    await nativeCall(async () => {
      parentPort.postMessage("calling");
      await sleep(200);
      native.now();
      workerData[0] = 1;
    });`,
  );
  const thread = startThread(both, state);
  await told(thread, "calling");
  await endThread(thread);
  expect([...state]).toEqual([1, 1]);
});

test("threads that others have started and cut off do not use up the places of others", async () => {
  const lines = column(0);
  const taken = (): number => total(lines);
  const before = taken();
  const quits = await module("quits-at-once", "process.exit(0);");
  await once(new Worker(quits), "exit");
  expect(taken()).toBe(before);
  // As if as many had been cut off as there are places for.
  const free = Array.from({ length: 511 }, (_, i) => i + 1).filter((line) => lines[line] === 0);
  for (const line of free) lines[line] = 1;
  const calling = await module(
    "calls-without-a-place",
    `await nativeCall(async () => { parentPort.postMessage("calling"); await sleep(50); });`,
  );
  const other = new Worker(calling);
  await told(other, "calling");
  expect(underWay()).toBe(1);
  await once(other, "exit");
  expect(underWay()).toBe(0);
  const mine = startThread(
    await module(
      "has-a-place",
      "threadLoaded(); parentPort.postMessage('ready'); setInterval(() => 0, 1000);",
    ),
    undefined,
  );
  await told(mine, "ready");
  await endThread(mine);
  for (const line of free) lines[line] = 0;
  expect(taken()).toBe(before);
});
