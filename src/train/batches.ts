import { type Batch, batchIndices, type DataSet, range, type Split } from "../data/sources/data-set.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import type { Session } from "../program/program.ts";
import { Random } from "../random.ts";
import type { DType, NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";

// Where the batches of a fit come from: both they and their noise are pure functions of the step, so that a resumed run
// repeats them.

/** Shapes of one batch: x of [n, …sample], whether there are labels, and what else there is. */
export interface BatchShape {
  readonly x: readonly number[];
  readonly labeled: boolean;
  /** Further inputs by name, as of the objects in an image. */
  readonly others?: Readonly<Record<string, { readonly shape: readonly number[]; readonly dtype: DType }>>;
  /** Whether x is fed as probabilities, from which zeros and ones are drawn. */
  readonly intensities?: boolean;
}

/** Values of the inputs of a batch by name. */
export type BatchFeeds = Readonly<Record<string, NdArray>>;

/** Consecutive rows of a batch, or samples of a split. */
export interface Rows {
  readonly first: number;
  readonly count: number;
}

/** Batches to train on, however they are made. */
export interface TrainingBatches {
  /** Samples of an epoch. */
  readonly count: number;
  readonly batchSize: number;
  readonly random: Random;
  /** The inputs of so many rows of the batch of a step (counted from 0); the shapes of a few steps may differ. */
  shape(rows: number, step: number): BatchShape;
  /** Some rows of the batch of a step (counted from 0); by default all of them. */
  feeds(step: number, rows?: Rows): BatchFeeds | Promise<BatchFeeds>;
  /** Names of the samples of a step, for errors. */
  names(step: number): readonly string[];
  /** Rows one by one, where each is a sample of its own and depends on no other. */
  readonly single?: SingleRows;
}

/** The rows of batches one by one, so that each can be made where its sample is. */
export interface SingleRows {
  /** Which training sample each row of the batch of a step is. */
  samples(step: number): Uint32Array;
  /** The inputs of these rows of the batch of a step. */
  feeds(step: number, rows: ArrayLike<number>): BatchFeeds;
}

/** Measures what a model makes of held-out samples, beside its losses. */
export interface HeldOutEvaluator {
  /** The measure, larger being better, by which the best weights of a fit are chosen; where it is NaN, the loss does. */
  readonly criterion: string;
  /** What is to be computed of a batch. */
  outputs(batch: SymbolicBatch): Readonly<Record<string, Tensor>>;
  /** Begins to measure anew. */
  begin(): EvaluatedSamples;
}

/** Samples that are being evaluated. */
export interface EvaluatedSamples {
  /** Takes the outputs of some samples. */
  add(outputs: BatchFeeds, samples: Rows): void;
  /** Measures of all that was taken, by name. */
  measures(): Readonly<Record<string, number>>;
}

/** Measures a model as a whole, where that takes more than one graph on one batch. */
export interface WholeEvaluator {
  /** As of `HeldOutEvaluator`. */
  readonly criterion: string;
  /** Measures by name with the weights of the session; none where it is too early for them. */
  measures(session: Session): Promise<Readonly<Record<string, number>>>;
}

/** Samples that are held out to validate with. */
export interface HeldOut {
  readonly count: number;
  /** Samples of a batch (default: 64, or as many as are trained on if those are more). */
  readonly batchSize?: number;
  readonly evaluator?: HeldOutEvaluator;
  readonly whole?: WholeEvaluator;
  shape(rows: number): BatchShape;
  feeds(samples: Rows): BatchFeeds | Promise<BatchFeeds>;
}

/** Data that makes its own batches, such as images that are changed each time anew. */
export interface BatchedData {
  readonly kind: "batches";
  readonly name: string;
  /** Changes whenever the contents or the split change. */
  readonly fingerprint: string;
  /** Lines for a person. */
  describe(): string[];
  batches(options: BatchOptions): TrainingBatches;
  readonly validation: HeldOut;
}

/** What a model is fitted to: samples of a distribution, of whatever kind, or data that makes its own batches. */
export type FitData = DataSet | BatchedData;

/** How data is divided into batches. */
export interface BatchOptions {
  readonly batchSize: number;
  readonly seed: number;
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

/** Feeds of a batch. */
export function batchFeeds(batch: Batch): Record<string, NdArray> & { readonly x: NdArray } {
  const { x, label, source } = batch;
  return { x, ...(label !== undefined && { label }), ...(source !== undefined && { source }) };
}

/** Shapes of a batch of `count` samples of the split. */
function batchShapeOf(split: Split, count: number): BatchShape {
  const { x, label, source } = split.batch([split.example ?? 0]);
  const shape = [count, ...x.shape.slice(1)];
  return {
    x: shape,
    labeled: label !== undefined,
    ...(source !== undefined && { others: { source: { shape, dtype: "float32" } } }),
  };
}

/**
 * The batches of a split: every epoch in a fresh order. Where its zeros and ones are drawn anew each time, they are fed as
 * probabilities.
 * @param random decides the order, and the noise of training
 */
export function trainingBatches({
  split,
  batchSize,
  random,
}: {
  readonly split: Split;
  readonly batchSize: number;
  readonly random: Random;
}): TrainingBatches {
  const indices = (step: number): Uint32Array =>
    batchIndices(split.count, batchSize, step, orderGenerator(random));
  const noise = random.split("noise of samples");
  const feedsOf = (step: number, rows: ArrayLike<number>): BatchFeeds => {
    const all = indices(step);
    const own = Uint32Array.from(rows, (row) => all[row] ?? 0);
    const drawn = split.redrawn?.(own, (i) => noise.split(step).split(rows[i] ?? 0));
    return batchFeeds(drawn ?? split.intensities?.(own) ?? split.batch(own));
  };
  return {
    count: split.count,
    batchSize,
    random,
    shape: (rows) => ({ ...batchShapeOf(split, rows), intensities: split.intensities !== undefined }),
    feeds: (step, { first, count } = { first: 0, count: batchSize }) => feedsOf(step, range(first, count)),
    names: (step) => Array.from(indices(step), String),
    single: { samples: indices, feeds: feedsOf },
  };
}

/** The samples of a split, to validate with. */
export function heldOut(split: Split): HeldOut {
  return {
    count: split.count,
    shape: (rows) => batchShapeOf(split, rows),
    feeds: ({ first, count }) => batchFeeds(split.batch(range(first, count))),
  };
}

/** What of a data set training takes: pairs in place of samples, where there are some. */
export type TrainData =
  | {
      readonly kind: DataSet["kind"];
      readonly splits: { readonly train: Split };
      readonly pairs?: { readonly train: Split };
    }
  | Pick<BatchedData, "kind" | "batches">;

/** Where the batches and the noise of a fit come from. */
export function batchSourceOf(data: TrainData, { batchSize, seed }: BatchOptions): TrainingBatches {
  if (data.kind === "batches") return data.batches({ batchSize, seed });
  return trainingBatches({ split: (data.pairs ?? data.splits).train, batchSize, random: new Random(seed) });
}

/** What the weights of a fit are chosen by. */
export function validationOf(data: FitData): HeldOut {
  return data.kind === "batches" ? data.validation : heldOut((data.pairs ?? data.splits).validation);
}
