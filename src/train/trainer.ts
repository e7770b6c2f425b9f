import { OptionError } from "../errors.ts";
import { buffersOf, initialState, parametersOf } from "../nn/module.ts";
import { Program, type State } from "../program/program.ts";
import { disposeValue, type Runtime, type RuntimeValue, readValue, type Value } from "../program/runtime.ts";
import type { Random } from "../random.ts";
import { elementCount, float32, type NdArray, zeros } from "../tensor/array.ts";
import type { BatchShape, EvaluatedSamples, HeldOut, TrainingBatches } from "./batches.ts";
import type { OpenGame } from "./game.ts";
import { GamePrograms } from "./game-programs.ts";
import { type GradientPool, readLosses, type TrainingVectors } from "./gradient-parts.ts";
import { type KernelOrder, kernelOrderOf } from "./kernel-order.ts";
import { parameterValue } from "./layout.ts";
import { gradientArrays, numbersOf, scalarsOf } from "./outside-update.ts";
import { MOST_PROGRAMS, ShapedPrograms } from "./programs.ts";
import { averageOf, EVALUATED, gradientName, isAdversarial, type StepTracer } from "./step.ts";
import { type StepAt, VectorUpdate } from "./vector-update.ts";

/** Everything that decides how training goes on. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  readonly vectors: ReadonlyMap<string, NdArray>;
  /** Whether parameters are those of a fit before, which the first batch leaves as they are. */
  readonly given?: boolean;
}

/** What a step reports. */
export interface StepResult {
  /** Named losses; `total` is the one that is minimized. */
  readonly losses: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
}

/**
 * Fresh vectors for a model: initial parameters and buffers, zero slots, average equal to the parameters; frozen parameters by their own
 * names.
 */
export function initialVectors(
  tracer: StepTracer,
  random: Random,
  weights?: State,
): ReadonlyMap<string, NdArray> {
  const { layout, model } = tracer;
  const state = weights ?? initialState(model, random);
  const parameters = float32(layout.pack(state), [layout.size]);
  const vectors = new Map<string, NdArray>([["parameters", parameters]]);
  for (const slot of tracer.slotNames) vectors.set(slot, zeros("float32", [layout.size]));
  if (tracer.keepsAverage) vectors.set("average", parameters);
  for (const parameter of tracer.frozen) {
    vectors.set(parameter.name, float32(parameterValue(state, parameter).data, parameter.shape));
  }
  for (const { name, shape } of buffersOf(model))
    vectors.set(name, state.get(name) ?? zeros("float32", shape));
  for (const buffer of tracer.averagedBuffers) {
    vectors.set(averageOf(buffer), vectors.get(buffer.name) ?? zeros("float32", buffer.shape));
  }
  return vectors;
}

/**
 * Fresh vectors in which layers with data-dependent initialization have taken their values from the first batch. The
 * result depends on seed and data alone, so that a run which is resumed before its first step begins alike.
 */
async function initializedByData(
  tracer: StepTracer,
  batches: TrainingBatches,
  runtime: Runtime,
  start: Snapshot,
): Promise<Snapshot> {
  const graph = tracer.initialization(batches.shape(batches.batchSize, 0));
  const before = start.vectors.get("parameters");
  if (graph === undefined || before === undefined) return start;
  const program = await Program.build(graph, runtime);
  try {
    const feeds = await batches.feeds(0);
    const random = batches.random.split("noise").split("initialisation");
    const values = await program.run({ ...Object.fromEntries(start.vectors), ...feeds }, { random });
    const state = new Map([...tracer.layout.unpack(before.data as Float32Array), ...Object.entries(values)]);
    const parameters = float32(tracer.layout.pack(state), [tracer.layout.size]);
    return {
      ...start,
      vectors: new Map(
        [...start.vectors].map(([name, value]) => [
          name,
          name === "parameters" || name === "average" ? parameters : (values[name] ?? value),
        ]),
      ),
    };
  } finally {
    await program.release();
  }
}

/**
 * How steps are computed. Where gradients come from: a program for the whole batch, or a pool for its parts. What becomes of them: the
 * update is a program, that of the whole step or one of its own, or it is made outside of the graph, on vectors in one memory.
 */
type StepPrograms =
  | {
      readonly kind: "whole";
      readonly programs: ShapedPrograms;
      readonly update?: VectorUpdate;
      /** Of the vectors of the update. */
      readonly order?: KernelOrder;
    }
  | { readonly kind: "game"; readonly programs: GamePrograms; readonly update: VectorUpdate }
  | {
      readonly kind: "parts";
      readonly pool: GradientPool;
      readonly update: Program | VectorUpdate;
      /** The averages of buffers, where the update is none of a graph and there are any. */
      readonly averages?: Program;
    };

