import "./no-telemetry.node.ts";

import {
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  threadId,
  Worker,
  type WorkerOptions,
} from "node:worker_threads";
import { RuntimeError } from "../errors.ts";

// A thread that ends while native code runs for it (ONNX Runtime, DuckDB, sharp) takes the whole process down: that code meets a runtime
// that is gone, and aborts (code 134). Therefore threads count their calls in memory that all share. Whoever ends a thread, or the process, first
// closes it, so that no call begins any more there or in threads that it has started, which end with it, and waits for those under way. Loading the
// libraries counts as a call.

/** Threads that a process may have at a time: each has a line of a table that they share. Line 0 is the process, with its main thread. */
const MOST_THREADS = 1024;

/** Of them, threads that others start: where such a one is cut off by a thread that knows nothing of this, nobody gives back its line. */
const MOST_OTHERS = 512;

/** Stands for the layout of the table, too: other versions of this package may run beside. */
const KEY = "eidos threads 1";

/** What a thread finds under `KEY`: the table, and a line: its own, or that of the thread which has started it. */
interface Place {
  readonly table: SharedArrayBuffer;
  readonly line: number;
  /** The thread that has the line; undefined where it was taken for the one that is started. */
  readonly thread?: number;
}

const place: Place = (getEnvironmentData(KEY) as Place | undefined) ?? {
  table: new SharedArrayBuffer(4 * 6 * MOST_THREADS),
  line: 0,
  thread: 0,
};
const column = (number: number): Int32Array =>
  new Int32Array(place.table, 4 * number * MOST_THREADS, MOST_THREADS);

/** Whether a thread has the line. */
const taken = column(0);
/** The line of the thread that started it. */
const above = column(1);
/** Calls under way in the thread: nobody else counts them, and once it is gone, there are none. */
const calls = column(2);
/** Whether it, and all below it, are to begin no call. */
const closed = column(3);
/** Whether it still loads its modules, which counts as a call. */
const loading = column(4);
/** The number that Node gives it. */
const numbers = column(5);

/**
 * Takes a line for a thread; undefined where none is free.
 * @param most lines that are looked at
 * @param number of the thread; 0 for one that is yet to be started, and will load
 */
function takeLine(starter: number, most: number, number: number): number | undefined {
  for (let line = 1; line < most; line++) {
    if (Atomics.compareExchange(taken, line, 0, 1) !== 0) continue;
    Atomics.store(above, line, starter);
    Atomics.store(numbers, line, number);
    if (number === 0) for (const one of [calls, loading]) Atomics.store(one, line, 1);
    return line;
  }
  return undefined;
}

/** The lines from a thread's own up to that of the process. */
function upwards(line: number): readonly number[] {
  return line === 0 ? [0] : [line, ...upwards(Atomics.load(above, line))];
}

const LINES = [...taken.keys()];
Atomics.store(taken, 0, 1);

/** The lines of a thread and of all below it. */
function within(line: number): readonly number[] {
  return LINES.filter((one) => Atomics.load(taken, one) === 1 && upwards(one).includes(line));
}

const isCalling = (line: number): boolean => within(line).some((one) => Atomics.load(calls, one) > 0);

/** Gives back the lines of a thread that is gone, and of those below it, which have gone before it: whoever takes one finds zeros. */
function giveBack(line: number): void {
  for (const one of within(line)) {
    for (const all of [calls, closed, loading, above, numbers, taken]) Atomics.store(all, one, 0);
  }
}

/** The line of this thread: the one that was taken for it, or that another copy of this file has taken, or one for a thread that others have started. */
function ownLine(): number {
  if (isMainThread) return 0;
  if (place.thread === undefined || place.thread === threadId) return place.line;
  // Where there are too many, its calls count as those of the process.
  return takeLine(place.line, MOST_OTHERS, threadId) ?? 0;
}
const own = ownLine();
const ownPlace: Place = { table: place.table, line: own, thread: threadId };
setEnvironmentData(KEY, ownPlace);

/** Lines of the threads that this one has started, until they are gone. */
const started = new Map<Worker, number>();

// Threads that others start have their line by their number, if they have one. They may be cut off at any time.
process.on("worker", (worker: Worker) => {
  const number = worker.threadId;
  worker.once("exit", () => {
    for (const line of within(own)) if (Atomics.load(numbers, line) === number) giveBack(line);
  });
});

process.on("exit", () => {
  // A thread that ends by itself is no longer waited for, wherever it was. Those below it end with it.
  if (own !== 0) Atomics.store(calls, own, 0);
  if (own !== 0 || isMainThread) waitFor(own);
});

/** Milliseconds after which a thread or process ends although a call is under way, which then aborts it: a call of hours, or a thread that died. */
const PATIENCE = 120_000;

/** Milliseconds between two looks at whether calls are under way. */
const LOOK = 2;

/** Nobody wakes who waits for this to change. */
const asleep = new Int32Array(new SharedArrayBuffer(4));

