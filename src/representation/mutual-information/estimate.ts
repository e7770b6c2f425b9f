import { type Split, storedSplit } from "../../data/sources/data-set.ts";
import { OptionError, TrainingError } from "../../errors.ts";
import type { Losses, Trainable } from "../../model/capabilities.ts";
import type { SymbolicBatch } from "../../model/data-info.ts";
import { nameParameters } from "../../nn/module.ts";
import { adam } from "../../nn/optimizer.ts";
import { parseOptions } from "../../options.ts";
import { compile, type State } from "../../program/program.ts";
import type { Runtime } from "../../program/runtime.ts";
import { Random } from "../../random.ts";
import type { NdArray } from "../../tensor/array.ts";
import { slice, type Tensor } from "../../tensor/index.ts";
import { heldOut, trainingBatches } from "../../train/batches.ts";
import { StepTracer } from "../../train/step.ts";
import { initialVectors, Trainer } from "../../train/trainer.ts";
import { BOUNDS, type Bound, type BoundDefinition, type BoundName, type Side } from "./bounds.ts";
import { buildCritic, type Critic, type CriticKind } from "./critics.ts";
import { ksgMutualInformation } from "./ksg.ts";
import {
  checkUsed,
  type EstimatorName,
  type MutualInformationOptions,
  mutualInformationOptions,
  type REFERENCES,
  type Settled,
} from "./options.ts";
import {
  type DividedPairs,
  dividedPairs,
  type PairedRows,
  type PartCounts,
  pairedRows,
  pairFeeds,
  pickPairs,
} from "./pairs.ts";
import { gaussianMutualInformation, histogramMutualInformation } from "./references.ts";

/** An estimate of mutual information. */
export interface MutualInformation {
  readonly estimator: EstimatorName;
  /** In nats, of held-out rows: the mean over seeds. */
  readonly nats: number;
  /** Deviation over seeds; absent where there is one seed, or nothing random. */
  readonly deviation?: number;
  /** The estimate of each seed. */
  readonly bySeed: readonly number[];
  /** On which side of the truth the estimate stays, in expectation. */
  readonly side: Side;
  /** Largest value that the estimator can have with these rows; absent where there is none. */
  readonly limit?: number;
  /** Share of random pairings of held-out rows that score at least as much as the right one (with it): small where x and y depend on each other. */
  readonly pValue?: number;
  /** Rows that were learnt from, that chose the step, and that the estimate was made on. */
  readonly rows: PartCounts;
  /** The step of each seed at which its critic was best on validation rows. Empty without a critic. */
  readonly chosen: readonly number[];
  /** The estimate on training batches of the first seed, each a mean of the steps since the one before. Empty without a critic. */
  readonly curve: readonly { readonly step: number; readonly nats: number }[];
  /** Lines for a person: what the value cannot say. */
  readonly notes: readonly string[];
}

/** What may be watched while a critic learns. */
export interface EstimateWatch {
  readonly signal?: AbortSignal;
  /** Steps done of all, over all seeds. */
  onProgress?(progress: { readonly done: number; readonly all: number; readonly nats: number }): void;
}

/** Pairs that held-out scores are computed for together: a joint critic looks at each of them. */
const BLOCK = { separable: 1024, bilinear: 1024, gaussian: 512, joint: 192 } as const;

/** Points of the curve of training. */
const CURVE_POINTS = 200;

/** Fewest rows that an estimate with held-out rows is made of. */
const FEWEST_ROWS = 20;

/**
 * The mutual information of paired rows x [n, …] and y [n, …] in nats, I(X; Y) = KL(p(x, y) ‖ p(x) p(y)). Columns are standardized first, by which it
 * does not change. With a critic, the bound is made as large as it gets on training rows, the step is chosen by validation rows, and the estimate is of
 * test rows, for each seed.
 *
 *     const { nats, deviation, pValue } = await mutualInformation(x, y, { estimator: "smile" }, await nodeRuntime());
 *
 * @throws OptionError where the rows do not pair, a column is constant, a value is not finite or there are too few rows; TrainingError where a bound
 * becomes infinite while it is trained
 */
