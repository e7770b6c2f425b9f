import { OptionError } from "../errors.ts";
import { buffersOf } from "../nn/module.ts";
import type { Runtime, RuntimeValue, Value } from "../program/runtime.ts";
import { float32 } from "../tensor/array.ts";
import type { Rows, TrainingBatches } from "./batches.ts";
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

/** Computes gradients of equal parts of the batches of a source, or of a share of each. */
export class PartGradients {
  private readonly programs: ShapedPrograms;
  private readonly batches: TrainingBatches;
  /** Where in a batch the first part begins. */
  private readonly first: number;
  private readonly rows: number;
  private readonly bufferNames: readonly string[];

  private constructor(
    programs: ShapedPrograms,
    batches: TrainingBatches,
    first: number,
    rows: number,
    bufferNames: readonly string[],
  ) {
    this.programs = programs;
    this.batches = batches;
    this.first = first;
    this.rows = rows;
    this.bufferNames = bufferNames;
  }

  /**
   * The program for parts of the first batch is built at once.
   * @param share of each batch that is divided (default: all of it)
   * @throws OptionError where it does not divide into the parts
   */
  static async build(
    tracer: StepTracer,
    batches: TrainingBatches,
    parts: number,
    runtime: Runtime,
    share: Rows = { first: 0, count: batches.batchSize },
  ): Promise<PartGradients> {
    const rows = share.count / parts;
    if (!Number.isInteger(rows)) {
      throw new OptionError(`option batchSize: ${share.count} does not divide into ${parts} parts`);
    }
    const programs = new ShapedPrograms((shape) => tracer.gradient(shape), runtime);
    await programs.at(batches.shape(rows, 0));
    return new PartGradients(
      programs,
      batches,
      share.first,
      rows,
      buffersOf(tracer.model).map(({ name }) => name),
    );
  }

  /** The gradient of part `part` of the batch of a step. */
  async compute(step: number, part: number, vectors: TrainingVectors): Promise<PartResult> {
    const rows = { first: this.first + part * this.rows, count: this.rows };
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

/** All parts one after another in this thread: gradient accumulation. @param share of each batch that is divided (default: all of it) */
export async function accumulatingPool(
  tracer: StepTracer,
  batches: TrainingBatches,
  parts: number,
  runtime: Runtime,
  share?: Rows,
): Promise<GradientPool> {
  const gradients = await PartGradients.build(tracer, batches, parts, runtime, share);
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
