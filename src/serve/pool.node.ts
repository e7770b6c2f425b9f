import { type ChildProcess, fork } from "node:child_process";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { ServiceError } from "../errors.ts";
import { fromErrorMessage } from "../train/threads.node.ts";
import type { Answered, Job, ServedModel } from "./abilities.ts";
import { FILES_PIPE, takeFiles, writeFiles } from "./files-pipe.node.ts";
import type { Crew } from "./queue.ts";
import type { FromWorker, RunToOpen, ToWorker } from "./worker.node.ts";

// The processes that compute: started, watched, replaced where they die, and given new weights one after the other, so that the others answer
// meanwhile.

export interface PoolEvents {
  /** A worker has become idle. */
  idle(): void;
  answered(id: number, answered: Answered): void;
  failed(id: number, error: ServiceError, stack?: string): void;
  batchDone(jobs: readonly Job[], milliseconds: number): void;
  /** A worker has ended although nobody wanted it to. */
  died(why: string): void;
  /** A worker that was started could not become ready. */
  notStarted(why: string): void;
  /** A run was opened with other weights than before. */
  reloaded(model: ServedModel): void;
  notReloaded(name: string, error: Error): void;
}

/** Milliseconds that a worker goes on with a batch that nobody waits for; then it is ended and replaced. */
const PATIENCE = 5000;

/** Milliseconds before a worker that died is replaced: doubled with each death before it was ready. */
const BACKOFF = { first: 100, most: 30_000 } as const;

/** Seconds after which a client is asked to come again when its worker died. */
const AGAIN = 1;

type State = "starting" | "idle" | "busy" | "ended";

/** One process. */
class Worker {
  state: State = "starting";
  /** Names of the runs that are to be opened again. */
  readonly stale = new Set<string>();
  readonly process: ChildProcess;
  private jobs = new Map<number, Job>();
  private batch: readonly Job[] = [];
  private begun = 0;
  private killer: ReturnType<typeof setTimeout> | undefined;

  constructor(threads: number) {
    const isSource = import.meta.url.endsWith(".ts");
    const entry = fileURLToPath(new URL(isSource ? "./worker.node.ts" : "./worker.node.js", import.meta.url));
    const execArgv = isSource ? ["--import", import.meta.resolve("tsx")] : [];
    this.process = fork(entry, [], {
      execArgv,
      serialization: "advanced",
      // "overlapped" is a pipe, on Windows one that can be waited for.
      stdio: ["ignore", "ignore", "inherit", "ipc", "overlapped"],
      // Sharp has threads of its own.
      env: { ...process.env, VIPS_CONCURRENCY: String(threads) },
    });
    // Where it has ended, its exit is what counts.
    this.files?.on("error", () => undefined);
  }

  /** Takes the files of its jobs; absent where it could not be started. */
  private get files(): Writable | undefined {
    return (this.process.stdio?.[FILES_PIPE] ?? undefined) as Writable | undefined;
  }

  send(message: ToWorker): void {
    // Where it has ended, its exit is what counts.
    if (this.process.connected) this.process.send(message, () => undefined);
  }

  begin(jobs: readonly Job[]): void {
    this.state = "busy";
    this.batch = jobs;
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    this.begun = performance.now();
    const { files, ...message } = takeFiles(jobs);
    this.send({ kind: "jobs", ...message });
    if (this.files !== undefined) writeFiles(this.files, files);
  }

  /** Takes a job off; where it was the last one that somebody waits for, the worker has so long to come to an end. */
  drop(id: number): boolean {
    if (!this.jobs.delete(id)) return false;
    this.send({ kind: "cancel", id });
    if (this.jobs.size === 0) this.killer = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE);
    return true;
  }

  settled(id: number): void {
    this.jobs.delete(id);
  }

  /** Ends a batch. @returns its jobs, those that nobody has heard of, and how long it took */
  done(): {
    readonly batch: readonly Job[];
    readonly open: readonly number[];
    readonly milliseconds: number;
  } {
    clearTimeout(this.killer);
    const { batch, begun } = this;
    const open = [...this.jobs.keys()];
    this.batch = [];
    this.jobs.clear();
    return { batch, open, milliseconds: performance.now() - begun };
  }
}

