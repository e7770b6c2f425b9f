import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawRows } from "../../src/autoregressive/draw-rows.ts";
import {
  type AutoregressiveModel,
  causalTransformer,
  fvsbn,
  made,
  nade,
  pixelCnn,
} from "../../src/autoregressive/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { exportOnnx } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { float32 } from "../../src/tensor/array.ts";
import { constant, input, int64, jacobian, stack } from "../../src/tensor/index.ts";
import {
  allVectors,
  bitData,
  chiSquared,
  codesOf,
  logProbs,
  numbers,
  randomWeights,
  wild,
  withWeights,
} from "./support.ts";

const N = 8;

type Make = (dimensions?: number) => AutoregressiveModel;
const ofMade =
  (options: object): Make =>
  (n = N) =>
    made({ width: 24, ...options }, bitData(n));
const ofFvsbn =
  (options: object): Make =>
  (n = N) =>
    fvsbn(options, bitData(n));
const ofNade =
  (options: object): Make =>
  (n = N) =>
    nade({ width: 16, ...options }, bitData(n));
const ofTransformer =
  (options: object): Make =>
  (n = N) =>
    causalTransformer({ width: 12, layers: 2, heads: 3, ...options }, bitData(n));
/** Of images with four columns. */
const ofPixelCnn =
  (options: object): Make =>
  (n = N) =>
    pixelCnn(
      { features: 6, layers: 2, ...options },
      {
        kind: "binary",
        sampleShape: [1, n / 4, 4],
      },
    );

const cases: readonly (readonly [string, Make])[] = [
  ["FVSBN", ofFvsbn({})],
  ["FVSBN in a random order", ofFvsbn({ order: "random", orderSeed: 3 })],
  ["NADE", ofNade({})],
  ["NADE in a random order, relu", ofNade({ order: "random", activation: "relu", width: 40 })],
  ["NADE, agnostic", ofNade({ orders: "agnostic", ensemble: 3 })],
  ["NADE, agnostic, deep", ofNade({ orders: "agnostic", ensemble: 2, hiddenLayers: 3, activation: "tanh" })],
  ["MADE", ofMade({})],
  ["MADE in a random order, tanh", ofMade({ order: "random", activation: "tanh" })],
  ["MADE, deep, direct", ofMade({ hiddenLayers: 3, direct: true })],
  ["MADE, residual, direct", ofMade({ hiddenLayers: 5, residual: true, direct: true, activation: "silu" })],
  ["MADE, several masks", ofMade({ masks: 5, hiddenLayers: 2 })],
  ["MADE, several masks and orders", ofMade({ masks: 4, orders: "agnostic", direct: true })],
  ["MADE, fresh masks", ofMade({ masks: 3, fresh: true, hiddenLayers: 2 })],
  [
    "MADE, fresh masks and orders",
    ofMade({ masks: 3, fresh: true, orders: "agnostic", hiddenLayers: 3, residual: true }),
  ],
  ["causal Transformer", ofTransformer({})],
  ["causal Transformer in a random order", ofTransformer({ order: "random", orderSeed: 2 })],
  ["gated PixelCNN", ofPixelCnn({})],
];

