// A WebAssembly module whose functions several threads call, on memory that they share. What runs in threads is the functions of the module
// alone: a task is a list of calls, and whoever hands it over knows which numbers a call reads and writes.

/** A call of a function that the module exports. */
export interface ModuleCall {
  readonly name: string;
  readonly args: readonly number[];
}

/** A module on memory that threads share. */
export interface SharedModule {
  readonly memory: WebAssembly.Memory;
  /** The functions, for calls by this thread. */
  readonly exports: WebAssembly.Exports;
  /**
   * Hands a task to another thread, unless all are busy. Tasks may be done in any order, the calls of one are made one after another.
   * @param calls at most `MOST_CALLS` of at most `MOST_ARGUMENTS` arguments; the numbers that they read and write are left alone until they are done
   * @param done takes what each call returned, 0 where that was nothing, within a later call of `hand` or `finish`
   * @returns whether another thread does it
   */
  hand(calls: readonly ModuleCall[], done?: (results: readonly number[]) => void): boolean;
  /** Waits until no task is under way, asleep if need be. @throws RuntimeError where a call or a thread failed */
  finish(): void;
  /** Ends the threads. */
  close(): Promise<void>;
}

/**
 * Loads a module, which imports its memory, shared, as `env.memory`.
 * @param bytes that its memory is to have
 * @returns undefined where programs do not take arrays of such memory
 */
export type OpenSharedModule = (
  code: Uint8Array<ArrayBuffer>,
  bytes: number,
) => Promise<SharedModule | undefined>;

export const MOST_CALLS = 4;
export const MOST_ARGUMENTS = 12;

/** Tasks that wait for one thread, or are under way in it. A power of two, so that tasks may be counted modulo 2³². */
export const PLACES = 2;

/** Bytes of a page of WebAssembly memory. */
export const PAGE = 65_536;

/** Counters of a thread, each in cache lines of its own, as 32-bit integers: tasks handed over, tasks done, and the number of a function that failed, plus 1. */
export const HANDED = 0;
export const DONE = 32;
export const FAILED = 64;
export const COUNTERS = 96;

/** A call in the record of a task, as doubles: the number of the function, its arguments, and what it returned. */
export const CALL = 1 + MOST_ARGUMENTS + 1;

/** A task: how many calls it has, and the calls. */
export const RECORD = 1 + MOST_CALLS * CALL;

/** What a thread is started with. */
export interface ModuleThread {
  readonly code: Uint8Array<ArrayBuffer>;
  readonly memory: WebAssembly.Memory;
  /** Names of the functions, by which a task knows them. */
  readonly names: readonly string[];
  /** The counters of the thread. */
  readonly counters: SharedArrayBuffer;
  /** The records of its places. */
  readonly records: SharedArrayBuffer;
}
