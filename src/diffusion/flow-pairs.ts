import type { NoisePairs, PairOptions } from "../nn/model.ts";
import type { Session } from "../program/session.ts";
import { Random } from "../random.ts";
import { int64 } from "../tensor/index.ts";
import type { DiffusionModel } from "./diffusion-model.ts";
import { fromCodes } from "./encoding.ts";
import { normalRows } from "./solver-session.ts";

/**
 * Pairs of noise and the samples that the probability flow of a model makes of it: the coupling (Z₀, Z₁) that rectification is
 * repeated on (Liu et al. 2022, algorithm 1, "reflow") and distilled (section 2.1). Noise is standard normal in model units, on
 * exploding paths too; it is returned in data units as samples are.
 */
export async function pairsByFlow(
  model: DiffusionModel,
  session: Session,
  { count, seed, guidance = 1, ...solver }: PairOptions,
): Promise<NoisePairs> {
  const { data, condition, units } = model;
  const random = new Random(seed).split("pairs");
  const randoms = Array.from({ length: count }, (_, i) => random.split(i));
  const noise = normalRows(randoms, data.sampleShape, "noise");
  const labels = condition.draw(randoms, undefined);
  const codes = { rows: noise, labels, guidance };
  return {
    x: await fromCodes(model, session, codes, solver),
    source: units.arrayToData(noise),
    ...(labels !== undefined && { label: int64(labels, [count]) }),
  };
}
