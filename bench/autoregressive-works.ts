import { type AutoregressiveModel, made, madeOptions } from "../src/autoregressive/index.ts";
import type { DataInfo } from "../src/model/index.ts";
import { initialState, nameParameters, parameterCount } from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import { Session } from "../src/program/program.ts";
import type { Prepared } from "./serve.ts";

export const BENCH_MADE: DataInfo = { kind: "binary", sampleShape: [784] };
const DRAWS = 1000;

/** MADE with one hidden layer of 500 units and one mask. */
export function benchMade(): AutoregressiveModel {
  return made(madeOptions.parse({ width: 500 }), BENCH_MADE);
}

/** Training steps of autoregressive models. */
export const AUTOREGRESSIVE_STEPS = ["made-step"] as const;

/** Works of autoregressive models that are no training steps. */
export function autoregressiveWorks(
  options: NodeRuntimeOptions,
): Readonly<Record<string, () => Promise<Prepared>>> {
  return { "made-sample": () => sampling(options) };
}

async function sampling(options: NodeRuntimeOptions): Promise<Prepared> {
  const model = nameParameters(benchMade());
  const session = new Session(await nodeRuntime(options), initialState(model, 0));
  const begun = performance.now();
  await model.sample(session, { count: DRAWS, seed: 0 });
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(model),
    run: () => model.sample(session, { count: DRAWS, seed: 0 }),
    release: () => session.release(),
  };
}
