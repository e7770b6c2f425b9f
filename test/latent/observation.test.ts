import { describe, expect, it } from "vitest";
import {
  BernoulliObservation,
  CategoryObservation,
  DequantizedGaussianObservation,
  DiscretizedLogisticObservation,
  discretizedLogisticLogProb,
  GaussianObservation,
  type ObservationModel,
  tableObservation,
} from "../../src/latent/index.ts";
import { nameParameters } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Program } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, grad, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { normals, withRandomParameters } from "../flows/check-transform.ts";
import { numbers } from "../support.ts";

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Rows of decoder outputs, the same numbers for all draws. */
function repeated(row: readonly number[], rows: number): NdArray<"float32"> {
  return float32(new Array<readonly number[]>(rows).fill(row).flat(), [rows, row.length]);
}

/** `count` draws of a model whose decoder made one row of numbers. */
async function drawsOf(
  model: ObservationModel,
  outputs: readonly number[],
  count: number,
): Promise<number[]> {
  const noise = new Float32Array(count * model.noiseSize);
  const random = new Random(3);
  for (let i = 0; i < count; i++) {
    model.drawNoise(noise.subarray(i * model.noiseSize, (i + 1) * model.noiseSize), random.split(i));
  }
  const drawn = model.draw(
    constant(repeated(outputs, count)),
    constant(float32(noise, [count, model.noiseSize])),
  );
  const [x] = await evaluate(withRandomParameters(model, [drawn], 1, 0));
  return numbers(x);
}

/** log (σ(a) − σ(b)) of a byte in float64, with the lowest and the highest byte reaching to infinity. */
function logisticLogProb(byte: number, location: number, logScale: number): number {
  const scale = Math.exp(logScale);
  const unit = byte / 127.5 - 1;
  // Differences on the side where they do not cancel.
  const flip = unit > location ? -1 : 1;
  const cdf = (edge: number): number => 1 / (1 + Math.exp((-flip * (edge - location)) / scale));
  const above = byte === 255 ? (flip > 0 ? 1 : 0) : cdf(unit + 1 / 255);
  const below = byte === 0 ? (flip > 0 ? 0 : 1) : cdf(unit - 1 / 255);
  return Math.log(flip * (above - below));
}

describe("discretised logistic", () => {
  const bytes = Array.from({ length: 256 }, (_, i) => i);
  const cases = [-3, -1, -0.6, 0, 0.997, 1, 1.7].flatMap((location) =>
    [-7, -5, -3, -1, 0, 2, 5].map((logScale) => ({ location, logScale })),
  );

  it("gives probabilities that sum to 1 over the bytes and match float64", async () => {
    const column = (values: readonly number[]): Tensor => constant(float32(values, [values.length, 1]));
    const logProb = discretizedLogisticLogProb(constant(float32(bytes, [1, 256])), {
      location: column(cases.map(({ location }) => location)),
      logScale: column(cases.map(({ logScale }) => logScale)),
    });
    const [values] = await evaluate([logProb]);
    cases.forEach(({ location, logScale }, i) => {
      const row = numbers(values).slice(256 * i, 256 * (i + 1));
      expect(sum(row.map(Math.exp)), `location ${location}, log-scale ${logScale}`).toBeCloseTo(1, 4);
      row.forEach((value, byte) => {
        const expected = logisticLogProb(byte, location, logScale);
        // Far in the tail float64 itself underflows.
        if (expected > -600) {
          expect(Math.abs(value - expected)).toBeLessThan(
            2e-4 + 2e-6 * Math.abs(expected) + 2e-7 / Math.exp(logScale),
          );
        } else expect(value).toBeLessThan(-500);
      });
    });
  });

  it("stays finite for any outputs, also its gradients", async () => {
    const outputs = [1e4, -1e4, 30, 0, 1e4, -1e4, -90, 90];
    const model = new DiscretizedLogisticObservation(4, "per-sample");
    const raw = constant(float32(outputs, [1, 1, 8]));
    const logProb = model.logProb(constant(float32([0, 255, 7, 128], [1, 1, 4])), raw);
    for (const value of await evaluate([logProb, ...grad(logProb.sum(), [raw])])) {
      expect(numbers(value).every(Number.isFinite)).toBe(true);
    }
  });

  it("has the mean of its bytes, and draws them by their probabilities", async () => {
    for (const { location, logScale } of [
      { location: -0.2, logScale: -2 },
      { location: -1.1, logScale: -1 },
      { location: 0.4, logScale: -6 },
    ]) {
      const model = new DiscretizedLogisticObservation(1, "per-sample");
      const probabilities = bytes.map((byte) => Math.exp(logisticLogProb(byte, location, logScale)));
      const expected = sum(probabilities.map((p, byte) => p * byte));
      const [mean] = await evaluate([model.mean(constant(float32([location, logScale], [1, 2])))]);
      expect(Math.abs(Number(mean?.data[0]) - expected)).toBeLessThan(0.5);
      const count = 5000;
      const drawn = await drawsOf(model, [location, logScale], count);
      expect(drawn.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)).toBe(true);
      const deviation = Math.sqrt(sum(probabilities.map((p, byte) => p * (byte - expected) ** 2)));
      expect(Math.abs(sum(drawn) / count - expected)).toBeLessThan((4 * deviation) / Math.sqrt(count) + 1e-9);
      const black = drawn.filter((byte) => byte === 0).length / count;
      expect(Math.abs(black - (probabilities[0] ?? 0))).toBeLessThan(0.02);
    }
  });
});

