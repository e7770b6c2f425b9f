import { type Batch, batchIndices, range, type Split } from "../data/sources/data-set.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import type { Random } from "../random.ts";
import type { NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/graph.ts";
import type { BatchShape } from "./step.ts";

/** Values of the inputs of a batch by name. */
export type BatchFeeds = Readonly<Record<string, NdArray>>;

/** Consecutive rows of a batch, or samples of a split. */
export interface Rows {
  readonly first: number;
  readonly count: number;
}

/** Where batches and noise come from: both are pure functions of the step, so that a resumed run repeats them. */
export interface BatchSource {
  readonly split: Split;
  readonly batchSize: number;
  readonly random: Random;
}

/** Batches to train on, however they are made: pure functions of the step, as in `BatchSource`. */
export interface TrainingBatches {
  /** Samples of an epoch. */
  readonly count: number;
  readonly batchSize: number;
  readonly random: Random;
  /** The inputs of so many rows of a batch. */
  shape(rows: number): BatchShape;
  /** Some rows of the batch of a step (counted from 0); all of them unless told. */
  feeds(step: number, rows?: Rows): BatchFeeds | Promise<BatchFeeds>;
  /** Names of the samples of a step, for errors. */
  names(step: number): readonly string[];
}

/** Measures what a model makes of held-out samples, beside its losses. */
export interface Judge {
  /** The measure, larger being better, by which the best weights of a fit are chosen; where it is NaN, the loss does. */
  readonly criterion: string;
  /** What is to be computed of a batch. */
  outputs(batch: SymbolicBatch): Readonly<Record<string, Tensor>>;
  /** Begins to measure anew. */
  begin(): JudgedSamples;
}

/** Samples that are being judged. */
export interface JudgedSamples {
  /** Takes the outputs of some samples. */
  add(outputs: BatchFeeds, samples: Rows): void;
  /** Measures of all that was taken, by name. */
  measures(): Readonly<Record<string, number>>;
}

/** Samples that are held out to validate with. */
export interface HeldOut {
  readonly count: number;
  /** Samples of a batch; 64, or as many as are trained on if those are more, unless told. */
  readonly batchSize?: number;
  readonly judge?: Judge;
  shape(rows: number): BatchShape;
  feeds(samples: Rows): BatchFeeds | Promise<BatchFeeds>;
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
  const { x, label, source } = split.batch([0]);
  const shape = [count, ...x.shape.slice(1)];
  return {
    x: shape,
    labeled: label !== undefined,
    ...(source !== undefined && { others: { source: { shape, dtype: "float32" } } }),
  };
}

/** The batches of a split. Where its zeros and ones are drawn anew each time, they are fed as probabilities. */
function splitBatches({ split, batchSize, random }: BatchSource): TrainingBatches {
  const indices = (step: number): Uint32Array =>
    batchIndices(split.count, batchSize, step, orderGenerator(random));
  return {
    count: split.count,
    batchSize,
    random,
    shape: (rows) => ({ ...batchShapeOf(split, rows), intensities: split.intensities !== undefined }),
    feeds(step, rows = { first: 0, count: batchSize }) {
      const own = indices(step).subarray(rows.first, rows.first + rows.count);
      return batchFeeds(split.intensities?.(own) ?? split.batch(own));
    },
    names: (step) => Array.from(indices(step), String),
  };
}

/** Batches to train on, whether they are taken from a split or made otherwise. */
export function trainingBatches(source: BatchSource | TrainingBatches): TrainingBatches {
  return "split" in source ? splitBatches(source) : source;
}

/** Samples to validate with, whether they are those of a split or come otherwise. */
export function heldOut(part: Split | HeldOut): HeldOut {
  if ("feeds" in part) return part;
  return {
    count: part.count,
    shape: (rows) => batchShapeOf(part, rows),
    feeds: ({ first, count }) => batchFeeds(part.batch(range(first, count))),
  };
}