/** The programs of steps, made for batches of this shape. */
async function programsOf(
  tracer: StepTracer,
  runtime: Runtime,
  shape: BatchShape,
  {
    pool,
    game,
    update,
    order,
  }: {
    readonly pool: GradientPool | undefined;
    readonly game: OpenGame | undefined;
    readonly update: VectorUpdate | undefined;
    readonly order: KernelOrder | undefined;
  },
): Promise<StepPrograms> {
  if (pool === undefined && game !== undefined && update !== undefined) {
    const programs = await GamePrograms.build(tracer, game, update, shape, runtime);
    return { kind: "game", programs, update };
  }
  if (pool === undefined) {
    const trace = update === undefined ? "whole" : "gradients";
    const programs = new ShapedPrograms((of) => tracer[trace](of), runtime, MOST_PROGRAMS, order?.ordered);
    await programs.at(shape);
    return { kind: "whole", programs, ...(update && { update }), ...(order && { order }) };
  }
  if (update === undefined) {
    return { kind: "parts", pool, update: await Program.build(tracer.updateFrom(pool.parts), runtime) };
  }
  const averages = tracer.bufferAverages();
  return {
    kind: "parts",
    pool,
    update,
    ...(averages.size > 0 && { averages: await Program.build(averages, runtime) }),
  };
}

/** Runs training steps; holds parameters and optimizer state where the runtime keeps its values. */
export class Trainer {
  private readonly tracer: StepTracer;
  private readonly batches: TrainingBatches;
  private readonly runtime: Runtime;
  private readonly steps: StepPrograms;
  /** Programs by evaluator and shape. */
  private readonly validations = new Map<HeldOut["evaluator"], Map<string, Promise<Program>>>();
  private vectors: TrainingVectors;
  /** Steps done. */
  step: number;

  private constructor(
    tracer: StepTracer,
    batches: TrainingBatches,
    runtime: Runtime,
    steps: StepPrograms,
    start: Snapshot,
  ) {
    this.tracer = tracer;
    this.batches = batches;
    this.runtime = runtime;
    this.steps = steps;
    this.vectors = {
      ...Object.fromEntries(start.vectors),
      ...(steps.update instanceof VectorUpdate && steps.update.views),
    };
    this.step = start.step;
  }

  /**
   * @param pool computes gradients in parts; without one, a step is a single program.
   * @param start where to begin: fresh vectors, or those of a checkpoint.
   */
  static async create(
    tracer: StepTracer,
    batches: TrainingBatches,
    runtime: Runtime,
    start: Snapshot,
    pool?: GradientPool,
  ): Promise<Trainer> {
    const begun =
      start.step > 0 || start.given ? start : await initializedByData(tracer, batches, runtime, start);
    // The memory of a processor is that of the vectors, too; on other providers they would travel at each step.
    const shape = batches.shape(batches.batchSize, start.step);
    const game = runtime.provider === "cpu" ? tracer.game(shape) : undefined;
    const isOutside = runtime.provider === "cpu" && (game !== undefined || !isAdversarial(tracer.model));
    const outside = isOutside ? tracer.outside : undefined;
    const isWhole = outside !== undefined && pool === undefined && game === undefined;
    const order = isWhole ? kernelOrderOf(tracer, shape, runtime.target.block) : undefined;
    const update =
      outside && (await VectorUpdate.create(outside, begun.vectors, order, runtime.openSharedModule));
    try {
      const steps = await programsOf(tracer, runtime, shape, { pool, game, update, order });
      return new Trainer(tracer, batches, runtime, steps, begun);
    } catch (error) {
      await update?.release();
      throw error;
    }
  }

  /**
   * One step at this learning rate. Non-finite losses are returned, not thrown: the caller decides.
   * @param since the step at which training of the part under way has begun, from which optimizer and average count; default: 0
   */
  async train(learningRate: number, since = 0): Promise<StepResult> {
    const { steps } = this;
    const at = { learningRate, number: this.step + 1 - since };
    const result = await this.stepBy(steps, at);
    this.step += 1;
    return result;
  }

  private stepBy(steps: StepPrograms, at: StepAt): Promise<StepResult> {
    switch (steps.kind) {
      case "whole":
        return this.trainWhole(steps, at);
      case "game":
        return this.trainGame(steps.programs, at);
      case "parts":
        return this.trainInParts(steps, at);
    }
  }

