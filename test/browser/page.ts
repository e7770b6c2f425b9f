import { Program } from "../../src/program/program.ts";
import { webRuntime } from "../../src/program/web.ts";
import { float32 } from "../../src/tensor/array.ts";
import { input } from "../../src/tensor/index.ts";
import { randomNumbers, type TrainingName, type TrainingResult, train } from "./training.ts";

/** What the page offers to the test that opens it. */
export interface PageApi {
  readonly isolated: boolean;
  randomNumbers(): readonly number[];
  /** Adds 1 to and doubles each number, all in runs that start at the same time. */
  runTogether(
    numbers: readonly number[],
    provider: "wasm" | "webgpu",
  ): Promise<readonly (readonly number[])[]>;
  train(name: TrainingName, provider: "wasm" | "webgpu", threads: number): Promise<TrainingResult>;
}

const WASM_PATHS = "/onnxruntime-web/";

const api: PageApi = {
  isolated: globalThis.crossOriginIsolated,
  randomNumbers,
  runTogether: async (numbers, provider) => {
    const x = input("x", []);
    const runtime = await webRuntime({ provider, wasmPaths: WASM_PATHS });
    const program = await Program.build({ next: x.add(1), twice: x.mul(2) }, runtime);
    const runs = numbers.map(async (number) => {
      const { next, twice } = await program.run({ x: float32([number], []) });
      return [Number(next?.data[0]), Number(twice?.data[0])];
    });
    const results = await Promise.all(runs);
    await program.release();
    return results;
  },
  train: async (name, provider, threads) =>
    train(name, await webRuntime({ provider, threads, wasmPaths: WASM_PATHS })),
};

Object.assign(globalThis, { eidos: api });
