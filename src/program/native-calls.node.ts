import "./no-telemetry.node.ts";

import {
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  Worker,
  type WorkerOptions,
} from "node:worker_threads";

// A thread that ends while native code runs for it (ONNX Runtime, DuckDB, sharp) takes the whole process down: that code meets a runtime
// that is gone, and aborts (code 134). Therefore threads count their calls in shared memory. Whoever ends a thread, or the process, first
// closes a gate, so that no call begins any more, and waits for those under way. Loading the libraries counts as a call.

/**
 * Memory that threads share: whether the gate is closed, how many calls are under way in the thread and in those that it has started, whether
 * it has loaded its modules, and how many of the calls are its own.
 */
type Gate = SharedArrayBuffer;
const CLOSED = 0;
const UNDER_WAY = 1;
const LOADED = 2;
const OWN = 3;

const newGate = (): Gate => new SharedArrayBuffer(16);

/** Gates of a thread, all of which a call enters: that of the process, those of the threads above it, which end with it inside, and its own. */
interface Gates {
  readonly process: Gate;
  readonly above: readonly Gate[];
  readonly thread: Gate;
}

/** Under this key, new threads find their gates. */
const KEY = "eidos native calls";

const inherited = getEnvironmentData(KEY) as Gates | undefined;
const gates: Gates = inherited ?? { process: newGate(), above: [], thread: newGate() };

if (isMainThread) {
  process.on("exit", () => closeNow(gates.process));
  // A thread that somebody else starts has the gate of the process alone.
  setEnvironmentData(KEY, { process: gates.process, above: [], thread: newGate() } satisfies Gates);
} else {
  // A thread that ends by itself is no longer waited for, wherever it was.
  process.on("exit", () => abandon(gates));
}

/** Milliseconds after which a process ends although a call is under way, which then aborts it: a call of hours, or a thread that died. */
const PATIENCE = 120_000;

/** Closes a gate and blocks until no call is under way. */
function closeNow(gate: Gate): void {
  const state = new Int32Array(gate);
  Atomics.store(state, CLOSED, 1);
  const end = Date.now() + PATIENCE;
  for (let calls = Atomics.load(state, UNDER_WAY); calls > 0; calls = Atomics.load(state, UNDER_WAY)) {
    const left = end - Date.now();
    if (left <= 0) return;
    Atomics.wait(state, UNDER_WAY, calls, left);
  }
}

/** Says that the modules of this thread are loaded: it can be ended between two calls from now on. */
export function threadLoaded(): void {
  const state = new Int32Array(gates.thread);
  if (Atomics.compareExchange(state, LOADED, 0, 1) !== 0 || Atomics.load(state, UNDER_WAY) === 0) return;
  count(gates, -1);
}

/** Counts calls that a thread begins, or ends. */
function count({ process, above, thread }: Gates, calls: number): void {
  Atomics.add(new Int32Array(thread), OWN, calls);
  for (const gate of [process, ...above, thread]) {
    const state = new Int32Array(gate);
    Atomics.add(state, UNDER_WAY, calls);
    if (calls < 0) Atomics.notify(state, UNDER_WAY);
  }
}

/** Enters all gates of this thread. @returns what leaves them again; undefined where this thread is to end */
function enterAll(): (() => void) | undefined {
  // The main thread ends by itself, when it is in no call.
  if (isMainThread) return () => undefined;
  const { process, above, thread } = gates;
  count(gates, 1);
  const leaveAll = (): void => count(gates, -1);
  // Whoever closes a gate reads the count after that: one of both sees the other.
  if ([process, ...above, thread].every((gate) => Atomics.load(new Int32Array(gate), CLOSED) === 0)) {
    return leaveAll;
  }
  leaveAll();
  return undefined;
}

/** Makes a call of native code. Where this thread is to end, it does not begin, and the promise stays open. */
export async function nativeCall<T>(call: () => Promise<T>): Promise<T> {
  const leaveAll = enterAll();
  if (leaveAll === undefined) return new Promise<never>(() => undefined);
  try {
    return await call();
  } finally {
    leaveAll();
  }
}

/** Waits until whoever has closed a gate ends this thread. */
function waitForEnd(): never {
  for (;;) Atomics.wait(new Int32Array(newGate()), CLOSED, 0);
}

/** Makes a call of native code that returns at once, or a promise. Where this thread is to end, it waits for that. */
function nativeNow<T>(call: () => T): T {
  let leaveAll = enterAll() ?? waitForEnd();
  try {
    const result = call();
    if (!(result instanceof Promise)) return result;
    const leaveLater = leaveAll;
    leaveAll = () => undefined;
    return result.finally(leaveLater) as T;
  } finally {
    leaveAll();
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

/** Takes the calls of a thread that has ended off the gates. */
function abandon(ended: Gates): void {
  const state = new Int32Array(ended.thread);
  Atomics.store(state, LOADED, 1);
  count(ended, -Atomics.load(state, OWN));
}

/** Gates of the threads that this one has started. */
const started = new WeakMap<Worker, Gate>();

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
  const below: Gates = {
    process: gates.process,
    above: isMainThread ? [] : [...gates.above, gates.thread],
    thread: newGate(),
  };
  const before = getEnvironmentData(KEY);
  setEnvironmentData(KEY, below);
  // Until it has loaded its modules, it counts as being in a call.
  count(below, 1);
  try {
    const worker = new Worker(entry, options);
    started.set(worker, below.thread);
    worker.on("exit", () => abandon(below));
    return worker;
  } catch (error) {
    abandon(below);
    throw error;
  } finally {
    setEnvironmentData(KEY, before);
  }
}

/** Milliseconds between two looks at whether a thread is out of native code. */
const LOOK = 2;

/** Ends a thread after the calls of native code that are under way in it and in those that it has started. */
export async function endThread(worker: Worker): Promise<void> {
  const gate = started.get(worker);
  if (gate !== undefined) {
    const state = new Int32Array(gate);
    Atomics.store(state, CLOSED, 1);
    while (Atomics.load(state, UNDER_WAY) > 0) await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
  await worker.terminate();
}
