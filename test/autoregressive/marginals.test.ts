import { describe, expect, it } from "vitest";
import {
  type AutoregressiveModel,
  causalTransformer,
  fvsbn,
  made,
  nade,
  pixelCnn,
} from "../../src/autoregressive/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, nameParameters } from "../../src/nn/module.ts";
import { nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { allVectors, logProbs, randomWeights } from "./support.ts";

const ones = [0.01, 0.97, 0.5, 0.2, 0.35, 0.002, 0.8, 0.6];
const vectors: DataInfo = { kind: "binary", sampleShape: [8], ones };

const cases: readonly (readonly [string, (data: DataInfo) => AutoregressiveModel])[] = [
  ["FVSBN", (data) => fvsbn({ order: "random", orderSeed: 1 }, data)],
  ["NADE", (data) => nade({ width: 8, order: "random" }, data)],
  ["NADE, agnostic", (data) => nade({ width: 8, orders: "agnostic", ensemble: 2 }, data)],
  ["MADE", (data) => made({ width: 12, direct: true }, data)],
  ["MADE, several masks and orders", (data) => made({ width: 12, masks: 3, orders: "agnostic" }, data)],
  [
    "causal Transformer",
    (data) => causalTransformer({ width: 8, layers: 1, heads: 2, order: "random", orderSeed: 2 }, data),
  ],
  ["gated PixelCNN", (data) => pixelCnn({ features: 4, layers: 1 }, { ...data, sampleShape: [1, 2, 4] })],
];

describe.each(cases)("%s", (_, make) => {
  it("begins as independent elements with the shares of ones of the data", async () => {
    const model = nameParameters(make(vectors));
    const session = new Session(await nodeRuntime({ threads: 1 }), initialState(model, 3));
    const all = allVectors(8).data;
    (await logProbs(model, session)).forEach((log, row) => {
      const expected = ones.reduce(
        (sum, share, i) => sum + Math.log(all[8 * row + i] === 1 ? share : 1 - share),
        0,
      );
      expect(log).toBeCloseTo(expected, 3);
    });
    const count = 2000;
    const { data } = await model.sample(session, { count, seed: 1 });
    for (const [i, share] of ones.entries()) {
      let drawn = 0;
      for (let row = 0; row < count; row++) drawn += data[8 * row + i] ?? 0;
      const deviation = Math.sqrt((share * (1 - share)) / count);
      expect(Math.abs(drawn / count - share)).toBeLessThan(5 * deviation + 1e-9);
    }
    await session.release();
  });

  it("draws from what it has learned beside them", async () => {
    // Elements 0 and 1 of drawn rows against the probabilities of all vectors.
    const model = nameParameters(make(vectors));
    const session = new Session(await nodeRuntime({ threads: 1 }), randomWeights(model, 2, 0.5));
    const all = allVectors(8).data;
    const logs = await logProbs(model, session);
    expect(logs.reduce((sum, log) => sum + Math.exp(log), 0)).toBeCloseTo(1, 3);
    const count = 2000;
    const { data } = await model.sample(session, { count, seed: 1 });
    for (let i = 0; i < 8; i++) {
      const share = logs.reduce((sum, log, row) => sum + Math.exp(log) * (all[8 * row + i] ?? 0), 0);
      let drawn = 0;
      for (let row = 0; row < count; row++) drawn += data[8 * row + i] ?? 0;
      expect(Math.abs(drawn / count - share)).toBeLessThan(
        5 * Math.sqrt((share * (1 - share)) / count) + 1e-3,
      );
    }
    await session.release();
  });
});
