import { parseArgs } from "node:util";
import { nameParameters, parameterCount } from "../src/nn/index.ts";
import { nodeRuntime } from "../src/program/node.ts";
import { batchSourceOf } from "../src/train/batches.ts";
import { fitOptions, resolveFitOptions, tracerOf } from "../src/train/options.ts";
import { gradientPool } from "../src/train/rank-pool.node.ts";
import { rankJob } from "../src/train/ranks/job.node.ts";
import { Ranks } from "../src/train/ranks/ranks.node.ts";
import { initialVectors, Trainer } from "../src/train/trainer.ts";
import { subjectOf } from "./eidos-works.ts";

// A rank of scaling.ts: exchanges of several sizes, and training steps of some works. Alone, it is the one rank. Rank 0 prints a line of JSON for each.

const { values } = parseArgs({
  options: {
    works: { type: "string", default: "" },
    seconds: { type: "string", default: "5" },
    sizes: { type: "string", default: "" },
  },
});
const numbers = (text: string): readonly number[] => (text === "" ? [] : text.split(",").map(Number));

/** Steps that are not measured: the first ones build programs and fill caches. */
const WARMING = 2;
const MOST_STEPS = 60;

/** Samples of a rank where a work has no batch of its own. */
const BATCHES: Readonly<Record<string, number>> = { "resnet50-step": 4 };

const job = rankJob();
const ranks = job && (await Ranks.join(job));
const size = ranks?.size ?? 1;
const print = (line: object): void => {
  if (ranks === undefined || ranks.leads) process.stdout.write(`${JSON.stringify(line)}\n`);
};

const quantile = (all: readonly number[], share: number): number =>
  [...all].sort((a, b) => a - b)[Math.floor(share * all.length)] ?? Number.NaN;

const median = (all: readonly number[]): number => quantile(all, 0.5);

/** Seconds that calls take. */
async function seconds(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** All ranks go on with what rank 0 says. */
const together = (number: number): number => {
  const held = Float64Array.of(ranks === undefined || ranks.leads ? number : 0);
  ranks?.sum(held);
  return held[0] ?? 0;
};

if (ranks !== undefined) {
  for (const bytes of numbers(values.sizes)) {
    const data = new Float32Array(bytes / 4);
    const taken: number[] = [];
    const times = Math.max(5, Math.min(200, Math.round(2e8 / Math.max(bytes, 1e6))));
    for (let i = -Math.min(20, times); i < times; i++) {
      together(0);
      const own = await seconds(() => ranks.sumMany(data));
      if (i >= 0) taken.push(own);
    }
    print({ kind: "exchange", bytes, ranks: size, seconds: quantile(taken, 0.1), times });
  }
}

for (const [i, work] of values.works.split(",").entries()) {
  if (work === "") continue;
  const { model, data, preferences } = subjectOf(work);
  const batch = BATCHES[work] ?? preferences.batchSize ?? 1;
  const whole = { ...preferences, batchSize: batch * size };
  const options = resolveFitOptions(fitOptions.parse({ threads: 1 }), whole, batch * size * 64);
  nameParameters(model);
  const tracer = tracerOf(model, options);
  const source = batchSourceOf(data, options);
  const runtime = await nodeRuntime({ threads: 1 });
  const spent = { gradients: 0, others: 0 };
  const calls = ranks && timed(ranks, spent);
  const pool = await gradientPool({
    tracer,
    source,
    options,
    runtime,
    ranks: calls,
    shouldStop: () => false,
  });
  const trainer = await Trainer.create(
    tracer,
    source,
    runtime,
    { step: 0, vectors: initialVectors(tracer, source.random) },
    pool,
  );
  const step = () => trainer.train(options.learningRate);
  const warm: number[] = [];
  for (let k = 0; k < WARMING; k++) warm.push(await seconds(step));
  const steps = together(
    Math.max(2, Math.min(MOST_STEPS, Math.round(Number(values.seconds) / (warm.at(-1) ?? 1)))),
  );
  const taken: number[] = [];
  const gradients: number[] = [];
  const others: number[] = [];
  for (let k = 0; k < steps; k++) {
    spent.gradients = 0;
    spent.others = 0;
    taken.push(await seconds(step));
    gradients.push(spent.gradients);
    others.push(spent.others);
  }
  print({
    kind: "step",
    work,
    position: i,
    ranks: size,
    batch,
    parameters: parameterCount(model),
    bytes: 4 * tracer.layout.size,
    steps,
    seconds: median(taken),
    gradients: median(gradients),
    others: median(others),
  });
  await trainer.release();
  await pool?.release();
}
ranks?.end();

/** Ranks whose calls are timed: adding up gradients, and all else, where a rank also waits for slower ones. */
function timed(ranks: Ranks, spent: { gradients: number; others: number }): Ranks {
  const sumMany = ranks.sumMany.bind(ranks);
  const sum = ranks.sum.bind(ranks);
  const agree = ranks.agree.bind(ranks);
  const count = (part: "gradients" | "others", call: () => void): void => {
    const begun = performance.now();
    call();
    spent[part] += (performance.now() - begun) / 1000;
  };
  return Object.assign(Object.create(ranks) as Ranks, {
    sumMany: (data: Parameters<Ranks["sumMany"]>[0]) => count("gradients", () => sumMany(data)),
    sum: (data: Float64Array) => count("others", () => sum(data)),
    agree: (fault: unknown, stop: boolean) => count("others", () => agree(fault, stop)),
  });
}
