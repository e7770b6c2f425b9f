import { describe, expect, it } from "vitest";
import { AutoregressiveModel, Nade, nade, OrderlessNade } from "../../src/autoregressive/index.ts";
import { OptionError } from "../../src/errors.ts";
import { namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { traceTraining } from "../../src/tensor/index.operations.ts";
import { constant, float32, grad, int64, type NdArray, slice, type Tensor } from "../../src/tensor/index.ts";
import {
  allVectors,
  bitData,
  evaluateRandom,
  logProbs,
  numbers,
  randomWeights,
  wild,
  withWeights,
} from "./support.ts";

const sigmoid = (x: Tensor): Tensor => x.sigmoid();
const noDropout = { dropout: 0, inputDropout: 0 };

/** Σ_i log p(x_i | x_<i) of NADE by plain loops in float64, each hidden layer from nothing. */
function naive(
  weights: ReadonlyMap<string, NdArray>,
  order: readonly number[],
  x: readonly number[],
): number {
  const of = (name: string): number[] => numbers(weights.get(name));
  const [W, c, V, b] = [of("input.weight"), of("input.bias"), of("output.weight"), of("output.bias")];
  const [D, H] = [order.length, c.length];
  let total = 0;
  order.forEach((element, place) => {
    let logit = b[element] ?? Number.NaN;
    for (let unit = 0; unit < H; unit++) {
      let sum = c[unit] ?? Number.NaN;
      for (const before of order.slice(0, place)) sum += (W[unit * D + before] ?? 0) * (x[before] ?? 0);
      logit += (V[element * H + unit] ?? 0) / (1 + Math.exp(-sum));
    }
    total -= Math.log1p(Math.exp(x[element] === 1 ? -logit : logit));
  });
  return total;
}

/** Wild weights and vectors of zeros and ones. */
function example(conditionals: Nade, rows: number, dimensions: number) {
  const weights = randomWeights(conditionals, 3, 0.4);
  const random = new Random(2);
  const bits = float32(
    Float32Array.from({ length: rows * dimensions }, () => random.integer(2)),
    [rows, dimensions],
  );
  return { weights, bits };
}

describe("NADE", () => {
  // 130 elements are three blocks, the last of two; 65 end with a block of one.
  for (const dimensions of [1, 2, 65, 130]) {
    for (const kind of ["natural", "random"]) {
      it(`of ${dimensions} elements in ${kind} order equals plain loops`, async () => {
        const natural = Array.from({ length: dimensions }, (_, i) => i);
        const order = kind === "natural" ? natural : Array.from(new Random(6).permutation(dimensions));
        const conditionals = new Nade(
          { inputs: dimensions, hidden: [9], activation: sigmoid, ...noDropout },
          order,
        );
        const { weights, bits } = example(conditionals, 5, dimensions);
        const logs = conditionals.elementLogProb(constant(bits)).sum(1);
        const [found] = await evaluate(withWeights(conditionals, weights, [logs]));
        numbers(found).forEach((value, row) => {
          const x = numbers(bits).slice(row * dimensions, (row + 1) * dimensions);
          expect(Math.abs(value - naive(weights, order, x))).toBeLessThan(1e-6 * dimensions + 1e-6);
        });
      });
    }
  }

  it("has the gradient that differences of plain loops give", async () => {
    const dimensions = 67;
    const order = Array.from(new Random(6).permutation(dimensions));
    const conditionals = nameParameters(
      new Nade({ inputs: dimensions, hidden: [4], activation: sigmoid, ...noDropout }, order),
    );
    const { weights, bits } = example(conditionals, 3, dimensions);
    const total = conditionals.elementLogProb(constant(bits)).sum();
    const parameters = [...namedTensors(conditionals)];
    const gradients = await evaluate(
      withWeights(
        conditionals,
        weights,
        grad(
          total,
          parameters.map(([, tensor]) => tensor),
        ),
      ),
    );
    const rows = [0, 1, 2].map((row) => numbers(bits).slice(row * dimensions, (row + 1) * dimensions));
    const random = new Random(9);
    const sumWith = (name: string, at: number, by: number): number => {
      const moved = new Map<string, NdArray>(weights);
      const { shape, data } = weights.get(name) ?? float32([], [0]);
      const wide: NdArray<"float64"> = { dtype: "float64", shape, data: Float64Array.from(data) };
      wide.data[at] = (wide.data[at] ?? 0) + by;
      moved.set(name, wide);
      return rows.reduce((sum, x) => sum + naive(moved, order, x), 0);
    };
    parameters.forEach(([name, { shape }], k) => {
      const size = shape.reduce((a, b) => a * b, 1);
      for (let trial = 0; trial < 12; trial++) {
        const at = random.integer(size);
        const difference = (sumWith(name, at, 1e-4) - sumWith(name, at, -1e-4)) / 2e-4;
        const found = numbers(gradients[k])[at] ?? Number.NaN;
        expect(Math.abs(found - difference)).toBeLessThan(2e-4 * Math.max(1, Math.abs(difference)));
      }
    });
  });

  it("leaves out units and inputs while training alone", async () => {
    const plain = { inputs: 3, hidden: [40] as const, activation: sigmoid };
    const conditionals = new Nade({ ...plain, dropout: 0.5, inputDropout: 0.2 }, [0, 1, 2]);
    const weights = randomWeights(conditionals, 3, 0.1);
    const x = constant(float32([1, 1, 1], [1, 3])).broadcastTo([20_000, 3]);
    const { result } = traceTraining(() => conditionals.elementLogProb(x));
    const outputs = [result, slice(conditionals.elementLogProb(x), 0, 0, 1)];
    const [dropped, whole] = await evaluateRandom(withWeights(conditionals, weights, outputs), new Random(1));
    // Small logits are near to linear in what is left out, so that the mean over steps is about that without.
    [0, 1, 2].forEach((element) => {
      const found = numbers(dropped).filter((_, i) => i % 3 === element);
      const mean = found.reduce((a, b) => a + b, 0) / found.length;
      expect(new Set(found).size).toBeGreaterThan(1000);
      expect(Math.abs(mean - (numbers(whole)[element] ?? 0))).toBeLessThan(0.03);
    });
  });

  it("refuses to be deep in one order", () => {
    expect(() => nade({ hiddenLayers: 2 }, bitData(4))).toThrow(OptionError);
    expect(() => new Nade({ inputs: 2, hidden: [3], activation: sigmoid, ...noDropout }, [0, 0])).toThrow(
      "once",
    );
  });
});

describe("order-agnostic NADE", () => {
  const options = { inputs: 4, hidden: [6, 5] as const, activation: sigmoid, ...noDropout };
  const orders = [
    [0, 1, 2, 3],
    [2, 0, 3, 1],
    [3, 1, 0, 2],
  ];

  for (const hidden of [[9], [9, 7]] as const) {
    it(`with ${hidden.length} hidden layers says place by place what a pass for each place says`, async () => {
      // Three blocks of places, the last of two.
      const [dimensions, rows] = [130, 2];
      const order = Array.from(new Random(6).permutation(dimensions));
      const conditionals = nameParameters(
        new OrderlessNade({ inputs: dimensions, hidden, activation: sigmoid, ...noDropout }, [order]),
      );
      const weights = randomWeights(conditionals, 3, 0.4);
      const random = new Random(2);
      const bits = float32(
        Float32Array.from({ length: rows * dimensions }, () => random.integer(2)),
        [rows, dimensions],
      );
      // A row for each sample and place, in which the elements before the place are known.
      const repeated = new Float32Array(rows * dimensions ** 2);
      const known = new Float32Array(rows * dimensions ** 2);
      for (let row = 0; row < rows * dimensions; row++) {
        const [sample, place] = [Math.floor(row / dimensions), row % dimensions];
        repeated.set(bits.data.subarray(sample * dimensions, (sample + 1) * dimensions), row * dimensions);
        for (const element of order.slice(0, place)) known[row * dimensions + element] = 1;
      }
      const shape = [rows * dimensions, dimensions];
      const [fast, naiveLogits] = await evaluate(
        withWeights(conditionals, weights, [
          conditionals.member(constant(int64([0], []))).elementLogProb(constant(bits)),
          conditionals.logitsGiven(constant(float32(repeated, shape)), constant(float32(known, shape))),
        ]),
      );
      for (let sample = 0; sample < rows; sample++) {
        order.forEach((element, place) => {
          const logit =
            numbers(naiveLogits)[(sample * dimensions + place) * dimensions + element] ?? Number.NaN;
          const isOne = bits.data[sample * dimensions + element] === 1;
          const log = -Math.log1p(Math.exp(isOne ? -logit : logit));
          const found = numbers(fast)[sample * dimensions + element] ?? Number.NaN;
          expect(Math.abs(found - log)).toBeLessThan(1e-5);
        });
      }
    });
  }

  it("averages the probabilities of its orders", async () => {
    const conditionals = new OrderlessNade(options, orders);
    const { model, session } = await wild(conditionals, 4);
    const mixture = await logProbs(model, session);
    const each = await Promise.all(
      orders.map(async (order) => {
        const alone = nameParameters(
          new AutoregressiveModel(new OrderlessNade(options, [order]), bitData(4)),
        );
        const [found] = await evaluate(
          withWeights(alone, session.weights, [alone.logProb(constant(allVectors(4)))]),
        );
        return numbers(found);
      }),
    );
    mixture.forEach((value, code) => {
      const mean = each.reduce((sum, logs) => sum + Math.exp(logs[code] ?? 0), 0) / orders.length;
      expect(Math.abs(value - Math.log(mean))).toBeLessThan(1e-5);
    });
    // The orders differ, so that the mixture is not what each of them is.
    expect(Math.abs((each[0]?.[5] ?? 0) - (each[1]?.[5] ?? 0))).toBeGreaterThan(1e-3);
    await session.release();
  });

  it("has a loss whose mean is that over all orders", async () => {
    const all = (elements: readonly number[]): number[][] =>
      elements.length === 0
        ? [[]]
        : elements.flatMap((first) =>
            all(elements.filter((e) => e !== first)).map((rest) => [first, ...rest]),
          );
    const conditionals = nameParameters(new OrderlessNade(options, all([0, 1, 2, 3])));
    const weights = randomWeights(conditionals, 5);
    const vector = float32([1, 0, 0, 1], [1, 4]);
    const logs = conditionals.orders.map((order) =>
      conditionals
        .inOrder(constant({ dtype: "int64", shape: [4], data: BigInt64Array.from(order, BigInt) }))
        .elementLogProb(constant(vector))
        .sum(1),
    );
    const exact = await evaluate(withWeights(conditionals, weights, logs));
    const mean = exact.reduce((sum, value) => sum + (numbers(value)[0] ?? 0), 0) / exact.length;
    const rows = constant(vector).broadcastTo([40_000, 4]);
    const { result } = traceTraining(() => conditionals.lossLogProb(rows));
    const estimates = withWeights(conditionals, weights, [result, conditionals.lossLogProb(rows)]);
    const [training, validation] = await evaluateRandom(estimates, new Random(4));
    const spread = (found: readonly number[]): readonly [number, number] => {
      const average = found.reduce((a, b) => a + b, 0) / found.length;
      const variance = found.reduce((a, b) => a + (b - average) ** 2, 0) / found.length;
      return [average, Math.sqrt(variance / found.length)];
    };
    for (const found of [training, validation]) {
      const [average, error] = spread(numbers(found));
      expect(Math.abs(average - mean)).toBeLessThan(4 * error);
    }
    // Strata make the validation's estimates closer than eight independent ones would be.
    expect(spread(numbers(validation))[1]).toBeLessThan(spread(numbers(training))[1] / Math.sqrt(8));
  });
});
