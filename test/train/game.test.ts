import { expect, test } from "vitest";
import { Gan, ganOptions } from "../../src/latent/index.ts";
import type { Adversarial, Losses, Turn } from "../../src/model/capabilities.ts";
import type { SymbolicBatch } from "../../src/model/data-info.ts";
import { constant as fixed } from "../../src/nn/initializers.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam, type Optimizer, sgd } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Buffer, constant, float32, isTraining, type NdArray, Parameter } from "../../src/tensor/index.ts";
import { type StepOptions, StepTracer } from "../../src/train/step.ts";
import { temporaryFolder } from "../support.ts";
import { fitDenoiser } from "./support.ts";

// A game of two players on the plane: a minimizes ½ |a|² k + a · b + a₀ m, b minimizes ½ |b|² k − a · b, where k is a
// buffer that grows by 1 in every turn of b, and m is the mean of the batch. Its steps are done again by plain numbers.

const STIFFNESS = 0.5;

class Player {
  readonly at: Parameter;

  constructor(start: number) {
    this.at = new Parameter([2], fixed(start));
  }
}

interface Rules {
  /** How often b plays before a does. */
  readonly turnsOfB: number;
  readonly rateOfB: number;
  readonly settles: boolean;
}

class Duel implements Adversarial {
  readonly a = new Player(1);
  readonly b = new Player(-0.5);
  readonly stiffness = new Buffer([], fixed(STIFFNESS));
  private readonly rules: Rules;

  constructor(rules: Rules) {
    this.rules = rules;
  }

  turns({ x }: SymbolicBatch): readonly Turn[] {
    const { a, b, stiffness } = this;
    const product = a.at.mul(b.at).sum();
    const own = ({ at }: Player) => at.square().sum().mul(stiffness).mul(0.5);
    const turnOfB: Turn = {
      name: "b",
      player: b,
      rate: this.rules.rateOfB,
      losses: () => {
        expect(isTraining()).toBe(true);
        stiffness.update(stiffness.add(1));
        return { total: own(b).sub(product), product };
      },
    };
    const turnOfA: Turn = {
      name: "a",
      player: a,
      losses: () => {
        const first = a.at.mul(constant(float32([1, 0], [2]))).sum();
        return { total: own(a).add(product).add(first.mul(x.mean())) };
      },
    };
    return [...new Array<Turn>(this.rules.turnsOfB).fill(turnOfB), turnOfA];
  }

  /** Half of the old stiffness, and the first number of a. */
  settle(): void {
    if (!this.rules.settles) return;
    const first = this.a.at.mul(constant(float32([1, 0], [2]))).sum();
    this.stiffness.update(this.stiffness.mul(0.5).add(first));
  }

  loss(): Losses {
    return { total: this.a.at.sum() };
  }
}

/** A player's update rule on plain numbers. */
interface PlainRule {
  update(at: readonly number[], gradient: readonly number[], learningRate: number): number[];
}

function plainSgd(momentum: number): PlainRule {
  const velocity = [0, 0];
  return {
    update: (at, gradient, learningRate) =>
      at.map((value, i) => {
        velocity[i] = momentum * (velocity[i] ?? 0) + (gradient[i] ?? 0);
        return value - learningRate * (velocity[i] ?? 0);
      }),
  };
}

/** Kingma and Ba 2015, algorithm 1. */
function plainAdam(beta1: number, beta2: number): PlainRule {
  const [m, v] = [
    [0, 0],
    [0, 0],
  ];
  let count = 0;
  return {
    update: (at, gradient, learningRate) => {
      count += 1;
      return at.map((value, i) => {
        const g = gradient[i] ?? 0;
        m[i] = beta1 * (m[i] ?? 0) + (1 - beta1) * g;
        v[i] = beta2 * (v[i] ?? 0) + (1 - beta2) * g * g;
        const [first, second] = [(m[i] ?? 0) / (1 - beta1 ** count), (v[i] ?? 0) / (1 - beta2 ** count)];
        return value - (learningRate * first) / (Math.sqrt(second) + 1e-8);
      });
    },
  };
}

interface Step {
  readonly parameters: readonly number[];
  readonly average: readonly number[];
  readonly stiffness: number;
  readonly lossA: number;
  readonly lossB: number;
  readonly product: number;
  readonly gradientNorm: number;
}

