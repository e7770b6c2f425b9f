import type { Losses, SymbolicBatch, Trainable } from "../../src/model/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import {
  BOUNDS,
  type Bound,
  type BoundDefinition,
  type BoundName,
  buildCritic,
  type Critic,
} from "../../src/representation/mutual-information/index.ts";
import { float32 } from "../../src/tensor/array.ts";
import { slice } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";

// The benchmark of Poole et al. 2019 (section 5) and Song and Ermon 2020 (section 6.1): pairs of 20 coordinates, whose mutual information rises in five
// steps while a critic learns. Every batch is drawn anew, so that nothing is learnt by heart.

export const LEVELS = [2, 4, 6, 8, 10] as const;
const SIZE = 20;

/** Which pairs: jointly Gaussian, or with the second variable cubed, which changes no mutual information and hides that they are linear. */
export type StaircaseTask = "gaussian" | "cubic";

export interface StaircaseOptions {
  readonly estimator: BoundName;
  readonly task: StaircaseTask;
  /** Steps at all levels together. */
  readonly steps: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Correlation of each of 20 pairs of coordinates that have so many nats together. */
function correlationOf(nats: number): number {
  return Math.sqrt(1 - Math.exp((-2 * nats) / SIZE));
}

class Estimator implements Trainable {
  readonly critic: Critic;
  readonly bound: Bound;

  constructor(estimator: BoundName) {
    const definition: BoundDefinition = BOUNDS[estimator];
    const kind = estimator === "club" ? "gaussian" : "separable";
    this.critic = buildCritic(kind, { first: SIZE, second: SIZE, hidden: 256, embedding: 32 });
    this.bound = definition.build({ size: SIZE, hidden: 256, decay: 0.99, clip: 5, interpolation: 0.01 });
  }

  loss({ x }: SymbolicBatch): Losses {
    const [left, right] = [slice(x, 1, 0, SIZE), slice(x, 1, SIZE)];
    const scores = this.critic.forward(left, right);
    return { total: this.bound.loss(scores, right), nats: this.bound.estimate(scores, right) };
  }
}

/** Pairs that have so many nats together, x and y of each after one another: [count, 40]. */
function pairsFrom(task: StaircaseTask, nats: number, count: number, random: Random): Float32Array {
  const correlation = correlationOf(nats);
  const rest = Math.sqrt(1 - correlation ** 2);
  const pairs = new Float32Array(count * 2 * SIZE);
  random.fillNormal(pairs);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < SIZE; k++) {
      const at = 2 * SIZE * row + k;
      const y = correlation * (pairs[at] ?? 0) + rest * (pairs[at + SIZE] ?? 0);
      pairs[at + SIZE] = task === "cubic" ? y ** 3 : y;
    }
  }
  return pairs;
}

/** x and y of fresh pairs, [count, 20] each. */
export function pairsOf(task: StaircaseTask, nats: number, count: number, seed: number) {
  const pairs = pairsFrom(task, nats, count, new Random(seed));
  const side = (offset: number) =>
    float32(
      Float32Array.from(
        { length: count * SIZE },
        (_, i) => pairs[2 * SIZE * Math.floor(i / SIZE) + offset + (i % SIZE)] ?? 0,
      ),
      [count, SIZE],
    );
  return [side(0), side(SIZE)] as const;
}

/** Batches of pairs, one beside the other, [n, 40], from the level of their step. */
function drawnPairs({ task, steps, batchSize, seed }: StaircaseOptions): TrainingBatches {
  const random = new Random(seed);
  const drawn = random.split("pairs");
  return {
    count: batchSize,
    batchSize,
    random,
    shape: (rows) => ({ x: [rows, 2 * SIZE], labeled: false }),
    feeds(step) {
      const level = LEVELS[Math.min(LEVELS.length - 1, Math.floor((step * LEVELS.length) / steps))] ?? 0;
      const noise = pairsFrom(task, level, batchSize, drawn.split(step));
      return { x: float32(noise, [batchSize, 2 * SIZE]) };
    },
    names: () => [],
  };
}

/** An estimate of each step; NaN from the step on at which the bound is no longer finite. */
export async function staircase(options: StaircaseOptions): Promise<Float64Array> {
  const model = nameParameters(new Estimator(options.estimator));
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
  const source = drawnPairs(options);
  const runtime = await nodeRuntime();
  const start = { step: 0, vectors: initialVectors(tracer, source.random) };
  const trainer = await Trainer.create(tracer, source, runtime, start);
  const estimates = new Float64Array(options.steps).fill(Number.NaN);
  try {
    while (trainer.step < options.steps) {
      const { losses } = await trainer.train(5e-4);
      const { total = Number.NaN, nats = Number.NaN } = losses;
      if (!Number.isFinite(total)) break;
      estimates[trainer.step - 1] = nats;
    }
  } finally {
    await trainer.release();
  }
  return estimates;
}

/** Mean and deviation of the last quarter of the steps of each level. */
export function levelsOf(
  estimates: Float64Array,
): readonly { readonly mean: number; readonly deviation: number }[] {
  const each = Math.floor(estimates.length / LEVELS.length);
  return LEVELS.map((_, level) => {
    const part = estimates.subarray(Math.floor((level + 0.75) * each), (level + 1) * each);
    const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
    const deviation = Math.sqrt(part.reduce((sum, value) => sum + (value - mean) ** 2, 0) / part.length);
    return { mean, deviation };
  });
}