export interface PoolOptions {
  readonly workers: number;
  readonly threads: number;
}

export class WorkerPool implements Crew {
  /** The models, as they were opened last. */
  readonly models = new Map<string, ServedModel>();
  private readonly runs: ReadonlyMap<string, RunToOpen>;
  private readonly options: PoolOptions;
  private readonly events: PoolEvents;
  private readonly workers = new Set<Worker>();
  /** Timers of workers that are to be started. */
  private readonly replacements = new Set<ReturnType<typeof setTimeout>>();
  private deaths = 0;
  private closing = false;

  private constructor(runs: readonly RunToOpen[], options: PoolOptions, events: PoolEvents) {
    this.runs = new Map(runs.map((run) => [run.name, run]));
    this.options = options;
    this.events = events;
  }

  /**
   * Starts the workers. The first one has opened every run when this returns; the others follow.
   * @throws EidosError where a run cannot be opened
   */
  static async start(
    runs: readonly RunToOpen[],
    options: PoolOptions,
    events: PoolEvents,
  ): Promise<WorkerPool> {
    const pool = new WorkerPool(runs, options, events);
    try {
      await pool.add();
    } catch (error) {
      pool.kill();
      throw error;
    }
    // In the order in which they were named, not that in which they were ready.
    for (const { name } of runs) {
      const model = pool.models.get(name);
      pool.models.delete(name);
      if (model !== undefined) pool.models.set(name, model);
    }
    for (let i = 1; i < options.workers; i++) pool.replace(0);
    return pool;
  }

  get idle(): number {
    return [...this.workers].filter(({ state }) => state === "idle").length;
  }

  get size(): number {
    return this.workers.size;
  }

  /** Workers by what they do. */
  get states(): Readonly<Record<Exclude<State, "ended">, number>> {
    const states = { starting: 0, idle: 0, busy: 0 };
    for (const { state } of this.workers) if (state !== "ended") states[state]++;
    return states;
  }

  /** Process ids of the workers that are there. */
  get pids(): readonly number[] {
    return [...this.workers].flatMap(({ process: { pid } }) => (pid === undefined ? [] : [pid]));
  }

  /** Whether any worker has all models. */
  get isReady(): boolean {
    return [...this.workers].some(({ state }) => state === "idle" || state === "busy");
  }

  begin(jobs: readonly Job[]): void {
    const worker = [...this.workers].find(({ state }) => state === "idle");
    worker?.begin(jobs);
  }

  cancel(id: number): void {
    for (const worker of this.workers) if (worker.drop(id)) return;
  }

  /** Has every worker open a run again, one after the other. */
  reload(name: string): void {
    for (const worker of this.workers) worker.stale.add(name);
    this.reloadNext();
  }

  /** Gives one idle worker its new weights, unless another one is at it. */
  private reloadNext(): void {
    if (this.reloading !== undefined || this.closing) return;
    for (const worker of this.workers) {
      const [name] = worker.stale;
      const run = name === undefined ? undefined : this.runs.get(name);
      if (run === undefined || worker.state !== "idle") continue;
      this.reloading = worker;
      worker.stale.delete(run.name);
      worker.state = "busy";
      worker.send({ kind: "open", run });
      return;
    }
  }

  private reloading: Worker | undefined;