export async function mutualInformation(
  x: NdArray<"float32">,
  y: NdArray<"float32">,
  options: MutualInformationOptions,
  runtime: Runtime,
  watch: EstimateWatch = {},
): Promise<MutualInformation> {
  const settled = parseOptions("mutual information", mutualInformationOptions, options);
  checkUsed(options, settled);
  const { estimator } = settled;
  const pairs = pairedRows(x, y, FEWEST_ROWS);
  if (estimator === "ksg" || estimator === "histogram" || estimator === "gaussian") {
    return referenceEstimate(pairs, estimator, settled);
  }
  return learntEstimate(pairs, estimator, settled, runtime, watch);
}

/** The rows of an estimate without a critic are all of them. */
function referenceEstimate(
  pairs: PairedRows,
  estimator: (typeof REFERENCES)[number],
  { neighbors, bins, permutations, seeds }: Settled,
): MutualInformation {
  const estimate = (rows: PairedRows): number => {
    if (estimator === "ksg") return ksgMutualInformation(rows, neighbors);
    return estimator === "gaussian"
      ? gaussianMutualInformation(rows)
      : histogramMutualInformation(rows, bins);
  };
  const nats = estimate(pairs);
  const random = new Random(seeds[0] ?? 0).split("permutations");
  const pValue = permutationShare(permutations, nats, (n) => {
    const order = random.split(n).permutation(pairs.count);
    return estimate({ ...pairs, y: pickPairs(pairs, order).y });
  });
  const repeated = estimator === "ksg" ? repeatedValues(pairs) : 0;
  return {
    estimator,
    nats,
    bySeed: [nats],
    side: "neither",
    ...(pValue !== undefined && { pValue }),
    rows: { training: 0, validation: 0, test: pairs.count },
    chosen: [],
    curve: [],
    notes: [
      ...(estimator === "gaussian" ? ["gaussian: dependence that is not linear is not seen"] : []),
      ...(repeated > 0.1
        ? [
            `ksg: ${(100 * repeated).toFixed(0)} % of the numbers occur more than once; it is made for continuous columns, and ties spoil it`,
          ]
        : []),
    ],
  };
}

/** Share of the numbers of the first coordinates of x and y, whichever has more of them, that are repeated. */
function repeatedValues({ count, x, y }: PairedRows): number {
  const shares = [x, y].map((values) => {
    const size = values.length / count;
    const distinct = new Set(Array.from({ length: count }, (_, row) => values[row * size]));
    return 1 - distinct.size / count;
  });
  return Math.max(...shares);
}

/** Share of random pairings that score at least as much as the right one, which is counted among them. */
function permutationShare(
  permutations: number,
  value: number,
  permuted: (n: number) => number,
): number | undefined {
  if (permutations === 0) return undefined;
  let atLeast = 1;
  for (let n = 0; n < permutations; n++) if (permuted(n) >= value) atLeast += 1;
  return atLeast / (permutations + 1);
}

/** A critic and a bound that learn together. */
class Estimator implements Trainable {
  readonly critic: Critic;
  readonly bound: Bound;
  private readonly first: number;

  constructor(critic: Critic, bound: Bound, first: number) {
    this.critic = critic;
    this.bound = bound;
    this.first = first;
  }

  /** x: rows of x and y, one beside the other. */
  loss({ x }: SymbolicBatch): Losses {
    const [left, right] = [slice(x, 1, 0, this.first), slice(x, 1, this.first)];
    const scores = this.critic.forward(left, right);
    const total = this.bound.loss(scores, right);
    const heldOut = this.bound.heldOutLoss?.(scores) ?? total;
    return { total, nats: this.bound.estimate(scores, right), heldOut };
  }

  /** Scores of all pairs, and the estimate that they give. */
  evaluated(x: Tensor, y: Tensor): { readonly scores: Tensor; readonly nats: Tensor } {
    const scores = this.critic.forward(x, y);
    return { scores, nats: this.bound.estimate(scores, y) };
  }
}

