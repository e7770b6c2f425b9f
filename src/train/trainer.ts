import { range, type Split } from "../data/data-set.ts";
import { OptionError } from "../errors.ts";
import { buffersOf, initialState } from "../nn/module.ts";
import { Program, type State } from "../program/program.ts";
import type { Runtime, RuntimeValue } from "../program/runtime.ts";
import type { Random } from "../random.ts";
import { elementCount, float32, type NdArray, zeros } from "../tensor/array.ts";
import {
  type BatchSource,
  batchFeeds,
  batchShapeOf,
  type GradientPool,
  readLosses,
  stepIndices,
  type TrainingVectors,
  trainingFeeds,
  trainingShapeOf,
} from "./gradient-parts.ts";
import type { StepTracer } from "./step.ts";

/** Everything that decides how training goes on. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  readonly vectors: ReadonlyMap<string, NdArray>;
}

/** What a step reports. */
export interface StepResult {
  /** Named losses; `total` is the one that is minimised. */
  readonly losses: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
}

/** Fresh vectors for a model: initial parameters and buffers, zero slots, average equal to the parameters. */
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
  for (const { name, shape } of buffersOf(model))
    vectors.set(name, state.get(name) ?? zeros("float32", shape));
  return vectors;
}

/**
 * Fresh vectors in which layers with data-dependent initialisation have taken their values from the first batch. The
 * result depends on seed and data alone, so that a run which is resumed before its first step begins alike.
 */
async function initialisedByData(
  tracer: StepTracer,
  source: BatchSource,
  runtime: Runtime,
  start: Snapshot,
): Promise<Snapshot> {
  const graph = tracer.initialisation(trainingShapeOf(source.split, source.batchSize));
  const before = start.vectors.get("parameters");
  if (graph === undefined || before === undefined) return start;
  const program = await Program.build(graph, runtime);
  try {
    const feeds = trainingFeeds(source.split, stepIndices(source, 0));
    const random = source.random.split("noise").split("initialisation");
    const values = await program.run({ ...Object.fromEntries(start.vectors), ...feeds }, { random });
    const state = new Map([...tracer.layout.unpack(before.data as Float32Array), ...Object.entries(values)]);
    const parameters = float32(tracer.layout.pack(state), [tracer.layout.size]);
    return {
      ...start,
      vectors: new Map(
        [...start.vectors].map(([name, value]) => [
          name,
          name === "parameters" || name === "average" ? parameters : value,
        ]),
      ),
    };
  } finally {
    await program.release();
  }
}

/** Runs training steps; holds parameters and optimiser state where the runtime keeps its values. */
export class Trainer {
  private readonly tracer: StepTracer;
  private readonly source: BatchSource;
  private readonly runtime: Runtime;
  private readonly pool: GradientPool | undefined;
  private readonly program: Program;
  private readonly validations = new Map<number, Promise<Program>>();
  private vectors: TrainingVectors;
  /** Steps done. */
  step: number;

  private constructor(
    tracer: StepTracer,
    source: BatchSource,
    runtime: Runtime,
    pool: GradientPool | undefined,
    program: Program,
    start: Snapshot,
  ) {
    this.tracer = tracer;
    this.source = source;
    this.runtime = runtime;
    this.pool = pool;
    this.program = program;
    this.vectors = Object.fromEntries(start.vectors);
    this.step = start.step;
  }

  /**
   * @param pool computes gradients in parts; without one, a step is a single program.
   * @param start where to begin: fresh vectors, or those of a checkpoint.
   */
  static async create(
    tracer: StepTracer,
    source: BatchSource,
    runtime: Runtime,
    start: Snapshot,
    pool?: GradientPool,
  ): Promise<Trainer> {
    const graph = pool
      ? tracer.updateFrom(pool.parts)
      : tracer.whole(trainingShapeOf(source.split, source.batchSize));
    const program = await Program.build(graph, runtime);
    const begun = start.step > 0 ? start : await initialisedByData(tracer, source, runtime, start);
    return new Trainer(tracer, source, runtime, pool, program, begun);
  }

  /** One step at this learning rate. Non-finite losses are returned, not thrown: the caller decides. */
  async train(learningRate: number): Promise<StepResult> {
    const scalars = { learningRate: float32([learningRate], []), step: float32([this.step + 1], []) };
    const result = this.pool ? await this.trainInParts(this.pool, scalars) : await this.trainWhole(scalars);
    this.step += 1;
    return result;
  }

