import { beforeAll, describe, expect, it } from "vitest";
import type { Adversarial, Turn } from "../../src/model/capabilities.ts";
import type { SymbolicBatch } from "../../src/model/data-info.ts";
import { BatchNorm1d, Linear } from "../../src/nn/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam, sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import type { Runtime } from "../../src/program/runtime.ts";
import { Random } from "../../src/random.ts";
import { float32, type NdArray, normal, type Tensor } from "../../src/tensor/index.ts";
import type { TrainingBatches } from "../../src/train/batches.ts";
import { type StepOptions, StepTracer } from "../../src/train/step.ts";
import { initialVectors, type Snapshot, Trainer } from "../../src/train/trainer.ts";
import { largestDifference, numbers, present } from "../support.ts";

// Games on a processor update the player of the last turn outside of the graph: the numbers are those of the graph.

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** The same runtime by another name, with which all updates stay in the graph. */
const inGraph = (): Runtime => ({ ...runtime, provider: "elsewhere" });

/** A network whose batch statistics are buffers, with a frozen part. */
class Maker {
  readonly first = new Linear(4, 5);
  readonly norm = new BatchNorm1d(5);
  readonly last = new Linear(5, 3);

  forward(x: Tensor): Tensor {
    return this.last.forward(this.norm.forward(this.first.forward(x)).tanh());
  }
}

interface Rules {
  /** The maker, whose turn is the last one, lies before or behind the other in the vectors. */
  readonly makerFirst: boolean;
  readonly turns: number;
  readonly rate: number;
  readonly settles: boolean;
}

/** A maker of codes, and a judge that tells them from noise; what the maker has made is computed once. */
class Game implements Adversarial {
  readonly maker: Maker | undefined;
  readonly judge = new Linear(3, 1);
  readonly behind: Maker | undefined;
  private readonly rules: Rules;
  readonly settle?: (batch: SymbolicBatch) => void;

  constructor(rules: Rules) {
    if (rules.makerFirst) this.maker = new Maker();
    else this.behind = new Maker();
    this.rules = rules;
    if (rules.settles) this.settle = ({ x }) => void this.own.forward(x);
  }

  private get own(): Maker {
    return present(this.maker ?? this.behind);
  }

  rateOf(name: string): number {
    return name.endsWith("first.bias") ? 0 : name.endsWith("last.weight") ? 0.5 : 1;
  }

  loss({ x }: SymbolicBatch) {
    return { total: this.own.forward(x).square().mean() };
  }

  turns({ x }: SymbolicBatch): readonly Turn[] {
    const codes = this.own.forward(x);
    const judged = (z: Tensor): Tensor => this.judge.forward(z).squeeze(1);
    const judge: Turn = {
      name: "judge",
      player: this.judge,
      losses: () => ({
        total: judged(normal(codes.shape))
          .neg()
          .softplus()
          .mean()
          .add(judged(codes.stopGradient()).softplus().mean()),
      }),
    };
    const maker: Turn = {
      name: "maker",
      player: this.own,
      rate: this.rules.rate,
      losses: () => {
        const fooled = judged(codes).neg().softplus().mean();
        return { total: fooled.add(codes.square().mean().mul(0.1)), fooled };
      },
    };
    return [...new Array<Turn>(this.rules.turns).fill(judge), maker];
  }
}

const batches: TrainingBatches = {
  count: 64,
  batchSize: 8,
  random: new Random(1),
  shape: (rows) => ({ x: [rows, 4], labeled: false }),
  feeds: async (step) => {
    const data = new Float32Array(32);
    new Random(2).split(step).fillRows(data, 8, 0, "normal");
    return { x: float32(data, [8, 4]) };
  },
  names: () => [],
};

async function trained(rules: Rules, options: StepOptions, on: Runtime, steps: number, start?: Snapshot) {
  const tracer = new StepTracer(nameParameters(new Game(rules)), options);
  const begun = start ?? { step: 0, vectors: initialVectors(tracer, new Random(3)) };
  const trainer = await Trainer.create(tracer, batches, on, begun);
  const results = [];
  for (let i = 0; i < steps; i++) results.push(await trainer.train(0.02));
  const end = await trainer.snapshot();
  await trainer.release();
  return { results, end };
}

const apart = (a: NdArray, b: NdArray): number => largestDifference(numbers(a), numbers(b));

const CASES: readonly (readonly [string, Rules, StepOptions])[] = [
  [
    "adam, an average that buffers settle on",
    { makerFirst: true, turns: 1, rate: 1, settles: true },
    { optimizer: adam(), averageDecay: 0.9 },
  ],
  [
    "several turns before the last, clipped, the last player behind the other, with a rate of its own",
    { makerFirst: false, turns: 3, rate: 0.5, settles: false },
    { optimizer: adam({ weightDecay: 0.1 }), clipNorm: 0.2, averageDecay: 0.9 },
  ],
  [
    "momentum, no average",
    { makerFirst: true, turns: 2, rate: 1, settles: true },
    { optimizer: sgd({ momentum: 0.9 }), averageDecay: 0 },
  ],
];

describe("a game whose last update is made outside of the graph", () => {
  it.each(CASES)("has the numbers of the graph over 30 steps: %s", async (_, rules, options) => {
    const [outside, inside] = [
      await trained(rules, options, runtime, 30),
      await trained(rules, options, inGraph(), 30),
    ];
    expect([...outside.end.vectors.keys()]).toEqual([...inside.end.vectors.keys()]);
    for (const [name, vector] of inside.end.vectors) {
      expect(apart(present(outside.end.vectors.get(name)), vector), name).toBeLessThan(2e-5);
    }
    for (const [i, { losses, gradientNorm }] of inside.results.entries()) {
      expect(outside.results[i]?.gradientNorm).toBeCloseTo(gradientNorm, 4);
      expect(Object.keys(outside.results[i]?.losses ?? {}).sort()).toEqual(Object.keys(losses).sort());
      for (const [name, loss] of Object.entries(losses))
        expect(outside.results[i]?.losses[name]).toBeCloseTo(loss, 4);
    }
  });

  it("goes on from a snapshot bit for bit", async () => {
    const [, rules, options] = present(CASES[0]);
    const whole = await trained(rules, options, runtime, 20);
    const half = await trained(rules, options, runtime, 10);
    const rest = await trained(rules, options, runtime, 10, half.end);
    for (const [name, vector] of whole.end.vectors) expect(rest.end.vectors.get(name)).toEqual(vector);
  });
});
