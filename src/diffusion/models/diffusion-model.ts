import type { z } from "zod";
import type {
  Coupler,
  Density,
  EditOptions,
  Editor,
  Exportable,
  ExportedScore,
  GradualSampler,
  Inpainter,
  InpaintOptions,
  Losses,
  NoisePairs,
  PairOptions,
  Sampler,
  StateOptions,
  Trainable,
} from "../../model/capabilities.ts";
import type { DecodeArrayOptions, EncodeArrayOptions, SolverCodec } from "../../model/codes.ts";
import type { DataInfo, SymbolicBatch } from "../../model/data-info.ts";
import { type Ability, type Defined, defineModel, type FitPreferences } from "../../model/definition.ts";
import { sampleInParts } from "../../model/sampling.ts";
import type { Velocity } from "../../ode/index.ts";
import type { Session } from "../../program/program.ts";
import { elementCount, float32, type NdArray, normal, split, type Tensor } from "../../tensor/index.ts";
import { usualTolerance, usualTrace } from "../density/course.ts";
import { type FlowDensityOptions, flowScore } from "../density/flow.ts";
import { exportedFlowScore, flowLogProb } from "../density/flow-graph.ts";
import {
  ClassCondition,
  type ClassOptions,
  type Condition,
  type ConditionedCall,
} from "../objective/condition.ts";
import {
  DataUnits,
  type DiffusionNetwork,
  dequantized,
  diffusionNetwork,
  type NetworkOptions,
} from "../objective/network.ts";
import type { Objective, Predicted } from "../objective/objective.ts";
import { convertPrediction, type Prediction, type PredictionOptions } from "../objective/prediction.ts";
import { type Coupling, coupledNoise, spreadOver } from "../objective/training.ts";
import type { SymbolicPoint } from "../path/gaussian.ts";
import { type DiffusionCore, type FollowOptions, followPlan, type NetworkViews } from "../solver/follow.ts";
import type { Process, SolverSubject } from "../solver/levels.ts";
import {
  type DiffusionSampleOptions,
  diffusionSampleOptions,
  parseSampleOptions,
  type SolverName,
  type SolverSettings,
} from "../solver/options.ts";
import type { ReverseVariance } from "../solver/samplers.ts";
import { normalRows, partLimit, type SymbolicDenoiser } from "../solver/session.ts";
import { type SamplerPlan, samplerPlan } from "../solver/solvers.ts";
import { editByNoise } from "../tasks/editing.ts";
import { classContext, decodeByFlow, encodeByFlow, pairsByFlow } from "../tasks/encoding.ts";
import { type ExportedGraph, exportedNetwork, exportedSampler } from "../tasks/export.ts";
import { inpaintDiffusion } from "../tasks/inpainting.ts";
import { sampleStates } from "../tasks/states.ts";

/** How a network is called with a state at a point: c_in and c_noise of Karras et al. 2022, table 1. */
export interface Preconditioning {
  /** The factor of the state. */
  readonly scale?: (point: SymbolicPoint) => Tensor;
  /** What the network is given in place of the time, of the shape of the point's quantities. */
  readonly time?: (point: SymbolicPoint) => Tensor;
}

/** The choices a diffusion model is made of. */
export interface DiffusionParts {
  readonly options: NetworkOptions & ClassOptions;
  /** How data turns to noise. */
  readonly process: Process;
  /** What the network predicts. */
  readonly prediction: Prediction;
  readonly predictionOptions?: PredictionOptions;
  readonly preconditioning?: Preconditioning;
  /** Training times of a batch, [count]. */
  readonly times: (count: number) => Tensor;
  readonly objective: Objective;
  /**
   * Variance of the steps of ancestral sampling (default: lower); where it is learned the network predicts it in as many
   * numbers again.
   */
  readonly variance?: ReverseVariance;
  /** Default: independent. */
  readonly coupling?: Coupling;
  /** Whether bytes are trained on with uniform noise between them, as likelihoods are of. */
  readonly dequantize?: boolean;
  /** How samples are drawn by default. */
  readonly sampling: {
    readonly solver: SolverName;
    /** Of that solver; others have their own. */
    readonly steps: number;
    /** Whether estimates of images are clipped; default: false. */
    readonly clip?: boolean;
  };
}

/** Training options that diffusion models prefer. */
export function diffusionPreferences({ kind }: DataInfo): FitPreferences {
  return kind === "image"
    ? {
        optimizer: "adam",
        learningRate: 2e-3,
        batchSize: 32,
        averageDecay: 0.995,
        warmupSteps: 30,
        clipNorm: 1,
      }
    : { optimizer: "adam", learningRate: 4e-3, batchSize: 512, averageDecay: 0.998, warmupSteps: 100 };
}

