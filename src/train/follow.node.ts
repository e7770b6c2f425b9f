import { TrainingError } from "../errors.ts";
import { nodeRuntime } from "../program/node.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { batchSourceOf, type TrainData } from "./batches.ts";
import type { Fit, FitSummary } from "./fit-request.node.ts";
import { tracerOf } from "./options.ts";
import { type GradientWork, gradientPool } from "./rank-pool.node.ts";
import type { Ranks } from "./ranks/ranks.node.ts";
import { fitThreads } from "./replicas.node.ts";
import { initialVectors, type Snapshot, Trainer } from "./trainer.ts";

// A fit on the ranks other than 0: they compute what rank 0 orders, and write nothing.

/** A fit, as far as a rank other than 0 takes part in it. */
export interface FollowedFit extends Pick<Fit, "model" | "options" | "replicaPool" | "owners"> {
  readonly data: TrainData;
  readonly ranks: Ranks;
  readonly shouldStop: () => boolean;
}

/**
 * Passes the vectors of training on from rank 0.
 * @param shapes all vectors by name
 * @param own the values on rank 0
 */
function passVectors(
  ranks: Ranks,
  shapes: ReadonlyMap<string, NdArray>,
  own?: Snapshot["vectors"],
): Snapshot["vectors"] {
  const passed = new Map<string, NdArray>();
  for (const [name, { shape }] of shapes) {
    const held = own?.get(name);
    const data = held === undefined ? new Float32Array(elementCount(shape)) : held.data;
    ranks.passMany(data as Float32Array);
    passed.set(name, float32(data as Float32Array, shape));
  }
  return passed;
}

/** Rank 0 has the others take over its vectors. */
export async function orderVectors(
  ranks: Ranks,
  trainer: Trainer,
  shapes: Snapshot["vectors"],
): Promise<void> {
  const { step, vectors } = await trainer.snapshot();
  ranks.order({ kind: "vectors", step });
  passVectors(ranks, shapes, vectors);
}

/**
 * Takes part in a fit until rank 0 ends it. @returns its summary
 * @throws TrainingError where rank 0, or any other, has failed
 */
export async function followFit(fit: FollowedFit): Promise<FitSummary> {
  const { model, data, options, ranks, owners, replicaPool, shouldStop } = fit;
  const tracer = tracerOf(model, options);
  const source = batchSourceOf(data, options);
  const runtime = await nodeRuntime({
    provider: options.provider,
    deterministic: options.deterministic,
    ...fitThreads(options),
  });
  const work: GradientWork = { tracer, source, options, runtime, replicaPool, ranks, owners, shouldStop };
  const pool = await gradientPool(work);
  let trainer: Trainer | undefined;
  try {
    for (;;) {
      const order = ranks.receive();
      switch (order.kind) {
        case "vectors": {
          const vectors = passVectors(ranks, initialVectors(tracer, source.random));
          trainer = await Trainer.create(
            tracer,
            source,
            runtime,
            { step: order.step, vectors, given: true },
            pool,
          );
          break;
        }
        case "step":
          await trainer?.train(order.learningRate, order.since);
          break;
        case "end":
          if (order.failed) throw new TrainingError(order.text);
          return JSON.parse(order.text);
      }
    }
  } finally {
    await trainer?.release();
    await pool?.release();
  }
}