/** Closes a thread, or the process, and blocks until no call is under way there. */
function waitFor(line: number): void {
  Atomics.store(closed, line, 1);
  const end = Date.now() + PATIENCE;
  while (isCalling(line) && Date.now() < end) Atomics.wait(asleep, 0, 0, LOOK);
}

/** Says that the modules of this thread are loaded: it can be ended between two calls from now on. */
export function threadLoaded(): void {
  if (Atomics.exchange(loading, own, 0) === 1) leave();
}

/** This thread and those above it: where one of them is closed, no call begins here. */
const mine = upwards(own);

const isClosed = (): boolean => mine.some((line) => Atomics.load(closed, line) === 1);

const leave = (): void => {
  Atomics.sub(calls, own, 1);
};

/** Begins a call. @returns what ends it; undefined where this thread is to end */
function enter(): (() => void) | undefined {
  // The main thread ends by itself, when it is in no call.
  if (isMainThread) return () => undefined;
  if (isClosed()) return undefined;
  Atomics.add(calls, own, 1);
  // Whoever closes a thread reads its count after that: one of both sees the other.
  if (!isClosed()) return leave;
  leave();
  return undefined;
}

/** Makes a call of native code. Where this thread is to end, it does not begin, and the promise stays open. */
export async function nativeCall<T>(call: () => Promise<T>): Promise<T> {
  const leaveCall = enter();
  if (leaveCall === undefined) return new Promise<never>(() => undefined);
  try {
    return await call();
  } finally {
    leaveCall();
  }
}

/** Waits until whoever has closed this thread ends it. */
function waitForEnd(): never {
  for (;;) Atomics.wait(asleep, 0, 0);
}

/**
 * Makes a call of native code that returns at once, or a promise. Where this thread is to end, it waits for that, unless another call of it is
 * under way: that has to come to its end first.
 */
function nativeNow<T>(call: () => T): T {
  let leaveCall = enter();
  if (leaveCall === undefined) {
    if (Atomics.load(calls, own) === 0) waitForEnd();
    Atomics.add(calls, own, 1);
    leaveCall = leave;
  }
  try {
    const result = call();
    if (!(result instanceof Promise)) return result;
    const leaveLater = leaveCall;
    leaveCall = () => undefined;
    return result.finally(leaveLater) as T;
  } finally {
    leaveCall();
  }
}

/**
 * An object of a native library whose methods and properties are calls of native code, as are those of the objects that they return.
 * @param isNative whether something that a method returns is such an object
 */
export function nativeObject<T extends object>(object: T, isNative: (value: object) => boolean): T {
  if (isMainThread) return object;
  const wrapped = (value: unknown): unknown =>
    typeof value === "object" && value !== null && isNative(value) ? nativeObject(value, isNative) : value;
  return new Proxy(object, {
    get(target, property) {
      const value: unknown = nativeNow(() => Reflect.get(target, property, target));
      if (typeof value !== "function") return wrapped(value);
      return (...args: readonly unknown[]): unknown => {
        const result: unknown = nativeNow(() => value.apply(target, args));
        return result instanceof Promise ? result.then(wrapped) : wrapped(result);
      };
    },
  });
}

/**
 * Starts a thread of this package, which `endThread` ends at any time. Its module calls `threadLoaded` first.
 * @param entry its module by the name of its source, as `new URL("./worker.node.ts", import.meta.url)`: compiled, it is the .js
 * file beside; sources (in development) run through tsx
 * @internal
 */
export function startThread(entry: URL, workerData: unknown): Worker {
  if (!import.meta.url.endsWith(".ts")) {
    return startWorker(new URL(entry.href.replace(/\.ts$/, ".js")), { workerData });
  }
  const code = `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(entry.href)}); })`;
  return startWorker(code, { workerData, eval: true });
}

function startWorker(entry: URL | string, options: WorkerOptions): Worker {
  const line = takeLine(own, MOST_THREADS, 0);
  if (line === undefined)
    throw new RuntimeError(`this process has ${MOST_THREADS} threads already; end some`);
  setEnvironmentData(KEY, { table: place.table, line } satisfies Place);
  try {
    const worker = new Worker(entry, options);
    started.set(worker, line);
    worker.on("exit", () => {
      started.delete(worker);
      giveBack(line);
    });
    return worker;
  } catch (error) {
    giveBack(line);
    throw error;
  } finally {
    setEnvironmentData(KEY, ownPlace);
  }
}

/** Ends a thread after the calls of native code that are under way in it and in those that it has started. */
export async function endThread(worker: Worker): Promise<void> {
  const line = started.get(worker);
  if (line !== undefined) {
    Atomics.store(closed, line, 1);
    const end = Date.now() + PATIENCE;
    // It may be gone by itself meanwhile.
    while (started.has(worker) && isCalling(line) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }
  await worker.terminate();
}
