import { OptionError } from "../../errors.ts";
import type { EditOptions } from "../../model/capabilities.ts";
import type { Session } from "../../program/program.ts";
import { Random } from "../../random.ts";
import { float32, type NdArray } from "../../tensor/index.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { evenSamplerLevels } from "../solver/levels.ts";
import { ddim } from "../solver/samplers.ts";
import { inParts, normalRows, partLimit, rowsAt } from "../solver/session.ts";

/** Evaluations of an edit, by default. */
const STEPS = 50;

/**
 * Edits of samples by noising and denoising (SDEdit; Meng et al. 2022, "SDEdit: Guided image synthesis and editing with stochastic
 * differential equations", algorithm 1): a sample is moved to a noise level, α x + σ ε, and from there the reverse
 * process leads to a sample of the model. What is larger than the noise is kept, what is smaller made anew. Steps are
 * Default: those of DDIM, with η = 1 the stochastic ones of the paper.
 * @returns [n, draws, …sampleShape] in data units; images are not rounded
 * @throws OptionError where the strength is not in (0, 1], draws is no whole number from 1 on or a class is not the model's
 */
export async function editByNoise(
  model: DiffusionCore,
  session: Session,
  options: EditOptions,
): Promise<NdArray<"float32">> {
  const { x, strength, draws, seed, label, eta = 1, steps = STEPS, onProgress } = options;
  const { data, units, condition, subject } = model;
  const { guidance = data.kind === "image" ? 2 : 1 } = options;
  if (!(strength > 0 && strength <= 1)) {
    throw new OptionError(
      `option strength: must be above 0, which changes nothing, and at most 1, not ${strength}`,
    );
  }
  if (!Number.isInteger(draws) || draws < 1) {
    throw new OptionError(`option draws: must be a whole number of at least 1, not ${draws}`);
  }
  if (x.shape.slice(1).join() !== data.sampleShape.join()) {
    throw new OptionError(
      `edit: x has shape [${x.shape}]; samples of this model are [n,${data.sampleShape}]`,
    );
  }
  condition.check(label);
  const levels = evenSamplerLevels(subject, steps, (strength * Math.PI) / 2);
  const plan = { kind: "table", table: ddim(levels, { eta }) } as const;
  const { alpha = 1, sigma = 0 } = levels[0] ?? {};
  const rows = units.arrayToModel(x);
  const random = new Random(seed).split("edit");
  const count = x.shape[0] ?? 0;
  const edited = await inParts(
    count * draws,
    { limit: partLimit(data), shape: data.sampleShape },
    async (positions, report) => {
      const randoms = positions.map((at) => random.split(Math.floor(at / draws)).split(at % draws));
      const known = rowsAt(
        rows,
        positions.map((at) => Math.floor(at / draws)),
      );
      const noise = normalRows(randoms, data.sampleShape, "noise");
      const start = float32(
        known.data.map((value, i) => alpha * value + sigma * (noise.data[i] ?? 0)),
        known.shape,
      );
      const labels = label === undefined && condition.knowsAny ? undefined : condition.draw(randoms, label);
      const end = await model.follow(
        session,
        plan,
        start,
        { labels, guidance },
        {
          noise: (row) => normalRows(randoms, data.sampleShape, row),
          onProgress: report,
        },
      );
      return units.arrayToData(end);
    },
    onProgress,
  );
  return float32(edited.data, [count, draws, ...data.sampleShape]);
}
