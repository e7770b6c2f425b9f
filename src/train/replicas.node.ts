import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { TrainingError } from "../errors.ts";
import { buffersOf } from "../nn/module.ts";
import { nodeRuntime } from "../program/node.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import type { RunConfig } from "./run-config.ts";
import type { StepTracer } from "./step.ts";
import {
  type BatchSource,
  type GradientPool,
  PartGradients,
  type PartResult,
  type TrainingVectors,
} from "./trainer.ts";
import { type ErrorMessage, fromErrorMessage, siblingModule, startWorker } from "./worker-protocol.node.ts";

/** What a replica is started with: its share of the work and the memory it has in common with the coordinator. */
export interface ReplicaData {
  readonly config: RunConfig;
  readonly resolver: string;
  /** Parts of the batch that this replica does, of `parts` in all. */
  readonly firstPart: number;
  readonly partCount: number;
  readonly parts: number;
  readonly threads: number;
  /** Parameters, then buffers, written by the coordinator before it asks for a step. */
  readonly state: SharedArrayBuffer;
  /** Mean gradient of the replica's parts, written before it answers. */
  readonly gradient: SharedArrayBuffer;
}

/** The coordinator asks a replica for the gradient of a step. */
export interface ReplicaRequest {
  readonly step: number;
}

/** A replica's answer; the gradient itself is in shared memory. */
export type ReplicaAnswer =
  | { readonly type: "losses"; readonly losses: Readonly<Record<string, number>> }
  | { readonly type: "error"; readonly error: ErrorMessage };

/** Threads of each of several replicas, when they share the machine's cores. */
export function replicaThreads(replicas: number, threads: number | undefined): number {
  return threads ?? Math.max(1, Math.floor(availableParallelism() / replicas));
}

/** Computes several consecutive parts one after another: the mean of their gradients and losses. */
export async function meanOfParts(
  gradients: PartGradients,
  step: number,
  first: number,
  count: number,
  vectors: TrainingVectors,
): Promise<PartResult & { readonly gradient: NdArray }> {
  let total: Float32Array | undefined;
  const losses: Record<string, number> = {};
  let buffers: PartResult["buffers"] = {};
  for (let part = first; part < first + count; part++) {
    const result = await gradients.compute(step, part, vectors);
    const { data } = "read" in result.gradient ? await result.gradient.read() : result.gradient;
    if (total === undefined) total = data as Float32Array;
    else for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + Number(data[i]);
    for (const [name, loss] of Object.entries(result.losses))
      losses[name] = (losses[name] ?? 0) + loss / count;
    buffers = result.buffers;
  }
  const mean = total ?? new Float32Array(0);
  if (count > 1) for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] ?? 0) / count;
  return { gradient: float32(mean, [mean.length]), losses, buffers };
}

/**
 * Synchronous data parallelism: each replica computes the gradient of its share of the batch in a thread of its own,
 * the coordinator that of the last share; the mean of the gradients makes one update. Samples and noise are those of a
 * single replica, so results agree with it up to the order of summation.
 */
export async function replicaPool(
  tracer: StepTracer,
  source: BatchSource,
  config: RunConfig,
  resolver: string,
): Promise<GradientPool> {
  const { replicas, accumulate } = config.fit;
  const parts = replicas * accumulate;
  const threads = replicaThreads(replicas, config.fit.threads);
  const own = await PartGradients.build(
    tracer,
    source,
    parts,
    await nodeRuntime({ provider: config.fit.provider, threads }),
  );
  const buffers = buffersOf(tracer.model);
  const size = tracer.layout.size + buffers.reduce((total, { shape }) => total + elementCount(shape), 0);
  const state = new Float32Array(new SharedArrayBuffer(4 * size));

  const workers = Array.from({ length: replicas - 1 }, (_, i) => {
    const gradient = new Float32Array(new SharedArrayBuffer(4 * tracer.layout.size));
    const data: ReplicaData = {
      config,
      resolver,
      firstPart: i * accumulate,
      partCount: accumulate,
      parts,
      threads,
      state: state.buffer as SharedArrayBuffer,
      gradient: gradient.buffer as SharedArrayBuffer,
    };
    return { worker: startWorker(siblingModule("replica-worker", import.meta.url), data), gradient };
  });

  const share = async (vectors: TrainingVectors): Promise<void> => {
    let offset = 0;
    for (const name of ["parameters", ...buffers.map((buffer) => buffer.name)]) {
      const value = vectors[name];
      if (value === undefined) throw new TrainingError(`training holds no ${name}`);
      const { data } = "read" in value ? await value.read() : value;
      state.set(data as Float32Array, offset);
      offset += data.length;
    }
  };

  const ask = (worker: Worker, step: number): Promise<Readonly<Record<string, number>>> =>
    new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        worker.removeAllListeners();
        act();
      };
      worker.once("message", (answer: ReplicaAnswer) =>
        settle(() =>
          answer.type === "losses" ? resolve(answer.losses) : reject(fromErrorMessage(answer.error)),
        ),
      );
      worker.once("error", (error) => settle(() => reject(error)));
      worker.once("exit", (code) =>
        settle(() => reject(new TrainingError(`a replica ended with code ${code} at step ${step}`))),
      );
      worker.postMessage({ step } satisfies ReplicaRequest);
    });

  return {
    parts: replicas,
    async compute(step, vectors) {
      await share(vectors);
      const answers = workers.map(({ worker }) => ask(worker, step));
      // Computing blocks this thread; a failure of a replica is seen when it is awaited below.
      for (const answer of answers) answer.catch(() => undefined);
      const last = await meanOfParts(own, step, (replicas - 1) * accumulate, accumulate, vectors);
      const losses = await Promise.all(answers);
      const others = workers.map(
        ({ gradient }, i): PartResult => ({
          gradient: float32(gradient.slice(), [gradient.length]),
          losses: losses[i] ?? {},
          buffers: {},
        }),
      );
      return [...others, last];
    },
    async release() {
      for (const { worker } of workers) await worker.terminate();
      await own.release();
    },
  };
}
