import { logSumExp } from "../data/sources/toy.ts";
import { OptionError } from "../errors.ts";
import { gaussian } from "../flows/densities/index.ts";
import { type Base, Conditioning } from "../flows/index.ts";
import type {
  Density,
  DensityScoreOptions,
  Embedder,
  Exportable,
  ExportedBound,
  ExportedDraws,
  Inpainter,
  InpaintOptions,
  Losses,
  SampleOptions,
  Sampler,
  Trainable,
} from "../model/capabilities.ts";
import type { Codec } from "../model/codes.ts";
import { classShares, type DataInfo, type SymbolicBatch } from "../model/data-info.ts";
import { builderOf, defineModel, type FitPreferences } from "../model/definition.ts";
import { sampleInParts } from "../model/sampling.ts";
import { zeros } from "../nn/initializers.ts";
import type { Session } from "../program/program.ts";
import { Random } from "../random.ts";
import {
  Buffer,
  elementCount,
  float32,
  input,
  int64,
  isTraining,
  type NdArray,
  oneHot,
  type Shape,
  type Tensor,
} from "../tensor/index.ts";
import type { ObservationModel } from "./observation.ts";
import {
  codeNoise,
  type Encoded,
  gaussianDivergence,
  Posterior,
  priorOf,
  repeatRows,
} from "./prior-posterior.ts";
import { inpaintVae } from "./vae-inpaint.ts";
import type { RowNetwork } from "./vae-networks.ts";
import {
  networksOf,
  observationOf,
  type SettledVaeOptions,
  settleVaeOptions,
  type VaeOptions,
  vaeOptions,
  vaeSampleOptions,
} from "./vae-options.ts";

/**
 * A weight that rises from 0 to 1 over the first steps of training and is 1 outside of it (Sønderby et al. 2016, "Ladder
 * Variational Autoencoders", section 2.3).
 */
export class WarmUp {
  /** Steps done. */
  readonly done: Buffer;
  private readonly steps: number;

  constructor(steps: number) {
    this.done = new Buffer([], zeros);
    this.steps = steps;
  }

  apply(term: Tensor): Tensor {
    if (!isTraining()) return term;
    this.done.update(this.done.add(1).minimum(this.steps));
    return term.mul(this.done.mul(1 / this.steps));
  }
}

/** Rows, and numbers in them, that a part of the samples may have while it is drawn. */
const SAMPLE_ROWS = 4096;
const SAMPLE_ELEMENTS = 1 << 20;

/** What samples of a VAE may depend on beside count, seed and label. */
export interface VaeSampleOptions extends SampleOptions {
  /** Deviation of the code relative to training (default: 1). */
  readonly temperature?: number;
  /** What is expected of a sample given its code, in place of a draw (default: true for images). */
  readonly mean?: boolean;
  /** Values of the columns that a conditional model is given, as the model sees them: [1 or count, size]. */
  readonly given?: NdArray<"float32">;
}

/**
 * Samples in data units: codes drawn from the prior, and draws from p(x | z) or what is expected of it.
 * @throws OptionError where the temperature is not above 0 or values of given columns are missing
 */
function sampleVae(
  model: Vae,
  data: DataInfo,
  session: Session,
  options: VaeSampleOptions,
): Promise<NdArray<"float32">> {
  const { observation, prior, decoder, dimensions, conditioning } = model;
  const { temperature = 1, mean = data.kind === "image" } = options;
  if (!(temperature > 0)) throw new OptionError(`option temperature: must be above 0, not ${temperature}`);
  const program = session.compiled(
    model,
    mean ? "sample mean" : "sample",
    ["code", "temperature", "noise?", "context?"],
    ({ code, temperature, noise, context }) => {
      const z = prior.fromNoise(code, temperature);
      if (noise === undefined) return { x: model.decode(z, context) };
      return { x: model.whole(observation.draw(decoder.forward(z, context), noise), context) };
    },
  );
  const [codeSize, noiseSize] = [prior.noiseSize(dimensions), mean ? 0 : observation.noiseSize];
  const limit = Math.max(1, Math.min(SAMPLE_ROWS, Math.floor(SAMPLE_ELEMENTS / observation.size)));
  return sampleInParts(options, data.sampleShape, limit, async (randoms, first) => {
    const rows = randoms.length;
    const [code, noise] = [new Float32Array(rows * codeSize), new Float32Array(rows * noiseSize)];
    randoms.forEach((random, i) => {
      prior.drawNoise(code.subarray(i * codeSize, (i + 1) * codeSize), random.split("code"));
      if (mean) return;
      observation.drawNoise(noise.subarray(i * noiseSize, (i + 1) * noiseSize), random.split("noise"));
    });
    const context = conditioning.contexts(randoms, first, options);
    const { x } = await program.run({
      code: float32(code, [rows, codeSize]),
      temperature: float32([temperature], []),
      ...(!mean && { noise: float32(noise, [rows, noiseSize]) }),
      ...(context !== undefined && { context }),
    });
    return x as NdArray<"float32">;
  });
}

