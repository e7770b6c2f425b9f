import { beforeAll, describe, expect, it } from "vitest";
import { initialState, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { PriorMatching, type PriorName } from "../../../src/representation/infomax/prior.ts";
import { buildScorer, SCORERS, type ScorerName } from "../../../src/representation/infomax/scorers.ts";
import { float32, grad, type NdArray } from "../../../src/tensor/index.ts";
import { largestDifference, numbers, present } from "../../support.ts";

const [IMAGES, PARTS, SIZE, CODE] = [5, 3, 4, 6];

let runtime: Runtime;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
});

function drawn(shape: readonly number[], seed: number): NdArray<"float32"> {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  new Random(seed).fillNormal(data);
  return float32(data, shape);
}

/** A part of an array along its first axis, in any order. */
function rows({ data, shape }: NdArray<"float32">, order: readonly number[]): NdArray<"float32"> {
  const size = data.length / present(shape[0]);
  return float32(
    order.flatMap((i) => [...data.subarray(i * size, (i + 1) * size)]),
    [order.length, ...shape.slice(1)],
  );
}

const parts = drawn([IMAGES, PARTS, SIZE], 1);
const codes = drawn([IMAGES, CODE], 2);

async function scored(name: ScorerName, negatives: number, p = parts, c = codes) {
  const scorer = nameParameters(buildScorer(name, { partSize: SIZE, codeSize: CODE, units: 8, negatives }));
  const program = compile(
    ["parts", "codes"],
    ({ parts, codes }) => {
      const { scores, isOwn } = scorer.forward(parts, codes);
      return { scores, isOwn: isOwn.cast("float32").broadcastTo([...scores.shape.slice(0, 2), 1]) };
    },
    { runtime, weights: initialState(scorer, 4) },
  );
  const { scores, isOwn } = await program.run({ parts: p, codes: c });
  await program.release();
  return { scores: numbers(scores), shape: scores.shape, isOwn: numbers(isOwn) };
}

describe.each(SCORERS)("%s", (name) => {
  it("scores each code with the parts of its own image once, and knows where", async () => {
    const negatives = name === "concat-and-convolve" ? 2 : IMAGES - 1;
    const { scores, shape, isOwn } = await scored(name, negatives);
    expect(shape).toEqual([IMAGES, negatives + 1, PARTS]);
    for (let i = 0; i < IMAGES; i++) {
      const of = isOwn.slice(i * (negatives + 1), (i + 1) * (negatives + 1));
      expect(of.filter((value) => value === 1)).toHaveLength(1);
      // Scores of one image and one code alone, which have no others.
      const alone = await scored(name, negatives, rows(parts, [i]), rows(codes, [i]));
      const first = (i * (negatives + 1) + of.indexOf(1)) * PARTS;
      expect(largestDifference(scores.slice(first, first + PARTS), alone.scores)).toBeLessThan(1e-5);
    }
  });

  it("scores other images as it scores them where they are a code's own", async () => {
    const { scores, shape } = await scored(name, 2);
    const compared = present(shape[1]);
    // The second image that code 1 is compared with: by its place in the batch, or by its distance.
    const [column, image] = name === "concat-and-convolve" ? [2, 3] : [3, 3];
    const swapped = await scored(name, 2, rows(parts, [image]), rows(codes, [1]));
    const first = (compared + column) * PARTS;
    expect(largestDifference(scores.slice(first, first + PARTS), swapped.scores)).toBeLessThan(1e-5);
  });
});

describe.each(["uniform", "gaussian"] as const)("matching a %s prior", (prior: PriorName) => {
  const matching = nameParameters(new PriorMatching({ prior, codeSize: CODE, units: 7, penalty: 0.5 }));
  const weights = initialState(matching, 3);

  it("has the losses of logits, by a discriminator that is computed here", async () => {
    const program = compile(
      ["codes"],
      ({ codes }) => {
        const loss = matching.encoderLoss(codes);
        return { loss, slope: grad(loss, [codes])[0] };
      },
      { runtime, weights },
    );
    const byHand = (values: readonly number[]): number => {
      let sum = 0;
      for (let i = 0; i < IMAGES; i++) {
        let h = values
          .slice(i * CODE, (i + 1) * CODE)
          .map((z) => (prior === "uniform" ? 1 / (1 + Math.exp(-z)) : z));
        for (let layer = 0; layer < 3; layer++) {
          const w = numbers(weights.get(`network.layers.${layer}.weight`));
          const b = numbers(weights.get(`network.layers.${layer}.bias`));
          const inputs = layer === 0 ? h : h.map((v) => (v > 0 ? v : 0.2 * v));
          h = b.map((bias, k) => inputs.reduce((a, v, m) => a + v * present(w[k * inputs.length + m]), bias));
        }
        sum += Math.log1p(Math.exp(-present(h[0])));
      }
      return sum / IMAGES;
    };
    const { loss, slope } = await program.run({ codes });
    await program.release();
    const values = numbers(codes);
    expect(present(numbers(loss)[0])).toBeCloseTo(byHand(values), 5);
    const moved = (index: number, by: number): number[] => values.map((v, k) => (k === index ? v + by : v));
    const differences = values.map((_, k) => (byHand(moved(k, 1e-5)) - byHand(moved(k, -1e-5))) / 2e-5);
    expect(largestDifference(numbers(slope), differences)).toBeLessThan(1e-5);
  });

  it("draws of the prior are what its discriminator compares codes with", async () => {
    // A discriminator of no layers but the sum of what it sees, so that its losses are means over known distributions.
    const sums = new Map(
      [...weights].map(([name, { shape }]) => {
        const isWeight = shape.length === 2;
        const [out = 1, inputs = 1] = shape;
        const data = new Float32Array(out * inputs * (isWeight ? 1 : 0) || out);
        // The first unit of each layer is 20 + the first number, and then that of the layer before.
        if (isWeight) data[0] = 1;
        else if (name === "network.layers.0.bias") data[0] = 20;
        else if (name === "network.layers.2.bias") data[0] = -20;
        return [name, float32(data, shape)];
      }),
    );
    const many = drawn([4000, CODE], 6);
    const program = compile(["codes"], ({ codes }) => matching.discriminatorLosses(codes), {
      runtime,
      weights: sums,
    });
    const { game, total } = await program.run({ codes: many }, { random: new Random(8) });
    await program.release();
    const softplus = (x: number): number => Math.log1p(Math.exp(x));
    const steps = Array.from({ length: 2000 }, (_, i) => (i + 0.5) / 2000);
    const ofDraws =
      prior === "uniform"
        ? steps.reduce((sum, u) => sum + softplus(-u), 0) / 2000
        : steps.reduce((sum, u) => {
            const z = 12 * u - 6;
            return sum + (softplus(-z) * Math.exp((-z * z) / 2) * 12) / Math.sqrt(2 * Math.PI) / 2000;
          }, 0);
    let ofCodes = 0;
    for (let i = 0; i < 4000; i++) {
      const z = present(many.data[i * CODE]);
      ofCodes += softplus(prior === "uniform" ? 1 / (1 + Math.exp(-z)) : z) / 4000;
    }
    expect(Math.abs(present(numbers(game)[0]) - ofDraws - ofCodes)).toBeLessThan(0.04);
    // Its slope is 1 in the first direction: the penalty is half of that squared, times its weight.
    expect(present(numbers(total)[0]) - present(numbers(game)[0])).toBeCloseTo(0.25, 4);
  });
});
