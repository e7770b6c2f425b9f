import { describe, expect, it } from "vitest";
import { type AutoregressiveModel, type Factors, fvsbn, made, nade } from "../../src/autoregressive/index.ts";
import { evaluate } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, int64, type NdArray } from "../../src/tensor/index.ts";
import { bitData, numbers, randomWeights, withWeights } from "./support.ts";

// Seven blocks of places and a part of an eighth.
const N = 60;
const ROWS = 20;
const data = bitData(N);

const cases: readonly (readonly [string, AutoregressiveModel])[] = [
  ["FVSBN", fvsbn({ order: "random" }, data)],
  ["MADE", made({ width: 70, hiddenLayers: 2, order: "random", direct: true }, data)],
  ["residual MADE", made({ width: 50, hiddenLayers: 5, residual: true }, data)],
  [
    "MADE with masks of few and many units",
    made({ width: 33, masks: 3, hiddenLayers: 3, orders: "agnostic" }, data),
  ],
  ["NADE", nade({ width: 12, order: "random" }, data)],
  ["NADE, agnostic", nade({ width: 12, orders: "agnostic", hiddenLayers: 2 }, data)],
];

function uniforms(seed: number): NdArray<"float32"> {
  const values = new Float32Array(ROWS * N);
  new Random(seed).fillUniform(values);
  return float32(values, [ROWS, N]);
}

describe.each(cases)("%s", (_name, { conditionals }) => {
  const members: readonly Factors[] =
    conditionals.kind === "ensemble"
      ? [0, conditionals.orders.length - 1].map((m) => conditionals.member(constant(int64([m], []))))
      : [conditionals];
  const weights = randomWeights(conditionals, 4, 0.35);
  const u = uniforms(1);
  const given = float32(
    uniforms(2).data.map((value) => Number(value < 0.4)),
    [ROWS, N],
  );
  const known = float32(
    uniforms(3).data.map((value) => Number(value < 0.3)),
    [ROWS, N],
  );

  it("draws ones where the uniform number lies below their probability given what was drawn before", async () => {
    for (const member of members) {
      const none = constant(0).broadcastTo([ROWS, N]);
      const { x } = member.draw({ uniforms: constant(u), given: none, known: none });
      const outputs = withWeights(conditionals, weights, [x, member.elementLogProb(x)]);
      const [drawn, logs] = (await evaluate(outputs)).map(numbers);
      drawn?.forEach((bit, i) => {
        const probability = Math.exp(logs?.[i] ?? Number.NaN);
        const ofOne = bit === 1 ? probability : 1 - probability;
        const place = u.data[i] ?? Number.NaN;
        if (Math.abs(place - ofOne) > 1e-4) expect(bit).toBe(Number(place < ofOne));
        expect(Number.isFinite(ofOne)).toBe(true);
      });
      const mean = (drawn ?? []).reduce((a, b) => a + b, 0) / (ROWS * N);
      expect(Math.abs(mean - 0.5)).toBeLessThan(0.3);
    }
  });

  it("holds what is known, and weighs it by what stands before", async () => {
    for (const member of members) {
      const drawn = member.draw({ uniforms: constant(u), given: constant(given), known: constant(known) });
      const weight = member.elementLogProb(drawn.x).mul(constant(known)).sum(1);
      const [x, logKnown, expected] = await evaluate(
        withWeights(conditionals, weights, [drawn.x, drawn.logKnown, weight]),
      );
      numbers(x).forEach((bit, i) => {
        if (known.data[i] === 1) expect(bit).toBe(given.data[i]);
      });
      numbers(logKnown).forEach((value, row) => {
        expect(Math.abs(value - (numbers(expected)[row] ?? Number.NaN))).toBeLessThan(1e-4);
      });
    }
  });
});
