import { logSumExp } from "../data/quadrature.ts";
import { OptionError } from "../errors.ts";
import type { DataInfo, DensityScoreOptions } from "../nn/model.ts";
import { classShares } from "../nn/sampling.ts";
import type { Session } from "../program/session.ts";
import { Random } from "../random.ts";
import { float32, int64, type NdArray } from "../tensor/array.ts";
import type { Vae } from "./vae.ts";

/** Numbers that a decoder makes in one run. */
const PART_ELEMENTS = 1 << 21;

/**
 * log (1/k) Σ p(x, zᵢ) / q(zᵢ | x) for each sample of an array, with k codes drawn from q(z | x) in parts, so that memory
 * does not grow with k: a lower bound on log p(x) in expectation, which rises to it with k (Burda et al. 2016, theorem 1).
 * Without labels, a model of classes weighs them by their shares.
 * @throws OptionError where the number of samples is not a whole number from 1 on
 */
export async function importanceScore(
  model: Vae,
  data: DataInfo,
  session: Session,
  x: NdArray<"float32">,
  { samples, label, seed = 0 }: DensityScoreOptions & { readonly samples: number },
): Promise<NdArray<"float32">> {
  if (!Number.isInteger(samples) || samples < 1) {
    throw new OptionError(`option samples: must be a whole number from 1 on, not ${samples}`);
  }
  const rows = x.shape[0] ?? 0;
  const fitting = Math.floor(PART_ELEMENTS / Math.max(1, rows * model.observation.outputs));
  const draws = Math.max(1, Math.min(samples, fitting));
  const program = session.compiled<string, "logWeights">(`log-weights of ${draws}`, ({ x, label }) => {
    if (x === undefined) throw new OptionError("scoring takes samples");
    return { logWeights: model.logWeights(x, label, draws) };
  });
  const random = new Random(seed).split("score");
  const terms = Array.from({ length: rows }, (): number[] => []);
  const { classes } = model.conditioning;
  const mixed = classes > 0 && label === undefined;
  for (const [k, share] of (mixed ? classShares(data) : [1]).entries()) {
    if (share === 0) continue;
    const told = mixed ? int64(new Array<number>(rows).fill(k), [rows]) : label;
    const inputs = { x, ...(told !== undefined && classes > 0 && { label: told }) };
    const source = mixed ? random.split(k) : random;
    const offset = Math.log(share / samples);
    for (let first = 0; first < samples; first += draws) {
      const { logWeights } = await program.run(inputs, { random: source.split(first) });
      const used = Math.min(draws, samples - first);
      for (const [row, own] of terms.entries()) {
        for (let i = 0; i < used; i++) own.push(Number(logWeights.data[row * draws + i]) + offset);
      }
    }
  }
  return float32(terms.map(logSumExp), [rows]);
}
