import { parentPort, type Worker, workerData } from "node:worker_threads";
import { TrainingError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { buffersOf } from "../nn/module.ts";
import { endThread, startThread, threadLoaded } from "../program/native-calls.node.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../program/node.ts";
import { readValue } from "../program/runtime.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { batchSourceOf, type Rows, type TrainData, type TrainingBatches } from "./batches.ts";
import { type GradientPool, PartGradients, type PartResult, type TrainingVectors } from "./gradient-parts.ts";
import { tracerOf } from "./options.ts";
import { coresOf, rankJob } from "./ranks/job.node.ts";
import type { RunConfig } from "./run-config.ts";
import type { StepTracer } from "./step.ts";
import { type ErrorMessage, fromErrorMessage, toErrorMessage, workerFailure } from "./threads.node.ts";

/** What a fit is of, as replicas find it again from its configuration. */
export interface ReplicaSubject {
  readonly model: Trainable;
  readonly data: TrainData;
}

/** What a replica is started with: its share of the work and the memory it has in common with the coordinator. */
interface ReplicaData<D = unknown> {
  readonly config: RunConfig;
  /** What the configuration names as data, or the data itself where it is in memory. */
  readonly data: D;
  /** Parts of the batch, or of a share of it, that this replica does, of `parts` in all. */
  readonly firstPart: number;
  readonly partCount: number;
  readonly parts: number;
  /** What of each batch is divided into the parts; all of it where absent. */
  readonly share: Rows | undefined;
  readonly threads: number;
  /** Parameters, then buffers, written by the coordinator before it asks for a step. */
  readonly state: SharedArrayBuffer;
  /** Frozen parameters one after another, written before the first step. */
  readonly frozen: SharedArrayBuffer;
  /** Mean gradient of the replica's parts, written before it answers. */
  readonly gradient: SharedArrayBuffer;
}

/** The coordinator asks a replica for the gradient of a step. */
interface ReplicaRequest {
  readonly step: number;
}

/** What a replica answers: that it is loaded, then the losses of each step; the gradient itself is in shared memory. */
type ReplicaAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "losses"; readonly losses: Readonly<Record<string, number>> }
  | { readonly kind: "error"; readonly error: ErrorMessage };

/** Threads of the runtime of a fit, and of each replica where several, or several ranks, share the machine's cores. */
function replicaThreads(options: { readonly replicas: number; readonly threads?: number | undefined }) {
  const { replicas, threads } = options;
  const job = rankJob();
  if (threads !== undefined || (replicas === 1 && job === undefined)) return threads;
  return Math.max(1, Math.floor(coresOf(job) / replicas));
}

/** Threads of the runtime that makes the updates of a fit: replicas wait meanwhile, so that theirs share them. */
export function fitThreads(
  options: Parameters<typeof replicaThreads>[0],
): Pick<NodeRuntimeOptions, "threads" | "updateThreads"> {
  const threads = replicaThreads(options);
  return threads === undefined ? {} : { threads, updateThreads: threads * options.replicas };
}

/** Names and shapes of vectors of training in shared memory, one after another. */
type Shares = readonly (readonly [name: string, shape: readonly number[]])[];

/** What a step may change of what a replica reads: parameters, then buffers. */
function movingShares({ layout, model }: StepTracer): Shares {
  return [
    ["parameters", [layout.size]],
    ...buffersOf(model).map(({ name, shape }): Shares[number] => [name, shape]),
  ];
}

/** What no step changes of it. */
function frozenShares({ frozen }: StepTracer): Shares {
  return frozen.map(({ name, shape }): Shares[number] => [name, shape]);
}

function memoryOf(shares: Shares): Float32Array {
  const size = shares.reduce((total, [, shape]) => total + elementCount(shape), 0);
  return new Float32Array(new SharedArrayBuffer(4 * size));
}

async function writeShares(target: Float32Array, shares: Shares, vectors: TrainingVectors): Promise<void> {
  let offset = 0;
  for (const [name] of shares) {
    const value = vectors[name];
    if (value === undefined) throw new TrainingError(`training holds no ${name}`);
    const { data } = await readValue(value);
    target.set(data as Float32Array, offset);
    offset += data.length;
  }
}

/** Copies, since native code of Node 20 does not take shared memory. */
function readShares(source: Float32Array, shares: Shares): Record<string, NdArray> {
  const vectors: Record<string, NdArray> = {};
  let offset = 0;
  for (const [name, shape] of shares) {
    const size = elementCount(shape);
    vectors[name] = float32(source.slice(offset, offset + size), shape);
    offset += size;
  }
  return vectors;
}

/** A replica's thread, seen from the coordinator. */
class Replica {
  /** The gradient of its last answer, in shared memory. */
  readonly gradient: Float32Array;
  private readonly worker: Worker;
  private waiting: PromiseWithResolvers<Readonly<Record<string, number>>> | undefined;
  private failure: Error | undefined;

  constructor(entry: URL, data: ReplicaData, number: number) {
    this.gradient = new Float32Array(data.gradient);
    this.worker = startThread(entry, data);
    const who = `replica ${number} of ${data.config.fit.replicas}`;
    // A replica may die at any time, also while nobody waits for it: that is remembered until somebody asks.
    this.worker.on("error", (error) => this.fail(workerFailure(who, error)));
    this.worker.on("exit", (code) => this.fail(workerFailure(who, code)));
    this.worker.on("message", (answer: ReplicaAnswer) => {
      if (answer.kind === "error") return this.fail(fromErrorMessage(answer.error));
      const { waiting } = this;
      this.waiting = undefined;
      waiting?.resolve(answer.kind === "losses" ? answer.losses : {});
    });
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.waiting?.reject(this.failure);
    this.waiting = undefined;
  }

