import { parentPort, workerData } from "node:worker_threads";
import { threadLoaded } from "./native-calls.node.ts";
import { CALL, DONE, FAILED, HANDED, type ModuleThread, PLACES, RECORD } from "./shared-module.ts";

// A thread beside another one: it does tasks of a module, in the order in which they are handed over, until it is ended.

/** Looks for the next task before the thread sleeps: some ten microseconds. */
const LOOKS = 2000;

threadLoaded();
const { code, memory, names, ...shared } = workerData as ModuleThread;
const { instance } = await WebAssembly.instantiate(code, { env: { memory } });
const functions = names.map((name) => instance.exports[name] as (...args: readonly number[]) => unknown);
const counters = new Int32Array(shared.counters);
const records = new Float64Array(shared.records);
parentPort?.postMessage("ready");

function work(record: number): void {
  const count = records[record] ?? 0;
  for (let call = 0; call < count; call++) {
    const at = record + 1 + call * CALL;
    const number = records[at] ?? -1;
    try {
      const result = functions[number]?.(...records.subarray(at + 1, at + CALL - 1));
      records[at + CALL - 1] = typeof result === "number" ? result : 0;
    } catch {
      Atomics.store(counters, FAILED, number + 1);
    }
  }
}

for (let done = 0; ; ) {
  for (let look = 0; look < LOOKS && Atomics.load(counters, HANDED) === done; look++);
  if (Atomics.load(counters, HANDED) === done) {
    Atomics.wait(counters, HANDED, done);
    continue;
  }
  work((done & (PLACES - 1)) * RECORD);
  done = (done + 1) | 0;
  Atomics.store(counters, DONE, done);
  Atomics.notify(counters, DONE);
}
