import { OptionError } from "../errors.ts";
import type { Trainable } from "../model/capabilities.ts";
import { nameParameters } from "../nn/module.ts";
import { adam, type Optimizer } from "../nn/optimizer.ts";
import type { State } from "../program/program.ts";
import type { Runtime } from "../program/runtime.ts";
import { batchSourceOf, type HeldOut, type TrainData, type TrainingBatches } from "./batches.ts";
import { isStaged, StepTracer } from "./step.ts";
import { initialVectors, type Snapshot, Trainer, weightsOf } from "./trainer.ts";

// Training steps that are driven by hand: in a script or in a page, without a run folder.

/** How `train` trains. */
export interface TrainOptions {
  /** A data set, of which the training split is used; or data that makes its own batches. */
  readonly data: TrainData;
  /** Where steps are computed: `nodeRuntime()`, or `webRuntime()` in a browser. */
  readonly runtime: Runtime;
  /** Samples in a step. */
  readonly batchSize: number;
  /** The learning rate of every step, or of each by its number (from 0). */
  readonly learningRate: number | ((step: number) => number);
  /** Update rule (default: `adam()`). */
  readonly optimizer?: Optimizer;
  /** Decides the first weights, the order of the samples and noise (default: 0). */
  readonly seed?: number;
  /** Steps after which training ends (default: none, the loop is left with `break`). */
  readonly steps?: number;
  /** Largest global norm of the gradient (default: none). */
  readonly clipNorm?: number;
  /** Decay of the moving average of the weights, which are then the weights to use (default: 0, no average). */
  readonly averageDecay?: number;
  /** Weights of every parameter and buffer to begin with (default: drawn by the seed). */
  readonly weights?: State;
}

/** A step that is done. */
export interface TrainingStep {
  /** Steps done, this one included. */
  readonly step: number;
  /** Named losses of the step's batch; `total` is the one that is minimized. */
  readonly losses: Readonly<Record<string, number>> & { readonly total: number };
  /** Of all parameters together, before it is clipped. */
  readonly gradientNorm: number;
  readonly learningRate: number;
}

/** Training that is driven by a loop; it goes on where the last loop ended. */
export class Training implements AsyncIterable<TrainingStep> {
  private readonly tracer: StepTracer;
  private readonly batches: TrainingBatches;
  private readonly options: TrainOptions;
  private at: Snapshot;
  private trainer: Trainer | undefined;

  constructor(model: Trainable, options: TrainOptions) {
    const { data, batchSize, optimizer = adam(), seed = 0, clipNorm, averageDecay = 0, weights } = options;
    if (isStaged(model)) {
      throw new OptionError(
        "train: the parts of this model are trained one after the other, which `fit` does",
      );
    }
    this.tracer = new StepTracer(nameParameters(model), {
      optimizer,
      averageDecay,
      ...(clipNorm !== undefined && { clipNorm }),
    });
    this.batches = batchSourceOf(data, { batchSize, seed });
    this.options = options;
    this.at = {
      step: 0,
      vectors: initialVectors(this.tracer, this.batches.random, weights),
      given: weights !== undefined,
    };
  }

  /** Steps done. */
  get step(): number {
    return this.trainer?.step ?? this.at.step;
  }

  /**
   * Trains step by step. When the loop ends, also by `break` or by an error, everything that the runtime holds is released;
   * weights stay.
   * @throws OptionError where a loop is still under way
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingStep, void, void> {
    if (this.trainer !== undefined) {
      throw new OptionError(
        "train: a loop over this training is under way; end it before the next one begins",
      );
    }
    const { runtime, learningRate, steps = Number.POSITIVE_INFINITY } = this.options;
    if (this.at.step >= steps) return;
    const trainer = await Trainer.create(this.tracer, this.batches, runtime, this.at);
    this.trainer = trainer;
    try {
      while (trainer.step < steps) {
        const rate = typeof learningRate === "number" ? learningRate : learningRate(trainer.step);
        const { losses, gradientNorm } = await trainer.train(rate);
        const { total = Number.NaN } = losses;
        yield { step: trainer.step, losses: { ...losses, total }, gradientNorm, learningRate: rate };
      }
    } finally {
      this.at = await trainer.snapshot();
      this.trainer = undefined;
      await trainer.release();
    }
  }

  /** The weights to use, by name, as they are now: the moving average where one is kept. */
  async weights(): Promise<State> {
    return weightsOf(this.tracer, (await this.trainer?.snapshot()) ?? this.at);
  }

  /**
   * Mean losses over the first held-out samples with the weights to use, inside of a loop. The noise is the same at every
   * call.
   * @param part `heldOut(split)` for the samples of a split
   * @throws OptionError outside of a loop
   */
  async validate(part: HeldOut, samples = part.count): Promise<Readonly<Record<string, number>>> {
    if (this.trainer === undefined)
      throw new OptionError("train: validate inside of the loop over its steps");
    return (await this.trainer.validate(part, samples)).losses;
  }
}

/**
 * Trains a model step by step, in Node or in a browser:
 *
 *     const training = train(model, { data, runtime, batchSize: 64, learningRate: 1e-3, steps: 300 });
 *     for await (const { step, losses } of training) if (step % 50 === 0) console.log(step, losses.total);
 *     const weights = await training.weights();
 *
 * Losses and gradients of a step are one ONNX graph, in pages and on accelerators with the update and the moving average. Batches, noise and first weights are functions of
 * the seed. Losses that are not finite are yielded like others. `fit` does the same in a worker, with validation, checkpoints
 * and a run folder.
 * @throws OptionError where the model has no parameters, or parts that are trained one after the other
 */
export function train(model: Trainable, options: TrainOptions): Training {
  return new Training(model, options);
}