describe("Gaussian", () => {
  it("has the closed form for each source of the scale", async () => {
    const [x, location, log] = [
      [0.3, -1.2],
      [0.1, -1],
      [-0.7, 0.4],
    ] as const;
    const part = (i: number, logScale: number): number => {
      const standardized = ((x[i] ?? 0) - (location[i] ?? 0)) / Math.exp(logScale);
      return -0.5 * standardized ** 2 - logScale - 0.5 * Math.log(2 * Math.PI);
    };
    const samples = constant(float32(x, [1, 1, 2]));
    const own = new GaussianObservation(2, "per-sample");
    const [value] = await evaluate([
      own.logProb(samples, constant(float32([...location, ...log], [1, 1, 4]))),
    ]);
    expect(value?.shape).toEqual([1, 1]);
    expect(Number(value?.data[0])).toBeCloseTo(part(0, log[0]) + part(1, log[1]), 5);
    for (const source of ["shared", "per-dimension"] as const) {
      const model = nameParameters(new GaussianObservation(2, source));
      const logProb = model.logProb(samples, constant(float32(location, [1, 1, 2])));
      const scale = source === "shared" ? [0.05] : [-0.07, 0.04];
      const program = await Program.build(
        { logProb },
        await nodeRuntime({ threads: 1 }),
        new Map([["scaled.scale", float32(scale, [scale.length])]]),
      );
      const expected = part(0, 10 * (scale[0] ?? 0)) + part(1, 10 * (scale.at(-1) ?? 0));
      expect(Number((await program.run({})).logProb?.data[0])).toBeCloseTo(expected, 5);
      await program.release();
    }
  });

  it("over dequantized bytes is a lower bound on the probability of the bytes in an interval", async () => {
    const model = new DequantizedGaussianObservation(1, "per-sample");
    const outputs = [0.1, -4.2];
    const count = 5000;
    const x = constant(float32(new Float32Array(count).fill(141), [count, 1, 1]));
    const raw = constant(float32(outputs, [1, 1, 2]));
    const program = await Program.build(
      { logProb: model.logProb(x, raw) },
      await nodeRuntime({ threads: 1 }),
    );
    const values = numbers((await program.run({}, { random: new Random(0) })).logProb);
    // The probability of the byte's interval, by a sum of a thousand densities.
    const density = (byte: number): number => {
      const z = (byte / 127.5 - 1 - 0.1) / Math.exp(-4.2);
      return Math.exp(-0.5 * z ** 2) / Math.sqrt(2 * Math.PI) / Math.exp(-4.2) / 127.5;
    };
    const exact = sum(Array.from({ length: 1000 }, (_, i) => density(140.5 + (i + 0.5) / 1000) / 1000));
    expect(sum(values) / count).toBeLessThan(Math.log(exact));
    expect(sum(values.map(Math.exp)) / count).toBeCloseTo(exact, 3);
    await program.release();
  });
});

