import {
  type DataSet,
  drawnPoints,
  type PlaneDensity,
  planeDensity,
  strokesDensity,
  withPairs,
} from "eidos/data";
import {
  Ddpm,
  DiffusionModel,
  ddpmDefinition,
  rectifiedFlowDefinition,
  scoreSdeDefinition,
} from "eidos/diffusion";
import {
  FlowModel,
  mafDefinition,
  niceDefinition,
  realNvpDefinition,
  splineFlowDefinition,
} from "eidos/flows";
import { ganDefinition, Vae, vaeDefinition } from "eidos/latent";
import { energyDistance } from "eidos/metrics";
import { builderOf, type Exportable, type Model, type ModelDefinition } from "eidos/model";
import { adam, nameParameters, parametersOf, writeSafetensors } from "eidos/nn";
import { exportOnnx, Random, type Runtime, Session, type State } from "eidos/program";
import { elementCount, float32, type NdArray } from "eidos/tensor";
import { type Training, type TrainingStep, train } from "eidos/train";
import { type DataSpec, EXTENT } from "./data.ts";
import {
  isMeasuredAtRest,
  MODELS,
  type ModelEntry,
  type ModelKey,
  type Reflow,
  type Settings,
} from "./models.ts";

// What runs in a worker: one model that is trained step by step, and pictures of what it has learnt. It knows no page.

const DEFINITIONS: ReadonlyMap<string, ModelDefinition> = new Map(
  [
    rectifiedFlowDefinition,
    scoreSdeDefinition,
    ddpmDefinition,
    splineFlowDefinition,
    realNvpDefinition,
    mafDefinition,
    niceDefinition,
    vaeDefinition,
    ganDefinition,
  ].map((definition) => [definition.name, definition as unknown as ModelDefinition]),
);

/** Training points of a distribution. */
export const TRAINING_POINTS = 20_000;
/** Held-out points that figures are measured on, and samples that they are measured with. */
const MEASURED = 500;
/** Points of the grid of a density along a side: exact densities, and those that take many evaluations. */
const FINE = 72;
const COARSE = 40;
/** Arrows of a vector field along a side. */
const ARROWS = 19;
/** Codes that a bound is averaged over. */
const BOUND_SAMPLES = 8;
/** Tolerance of the solver where a log-density follows the probability flow: what a color shows, and what a figure states. */
const TOLERANCE = { picture: 1e-2, figure: 1e-3 } as const;
/** States of a path at most. */
const STATES = 41;

/** What is to be seen of a model. */
export interface LookRequest {
  readonly view: "samples" | "density" | "path" | "field";
  /** Samples, or particles of a path. */
  readonly count: number;
  readonly settings: Settings;
  /** The time of a vector field, 1 for noise. */
  readonly time: number;
  readonly seed: number;
  /** Whether figures are measured as well. */
  readonly figures: boolean;
  /** Whether what takes seconds may be computed: training rests. */
  readonly patient: boolean;
}

/** What is seen of a model. Coordinates are x and y one after the other, in the units of the data. */
export type Picture =
  | { readonly kind: "samples"; readonly points: Float32Array }
  /** Log-densities in nats, row by row from the top; −∞ where there is nothing. */
  | {
      readonly kind: "density";
      readonly side: number;
      readonly logDensities: Float32Array;
      readonly isBound: boolean;
    }
  /** States from noise to data. */
  | { readonly kind: "path"; readonly states: readonly Float32Array[] }
  | { readonly kind: "field"; readonly side: number; readonly velocities: Float32Array }
  /** What the model does not have, or what waits until training rests. */
  | {
      readonly kind: "none";
      readonly why: "no-density" | "noisy-density" | "no-path" | "no-field" | "paused-density";
    };

/** Numbers about a model, on held-out points. */
export interface Figures {
  /** Squared energy distance between samples and data. */
  readonly energyDistance: number;
  /** Mean log-likelihood of held-out points in nats; undefined where the model has none or it takes too long. */
  readonly logLikelihood?: number;
}

export interface Look {
  readonly step: number;
  readonly picture: Picture;
  readonly figures?: Figures;
}

/** What a model was made of. */
export interface Prepared {
  readonly parameters: number;
  /** Mean true log-density of the held-out points in nats: the most that a model can reach, but for chance. */
  readonly truth: number;
}