async function learntEstimate(
  pairs: PairedRows,
  name: BoundName,
  options: Settled,
  runtime: Runtime,
  watch: EstimateWatch,
): Promise<MutualInformation> {
  const definition: BoundDefinition = BOUNDS[name];
  const kind: CriticKind = name === "club" ? "gaussian" : options.critic;
  const counts = partCounts(pairs.count, options, BLOCK[kind]);
  const fits: Fitted[] = [];
  for (const [turn, seed] of options.seeds.entries()) {
    const counted: EstimateWatch = {
      ...watch,
      onProgress: ({ done, all, nats }) =>
        watch.onProgress?.({ done: turn * all + done, all: options.seeds.length * all, nats }),
    };
    fits.push(
      await fitted(
        dividedPairs(pairs, counts, new Random(seed).split("parts")),
        seed,
        definition,
        kind,
        options,
        runtime,
        counted,
      ),
    );
  }
  const bySeed = fits.map(({ nats }) => nats);
  const nats = meanOf(bySeed);
  const limit = definition.limit?.(blockSize(counts.test, BLOCK[kind]));
  return {
    estimator: name,
    nats,
    ...(bySeed.length > 1 && { deviation: deviationOf(bySeed) }),
    bySeed,
    side: definition.side,
    ...(limit !== undefined && { limit }),
    ...(fits[0]?.pValue !== undefined && { pValue: fits[0].pValue }),
    rows: counts,
    chosen: fits.map(({ chosen }) => chosen),
    curve: fits[0]?.curve ?? [],
    notes: notesOf(name, nats, limit, counts.test),
  };
}

/** Of so many rows, the size of equal blocks, as few as a largest size allows. Fewer rows than blocks are left over. */
function blockSize(rows: number, largest: number): number {
  return Math.floor(rows / Math.ceil(rows / largest));
}

/** How rows are divided; validation and test rows are whole blocks. @throws OptionError where a part has too few */
function partCounts(count: number, { validation, test, batchSize }: Settled, largest: number): PartCounts {
  const whole = (share: number): number => {
    const rows = Math.max(0, Math.round(count * share));
    const size = blockSize(rows, largest);
    return rows < 2 ? rows : size * Math.floor(rows / size);
  };
  const [choosing, testing] = [whole(validation), whole(test)];
  const training = count - choosing - testing;
  if (choosing < 2 || testing < 2 || training < batchSize) {
    throw new OptionError(
      `mutual information: of ${count} rows, ${training} are learnt from, ${choosing} choose the step and ${testing} give the estimate; a batch of ${batchSize}, 2 and 2 are needed: give more rows, a smaller batchSize or other shares`,
    );
  }
  return { training, validation: choosing, test: testing };
}

interface Fitted {
  readonly nats: number;
  /** Step of the best critic. */
  readonly chosen: number;
  readonly pValue?: number;
  readonly curve: MutualInformation["curve"];
}

/** Times that validation rows are looked at. */
const VALIDATIONS = 40;

/** Learns a critic, and makes the estimate with the one that was best on validation rows. */
async function fitted(
  { training, validation, test }: DividedPairs,
  seed: number,
  definition: BoundDefinition,
  kind: CriticKind,
  options: Settled,
  runtime: Runtime,
  { signal, onProgress }: EstimateWatch,
): Promise<Fitted> {
  const random = new Random(seed);
  const [first, second] = [training.x.length / training.count, training.y.length / training.count];
  const { hidden, embedding, decay, clip, interpolation, steps, batchSize, learningRate } = options;
  const model = nameParameters(
    new Estimator(
      buildCritic(kind, { first, second, hidden, embedding }),
      definition.build({ size: second, hidden, decay, clip, interpolation }),
      first,
    ),
  );
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
  const source = trainingBatches({ split: splitOf(training), batchSize, random });
  const size = blockSize(validation.count, BLOCK[kind]);
  const choosing = { ...heldOut(splitOf(validation)), batchSize: size };
  const start = { step: 0, vectors: initialVectors(tracer, random) };
  const trainer = await Trainer.create(tracer, source, runtime, start);
  const every = Math.max(1, Math.floor(steps / CURVE_POINTS));
  const look = Math.max(1, Math.floor(steps / VALIDATIONS));
  const curve: { step: number; nats: number }[] = [];
  let since: number[] = [];
  let best: { readonly loss: number; readonly step: number; readonly weights: State } | undefined;
  try {
    while (trainer.step < steps) {
      signal?.throwIfAborted();
      const { losses } = await trainer.train(learningRate);
      const { total = Number.NaN, nats = Number.NaN } = losses;
      if (!Number.isFinite(total)) {
        throw new TrainingError(
          `mutual information: the bound is ${total} at step ${trainer.step}; take a smaller learningRate, or an estimator whose scores stay small, as infonce or smile`,
        );
      }
      since.push(nats);
      if (trainer.step % look === 0 || trainer.step === steps) {
        const { losses } = await trainer.validate(choosing, validation.count);
        const { heldOut: loss = Number.NaN } = losses;
        if (best === undefined || loss < best.loss) {
          best = { loss, step: trainer.step, weights: await trainer.weights() };
        }
      }
      if (trainer.step % every !== 0 && trainer.step !== steps) continue;
      const point = { step: trainer.step, nats: meanOf(since) };
      curve.push(point);
      since = [];
      onProgress?.({ done: trainer.step, all: steps, nats: point.nats });
    }
    const weights = best?.weights ?? (await trainer.weights());
    const evaluated = await evaluation(model, weights, test, kind, runtime);
    const generator = random.split("permutations");
    const joint = jointMean(evaluated.blocks);
    const pValue = permutationShare(options.permutations, joint, (n) =>
      jointMean(evaluated.blocks, generator.split(n)),
    );
    const chosen = best?.step ?? steps;
    return { nats: evaluated.nats, chosen, curve, ...(pValue !== undefined && { pValue }) };
  } finally {
    await trainer.release();
  }
}