/**
 * A diffusion model: a process from data to noise, a network that is fitted to predict something of noisy data, and a
 * solver that makes samples from the predictions. DDPM, score SDEs, EDM and rectified flow are this class with other parts.
 */
export class DiffusionModel
  implements
    Trainable,
    Sampler<DiffusionSampleOptions>,
    Density,
    Inpainter,
    Editor,
    SolverCodec,
    Coupler,
    GradualSampler,
    Exportable,
    DiffusionCore
{
  readonly network: DiffusionNetwork;
  readonly data: DataInfo;
  readonly units: DataUnits;
  readonly condition: ClassCondition;
  protected readonly parts: DiffusionParts;

  /** @throws OptionError where options do not fit the data */
  constructor(parts: DiffusionParts, data: DataInfo) {
    this.parts = parts;
    this.data = data;
    this.units = new DataUnits(data);
    this.condition = new ClassCondition(parts.options, data);
    this.network = diffusionNetwork(parts.options, data, {
      classes: this.condition.networkClasses,
      multiple: parts.variance === "learned" ? 2 : 1,
    });
  }

  /** How data turns to noise. */
  get process(): Process {
    return this.parts.process;
  }

  /** What solvers must know of the model. */
  get subject(): SolverSubject {
    const { process, prediction, variance = "lower" } = this.parts;
    return { process, prediction, variance };
  }

  /** The loss of the model's objective for data with noise of its own, at random times. */
  loss({ x, label }: SymbolicBatch): Losses {
    const { coupling, dequantize } = this.parts;
    const data = this.units.toModel(dequantize && this.data.kind === "image" ? dequantized(x) : x);
    const drawn = normal(x.shape);
    return this.pairLoss(data, coupling === "optimal-transport" ? coupledNoise(data, drawn) : drawn, label);
  }

  /** The loss for pairs of data and noise [n, …] in model units, which may belong together, at random times. */
  pairLoss(data: Tensor, noise: Tensor, label?: Tensor): Losses {
    const { process, times, objective } = this.parts;
    const count = Number(data.shape[0]);
    const time = times(count);
    const spread = spreadOver(time, data);
    const given = this.condition.training(label, count);
    return objective({
      data,
      noise,
      time,
      point: process.symbolic(spread),
      state: process.state(data, noise, spread),
      predict: (state) => this.predict(state, time, given),
    });
  }

  /** What the network predicts of states [n, …] at times [n], given the class [n] or its hidden index where it knows classes. */
  predict(x: Tensor, time: Tensor, label?: Tensor): Predicted {
    const { preconditioning = {}, variance, process } = this.parts;
    const { scale, time: timeOf } = preconditioning;
    const point = scale || timeOf ? process.symbolic(spreadOver(time, x)) : undefined;
    const seen = scale && point ? x.mul(scale(point)) : x;
    const given = timeOf && point ? timeOf(point).reshape([x.shape[0] ?? 1]) : time;
    const output = this.network.forward(seen, given, label);
    if (variance !== "learned") return { output };
    const [own, between] = split(output, 1, 2);
    return { output: own, variance: between.add(1).mul(0.5) };
  }

  /** A network's output at times [n] as another prediction than the one it was fitted to. */
  convert(x: Tensor, output: Tensor, time: Tensor, to: Prediction): Tensor {
    const { process, prediction, predictionOptions } = this.parts;
    if (to === prediction) return output;
    const point = process.symbolic(spreadOver(time, x));
    return convertPrediction(x, output, point, { ...predictionOptions, from: prediction, to });
  }

  /** The network under a condition, for programs. @param count rows of the states */
  call(condition: Condition, count: number): ConditionedCall {
    return this.condition.apply(this.predict.bind(this), condition, count);
  }

  /** What solvers ask of a network call, in model units: the denoiser, and the velocity of the probability flow. */
  views(
    call: ConditionedCall["call"],
    { clip = this.parts.sampling.clip ?? false }: Pick<Condition, "clip">,
  ): NetworkViews {
    const clips = clip && this.data.kind === "image";
    const dataOf = (x: Tensor, output: Tensor, time: Tensor): Tensor => {
      const data = this.convert(x, output, time, "data");
      return clips ? data.clamp(-1, 1) : data;
    };
    return {
      name: clips ? "clipped" : "plain",
      denoised: (x, time, given) => {
        const { output, variance } = call(x, time, given);
        return { denoised: dataOf(x, output, time), ...(variance !== undefined && { variance }) };
      },
      velocity: (x, time, given) => {
        const { output } = call(x, time, given);
        if (!clips) return this.convert(x, output, time, "velocity");
        const point = this.process.symbolic(spreadOver(time, x));
        return convertPrediction(x, dataOf(x, output, time), point, { from: "data", to: "velocity" });
      },
    };
  }

  /**
   * The denoiser under a condition, as `runTable` takes it: state and memory are in model units.
   * @param count rows of the states
   */
  denoiser(
    condition: Condition,
    count: number,
  ): {
    readonly name: string;
    readonly inputs: ConditionedCall["inputs"];
    readonly denoiser: SymbolicDenoiser;
  } {
    const { form, inputs, call } = this.call(condition, count);
    const { name, denoised } = this.views(call, condition);
    return { name: `${form} ${name} denoiser`, inputs, denoiser: denoised };
  }

  /** The velocity of the probability flow under a condition, for the solvers of `eidos/ode`, in model units. */
  velocity(session: Session, condition: Condition, count: number): Velocity<"float32"> {
    const { form, inputs, call } = this.call(condition, count);
    const views = this.views(call, condition);
    const compiled = session.compiled(
      this,
      `${form} ${views.name} velocity`,
      ["x", "time", "..."],
      ({ x, time, ...given }) => ({
        velocity: views.velocity(x, time.broadcastTo([x.shape[0] ?? 1]), given),
      }),
    );
    return async (x, time) =>
      (await compiled.run({ ...inputs, x, time: float32([time], [1]) })).velocity as NdArray<"float32">;
  }

  /** The solver that draws samples by default. */
  get solver(): SolverName {
    return this.parts.sampling.solver;
  }

  /** How samples are made: the solver asked for, or the model's own. @throws OptionError as `samplerPlan` */
  plan(settings: SolverSettings): SamplerPlan {
    const { sampling } = this.parts;
    const { solver = sampling.solver } = settings;
    const steps = settings.steps ?? (solver === sampling.solver ? sampling.steps : undefined);
    return samplerPlan(this.subject, { ...settings, solver, ...(steps !== undefined && { steps }) });
  }

  /** States [n, …sampleShape] that a plan begins with, in model units. @param randoms one generator a sample */
  startOf(plan: SamplerPlan, randoms: Parameters<typeof normalRows>[0]): NdArray<"float32"> {
    const noise = normalRows(randoms, this.data.sampleShape, "noise");
    const deviation = plan.kind === "table" ? plan.table.deviation : plan.deviation;
    if (deviation === 1) return noise;
    return float32(
      noise.data.map((value) => deviation * value),
      noise.shape,
    );
  }

  /**
   * Follows a plan from states at its beginning, [n, …sampleShape] in model units, to those at its end.
   * @throws SolverError where an adaptive solver runs out of evaluations
   * @throws OptionError where the plan draws noise and is given none
   */
  follow(
    session: Session,
    plan: SamplerPlan,
    start: NdArray<"float32">,
    condition: Condition,
    options: FollowOptions = {},
  ): Promise<NdArray<"float32">> {
    return followPlan(this, session, { plan, start, condition }, options);
  }

  /** Samples in data units. @throws OptionError, SolverError */
  async sample(session: Session, options: DiffusionSampleOptions): Promise<NdArray<"float32">> {
    const { count, seed, first = 0, label, onProgress, ...others } = options;
    const settings = parseSampleOptions(others);
    this.condition.check(label);
    const { sampleShape, kind } = this.data;
    const { guidance = kind === "image" ? 2 : 1, clip } = settings;
    const plan = this.plan(settings);
    return sampleInParts(
      { count, seed, first, ...(onProgress && { onProgress }) },
      sampleShape,
      partLimit(this.data),
      async (randoms, _, report) => {
        const condition = {
          labels: this.condition.draw(randoms, label),
          guidance,
          ...(clip !== undefined && { clip }),
        };
        const end = await this.follow(session, plan, this.startOf(plan, randoms), condition, {
          noise: (row) => normalRows(randoms, sampleShape, row),
          onProgress: report,
        });
        return this.units.arrayToData(end);
      },
    );
  }

  /** Samples as they form; see `sampleStates`. @throws OptionError, SolverError */
  sampleStates(
    session: Session,
    options: DiffusionSampleOptions & Pick<StateOptions, "states" | "onState">,
  ): Promise<readonly NdArray<"float32">[]> {
    return sampleStates(this, session, options);
  }

  /** Of bytes, which are dequantized, a bound. */
  get likelihood(): "exact" | "bound" {
    return this.data.kind === "image" ? "bound" : "exact";
  }

  /** What a reader of its likelihoods must know. */
  get likelihoodDetail(): string {
    const trace =
      usualTrace(this.data.sampleShape) === "exact" ? "exact trace" : "Hutchinson's estimate of the trace";
    const bytes = this.data.kind === "image" ? ", uniform dequantization" : "";
    return `probability flow to a tolerance of ${usualTolerance(this)}, ${trace}${bytes}`;
  }

  /** A score is hundreds of evaluations of the network. */
  get scoresSlowly(): boolean {
    return true;
  }

  /** The log-density by fixed steps of the probability flow inside a graph; see `flowLogProb`. */
  logProb(x: Tensor, label?: Tensor): Tensor {
    return flowLogProb(this, x, label);
  }

  /** The log-density of an array by the probability flow, to a tolerance; see `flowScore`. @throws SolverError */
  score(session: Session, x: NdArray<"float32">, options?: FlowDensityOptions): Promise<NdArray<"float32">> {
    return flowScore(this, session, x, options);
  }

  /** Completions of partly known samples; see `inpaintDiffusion`. @throws OptionError as there */
  inpaint(session: Session, options: InpaintOptions): Promise<NdArray<"float32">> {
    return inpaintDiffusion(this, session, options);
  }

  /** Edits of samples by noise; see `editByNoise`. @throws OptionError as there */
  edit(session: Session, options: EditOptions): Promise<NdArray<"float32">> {
    return editByNoise(this, session, options);
  }

  /** Noise and what the probability flow makes of it; see `pairsByFlow`. */
  drawPairs(session: Session, options: PairOptions): Promise<NoisePairs> {
    return pairsByFlow(this, session, options);
  }

  /** Length of a code. */
  get dimensions(): number {
    return elementCount(this.data.sampleShape);
  }

  get hasGaussianCodes(): boolean {
    return true;
  }

  get hasClasslessCodes(): boolean {
    return this.condition.knowsAny;
  }

  /** The classes of codes; see `classContext`. @throws OptionError as there */
  codeContext(labels: readonly (number | undefined)[]): NdArray<"float32"> | undefined {
    return classContext(this.condition, labels);
  }

  /** Codes of samples by the probability flow; see `encodeByFlow`. @throws OptionError as there */
  encodeArray(
    session: Session,
    x: NdArray<"float32">,
    options?: EncodeArrayOptions,
  ): Promise<NdArray<"float32">> {
    return encodeByFlow(this, session, x, options);
  }

  /** Samples from codes; see `decodeByFlow`. @throws OptionError as there */
  decodeArray(
    session: Session,
    z: NdArray<"float32">,
    options?: DecodeArrayOptions,
  ): Promise<NdArray<"float32">> {
    return decodeByFlow(this, session, z, options);
  }

  /** What the network predicts as a graph, in the units it works in, and the denoiser where that is something else. */
  exported(): ExportedGraph {
    return exportedNetwork(this);
  }

  /** `score` as one graph; see `exportedFlowScore`. */
  exportedScore(): ExportedScore {
    return exportedFlowScore(this);
  }

  /** A whole sampler as a graph; see `exportedSampler`. @throws OptionError as there */
  exportedSampler(options: unknown = {}, inSteps = false): ExportedGraph {
    return exportedSampler(this, options, inSteps);
  }
}

/** What every diffusion model can do. */
const ABILITIES = [
  "sample",
  "score",
  "inpaint",
  "edit",
  "encode",
  "decode",
  "reflow",
  "distill",
  "export",
] as const satisfies readonly Ability[];

/** What a system adds to what all diffusion models share: what its paper describes. */
export interface DiffusionSystem<N extends string, S extends z.ZodType, M extends DiffusionModel> {
  /** Name on the command line: score-sde. */
  readonly name: N;
  /** One line on what it is. */
  readonly summary: string;
  readonly paper: string;
  readonly options: S;
  /** Whether it can be fitted to pairs of noise and samples. */
  readonly pairs?: "possible";
  build(options: z.output<S>, data: DataInfo): M;
}

/** The definition of a diffusion model for the catalogue: data, abilities, options for sampling and training options are those of all. */
export function defineDiffusion<const N extends string, S extends z.ZodType, M extends DiffusionModel>(
  system: DiffusionSystem<N, S, M>,
): Defined<N, S, typeof ABILITIES, M> {
  return defineModel({
    ...system,
    dataKinds: ["points", "image", "table"],
    can: ABILITIES,
    sampleOptions: diffusionSampleOptions,
    preferences: diffusionPreferences,
  });
}