describe("zeros and ones", () => {
  it("have the log-probability of their logits, far out too, and are drawn by it", async () => {
    const model = new BernoulliObservation(4);
    const logits = [0.3, -2, 200, -200];
    const x = constant(float32([1, 1, 1, 1, 0, 0, 0, 0], [2, 1, 4]));
    const [value] = await evaluate([model.logProb(x, constant(float32(logits, [1, 1, 4])))]);
    const log = (logit: number): number => Math.min(logit, 0) - Math.log1p(Math.exp(-Math.abs(logit)));
    expect(Number(value?.data[0])).toBeCloseTo(sum(logits.map(log)), 3);
    expect(Number(value?.data[1])).toBeCloseTo(sum(logits.map((logit) => log(-logit))), 3);
    const drawn = await drawsOf(model, logits, 4000);
    const share = drawn.filter((_, i) => i % 4 === 0).reduce((a, b) => a + b, 0) / 4000;
    expect(Math.abs(share - 1 / (1 + Math.exp(-0.3)))).toBeLessThan(0.02);
    expect(drawn.every((bit) => bit === 0 || bit === 1)).toBe(true);
  });
});

describe("categories", () => {
  it("have their probability as the density of a noisy code, and are drawn as such codes", async () => {
    const model = new CategoryObservation(3);
    const logits = [0.2, 1.5, -1];
    const total = sum(logits.map(Math.exp));
    // Any point of the cube of the second category.
    const x = constant(float32([-0.3, 0.6, 0.4], [1, 1, 3]));
    const [value] = await evaluate([model.logProb(x, constant(float32(logits, [1, 1, 3])))]);
    expect(Number(value?.data[0])).toBeCloseTo(1.5 - Math.log(total), 5);
    const count = 4000;
    const drawn = await drawsOf(model, logits, count);
    const counts = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const code = drawn.slice(3 * i, 3 * i + 3);
      const category = code.indexOf(Math.max(...code));
      counts[category] = (counts[category] ?? 0) + 1;
      code.forEach((number, k) => {
        expect(Math.abs(number - Number(k === category))).toBeLessThanOrEqual(0.5);
      });
    }
    logits.forEach((logit, k) => {
      expect(Math.abs((counts[k] ?? 0) / count - Math.exp(logit) / total)).toBeLessThan(0.02);
    });
  });

  it("stand beside numbers in a table, whose log-densities add up; given columns are left out", async () => {
    const columns = [
      { name: "a", size: 1, mean: 0 },
      { name: "b", size: 3 },
      { name: "c", size: 1, mean: 2 },
      { name: "d", size: 1, mean: 2 },
    ];
    const model = tableObservation(columns, ["a"], "per-sample");
    expect([model.size, model.outputs, model.noiseSize]).toEqual([5, 7, 8]);
    const x = normals(1, [2, 1, 5]);
    const outputs = normals(2, [2, 3, 7]);
    const at = (array: NdArray<"float32">, row: number, width: number, from: number, to: number): Tensor =>
      constant(float32(array.data.slice(row * width + from, row * width + to), [1, 1, to - from]));
    const [category, gaussian] = [new CategoryObservation(3), new GaussianObservation(2, "per-sample")];
    const [joint, first, second] = await evaluate([
      model.logProb(constant(x), constant(outputs)),
      // The second draw of the second sample.
      category.logProb(at(x, 1, 5, 0, 3), at(outputs, 4, 7, 0, 3)),
      gaussian.logProb(at(x, 1, 5, 3, 5), at(outputs, 4, 7, 3, 7)),
    ]);
    expect(joint?.shape).toEqual([2, 3]);
    expect(Number(joint?.data[4])).toBeCloseTo(Number(first?.data[0]) + Number(second?.data[0]), 4);
    const row = normals(5, [2, 7]);
    const [mean, seen] = await evaluate([
      model.mean(constant(row)),
      model.seen(constant(normals(1, [2, 5]))),
    ]);
    expect(mean?.shape).toEqual([2, 5]);
    expect(sum(numbers(mean).slice(0, 3))).toBeCloseTo(1, 5);
    expect(sum(numbers(seen).slice(0, 3))).toBe(1);
    expect((await drawsOf(model, Array.from(row.data.slice(0, 7)), 2)).length).toBe(10);
  });
});
