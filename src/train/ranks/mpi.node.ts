import type { LibraryHandle } from "koffi";
import { optional } from "../../data/files/optional.node.ts";
import { RuntimeError } from "../../errors.ts";
import type { RankJob } from "./job.node.ts";

// The calls of an MPI library that training needs, by koffi. There are two binary interfaces: that of Open MPI, in which communicators,
// types and operations are addresses of objects in the library, and that of MPICH, which Intel MPI and MVAPICH share, in which they
// are numbers (mpi.h of each).

/** Environment variable with the path of the library, where it is not found by its name. */
export const LIBRARY_VARIABLE = "EIDOS_MPI";

const mac = process.platform === "darwin";

/** Names of the libraries, as the loader of the system finds them. */
const NAMES: Readonly<Record<"openmpi" | "mpich", readonly string[]>> = {
  openmpi: mac ? ["libmpi.40.dylib", "libmpi.dylib"] : ["libmpi.so.40", "libmpi.so.80", "libmpi.so"],
  mpich: mac
    ? ["libmpi.12.dylib", "libmpich.dylib", "libmpi.dylib"]
    : ["libmpich.so.12", "libmpi.so.12", "libmpich.so", "libmpi.so"],
};

type Call = (...args: readonly unknown[]) => number;

type Handle = number | bigint;

/** Numbers that are added up or passed on. */
export type Numbers = Float32Array | Float64Array;

/** MPI_THREAD_SERIALIZED: threads call one after the other. */
const SERIALIZED = 2;

/** Numbers in one call at most, which counts them in 32 bits. */
const MOST = 2 ** 28;

/** Numbers that the ranks exchange at most at once, which are not divided. */
export const MOST_EXCHANGED = 2 ** 31 - 1;

/**
 * Numbers a rank that are added up in one call. For more than about 16 MB, Open MPI takes fresh memory from the system in each call, whose pages are cleared one by one: 20 MB over
 * two ranks took 20 ms, in pieces 3 ms (bench/scaling.ts). Pieces grow with the ranks, so that each rank's share of one stays as large, and
 * latency as small a part.
 */
const PIECE = 2 ** 20;

/** Milliseconds of asking without a pause, then between two questions, while others are waited for. */
const EAGER = 2;
const PAUSE = 0.1;

interface Calls {
  readonly rank: Call;
  readonly size: Call;
  readonly allreduce: Call;
  readonly iallreduce: Call;
  readonly alltoallv: Call;
  readonly bcast: Call;
  readonly ibcast: Call;
  readonly test: Call;
  readonly abort: Call;
  readonly finalize: Call;
}

/** What the interface of a library calls things. */
interface Names {
  readonly world: Handle;
  readonly float: Handle;
  readonly double: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  /** MPI_IN_PLACE and MPI_STATUS_IGNORE. */
  readonly inPlace: number;
  readonly noStatus: number;
}

/** An MPI library in which this process has begun. */
export class Mpi {
  readonly rank: number;
  readonly size: number;
  /** The library. */
  readonly library: string;
  private readonly calls: Calls;
  private readonly names: Names;
  /** A request (8 bytes are enough for both interfaces), and whether it is done. */
  private readonly request = new BigInt64Array(1);
  private readonly done = new Int32Array(1);
  private readonly pause = new Int32Array(new SharedArrayBuffer(4));

  private constructor(library: string, calls: Calls, names: Names) {
    this.library = library;
    this.calls = calls;
    this.names = names;
    this.rank = written((value) => calls.rank(names.world, value));
    this.size = written((value) => calls.size(names.world, value));
  }

