import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { Contender, type ContenderCommand, type Memory, type Repetitions } from "./contender.ts";
import { median } from "./statistics.ts";
import type { Work } from "./works.ts";

/** Milliseconds of one repetition: the median of each round, the least of all, and what all threads computed, the median of each round. */
export interface Timing {
  readonly rounds: readonly number[];
  readonly least: number;
  readonly processor: readonly number[];
}

/** What is asked of a contender. */
export type Measurable = Pick<Contender, "name" | "works" | "prepare" | "run" | "release">;

/** How often a work is done. */
export interface Effort {
  readonly rounds: number;
  /** After which no further round begins, but the first. */
  readonly seconds?: number;
}

/** A work by one contender. */
export type Result =
  | { readonly kind: "timed"; readonly timing: Timing }
  /** So slow that it was done once. */
  | { readonly kind: "once"; readonly timing: Timing }
  | { readonly kind: "failed"; readonly reason: string };

export interface WorkResults {
  readonly work: Work;
  readonly parameters: number;
  readonly results: ReadonlyMap<string, Result>;
  /** How many rounds there were, and repetitions at most in each. */
  readonly rounds: number;
  readonly repetitions: number;
  /** Share of the rounds that began while other programs kept the machine busy. */
  readonly disturbed: number;
}

/** Libraries divide a flow differently into biases, scales and triangles; the networks in it are the same. */
const PARAMETER_TOLERANCE = 0.01;
/** A repetition that takes longer is not repeated. */
const ONCE_MILLISECONDS = 20_000;
/** No contender takes much longer over a round, however slow it is. */
const ROUND_MILLISECONDS = 1000;
/** Long enough for the threads of the last contender to fall asleep. */
const PAUSE_MILLISECONDS = 60;
/** How long a round waits for other programs to come to rest. */
const PATIENCE_MILLISECONDS = 1000;
/** The machine is quiet when others use less than this share of it. */
const QUIET_SHARE = 0.1;

/** Processor time used and passed since the machine was started, in milliseconds. */
function processorTimes(): { readonly used: number; readonly passed: number } {
  const times = cpus().map(({ times: { user, nice, sys, irq, idle } }) => ({
    used: user + nice + sys + irq,
    idle,
  }));
  const used = times.reduce((total, time) => total + time.used, 0);
  return { used, passed: used + times.reduce((total, { idle }) => total + idle, 0) };
}

/** Waits a moment, and somewhat longer while other programs are busy. Whether the machine came to rest. */
async function rest(): Promise<boolean> {
  const begun = performance.now();
  do {
    const before = processorTimes();
    await sleep(PAUSE_MILLISECONDS);
    const after = processorTimes();
    const passed = after.passed - before.passed;
    if (passed > 0 && (after.used - before.used) / passed < QUIET_SHARE) return true;
  } while (performance.now() - begun < PATIENCE_MILLISECONDS);
  return false;
}

/**
 * Times a work by all contenders that can do it, in turns: every round, each contender does some repetitions.
 * @param resting waits for the machine, and returns whether it came to rest
 * @throws Error where their networks have different numbers of parameters
 */
export async function measure(
  work: Work,
  contenders: readonly Measurable[],
  { rounds, seconds = Number.POSITIVE_INFINITY }: Effort,
  resting: () => Promise<boolean> = rest,
): Promise<WorkResults> {
  const begun = performance.now();
  const results = new Map<string, Result>();
  const timed = new Map<Measurable, { readonly repetitions: number; readonly done: Repetitions[] }>();
  let parameters: number | undefined;
  for (const contender of contenders.filter(({ works }) => works.has(work.name))) {
    try {
      const prepared = await contender.prepare(work.name);
      parameters ??= prepared.parameters;
      if (Math.abs(prepared.parameters / parameters - 1) > PARAMETER_TOLERANCE) {
        throw new Error(`its network has ${prepared.parameters} parameters, not ${parameters}`);
      }
      const first = await contender.run(work.name, 1);
      const once = first.milliseconds[0] ?? Number.NaN;
      if (once > ONCE_MILLISECONDS) {
        results.set(contender.name, { kind: "once", timing: timingOf([first]) });
      } else {
        const again = work.repetitions > 1 ? await contender.run(work.name, 2) : undefined;
        const usual = Math.min(once, ...(again?.milliseconds ?? []));
        const repetitions = Math.max(1, Math.min(work.repetitions, Math.round(ROUND_MILLISECONDS / usual)));
        timed.set(contender, { repetitions, done: [] });
      }
    } catch (error) {
      results.set(contender.name, {
        kind: "failed",
        reason: error instanceof Error ? error.message : `${error}`,
      });
    }
  }
  let turns = 0;
  let disturbed = 0;
  let round = 0;
  for (; round < rounds && (round === 0 || performance.now() - begun < 1000 * seconds); round++) {
    for (const [contender, { repetitions, done }] of timed) {
      turns += 1;
      if (!(await resting())) disturbed += 1;
      done.push(await contender.run(work.name, repetitions));
    }
  }
  for (const [contender, { done }] of timed) {
    results.set(contender.name, { kind: "timed", timing: timingOf(done) });
    await contender.release(work.name);
  }
  return {
    work,
    parameters: parameters ?? 0,
    results,
    rounds: round,
    repetitions: Math.max(1, ...[...timed.values()].map(({ repetitions }) => repetitions)),
    disturbed: turns === 0 ? 0 : disturbed / turns,
  };
}

function timingOf(rounds: readonly Repetitions[]): Timing {
  return {
    rounds: rounds.map(({ milliseconds }) => median(milliseconds)),
    least: Math.min(...rounds.flatMap(({ milliseconds }) => milliseconds)),
    processor: rounds.map(({ processor }) => median(processor)),
  };
}

/** A fresh process that does one work: the seconds to build it, and its memory before and after. */
export interface FreshRun {
  readonly seconds: number;
  readonly before: Memory;
  readonly after: Memory;
}

/** Builds a work in a process of its own, repeats it `settle` times, takes the memory, and repeats it again. */
export async function freshRun(
  command: ContenderCommand,
  work: string,
  settle: number,
  repetitions: number,
): Promise<FreshRun> {
  const contender = await Contender.start(command);
  try {
    const { seconds } = await contender.prepare(work);
    const { memory: before } = await contender.run(work, settle);
    const { memory: after } = await contender.run(work, repetitions);
    return { seconds, before, after };
  } finally {
    await contender.stop();
  }
}
