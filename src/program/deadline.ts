import type { Runtime } from "./runtime.ts";

// Work that may have to end early: its time is limited, or a person stops it. What it runs on a runtime ends between two calls.

/** Why work ends early: its time is up, or it is asked to stop. */
export type InterruptionReason = "time" | "stopped";

/** Thrown inside of work that is to end early. It is caught by whoever has set the limit, and is no failure. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly reason: InterruptionReason;
  /** What was finished before, where that can be used: the samples of whole parts, say. */
  readonly kept: unknown;

  constructor(reason: InterruptionReason, kept?: unknown) {
    super(reason === "time" ? "the time for this is up" : "it was stopped");
    this.reason = reason;
    this.kept = kept;
  }
}

/** When work has to end. */
export class Deadline {
  private readonly shouldStop: () => boolean;
  /** On the clock of `performance.now`. */
  private end = Number.POSITIVE_INFINITY;

  /** @param shouldStop asked before each call of the runtime */
  constructor(shouldStop: () => boolean = () => false) {
    this.shouldStop = shouldStop;
  }

  /** Seconds that are left; infinite where there is no limit. */
  get secondsLeft(): number {
    return Math.max(0, (this.end - performance.now()) / 1000);
  }

  /** Whether work is asked to stop, however much time it has. */
  get stopped(): boolean {
    return this.shouldStop();
  }

  /** @throws Interrupted where work has to end now */
  check(): void {
    if (this.shouldStop()) throw new Interrupted("stopped");
    if (performance.now() >= this.end) throw new Interrupted("time");
  }

  /**
   * Does work that may take so many seconds, and no longer than the work that it is a part of.
   * @throws Interrupted out of the work where it had to end
   */
  async within<T>(seconds: number, work: () => Promise<T>): Promise<T> {
    const outer = this.end;
    this.end = Math.min(outer, performance.now() + 1000 * seconds);
    try {
      return await work();
    } finally {
      this.end = outer;
    }
  }
}

/** A runtime that begins no call when work has to end. */
export function untilDeadline(runtime: Runtime, deadline: Deadline): Runtime {
  return {
    ...runtime,
    async load(model, weightsInside) {
      deadline.check();
      const session = await runtime.load(model, weightsInside);
      return {
        async run(feeds, into) {
          deadline.check();
          return session.run(feeds, into);
        },
        release: () => session.release(),
      };
    },
  };
}