  /**
   * Loads the MPI library and begins. A process can do so once.
   * @throws MissingPackageError where koffi is missing, RuntimeError where the library is, or has ended already
   */
  static async begin(job: Pick<RankJob, "family">): Promise<Mpi> {
    const { library, loaded } = await Mpi.load(job);
    if (isSet(loaded, "MPI_Finalized")) {
      throw new RuntimeError(
        "MPI has ended in this process, and cannot begin again; fit once in each process",
      );
    }
    if (!isSet(loaded, "MPI_Initialized")) {
      const begin = loaded.func("MPI_Init_thread", "int", ["intptr_t", "intptr_t", "int", "void *"]);
      written((provided) => begin(0, 0, SERIALIZED, provided));
    }
    return Mpi.of(loaded, library);
  }

  /**
   * The library in which another thread of this process has begun; undefined where it has ended. Where none has begun, others may wait for
   * that: it begins now, unless the launcher ends them anyway, as Open MPI's does when a process exits with a code.
   */
  static async unended(job: Pick<RankJob, "family">): Promise<Mpi | undefined> {
    const { library, loaded } = await Mpi.load(job);
    if (isSet(loaded, "MPI_Finalized")) return undefined;
    if (isSet(loaded, "MPI_Initialized")) return Mpi.of(loaded, library);
    return job.family === "openmpi" ? undefined : Mpi.begin(job);
  }

