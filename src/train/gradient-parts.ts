import { OptionError } from "../errors.ts";
import { buffersOf } from "../nn/module.ts";
import type { Runtime, RuntimeValue, Value } from "../program/runtime.ts";
import { float32 } from "../tensor/array.ts";
import type { TrainingBatches } from "./batches.ts";
import { ShapedPrograms } from "./programs.ts";
import type { StepTracer } from "./step.ts";

/** Values of the vectors of training by name: parameters, slot.…, average, and buffers under their own names. */
export type TrainingVectors = Readonly<Record<string, Value>>;

/** The gradient of one part of a batch. */
export interface PartResult {
  readonly gradient: Value;
  readonly losses: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, Value>>;
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
  private readonly programs: ShapedPrograms;
  private readonly batches: TrainingBatches;
  private readonly rows: number;
  private readonly bufferNames: readonly string[];

  private constructor(
    programs: ShapedPrograms,
    batches: TrainingBatches,
    rows: number,
    bufferNames: readonly string[],
  ) {
    this.programs = programs;
    this.batches = batches;
    this.rows = rows;
    this.bufferNames = bufferNames;
  }

  /** The program for parts of the first batch is built at once. @throws OptionError where the batch does not divide into the parts */
  static async build(
    tracer: StepTracer,
    batches: TrainingBatches,
    parts: number,
    runtime: Runtime,
  ): Promise<PartGradients> {
    const rows = batches.batchSize / parts;
    if (!Number.isInteger(rows)) {
      throw new OptionError(`option batchSize: ${batches.batchSize} does not divide into ${parts} parts`);
    }
    const programs = new ShapedPrograms((shape) => tracer.gradient(shape), runtime);
    await programs.at(batches.shape(rows, 0));
    return new PartGradients(
      programs,
      batches,
      rows,
      buffersOf(tracer.model).map(({ name }) => name),
    );
  }

  /** The gradient of part `part` of the batch of a step. */
  async compute(step: number, part: number, vectors: TrainingVectors): Promise<PartResult> {
    const rows = { first: part * this.rows, count: this.rows };
    const feeds = await this.batches.feeds(step, rows);
    const random = this.batches.random.split("noise").split(step);
    const program = await this.programs.at(this.batches.shape(this.rows, step));
    const outputs = await program.runValues({ ...vectors, ...feeds }, { random, rows });
    const { gradient } = outputs;
    if (gradient === undefined) throw new OptionError("the program has no gradient");
    const buffers = Object.fromEntries(
      this.bufferNames.map((name) => [name, outputs[name] ?? float32([], [0])]),
    );
    return { gradient, losses: await readLosses(outputs), buffers };
  }

  release(): Promise<void> {
    return this.programs.release();
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
  batches: TrainingBatches,
  parts: number,
  runtime: Runtime,
): Promise<GradientPool> {
  const gradients = await PartGradients.build(tracer, batches, parts, runtime);
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
