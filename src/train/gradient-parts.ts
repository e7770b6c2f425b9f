import type { Batch, Split } from "../data/data-set.ts";
import { batchIndices } from "../data/order.ts";
import { OptionError } from "../errors.ts";
import { buffersOf } from "../nn/module.ts";
import { Program } from "../program/program.ts";
import type { Runtime, RuntimeValue } from "../program/runtime.ts";
import type { Random } from "../random.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { BatchShape, StepTracer } from "./step.ts";

/** Values of the vectors of training by name: parameters, slot.…, average, and buffers under their own names. */
export type TrainingVectors = Readonly<Record<string, NdArray | RuntimeValue>>;

/** Where batches and noise come from: both are pure functions of the step, so that a resumed run repeats them. */
export interface BatchSource {
  readonly split: Split;
  readonly batchSize: number;
  readonly random: Random;
}

const orderGenerators = new WeakMap<Random, Random>();

/** The generator that shuffles; always the same object, for which the order of the current epoch is kept. */
function orderGenerator(random: Random): Random {
  let order = orderGenerators.get(random);
  if (order === undefined) {
    order = random.split("order");
    orderGenerators.set(random, order);
  }
  return order;
}

/** The indices of the samples of a step (counted from 0). */
export function stepIndices({ split, batchSize, random }: BatchSource, step: number): Uint32Array {
  return batchIndices(split.count, batchSize, step, orderGenerator(random));
}

/** Shapes of a batch of `count` samples of the split. */
export function batchShapeOf(split: Split, count: number): BatchShape {
  const { x, label } = split.batch([0]);
  return { x: [count, ...x.shape.slice(1)], labelled: label !== undefined };
}

/** Shapes of a batch of `count` samples that are trained on. */
export function trainingShapeOf(split: Split, count: number): BatchShape {
  return { ...batchShapeOf(split, count), intensities: split.intensities !== undefined };
}

/** Feeds of samples that are trained on: probabilities of ones, where these are drawn anew each time. */
export function trainingFeeds(split: Split, indices: ArrayLike<number>): Record<string, NdArray> {
  return batchFeeds(split.intensities?.(indices) ?? split.batch(indices));
}

/** Feeds of a batch. */
export function batchFeeds(batch: Batch): Record<string, NdArray> {
  return batch.label === undefined ? { x: batch.x } : { x: batch.x, label: batch.label };
}

/** The gradient of one part of a batch. */
export interface PartResult {
  readonly gradient: NdArray | RuntimeValue;
  readonly losses: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, NdArray | RuntimeValue>>;
}

/** The losses among the outputs of a step. */
export async function readLosses(
  values: Readonly<Record<string, RuntimeValue>>,
): Promise<Record<string, number>> {
  const losses: Record<string, number> = {};
  for (const [name, value] of Object.entries(values)) {
    if (name.startsWith("loss.")) losses[name.slice(5)] = Number((await value.read()).data[0]);
  }
  return losses;
}

/** Computes gradients of equal parts of the batches of a source. */
export class PartGradients {
  private readonly program: Program;
  private readonly source: BatchSource;
  private readonly rows: number;
  private readonly bufferNames: readonly string[];

  private constructor(program: Program, source: BatchSource, rows: number, bufferNames: readonly string[]) {
    this.program = program;
    this.source = source;
    this.rows = rows;
    this.bufferNames = bufferNames;
  }

  /** @throws OptionError where the batch does not divide into the parts. */
  static async build(
    tracer: StepTracer,
    source: BatchSource,
    parts: number,
    runtime: Runtime,
  ): Promise<PartGradients> {
    const rows = source.batchSize / parts;
    if (!Number.isInteger(rows)) {
      throw new OptionError(`option batchSize: ${source.batchSize} does not divide into ${parts} parts`);
    }
    const program = await Program.build(tracer.gradient(trainingShapeOf(source.split, rows)), runtime);
    return new PartGradients(
      program,
      source,
      rows,
      buffersOf(tracer.model).map(({ name }) => name),
    );
  }

  /** The gradient of part `part` of the batch of a step. */
  async compute(step: number, part: number, vectors: TrainingVectors): Promise<PartResult> {
    const first = part * this.rows;
    const indices = stepIndices(this.source, step).subarray(first, first + this.rows);
    const random = this.source.random.split("noise").split(step);
    const outputs = await this.program.runValues(
      { ...vectors, ...trainingFeeds(this.source.split, indices) },
      { random, rows: { first, count: this.rows } },
    );
    const { gradient } = outputs;
    if (gradient === undefined) throw new OptionError("the program has no gradient");
    const buffers = Object.fromEntries(
      this.bufferNames.map((name) => [name, outputs[name] ?? float32([], [0])]),
    );
    return { gradient, losses: await readLosses(outputs), buffers };
  }

  release(): Promise<void> {
    return this.program.release();
  }
}

/** Computes the gradients of all parts of a step: one after another here, or in other workers at the same time. */
export interface GradientPool {
  readonly parts: number;
  compute(step: number, vectors: TrainingVectors): Promise<readonly PartResult[]>;
  release(): Promise<void>;
}

/** All parts one after another in this thread: gradient accumulation. */
export async function accumulatingPool(
  tracer: StepTracer,
  source: BatchSource,
  parts: number,
  runtime: Runtime,
): Promise<GradientPool> {
  const gradients = await PartGradients.build(tracer, source, parts, runtime);
  return {
    parts,
    async compute(step, vectors) {
      const results: PartResult[] = [];
      for (let part = 0; part < parts; part++) results.push(await gradients.compute(step, part, vectors));
      return results;
    },
    release: () => gradients.release(),
  };
}
