import { hostname } from "node:os";
import { RuntimeError, TrainingError } from "../../errors.ts";
import { type RankJob, rankName } from "./job.node.ts";
import { LIBRARY_VARIABLE, Mpi, type Numbers } from "./mpi.node.ts";

// What the ranks of a job say to each other. All of them make the same calls in the same order; rank 0 decides which these are.

/** What rank 0 has all ranks do next. */
export type Order =
  /** Take over its vectors of training, after so many steps. */
  | { readonly kind: "vectors"; readonly step: number }
  /** Compute a step. */
  | { readonly kind: "step"; readonly learningRate: number; readonly since: number }
  /** End: in good order with a text, or because rank 0 has failed. */
  | { readonly kind: "end"; readonly failed: boolean; readonly text: string };

const KINDS = ["vectors", "step", "end"] as const;

/** Bytes of an order without its text. */
const HEAD = 32;

/** The ranks of a job, seen from one of them. */
export class Ranks {
  readonly rank: number;
  readonly size: number;
  /** Whether some rank was asked to stop. */
  stopAsked = false;
  /** Whether all ranks know that the work has ended or failed, and none waits for another order. */
  settled = false;
  private readonly mpi: Mpi;

  private constructor(mpi: Mpi) {
    this.mpi = mpi;
    this.rank = mpi.rank;
    this.size = mpi.size;
  }

  /**
   * Meets the other ranks; returns when all are there.
   * @throws MissingPackageError, RuntimeError where MPI cannot be had, or the library is not that of the launcher
   */
  static async join(job: RankJob): Promise<Ranks> {
    const mpi = await Mpi.begin(job);
    if (mpi.size !== job.size || mpi.rank !== job.rank) {
      throw new RuntimeError(
        `this is ${rankName(job)} by its launcher, but ${rankName(mpi)} by ${mpi.library}: they belong to different MPIs; give the path of the launcher's library in ${LIBRARY_VARIABLE} (with srun, a plugin by --mpi=pmix or --mpi=pmi2)`,
      );
    }
    return new Ranks(mpi);
  }

  /** Whether this rank decides, and writes the run. */
  get leads(): boolean {
    return this.rank === 0;
  }

  /** This rank for a person, with its machine. */
  get name(): string {
    return `${rankName(this)} on ${hostname()}`;
  }

  /** Adds up a few numbers of all ranks, in place. Ranks may come to it at different times. */
  sum(numbers: Float64Array): void {
    this.mpi.sum(numbers);
  }

  /** Adds up many numbers of all ranks, in place. */
  sumMany(numbers: Numbers): void {
    this.mpi.sumMany(numbers);
  }

  /** Passes many numbers on from a rank to all others, in place. */
  passMany(numbers: Numbers, from = 0): void {
    this.mpi.passMany(numbers, from);
  }

  /** Passes a text on. @param text on the rank that it is from */
  passText(text: string, from = 0): string {
    return new TextDecoder().decode(this.passBytes(new TextEncoder().encode(text), from));
  }

  /** Passes bytes on. @param bytes on the rank that they are from */
  passBytes(bytes: Uint8Array, from = 0): Uint8Array {
    const isFrom = this.rank === from;
    const length = new Uint8Array(Float64Array.of(isFrom ? bytes.length : 0).buffer);
    this.mpi.pass(length, from);
    const passed = isFrom ? bytes : new Uint8Array(new Float64Array(length.buffer)[0] ?? 0);
    this.mpi.pass(passed, from);
    return passed;
  }

  /**
   * Gives each rank its part of the numbers here, and takes the parts that all have for this one, in the order of ranks.
   * @param given how many numbers are for each rank
   * @param taken how many come from each
   */
  exchange(numbers: Float32Array, given: Int32Array, taken: Int32Array): Float32Array {
    const target = new Float32Array(taken.reduce((sum, count) => sum + count, 0));
    this.mpi.exchange(numbers, given, target, taken);
    return target;
  }

  /** Rank 0 has all ranks do something. Where the work has failed everywhere, nobody waits for it. */
  order(order: Order): void {
    if (this.settled) return;
    const head = new Float64Array(HEAD / 8);
    head[0] = KINDS.indexOf(order.kind);
    if (order.kind === "vectors") head[1] = order.step;
    if (order.kind === "step") {
      head[1] = order.learningRate;
      head[2] = order.since;
    }
    if (order.kind === "end") head[1] = order.failed ? 1 : 0;
    this.mpi.pass(new Uint8Array(head.buffer), 0);
    if (order.kind !== "end") return;
    this.passText(order.text);
    this.settled = true;
  }

  /** Waits for what rank 0 orders. */
  receive(): Order {
    const head = new Float64Array(HEAD / 8);
    this.mpi.pass(new Uint8Array(head.buffer), 0);
    const [number = 0, first = 0, second = 0] = head;
    const kind = KINDS[number] ?? "end";
    switch (kind) {
      case "vectors":
        return { kind, step: first };
      case "step":
        return { kind, learningRate: first, since: second };
      case "end":
        this.settled = true;
        return { kind, failed: first !== 0, text: this.passText("") };
    }
  }

  /**
   * All ranks find out whether one of them cannot go on, and whether one was asked to stop.
   * @param fault what is wrong here
   * @throws the fault here; TrainingError elsewhere, naming the first rank that has one
   */
  agree(fault: unknown, stop: boolean): void {
    const flags = new Float64Array(this.size + 1);
    if (fault !== undefined) flags[this.rank] = 1;
    if (stop) flags[this.size] = 1;
    this.sum(flags);
    if (flags[this.size] !== 0) this.stopAsked = true;
    const faulty = flags.subarray(0, this.size).findIndex((flag) => flag !== 0);
    if (faulty < 0) return;
    this.settled = true;
    const own = `${this.name}: ${fault instanceof Error ? fault.message : String(fault)}`;
    const text = this.passText(own, faulty);
    if (fault !== undefined) throw fault;
    throw new TrainingError(text);
  }

  /** The end of the job, which all ranks come to. */
  end(): void {
    this.mpi.finalize();
  }
}

/**
 * Ends the other ranks of a job whose fit has failed here, where they would wait for this one. Those that have agreed that the fit is over
 * end by themselves.
 */
export async function abortJob(job: RankJob): Promise<void> {
  // Where MPI cannot be had, this rank has never been waited for but by its launcher.
  const mpi = await Mpi.unended(job).catch(() => undefined);
  mpi?.abort(1);
}
