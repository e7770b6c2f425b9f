import { ServiceError } from "../errors.ts";
import { type Answered, type Job, mergeKey, type ServedModel, type Work } from "./abilities.ts";

// Requests wait here for a worker, so many and no more. Those of equal key are handed over together. A request whose client has gone, or whose
// deadline has passed, leaves the queue: it is not computed.

/** Those who compute, as the queue sees them. */
export interface Crew {
  /** How many could begin now. */
  readonly idle: number;
  /** How many there are. */
  readonly size: number;
  begin(jobs: readonly Job[]): void;
  cancel(id: number): void;
}

/** What the queue counts. */
export interface QueueCounts {
  waited(job: Job, seconds: number): void;
  batch(jobs: readonly Job[]): void;
  shed(job: Pick<Job, "model" | "work">): void;
  expired(job: Job): void;
}

export interface QueueOptions {
  /** Most requests that wait. */
  readonly limit: number;
  /** Most requests that are handed over together. */
  readonly maxBatch: number;
  /** Milliseconds that a request waits for others of its key. */
  readonly window: number;
}

interface Held {
  readonly job: Job;
  /** Requests of the same key are handed over together; undefined where it goes by itself. */
  readonly key: string | undefined;
  readonly since: number;
  resolve(answered: Answered): void;
  reject(error: ServiceError): void;
}

/** Weight of the last batch in the mean time of a request. */
const RECENT = 0.1;

/** Seconds after which a refused client is asked to come again, at least and at most. */
const AGAIN = { least: 1, most: 60 } as const;

export class RequestQueue {
  private readonly options: QueueOptions;
  private readonly crew: Crew;
  private readonly counts: QueueCounts;
  private waiting: Held[] = [];
  private readonly running = new Map<number, Held>();
  private lastId = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Mean milliseconds that a request occupies a worker. */
  private pace = 0;
  private readonly drained: (() => void)[] = [];

  constructor(options: QueueOptions, crew: Crew, counts: QueueCounts) {
    this.options = options;
    this.crew = crew;
    this.counts = counts;
  }

  get length(): number {
    return this.waiting.length;
  }

  get runningCount(): number {
    return this.running.size;
  }

  /** Seconds until a place may be free. */
  get retryAfter(): number {
    const seconds = (this.waiting.length * this.pace) / Math.max(1, this.crew.size) / 1000;
    return Math.min(AGAIN.most, Math.max(AGAIN.least, Math.ceil(seconds)));
  }

  /**
   * Has work done.
   * @param deadline milliseconds since 1970
   * @param signal ends the wait: the client has gone
   * @throws ServiceError 503 where too many wait or the worker died, 504 at the deadline, 4xx and 5xx as the worker says
   */
  async submit(model: ServedModel, work: Work, deadline: number, signal?: AbortSignal): Promise<Answered> {
    const { limit } = this.options;
    if (this.waiting.length >= limit) {
      this.counts.shed({ model: model.name, work });
      throw new ServiceError(`${limit} requests wait already; try again later`, {
        status: 503,
        retryAfter: this.retryAfter,
      });
    }
    const job: Job = { id: ++this.lastId, model: model.name, work, deadline };
    let finish = (): void => undefined;
    const answered = new Promise<Answered>((resolve, reject) => {
      const held: Held = { job, key: mergeKey(model, work), since: performance.now(), resolve, reject };
      const timer = setTimeout(() => {
        this.counts.expired(job);
        this.giveUp(held, new ServiceError("the deadline of this request has passed", { status: 504 }));
      }, deadline - Date.now());
      const onAbort = (): void => this.giveUp(held, new ServiceError("the client has gone", { status: 499 }));
      signal?.addEventListener("abort", onAbort, { once: true });
      finish = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      this.waiting.push(held);
      if (signal?.aborted) onAbort();
    });
    this.wake();
    try {
      return await answered;
    } finally {
      finish();
      this.tellDrained();
    }
  }

  /** Takes a request out, waiting or running. */
  private giveUp(held: Held, error: ServiceError): void {
    const before = this.waiting.length;
    this.waiting = this.waiting.filter((other) => other !== held);
    if (this.waiting.length === before && this.running.delete(held.job.id)) this.crew.cancel(held.job.id);
    held.reject(error);
  }

  /** Hands over what can be: workers are idle, or there are new requests. */
  wake(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    while (this.crew.idle > 0) {
      const batch = this.nextBatch();
      if (batch === undefined) return;
      this.waiting = this.waiting.filter((held) => !batch.includes(held));
      const now = performance.now();
      for (const held of batch) {
        this.running.set(held.job.id, held);
        this.counts.waited(held.job, (now - held.since) / 1000);
      }
      const jobs = batch.map(({ job }) => job);
      this.counts.batch(jobs);
      this.crew.begin(jobs);
    }
  }

  /** The requests to hand over next, the oldest first; undefined where there are none, or they wait for others. */
  private nextBatch(): readonly Held[] | undefined {
    const { maxBatch, window } = this.options;
    const seen = new Set<string>();
    let soonest = Number.POSITIVE_INFINITY;
    for (const held of this.waiting) {
      const { key, job, since } = held;
      if (key === undefined) return [held];
      if (seen.has(key)) continue;
      seen.add(key);
      const group = this.waiting.filter((other) => other.key === key);
      if (job.work.kind === "detect") {
        // Images are looked at one after the other: idle workers share them.
        return group.slice(0, Math.min(maxBatch, Math.ceil(group.length / this.crew.idle)));
      }
      const left = since + window - performance.now();
      if (group.length >= maxBatch || left <= 0) return group.slice(0, maxBatch);
      soonest = Math.min(soonest, left);
    }
    if (soonest < Number.POSITIVE_INFINITY) this.timer = setTimeout(() => this.wake(), Math.ceil(soonest));
    return undefined;
  }

  /** A worker has answered. */
  answer(id: number, answered: Answered): void {
    const held = this.running.get(id);
    this.running.delete(id);
    held?.resolve(answered);
  }

  /** A worker could not answer, or is gone. */
  fail(id: number, error: ServiceError): void {
    const held = this.running.get(id);
    this.running.delete(id);
    // A worker may notice before the timer here does.
    if (held !== undefined && error.status === 504) this.counts.expired(held.job);
    held?.reject(error);
  }

  /** A worker took so many milliseconds for so many requests. */
  took(milliseconds: number, requests: number): void {
    const each = milliseconds / requests;
    this.pace = this.pace === 0 ? each : (1 - RECENT) * this.pace + RECENT * each;
  }

  /** Refuses all that waits and runs. */
  refuseAll(error: ServiceError): void {
    for (const held of [...this.waiting, ...this.running.values()]) this.giveUp(held, error);
  }

  /** When nothing waits or runs any more. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      this.drained.push(resolve);
      this.tellDrained();
    });
  }

  private tellDrained(): void {
    if (this.waiting.length > 0 || this.running.size > 0) return;
    for (const resolve of this.drained.splice(0)) resolve();
  }
}
