import { OptionError } from "../errors.ts";
import type { CompletionRow } from "../flows/completion/chains.ts";
import { readRows } from "../flows/completion/inpaint.ts";
import type { Base, Conditioning } from "../flows/index.ts";
import type { InpaintOptions } from "../model/capabilities.ts";
import type { DataInfo } from "../model/data-info.ts";
import { drawClass } from "../model/data-info.ts";
import type { Session } from "../program/program.ts";
import { Random } from "../random.ts";
import {
  elementCount,
  float32,
  int64,
  type NdArray,
  split,
  stack,
  type Tensor,
  where,
} from "../tensor/index.ts";
import type { ObservationModel } from "./observation.ts";
import type { Encoded, Posterior } from "./prior-posterior.ts";
import type { RowNetwork } from "./vae-networks.ts";

/** Chains, and numbers in them, of one batch. */
const PART_CHAINS = 1024;
const PART_ELEMENTS = 1 << 18;

/** Iterations by default, and the share of them in which every proposal is taken. */
const ITERATIONS = 100;
const GIBBS_SHARE = 0.2;

/** The parts of a latent variable model that completing samples takes. */
export interface LatentModel {
  readonly conditioning: Conditioning;
  readonly decoder: RowNetwork;
  readonly observation: ObservationModel;
  readonly posterior: Posterior;
  readonly prior: Base;
  /** Length of a code. */
  readonly dimensions: number;
  /** The encoder's parameters of q(z | x) for rows of what is modeled, [n, D] in data units. */
  encoded(x: Tensor, context: Tensor | undefined): Encoded;
}

interface Work {
  readonly model: LatentModel;
  readonly data: DataInfo;
  readonly session: Session;
  readonly iterations: number;
}

/** One completion to make. */
interface Chain extends CompletionRow {
  readonly random: Random;
}

/**
 * Completions of partly known samples by Metropolis within Gibbs (Mattei and Frellsen 2018, "Leveraging the Exact
 * Likelihood of Deep Latent Variable Models", section 3.3): in turn a code is proposed by q(z | x) for the sample as it
 * stands and taken with the probability that leaves p(z | x) invariant, and the unknown elements are drawn from
 * p(x | z). In the first fifth of the iterations every proposal is taken (Rezende et al. 2014, appendix F), which leads
 * away from a bad beginning. Where the model is conditional and no class is given, a class is proposed with the code.
 *
 * Of images, what is expected of the unknown part given the last code is returned; of other data a draw.
 * @throws OptionError where shapes do not fit, given columns are unknown, or `exact` is asked
 */
export async function inpaintVae(
  model: LatentModel,
  data: DataInfo,
  session: Session,
  options: InpaintOptions,
): Promise<NdArray<"float32">> {
  const rows = readRows(model, data, options);
  const { draws, exact, steps: iterations = ITERATIONS } = options;
  if (exact === true) {
    throw new OptionError("there is no exact conditional draw from a VAE: leave option exact out");
  }
  const work = { model, data, session, iterations };
  const size = elementCount(data.sampleShape);
  const result = new Float32Array(rows.length * draws * size);
  const random = new Random(options.seed).split("inpaint");
  const limit = Math.max(1, Math.floor(Math.min(PART_CHAINS, PART_ELEMENTS / size) / draws));
  const incomplete = rows.filter(({ way }) => way !== "none");
  let done = rows.length - incomplete.length;
  for (let first = 0; first < incomplete.length; first += limit) {
    const part = incomplete.slice(first, first + limit);
    const chains = part.flatMap((row) =>
      Array.from({ length: draws }, (_, draw) => ({ ...row, random: random.split(row.index).split(draw) })),
    );
    const drawn = await iterate(work, chains, (share) =>
      options.onProgress?.((done + share * part.length) / rows.length),
    );
    part.forEach(({ index }, i) => {
      result.set(drawn.subarray(i * draws * size, (i + 1) * draws * size), index * draws * size);
    });
    done += part.length;
  }
  // What is known comes back as it was given.
  for (const { index, x, known } of rows) {
    for (let draw = 0; draw < draws; draw++) {
      const offset = (index * draws + draw) * size;
      for (let i = 0; i < size; i++) if (known[i] === 1) result[offset + i] = x[i] ?? 0;
    }
  }
  options.onProgress?.(1);
  return float32(result, [rows.length, draws, ...data.sampleShape]);
}

const asRows = (x: Tensor): Tensor => x.reshape([x.shape[0] ?? 1, -1]);

/** Rows of numbers for all chains, one after the other. */
function filled(
  chains: readonly Chain[],
  size: number,
  fill: (target: Float32Array, chain: Chain) => void,
): NdArray<"float32"> {
  const data = new Float32Array(chains.length * size);
  for (const [c, chain] of chains.entries()) fill(data.subarray(c * size, (c + 1) * size), chain);
  return float32(data, [chains.length, size]);
}