  /** Starts a worker, and waits until it has all runs. @throws Error where it cannot open one, or dies */
  private async add(): Promise<void> {
    const worker = new Worker(this.options.threads);
    this.workers.add(worker);
    const missing = new Set(this.runs.keys());
    await new Promise<void>((resolve, reject) => {
      worker.process.on("message", (message: FromWorker) => {
        if (worker.state !== "starting") {
          this.receive(worker, message);
          return;
        }
        if (message.kind === "not-opened") {
          worker.process.kill("SIGKILL");
          reject(fromErrorMessage(message.error));
        } else if (message.kind === "opened") {
          missing.delete(message.model.name);
          if (!this.models.has(message.model.name)) this.models.set(message.model.name, message.model);
          if (missing.size > 0) return;
          this.deaths = 0;
          resolve();
          this.becomeIdle(worker);
        }
      });
      worker.process.on("error", (error) => {
        reject(error);
        // One that could not even be started has no exit.
        if (worker.process.pid === undefined) this.lose(worker, `before it began: ${error.message}`);
      });
      worker.process.on("exit", (code, signal) => {
        const why = signal === null ? `with code ${code}` : `by ${signal}`;
        reject(new Error(`a worker ended ${why} before it was ready`));
        this.lose(worker, why);
      });
      for (const run of this.runs.values()) worker.send({ kind: "open", run });
    });
  }

  /** Starts a worker after so many milliseconds; again where that fails. */
  private replace(after: number): void {
    const timer = setTimeout(() => {
      this.replacements.delete(timer);
      // A failure is that of a worker that has ended: `lose` replaces it.
      this.add().catch((error: Error) => this.events.notStarted(error.message));
    }, after);
    this.replacements.add(timer);
  }

  private receive(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      case "outcome": {
        const { id, outcome, version } = message;
        worker.settled(id);
        if (outcome.ok) this.events.answered(id, { answer: outcome.answer, version });
        else {
          const { status, message: text, stack } = outcome;
          this.events.failed(id, new ServiceError(text, { status }), stack);
        }
        return;
      }
      case "done": {
        const { batch, open, milliseconds } = worker.done();
        for (const id of open) {
          this.events.failed(
            id,
            new ServiceError("the deadline of this request has passed", { status: 504 }),
          );
        }
        this.events.batchDone(batch, milliseconds);
        this.becomeIdle(worker);
        return;
      }
      case "opened":
      case "not-opened":
        this.reloading = undefined;
        if (message.kind === "opened") {
          this.models.set(message.model.name, message.model);
          this.events.reloaded(message.model);
        } else this.events.notReloaded(message.name, fromErrorMessage(message.error));
        this.becomeIdle(worker);
    }
  }

  private becomeIdle(worker: Worker): void {
    worker.state = "idle";
    this.reloadNext();
    this.events.idle();
  }

  /** A worker has ended: its requests are told so, and another one takes its place. */
  private lose(worker: Worker, why: string): void {
    if (worker.state === "ended") return;
    worker.state = "ended";
    this.workers.delete(worker);
    const { open } = worker.done();
    if (this.reloading === worker) this.reloading = undefined;
    if (this.closing) return;
    for (const id of open) {
      const died = "the worker that computed this has died; another one takes its place";
      this.events.failed(id, new ServiceError(died, { status: 503, retryAfter: AGAIN }));
    }
    this.events.died(`a worker ended ${why}; it is replaced`);
    this.replace(Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.deaths++));
    this.reloadNext();
    this.events.idle();
  }

  /** Ends all workers: they end when they are disconnected, or are killed after so many milliseconds. */
  async close(patience = PATIENCE): Promise<void> {
    this.stopReplacing();
    const ended = [...this.workers].map(
      ({ process: child }) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) resolve();
          else child.once("exit", () => resolve());
        }),
    );
    for (const { process: child } of this.workers) if (child.connected) child.disconnect();
    const killer = setTimeout(() => this.kill(), patience);
    await Promise.all(ended);
    clearTimeout(killer);
  }

  private stopReplacing(): void {
    this.closing = true;
    for (const timer of this.replacements) clearTimeout(timer);
    this.replacements.clear();
  }

  private kill(): void {
    this.stopReplacing();
    for (const { process: child } of this.workers) child.kill("SIGKILL");
  }
}