const LEARNING_RATE = 0.1;
const DECAY = 0.8;
const STEPS = 6;
const meanOf = (step: number): number => 0.1 * step;

function plainSteps(rules: Rules, rule: () => PlainRule, clipNorm = Number.POSITIVE_INFINITY): Step[] {
  let a = [1, 1];
  let b = [-0.5, -0.5];
  let average = [...a, ...b];
  let stiffness = STIFFNESS;
  const [ruleOfA, ruleOfB] = [rule(), rule()];
  const dot = (u: readonly number[], v: readonly number[]): number =>
    u.reduce((sum, value, i) => sum + value * (v[i] ?? 0), 0);
  return Array.from({ length: STEPS }, (_, i): Step => {
    const step = i + 1;
    const before = stiffness;
    let squares = 0;
    let [lossA, lossB, product] = [0, 0, 0];
    const clipped = (gradient: readonly number[]): number[] => {
      const norm = Math.sqrt(dot(gradient, gradient));
      squares += norm * norm;
      return gradient.map((value) => value * Math.min(1, clipNorm / (norm + 1e-6)));
    };
    for (let turn = 0; turn < rules.turnsOfB; turn++) {
      product = dot(a, b);
      lossB = 0.5 * stiffness * dot(b, b) - product;
      const gradient = clipped(b.map((value, k) => stiffness * value - (a[k] ?? 0)));
      b = ruleOfB.update(b, gradient, rules.rateOfB * LEARNING_RATE);
      stiffness += 1;
    }
    lossA = 0.5 * stiffness * dot(a, a) + dot(a, b) + (a[0] ?? 0) * meanOf(step);
    const gradient = clipped(
      a.map((value, k) => stiffness * value + (b[k] ?? 0) + (k === 0 ? meanOf(step) : 0)),
    );
    a = ruleOfA.update(a, gradient, LEARNING_RATE);
    const share = 1 - Math.min(DECAY, (1 + step) / (10 + step));
    average = average.map((value, k) => value + share * (([...a, ...b][k] ?? 0) - value));
    if (rules.settles) stiffness = 0.5 * before + (average[0] ?? 0);
    const gradientNorm = Math.sqrt(squares);
    return { parameters: [...a, ...b], average, stiffness, lossA, lossB, product, gradientNorm };
  });
}

/** The same by compiled steps. */
async function compiledSteps(rules: Rules, options: StepOptions): Promise<Step[]> {
  const tracer = new StepTracer(nameParameters(new Duel(rules)), options);
  const program = await Program.build(
    tracer.whole({ x: [4, 2], labeled: false }),
    await nodeRuntime({ threads: 1 }),
  );
  const start = [1, 1, -0.5, -0.5];
  let vectors: Record<string, NdArray> = {
    parameters: float32(start, [4]),
    average: float32(start, [4]),
    stiffness: float32([STIFFNESS], []),
    ...Object.fromEntries(tracer.slotNames.map((name) => [name, float32([0, 0, 0, 0], [4])])),
  };
  const steps: Step[] = [];
  for (let step = 1; step <= STEPS; step++) {
    const outputs = await program.run({
      ...vectors,
      x: float32(new Float32Array(8).fill(meanOf(step)), [4, 2]),
      learningRate: float32([LEARNING_RATE], []),
      step: float32([step], []),
    });
    vectors = Object.fromEntries(Object.keys(vectors).map((name) => [name, outputs[name] as NdArray]));
    const number = (name: string): number => Number(outputs[name]?.data[0]);
    expect(number("loss.total")).toBe(number("loss.a"));
    steps.push({
      parameters: Array.from(vectors.parameters?.data ?? [], Number),
      average: Array.from(vectors.average?.data ?? [], Number),
      stiffness: number("stiffness"),
      lossA: number("loss.a"),
      lossB: number("loss.b"),
      product: number("loss.product"),
      gradientNorm: number("gradientNorm"),
    });
  }
  await program.release();
  return steps;
}

const numbersOf = ({ parameters, average, ...rest }: Step): number[] => [
  ...parameters,
  ...average,
  ...Object.values(rest),
];

