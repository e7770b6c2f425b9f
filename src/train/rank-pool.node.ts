import { OptionError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { buffersOf } from "../nn/module.ts";
import type { Runtime } from "../program/runtime.ts";
import { readValue } from "../program/runtime.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import type { Rows, TrainingBatches } from "./batches.ts";
import { accumulatingPool, type GradientPool, type PartResult } from "./gradient-parts.ts";
import type { ResolvedFitOptions } from "./options.ts";
import { RankBatches } from "./rank-batches.node.ts";
import type { SampleOwners } from "./ranks/owners.ts";
import type { Ranks } from "./ranks/ranks.node.ts";
import { isAdversarial, isStaged, type StepTracer } from "./step.ts";

// Data parallelism over processes: each rank computes the gradient of its share of every batch, by replicas where there are some, and
// MPI adds them up. As all ranks begin with the same vectors and make the same update, vectors never travel again.

type Parts = Pick<ResolvedFitOptions, "batchSize" | "replicas" | "accumulate">;

/**
 * What of each batch a rank computes: consecutive rows that divide into its replicas and parts. Shares differ by one such unit where
 * the batch does not divide evenly.
 */
export function shareOfRank(rank: number, size: number, { batchSize, replicas, accumulate }: Parts): Rows {
  const unit = replicas * accumulate;
  const units = batchSize / unit;
  const begin = (number: number): number => unit * Math.floor((units * number) / size);
  return { first: begin(rank), count: begin(rank + 1) - begin(rank) };
}

/**
 * Refuses to divide the batches of a model over ranks where they are too small, or the model needs whole ones.
 * @throws OptionError
 */
export function checkRanks(model: Trainable, options: Parts, size: number): void {
  if (isAdversarial(model) || isStaged(model)) {
    const why = isAdversarial(model) ? "take turns" : "are trained one after the other";
    throw new OptionError(
      `${size} ranks: the parts of this model ${why} on whole batches, which are not divided; start it without mpirun or srun`,
    );
  }
  const { batchSize, replicas, accumulate } = options;
  const least = size * replicas * accumulate;
  if (batchSize < least) {
    throw new OptionError(
      `option batchSize: ${batchSize} is too small for ${size} ranks × ${replicas} replicas × ${accumulate} parts; choose ${least} or more, or start fewer ranks`,
    );
  }
}

/** The mean of equal parts; the first of them is overwritten. */
async function meanOf(parts: readonly PartResult[]): Promise<PartResult & { readonly sum: Float32Array }> {
  const [first, ...others] = parts;
  if (first === undefined) throw new OptionError("a rank has no part of the batch");
  const sum = ((await readValue(first.gradient)).data as Float32Array).slice();
  const losses: Record<string, number> = {};
  for (const { gradient } of others) {
    const { data } = await readValue(gradient);
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + Number(data[i]);
  }
  for (const part of parts) {
    for (const [name, loss] of Object.entries(part.losses))
      losses[name] = (losses[name] ?? 0) + loss / parts.length;
  }
  return { gradient: first.gradient, losses, buffers: parts.at(-1)?.buffers ?? {}, sum };
}

/**
 * The gradient of a whole batch from those that ranks compute of their shares, each weighted by its rows. Buffers are those of the last
 * rank, as those of the last part are where one process computes several.
 * @param own computes the gradient of this rank's share
 * @param shouldStop whether this rank is to stop, which rank 0 is told
 * @param batches where samples lie on several ranks, which meet for each step
 */
export function rankPool(
  own: GradientPool,
  tracer: StepTracer,
  ranks: Ranks,
  { count }: Rows,
  batchSize: number,
  shouldStop: () => boolean,
  batches?: RankBatches,
): GradientPool {
  const weight = count / batchSize;
  const buffers = buffersOf(tracer.model);
  const bufferVector = new Float32Array(buffers.reduce((sum, { shape }) => sum + elementCount(shape), 0));
  return {
    parts: 1,
    async compute(step, vectors) {
      batches?.meet(step);
      let mean: Awaited<ReturnType<typeof meanOf>> | undefined;
      let fault: unknown;
      try {
        const parts = await own.compute(step, vectors);
        mean = await meanOf(parts);
        for (const { gradient } of parts) if (gradient.kind === "runtime") gradient.dispose();
      } catch (error) {
        fault = error;
      }
      ranks.agree(fault, shouldStop());
      if (mean === undefined) throw fault;
      const { sum, losses } = mean;
      const scale = weight / own.parts;
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) * scale;
      ranks.sumMany(sum);
      const names = Object.keys(losses).sort();
      const totals = Float64Array.from(names, (name) => (losses[name] ?? Number.NaN) * weight);
      ranks.sum(totals);
      return [
        {
          gradient: float32(sum, [sum.length]),
          losses: Object.fromEntries(names.map((name, i) => [name, totals[i] ?? Number.NaN])),
          buffers: await passBuffers(mean.buffers),
        },
      ];
    },
    release: () => own.release(),
  };

  /** The buffers of the last rank. */
  async function passBuffers(held: PartResult["buffers"]): Promise<Readonly<Record<string, NdArray>>> {
    if (bufferVector.length === 0) return {};
    const last = ranks.size - 1;
    let at = 0;
    const places = buffers.map(({ name, shape }) => {
      const from = at;
      at += elementCount(shape);
      return { name, shape, from, to: at };
    });
    if (ranks.rank === last) {
      for (const { name, from } of places) {
        const value = held[name];
        if (value !== undefined) bufferVector.set((await readValue(value)).data as Float32Array, from);
      }
    }
    for (const value of Object.values(held)) if (value.kind === "runtime") value.dispose();
    ranks.passMany(bufferVector, last);
    return Object.fromEntries(
      places.map(({ name, shape, from, to }) => [name, float32(bufferVector.slice(from, to), shape)]),
    );
  }
}

/** What computes the gradients of a fit. */
export interface GradientWork {
  readonly tracer: StepTracer;
  readonly source: TrainingBatches;
  readonly options: ResolvedFitOptions;
  readonly runtime: Runtime;
  readonly replicaPool?:
    | ((tracer: StepTracer, source: TrainingBatches, share?: Rows) => Promise<GradientPool>)
    | undefined;
  readonly ranks?: Ranks | undefined;
  /** Where each rank holds its own samples alone. */
  readonly owners?: SampleOwners | undefined;
  readonly shouldStop: () => boolean;
}

/** The pool of a fit: replicas, parts one after another, and ranks; undefined where a step is computed as a whole. */
export async function gradientPool(work: GradientWork): Promise<GradientPool | undefined> {
  const { tracer, source, options, runtime, replicaPool, ranks, owners, shouldStop } = work;
  const parts = options.replicas * options.accumulate;
  if (ranks === undefined && parts === 1) return undefined;
  const shares =
    ranks && Array.from({ length: ranks.size }, (_, rank) => shareOfRank(rank, ranks.size, options));
  const share = ranks && shares?.[ranks.rank];
  const batches =
    owners === undefined || ranks === undefined || shares === undefined
      ? undefined
      : new RankBatches(source, owners, ranks, shares);
  const own =
    options.replicas > 1 && replicaPool !== undefined
      ? await replicaPool(tracer, source, share)
      : await accumulatingPool(tracer, batches ?? source, parts, runtime, share);
  if (ranks === undefined || share === undefined) return own;
  return rankPool(own, tracer, ranks, share, options.batchSize, shouldStop, batches);
}
