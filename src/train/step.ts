import { OptionError } from "../errors.ts";
import type { Adversarial, Staged, Trainable } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { buffersOf, parametersOf } from "../nn/module.ts";
import { clipByGlobalNorm, movingAverage, type Optimizer } from "../nn/optimizer.ts";
import { substitute } from "../tensor/graph.ts";
import { reshape, sum, traceInitialization, traceTraining } from "../tensor/index.operations.ts";
import { type Buffer, grad, input, type Parameter, type Tensor, uniform } from "../tensor/index.ts";
import { concat } from "../tensor/operations/shaping.ts";
import { slice } from "../tensor/operations/slicing.ts";
import type { BatchShape, HeldOutEvaluator } from "./batches.ts";
import { gameStep } from "./game.ts";
import { type LayoutStretch, ParameterLayout } from "./layout.ts";
import { frozenOf, type Rates, ratesOf, trainedOf } from "./rates.ts";

export interface StepOptions {
  readonly optimizer: Optimizer;
  /** Largest global norm of the gradient; none where absent. */
  readonly clipNorm?: number;
  /** Decay of the moving average of the parameters; 0 for none. */
  readonly averageDecay: number;
}

/** Stands before the names of what an evaluator asks for. */
export const EVALUATED = "evaluated.";

/** The name of a buffer's moving average. */
export function averageOf({ name }: Buffer): string {
  return `average.${name}`;
}

/** Whether the parts of a model play against each other. */
export function isAdversarial(model: Trainable & Partial<Pick<Adversarial, "turns">>): model is Adversarial {
  return model.turns !== undefined;
}

/** Whether the parts of a model are trained one after the other. */
export function isStaged(model: Trainable & Partial<Pick<Staged, "trainedBy">>): model is Staged {
  return model.trainedBy !== undefined;
}

/** A traced part of training: outputs by name. Inputs have the names of the outputs that they take over. */
export type StepGraph = ReadonlyMap<string, Tensor>;

function symbolicBatch(shape: BatchShape): SymbolicBatch {
  const fed = input("x", shape.x);
  const x = shape.intensities ? uniform(shape.x).less(fed).cast("float32") : fed;
  const others = Object.entries(shape.others ?? {}).map(
    ([name, { shape: size, dtype }]) => [name, input(name, size, dtype)] as const,
  );
  return {
    x,
    ...Object.fromEntries(others),
    ...(shape.labeled && { label: input("label", shape.x.slice(0, 1), "int64") }),
  };
}

/**
 * Traces training steps of a model. All trained parameters travel as one vector, `parameters`; so do the optimizer's state
 * vectors, `slot.…`, and the moving `average`. Buffers and frozen parameters keep their own names; a step reads the latter and
 * gives none of them back.
 */
export class StepTracer {
  readonly model: Trainable;
  /** Of the trained parameters. */
  readonly layout: ParameterLayout;
  /** The parameters that training leaves as they are. */
  readonly frozen: readonly Parameter[];
  private readonly rates: Rates;
  private readonly options: StepOptions;

  /** @throws OptionError where the model has no parameters, freezes all of them, or trains one at a rate that is none */
  constructor(model: Trainable, options: StepOptions) {
    this.model = model;
    this.options = options;
    this.rates = ratesOf(model);
    this.layout = new ParameterLayout(trainedOf(this.rates), this.rates);
    this.frozen = frozenOf(this.rates);
    if (this.layout.size === 0) {
      throw new OptionError(
        this.frozen.length === 0
          ? "the model has no parameters to train"
          : `all ${this.frozen.length} parameters of the model are frozen; leave some of them to train`,
      );
    }
  }

  /** Names of the optimizer's state vectors as program inputs and outputs. */
  get slotNames(): readonly string[] {
    return this.options.optimizer.slots.map((slot) => `slot.${slot}`);
  }

  get keepsAverage(): boolean {
    return this.options.averageDecay > 0;
  }

