import { availableParallelism } from "node:os";
import { memoryLimit } from "../memory.node.ts";
import type { MemoryLimit } from "../memory.ts";
import "./no-telemetry.node.ts";

import * as ort from "onnxruntime-node";
import { OptionError, RuntimeError } from "../errors.ts";
import { checkNames, type NamesOf } from "../options.ts";
import type { NdArray } from "../tensor/array.ts";
import { add } from "../tensor/core.ts";
import type { Target, Tensor } from "../tensor/graph.ts";
import { reachableNodes } from "../tensor/graph.ts";
import { type InputAttributes, input, inputOperation } from "../tensor/leaves.ts";
import { findBlock } from "./block-probe.ts";
import { lowerToOnnx } from "./lower.ts";
import { nativeCall } from "./native-calls.node.ts";
import { Program } from "./program.ts";
import {
  guardCalls,
  MOST_JOINED,
  messageOf,
  type OrtModule,
  ortRuntime,
  type Runtime,
  SESSION_CONFIG,
} from "./runtime.ts";
import { openSharedModule } from "./shared-module.node.ts";

// Failures are thrown; the library need not print them as well.
ort.env.logLevel = "fatal";

const library = ort as unknown as OrtModule;
guardCalls(library, nativeCall);

const PLAIN: Target = { contrib: false, block: 0 };

/** Threads that an update is divided over at most: a few cores take all that memory gives. */
const MOST_UPDATING = 6;

export interface NodeRuntimeOptions {
  /** Execution provider: cpu (default), webgpu, cuda, dml, coreml, where this machine has it. */
  readonly provider?: string;
  /** Threads inside one operation. Default: as many as there are cores. */
  readonly threads?: number;
  /**
   * Threads that update the weights of a model of 500,000 and more, this one included (provider cpu, Node 22 or later); at most six are used.
   * Default: `threads`.
   */
  readonly updateThreads?: number;
  /**
   * Microseconds that idle threads wait awake for their next share of an operation. Default: 50; 0 for none. ONNX
   * Runtime's own, much longer default is no faster on an idle machine and several times slower on a busy one.
   */
  readonly spinMicroseconds?: number;
  /**
   * Whether numbers must not depend on the number of threads (provider cpu). Default: false, since a few kernels are slower then.
   */
  readonly deterministic?: boolean;
  /**
   * Writes a profile of every program, in Chrome's trace format, to a file whose name begins so; it is complete when the
   * program is released.
   */
  readonly profile?: string;
  /** Overrides what programs are lowered for. Without a block, the block of this machine is found out. */
  readonly target?: Partial<Target>;
  /** What a program's values may take together on the CPU. Default: what this machine or container has, or EIDOS_MEMORY. */
  readonly memory?: MemoryLimit;
}

const NAMES: NamesOf<NodeRuntimeOptions> = {
  provider: true,
  threads: true,
  updateThreads: true,
  spinMicroseconds: true,
  deterministic: true,
  profile: true,
  target: true,
  memory: true,
};

/** Execution providers that are built into or can be loaded by this onnxruntime-node; not all need start. */
export function listedProviders(): readonly string[] {
  return ort.listSupportedBackends().map((backend) => backend.name);
}

/** Why a provider cannot run a program here; undefined where it can. */
async function failureOf(provider: string): Promise<unknown> {
  const x = input("x", [1]);
  const model = lowerToOnnx(
    { inputs: new Map([[x, "x"]]), outputs: new Map([["y", add(x, 1)]]), weights: new Map() },
    PLAIN,
  );
  try {
    await nativeCall(async () => {
      const session = await ort.InferenceSession.create(model, {
        executionProviders: [provider],
        logSeverityLevel: 4,
        extra: { session: SESSION_CONFIG },
      });
      await session.release();
    });
    return undefined;
  } catch (cause) {
    return cause;
  }
}

const failures = new Map<string, Promise<unknown>>();

/** As `failureOf`, tried once per process. */
function knownFailure(provider: string): Promise<unknown> {
  let failure = failures.get(provider);
  if (failure === undefined) {
    failure = failureOf(provider);
    failures.set(provider, failure);
  }
  return failure;
}

/** Execution providers that start on this machine, each found out by loading a tiny program. */
export async function availableProviders(): Promise<readonly string[]> {
  const available: string[] = [];
  for (const provider of listedProviders()) {
    if ((await knownFailure(provider)) === undefined) available.push(provider);
  }
  return available;
}

let sharesMemory: Promise<boolean> | undefined;

/** Whether arrays in memory that threads share can be inputs of programs: not in Node 20. */
async function takesSharedMemory(): Promise<boolean> {
  const x = input("x", [1]);
  const runtime = ortRuntime(library, "cpu", PLAIN, { executionProviders: ["cpu"], logSeverityLevel: 4 });
  const program = await Program.build(new Map([["y", add(x, 1)]]), runtime);
  const data = new Float32Array(new SharedArrayBuffer(4)).fill(1);
  try {
    const { y } = await program.run({ x: { dtype: "float32", shape: [1], data } });
    return y?.data[0] === 2;
  } catch {
    return false;
  } finally {
    await program.release();
  }
}

let block: Promise<Target["block"]> | undefined;