describe.each(cases)("%s", (_name, make) => {
  let open: Awaited<ReturnType<typeof wild>>;
  let logs: readonly number[];
  beforeAll(async () => {
    open = await wild(make().conditionals, N, { deviation: 0.5 });
    logs = await logProbs(open.model, open.session);
  });
  afterAll(() => open.session.release());

  it("has probabilities that sum to 1", () => {
    const total = logs.reduce((sum, value) => sum + Math.exp(value), 0);
    expect(Math.abs(total - 1)).toBeLessThan(1e-5);
  });

  it("has conditionals that depend on all elements before, and on none after", async () => {
    const { conditionals } = make();
    const weights = randomWeights(conditionals, 2, 0.5);
    const orders = conditionals.kind === "ensemble" ? conditionals.orders : [conditionals.order];
    for (const [m, order] of orders.entries()) {
      const member =
        conditionals.kind === "ensemble" ? conditionals.member(constant(int64([m], []))) : conditionals;
      const x = input("x", [9, N]);
      const dependence = stack(jacobian(member.elementLogProb(x).sum(0), x), 1)
        .abs()
        .sum(0);
      const points = new Float32Array(9 * N);
      new Random(4).fillNormal(points);
      const [found] = await evaluate(
        withWeights(conditionals, weights, [dependence]),
        new Map([[x, float32(points, [9, N])]]),
      );
      const sizes = numbers(found);
      order.forEach((element, place) => {
        order.forEach((source, before) => {
          const size = sizes[element * N + source] ?? Number.NaN;
          if (before > place) expect(size).toBe(0);
          else if (_name.startsWith("FVSBN") || orders.length === 1) expect(size).toBeGreaterThan(1e-4);
        });
      });
    }
  });

  it("draws with its probabilities, the same samples in parts of any size", async () => {
    const { model, session } = open;
    const drawn = await model.sample(session, { count: 3000, seed: 5 });
    expect(chiSquared(codesOf(drawn.data, N), logs.map(Math.exp))).toBeLessThan(3);
    const few = await model.sample(session, { count: 11, seed: 5 });
    expect(numbers(few)).toEqual(numbers(drawn).slice(0, 11 * N));
  });

  it("exports its log-probabilities and, in one order, the probability of each one given those before", async () => {
    const { model, session } = open;
    const { outputs, description } = model.exported();
    expect(description).toContain("logProb");
    const isInOneOrder = new Set(model.orders.map((order) => order.join())).size === 1;
    expect(Object.keys(outputs)).toEqual(isInOneOrder ? ["logProb", "probability"] : ["logProb"]);
    const bytes = exportOnnx(new Map(Object.entries(outputs)), session.weights);
    const [order = []] = model.orders;
    const loaded = await session.runtime.load(bytes, true);
    const found = await loaded.run({ x: allVectors(N) });
    const read = async (name: string): Promise<number[]> => numbers(await found[name]?.read());
    (await read("logProb")).forEach((value, code) => {
      expect(Math.abs(value - (logs[code] ?? Number.NaN))).toBeLessThan(1e-4);
    });
    if (isInOneOrder) {
      const probability = await read("probability");
      const all = numbers(allVectors(N));
      // By sums over all vectors that agree with this one on the elements before.
      const code = 77;
      order.forEach((element, place) => {
        const agreeing = logs.flatMap((log, other) => {
          const agrees = order.slice(0, place).every((i) => all[other * N + i] === all[code * N + i]);
          return agrees ? [[Math.exp(log), all[other * N + element] ?? 0] as const] : [];
        });
        const total = agreeing.reduce((sum, [p]) => sum + p, 0);
        const ones = agreeing.reduce((sum, [p, bit]) => sum + p * bit, 0);
        expect(Math.abs((probability[code * N + element] ?? Number.NaN) - ones / total)).toBeLessThan(1e-4);
      });
    }
    await loaded.release();
  });

  it("holds known elements while drawing, and weighs them", async () => {
    const { model, session } = open;
    const { conditionals } = model;
    const rows = 60;
    const random = new Random(8);
    const wanted = Array.from({ length: rows }, (_, i) => ({
      random: random.split(i),
      given: {
        x: Float32Array.from({ length: N }, () => random.integer(2)),
        known: Float32Array.from({ length: N }, () => random.integer(2)),
      },
      member: 0,
    }));
    const { x, logKnown } = await drawRows(conditionals, N, session, wanted);
    const member =
      conditionals.kind === "ensemble" ? conditionals.member(constant(int64([0], []))) : conditionals;
    const leaf = input("x", [rows, N]);
    const [each] = await evaluate(
      withWeights(model, session.weights, [member.elementLogProb(leaf)]),
      new Map([[leaf, float32(x, [rows, N])]]),
    );
    wanted.forEach(({ given }, i) => {
      let weight = 0;
      for (let k = 0; k < N; k++) {
        if (given.known[k] !== 1) continue;
        expect(x[i * N + k]).toBe(given.x[k]);
        weight += numbers(each)[i * N + k] ?? Number.NaN;
      }
      expect(Math.abs((logKnown[i] ?? 0) - weight)).toBeLessThan(2e-5);
    });
  });
});

describe("in an order that it was not made with", () => {
  it.each([
    ["NADE, agnostic", ofNade({ orders: "agnostic", ensemble: 1 })],
    [
      "NADE, agnostic, deep",
      ofNade({ orders: "agnostic", ensemble: 1, hiddenLayers: 2, activation: "tanh" }),
    ],
    ["MADE, fresh masks and orders", ofMade({ fresh: true, orders: "agnostic", hiddenLayers: 3 })],
  ] as const)(
    "%s has probabilities that sum to 1, and conditionals of what stands before",
    async (_, make) => {
      const conditionals = nameParameters(make().conditionals);
      if (conditionals.kind === "one-order" || conditionals.inOrder === undefined)
        throw new Error("one order alone");
      const weights = randomWeights(conditionals, 6);
      const points = new Float32Array(9 * N);
      new Random(4).fillNormal(points);
      for (const seed of [1, 2]) {
        const order = Array.from(new Random(seed).permutation(N));
        expect(conditionals.orders.map((own) => own.join())).not.toContain(order.join());
        const factors = conditionals.inOrder(constant(int64(order, [N])));
        const x = input("x", [9, N]);
        const [total, dependence] = await evaluate(
          withWeights(conditionals, weights, [
            factors
              .elementLogProb(constant(allVectors(N)))
              .sum(1)
              .exp()
              .sum(),
            stack(jacobian(factors.elementLogProb(x).sum(0), x), 1)
              .abs()
              .sum(0),
          ]),
          new Map([[x, float32(points, [9, N])]]),
        );
        expect(Math.abs((numbers(total)[0] ?? Number.NaN) - 1)).toBeLessThan(1e-5);
        const sizes = numbers(dependence);
        order.forEach((element, place) => {
          for (const source of order.slice(place)) {
            if (source !== element) expect(sizes[element * N + source]).toBe(0);
          }
          // Masks may cut a path, but not all of them.
          const read = order.slice(0, place).filter((source) => (sizes[element * N + source] ?? 0) > 1e-4);
          expect(read.length).toBeGreaterThan(place / 2 - 1);
        });
      }
    },
  );
});