  /**
   * The statistics that are averaged along with the parameters, where an average is kept: those of the average itself are
   * near theirs. Counts are not, nor are the buffers of games, which settle on the average.
   */
  get averagedBuffers(): readonly Buffer[] {
    if (!this.keepsAverage || isAdversarial(this.model)) return [];
    return buffersOf(this.model).filter(({ shape }) => shape.length > 0);
  }

  private vector(name: string): Tensor {
    return input(name, [this.layout.size]);
  }

  /**
   * Values that parameters start from by what the layers see of the first batch, by name of the parameter; undefined
   * where no layer wants that. Layers further on see what the earlier ones make of the batch with their new values.
   */
  initialization(shape: BatchShape): StepGraph | undefined {
    const starts = traceInitialization(() => this.model.loss(symbolicBatch(shape)));
    if (starts.size === 0) return undefined;
    const values = substitute([...starts.values()], this.layout.views(this.vector("parameters")));
    return new Map([...starts.keys()].map(({ name }, i) => [name, values[i] ?? this.vector("parameters")]));
  }

  /**
   * Losses, buffer updates and the flat gradient of one (part of a) batch.
   * @throws OptionError for a model whose parts take turns, or are trained one after the other: it has no one gradient
   */
  gradient(shape: BatchShape): StepGraph {
    if (isAdversarial(this.model)) {
      throw new OptionError("the parts of this model take turns on whole batches, which are not divided");
    }
    if (isStaged(this.model)) {
      throw new OptionError("the parts of this model are trained one after the other on whole batches");
    }
    return this.gradientOf(this.vector("parameters"), symbolicBatch(shape), this.layout);
  }

  /** @param layout of the parameters that are trained, which `parameters` has the values of */
  private gradientOf(parameters: Tensor, batch: SymbolicBatch, layout: ParameterLayout): StepGraph {
    const { result: losses, updates } = traceTraining(() => this.model.loss(batch));
    const gradients = grad(losses.total, layout.parameters).map((g) => reshape(g, [-1]));
    const first = gradients[0];
    const outputs = new Map<string, Tensor>([
      ["gradient", gradients.length === 1 && first !== undefined ? first : concat(gradients, 0)],
    ]);
    for (const [name, loss] of Object.entries(losses)) {
      // It could not be kept in the records of a run.
      if (name === "__proto__")
        throw new OptionError("a part of a loss cannot be called __proto__; rename it");
      outputs.set(`loss.${name}`, loss);
    }
    for (const buffer of buffersOf(this.model)) outputs.set(buffer.name, updates.get(buffer) ?? buffer);
    const replaced = substitute([...outputs.values()], layout.views(parameters));
    return new Map([...outputs.keys()].map((name, i) => [name, replaced[i] ?? parameters]));
  }

  /**
   * @param bufferOf the value that a buffer has after the step
   * @param layout of the parameters that are trained
   * @param vector what of a vector of training is theirs
   */
  private update(
    parameters: Tensor,
    gradient: Tensor,
    bufferOf: (buffer: Buffer) => Tensor,
    layout = this.layout,
    vector: (name: string) => Tensor = (name) => this.vector(name),
  ): StepGraph {
    const { optimizer, clipNorm, averageDecay } = this.options;
    const learningRate = input("learningRate", []);
    const step = input("step", []);
    const clipped =
      clipNorm === undefined
        ? { gradient, norm: gradient.square().sum().sqrt() }
        : clipByGlobalNorm(gradient, clipNorm);
    const slots = Object.fromEntries(optimizer.slots.map((slot) => [slot, vector(`slot.${slot}`)]));
    const { rates } = layout;
    const next = optimizer.update({
      parameters,
      gradient: clipped.gradient,
      slots,
      learningRate,
      step,
      ...(rates !== undefined && { rates }),
    });
    const outputs = new Map<string, Tensor>([
      ["parameters", next.parameters],
      ["gradientNorm", clipped.norm],
    ]);
    for (const [slot, value] of Object.entries(next.slots)) outputs.set(`slot.${slot}`, value);
    if (averageDecay > 0) {
      outputs.set("average", movingAverage(vector("average"), next.parameters, averageDecay, step));
      for (const buffer of this.averagedBuffers) {
        const before = input(averageOf(buffer), buffer.shape);
        outputs.set(averageOf(buffer), movingAverage(before, bufferOf(buffer), averageDecay, step));
      }
    }
    return outputs;
  }