/** Steps that were done: their numbers, and a list of each plotted loss. */
export interface Progress {
  readonly step: number;
  readonly steps: readonly number[];
  readonly losses: readonly (readonly number[])[];
  readonly failed?: "not-finite";
}

/** The density that somebody chose or drew. @throws OptionError where a drawing is empty */
export function densityOf(data: DataSpec): PlaneDensity {
  return data.kind === "plane" ? planeDensity(data.name) : strokesDensity(data.strokes);
}

/** Points of a distribution, as the first of its training points. */
export function pointsOf(data: DataSpec, count: number, seed: number): Float32Array {
  const { splits } = drawnPoints(densityOf(data), { seed, count });
  return splits.train.batch(Uint32Array.from({ length: count }, (_, i) => i)).x.data as Float32Array;
}

/** The centers of a square grid over what is shown, row by row from the top: [side², 2]. */
function grid(side: number): NdArray<"float32"> {
  const data = new Float32Array(2 * side * side);
  const at = (i: number): number => EXTENT * ((2 * (i + 0.5)) / side - 1);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) data.set([at(column), -at(row)], 2 * (row * side + column));
  }
  return float32(data, [side * side, 2]);
}

/** The true log-density on the grid of a picture. */
export function trueDensity(data: DataSpec): Picture {
  const { logDensity } = densityOf(data);
  const { data: points } = grid(FINE);
  const logDensities = Float32Array.from({ length: FINE * FINE }, (_, i) =>
    logDensity(points.subarray(2 * i, 2 * i + 2)),
  );
  return { kind: "density", side: FINE, logDensities, isBound: false };
}

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return sum / values.length;
};

/** One model of the playground: its training, and a session that always has its newest weights. */
export class Engine {
  private readonly entry: ModelEntry;
  private readonly model: Model;
  private readonly runtime: Runtime;
  private readonly points: DataSet;
  private readonly seed: number;
  private training: Training;
  private steps: AsyncIterator<TrainingStep>;
  /** Steps that were done before this training, by one that has ended. */
  private before = 0;
  private readonly heldOut: NdArray<"float32">;
  private readonly weights = new Map<string, NdArray>();
  private readonly session: Session;
  /** The step that the weights of the session are of. */
  private weighed = -1;
  readonly prepared: Prepared;

  constructor(key: ModelKey, data: DataSpec, seed: number, runtime: Runtime) {
    const entry = MODELS[key];
    const { recipe } = entry;
    const definition = DEFINITIONS.get(recipe.model);
    if (definition === undefined) throw new Error(`the playground has no model ${recipe.model}`);
    const points: DataSet = drawnPoints(densityOf(data), { seed, count: TRAINING_POINTS });
    this.entry = entry;
    this.runtime = runtime;
    this.points = points;
    this.seed = seed;
    this.model = nameParameters(
      builderOf(definition)(recipe.options, { kind: points.kind, sampleShape: points.sampleShape }),
    );
    this.training = this.begin(points);
    this.steps = this.training[Symbol.asyncIterator]();
    this.heldOut = points.splits.test.batch(Uint32Array.from({ length: MEASURED }, (_, i) => i))
      .x as NdArray<"float32">;
    this.session = new Session(runtime, this.weights, { live: true });
    const truth = Array.from({ length: MEASURED }, (_, i) =>
      Number(points.logDensity?.(this.heldOut.data.subarray(2 * i, 2 * i + 2))),
    );
    this.prepared = {
      parameters: parametersOf(this.model).reduce(
        (sum, { shape }) => sum + elementCount(shape.map(Number)),
        0,
      ),
      truth: meanOf(truth),
    };
  }

  /** Training on data, from given weights or from random ones. */
  private begin(data: DataSet, weights?: State): Training {
    const { batchSize, learningRate, warmupSteps, averageDecay, adam: betas } = this.entry.recipe;
    return train(this.model, {
      data,
      runtime: this.runtime,
      batchSize,
      learningRate: (step) => learningRate * Math.min(1, (step + 1) / warmupSteps),
      averageDecay,
      seed: this.seed,
      ...(betas !== undefined && { optimizer: adam(betas) }),
      ...(weights !== undefined && { weights }),
    });
  }

