import fc from "fast-check";
import { expect, test } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { checkRanks, shareOfRank } from "../../src/train/rank-pool.node.ts";
import { rankJob } from "../../src/train/ranks/job.node.ts";
import { Denoiser } from "./support.ts";

test.each([
  [
    "Open MPI",
    { OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_LOCAL_SIZE: "2" },
    { rank: 1, size: 4, local: 2, family: "openmpi" },
  ],
  [
    "MPICH's mpiexec",
    { PMI_RANK: "0", PMI_SIZE: "2", MPI_LOCALNRANKS: "2" },
    { rank: 0, size: 2, local: 2, family: "mpich" },
  ],
  [
    "srun, with the same number of tasks on several nodes",
    { SLURM_PROCID: "7", SLURM_STEP_NUM_TASKS: "8", SLURM_STEP_TASKS_PER_NODE: "4(x2)" },
    { rank: 7, size: 8, local: 4, family: "any" },
  ],
] as const)("a rank of %s finds itself", (_, environment, job) => {
  expect(rankJob(environment)).toEqual(job);
});

test("a process that runs alone is no rank", () => {
  expect(rankJob({})).toBeUndefined();
  expect(rankJob({ OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "1" })).toBeUndefined();
  // The script of a Slurm job has the job's tasks in its environment, and is none of them.
  expect(rankJob({ SLURM_PROCID: "0", SLURM_NTASKS: "4" })).toBeUndefined();
});

test("variables that contradict each other are refused by name", () => {
  expect(() => rankJob({ PMI_RANK: "3", PMI_SIZE: "2" })).toThrow(/PMI_RANK=3 and PMI_SIZE=2/);
  expect(() => rankJob({ PMI_RANK: "one", PMI_SIZE: "2" })).toThrow(OptionError);
});

test("the shares of all ranks are the batch, in order, in units that replicas and parts divide", () => {
  const sizes = fc.record({
    size: fc.integer({ min: 1, max: 300 }),
    replicas: fc.integer({ min: 1, max: 5 }),
    accumulate: fc.integer({ min: 1, max: 5 }),
    extra: fc.integer({ min: 0, max: 500 }),
  });
  fc.assert(
    fc.property(sizes, ({ size, replicas, accumulate, extra }) => {
      const unit = replicas * accumulate;
      const batchSize = unit * (size + extra);
      let next = 0;
      const counts: number[] = [];
      for (let rank = 0; rank < size; rank++) {
        const { first, count } = shareOfRank(rank, size, { batchSize, replicas, accumulate });
        expect(first).toBe(next);
        expect(count % unit).toBe(0);
        expect(count).toBeGreaterThan(0);
        next += count;
        counts.push(count);
      }
      expect(next).toBe(batchSize);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(unit);
    }),
  );
});

test("a batch that has no part for a rank is refused, and says which would do", () => {
  const options = { batchSize: 6, replicas: 2, accumulate: 1 };
  expect(() => checkRanks(new Denoiser(), options, 3)).not.toThrow();
  expect(() => checkRanks(new Denoiser(), options, 4)).toThrow(
    /6 is too small for 4 ranks .* choose 8 or more/,
  );
});
