import { describe, expect, it } from "vitest";
import { type AutoregressiveModel, fvsbn, made, nade } from "../../src/autoregressive/index.ts";
import { range, storedSplit } from "../../src/data/sources/data-set.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { adam } from "../../src/nn/optimizer.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { trainingBatches } from "../../src/train/batches.ts";
import { StepTracer } from "../../src/train/step.ts";
import { initialVectors, Trainer } from "../../src/train/trainer.ts";
import { allVectors, bitData, logProbs, numbers } from "./support.ts";

const N = 5;
const data = bitData(N);
const vectors = numbers(allVectors(N));
const bits = (code: number): readonly number[] => vectors.slice(code * N, (code + 1) * N);
const noisy = (bit: number | undefined, target: number): number => (bit === target ? 0.9 : 0.1);

/** A chain, each element mostly that before it: every conditional is a logistic regression. */
const chain = vectors
  .filter((_, i) => i % N === 0)
  .map((_, code) => {
    const x = bits(code);
    return x.slice(1).reduce((p, bit, i) => p * noisy(bit, x[i] ?? 0), 0.5);
  });

/** Two free elements, mostly their parity, mostly the conjunction of the first and the third, and their parity again. */
const parity = vectors
  .filter((_, i) => i % N === 0)
  .map((_, code) => {
    const [a = 0, b = 0, c = 0, d, e] = bits(code);
    return 0.25 * noisy(c, a ^ b) * noisy(d, a & c) * noisy(e, b ^ c);
  });

const entropy = (p: readonly number[]): number => -p.reduce((sum, value) => sum + value * Math.log(value), 0);

/** Expected −log p(x) in nats after some steps on samples of a distribution. */
async function crossEntropy(
  model: AutoregressiveModel,
  p: readonly number[],
  steps: number,
  rate = 0.02,
): Promise<number> {
  nameParameters(model);
  const runtime = await nodeRuntime({ threads: 1 });
  // As many rows of each vector as its probability says.
  const rows = p.flatMap((value, code) =>
    new Array<readonly number[]>(Math.round(value * 4000)).fill(bits(code)),
  );
  const split = storedSplit(Uint8Array.from(rows.flat()), [N], range(0, rows.length));
  const tracer = new StepTracer(model, { optimizer: adam(), averageDecay: 0 });
  const trainer = await Trainer.create(
    tracer,
    trainingBatches({ split, batchSize: 500, random: new Random(1) }),
    runtime,
    {
      step: 0,
      vectors: initialVectors(tracer, new Random(0)),
    },
  );
  for (let step = 0; step < steps; step++)
    await trainer.train(rate * Math.min(1, (2 * (steps - step)) / steps));
  const session = new Session(runtime, await trainer.weights());
  const logs = await logProbs(model, session);
  await trainer.release();
  await session.release();
  return -p.reduce((sum, value, code) => sum + value * (logs[code] ?? Number.NaN), 0);
}

describe("training", () => {
  it.each([
    ["FVSBN, a chain", fvsbn({}, data), chain, 400, 0.1],
    ["NADE", nade({ width: 24 }, data), parity, 300, 0.02],
    ["NADE, agnostic", nade({ width: 32, orders: "agnostic", hiddenLayers: 2 }, data), parity, 300, 0.02],
    ["MADE", made({ width: 32, hiddenLayers: 2 }, data), parity, 300, 0.02],
    ["MADE, several masks", made({ width: 64, masks: 4, direct: true }, data), parity, 500, 0.02],
  ] as const)("comes to the entropy of what it is trained on: %s", async (_name, model, p, steps, rate) => {
    const reached = await crossEntropy(model, p, steps, rate);
    expect(reached - entropy(p)).toBeGreaterThan(-1e-3);
    expect(reached - entropy(p)).toBeLessThan(0.03);
  });

  it("cannot learn parities by logistic regression", async () => {
    const reached = await crossEntropy(fvsbn({}, data), parity, 200);
    expect(reached - entropy(parity)).toBeGreaterThan(0.3);
  });
});
