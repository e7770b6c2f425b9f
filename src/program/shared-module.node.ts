import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import { RuntimeError } from "../errors.ts";
import { endThread, startThread } from "./native-calls.node.ts";
import { messageOf } from "./runtime.ts";
import {
  CALL,
  COUNTERS,
  DONE,
  FAILED,
  HANDED,
  MOST_ARGUMENTS,
  MOST_CALLS,
  type ModuleCall,
  type ModuleThread,
  PAGE,
  PLACES,
  RECORD,
  type SharedModule,
} from "./shared-module.ts";

/** Looks for the end of a task before this thread sleeps: some ten microseconds. */
const LOOKS = 2000;

/** Milliseconds of sleep between two looks at whether a task is done. */
const SLEEP = 1000;

/** Milliseconds of sleep after which a thread is taken for dead. */
const PATIENCE = 120_000;

const failed = (cause: unknown): RuntimeError =>
  new RuntimeError(
    `a thread that shares the work on a WebAssembly module failed: ${messageOf(cause)}; with one thread (threads: 1, or updateThreads: 1) there is none`,
    { cause },
  );

/** Another thread, and the tasks that it was handed. */
class Beside {
  readonly worker: Worker;
  private readonly counters: Int32Array;
  private readonly records: Float64Array;
  private readonly names: readonly string[];
  private readonly numbers: ReadonlyMap<string, number>;
  private readonly waiting: (((results: readonly number[]) => void) | undefined)[] = [];
  private handed = 0;
  private taken = 0;
  private failure: unknown;

  constructor(code: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory, names: readonly string[]) {
    const counters = new SharedArrayBuffer(4 * COUNTERS);
    const records = new SharedArrayBuffer(8 * PLACES * RECORD);
    this.counters = new Int32Array(counters);
    this.records = new Float64Array(records);
    this.names = names;
    this.numbers = new Map(names.map((name, number) => [name, number]));
    this.worker = startThread(new URL("./shared-module-thread.node.ts", import.meta.url), {
      code,
      memory,
      names,
      counters,
      records,
    } satisfies ModuleThread);
    this.worker.on("error", (error) => {
      this.failure = error;
    });
    this.worker.on("exit", (code) => {
      this.failure ??= new Error(`it ended with code ${code}`);
    });
  }

  /** Takes a task, unless as many wait as there are places. */
  hand(calls: readonly ModuleCall[], done: ((results: readonly number[]) => void) | undefined): boolean {
    if (this.failure !== undefined) throw failed(this.failure);
    this.take();
    if (((this.handed - this.taken) | 0) === PLACES) return false;
    const { records, handed, numbers } = this;
    const place = handed & (PLACES - 1);
    const record = place * RECORD;
    records[record] = calls.length;
    calls.forEach(({ name, args }, call) => {
      const number = numbers.get(name);
      if (number === undefined || call >= MOST_CALLS || args.length > MOST_ARGUMENTS) {
        throw new RuntimeError(`no thread can make call ${call + 1} of a task, ${name}(${args.join(", ")})`);
      }
      const at = record + 1 + call * CALL;
      records[at] = number;
      records.set(args, at + 1);
    });
    this.waiting[place] = done;
    this.handed = (handed + 1) | 0;
    Atomics.store(this.counters, HANDED, this.handed);
    Atomics.notify(this.counters, HANDED);
    return true;
  }

  /** Hands out what tasks that are done returned. */
  private take(): void {
    const { counters, records, waiting } = this;
    const done = Atomics.load(counters, DONE);
    for (; this.taken !== done; this.taken = (this.taken + 1) | 0) {
      const place = this.taken & (PLACES - 1);
      const record = place * RECORD;
      const called = waiting[place];
      waiting[place] = undefined;
      called?.(
        Array.from({ length: records[record] ?? 0 }, (_, call) => records[record + (call + 1) * CALL] ?? 0),
      );
    }
  }

  finish(): void {
    const { counters } = this;
    let slept = 0;
    let look = 0;
    for (;;) {
      const done = Atomics.load(counters, DONE);
      if (done === this.handed) break;
      if (this.failure !== undefined) throw failed(this.failure);
      if (look++ < LOOKS) continue;
      slept = Atomics.wait(counters, DONE, done, SLEEP) === "timed-out" ? slept + SLEEP : 0;
      if (slept >= PATIENCE) throw failed(new Error("it does not answer"));
    }
    this.take();
    const wrong = this.names[Atomics.load(counters, FAILED) - 1];
    if (wrong !== undefined) throw failed(new Error(`it could not call ${wrong}`));
  }

  /** Waits until it can take tasks. @throws what it failed with */
  async ready(): Promise<void> {
    await Promise.race([once(this.worker, "message"), once(this.worker, "exit")]);
    if (this.failure !== undefined) throw failed(this.failure);
    // A process that has nothing else to do ends.
    this.worker.unref();
  }
}

/**
 * Loads a module for this thread and others.
 * @param code of a module that imports its memory, shared, as `env.memory`
 * @param bytes of its memory
 * @param threads beside this one
 * @throws what a thread failed with
 */
export async function openSharedModule(
  code: Uint8Array<ArrayBuffer>,
  bytes: number,
  threads: number,
): Promise<SharedModule> {
  const pages = Math.ceil(bytes / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { instance } = await WebAssembly.instantiate(code, { env: { memory } });
  const names = Object.entries(instance.exports).flatMap(([name, value]) =>
    typeof value === "function" ? [name] : [],
  );
  const others: Beside[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(others.map(({ worker }) => endThread(worker)));
  };
  try {
    for (let i = 0; i < threads; i++) others.push(new Beside(code, memory, names));
    await Promise.all(others.map((other) => other.ready()));
  } catch (error) {
    await close();
    throw error;
  }
  let next = 0;
  return {
    memory,
    exports: instance.exports,
    // Threads take turns, so that each has a task before any has several.
    hand(calls, done) {
      for (let tried = 0; tried < others.length; tried++) {
        const other = others[next];
        next = (next + 1) % others.length;
        if (other?.hand(calls, done) === true) return true;
      }
      return false;
    },
    finish() {
      const failures: unknown[] = [];
      // All have ended their tasks before one of them may throw.
      for (const other of others) {
        try {
          other.finish();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
    close,
  };
}
