import { describe, expect, test } from "vitest";
import { discriminatorLoss, generatorLoss } from "../../src/latent/index.ts";
import { input, slice, type Tensor } from "../../src/tensor/index.ts";
import { runAll, toArray } from "../tensor/support.ts";

const [real, fake] = [
  [2, -1, 0.5],
  [-3, 0.25, 1.5, 0],
];
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Evaluates a function of logits of data and of samples in float32. */
async function atLogits(loss: (real: Tensor, fake: Tensor) => Tensor): Promise<number> {
  const [x, y] = [input("real", [3], "float32"), input("fake", [4], "float32")];
  const feed = {
    real: toArray({ shape: [3], data: real }, "float32"),
    fake: toArray({ shape: [4], data: fake }, "float32"),
  };
  const [result] = await runAll({ loss: loss(x, y) }, [feed]);
  return result?.loss?.data[0] ?? Number.NaN;
}

describe("losses at given logits are those of the papers", () => {
  const logOf = {
    data: mean(real.map((x) => Math.log(sigmoid(x)))),
    samples: mean(fake.map((x) => Math.log(sigmoid(x)))),
  };
  const logOfNot = {
    data: mean(real.map((x) => Math.log(1 - sigmoid(x)))),
    samples: mean(fake.map((x) => Math.log(1 - sigmoid(x)))),
  };
  const game = -logOf.data - logOfNot.samples;
  const hinge = mean(real.map((x) => Math.max(0, 1 - x))) + mean(fake.map((x) => Math.max(0, 1 + x)));
  const wasserstein = mean(fake) - mean(real);
  test.each([
    ["minimax", game, logOfNot.samples],
    ["non-saturating", game, -logOf.samples],
    ["hinge", hinge, -mean(fake)],
    ["wasserstein-gp", wasserstein, -mean(fake)],
  ] as const)("%s", async (objective, ofDiscriminator, ofGenerator) => {
    expect(await atLogits((x, y) => discriminatorLoss(objective, x, y))).toBeCloseTo(ofDiscriminator, 5);
    expect(await atLogits((_, y) => generatorLoss(objective, y))).toBeCloseTo(ofGenerator, 5);
  });

  test("one-sided smoothing wants data to be believed with probability 1 − s", async () => {
    const smoothed = -0.9 * logOf.data - 0.1 * logOfNot.data - logOfNot.samples;
    const options = { labelSmoothing: 0.1 };
    expect(await atLogits((x, y) => discriminatorLoss("minimax", x, y, options))).toBeCloseTo(smoothed, 5);
  });

  test.each(["minimax", "non-saturating", "hinge", "wasserstein-gp"] as const)(
    "%s takes the averages it is given, of data and of samples",
    async (objective) => {
      // The first two rows of data, the last three of samples.
      const averages = {
        real: (losses: Tensor) => slice(losses, 0, 0, 2).mean(),
        fake: (losses: Tensor) => slice(losses, 0, 1).mean(),
      };
      const parts = (x: Tensor, y: Tensor) => [slice(x, 0, 0, 2), slice(y, 0, 1)] as const;
      expect(await atLogits((x, y) => discriminatorLoss(objective, x, y, { averages }))).toBeCloseTo(
        await atLogits((x, y) => discriminatorLoss(objective, ...parts(x, y))),
        6,
      );
      expect(await atLogits((_, y) => generatorLoss(objective, y, averages.fake))).toBeCloseTo(
        await atLogits((x, y) => generatorLoss(objective, parts(x, y)[1])),
        6,
      );
    },
  );

  test("minimax is a zero-sum game but for what does not depend on the generator", async () => {
    const sum = await atLogits((x, y) => discriminatorLoss("minimax", x, y).add(generatorLoss("minimax", y)));
    expect(sum).toBeCloseTo(-logOf.data, 5);
  });
});
