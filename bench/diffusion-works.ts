import { type Ddpm, ddpmDefinition, ddpmOptions } from "../src/diffusion/index.ts";
import type { DataInfo } from "../src/model/index.ts";
import { nameParameters, parameterCount } from "../src/nn/index.ts";
import { type NodeRuntimeOptions, nodeRuntime } from "../src/program/node.ts";
import { Session } from "../src/program/program.ts";
import { float32, int64, type NdArray } from "../src/tensor/index.ts";
import type { Prepared } from "./serve.ts";
import { denseWeights, writeChecked } from "./weights.ts";
import { DIGIT_CLASSES, IMAGE_SIZE, normals } from "./works.ts";

const DIGITS: DataInfo = {
  kind: "image",
  sampleShape: [1, IMAGE_SIZE, IMAGE_SIZE],
  classes: DIGIT_CLASSES,
};

/** DDPM for digits as it is by default. */
export function benchDdpm(): Ddpm {
  return nameParameters(ddpmDefinition.build(ddpmOptions.parse({}), DIGITS) as Ddpm);
}

/** Steps of DDIM that are timed. */
const STEPS = 50;

/** Works of diffusion models that are no training steps. */
export function diffusionWorks(
  options: NodeRuntimeOptions,
): Readonly<Record<string, () => Promise<Prepared>>> {
  return { "ddim-50": () => sampling(options) };
}

async function sampling(options: NodeRuntimeOptions): Promise<Prepared> {
  const ddpm = benchDdpm();
  const session = new Session(await nodeRuntime(options), denseWeights(ddpm));
  const draw = (steps: number): Promise<NdArray<"float32">> =>
    ddpm.sample(session, { count: 64, seed: 0, steps, solver: "ddim", eta: 0, guidance: 1 });
  const begun = performance.now();
  await draw(2);
  return {
    seconds: (performance.now() - begun) / 1000,
    parameters: parameterCount(ddpm),
    run: () => draw(STEPS),
    release: () => session.release(),
  };
}

/** Writes the weights that DDIM is timed with, for a peer to load and to check itself by. */
export async function writeDdpmWeights(file: string): Promise<void> {
  const ddpm = benchDdpm();
  const weights = denseWeights(ddpm);
  const session = new Session(await nodeRuntime(), weights);
  const compiled = session.compiled(ddpm, "check", ["x", "t", "label"], ({ x, t, label }) => ({
    y: ddpm.network.forward(x, t, label),
  }));
  const feeds = {
    x: float32(normals(4 * IMAGE_SIZE ** 2, "check"), [4, 1, IMAGE_SIZE, IMAGE_SIZE]),
    t: float32([0.1, 0.4, 0.7, 1], [4]),
    label: int64([0, 3, 7, 10], [4]),
  };
  const { y } = await compiled.run(feeds);
  await session.release();
  await writeChecked(file, weights, { ...feeds, y });
}
