import { webRuntime } from "../../src/program/web.ts";
import { randomNumbers, type TrainingName, type TrainingResult, train } from "./training.ts";

/** What the page offers to the test that opens it. */
export interface PageApi {
  readonly isolated: boolean;
  randomNumbers(): readonly number[];
  train(name: TrainingName, provider: "wasm" | "webgpu", threads: number): Promise<TrainingResult>;
}

const api: PageApi = {
  isolated: globalThis.crossOriginIsolated,
  randomNumbers,
  train: async (name, provider, threads) =>
    train(name, await webRuntime({ provider, threads, wasmPaths: "/onnxruntime-web/" })),
};

Object.assign(globalThis, { eidos: api });