/** Numbers that a decoder makes in one run. */
const SCORE_ELEMENTS = 1 << 21;

/** Codes for each of some rows that one run draws, of so many numbers a decoder makes of each. */
function drawnTogether(rows: number, outputs: number, samples: number): number {
  return Math.max(1, Math.min(samples, Math.floor(SCORE_ELEMENTS / Math.max(1, rows * outputs))));
}

/**
 * log (1/k) Σ p(x, zᵢ) / q(zᵢ | x) for each sample of an array, with k codes drawn from q(z | x) in parts, so that memory
 * does not grow with k: a lower bound on log p(x) in expectation, which rises to it with k (Burda et al. 2016, theorem 1).
 * Without labels, a model of classes weighs them by their shares.
 * @throws OptionError where the number of samples is not a whole number from 1 on
 */
async function importanceScore(
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
  const draws = drawnTogether(rows, model.observation.outputs, samples);
  const program = session.compiled(model, `log-weights of ${draws}`, ["x", "label?"], ({ x, label }) => ({
    logWeights: model.logWeights(x, label, draws),
  }));
  const random = new Random(seed).split("score");
  const terms = Array.from({ length: rows }, (): number[] => []);
  const { classes } = model.conditioning;
  const mixed = classes > 0 && label === undefined;
  for (const [k, share] of (mixed ? classShares(data) : [1]).entries()) {
    if (share === 0) continue;
    const own = mixed ? int64(new Array<number>(rows).fill(k), [rows]) : label;
    const inputs = { x, ...(own !== undefined && classes > 0 && { label: own }) };
    const source = mixed ? random.split(k) : random;
    const offset = Math.log(share / samples);
    for (let first = 0; first < samples; first += draws) {
      const { logWeights } = await program.run(inputs, { random: source.split(first) });
      const used = Math.min(draws, samples - first);
      for (const [row, logs] of terms.entries()) {
        for (let i = 0; i < used; i++) logs.push(Number(logWeights.data[row * draws + i]) + offset);
      }
    }
  }
  return float32(terms.map(logSumExp), [rows]);
}

/** How a score is made. */
export interface VaeScoreOptions extends DensityScoreOptions {
  /** Codes drawn for each sample (default: those of the option `scoreSamples`). */
  readonly samples?: number;
}

/** The terms of the bound for k codes of each sample, [n, k] in nats, and the output of the encoder. */
interface Terms {
  /** log p(x | z). */
  readonly logLikelihood: Tensor;
  /** log p(z). */
  readonly logPrior: Tensor;
  /** log q(z | x). */
  readonly logPosterior: Tensor;
  readonly encoded: Encoded;
}

/**
 * A variational autoencoder (Kingma and Welling 2014, "Auto-Encoding Variational Bayes"): codes z of a prior, samples of
 * p(x | z), whose numbers a decoder makes, and an encoder to q(z | x), which stands for the posterior. Its log-likelihood
 * is bounded from below:
 *
 *     log p(x) ≥ E log (1/k) Σ p(x | zᵢ) p(zᵢ) / q(zᵢ | x),  zᵢ drawn from q(z | x)
 *
 * (Burda et al. 2016, "Importance Weighted Autoencoders", equation 8), of which k = 1 is the evidence lower bound.
 */