  /** A whole step: forward, backward, optimizer and moving average in one graph. */
  whole(shape: BatchShape): StepGraph {
    const { model } = this;
    if (isAdversarial(model))
      return gameStep(model, this.layout, this.rates, this.options, symbolicBatch(shape));
    if (isStaged(model)) return this.staged(model, symbolicBatch(shape));
    const parameters = this.vector("parameters");
    const { gradient, ...rest } = Object.fromEntries(
      this.gradientOf(parameters, symbolicBatch(shape), this.layout),
    );
    if (gradient === undefined) throw new OptionError("the step has no gradient");
    const update = this.update(parameters, gradient, (buffer) => rest[buffer.name] ?? buffer);
    return new Map([...Object.entries(rest), ...update]);
  }

  /** A whole step of one part of a model: its stretch of the vectors changes, and what lies before and behind it is passed on. */
  private staged(model: Staged, batch: SymbolicBatch): StepGraph {
    const part = this.layout.stretch(parametersOf(model.trainedBy(batch)));
    const wholes = new Map<string, Tensor>();
    const own = (name: string): Tensor => {
      const whole = wholes.get(name) ?? this.vector(name);
      wholes.set(name, whole);
      return slice(whole, 0, part.from, part.to);
    };
    const parameters = own("parameters");
    const { gradient, ...rest } = Object.fromEntries(this.gradientOf(parameters, batch, part.layout));
    if (gradient === undefined) throw new OptionError("the step has no gradient");
    const bufferOf = (buffer: Buffer): Tensor => rest[buffer.name] ?? buffer;
    const update = this.update(parameters, gradient, bufferOf, part.layout, own);
    const widened = [...update].map(([name, value]) => {
      const whole = wholes.get(name);
      return [name, whole === undefined ? value : this.widened(whole, value, part)] as const;
    });
    return new Map([...Object.entries(rest), ...widened]);
  }

  /** A vector of training with another stretch. */
  private widened(whole: Tensor, stretch: Tensor, { from, to }: LayoutStretch): Tensor {
    const { size } = this.layout;
    return concat(
      [
        ...(from > 0 ? [slice(whole, 0, 0, from)] : []),
        stretch,
        ...(to < size ? [slice(whole, 0, to, size)] : []),
      ],
      0,
    );
  }

  /** The update alone, from the mean of several flat gradients: `gradient.0`, `gradient.1`, …, and from the buffers after the step. */
  updateFrom(parts: number): StepGraph {
    const gradients = Array.from({ length: parts }, (_, i) => this.vector(`gradient.${i}`));
    const total = gradients.reduce((a, b) => a.add(b));
    return this.update(this.vector("parameters"), total.mul(1 / parts), ({ name, shape }) =>
      input(name, shape),
    );
  }

  /** Losses without training: dropout off, running statistics. What an evaluator asks for stands behind `evaluated.`. */
  validation(shape: BatchShape, evaluator?: HeldOutEvaluator): StepGraph {
    const batch = symbolicBatch(shape);
    const losses = Object.entries(this.model.loss(batch)).map(
      ([name, loss]) => [`loss.${name}`, sum(loss)] as const,
    );
    const evaluated = Object.entries(evaluator?.outputs(batch) ?? {}).map(
      ([name, output]) => [`${EVALUATED}${name}`, output] as const,
    );
    const outputs = [...losses, ...evaluated];
    const replaced = substitute(
      outputs.map(([, output]) => output),
      this.layout.views(this.vector("parameters")),
    );
    return new Map(outputs.map(([name, output], i) => [name, replaced[i] ?? output]));
  }
}
