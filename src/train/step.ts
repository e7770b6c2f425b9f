import { OptionError } from "../errors.ts";
import type { Adversarial, Staged, Trainable } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { buffersOf, parametersOf } from "../nn/module.ts";
import { clipByGlobalNorm, movingAverage, type Optimizer } from "../nn/optimizer.ts";
import { substitute } from "../tensor/graph.ts";
import { reshape, sum, traceInitialization, traceTraining } from "../tensor/index.operations.ts";
import { type Buffer, grad, input, type Parameter, Tensor, uniform } from "../tensor/index.ts";
import { concat } from "../tensor/operations/shaping.ts";
import { slice } from "../tensor/operations/slicing.ts";
import type { BatchShape, HeldOutEvaluator } from "./batches.ts";
import { gameStep, type OpenGame, openGame, settledBuffers } from "./game.ts";
import { type LayoutStretch, ParameterLayout } from "./layout.ts";
import { frozenOf, type Rates, ratesOf, trainedOf } from "./rates.ts";
import { VectorUpdate, type VectorUpdateOptions } from "./vector-update.ts";

export interface StepOptions {
  readonly optimizer: Optimizer;
  /** Largest global norm of the gradient; none where absent. */
  readonly clipNorm?: number;
  /** Decay of the moving average of the parameters; 0 for none. */
  readonly averageDecay: number;
}

/** Stands before the names of what an evaluator asks for. */
export const EVALUATED = "evaluated.";

/** The name of the gradient by the trained parameter of this number. */
export function gradientName(parameter: number): string {
  return `gradient.${parameter}`;
}

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

/** What a model of one's own may get wrong in JavaScript. @throws OptionError */
function checkLosses(losses: Readonly<Record<string, unknown>> | undefined): void {
  const wrong = ["total", ...Object.keys(losses ?? {})].find((name) => !(losses?.[name] instanceof Tensor));
  if (wrong === undefined) return;
  const isOther = losses?.[wrong]?.constructor.name === "Tensor";
  throw new OptionError(
    isOther
      ? `the model's loss(batch) returns a tensor of another copy of eidos as ${wrong}: its module must import the eidos that trains it`
      : `the model's loss(batch) must return { total }, the tensor that is minimized, and beside it any other tensors to record; ${wrong} is no tensor`,
  );
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
    const { gradients, rest } = this.traced(batch, layout);
    const flat = gradients.map((g) => reshape(g, [-1]));
    const first = flat[0];
    const outputs = new Map<string, Tensor>([
      ["gradient", flat.length === 1 && first !== undefined ? first : concat(flat, 0)],
      ...rest,
    ]);
    const replaced = substitute([...outputs.values()], layout.views(parameters));
    return new Map([...outputs.keys()].map((name, i) => [name, replaced[i] ?? parameters]));
  }

  /** The gradient by each parameter of the layout, and beside it the losses and the buffers after the step. */
  private traced(
    batch: SymbolicBatch,
    layout: ParameterLayout,
  ): { readonly gradients: readonly Tensor[]; readonly rest: StepGraph } {
    const { result: losses, updates } = traceTraining(() => this.model.loss(batch));
    checkLosses(losses);
    const rest = new Map<string, Tensor>();
    for (const [name, loss] of Object.entries(losses)) {
      // It could not be kept in the records of a run.
      if (name === "__proto__")
        throw new OptionError("a part of a loss cannot be called __proto__; rename it");
      rest.set(`loss.${name}`, loss);
    }
    for (const buffer of buffersOf(this.model)) rest.set(buffer.name, updates.get(buffer) ?? buffer);
    return { gradients: grad(losses.total, layout.parameters), rest };
  }

  /**
   * What a step outside of the graph begins with: losses, buffers after the step with their averages, and for each trained parameter, in
   * the order of the layout, its gradient as `gradient.0`, `gradient.1`, … Parameters are read under their own names.
   */
  gradients(shape: BatchShape): StepGraph {
    const { gradients, rest } = this.traced(symbolicBatch(shape), this.layout);
    return new Map([
      ...rest,
      ...gradients.map((gradient, i) => [gradientName(i), gradient] as const),
      ...this.bufferAverages((buffer) => rest.get(buffer.name) ?? buffer),
    ]);
  }

  /**
   * The moving averages of buffers after the step, where an average is kept.
   * @param bufferOf the value that a buffer has after the step; default: an input by its name
   */
  bufferAverages(
    bufferOf: (buffer: Buffer) => Tensor = ({ name, shape }) => input(name, shape),
    step = input("step", []),
  ): StepGraph {
    return new Map(
      this.averagedBuffers.map((buffer) => {
        const before = input(averageOf(buffer), buffer.shape);
        return [averageOf(buffer), movingAverage(before, bufferOf(buffer), this.options.averageDecay, step)];
      }),
    );
  }

  /** How vectors are updated outside of the graph, of games those of the last turn's player (`game`); undefined where the update cannot be had there. */
  get outside(): VectorUpdateOptions | undefined {
    const { optimizer, clipNorm, averageDecay } = this.options;
    // A step of one part of a model has its own stretch of the vectors.
    if (optimizer.rule === undefined || isStaged(this.model)) return undefined;
    const options: VectorUpdateOptions = {
      rule: optimizer.rule,
      slots: optimizer.slots,
      averageDecay,
      rates: this.layout.rateStretches,
      ...(clipNorm !== undefined && { clipNorm }),
    };
    return VectorUpdate.fits(this.layout.size, options) ? options : undefined;
  }

  /**
   * A step of a game whose last turn is updated outside of the graph; the turns before it, which others depend on, follow each other in it.
   * Undefined for models that are none, and where the last turn's player has another one.
   */
  game(shape: BatchShape): OpenGame | undefined {
    const { model, layout, rates, options } = this;
    return isAdversarial(model) ? openGame(model, layout, rates, options, symbolicBatch(shape)) : undefined;
  }

  /** The buffers of a game as they settle on the average that is kept; empty where none do. Parameters are read under their own names. */
  settled(shape: BatchShape): StepGraph {
    const { model } = this;
    return this.keepsAverage && isAdversarial(model)
      ? settledBuffers(model, symbolicBatch(shape))
      : new Map();
  }

  /**
   * @param bufferOf the value that a buffer has after the step
   * @param layout of the parameters that are trained
   * @param vector what of a vector of training is theirs
   */
  private update(
    parameters: Tensor,
    gradient: Tensor,
    bufferOf?: (buffer: Buffer) => Tensor,
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
    }
    return new Map([...outputs, ...this.bufferAverages(bufferOf, step)]);
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
    const gradients = Array.from({ length: parts }, (_, i) => this.vector(gradientName(i)));
    const total = gradients.reduce((a, b) => a.add(b));
    return this.update(this.vector("parameters"), total.mul(1 / parts));
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
