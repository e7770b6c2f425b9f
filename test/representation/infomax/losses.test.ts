import { beforeAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import {
  PART_ESTIMATORS,
  PART_LOSSES,
  type PartEstimator,
  partInformation,
} from "../../../src/representation/infomax/losses.ts";
import { infoNce, jensenShannonLoss } from "../../../src/representation/mutual-information/bounds.ts";
import { float32, grad, oneHot } from "../../../src/tensor/index.ts";
import { arange } from "../../../src/tensor/operations/indexing.ts";
import { largestDifference, numbers, present } from "../../support.ts";

// Scores of 4 codes with 3 parts of each of 4 images; images[i][j][l], the own image on the diagonal.
const [N, L] = [4, 3];
const random = new Random(5);
const SCORES = Array.from({ length: N * N * L }, () => 2 * random.normal());
type Scores = readonly number[];

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

const softplus = (x: number): number => Math.log1p(Math.exp(x));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
const at = (scores: Scores, i: number, j: number, l: number): number => present(scores[(i * N + j) * L + l]);
const own = (scores: Scores): readonly number[] =>
  range(N).flatMap((i) => range(L).map((l) => at(scores, i, i, l)));
/** Scores of code i with all parts of all other images. */
const others = (scores: Scores, i: number): readonly number[] =>
  range(N)
    .filter((j) => j !== i)
    .flatMap((j) => range(L).map((l) => at(scores, i, j, l)));
const allOthers = (scores: Scores): readonly number[] => range(N).flatMap((i) => others(scores, i));

/** Every loss by plain loops; InfoNCE as the full softmax of each part among all others. */
const BY_LOOPS: Readonly<Record<PartEstimator, (scores: Scores) => number>> = {
  "donsker-varadhan": (s) => Math.log(mean(allOthers(s).map(Math.exp))) - mean(own(s)),
  "jensen-shannon": (s) => mean(own(s).map((f) => softplus(-f))) + mean(allOthers(s).map(softplus)),
  infonce: (s) =>
    mean(
      range(N).flatMap((i) =>
        range(L).map((l) => {
          const right = Math.exp(at(s, i, i, l));
          return -Math.log(right / (right + others(s, i).reduce((sum, f) => sum + Math.exp(f), 0)));
        }),
      ),
    ),
};

async function computed(estimator: PartEstimator, scores: Scores = SCORES) {
  const program = compile(
    ["scores"],
    ({ scores }) => {
      const pairs = { scores, isOwn: oneHot(arange(0, N), N).greater(0).unsqueeze(2) };
      const loss = PART_LOSSES[estimator](pairs);
      return { loss, slope: grad(loss, [scores])[0], nats: partInformation(pairs) };
    },
    { runtime },
  );
  const { loss, slope, nats } = await program.run({ scores: float32(scores, [N, N, L]) });
  await program.release();
  return { loss: present(numbers(loss)[0]), slope: numbers(slope), nats: present(numbers(nats)[0]) };
}

describe.each(PART_ESTIMATORS)("%s of parts", (estimator) => {
  const loops = BY_LOOPS[estimator];

  it("is what loops over codes, images and parts give", async () => {
    expect((await computed(estimator)).loss).toBeCloseTo(loops(SCORES), 4);
  });

  it("has the gradient of finite differences at every score", async () => {
    const { slope } = await computed(estimator);
    const moved = (index: number, by: number): Scores => SCORES.map((s, k) => (k === index ? s + by : s));
    const differences = SCORES.map(
      (_, index) => (loops(moved(index, 1e-5)) - loops(moved(index, -1e-5))) / 2e-5,
    );
    expect(largestDifference(slope, differences)).toBeLessThan(1e-5);
  });

  it("stays finite where scores are large, on the right side and on the wrong one", async () => {
    for (const factor of [400, -400]) {
      const { loss, slope, nats } = await computed(
        estimator,
        SCORES.map((s) => factor * s),
      );
      expect([loss, nats, ...slope].every(Number.isFinite)).toBe(true);
    }
  });
});

it("is the loss of estimates of mutual information where images have one part", async () => {
  const program = compile(
    ["scores"],
    ({ scores }) => {
      // There, rows are first variables and columns are second ones.
      const square = scores.transpose();
      const pairs = {
        scores: scores.unsqueeze(2),
        isOwn: oneHot(arange(0, N), N).greater(0).unsqueeze(2),
      };
      return {
        ours: PART_LOSSES.infonce(pairs),
        theirs: infoNce(square).neg().add(Math.log(N)),
        nats: partInformation(pairs),
        bound: infoNce(square),
        jensenShannon: PART_LOSSES["jensen-shannon"](pairs),
        logits: jensenShannonLoss(square),
      };
    },
    { runtime },
  );
  const out = await program.run({ scores: float32(SCORES.slice(0, N * N), [N, N]) });
  await program.release();
  const value = (name: keyof typeof out): number => present(numbers(out[name])[0]);
  expect(value("ours")).toBeCloseTo(value("theirs"), 5);
  expect(value("nats")).toBeCloseTo(value("bound"), 5);
  expect(value("jensenShannon")).toBeCloseTo(value("logits"), 5);
});

it("never finds more information than ln(images), nor where there is none", async () => {
  const best = range(N).flatMap((i) => range(N).flatMap((j) => range(L).map(() => (i === j ? 200 : -200))));
  expect((await computed("infonce", best)).nats).toBeCloseTo(Math.log(N), 5);
  const none = new Array<number>(N * N * L).fill(3);
  expect((await computed("infonce", none)).nats).toBeCloseTo(0, 5);
});

it("stays below the mutual information where the parts of an image depend on each other", async () => {
  // Every part of an image is its bit, and so is the code: ln 2 nats.
  const bits = range(400).map((i) => new Random(9).split(i).uniform() < 0.5);
  const found: { nats: number; ofAllParts: number }[] = [];
  for (let first = 0; first < bits.length; first += N) {
    const group = bits.slice(first, first + N);
    const scores = group.flatMap((a) => group.flatMap((b) => range(L).map(() => (a === b ? 50 : -50))));
    const { nats, loss } = await computed("infonce", scores);
    found.push({ nats, ofAllParts: Math.log(1 + (N - 1) * L) - loss });
  }
  expect(mean(found.map(({ nats }) => nats))).toBeLessThan(Math.LN2);
  expect(mean(found.map(({ nats }) => nats))).toBeGreaterThan(0.4);
  // All parts of all other images as negatives, as in the loss, are no draws that are independent of each other.
  expect(mean(found.map(({ ofAllParts }) => ofAllParts))).toBeGreaterThan(Math.LN2);
});