/** The block of this machine's NCHWc convolution kernels, found once per process; 0 where there are none. */
export function blockOfThisMachine(): Promise<Target["block"]> {
  block ??= findBlock(library);
  return block;
}

/**
 * The runtime of Node: ONNX Runtime's native library.
 * @throws OptionError where the provider is unknown here, or the number of threads is not a positive integer
 * @throws RuntimeError where the provider is known but does not start; both list what this machine has
 */
export async function nodeRuntime(options: NodeRuntimeOptions = {}): Promise<Runtime> {
  checkNames("nodeRuntime", options, NAMES);
  const { provider = "cpu", threads, spinMicroseconds = 50 } = options;
  if (!(Number.isInteger(spinMicroseconds) && spinMicroseconds >= 0)) {
    throw new OptionError(`spinMicroseconds: ${spinMicroseconds} is not a whole number from 0 on`);
  }
  const { updateThreads = threads ?? availableParallelism() } = options;
  for (const [name, count] of Object.entries({ threads, updateThreads })) {
    if (count !== undefined && (!Number.isInteger(count) || count < 1)) {
      throw new OptionError(`${name}: ${count} is not a positive integer`);
    }
  }
  if (!listedProviders().includes(provider)) {
    throw new OptionError(
      `provider ${provider} is not part of onnxruntime-node on this platform; this machine has: ${(await availableProviders()).join(", ")}`,
    );
  }
  if (provider !== "cpu") {
    const failure = await knownFailure(provider);
    if (failure !== undefined) {
      throw new RuntimeError(
        `provider ${provider} does not start here (${firstLine(failure)}); this machine has: ${(await availableProviders()).join(", ")}`,
        { cause: failure },
      );
    }
  }
  const cpu = provider === "cpu";
  const deterministic = cpu && (options.deterministic ?? options.target?.deterministic ?? false);
  const mostJoined = options.target?.mostJoined ?? (provider === "webgpu" ? MOST_JOINED : undefined);
  const target: Target = {
    contrib: options.target?.contrib ?? cpu,
    block: options.target?.block ?? (cpu ? await blockOfThisMachine() : 0),
    ...(deterministic && { deterministic }),
    ...(mostJoined !== undefined && { mostJoined }),
  };
  const runtime = ortRuntime(library, provider, target, {
    executionProviders: [provider],
    // The search for faster nodes would undo what makes products deterministic.
    graphOptimizationLevel: deterministic ? "basic" : "all",
    logSeverityLevel: 4,
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    ...(options.profile !== undefined && { enableProfiling: true, profileFilePrefix: options.profile }),
    // Planning all memory of a step ahead takes half as much again, and saves no time.
    enableMemPattern: false,
    extra: {
      ...(deterministic && {
        optimization: { disable_specified_optimizers: "TransposeOptimizer;GemmTransposeFusion" },
      }),
      session: {
        ...SESSION_CONFIG,
        ...(spinMicroseconds === 0
          ? { "intra_op.allow_spinning": "0" }
          : { "intra_op.spin_duration_us": String(spinMicroseconds) }),
      },
    },
  });
  // How much memory an accelerator has is not known.
  if (!cpu) return runtime;
  const others = Math.min(updateThreads, MOST_UPDATING) - 1;
  return {
    ...runtime,
    memory: options.memory ?? memoryLimit(),
    ...(others > 0 && {
      async openSharedModule(code: Uint8Array<ArrayBuffer>, bytes: number) {
        try {
          sharesMemory ??= takesSharedMemory();
          return (await sharesMemory) ? await openSharedModule(code, bytes, others) : undefined;
        } catch (cause) {
          // In a bundle there may be no file of theirs. The numbers are the same without them.
          process.emitWarning(
            `eidos: threads for the update of weights did not start (${messageOf(cause)}); one thread makes it, which is slower`,
          );
          return undefined;
        }
      },
    }),
  };
}

/** The first line of a failure's message, without the location in ONNX Runtime's sources. */
function firstLine(cause: unknown): string {
  const line = messageOf(cause).split("\n")[0] ?? "";
  return line.replace(/^\/\S+:\d+ .* was false\. /, "").trim();
}

/** Compiles and runs tensors once, in Node: for tests and scripts. */
export async function evaluate(
  outputs: readonly Tensor[],
  feeds: ReadonlyMap<Tensor, NdArray> = new Map(),
  options: NodeRuntimeOptions = {},
): Promise<NdArray[]> {
  const runtime = await nodeRuntime(options);
  const program = await Program.build(new Map(outputs.map((output, i) => [`output.${i}`, output])), runtime);
  try {
    const byName: Record<string, NdArray> = {};
    for (const node of reachableNodes(outputs)) {
      if (node.operation !== inputOperation) continue;
      for (const [tensor, value] of feeds) {
        if (tensor.node === node) byName[(node.attributes as InputAttributes).name] = value;
      }
    }
    const results = await program.run(byName);
    return outputs.map((_, i) => {
      const result = results[`output.${i}`];
      if (result === undefined) throw new RuntimeError(`output ${i} was not computed`);
      return result;
    });
  } catch (cause) {
    throw cause instanceof RuntimeError ? cause : new RuntimeError(messageOf(cause), { cause });
  } finally {
    await program.release();
  }
}