  /** Steps done. */
  private get step(): number {
    return this.before + this.training.step;
  }

  /** Fits the model to pairs of noise and what it makes of it, from now on (Liu et al. 2022, section 2.2: reflow). */
  private async rectifyAgain({ pairs, solver }: Reflow): Promise<void> {
    const { model } = this;
    if (model.drawPairs === undefined) throw new Error("the model draws no pairs");
    await this.refresh();
    const drawn = await model.drawPairs(this.session, { ...solver, count: pairs, seed: this.seed });
    const weights = await this.training.weights();
    this.before = this.training.step;
    await this.steps.return?.();
    this.training = this.begin(withPairs(this.points, drawn), weights);
    this.steps = this.training[Symbol.asyncIterator]();
  }

  /** Trains for some steps, or until so many milliseconds are over; one step at least. */
  async advance(limit: { readonly steps: number; readonly milliseconds: number }): Promise<Progress> {
    const end = performance.now() + limit.milliseconds;
    const [steps, losses] = [[] as number[], this.entry.losses.map((): number[] => [])];
    const { reflow } = this.entry.recipe;
    for (let i = 0; i < limit.steps && (i === 0 || performance.now() < end); i++) {
      if (this.before === 0 && this.training.step === reflow?.after) await this.rectifyAgain(reflow);
      const { value } = await this.steps.next();
      if (value === undefined) break;
      steps.push(this.before + value.step);
      for (const [k, name] of this.entry.losses.entries()) losses[k]?.push(value.losses[name] ?? Number.NaN);
      if (!Number.isFinite(value.losses.total)) {
        return { step: this.step, steps, losses, failed: "not-finite" };
      }
    }
    return { step: this.step, steps, losses };
  }

  /** Brings the weights of the session to those of the training. */
  private async refresh(): Promise<void> {
    if (this.weighed === this.step) return;
    for (const [name, value] of await this.training.weights()) this.weights.set(name, value);
    this.weighed = this.step;
  }

  /** What is seen of the model as it is now. */
  async look(request: LookRequest): Promise<Look> {
    await this.refresh();
    const picture = await this.picture(request);
    if (!request.figures) return { step: this.weighed, picture };
    return { step: this.weighed, picture, figures: await this.figures(request) };
  }

  private picture(request: LookRequest): Promise<Picture> {
    switch (request.view) {
      case "samples":
        return this.samples(request);
      case "density":
        return this.density(request);
      case "path":
        return this.path(request);
      case "field":
        return this.field(request);
    }
  }

  private async draw(count: number, { settings, seed }: LookRequest): Promise<NdArray<"float32">> {
    const { sample } = this.model;
    if (sample === undefined) throw new Error("the model draws no samples");
    return sample.call(this.model, this.session, { ...this.entry.fixed, ...settings, count, seed });
  }

  private async samples(request: LookRequest): Promise<Picture> {
    return { kind: "samples", points: (await this.draw(request.count, request)).data };
  }

  private async density({ patient }: LookRequest): Promise<Picture> {
    const { density, bound = false } = this.entry;
    if (density === "none") return { kind: "none", why: "no-density" };
    if (density === "noisy") return { kind: "none", why: "noisy-density" };
    if (density === "paused" && !patient) return { kind: "none", why: "paused-density" };
    const side = density === "paused" || bound ? COARSE : FINE;
    const { data } = await this.logDensities(grid(side), TOLERANCE.picture);
    return { kind: "density", side, logDensities: data, isBound: bound };
  }

  /** Log-densities of points [n, 2]: exact, those of the probability flow, or a bound (of a VAE, of a chain). */
  private async logDensities(x: NdArray<"float32">, tolerance: number): Promise<NdArray<"float32">> {
    const { model, session } = this;
    if (model instanceof Vae) return model.score(session, x, { samples: BOUND_SAMPLES });
    if (model instanceof Ddpm) return model.score(session, x);
    if (model instanceof DiffusionModel) return model.score(session, x, { tolerance });
    const program = session.compiled(model, "log-density", ["x"], ({ x }) => {
      if (model.logProb === undefined) throw new Error("the model has no density");
      return { logDensity: model.logProb(x) };
    });
    return (await program.run({ x })).logDensity as NdArray<"float32">;
  }