/** Rows of x and y, one beside the other. */
function splitOf({ count, x, y }: PairedRows): Split {
  const [first, second] = [x.length / count, y.length / count];
  const rows = new Float32Array(count * (first + second));
  for (let row = 0; row < count; row++) {
    rows.set(x.subarray(row * first, (row + 1) * first), row * (first + second));
    rows.set(y.subarray(row * second, (row + 1) * second), row * (first + second) + first);
  }
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  return storedSplit(rows, [first + second], order);
}

/** Scores of all pairs of some held-out rows. */
interface ScoreBlock {
  readonly pairs: number;
  readonly scores: Float32Array;
}

/** The estimate on test rows: the mean over their blocks. */
async function evaluation(
  model: Estimator,
  weights: State,
  test: PairedRows,
  kind: CriticKind,
  runtime: Runtime,
): Promise<{ readonly nats: number; readonly blocks: readonly ScoreBlock[] }> {
  const scorer = compile(["x", "y"], ({ x, y }) => model.evaluated(x, y), { runtime, weights });
  const size = blockSize(test.count, BLOCK[kind]);
  const blocks: ScoreBlock[] = [];
  const estimates: number[] = [];
  try {
    for (let from = 0; from < test.count; from += size) {
      const { scores, nats } = await scorer.run(pairFeeds(test, from, from + size));
      blocks.push({ pairs: size, scores: scores.data as Float32Array });
      estimates.push(Number(nats.data[0]));
    }
    return { nats: meanOf(estimates), blocks };
  } finally {
    await scorer.release();
  }
}

/** The mean score of the right pairs, or of pairs that are drawn at random within each block. */
function jointMean(blocks: readonly ScoreBlock[], random?: Random): number {
  let [sum, count] = [0, 0];
  for (const [number, { pairs, scores }] of blocks.entries()) {
    const order = random?.split(number).permutation(pairs);
    for (let i = 0; i < pairs; i++) sum += scores[i * pairs + (order?.[i] ?? i)] ?? Number.NaN;
    count += pairs;
  }
  return sum / count;
}

/** From which share of its limit on an estimate says little more than that it is reached. */
const NEAR_LIMIT = 0.8;

/** What a value cannot say. */
function notesOf(name: BoundName, nats: number, limit: number | undefined, held: number): readonly string[] {
  if (limit !== undefined && nats > NEAR_LIMIT * limit) {
    return [
      `${name}: the estimate is near ln N = ${limit.toFixed(2)}, the most it can be with N = ${Math.round(Math.exp(limit))} held-out pairs; the mutual information may be larger: give more rows, or choose smile`,
    ];
  }
  const exponential =
    name === "mine" ||
    name === "donsker-varadhan" ||
    name === "nwj" ||
    name === "jensen-shannon" ||
    name === "tuba";
  // The variance of the normalizer grows with e^I (McAllester and Stratos 2020; Song and Ermon 2020, theorem 2).
  if (exponential && Math.exp(nats) > held) {
    return [
      `${name}: its variance grows with e^I, here ${Math.exp(nats).toFixed(0)}, and there are ${held} held-out rows: the value is not reliable; choose smile or infonce`,
    ];
  }
  return [];
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Deviation of a sample. */
function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