  private static async load({ family }: Pick<RankJob, "family">): Promise<{
    readonly library: string;
    readonly loaded: LibraryHandle;
  }> {
    const { load } = await optional("koffi", "training by several ranks", () => import("koffi"));
    const given = process.env[LIBRARY_VARIABLE];
    const candidates =
      given !== undefined ? [given] : family === "any" ? [...NAMES.openmpi, ...NAMES.mpich] : NAMES[family];
    const reasons: string[] = [];
    for (const library of candidates) {
      try {
        // Libraries of Open MPI load parts that look for its symbols among all.
        return { library, loaded: load(library, { global: true, lazy: true }) };
      } catch (error) {
        reasons.push(error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error));
      }
    }
    throw new RuntimeError(
      `no MPI library was found (${candidates.join(", ")}: ${reasons[0]}); install that of the launcher, or give its path in ${LIBRARY_VARIABLE}`,
    );
  }

  private static of(loaded: LibraryHandle, library: string): Mpi {
    const isOpen = has(loaded, "ompi_mpi_comm_world");
    const named = (name: string, number: number): Handle =>
      isOpen ? (loaded.symbol(name) as bigint) : number;
    const names: Names = {
      world: named("ompi_mpi_comm_world", 0x44000000),
      float: named("ompi_mpi_float", 0x4c00040a),
      double: named("ompi_mpi_double", 0x4c00080b),
      byte: named("ompi_mpi_byte", 0x4c00010d),
      sum: named("ompi_mpi_op_sum", 0x58000003),
      inPlace: isOpen ? 1 : -1,
      noStatus: isOpen ? 0 : 1,
    };
    const handle = isOpen ? "void *" : "int";
    const call = (name: string, ...types: readonly string[]): Call => {
      const native = loaded.func(name, "int", [...types]) as Call;
      return (...args) => {
        const code = native(...args);
        // By default the library ends the job itself at an error.
        if (code !== 0) throw new RuntimeError(`${name} of ${library} failed with code ${code}`);
        return code;
      };
    };
    const reduced = ["intptr_t", "void *", "int", handle, handle, handle];
    const passed = ["void *", "int", handle, "int", handle];
    const divided = ["void *", "void *", "void *", handle];
    const calls: Calls = {
      rank: call("MPI_Comm_rank", handle, "void *"),
      size: call("MPI_Comm_size", handle, "void *"),
      allreduce: call("MPI_Allreduce", ...reduced),
      iallreduce: call("MPI_Iallreduce", ...reduced, "void *"),
      alltoallv: call("MPI_Alltoallv", ...divided, ...divided, handle),
      bcast: call("MPI_Bcast", ...passed),
      ibcast: call("MPI_Ibcast", ...passed, "void *"),
      test: call("MPI_Test", "void *", "void *", "intptr_t"),
      abort: call("MPI_Abort", handle, "int"),
      finalize: call("MPI_Finalize"),
    };
    return new Mpi(library, calls, names);
  }

  private type(numbers: Numbers): Handle {
    return numbers instanceof Float32Array ? this.names.float : this.names.double;
  }

  /** Adds up a few numbers of all ranks, in place. While others are waited for, the core is left to them. */
  sum(numbers: Float64Array): void {
    const { names } = this;
    const { length } = numbers;
    const type = this.type(numbers);
    this.calls.iallreduce(names.inPlace, numbers, length, type, names.sum, names.world, this.request);
    this.wait();
  }

  /** Adds up many numbers of all ranks, in place. All ranks should be about to call it: it waits without a pause. */
  sumMany(numbers: Numbers): void {
    const { names } = this;
    for (const part of partsOf(numbers, Math.min(MOST, PIECE * this.size))) {
      this.calls.allreduce(names.inPlace, part, part.length, this.type(numbers), names.sum, names.world);
    }
  }

  /** Passes bytes on from a rank to all others, in place. While they are waited for, the core is left to others. */
  pass(bytes: Uint8Array, from: number): void {
    const { names } = this;
    for (let at = 0; at < bytes.length; at += MOST) {
      const part = bytes.subarray(at, at + MOST);
      this.calls.ibcast(part, part.length, names.byte, from, names.world, this.request);
      this.wait();
    }
  }

  /** Passes many numbers on from a rank to all others, in place. All ranks should be about to call it. */
  passMany(numbers: Numbers, from: number): void {
    const { names } = this;
    for (const part of partsOf(numbers, MOST)) {
      this.calls.bcast(part, part.length, this.type(numbers), from, names.world);
    }
  }

  /**
   * Gives each rank its own part of the numbers here, and takes the parts that the others have for this one, in the order of ranks. All ranks
   * should be about to call it: it waits without a pause. MPI counts in 32 bits (`MOST_EXCHANGED`).
   * @param given how many numbers are for each rank, and lie one after the other
   * @param taken how many come from each
   */
  exchange(numbers: Float32Array, given: Int32Array, target: Float32Array, taken: Int32Array): void {
    const { names } = this;
    const { float } = names;
    this.calls.alltoallv(
      ...[numbers, given, beginsOf(given), float],
      ...[target, taken, beginsOf(taken), float],
      names.world,
    );
  }

  /** Ends all ranks of the job at once. */
  abort(code: number): void {
    this.calls.abort(this.names.world, code);
  }

  /** The orderly end, which all ranks come to. */
  finalize(): void {
    this.calls.finalize();
  }

  private wait(): void {
    const { request, done, names } = this;
    const eagerUntil = performance.now() + EAGER;
    for (;;) {
      this.calls.test(request, done, names.noStatus);
      if (done[0] !== 0) return;
      if (performance.now() > eagerUntil) Atomics.wait(this.pause, 0, 0, PAUSE);
    }
  }
}

/** The number that a call writes. */
function written(call: (target: Int32Array) => void): number {
  const target = new Int32Array(1);
  call(target);
  return target[0] ?? 0;
}

/** Where each part begins. */
function beginsOf(counts: Int32Array): Int32Array {
  const begins = new Int32Array(counts.length);
  for (let i = 1; i < counts.length; i++) begins[i] = (begins[i - 1] ?? 0) + (counts[i - 1] ?? 0);
  return begins;
}

/** Whether a flag of the library is set. */
function isSet(loaded: LibraryHandle, name: "MPI_Initialized" | "MPI_Finalized"): boolean {
  return written(loaded.func(name, "int", ["void *"])) !== 0;
}

function has(library: LibraryHandle, name: string): boolean {
  try {
    library.symbol(name);
    return true;
  } catch {
    return false;
  }
}

function* partsOf(numbers: Numbers, most: number): Generator<Numbers> {
  for (let from = 0; from < numbers.length; from += most) yield numbers.subarray(from, from + most);
}
