import type { Module } from "../nn/module.ts";
import type { ForeignNames } from "../nn/names.ts";
import type { Session } from "../program/program.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";
import type { Dim } from "../tensor/shape.ts";
import { type Codec, type CodeSolverOptions, hasCodes, type SolverCodec } from "./codes.ts";
import type { SymbolicBatch } from "./data-info.ts";

/** The loss to be minimized, and parts of it worth reporting; all scalars. */
export type Losses = Readonly<Record<string, Tensor>> & { readonly total: Tensor };

/** A model that can be fitted. */
export interface Trainable extends Module {
  /** Losses on a batch. Random numbers come from `normal()` and `uniform()`. */
  loss(batch: SymbolicBatch): Losses;
  /**
   * The share of the learning rate with which the parameter of this name is trained, finite and at least 0; 1 for all where the
   * method is absent. A parameter of share 0 is frozen: it has no gradient and no optimizer state, and its values stay as they are.
   */
  rateOf?(name: string): number;
  /** How others name parts of the model, for weights that they have trained. */
  foreignNames?(): ForeignNames;
  /**
   * Which weights of a fit are used: those with the lowest loss on the validation split (the default), or the last ones,
   * where the loss does not measure how good a model is.
   */
  readonly selection?: "validation" | "last";
  /**
   * Whether the loss compares the samples of a batch with each other, so that it depends on how many they are: it is then measured on
   * batches as large as those of the fit.
   */
  readonly comparesSamples?: boolean;
}

/** One turn of a game between the parts of a model. */
export interface Turn {
  /** Name of the player, and of its loss. */
  readonly name: string;
  /** The part of the model whose parameters change in this turn. */
  readonly player: Module;
  /** The loss to be minimized, and parts of it worth reporting. Called once, in the order of the turns. */
  losses(): Losses;
  /** Learning rate relative to that of the step (default: 1). */
  readonly rate?: number;
}

/**
 * A model whose parts play against each other, each with a loss and an optimizer of its own: a generator and a
 * discriminator. A step is all turns, one after the other: the losses of a turn are taken with the parameters and the
 * buffers that the turns before it have left. Players are fields of the model, which together hold all of its
 * parameters. The model's `loss` is no part of training; it is what validation reports.
 */
export interface Adversarial extends Trainable {
  turns(batch: SymbolicBatch): readonly Turn[];
  /**
   * Where a moving average of the parameters is kept, a pass with it after all turns. Buffers that the pass updates hold
   * what it makes of their values before the step, not what turns did: running statistics are then those of the
   * weights that are used.
   */
  settle?(batch: SymbolicBatch): void;
}

/**
 * A model whose parts are trained one after the other. A step changes one part alone: the parameters of the others, and what the
 * optimizer and the moving average keep of them, stay as they are.
 */
export interface Staged extends Trainable {
  /** The part that a step on such a batch trains, a field of the model. `loss` of the batch depends on its parameters alone. */
  trainedBy(batch: SymbolicBatch): Module;
}

/** A model with a density. */
export interface Density {
  /**
   * Log-density of each sample in nats, shape [n], with respect to data units: for images in bytes it is that of the
   * dequantized image on [0, 256)ᴰ, or the log-probability of the bytes, so that bits per dimension are −logProb / (D · ln 2);
   * for zeros and ones it is the log-probability.
   * @param label classes [n] (int64), for conditional models; without them, such a model mixes its classes by their shares
   */
  logProb(x: Tensor, label?: Tensor): Tensor;
  /** Exact, or a lower bound (as with dequantization noise or a variational model). */
  readonly likelihood: "exact" | "bound";
  /** What qualifies its numbers: how bytes are dequantized, how many samples a bound takes. */
  readonly likelihoodDetail?: string | undefined;
  /** Whether a score takes so many network evaluations that a report on a fit measures only a part of a split. */
  readonly scoresSlowly?: boolean;
  /**
   * `logProb` of an array, computed outside of one graph by a method that chooses its own steps: more accurate where a
   * model has both.
   */
  score?(session: Session, x: NdArray<"float32">, options?: DensityScoreOptions): Promise<NdArray<"float32">>;
  /** The parts of a bound, whose negative sum is the score. */
  scoreParts?(session: Session, x: NdArray<"float32">, options?: DensityScoreOptions): Promise<ScoreParts>;
}

/** A bound in parts. */
export interface ScoreParts {
  /** A few parts by name, [n] each, in nats: the score is their negative sum. */
  readonly parts: Readonly<Record<string, Float64Array>>;
  /** The same sum term by term, where parts have many. */
  readonly terms?: readonly BoundTerm[];
}

