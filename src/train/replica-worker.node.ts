import { parentPort, workerData } from "node:worker_threads";
import { buffersOf } from "../nn/module.ts";
import { nodeRuntime } from "../program/node.ts";
import { elementCount, float32, type NdArray } from "../tensor/array.ts";
import { batchSourceOf, tracerOf } from "./fit-setup.ts";
import { PartGradients } from "./gradient-parts.ts";
import { meanOfParts, type ReplicaAnswer, type ReplicaData, type ReplicaRequest } from "./replicas.node.ts";
import { type ResolverModule, toErrorMessage } from "./worker-protocol.node.ts";

const data: ReplicaData = workerData;
const { config, parts, firstPart, partCount } = data;

async function build(): Promise<(step: number) => Promise<Readonly<Record<string, number>>>> {
  const { resolveRun }: ResolverModule = await import(data.resolver);
  const run = await resolveRun(config);
  const tracer = tracerOf(run.model, config.fit);
  const runtime = await nodeRuntime({ provider: config.fit.provider, threads: data.threads });
  const gradients = await PartGradients.build(tracer, batchSourceOf(run.data, config.fit), parts, runtime);
  const shared = new Float32Array(data.state);
  const target = new Float32Array(data.gradient);
  const shapes: readonly (readonly [string, readonly number[]])[] = [
    ["parameters", [tracer.layout.size]],
    ...buffersOf(run.model).map(({ name, shape }) => [name, shape] as const),
  ];
  return async (step) => {
    const vectors: Record<string, NdArray> = {};
    let offset = 0;
    for (const [name, shape] of shapes) {
      const size = elementCount(shape);
      // A copy, since native code does not take shared memory.
      vectors[name] = float32(shared.slice(offset, offset + size), shape);
      offset += size;
    }
    const result = await meanOfParts(gradients, step, firstPart, partCount, vectors);
    target.set(result.gradient.data as Float32Array);
    return result.losses;
  };
}

const send = (answer: ReplicaAnswer): void => parentPort?.postMessage(answer);
try {
  const compute = await build();
  parentPort?.on("message", async ({ step }: ReplicaRequest) => {
    try {
      send({ type: "losses", losses: await compute(step) });
    } catch (error) {
      send({ type: "error", error: toErrorMessage(error) });
    }
  });
  send({ type: "ready" });
} catch (error) {
  send({ type: "error", error: toErrorMessage(error) });
}