const rules: readonly (readonly [string, Rules])[] = [
  ["a turn each", { turnsOfB: 1, rateOfB: 1, settles: false }],
  ["three turns of b", { turnsOfB: 3, rateOfB: 1, settles: false }],
  ["a rate of its own", { turnsOfB: 2, rateOfB: 0.3, settles: false }],
  ["buffers that settle on the average", { turnsOfB: 2, rateOfB: 1, settles: true }],
];
const optimizers: readonly (readonly [string, Optimizer, () => PlainRule])[] = [
  ["sgd", sgd(), () => plainSgd(0)],
  ["momentum", sgd({ momentum: 0.9 }), () => plainSgd(0.9)],
  ["Adam", adam({ beta1: 0.5, beta2: 0.9 }), () => plainAdam(0.5, 0.9)],
];

test.each(
  rules.flatMap(([name, rule]) => optimizers.map((optimizer) => [name, rule, ...optimizer] as const)),
)("a game of %s by %s equals plain numbers", async (_name, rule, _optimizerName, optimizer, plain) => {
  for (const clipNorm of [undefined, 0.7]) {
    const options = { optimizer, averageDecay: DECAY, ...(clipNorm !== undefined && { clipNorm }) };
    const steps = await compiledSteps(rule, options);
    plainSteps(rule, plain, clipNorm).forEach((expected, i) => {
      const [actual, wanted] = [numbersOf(steps[i] ?? expected), numbersOf(expected)];
      wanted.forEach((value, k) => {
        expect(Math.abs((actual[k] ?? Number.NaN) - value)).toBeLessThan(2e-5 * Math.max(1, Math.abs(value)));
      });
    });
  }
});

test("players that do not hold all parameters, each its own, are refused", () => {
  class Left extends Duel {
    readonly extra = new Parameter([1], fixed(0));
  }
  class Shared extends Duel {
    override turns(batch: SymbolicBatch): readonly Turn[] {
      return super.turns(batch).map((turn) => ({ ...turn, player: this }));
    }
  }
  class Doubled extends Duel {
    override turns(batch: SymbolicBatch): readonly Turn[] {
      const turns = super.turns(batch);
      return [
        ...turns,
        { ...turns[0], name: "both", player: this, losses: () => ({ total: this.a.at.sum() }) },
      ];
    }
  }
  class Idle extends Duel {
    override turns(): readonly Turn[] {
      return [];
    }
  }
  const rule = { turnsOfB: 1, rateOfB: 1, settles: false };
  const traced = (model: Duel) => () =>
    new StepTracer(nameParameters(model), { optimizer: sgd(), averageDecay: 0 }).whole({
      x: [4, 2],
      labeled: false,
    });
  const message =
    /players of a game must be fields of the model that hold all of its parameters, each its own/;
  expect(traced(new Left(rule))).toThrow(message);
  expect(traced(new Doubled(rule))).toThrow(message);
  expect(traced(new Idle(rule))).toThrow(/no turns/);
  // One player that is the whole model is a game too.
  expect(traced(new Shared(rule))).not.toThrow();
  const tracer = new StepTracer(nameParameters(new Duel(rule)), { optimizer: sgd(), averageDecay: 0 });
  expect(() => tracer.gradient({ x: [4, 2], labeled: false })).toThrow(/take turns on whole batches/);
});

test.each([0, 5, 9])(
  "a GAN stopped after %i steps and resumed equals the uninterrupted one, bit for bit",
  async (stopAt) => {
    const data = { kind: "points", sampleShape: [2] } as const;
    const model = () =>
      new Gan(
        ganOptions.parse({ width: 8, depth: 1, latentSize: 2, spectralNorm: true, criticSteps: 2 }),
        data,
      );
    const options = { steps: 14, optimizer: "adam" } as const;
    const whole = await fitDenoiser(await temporaryFolder(), options, { model: model() });
    const path = await temporaryFolder();
    let asked = 0;
    await fitDenoiser(path, options, { model: model(), shouldStop: () => asked++ >= stopAt });
    const second = await fitDenoiser(path, options, { model: model(), resume: true });
    const timeless = async ({ folder }: typeof whole) =>
      (await folder.readMetrics()).map(({ seconds: _s, samplesPerSecond: _p, ...row }) => row);
    expect(await timeless(second)).toEqual(await timeless(whole));
    expect((await second.folder.readCheckpoint())?.vectors).toEqual(
      (await whole.folder.readCheckpoint())?.vectors,
    );
    for (const which of ["best", "last"] as const) {
      expect(await second.folder.readWeights(which)).toEqual(await whole.folder.readWeights(which));
    }
  },
);
