import { nodeRuntime } from "../../src/program/node.ts";
import { TRAININGS, train } from "./training.ts";

// Run by webgpu.test.ts in a process of its own, since the driver must be named before ONNX Runtime loads. Prints the
// results of all trainings as one line of JSON.

const runtime = await nodeRuntime({ provider: "webgpu" });
const results = [];
for (const name of TRAININGS) results.push([name, await train(name, runtime)]);
// The driver's threads would keep the process alive.
process.stdout.write(`${JSON.stringify(Object.fromEntries(results))}\n`, () => process.exit(0));
