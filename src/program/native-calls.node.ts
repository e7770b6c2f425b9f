import "./no-telemetry.node.ts";

import {
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  Worker,
  type WorkerOptions,
} from "node:worker_threads";

// A thread that ends while ONNX Runtime computes in it takes the whole process down: its native code meets a runtime that is gone, and
// aborts (code 134). Therefore threads count their calls in shared memory. Whoever ends a thread, or the process, first closes a gate, so
// that no call begins any more, and waits for those under way.

/** Memory that threads share: whether the gate is closed, and how many calls are under way. */
type Gate = SharedArrayBuffer;
const CLOSED = 0;
const UNDER_WAY = 1;

const newGate = (): Gate => new SharedArrayBuffer(8);

/** Gates of a thread: that of the process, and its own. */
interface Gates {
  readonly process: Gate;
  readonly thread: Gate;
}

/** Under this key, new threads find their gates. */
const KEY = "eidos native calls";

const inherited = getEnvironmentData(KEY) as Gates | undefined;
const gates: Gates = inherited ?? { process: newGate(), thread: newGate() };

if (isMainThread) {
  // A thread that somebody else starts has the gate of the process alone.
  setEnvironmentData(KEY, { process: gates.process, thread: newGate() } satisfies Gates);
  process.on("exit", () => closeNow(gates.process));
}

/** Closes a gate and blocks until no call is under way. */
function closeNow(gate: Gate): void {
  const state = new Int32Array(gate);
  Atomics.store(state, CLOSED, 1);
  for (let calls = Atomics.load(state, UNDER_WAY); calls > 0; calls = Atomics.load(state, UNDER_WAY)) {
    Atomics.wait(state, UNDER_WAY, calls);
  }
}

/** Enters a gate, unless it is closed. */
function enter(gate: Gate): boolean {
  const state = new Int32Array(gate);
  Atomics.add(state, UNDER_WAY, 1);
  if (Atomics.load(state, CLOSED) === 0) return true;
  leave(gate);
  return false;
}

function leave(gate: Gate): void {
  const state = new Int32Array(gate);
  Atomics.sub(state, UNDER_WAY, 1);
  Atomics.notify(state, UNDER_WAY);
}

/** Makes a call of native code. Where this thread is to end, it does not begin, and the promise stays open. */
export async function nativeCall<T>(call: () => Promise<T>): Promise<T> {
  // The main thread ends by itself, when it is in no call.
  if (isMainThread) return call();
  const entered: Gate[] = [];
  for (const gate of [gates.process, gates.thread]) {
    if (enter(gate)) entered.push(gate);
    else {
      for (const other of entered) leave(other);
      return new Promise<never>(() => undefined);
    }
  }
  try {
    return await call();
  } finally {
    for (const gate of entered) leave(gate);
  }
}

/** Gates of the threads that this one has started. */
const started = new WeakMap<Worker, Gate>();

/** Starts a thread that can be ended by `endThread` at any time. */
export function startWorker(entry: URL | string, options: WorkerOptions): Worker {
  const thread = newGate();
  const before = getEnvironmentData(KEY);
  setEnvironmentData(KEY, { process: gates.process, thread } satisfies Gates);
  try {
    const worker = new Worker(entry, options);
    started.set(worker, thread);
    return worker;
  } finally {
    setEnvironmentData(KEY, before);
  }
}

/** Milliseconds between two looks at whether a thread is out of native code. */
const LOOK = 2;

/** Ends a thread after the call of native code that is under way in it. */
export async function endThread(worker: Worker): Promise<void> {
  const gate = started.get(worker);
  if (gate !== undefined) {
    const state = new Int32Array(gate);
    Atomics.store(state, CLOSED, 1);
    while (Atomics.load(state, UNDER_WAY) > 0) await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
  await worker.terminate();
}
