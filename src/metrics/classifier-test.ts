import { storedSplit } from "../data/sources/data-set.ts";
import { OptionError } from "../errors.ts";
import type { Losses, Trainable } from "../model/capabilities.ts";
import type { SymbolicBatch } from "../model/data-info.ts";
import { Mlp } from "../nn/linear.ts";
import { nameParameters } from "../nn/module.ts";
import { adam } from "../nn/optimizer.ts";
import { learningRateSchedule } from "../nn/schedule.ts";
import { compile } from "../program/program.ts";
import type { Runtime } from "../program/runtime.ts";
import { Random } from "../random.ts";
import { float32, type NdArray } from "../tensor/array.ts";
import type { Tensor } from "../tensor/index.ts";
import { trainingBatches } from "../train/batches.ts";
import { StepTracer } from "../train/step.ts";
import { initialVectors, Trainer } from "../train/trainer.ts";
import { fairCoinTail } from "./roc.ts";
import { checkCount, comparableRows, type Rows } from "./rows.ts";

export interface ClassifierTestOptions {
  /** A linear classifier, or one hidden layer of ReLU units (default: `mlp`). */
  readonly classifier?: "logistic" | "mlp";
  /** Units of the hidden layer (default: 20), as in the paper. */
  readonly hidden?: number;
  /** Training steps of at most 128 samples (default: 1,000). */
  readonly steps?: number;
  /** Seed of the halves, the first weights and the order of the samples. */
  readonly seed?: number;
}

export interface ClassifierTest {
  /** Share of held-out samples that the classifier assigns to the right set; ½ where the sets are indistinguishable. */
  readonly accuracy: number;
  /** Probability of as many right answers, or more, by throws of a fair coin. */
  readonly pValue: number;
  /** Held-out samples, half of them from each set. */
  readonly count: number;
}

const BATCH = 128;
const RATE = 0.01;

/** The log-odds that a sample is of the second set. */
class TwoSampleClassifier implements Trainable {
  readonly network: Mlp;

  constructor(sizes: readonly number[]) {
    this.network = new Mlp(sizes, { activation: (x) => x.relu() });
  }

  logOdds(x: Tensor): Tensor {
    return this.network.forward(x).squeeze(1);
  }

  /** Cross-entropy: −log σ(±log-odds), as a softplus. */
  loss({ x, label }: SymbolicBatch): Losses {
    if (label === undefined) throw new OptionError("classifierTwoSampleTest: the classifier wants labels");
    const sign = label.cast("float32").mul(-2).add(1);
    return { total: this.logOdds(x).mul(sign).softplus().mean() };
  }
}

/**
 * Classifier two-sample test (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests", section 3): a small
 * network learns on one half of the samples [n, …] and [m, …] to distinguish the sets, and its accuracy on the other half
 * is the statistic. Where both sets have the same distribution, the number of right answers is at most as spread as that
 * of fair coins, so that the p-value is the binomial tail (which the paper approximates by a normal). Equally
 * many samples of each set are used, chosen at random where one has more; coordinates are standardized by the training
 * half.
 * @param runtime where the network is trained: `nodeRuntime()`, or `webRuntime()` in a browser
 * @throws OptionError where the samples differ in size or are not finite, a set has fewer than four, or an option is not
 * acceptable
 */
export async function classifierTwoSampleTest(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  runtime: Runtime,
  { classifier = "mlp", hidden = 20, steps = 1000, seed = 0 }: ClassifierTestOptions = {},
): Promise<ClassifierTest> {
  const name = "classifierTwoSampleTest";
  const [left, right] = comparableRows(name, x, y, 4);
  checkCount(name, "hidden", hidden, 1);
  checkCount(name, "steps", steps, 1);
  const random = new Random(seed);
  const { training, heldOut } = halves(left, right, random);
  const sizes = classifier === "mlp" ? [left.size, hidden, 1] : [left.size, 1];
  const model = nameParameters(new TwoSampleClassifier(sizes));
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
  const order = Uint32Array.from({ length: training.labels.length }, (_, i) => i);
  const split = storedSplit(training.data, [left.size], order, training.labels);
  const source = trainingBatches({ split, batchSize: Math.min(BATCH, split.count), random });
  const start = { step: 0, vectors: initialVectors(tracer, random) };
  const trainer = await Trainer.create(tracer, source, runtime, start);
  const rate = learningRateSchedule({ kind: "cosine", rate: RATE, totalSteps: steps });
  try {
    while (trainer.step < steps) await trainer.train(rate(trainer.step));
    const answers = await logOddsOf(model, trainer, heldOut.data, left.size, runtime);
    const correct = answers.filter((odds, i) => odds > 0 === (heldOut.labels[i] === 1)).length;
    const count = answers.length;
    return { accuracy: correct / count, pValue: fairCoinTail(correct, count), count };
  } finally {
    await trainer.release();
  }
}

async function logOddsOf(
  model: TwoSampleClassifier,
  trainer: Trainer,
  data: Float32Array,
  size: number,
  runtime: Runtime,
): Promise<Float32Array> {
  const classifier = compile(["x"], ({ x }) => ({ odds: model.logOdds(x) }), {
    runtime,
    weights: await trainer.weights(),
  });
  try {
    const { odds } = await classifier.run({ x: float32(data, [data.length / size, size]) });
    return Float32Array.from(odds.data, Number);
  } finally {
    await classifier.release();
  }
}

/** Samples of both sets, the first labeled 0 and the second 1. */
interface Labeled {
  readonly data: Float32Array;
  readonly labels: Uint8Array;
}

/** Equally many samples of each set, divided at random into two halves and standardized by the first. */
function halves(
  left: Rows,
  right: Rows,
  random: Random,
): { readonly training: Labeled; readonly heldOut: Labeled } {
  const each = Math.min(left.count, right.count);
  const half = Math.floor(each / 2);
  const { size } = left;
  const orders = [left, right].map((rows, set) => random.split("half").split(set).permutation(rows.count));
  const part = (from: number, to: number): Labeled => {
    const count = to - from;
    const data = new Float32Array(2 * count * size);
    for (const [set, rows] of [left, right].entries()) {
      for (let i = 0; i < count; i++) {
        const row = orders[set]?.[from + i] ?? 0;
        data.set(rows.data.subarray(row * size, (row + 1) * size), (set * count + i) * size);
      }
    }
    return { data, labels: new Uint8Array(2 * count).fill(1, count) };
  };
  const [training, heldOut] = [part(0, half), part(half, each)];
  standardize(training.data, heldOut.data, size);
  return { training, heldOut };
}

/** Takes mean and deviation of each coordinate of the first rows out of both. Constant coordinates keep their unit. */
function standardize(first: Float32Array, second: Float32Array, size: number): void {
  const count = first.length / size;
  for (let k = 0; k < size; k++) {
    let [sum, squares] = [0, 0];
    for (let position = k; position < first.length; position += size) sum += first[position] ?? 0;
    const mean = sum / count;
    for (let position = k; position < first.length; position += size)
      squares += ((first[position] ?? 0) - mean) ** 2;
    const deviation = Math.sqrt(squares / count) || 1;
    for (const rows of [first, second]) {
      for (let position = k; position < rows.length; position += size)
        rows[position] = ((rows[position] ?? 0) - mean) / deviation;
    }
  }
}