export class Vae
  implements Trainable, Density, Sampler<VaeSampleOptions>, Inpainter, Codec, Embedder, Exportable
{
  readonly encoder: RowNetwork;
  readonly posterior: Posterior;
  readonly prior: Base;
  readonly decoder: RowNetwork;
  readonly observation: ObservationModel;
  readonly warmUp: WarmUp | undefined;
  readonly conditioning: Conditioning;
  readonly likelihood = "bound";
  private readonly options: SettledVaeOptions;
  private readonly data: DataInfo;

  /** @throws OptionError where options do not go with the data or with each other */
  constructor(options: VaeOptions, data: DataInfo) {
    const settled = settleVaeOptions(options, data);
    const { latentSize, posterior, posteriorTransforms, prior, priorTransforms, flowWidth, warmUp } = settled;
    this.options = settled;
    this.data = data;
    this.conditioning = new Conditioning(settled, data);
    this.observation = observationOf(settled, data);
    this.posterior = new Posterior({
      latentSize,
      steps: posterior === "iaf" ? posteriorTransforms : 0,
      width: flowWidth,
      contextSize: flowWidth,
    });
    this.prior = priorOf(prior, { latentSize, transforms: priorTransforms, width: flowWidth });
    const sizes = { contextSize: this.conditioning.size, latentSize };
    const { encoder, decoder } = networksOf(settled, data, {
      ...sizes,
      observation: this.observation,
      encoded: this.posterior.inputs,
    });
    this.encoder = encoder;
    this.decoder = decoder;
    this.warmUp = warmUp > 0 ? new WarmUp(warmUp) : undefined;
  }

  /** Length of a code. */
  get dimensions(): number {
    return this.options.latentSize;
  }

  get hasGaussianCodes(): boolean {
    return this.prior === gaussian;
  }

  get likelihoodDetail(): string {
    return `${this.options.scoreSamples} importance samples`;
  }

  private get isImage(): boolean {
    return this.data.kind === "image";
  }

  /** The encoder's parameters of q(z | x) for rows of what is modeled, [n, D] in data units. */
  encoded(x: Tensor, context: Tensor | undefined): Encoded {
    return this.posterior.divide(this.encoder.forward(this.observation.seen(x), context));
  }

  private terms(x: Tensor, label: Tensor | undefined, draws: number): Terms {
    const { target, context } = this.conditioning.divide(x, label);
    const rows = target.reshape([target.shape[0] ?? 1, -1]);
    const encoded = this.encoded(rows, context);
    const noise = codeNoise(Number(rows.shape[0]), draws, this.dimensions);
    return this.termsOf({ rows, encoded, context }, noise, draws);
  }

  /** The terms of rows of what is modeled, of codes of standard Gaussian noise [n, draws, L]. */
  private termsOf(
    {
      rows,
      encoded,
      context,
    }: { readonly rows: Tensor; readonly encoded: Encoded; readonly context: Tensor | undefined },
    noise: Tensor,
    draws: number,
  ): Terms {
    const count = rows.shape[0] ?? 1;
    const { z, logProb } = this.posterior.draw(encoded, noise);
    const numbers = this.decoder.forward(z, context && repeatRows(context, draws));
    return {
      logLikelihood: this.observation.logProb(rows.unsqueeze(1), numbers.reshape([count, draws, -1])),
      logPrior: this.prior.logProb(z).reshape([count, draws]),
      logPosterior: logProb,
      encoded,
    };
  }

  /** log p(x, zᵢ) − log q(zᵢ | x) of codes drawn from q(z | x), [n, draws] in nats. */
  logWeights(x: Tensor, label: Tensor | undefined, draws: number): Tensor {
    const { logLikelihood, logPrior, logPosterior } = this.terms(x, label, draws);
    return logLikelihood.add(logPrior).sub(logPosterior);
  }

  /**
   * A lower bound on the log-likelihood, in nats (of bytes for images): the importance-weighted one of as many codes as
   * training takes, with the runtime's noise. Its expectation is below log p(x); `score` comes closer with more codes. A
   * model that is conditional on classes weighs them by their shares where no label is given.
   */
  logProb(x: Tensor, label?: Tensor): Tensor {
    const { importanceSamples: draws } = this.options;
    return this.conditioning.overClasses(x, label, (known) => {
      const weights = this.logWeights(x, known, draws);
      return draws === 1 ? weights.squeeze(1) : weights.logSumExp(1).sub(Math.log(draws));
    });
  }

  /** The importance-weighted bound of `samples` codes for each sample of an array. */
  score(
    session: Session,
    x: NdArray<"float32">,
    { samples = this.options.scoreSamples, ...options }: VaeScoreOptions = {},
  ): Promise<NdArray<"float32">> {
    return importanceScore(this, this.data, session, x, { samples, ...options });
  }

  /**
   * The negative bound: for one code a sample, the reconstruction −log p(x | z) and β times the divergence
   * KL(q(z | x) ‖ p(z)), in closed form where both are Gaussian; for several, the importance-weighted bound. In bits per
   * dimension for images and in nats otherwise. Parts: reconstruction and divergence, as they are.
   */
  loss({ x, label }: SymbolicBatch): Losses {
    const { importanceSamples: draws } = this.options;
    const terms = this.terms(x, label, draws);
    const reconstruction = terms.logLikelihood.mean().neg();
    const { divergence, penalty } = this.divergence(terms);
    const total =
      draws === 1
        ? reconstruction.add(penalty)
        : terms.logLikelihood
            .add(terms.logPrior)
            .sub(terms.logPosterior)
            .logSumExp(1)
            .mean()
            .neg()
            .add(Math.log(draws));
    const unit = this.isImage ? 1 / (elementCount(this.data.sampleShape) * Math.LN2) : 1;
    const losses = { total, reconstruction, divergence };
    return unit === 1
      ? losses
      : {
          total: total.mul(unit),
          reconstruction: reconstruction.mul(unit),
          divergence: divergence.mul(unit),
        };
  }

  /**
   * The mean divergence, and what of it the loss has: β times it, with λ nats of each number of the code for free,
   * Σ_j max(λ, E KL_j) (Kingma et al. 2016, equation 15). Where flows make it one for the whole code, max(λ L, E KL).
   */
  private divergence({ encoded, logPrior, logPosterior }: Terms): {
    readonly divergence: Tensor;
    readonly penalty: Tensor;
  } {
    const { beta, freeBits, latentSize } = this.options;
    const isClosed =
      this.posterior.isGaussian && this.prior === gaussian && this.options.importanceSamples === 1;
    const each = isClosed
      ? gaussianDivergence(encoded.mean, encoded.logVariance).mean(0)
      : logPosterior.sub(logPrior).mean().reshape([1]);
    const free = isClosed ? freeBits : freeBits * latentSize;
    const divergence = each.sum();
    const weighed = free > 0 ? each.maximum(free).sum() : divergence;
    const penalty = beta === 1 ? weighed : weighed.mul(beta);
    return { divergence, penalty: this.warmUp?.apply(penalty) ?? penalty };
  }

  /** The mean of q(z | x), [n, L]; behind autoregressive steps, what they make of the Gaussian's mean. */
  encode(x: Tensor, label?: Tensor): Tensor {
    const { target, context } = this.conditioning.divide(x, label);
    return this.posterior.center(this.encoded(target.reshape([target.shape[0] ?? 1, -1]), context));
  }

  /**
   * The center of q(z | x) as `code`, [n, L].
   * @throws OptionError for a model of classes or given columns: a sample has a code under each
   */
  features(x: Tensor): { readonly code: Tensor } {
    if (this.conditioning.size > 0) {
      throw new OptionError(
        "vae: codes of a conditional model depend on its classes or given columns, so that they are no features of a sample alone; fit one without",
      );
    }
    return { code: this.encode(x) };
  }

  /**
   * What is expected of samples given their codes, [n, L] → [n, …sample] in data units: probabilities of ones and of
   * categories; for images the mean of each byte, not rounded.
   * @param context what the model is conditioned on, [n, contextSize]
   */
  decode(z: Tensor, context?: Tensor): Tensor {
    return this.whole(this.observation.mean(this.decoder.forward(z, context)), context);
  }

  /** Samples from rows of what is modeled, [n, D] in data units, and the context with what is given. */
  whole(rows: Tensor, context: Tensor | undefined): Tensor {
    const { targetShape } = this.conditioning;
    return this.conditioning.join(rows.reshape([rows.shape[0] ?? 1, ...targetShape]), context);
  }

  /** The context of codes: class and given columns of each, as a row. @throws OptionError where they are missing */
  codeContext(
    labels: readonly (number | undefined)[],
    given?: NdArray<"float32">,
  ): NdArray<"float32"> | undefined {
    return this.conditioning.codeContext(labels, given);
  }

  /** @throws OptionError where the temperature is not above 0 or values of given columns are missing */
  sample(session: Session, options: VaeSampleOptions): Promise<NdArray<"float32">> {
    return sampleVae(this, this.data, session, options);
  }

  /** Completions of partly known samples by a chain over codes and unknown elements; see `inpaintVae`. */
  inpaint(session: Session, options: InpaintOptions): Promise<NdArray<"float32">> {
    return inpaintVae(this, this.data, session, options);
  }

  /** One pass from noise to samples; of images to what the decoder expects, as `sample` has it; none where columns are given. */
  exportedDraws(): ExportedDraws | undefined {
    const { classes, givenSize } = this.conditioning;
    if (givenSize > 0) return undefined;
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    const context = label && oneHot(label, classes);
    const z = this.prior.fromNoise(this.prior.noise("batch", this.dimensions));
    if (this.isImage) {
      return {
        samples: this.decode(z, context),
        ...(this.prior.hasPlainNoise === true && { stream: ["code"] }),
      };
    }
    const drawn = this.observation.draw(this.decoder.forward(z, context), this.observation.noise("batch"));
    return { samples: this.whole(drawn, context) };
  }

  /** The bound of `score` in parts: what the encoder makes of a sample, and the weight of one code. */
  exportedBound(rows: number): ExportedBound {
    const { scoreSamples: samples } = this.options;
    const { classes } = this.conditioning;
    const x = input("x", ["batch", ...this.data.sampleShape]);
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    const { target, context } = this.conditioning.divide(x, label);
    const flat = target.reshape([target.shape[0] ?? 1, -1]);
    const numbers = this.encoder.forward(this.observation.seen(flat), context);
    const once = { rows: flat, numbers, ...(context !== undefined && { context }) };
    const given = {
      rows: input("rows", flat.shape),
      encoded: this.posterior.divide(input("numbers", numbers.shape)),
      context: context && input("context", context.shape),
    };
    const noise = input("noise", ["batch", this.dimensions]);
    const { logLikelihood, logPrior, logPosterior } = this.termsOf(given, noise.unsqueeze(1), 1);
    return {
      once,
      logWeight: logLikelihood.add(logPrior).sub(logPosterior).squeeze(1),
      noiseSize: this.dimensions,
      samples,
      together: drawnTogether(rows, this.observation.outputs, samples),
      shares: classes > 0 ? classShares(this.data) : undefined,
    };
  }

  /** Code and reconstruction of a sample as a graph. */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string } {
    const { sampleShape, kind } = this.data;
    const { classes } = this.conditioning;
    const shape: Shape = ["batch", ...sampleShape];
    const x = input("x", shape);
    const label = classes > 0 ? input("label", ["batch"], "int64") : undefined;
    const { context } = this.conditioning.divide(x, label);
    const z = this.encode(x, label);
    const units = {
      image: " as bytes 0 … 255 in float32",
      table: " in standardized columns",
      binary: " of 0 and 1",
      points: "",
    }[kind];
    return {
      outputs: { z, reconstruction: this.decode(z, context) },
      description:
        `x: samples [batch, ${sampleShape}]${units}. z: the center of q(z | x), [batch, ${this.dimensions}]. ` +
        `reconstruction: what the decoder expects of x there, ${kind === "binary" ? "probabilities of ones" : "in the units of x"}.` +
        (classes > 0 ? ` label: class 0 to ${classes - 1}.` : ""),
    };
  }
}

function preferences({ kind, sampleShape }: DataInfo): FitPreferences {
  const common = { optimizer: "adam", averageDecay: 0.998, warmupSteps: 100 } as const;
  // Chosen on validation samples, in short runs (docs/latent/vae.md).
  if (sampleShape.length === 3) return { ...common, learningRate: 3e-3, batchSize: 64 };
  return kind === "points"
    ? { ...common, learningRate: 3e-3, batchSize: 256 }
    : { ...common, learningRate: 2e-3, batchSize: kind === "binary" ? 128 : 256 };
}

/** VAEs as the catalogue knows them. */
export const vaeDefinition = defineModel({
  name: "vae",
  summary: "variational autoencoder: short codes, samples at once, a lower bound on the log-likelihood",
  paper: "Kingma and Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114",
  dataKinds: ["points", "image", "table", "binary"],
  can: ["sample", "score", "inpaint", "encode", "decode", "embed", "export"],
  options: vaeOptions,
  sampleOptions: vaeSampleOptions,
  build: (options, data) => new Vae(options, data),
  preferences,
});

/**
 * A VAE for data. What options leave open depends on the data.
 * @throws OptionError where options do not go with the data or with each other
 */
export const vae = builderOf(vaeDefinition);