/** The programs of a chain: where it starts, an iteration, and what is expected at its end. */
function programs({ model, data, session }: Work) {
  const { conditioning, decoder, observation, posterior, prior } = model;
  /** Samples whose known elements are those of `x` and the others those of rows of what is modeled. */
  const completed = (x: Tensor, known: Tensor, rows: Tensor, context: Tensor | undefined): Tensor => {
    const whole = conditioning.join(rows.reshape([rows.shape[0] ?? 1, ...conditioning.targetShape]), context);
    return where(known.greater(0.5), x, whole);
  };
  const start = session.compiled(
    model,
    "inpaint start",
    ["x", "known", "code", "noise", "label?"],
    (inputs) => {
      const { x, known } = inputs;
      const { context } = conditioning.divide(x, inputs.label);
      const outputs = decoder.forward(prior.fromNoise(inputs.code), context);
      return { x: completed(x, known, observation.draw(outputs, inputs.noise), context) };
    },
  );
  const step = session.compiled(
    model,
    "inpaint step",
    ["x", "known", "z", "code", "noise", "threshold", "label?", "proposed?"],
    (inputs) => {
      const { x, known, z } = inputs;
      const old = conditioning.divide(x, inputs.label);
      const next = conditioning.divide(x, inputs.proposed);
      const rows = asRows(next.target);
      const proposal = posterior.draw(model.encoded(rows, next.context), inputs.code.unsqueeze(1));
      // Both codes in one call, so that noise within a likelihood (that of dequantized bytes) is the same for both.
      const outputs = stack([decoder.forward(z, old.context), decoder.forward(proposal.z, next.context)], 1);
      const [ofOld, ofNew] = split(observation.logProb(rows.unsqueeze(1), outputs), 1, [1, 1]) as [
        Tensor,
        Tensor,
      ];
      const own = ofOld
        .squeeze(1)
        .add(prior.logProb(z))
        .sub(posterior.logProb(model.encoded(rows, old.context), z));
      const other = ofNew.add(prior.logProb(proposal.z).unsqueeze(1)).sub(proposal.logProb).squeeze(1);
      const taken = inputs.threshold.lessEqual(other.sub(own));
      const chosen = taken.unsqueeze(1);
      const code = where(chosen, proposal.z, z);
      const context = next.context && where(chosen, next.context, old.context ?? next.context);
      const drawn = observation.draw(decoder.forward(code, context), inputs.noise);
      return { x: completed(x, known, drawn, context), z: code, taken: taken.cast("float32") };
    },
  );
  const end = session.compiled(model, "inpaint end", ["x", "known", "z", "label?"], (inputs) => {
    const { x, known } = inputs;
    const { context } = conditioning.divide(x, inputs.label);
    const expected = observation.mean(decoder.forward(inputs.z, context));
    return { x: completed(x, known, expected, context) };
  });
  return { start, step, end: data.kind === "image" ? end : undefined };
}

/** All chains, one iteration after the other; samples of their ends. */
async function iterate(
  work: Work,
  chains: readonly Chain[],
  report: (share: number) => void,
): Promise<Float32Array> {
  const { model, data, iterations } = work;
  const { observation, prior, dimensions } = model;
  const count = chains.length;
  const shape = [count, ...data.sampleShape];
  const size = elementCount(data.sampleShape);
  const paste = (values: (chain: Chain) => Float32Array): NdArray<"float32"> =>
    float32(filled(chains, size, (target, chain) => target.set(values(chain))).data, shape);
  const known = paste((chain) => chain.known);
  const noise = (name: string | number): NdArray<"float32"> =>
    filled(chains, observation.noiseSize, (target, { random }) =>
      observation.drawNoise(target, random.split("noise").split(name)),
    );
  const classes = chains.map(
    ({ label, random }) => label ?? drawClass(data, random.split("label").uniform()),
  );
  const labels = (name: string, values: readonly number[]): Record<string, NdArray> =>
    model.conditioning.classes === 0 ? {} : { [name]: int64(values, [count]) };

  const { start, step, end } = programs(work);
  // The same at every iteration: noise within a likelihood is a part of what is known.
  const within = (chains[0]?.random ?? new Random(0)).split("within");
  const code = filled(chains, prior.noiseSize(dimensions), (target, { random }) =>
    prior.drawNoise(target, random.split("start")),
  );
  let { x } = await start.run({
    // Unknown elements are ignored, but they may be NaN, which spreads.
    x: paste((chain) => chain.x.map((value, i) => (chain.known[i] === 1 ? value : 0))),
    known,
    code,
    noise: noise("start"),
    ...labels("label", classes),
  });
  let z: NdArray = float32(new Float32Array(count * dimensions), [count, dimensions]);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const isGibbs = iteration < Math.max(1, GIBBS_SHARE * iterations);
    const randoms = chains.map(({ random }) => random.split("iteration").split(iteration));
    const proposed = chains.map(
      ({ label }, c) => label ?? drawClass(data, randoms[c]?.split("label").uniform() ?? 0),
    );
    const thresholds = randoms.map((random) =>
      isGibbs ? Number.NEGATIVE_INFINITY : Math.log(random.split("accept").uniform()),
    );
    const inputs = {
      x,
      known,
      z,
      code: filled(chains, dimensions, (target, { random }) =>
        random.split("code").split(iteration).fillNormal(target),
      ),
      noise: noise(iteration),
      threshold: float32(thresholds, [count]),
      ...labels("label", classes),
      ...labels("proposed", proposed),
    };
    const after = await step.run(inputs, { random: within });
    ({ x, z } = after);
    for (const [c, taken] of after.taken.data.entries()) {
      if (Number(taken) === 1) classes[c] = proposed[c] ?? 0;
    }
    report((iteration + 1) / iterations);
  }
  if (end !== undefined) ({ x } = await end.run({ x, known, z, ...labels("label", classes) }));
  return x.data as Float32Array;
}