  private async trainWhole(
    { programs, update }: Extract<StepPrograms, { kind: "whole" }>,
    at: StepAt,
  ): Promise<StepResult> {
    const { batchSize } = this.batches;
    const program = await programs.at(this.batches.shape(batchSize, this.step));
    const feeds = await this.batches.feeds(this.step);
    const random = this.batches.random.split("noise").split(this.step);
    const scalars = scalarsOf(at);
    if (update === undefined) {
      const outputs = await program.runValues({ ...this.vectors, ...scalars, ...feeds }, { random });
      return this.take(outputs, await readLosses(outputs));
    }
    const { layout } = this.tracer;
    const parameters = Object.fromEntries(layout.shown(update.vector("parameters")));
    const outputs = await program.runValues(
      { ...this.vectors, ...parameters, ...scalars, ...feeds },
      { random, into: gradientArrays(layout, update.gradient) },
    );
    const gradientNorm = update.update(at);
    return this.take(outputs, await readLosses(outputs), gradientNorm);
  }

  private async trainGame(programs: GamePrograms, at: StepAt): Promise<StepResult> {
    const { outputs, norm } = await programs.run({
      shape: this.batches.shape(this.batches.batchSize, this.step),
      feeds: await this.batches.feeds(this.step),
      random: this.batches.random.split("noise").split(this.step),
      vectors: this.vectors,
      at,
    });
    return this.take(outputs, await readLosses(outputs), norm);
  }

  private async trainInParts(
    { pool, update, averages }: Extract<StepPrograms, { kind: "parts" }>,
    at: StepAt,
  ): Promise<StepResult> {
    const parts = await pool.compute(this.step, this.vectors);
    const buffers = parts.at(-1)?.buffers ?? {};
    const losses: Record<string, number> = {};
    for (const part of parts) {
      for (const [name, loss] of Object.entries(part.losses))
        losses[name] = (losses[name] ?? 0) + loss / parts.length;
    }
    // Each part has its own batch statistics; those of the last one stay, as with one process a device elsewhere.
    if (update instanceof VectorUpdate) {
      const gradientNorm = update.update(
        at,
        undefined,
        parts.map(({ gradient }) => numbersOf(gradient)),
      );
      for (const { gradient } of parts) disposeValue(gradient);
      const averaged = await averages?.runValues({ ...this.vectors, ...buffers, ...scalarsOf(at) });
      return this.take({ ...buffers, ...averaged }, losses, gradientNorm);
    }
    const gradients = Object.fromEntries(parts.map(({ gradient }, i) => [gradientName(i), gradient]));
    const outputs = await update.runValues({ ...this.vectors, ...buffers, ...scalarsOf(at), ...gradients });
    return this.take({ ...outputs, ...buffers }, losses);
  }

  private async take(
    outputs: Readonly<Record<string, Value>>,
    losses: Readonly<Record<string, number>>,
    norm?: number,
  ): Promise<StepResult> {
    const before = this.vectors;
    this.vectors = Object.fromEntries(
      Object.keys(before).map((name) => [name, outputs[name] ?? before[name]]),
    ) as Record<string, RuntimeValue>;
    for (const [name, value] of Object.entries(before)) {
      if (value !== this.vectors[name]) disposeValue(value);
    }
    const { gradientNorm: output } = outputs;
    const gradientNorm =
      norm ?? (output === undefined ? Number.NaN : Number((await readValue(output)).data[0]));
    return { losses, gradientNorm };
  }

  /** The vector that holds the weights to use: the moving average where one is kept. */
  private get weightsName(): string {
    return this.tracer.keepsAverage ? "average" : "parameters";
  }

  /** The averages of buffers in place of the buffers themselves. */
  private get averagedBuffers(): TrainingVectors {
    return Object.fromEntries(
      this.tracer.averagedBuffers.flatMap((buffer) => {
        const average = this.vectors[averageOf(buffer)];
        return average === undefined ? [] : [[buffer.name, average]];
      }),
    );
  }

