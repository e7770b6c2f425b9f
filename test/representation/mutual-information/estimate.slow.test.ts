import { beforeAll, describe, expect, test } from "vitest";
import { nodeRuntime } from "../../../src/program/node.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { BOUNDS, type BoundName } from "../../../src/representation/mutual-information/bounds.ts";
import { mutualInformation } from "../../../src/representation/mutual-information/estimate.ts";
import { float32, type NdArray } from "../../../src/tensor/array.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

/** Pairs of two standard normal columns each, the first ones correlated, the second ones independent. */
function pairs(correlation: number, count: number): readonly [NdArray<"float32">, NdArray<"float32">] {
  const random = new Random(8);
  const [x, y] = [new Float32Array(2 * count), new Float32Array(2 * count)];
  for (let row = 0; row < count; row++) {
    const [a, b, c, d] = [random.normal(), random.normal(), random.normal(), random.normal()];
    x.set([a, c], 2 * row);
    y.set([correlation * a + Math.sqrt(1 - correlation ** 2) * b, d], 2 * row);
  }
  return [float32(x, [count, 2]), float32(y, [count, 2])];
}

const SHORT = { hidden: 32, embedding: 8, steps: 400, learningRate: 2e-3, seeds: [0], permutations: 99 };
const [x, y] = pairs(0.9, 2000);
const TRUTH = -0.5 * Math.log(1 - 0.81);

describe("held-out rows of correlated Gaussians, 0.83 nats", () => {
  test.each(Object.keys(BOUNDS) as BoundName[])("%s", async (estimator) => {
    const { nats, side, pValue, rows, curve, bySeed, deviation } = await mutualInformation(
      x,
      y,
      { ...SHORT, estimator, embedding: estimator === "club" ? undefined : SHORT.embedding },
      runtime,
    );
    if (estimator === "club") {
      // With the true conditional distribution the bound is ρ² / (1 − ρ²) = 4.26: far above.
      expect(nats).toBeGreaterThan(2.5);
      expect(nats).toBeLessThan(5);
    } else {
      expect(Math.abs(nats - TRUTH)).toBeLessThan(0.3);
    }
    expect(side).toBe(BOUNDS[estimator].side);
    expect(pValue).toBe(0.01);
    expect(rows).toEqual({ training: 1400, validation: 200, test: 400 });
    expect(curve).toHaveLength(200);
    expect(bySeed).toEqual([nats]);
    expect(deviation).toBeUndefined();
  });

  test.each(["joint", "bilinear"] as const)("a %s critic", async (critic) => {
    const { hidden, embedding, ...rest } = SHORT;
    const { nats } = await mutualInformation(
      x,
      y,
      {
        ...rest,
        ...(critic === "joint" && { hidden }),
        critic,
        steps: critic === "joint" ? 200 : 1000,
        batchSize: 32,
        estimator: "infonce",
      },
      runtime,
    );
    // xᵀWy is no log-ratio of densities of Gaussians, so that the bound is looser.
    expect(nats).toBeGreaterThan(critic === "joint" ? 0.6 : 0.25);
    expect(nats).toBeLessThan(1);
  });

  test.each(["ksg", "gaussian"] as const)("%s", async (estimator) => {
    const found = await mutualInformation(
      ...([x, y].map(({ data }) => float32(data.subarray(0, 2000), [1000, 2])) as [typeof x, typeof y]),
      { estimator, permutations: 19 },
      runtime,
    );
    expect(Math.abs(found.nats - TRUTH)).toBeLessThan(0.1);
    expect(found).toMatchObject({
      pValue: 0.05,
      curve: [],
      rows: { training: 0, validation: 0, test: 1000 },
    });
  });
});

test("independent rows: nothing is found, and the p-value is not small", async () => {
  const [, other] = pairs(0.9, 2000);
  const shifted = float32(
    Float32Array.from(other.data, (_, i) => other.data[(i + 200) % other.data.length] ?? 0),
    [2000, 2],
  );
  const found = await mutualInformation(x, shifted, { ...SHORT, seeds: [0, 1] }, runtime);
  expect(found.nats).toBeLessThan(0.05);
  expect(found.pValue).toBeGreaterThan(0.05);
  expect(found.bySeed).toHaveLength(2);
  expect(found.deviation).toBeGreaterThan(0);
});

test("the same options give the same numbers", async () => {
  const once = await mutualInformation(x, y, { ...SHORT, steps: 50 }, runtime);
  expect(await mutualInformation(x, y, { ...SHORT, steps: 50 }, runtime)).toEqual(once);
});

test("InfoNCE near ln N says so, and so does a bound whose variance is large", async () => {
  const [few, same] = [x, y].map(({ data }) => float32(data.subarray(0, 160), [80, 2]));
  if (few === undefined || same === undefined) throw new Error("no rows");
  const options = { ...SHORT, batchSize: 16, seeds: [3] };
  const copy = float32(few.data.slice(), [80, 2]);
  const infonce = await mutualInformation(few, copy, { ...options, estimator: "infonce" }, runtime);
  expect(infonce.limit).toBeCloseTo(Math.log(16));
  expect(infonce.nats).toBeLessThan(Math.log(16));
  expect(infonce.notes.join()).toMatch(/near ln N = 2.77, the most it can be with N = 16/);
  const mine = await mutualInformation(few, copy, { ...options, test: 0.05, estimator: "mine" }, runtime);
  expect(mine.notes.join()).toMatch(/variance grows with e\^I/);
});

test.each([
  [{ estimator: "ksg", steps: 100 }, /option steps: is without effect on ksg/],
  [{ estimator: "infonce", clip: 3 }, /option clip: is without effect on infonce/],
  [{ estimator: "club", critic: "joint" }, /option critic: is without effect on club/],
  [{ critic: "bilinear", hidden: 8 }, /option hidden: is without effect on infonce with a bilinear critic/],
] as const)("%j is refused", async (options, message) => {
  await expect(mutualInformation(x, y, options, runtime)).rejects.toThrow(message);
});

test("what cannot be done says why", async () => {
  const [few, others] = [float32(x.data.subarray(0, 80), [40, 2]), float32(y.data.subarray(0, 80), [40, 2])];
  await expect(mutualInformation(few, others, { batchSize: 64 }, runtime)).rejects.toThrow(
    /of 40 rows, 28 are learnt from, 4 choose the step and 8 give the estimate; a batch of 64/,
  );
  await expect(
    mutualInformation(x, y, { ...SHORT, learningRate: 10, estimator: "nwj" }, runtime),
  ).rejects.toThrow(/the bound is .* at step \d+; take a smaller learningRate/);
  await expect(
    mutualInformation(x, y, { ...SHORT, estimator: "interpolated", interpolation: 1 }, runtime),
  ).rejects.toThrow(/between 0 and 1/);
});
