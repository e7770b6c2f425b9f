import { beforeAll, describe, expect, test } from "vitest";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import type { State } from "../../../src/program/program.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import {
  BOUNDS,
  type Bound,
  type BoundDefinition,
  type BoundName,
  jensenShannonLoss,
} from "../../../src/representation/mutual-information/bounds.ts";
import { float32, grad } from "../../../src/tensor/index.ts";

const PAIRS = 5;
const OPTIONS = { size: 2, hidden: 4, decay: 0.9, clip: 1.5, interpolation: 0.3 };

const random = new Random(3);
const SCORES = Array.from({ length: PAIRS }, () => Array.from({ length: PAIRS }, () => 2 * random.normal()));
const Y = Array.from({ length: PAIRS }, () => [random.normal(), random.normal()]);

function build(name: BoundName, clip = OPTIONS.clip): Bound {
  const definition: BoundDefinition = BOUNDS[name];
  return definition.build({ ...OPTIONS, clip });
}

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const score = (i: number, j: number, scores = SCORES): number => scores[i]?.[j] ?? Number.NaN;
const all = Array.from({ length: PAIRS }, (_, i) => i);
const joint = (of: (i: number) => number): number => mean(all.map(of));
const product = (of: (i: number, j: number) => number): number =>
  mean(all.flatMap((i) => all.filter((j) => j !== i).map((j) => of(i, j))));
const softplus = (x: number): number => Math.log1p(Math.exp(x));
const clipped = (x: number): number => Math.max(-OPTIONS.clip, Math.min(OPTIONS.clip, x));

/** Each estimate by plain loops over pairs, from scores and a log-baseline of each y. */
const BY_LOOPS: Readonly<Record<BoundName, (baseline: readonly number[], scores?: typeof SCORES) => number>> =
  {
    mine: (_, s) => joint((i) => score(i, i, s)) - Math.log(product((i, j) => Math.exp(score(i, j, s)))),
    "donsker-varadhan": (_, s) =>
      joint((i) => score(i, i, s)) - Math.log(product((i, j) => Math.exp(score(i, j, s)))),
    nwj: (_, s) => joint((i) => score(i, i, s)) - product((i, j) => Math.exp(score(i, j, s) - 1)),
    "jensen-shannon": (_, s) =>
      1 + joint((i) => score(i, i, s)) - product((i, j) => Math.exp(score(i, j, s))),
    infonce: (_, s) =>
      joint((j) => Math.log(Math.exp(score(j, j, s)) / mean(all.map((i) => Math.exp(score(i, j, s)))))),
    smile: (_, s) =>
      joint((i) => score(i, i, s)) - Math.log(product((i, j) => Math.exp(clipped(score(i, j, s))))),
    tuba: (a, s) =>
      1 +
      joint((j) => score(j, j, s) - (a[j] ?? 0)) -
      product((i, j) => Math.exp(score(i, j, s) - (a[j] ?? 0))),
    interpolated: (a, s) => {
      const { interpolation } = OPTIONS;
      const baseline = (out: number, j: number): number => {
        const m = mean(all.filter((k) => k !== out).map((k) => Math.exp(score(k, j, s))));
        return interpolation * m + (1 - interpolation) * Math.exp(a[j] ?? 0);
      };
      return (
        1 +
        product((out, j) => score(j, j, s) - Math.log(baseline(out, j))) -
        product((i, j) => Math.exp(score(i, j, s)) / baseline(j, j))
      );
    },
    club: (_, s) => joint((i) => score(i, i, s)) - product((i, j) => score(i, j, s)),
  };

/** A bound with random weights, its estimate and loss, the gradient of the loss, and the log-baseline of each y. */
async function computed(name: BoundName, scores = SCORES) {
  const bound: Bound = nameParameters(build(name));
  const weights: State = initialState(bound, new Random(1));
  const program = compile(
    ["scores", "y"],
    ({ scores, y }) => {
      const loss = bound.loss(scores, y);
      const [slope] = grad(loss, [scores]);
      const baseline = bound.baseline?.forward(y) ?? y;
      return { loss, slope, estimate: bound.estimate(scores, y), baseline };
    },
    { runtime, weights },
  );
  const { loss, slope, estimate, baseline } = await program.run({
    scores: float32(scores.flat(), [PAIRS, PAIRS]),
    y: float32(Y.flat(), [PAIRS, 2]),
  });
  await program.release();
  return {
    loss: Number(loss.data[0]),
    slope: Array.from(slope.data, Number),
    estimate: Number(estimate.data[0]),
    baseline: Array.from(baseline.data, Number),
  };
}