  private async path(request: LookRequest): Promise<Picture> {
    const { model, session } = this;
    const { count, settings, seed } = request;
    if (model instanceof FlowModel) return { kind: "path", states: await this.flowStates(model, request) };
    if (!this.entry.path || model.sampleStates === undefined) return { kind: "none", why: "no-path" };
    const steps = Number(settings.steps ?? STATES - 1);
    const states = await model.sampleStates(session, {
      ...this.entry.fixed,
      ...settings,
      count,
      seed,
      states: Math.max(2, Math.min(STATES, steps + 1)),
    });
    return { kind: "path", states: states.map(({ data }) => data) };
  }

  /** The course of codes through the transforms of a flow; the noise is that which diffusion models of this seed begin with. */
  private async flowStates(
    model: FlowModel,
    { count, settings, seed }: LookRequest,
  ): Promise<Float32Array[]> {
    const random = new Random(seed).split("sample");
    const noise = new Float32Array(2 * count);
    for (let i = 0; i < count; i++)
      random
        .split(i)
        .split("noise")
        .fillNormal(noise.subarray(2 * i, 2 * i + 2));
    const temperature = Number(settings.temperature ?? 1);
    const program = this.session.compiled(model, "path", ["z"], ({ z }) =>
      Object.fromEntries(model.path(z).map((state, i) => [`state${i}`, state])),
    );
    const z = float32(
      noise.map((value) => temperature * value),
      [count, 2],
    );
    const states = (await program.run({ z })) as Readonly<Record<string, NdArray<"float32">>>;
    return Object.keys(states).map((_, i) => states[`state${i}`]?.data ?? new Float32Array(0));
  }

  private async field({ time }: LookRequest): Promise<Picture> {
    const { model, session, entry } = this;
    if (!entry.field || !(model instanceof DiffusionModel)) return { kind: "none", why: "no-field" };
    const points = grid(ARROWS);
    const velocity = model.velocity(session, { labels: undefined }, ARROWS * ARROWS);
    // Where a path ends, some velocities are not defined.
    const { data } = await velocity(model.units.arrayToModel(points), Math.min(0.999, Math.max(0.001, time)));
    return { kind: "field", side: ARROWS, velocities: data.map((value) => model.units.factor * value) };
  }

  private async figures(request: LookRequest): Promise<Figures> {
    const distance = energyDistance(await this.draw(MEASURED, request), this.heldOut);
    const { entry } = this;
    if (entry.density === "none" || (isMeasuredAtRest(entry) && !request.patient))
      return { energyDistance: distance };
    return {
      energyDistance: distance,
      logLikelihood: meanOf((await this.logDensities(this.heldOut, TOLERANCE.figure)).data),
    };
  }

  /** The weights to use as a file of safetensors. */
  async file(): Promise<Uint8Array<ArrayBuffer>> {
    await this.refresh();
    return writeSafetensors(this.weights, { model: this.entry.recipe.model, step: String(this.weighed) });
  }

  /**
   * A sampler as an ONNX file with the weights inside: noise goes in, samples come out. Of diffusion models it is the solver with its steps, as
   * set; of others one pass, at temperature 1 and without truncation.
   */
  async onnx(settings: Settings): Promise<Uint8Array<ArrayBuffer>> {
    await this.refresh();
    const { outputs, description } = this.sampler(settings);
    const about = { model: this.entry.recipe.model, step: String(this.weighed), description };
    return exportOnnx(outputs, this.weights, about).slice();
  }

  private sampler(settings: Settings): ReturnType<Exportable["exported"]> {
    const whole = this.model.exportedSampler?.({ ...this.entry.fixed, ...settings });
    if (whole !== undefined) return whole;
    const draws = this.model.exportedDraws?.();
    if (draws === undefined) throw new Error("the model draws no samples by a graph");
    return {
      outputs: { samples: draws.samples },
      description: "random.0, …: noise, as randomInputs names it. samples: [batch, 2], units of the data.",
    };
  }

  /** Frees what the runtime holds. */
  async release(): Promise<void> {
    await this.steps.return?.();
    await this.session.release();
  }
}