/** Consecutive terms L_first + … + L_last of a bound. */
export interface BoundTerm {
  readonly first: number;
  readonly last: number;
  /** [n]. */
  readonly nats: Float64Array;
}

/** What the score of an array may depend on. */
export interface DensityScoreOptions {
  /** Classes [n], for conditional models; without them, such a model mixes its classes by their shares. */
  readonly label?: NdArray<"int64">;
  /** Decides random numbers, where a score takes any (default: 0). */
  readonly seed?: number;
}

/** Options of every sampler. */
export interface SampleOptions {
  readonly count: number;
  readonly seed: number;
  /**
   * Number of the first sample, which decides its noise (default: 0): samples 8 to 15 of a seed are those that stand there among samples 0 to 15, up to
   * rounding. `sampleInParts` sees to it.
   */
  readonly first?: number;
  /** Class of the samples, for conditional models. */
  readonly label?: number;
  /** Called after each finished part with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** A model that draws samples in data units, shape [count, …sampleShape]. Images are not rounded. */
export interface Sampler<O extends SampleOptions = SampleOptions> {
  sample(session: Session, options: O): Promise<NdArray<"float32">>;
}

/** Methods by which diffusion models complete samples. */
export const INPAINT_METHODS = ["repaint", "projection"] as const;

export type InpaintMethod = (typeof INPAINT_METHODS)[number];

/** Options of every completion of partly known samples. */
export interface InpaintOptions {
  /** Samples in data units, [n, …sampleShape]; values of unknown elements are ignored. */
  readonly x: NdArray<"float32">;
  /** 1 where an element is known, 0 where it is to be drawn: [n or 1, …sampleShape]. */
  readonly known: NdArray<"float32">;
  /** Completions of each sample. */
  readonly draws: number;
  readonly seed: number;
  /** Class of all samples or of each, for conditional models; without one, they mix their classes by their shares. */
  readonly label?: number | readonly number[];
  /** Iterations of a method that iterates (default: the model's own number). */
  readonly steps?: number;
  /**
   * True for a draw from the exact conditional distribution, or an error where there is none; false for iteration (default:
   * exact where possible).
   */
  readonly exact?: boolean;
  /** Method of a diffusion model (default: repaint). */
  readonly method?: InpaintMethod;
  /** How often repaint repeats each of its steps (default: the model's own number). */
  readonly resamplings?: number;
  /** Called with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/**
 * A model that draws the unknown part of samples from its conditional distribution given the known part. Results are
 * [n, draws, …sampleShape] in data units; known elements come back as they were given, images are not rounded.
 */
export interface Inpainter {
  inpaint(session: Session, options: InpaintOptions): Promise<NdArray<"float32">>;
}

/** Options of every edit of samples by noise. */
export interface EditOptions {
  /** Samples in data units, [n, …sampleShape]. */
  readonly x: NdArray<"float32">;
  /** How much noise is added, in (0, 1]: 0.5 as much as there is signal, 1 nothing but noise. */
  readonly strength: number;
  /** Edits of each sample. */
  readonly draws: number;
  readonly seed: number;
  /** Class of the edits, for conditional models (default: any). */
  readonly label?: number;
  /** Weight of classifier-free guidance towards the class (default: the model's own). */
  readonly guidance?: number;
  /** Default: the model's own number. */
  readonly steps?: number;
  /** Noise of the steps back, from 0, none, to 1, that of the stochastic equation (default: 1). */
  readonly eta?: number;
  /** Called with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** A model that changes samples by noising and denoising them: [n, draws, …sampleShape] in data units. */
export interface Editor {
  edit(session: Session, options: EditOptions): Promise<NdArray<"float32">>;
}

/** Noise and the samples that a model generates from it, both [n, …sampleShape] in data units. */
export interface NoisePairs {
  readonly x: NdArray<"float32">;
  readonly source: NdArray<"float32">;
  /** The class of each, [n], for conditional models. */
  readonly label?: NdArray<"int64">;
}

/** How pairs are drawn. */
export interface PairOptions extends CodeSolverOptions {
  readonly count: number;
  readonly seed: number;
  /** Weight of classifier-free guidance, for conditional models (default: 1, none). */
  readonly guidance?: number;
}

/** A model that pairs noise and samples by a deterministic path from the one to the other. */
export interface Coupler {
  drawPairs(session: Session, options: PairOptions): Promise<NoisePairs>;
}

/** How paths from noise, or from another data set, to samples are measured. */
export interface StraightnessOptions {
  readonly count: number;
  readonly seed: number;
  /** Steps of the solver (default: the model's own number). */
  readonly steps?: number;
  /** Starts of the paths, [count, …sampleShape] in data units, for models that begin at data. */
  readonly source?: NdArray<"float32">;
}

/** Measures of paths: means over samples, in the units in which the model works. */
export interface PathMeasures {
  /** How far velocities along a path are from that of its chord, squared; 0 for straight paths at even speed. */
  readonly straightness: number;
  /** The squared distance between the ends of a path. */
  readonly transportCost: number;
}

/** A model whose samples are the ends of paths that may be straight. */
export interface PathModel {
  straightness(session: Session, options: StraightnessOptions): Promise<PathMeasures>;
}

/** How samples of one data set are mapped to another. */
export interface TranslateOptions {
  /** [n, …sampleShape] in data units. */
  readonly x: NdArray<"float32">;
  /** From the data back to the source. */
  readonly back?: boolean;
  /** Decides noise, where a model adds any (default: 0). */
  readonly seed?: number;
  /** States to be returned, both ends among them, evenly in time (default: 2). */
  readonly states?: number;
  /** Called with the share that is done, from 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** A model that maps samples of one data set to another: [n, states, …sampleShape] in data units, x itself first. */
export interface Translator {
  translate(session: Session, options: TranslateOptions): Promise<NdArray<"float32">>;
}

/** Where a state of samples that form stands: at a time of a path (1 is noise, 0 is data), or behind so many steps of a flow. */
export type StateMark =
  | { readonly kind: "time"; readonly time: number }
  | { readonly kind: "step"; readonly step: number; readonly steps: number };

/** How states are asked for. */
export interface StateOptions extends SampleOptions {
  /** States at most, both ends among them. */
  readonly states: number;
  /** Called for each state that is returned, in order, as it is made. */
  readonly onState?: (mark: StateMark) => void;
}

/** A model whose samples form step by step on a session. */
export interface GradualSampler {
  /**
   * Samples as they form: at most `states` states, each [count, …sampleShape] in data units; the last are what `sample` draws
   * with the same options.
   */
  sampleStates(session: Session, options: StateOptions): Promise<readonly NdArray<"float32">[]>;
}

/** A model that generates samples from codes in steps which can be shown. */
export interface Stepwise {
  /** Codes of new samples, [rows, dimensions], from the runtime's generator. */
  drawCodes(rows: Dim): Tensor;
  /** The codes z₀ and the result of each step; the last are samples (for images, on [0, 1)). */
  path(z: Tensor, context?: Tensor): readonly Tensor[];
}

/** The graph of `sample`, where one pass draws samples. */
export interface ExportedDraws {
  readonly samples: Tensor;
  /**
   * Of the only random leaf: labels of the generator that `sample` fills a row of it from by `fillNormal` or `fillUniform`, after those of the seed,
   * `sample` and the row. Undefined where it draws otherwise.
   */
  readonly stream?: readonly string[] | undefined;
}

/** A model that can be written as one ONNX graph for use outside: named inputs with a `batch` axis, named outputs. */
export interface Exportable {
  /** The graph of the model's main use (a velocity field, a log-density, detections). */
  exported(): { readonly outputs: Readonly<Record<string, Tensor>>; readonly description: string };
  /**
   * The graph of a whole sampler, from noise to samples in data units, where drawing samples takes more than one pass.
   * @param options those for drawing samples that the model has of its own
   * @param inSteps whether steps can be run one by one, where a step needs nothing but the state: with inputs `firstStep` and `lastStep`
   *   (int64 scalars), the output `state`, and `noise` being the state after the first step; a row of `stepNoise` for each round that is run
   */
  exportedSampler?(
    options: unknown,
    inSteps?: boolean,
  ): {
    readonly outputs: Readonly<Record<string, Tensor>>;
    readonly description: string;
    /** Where steps can be run one by one: rounds of the loop, and how many of them are a step. */
    readonly steps?: { readonly count: number; readonly each: number };
  };
  /**
   * The graph of `sample` with its usual options, where one pass draws samples: `samples` in data units, [batch, …], from random leaves and,
   * where the model knows classes, the input `label`. Undefined where there is no such graph.
   */
  exportedDraws?(): ExportedDraws | undefined;
  /**
   * The graphs of a score that is the logarithm of a mean of weights, of many codes drawn for each sample.
   * @param rows samples that are scored in one pass, which decides how many codes are drawn in it
   */
  exportedBound?(rows: number): ExportedBound;
  /** The graph of `score`, where that is more than `logProb`. */
  exportedScore?(): ExportedScore;
  /**
   * The graphs by which partly known rows are completed outside, by `completeRows` of flows. Undefined where there are none.
   * @throws GradientError where the log-density has no gradient
   */
  exportedCompletion?(): ExportedCompletion | undefined;
}

/** What completing rows outside takes. Inputs of the graphs: `x`, and `label` where the model knows classes. */
export interface ExportedCompletion {
  /** Draws in data units, [batch, …], of the inputs of `noise` as well. Undefined where there is no inverse. */
  readonly draw?: Tensor;
  /** As `draw`, with codes of what is known held, by the input `known`; where some rows can be completed exactly. */
  readonly drawKnown?: Tensor;
  /** Log-density of continuous data, [batch], and its gradient by `x`. */
  readonly density: { readonly logDensity: Tensor; readonly gradient: Tensor };
  /** Of a model of classes: the same, of the mixture of its classes. */
  readonly mixture?: { readonly logDensity: Tensor; readonly gradient: Tensor };
  /** Positions of the elements that are modeled; the others have to be known. */
  readonly modeled: readonly number[];
  /** Those positions in an order in which the model is triangular, where there is one. */
  readonly order?: readonly number[];
  /** Noise of a draw: what it is, and how many numbers. */
  readonly noise: { readonly kind: "normal" | "uniform" | "logistic" | "mixture"; readonly size: number };
  readonly course: { readonly iterations: number; readonly leapfrogs: number; readonly startPower: number };
}

/** Numbers that a score draws for each sample: those of `Random(seed).split("score").split(sample).split(name)`. */
export interface ScoreDraws {
  /** Of the generator, and of the input. */
  readonly name: string;
  /** Standard normals are float32, and uniforms on (0, 1) float64. */
  readonly distribution: "normal" | "uniform";
  /** Shape of what one generator draws. */
  readonly shape: readonly number[];
  /** Where there is a generator for each of so many numbers, `….split(k)`: the input begins with an axis of them. */
  readonly count?: number;
}

/** The graph of a score. */
export interface ExportedScore {
  /** Nats, [batch], of the input `x` [batch, …sampleShape], which must be finite, and of an input [batch, …] for each of `draws`. */
  readonly logDensity: Tensor;
  readonly draws: readonly ScoreDraws[];
  /** What a reader must know. */
  readonly note: string;
}

/** A score log (1/k) Σ wᵢ in parts, each with one row for each sample or weight. */
export interface ExportedBound {
  /** What is computed once for a sample, and a class where there are some: of the inputs `x` and `label`, [batch, …] each. */
  readonly once: Readonly<Record<string, Tensor>>;
  /** log wᵢ in nats, [batch]: of an input for each of `once`, by its name, and of standard normals `noise`, [batch, noiseSize]. */
  readonly logWeight: Tensor;
  readonly noiseSize: number;
  /** k. */
  readonly samples: number;
  /** How many of them one pass draws: the numbers of a pass are those of a generator. */
  readonly together: number;
  /** Shares of classes, by which scores under each are weighed; undefined where there are none. */
  readonly shares: readonly number[] | undefined;
}

/** A model whose features describe samples. */
export interface Embedder {
  /**
   * What the network makes of samples x [n, …sampleShape] in data units, by name and in the order of its layers: maps
   * [n, channels, height, width] and vectors [n, units]. `code` is the vector that stands for the whole sample; `local`, where there is
   * one, the map whose locations stand for its parts.
   */
  features(x: Tensor): Readonly<Record<string, Tensor>> & { readonly code: Tensor };
}

export type Model = Trainable &
  Partial<Pick<Adversarial, "turns">> &
  Partial<Pick<Staged, "trainedBy">> &
  Partial<Density> &
  Partial<Sampler> &
  Partial<Inpainter> &
  Partial<Editor> &
  Partial<Coupler> &
  Partial<PathModel> &
  Partial<Translator> &
  Partial<GradualSampler> &
  Partial<Codec> &
  Partial<SolverCodec> &
  Partial<Stepwise> &
  Partial<Embedder> &
  Partial<Exportable>;

/** Whether a model has features. Detectors have a network of that name, which is a part of them and no method. */
export function isEmbedder<M extends object>(model: M): model is M & Embedder {
  return "features" in model && typeof model.features === "function";
}

/** What a model can do, by the methods it has. */
export function capabilities(model: Model): readonly string[] {
  return [
    "fit",
    ...(model.sample ? ["sample"] : []),
    ...(model.logProb ? ["score"] : []),
    ...(model.inpaint ? ["inpaint"] : []),
    ...(model.edit ? ["edit"] : []),
    ...(model.translate ? ["translate"] : []),
    ...(model.drawPairs ? ["reflow", "distill"] : []),
    ...(hasCodes(model) ? ["encode", "decode", "interpolate"] : []),
    ...(isEmbedder(model) ? ["embed"] : []),
    ...(model.exported ? ["export"] : []),
  ];
}