  /** Its next answer. @throws what it failed with */
  answer(): Promise<Readonly<Record<string, number>>> {
    const waiting = withResolvers<Readonly<Record<string, number>>>();
    if (this.failure !== undefined) waiting.reject(this.failure);
    else this.waiting = waiting;
    return waiting.promise;
  }

  /** The losses of its share of a step. */
  compute(step: number): Promise<Readonly<Record<string, number>>> {
    const answer = this.answer();
    this.worker.postMessage({ step } satisfies ReplicaRequest);
    return answer;
  }

  async release(): Promise<void> {
    await endThread(this.worker);
  }
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolveIt, rejectIt) => {
    resolve = resolveIt;
    reject = rejectIt;
  });
  // It may be rejected before it is awaited, while this thread computes its own share.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Computes several consecutive parts one after another: the mean of their gradients and losses. */
async function meanOfParts(
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
    const { data } = await readValue(result.gradient);
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
 * @param entry the module of a replica's thread, which calls `serveReplica`
 * @param data passed on beside the configuration, as a copy: its name, or itself where it is in memory
 * @param sharing what of each batch the replicas divide (default: all of it)
 */
export async function replicaPool(
  tracer: StepTracer,
  source: TrainingBatches,
  config: RunConfig,
  entry: URL,
  data?: unknown,
  sharing?: Rows,
): Promise<GradientPool> {
  const { replicas, accumulate, provider, deterministic } = config.fit;
  const parts = replicas * accumulate;
  const threads = replicaThreads(config.fit) ?? 1;
  const [moving, fixed] = [movingShares(tracer), frozenShares(tracer)];
  const [state, frozen] = [memoryOf(moving), memoryOf(fixed)];
  let begun = false;
  const share = async (vectors: TrainingVectors): Promise<void> => {
    await writeShares(state, moving, vectors);
    if (!begun) await writeShares(frozen, fixed, vectors);
    begun = true;
  };

  const others = Array.from(
    { length: replicas - 1 },
    (_, i) =>
      new Replica(
        entry,
        {
          config,
          data,
          firstPart: i * accumulate,
          partCount: accumulate,
          parts,
          share: sharing,
          threads,
          state: state.buffer as SharedArrayBuffer,
          frozen: frozen.buffer as SharedArrayBuffer,
          gradient: new SharedArrayBuffer(4 * tracer.layout.size),
        },
        i + 1,
      ),
  );
  const releaseOthers = async (): Promise<void> => {
    await Promise.all(others.map((replica) => replica.release()));
  };
  try {
    const ready = others.map((replica) => replica.answer());
    const own = await PartGradients.build(
      tracer,
      source,
      parts,
      await nodeRuntime({ provider, threads, deterministic }),
      sharing,
    );
    await Promise.all(ready);
    return {
      parts: replicas,
      async compute(step, vectors) {
        await share(vectors);
        const answers = others.map((replica) => replica.compute(step));
        const last = await meanOfParts(own, step, (replicas - 1) * accumulate, accumulate, vectors);
        const losses = await Promise.all(answers);
        const parts = others.map(
          ({ gradient }, i): PartResult => ({
            gradient: float32(gradient.slice(), [gradient.length]),
            losses: losses[i] ?? {},
            buffers: {},
          }),
        );
        return [...parts, last];
      },
      async release() {
        await releaseOthers();
        await own.release();
      },
    };
  } catch (error) {
    await releaseOthers();
    throw error;
  }
}

/**
 * The work of a replica's thread, from its beginning to its end: its module calls this at once.
 * @param resolve finds the model and the data of a configuration again; `data` is what `replicaPool` was given
 */
export async function serveReplica<D>(
  resolve: (config: RunConfig, data: D) => Promise<ReplicaSubject>,
): Promise<void> {
  threadLoaded();
  const data: ReplicaData<D> = workerData;
  const send = (answer: ReplicaAnswer): void => parentPort?.postMessage(answer);
  try {
    const compute = await shareOf(data, await resolve(data.config, data.data));
    parentPort?.on("message", async ({ step }: ReplicaRequest) => {
      try {
        send({ kind: "losses", losses: await compute(step) });
      } catch (error) {
        send({ kind: "error", error: toErrorMessage(error) });
      }
    });
    send({ kind: "ready" });
  } catch (error) {
    send({ kind: "error", error: toErrorMessage(error) });
  }
}

/** Computes the replica's share of a step: the gradient goes into shared memory, the losses are returned. */
async function shareOf(
  { config, parts, firstPart, partCount, share, threads, state, frozen, gradient }: ReplicaData,
  { model, data }: ReplicaSubject,
): Promise<(step: number) => Promise<Readonly<Record<string, number>>>> {
  const tracer = tracerOf(model, config.fit);
  const runtime = await nodeRuntime({
    provider: config.fit.provider,
    threads,
    deterministic: config.fit.deterministic,
  });
  const gradients = await PartGradients.build(tracer, batchSourceOf(data, config.fit), parts, runtime, share);
  const target = new Float32Array(gradient);
  const moving = movingShares(tracer);
  let fixed: Record<string, NdArray> | undefined;
  return async (step) => {
    fixed ??= readShares(new Float32Array(frozen), frozenShares(tracer));
    const vectors = { ...fixed, ...readShares(new Float32Array(state), moving) };
    const result = await meanOfParts(gradients, step, firstPart, partCount, vectors);
    target.set(result.gradient.data as Float32Array);
    return result.losses;
  };
}
