import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { causalTransformer, TransformerConditionals } from "../../src/autoregressive/causal-transformer.ts";
import { drawRows } from "../../src/autoregressive/draw-rows.ts";
import type { TransformerNetworkOptions } from "../../src/autoregressive/networks/transformer.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, grad, input } from "../../src/tensor/index.ts";
import { allVectors, numbers, randomWeights, withWeights } from "./support.ts";

interface Fixture {
  readonly cases: readonly {
    readonly name: string;
    readonly options: Omit<TransformerNetworkOptions, "dropout">;
    readonly state: Readonly<
      Record<string, { readonly shape: readonly number[]; readonly data: readonly number[] }>
    >;
    readonly x: readonly number[];
    readonly logProb: readonly number[];
  }[];
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/autoregressive/transformer.json", import.meta.url), "utf8"),
) as Fixture;

describe("a causal Transformer", () => {
  it.each(fixture.cases)("says what torch's layers say, with their state_dict: $name", async (told) => {
    const { options, state } = told;
    const conditionals = nameParameters(new TransformerConditionals({ ...options, dropout: 0 }));
    const weights = new Map(
      Object.entries(state).map(([name, value]) => [name, float32([...value.data], value.shape)]),
    );
    const named = [...namedTensors(conditionals)];
    expect([...weights.keys()].sort()).toEqual(named.map(([name]) => name).sort());
    for (const [name, tensor] of named) expect(weights.get(name)?.shape, name).toEqual(tensor.shape);
    const x = constant(float32([...told.x], [5, options.order.length]));
    const [found] = await evaluate(withWeights(conditionals, weights, [conditionals.elementLogProb(x)]));
    numbers(found).forEach((value, i) => {
      expect(Math.abs(value - (told.logProb[i] ?? Number.NaN))).toBeLessThan(1e-5);
    });
  });

  it("of an image has probabilities that sum to 1, and sees through its window", async () => {
    const order = Array.from({ length: 12 }, (_, i) => i);
    const sizes = { order, axes: [3, 4], width: 8, layers: 1, heads: 2, hidden: 16, dropout: 0 };
    for (const window of [undefined, 5]) {
      const conditionals = nameParameters(new TransformerConditionals({ ...sizes, window }));
      const weights = randomWeights(conditionals, 4, 0.8);
      const all = constant(allVectors(12));
      const x = input("x", [12, 12]);
      // Each row asks for the derivatives of another logit.
      const asked = Float32Array.from({ length: 144 }, (_, i) => Number(i % 13 === 0));
      const logits = conditionals.network.forward(x).mul(constant(float32(asked, [12, 12])));
      const points = new Float32Array(144);
      new Random(2).fillNormal(points);
      const outputs = [conditionals.elementLogProb(all).sum(1).logSumExp(), grad(logits.sum(), [x])[0]];
      const [total, derivatives] = await evaluate(
        withWeights(conditionals, weights, outputs),
        new Map([[x, float32(points, [12, 12])]]),
      );
      expect(Math.abs(numbers(total)[0] ?? 1)).toBeLessThan(1e-5);
      numbers(derivatives).forEach((value, i) => {
        const distance = Math.floor(i / 12) - (i % 12);
        if (distance > 0 && distance <= (window ?? 12)) expect(Math.abs(value)).toBeGreaterThan(1e-7);
        else expect(value).toBe(0);
      });
    }
  });

  it.each([
    { axes: [75], order: "random", window: undefined },
    { axes: [8, 9], order: "natural", window: 40 },
    { axes: [8, 9], order: "natural", window: 7 },
    { axes: [5], order: "natural", window: 1 },
  ] as const)("draws with kept keys what it draws anew each time: $axes, $order, $window", async (told) => {
    const { axes, window } = told;
    const size = axes.reduce<number>((a, b) => a * b, 1);
    const order =
      told.order === "random"
        ? Array.from(new Random(1).permutation(size))
        : Array.from({ length: size }, (_, i) => i);
    const conditionals = nameParameters(
      new TransformerConditionals({
        order,
        axes,
        width: 8,
        layers: 2,
        heads: 2,
        hidden: 12,
        window,
        dropout: 0,
      }),
    );
    const session = new Session(await nodeRuntime({ threads: 1 }), randomWeights(conditionals, 3, 0.6));
    const rows = 6;
    const random = new Random(6);
    const wanted = Array.from({ length: rows }, (_, i) => ({
      random: random.split(i),
      given: {
        x: Float32Array.from({ length: size }, () => random.integer(2)),
        known: Float32Array.from({ length: size }, () => Number(i % 2 === 1 && random.uniform() < 0.4)),
      },
    }));
    const { x, logKnown } = await drawRows(conditionals, size, session, wanted);
    const program = session.compiled(conditionals, "logs", ["x"], (feeds) => ({
      logs: conditionals.elementLogProb(feeds.x),
    }));
    const naive = new Float32Array(rows * size);
    const weights = new Array<number>(rows).fill(0);
    const uniforms = wanted.map((row) => {
      const values = new Float32Array(size);
      row.random.split("elements").fillUniform(values);
      return values;
    });
    for (const element of order) {
      // With a one in the place: log p(1).
      for (let i = 0; i < rows; i++) naive[i * size + element] = 1;
      const { logs } = await program.run({ x: float32(naive.slice(), [rows, size]) });
      wanted.forEach(({ given }, i) => {
        const one = Math.exp(numbers(logs)[i * size + element] ?? Number.NaN);
        const isKnown = given.known[element] === 1;
        const drawn = Number((uniforms[i]?.[element] ?? 0) < one);
        const value = isKnown ? (given.x[element] ?? 0) : drawn;
        if (isKnown) weights[i] = (weights[i] ?? 0) + Math.log(value === 1 ? one : 1 - one);
        naive[i * size + element] = value;
      });
    }
    expect(Array.from(x)).toEqual(Array.from(naive));
    weights.forEach((weight, i) => {
      expect(Math.abs((logKnown[i] ?? Number.NaN) - weight)).toBeLessThan(1e-4);
    });
    await session.release();
  });

  it("draws so many rows at once as memory is there for, the same", async () => {
    const order = Array.from({ length: 9 }, (_, i) => i);
    const conditionals = nameParameters(
      new TransformerConditionals({ order, axes: [9], width: 4, layers: 1, heads: 1, hidden: 4, dropout: 0 }),
    );
    const session = new Session(await nodeRuntime({ threads: 1 }), randomWeights(conditionals, 3, 0.6));
    const wanted = Array.from({ length: 11 }, (_, i) => ({ random: new Random(i) }));
    const together = await drawRows(conditionals, 9, session, wanted);
    const few = Object.assign(Object.create(conditionals) as TransformerConditionals, { rowsAtOnce: 4 });
    const apart = await drawRows(few, 9, session, wanted);
    expect(apart.x).toEqual(together.x);
    await session.release();
  });

  it("says which data and options it does not take", () => {
    const build = (options: object, sampleShape: readonly number[]) => () =>
      causalTransformer(options, { kind: "binary", sampleShape });
    expect(build({ width: 10, heads: 4 }, [5])).toThrow(/heads/);
    expect(build({}, [2, 4, 4])).toThrow(/one channel/);
  });
});