  private async trainWhole(scalars: Record<string, NdArray>): Promise<StepResult> {
    const feeds = trainingFeeds(this.source.split, stepIndices(this.source, this.step));
    const random = this.source.random.split("noise").split(this.step);
    const outputs = await this.program.runValues({ ...this.vectors, ...scalars, ...feeds }, { random });
    return this.take(outputs, await readLosses(outputs));
  }

  private async trainInParts(pool: GradientPool, scalars: Record<string, NdArray>): Promise<StepResult> {
    const parts = await pool.compute(this.step, this.vectors);
    const gradients = Object.fromEntries(parts.map(({ gradient }, i) => [`gradient.${i}`, gradient]));
    const outputs = await this.program.runValues({ ...this.vectors, ...scalars, ...gradients });
    const losses: Record<string, number> = {};
    for (const part of parts) {
      for (const [name, loss] of Object.entries(part.losses))
        losses[name] = (losses[name] ?? 0) + loss / parts.length;
    }
    // Each part has its own batch statistics; those of the last one stay, as with one process a device elsewhere.
    return this.take({ ...outputs, ...parts.at(-1)?.buffers }, losses);
  }

  private async take(
    outputs: Readonly<Record<string, NdArray | RuntimeValue>>,
    losses: Readonly<Record<string, number>>,
  ): Promise<StepResult> {
    const norm = outputs.gradientNorm;
    const before = this.vectors;
    this.vectors = Object.fromEntries(
      Object.keys(before).map((name) => [name, outputs[name] ?? before[name]]),
    ) as Record<string, RuntimeValue>;
    for (const [name, value] of Object.entries(before)) {
      if (value !== this.vectors[name] && "dispose" in value) value.dispose();
    }
    const gradientNorm = norm === undefined ? Number.NaN : Number((await readValue(norm)).data[0]);
    return { losses, gradientNorm };
  }

  /** The vector that holds the weights to use: the moving average where one is kept. */
  private get weightsName(): string {
    return this.tracer.keepsAverage ? "average" : "parameters";
  }

  /**
   * Mean losses over the first samples of a split, with the weights to use. The noise is the same at every call, so
   * that numbers of two steps can be compared.
   */
  async validate(split: Split, samples: number): Promise<Readonly<Record<string, number>>> {
    const total = Math.min(split.count, samples);
    const size = Math.min(total, Math.max(this.source.batchSize, 64));
    const sums: Record<string, number> = {};
    const parameters = this.vectors[this.weightsName];
    if (parameters === undefined) throw new OptionError("training holds no parameters");
    for (let first = 0; first < total; first += size) {
      const count = Math.min(size, total - first);
      const program = await this.validationProgram(split, count);
      const indices = range(first, count);
      const outputs = await program.runValues(
        { ...this.vectors, parameters, ...batchFeeds(split.batch(indices)) },
        { random: this.source.random.split("validation").split(first) },
      );
      for (const [name, loss] of Object.entries(await readLosses(outputs))) {
        sums[name] = (sums[name] ?? 0) + (loss * count) / total;
      }
    }
    return sums;
  }

  private validationProgram(split: Split, count: number): Promise<Program> {
    let program = this.validations.get(count);
    if (program === undefined) {
      program = Program.build(this.tracer.validation(batchShapeOf(split, count)), this.runtime);
      this.validations.set(count, program);
    }
    return program;
  }

  /** Copies of all vectors. */
  async snapshot(): Promise<Snapshot> {
    const vectors = new Map<string, NdArray>();
    for (const [name, value] of Object.entries(this.vectors)) vectors.set(name, await readValue(value));
    return { step: this.step, vectors };
  }

  /** The weights to use, by name: averaged parameters where an average is kept, and buffers. */
  async weights(): Promise<State> {
    return weightsOf(this.tracer, await this.snapshot());
  }

  /** Frees the trainer's programs; the pool is its maker's. */
  async release(): Promise<void> {
    await this.program.release();
    for (const program of this.validations.values()) await (await program).release();
  }
}

/** The weights to use of a snapshot, by name. */
export function weightsOf(tracer: StepTracer, { vectors }: Snapshot): State {
  const flat = vectors.get(tracer.keepsAverage ? "average" : "parameters");
  if (flat === undefined || flat.data.length !== tracer.layout.size) {
    throw new OptionError("the snapshot does not belong to this model");
  }
  const weights = new Map(tracer.layout.unpack(flat.data as Float32Array));
  for (const { name, shape } of buffersOf(tracer.model)) {
    const value = vectors.get(name);
    if (value !== undefined && value.data.length === elementCount(shape)) weights.set(name, value);
  }
  return weights;
}

async function readValue(value: NdArray | RuntimeValue): Promise<NdArray> {
  return "read" in value ? value.read() : value;
}