  /**
   * Mean losses over the first held-out samples, with the weights to use. The noise is the same at every call, so
   * that numbers of two steps can be compared.
   * @param evaluated takes what the part's evaluator asks for of the samples
   * @param isEnough asked after each batch but the last: true ends with the samples up to there
   */
  async validate(
    part: HeldOut,
    samples: number,
    evaluated?: EvaluatedSamples,
    isEnough: () => boolean = () => false,
  ): Promise<{ readonly losses: Readonly<Record<string, number>>; readonly count: number }> {
    const total = Math.min(part.count, samples);
    const least = this.tracer.model.comparesSamples === true ? 1 : 64;
    const size = Math.min(total, part.batchSize ?? Math.max(this.batches.batchSize, least));
    const sums: Record<string, number> = {};
    const held = this.vectors[this.weightsName];
    if (held === undefined) throw new OptionError("training holds no parameters");
    const parameters = this.orderOf(this.weightsName)?.plain(numbersOf(held)) ?? held;
    for (let first = 0; first < total; first += size) {
      const rows = { first, count: Math.min(size, total - first) };
      const program = await this.validationProgram(part, rows.count);
      const outputs = await program.runValues(
        { ...this.vectors, parameters, ...this.averagedBuffers, ...(await part.feeds(rows)) },
        { random: this.batches.random.split("validation").split(first) },
      );
      for (const [name, loss] of Object.entries(await readLosses(outputs))) {
        sums[name] = (sums[name] ?? 0) + (loss * rows.count) / total;
      }
      evaluated?.add(await readEvaluated(outputs), rows);
      const count = first + rows.count;
      if (count < total && isEnough()) {
        const means = Object.entries(sums).map(([name, sum]) => [name, (sum * total) / count] as const);
        return { losses: Object.fromEntries(means), count };
      }
    }
    return { losses: sums, count: total };
  }

  private validationProgram({ shape, evaluator }: HeldOut, count: number): Promise<Program> {
    const sizes = this.validations.get(evaluator) ?? new Map<string, Promise<Program>>();
    this.validations.set(evaluator, sizes);
    const asked = shape(count);
    const key = JSON.stringify(asked);
    let program = sizes.get(key);
    if (program === undefined) {
      program = Program.build(this.tracer.validation(asked, evaluator), this.runtime);
      sizes.set(key, program);
    }
    return program;
  }

  /** Copies of all vectors. */
  async snapshot(): Promise<Snapshot> {
    const vectors = new Map<string, NdArray>();
    for (const [name, value] of Object.entries(this.vectors))
      vectors.set(name, await this.copyOf(name, value));
    return { step: this.step, vectors };
  }

  /** The order of a vector's weights, where it is not the plain one. */
  private orderOf(name: string): KernelOrder | undefined {
    const { steps } = this;
    return steps.kind === "whole" && steps.update?.has(name) ? steps.order : undefined;
  }

  /** A copy of a vector or buffer as an array, in plain order. */
  private async copyOf(name: string, value: Value): Promise<NdArray> {
    const order = this.orderOf(name);
    if (order !== undefined) return order.plain(numbersOf(value));
    return value.kind === "runtime" ? value.read() : ({ ...value, data: value.data.slice() } as NdArray);
  }

  /** The weights to use, by name: averaged parameters where an average is kept, and buffers. */
  async weights(): Promise<State> {
    return weightsOf(this.tracer, await this.snapshot());
  }

  /** Frees the trainer's programs and values, which is its end; the pool is its maker's. */
  async release(): Promise<void> {
    for (const value of Object.values(this.vectors)) disposeValue(value);
    this.vectors = {};
    const { steps } = this;
    if (steps.update instanceof VectorUpdate) await steps.update.release();
    if (steps.kind !== "parts") await steps.programs.release();
    else
      for (const program of [steps.update, steps.averages])
        if (program instanceof Program) await program.release();
    for (const sizes of this.validations.values())
      for (const program of sizes.values()) await (await program).release();
  }
}

/** The weights to use of a snapshot, by name. */
export function weightsOf(tracer: StepTracer, { vectors }: Snapshot): State {
  const flat = vectors.get(tracer.keepsAverage ? "average" : "parameters");
  if (flat === undefined || flat.data.length !== tracer.layout.size) {
    throw new OptionError("the snapshot does not belong to this model");
  }
  const trained = tracer.layout.unpack(flat.data as Float32Array);
  const weights = new Map(
    parametersOf(tracer.model).map((parameter): readonly [string, NdArray] => [
      parameter.name,
      trained.get(parameter.name) ?? parameterValue(vectors, parameter),
    ]),
  );
  for (const buffer of buffersOf(tracer.model)) {
    const { name, shape } = buffer;
    const value = vectors.get(averageOf(buffer)) ?? vectors.get(name);
    if (value !== undefined && value.data.length === elementCount(shape)) weights.set(name, value);
  }
  return weights;
}

/** What an evaluator has asked for, among the outputs of a validation. */
async function readEvaluated(
  outputs: Readonly<Record<string, RuntimeValue>>,
): Promise<Record<string, NdArray>> {
  const seen: Record<string, NdArray> = {};
  for (const [name, value] of Object.entries(outputs)) {
    if (name.startsWith(EVALUATED)) seen[name.slice(EVALUATED.length)] = await value.read();
  }
  return seen;
}
