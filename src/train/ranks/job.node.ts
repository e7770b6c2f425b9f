import { availableParallelism, cpus } from "node:os";
import { OptionError } from "../../errors.ts";

// How a process learns that a launcher (mpirun, mpiexec, srun) has started several of it. No MPI library is needed for that.

/** A process among those that a launcher has started together. */
export interface RankJob {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Processes in all. */
  readonly size: number;
  /** Processes on this machine, where the launcher says it. */
  readonly local?: number;
  /** Which MPI the launcher belongs to, where that shows. */
  readonly family: "openmpi" | "mpich" | "any";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables by which launchers say so. srun sets its own for every step, and those of PMI beside them where it was asked to. */
const LAUNCHERS = [
  {
    family: "openmpi",
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    local: "OMPI_COMM_WORLD_LOCAL_SIZE",
  },
  {
    family: "mpich",
    rank: "MV2_COMM_WORLD_RANK",
    size: "MV2_COMM_WORLD_SIZE",
    local: "MV2_COMM_WORLD_LOCAL_SIZE",
  },
  { family: "mpich", rank: "PMI_RANK", size: "PMI_SIZE", local: "MPI_LOCALNRANKS" },
  {
    family: "any",
    rank: "SLURM_PROCID",
    size: "SLURM_STEP_NUM_TASKS",
    local: "SLURM_STEP_TASKS_PER_NODE",
  },
] as const;

/**
 * The job that this process is a rank of; undefined where it runs alone.
 * @throws OptionError where the variables of a launcher contradict each other
 */
export function rankJob(environment: Environment = process.env): RankJob | undefined {
  for (const { family, rank: rankName, size: sizeName, local: localName } of LAUNCHERS) {
    const [rank, size] = [environment[rankName], environment[sizeName]];
    if (rank === undefined || size === undefined) continue;
    const job = { rank: Number(rank), size: Number(size) };
    if (!Number.isInteger(job.rank) || !Number.isInteger(job.size) || job.rank < 0 || job.rank >= job.size) {
      throw new OptionError(
        `${rankName}=${rank} and ${sizeName}=${size} are no rank of a job; start eidos with mpirun or srun, or unset both`,
      );
    }
    if (job.size === 1) return undefined;
    // Slurm writes 4, or 4(x2) where several machines have as many.
    const local = Number.parseInt(environment[localName] ?? "", 10);
    return { ...job, family, ...(local >= 1 && { local }) };
  }
  return undefined;
}

/** Cores for this process: those that it is bound to, or its share of the machine where ranks are not bound. */
export function coresOf(job: RankJob | undefined): number {
  const usable = availableParallelism();
  const isBound = usable < cpus().length;
  return isBound ? usable : Math.max(1, Math.floor(usable / (job?.local ?? 1)));
}

/** What messages call a rank. */
export function rankName({ rank, size }: Pick<RankJob, "rank" | "size">): string {
  return `rank ${rank} of ${size}`;
}
