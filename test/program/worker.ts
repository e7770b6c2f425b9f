import { parentPort, workerData } from "node:worker_threads";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { input, normal } from "../../src/tensor/index.ts";

// Started by runtimes.test.ts: multiplies a noised matrix with itself, in a thread of its own.

const { seed, data } = workerData as { readonly seed: number; readonly data: Float32Array };
const x = input("x", [8, 8]);
const program = await Program.build(
  { y: x.add(normal([8, 8])).matmul(x) },
  await nodeRuntime({ threads: 1 }),
);
const { y } = await program.run(
  { x: { dtype: "float32", shape: [8, 8], data } },
  { random: new Random(seed) },
);
await program.release();
parentPort?.postMessage(y?.data);
