import { planePoints } from "../../src/data/sources/toy.ts";
import type { Model } from "../../src/model/capabilities.ts";
import { Linear } from "../../src/nn/index.ts";
import { isTraining, normal, type Tensor, uniform } from "../../src/tensor/index.ts";
import { fitHere } from "../../src/train/fit.node.ts";
import type { Fit, FitSummary } from "../../src/train/fit-request.node.ts";
import { type FitInput, fitOptions, resolveFitOptions } from "../../src/train/options.ts";
import { RunFolder } from "../../src/train/run-folder.node.ts";

/** A small denoiser with noise of every kind that training knows: normal and uniform leaves, dropout while training. */
export class Denoiser {
  readonly hidden = new Linear(2, 16);
  readonly out = new Linear(16, 2);

  loss({ x }: { readonly x: Tensor }) {
    const level = uniform([x.shape[0] ?? 1, 1]);
    const noise = normal(x.shape);
    const hidden = this.hidden.forward(x.add(noise.mul(level))).tanh();
    const kept = isTraining() ? hidden.mul(uniform(hidden.shape).greater(0.1).cast("float32")) : hidden;
    const error = this.out.forward(kept).sub(x).square().mean();
    return { total: error, error };
  }
}

export const data = planePoints("two-moons", { count: 512 });

/** Fits the denoiser in this process. */
export async function fitDenoiser(
  path: string,
  options: FitInput,
  more: Partial<Fit> & { readonly model?: Model } = {},
): Promise<{ readonly summary: FitSummary; readonly folder: RunFolder }> {
  const folder = new RunFolder(path);
  if (more.resume !== true) await folder.create();
  const resolved = resolveFitOptions(
    fitOptions.parse({
      batchSize: 32,
      threads: 1,
      validateEvery: 7,
      averageDecay: 0.9,
      logEvery: 3,
      ...options,
    }),
    {},
    data.splits.train.count,
  );
  const fit: Fit = { model: new Denoiser(), data, options: resolved, folder, resume: false, ...more };
  return { summary: await fitHere(fit), folder };
}