describe.each(Object.keys(BOUNDS) as BoundName[])("%s", (name) => {
  test("estimates what loops over pairs do", async () => {
    const { estimate, baseline } = await computed(name);
    expect(estimate).toBeCloseTo(BY_LOOPS[name](baseline), 4);
  });

  test("has the gradient of its loss", async () => {
    const { slope, baseline } = await computed(name);
    const loss = LOSSES[name] ?? ((scores: typeof SCORES) => -BY_LOOPS[name](baseline, scores));
    for (const [i, j] of [
      [0, 0],
      [1, 3],
      [4, 2],
    ] as const) {
      const moved = (by: number): typeof SCORES =>
        SCORES.map((row, k) => row.map((value, l) => (k === i && l === j ? value + by : value)));
      const difference = (loss(moved(1e-4)) - loss(moved(-1e-4))) / 2e-4;
      expect(slope[i * PAIRS + j]).toBeCloseTo(difference, 4);
    }
  });

  test("stays finite where scores are large", async () => {
    if (BOUNDS[name].side === "lower" && !["infonce", "mine", "donsker-varadhan"].includes(name)) return;
    const { loss, slope, estimate } = await computed(
      name,
      SCORES.map((row) => row.map((value) => 60 * value)),
    );
    expect([loss, estimate, ...slope].every(Number.isFinite)).toBe(true);
  });
});

const jensenShannon = (scores: typeof SCORES): number =>
  joint((i) => softplus(-score(i, i, scores))) + product((i, j) => softplus(score(i, j, scores)));

/** Losses that are not the negative estimate. */
const LOSSES: Partial<Record<BoundName, (scores: typeof SCORES) => number>> = {
  "jensen-shannon": jensenShannon,
  smile: jensenShannon,
  club: (scores) => -joint((i) => score(i, i, scores)),
};

test("the interpolated bound leaves rows out where one is far above all others, and where several are the largest", async () => {
  const scores = [
    [1, 2, -30, 0.5, 3],
    [1, 2, -40, 0.5, 3],
    [1, 0, 2, 0.5, -1],
    [1, -1, -35, 0.5, -25],
    [1, 1, -31, 0.2, -30],
  ];
  const { estimate, baseline, slope } = await computed("interpolated", scores);
  expect(estimate).toBeCloseTo(BY_LOOPS.interpolated(baseline, scores), 4);
  expect(slope.every(Number.isFinite)).toBe(true);
});

test("InfoNCE is never above ln N, however large the scores of the right pairs are", async () => {
  const { estimate } = await computed(
    "infonce",
    SCORES.map((row, i) => row.map((value, j) => value + (i === j ? 500 : 0))),
  );
  expect(estimate).toBeLessThanOrEqual(Math.log(PAIRS) + 1e-6);
  expect(estimate).toBeCloseTo(BOUNDS.infonce.limit(PAIRS), 5);
});

test("where the critic is log p(y | x) / p(y), bounds are near the mutual information", async () => {
  // ρ = 0.8: ½ ln(1 / (1 − ρ²)) = 0.511 nats, from 600 pairs.
  const [count, correlation] = [600, 0.8];
  const generator = new Random(2);
  const x = Array.from({ length: count }, () => generator.normal());
  const y = x.map((value) => correlation * value + Math.sqrt(1 - correlation ** 2) * generator.normal());
  const variance = 1 - correlation ** 2;
  const ratios = Float32Array.from(
    x.flatMap((a) =>
      y.map((b) => -0.5 * Math.log(variance) - (b - correlation * a) ** 2 / (2 * variance) + b ** 2 / 2),
    ),
  );
  const program = compile(
    ["scores"],
    ({ scores }) => ({
      divergence: build("donsker-varadhan").estimate(scores, scores),
      jensenShannon: build("jensen-shannon").estimate(scores, scores),
      infonce: build("infonce").estimate(scores, scores),
      smile: build("smile", 5).estimate(scores, scores),
      loss: jensenShannonLoss(scores),
    }),
    { runtime },
  );
  const found = await program.run({ scores: float32(ratios, [count, count]) });
  await program.release();
  for (const name of ["divergence", "jensenShannon", "infonce", "smile"] as const) {
    expect(Math.abs(Number(found[name].data[0]) - 0.511)).toBeLessThan(0.07);
  }
});
