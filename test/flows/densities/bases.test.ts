import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { BASE_NAMES, StudentBase, UniformBase } from "../../../src/flows/densities/index.ts";
import { BASES, type Base, GaussianMixture } from "../../../src/flows/index.ts";
import { namedTensors } from "../../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { substitute } from "../../../src/tensor/graph.ts";
import { constant, float32, grad, type NdArray, type Tensor } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { withRandomParameters } from "../check-transform.ts";

/** Values of outputs with the same random parameters wherever the seed is the same. */
const valuesOf = async (base: Base, outputs: readonly Tensor[], deviation = 0.3): Promise<number[][]> =>
  (await evaluate(withRandomParameters(base, outputs, 11, deviation))).map(numbers);

/** Midpoints of a square of the plane, and the area of a cell. */
function plane(limit: number, side: number): { readonly points: NdArray<"float32">; readonly area: number } {
  const step = (2 * limit) / side;
  const at = (i: number): number => -limit + (i + 0.5) * step;
  const points = Array.from({ length: side * side }, (_, i) => [at(i % side), at(Math.floor(i / side))]);
  return { points: float32(points.flat(), [side * side, 2]), area: step * step };
}

/** Rows of noise as the sampler draws them. */
function noiseOf(base: Base, rows: number, dimensions: number): NdArray<"float32"> {
  const size = base.noiseSize(dimensions);
  const data = new Float32Array(rows * size);
  const random = new Random(5);
  for (let i = 0; i < rows; i++) {
    base.drawNoise(data.subarray(i * size, (i + 1) * size), random.split(i));
  }
  return float32(data, [rows, size]);
}

interface Moments {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

function moments(points: readonly number[], weights: (i: number) => number): Moments {
  const rows = points.length / 2;
  const component = (j: number) => {
    let [total, first, second] = [0, 0, 0];
    for (let i = 0; i < rows; i++) {
      const [value, weight] = [points[2 * i + j] ?? 0, weights(i)];
      total += weight;
      first += weight * value;
      second += weight * value * value;
    }
    return [first / total, Math.sqrt(second / total - (first / total) ** 2)] as const;
  };
  const both = [component(0), component(1)];
  return { mean: both.map(([mean]) => mean), deviation: both.map(([, deviation]) => deviation) };
}

const SEEN: readonly (readonly [string, Base])[] = [
  ...BASE_NAMES.map((name) => [name, BASES[name](2)] as const),
  ["unit uniform", new UniformBase()],
  ["student, 4 degrees", new StudentBase(4)],
];

describe("base distributions in the plane", () => {
  for (const [name, base] of SEEN) {
    // Tails of t beyond a square of half side 60: below 0.0002 for 4 degrees of freedom or more.
    const isHeavy = name.startsWith("student");
    const { points, area } = plane(
      isHeavy ? 60 : name === "logistic" ? 18 : name === "uniform" ? 2 * Math.sqrt(3) : 8,
      800,
    );

    it(`${name}: integrates to 1, and draws have its moments`, async () => {
      const noise = noiseOf(base, 20_000, 2);
      const [logProb = [], draws = []] = await valuesOf(base, [
        base.logProb(constant(points)),
        base.fromNoise(constant(noise)),
      ]);
      const density = logProb.map(Math.exp);
      expect(density.reduce((a, b) => a + b, 0) * area).toBeCloseTo(1, 2);
      const expected = moments(numbers(points), (i) => density[i] ?? 0);
      const drawn = moments(draws, () => 1);
      for (const j of [0, 1]) {
        expect(Math.abs((drawn.mean[j] ?? 9) - (expected.mean[j] ?? 0))).toBeLessThan(0.05);
        expect(Math.abs((drawn.deviation[j] ?? 9) / (expected.deviation[j] ?? 1) - 1)).toBeLessThan(0.04);
      }
    });

    it(`${name}: the runtime's noise has the same distribution`, async () => {
      const noise = noiseOf(base, 20_000, 2);
      const outputs = [base.fromNoise(constant(noise)), base.fromNoise(base.noise(20_000, 2))];
      const [first, second] = withRandomParameters(base, outputs, 11, 0.3) as [Tensor, Tensor];
      const program = compile([], () => ({ first, second }), { runtime: await nodeRuntime() });
      const drawn = await program.run({}, { random: new Random(2) });
      await program.release();
      const [own, runtime] = [numbers(drawn.first), numbers(drawn.second)];
      const quantiles = (draws: readonly number[]): number[] => {
        const sorted = draws.filter((_, i) => i % 2 === 0).sort((a, b) => a - b);
        return [0.1, 0.3, 0.5, 0.7, 0.9].map((q) => sorted[Math.floor(q * sorted.length)] ?? Number.NaN);
      };
      const [a, b] = [quantiles(own), quantiles(runtime)];
      a.forEach((value, i) => {
        expect(Math.abs(value - (b[i] ?? 9))).toBeLessThan(0.08);
      });
    });

    it(`${name}: far out, log-densities and their gradients are finite and lead back`, async () => {
      const z = constant(float32([1e3, -1e3, -1e3, 1e3], [2, 2]));
      const logProb = base.logProb(z);
      const [values = [], slopes = []] = await valuesOf(base, [logProb, grad(logProb.sum(), [z])[0]]);
      for (const value of values) expect(value).toBeLessThan(-20);
      expect(values.every(Number.isFinite)).toBe(true);
      [1, -1, -1, 1].forEach((sign, i) => {
        expect((slopes[i] ?? 0) * sign).toBeLessThan(0);
        expect(Number.isFinite(slopes[i])).toBe(true);
      });
    });
  }
});

describe("learned bases", () => {
  for (const name of ["learned", "mixture"] as const) {
    const base = BASES[name](2);

    it(`${name}: parameters get gradients from densities and from draws, as finite differences say`, async () => {
      const z = constant(float32([0.3, -0.8, 1.2, 0.1, -1.5, 2], [3, 2]));
      const noise = constant(noiseOf(base, 64, 2));
      const parameters = [...namedTensors(base).values()];
      const density = base.logProb(z).sum();
      const draws = base.fromNoise(noise).square().sum();
      const step = 1e-2;
      for (const parameter of parameters) {
        // The derivative along the parameter itself times a fixed direction.
        const direction = constant(
          float32(
            Array.from({ length: parameter.shape.reduce((a, b) => a * b, 1) }, (_, i) => (i % 3) - 0.5),
            parameter.shape,
          ),
        );
        const moved = (sign: number): Tensor[] =>
          substitute([density, draws], new Map([[parameter, parameter.add(direction.mul(sign * step))]]));
        const slopes = [density, draws].map((output) =>
          (grad(output, [parameter])[0] as Tensor).mul(direction).sum(),
        );
        const values = await valuesOf(base, [...slopes, ...moved(1), ...moved(-1)]);
        const [ofDensity = 0, ofDraws = 0, up = 0, upDraws = 0, down = 0, downDraws = 0] = values.map(
          ([value]) => value ?? Number.NaN,
        );
        expect(Math.abs(ofDensity - (up - down) / (2 * step))).toBeLessThan(
          2e-3 + 0.02 * Math.abs(ofDensity),
        );
        expect(Math.abs(ofDensity)).toBeGreaterThan(0.02);
        if (parameter === parameters.at(-1) && name === "mixture") {
          expect(ofDraws).toBe(0); // weights choose components by steps
        } else {
          expect(Math.abs(ofDraws - (upDraws - downDraws) / (2 * step))).toBeLessThan(
            0.02 * Math.abs(ofDraws),
          );
          expect(Math.abs(ofDraws)).toBeGreaterThan(0.1);
        }
      }
    });
  }

  it("the mixture draws components as often as their weights say, at temperature 0 their means", async () => {
    const base = new GaussianMixture(2, 3);
    const noise = constant(noiseOf(base, 10_000, 2));
    const [means = [], weights = [], draws = []] = await valuesOf(
      base,
      [base.means, base.logits.softmax(0), base.fromNoise(noise, constant(0))],
      0.8,
    );
    const shares = [0, 1, 2].map((k) => {
      const hits = draws.filter(
        (value, i) =>
          i % 2 === 0 &&
          Math.abs(value - (means[2 * k] ?? 9)) < 1e-6 &&
          Math.abs((draws[i + 1] ?? 9) - (means[2 * k + 1] ?? 9)) < 1e-6,
      );
      return hits.length / 10_000;
    });
    shares.forEach((share, k) => {
      expect(Math.abs(share - (weights[k] ?? 9))).toBeLessThan(0.015);
    });
  });

  it("refuses what is no distribution", () => {
    expect(() => new UniformBase(1, 1)).toThrow(OptionError);
    expect(() => new StudentBase(2.5)).toThrow(OptionError);
  });

  it("temperature multiplies deviations from the middle of the uniform box", async () => {
    const base = new UniformBase(2, 4);
    const noise = constant(float32([0, 0.25, 0.5, 1], [2, 2]));
    const [[draws]] = [await valuesOf(base, [base.fromNoise(noise, constant(0.5))])];
    expect(draws).toEqual([2.5, 2.75, 3, 3.5]);
  });

  it("Student's t has the densities of the textbook", async () => {
    // ν = 1 is the Cauchy distribution, 1 / (π (1 + t²)); ν = 2 is 1 / (2 + t²)^(3/2).
    const z = constant(float32([0, 1.5, -3], [3, 1]));
    const [cauchy = [], two = []] = await valuesOf(new StudentBase(1), [
      new StudentBase(1).logProb(z),
      new StudentBase(2).logProb(z),
    ]);
    [0, 1.5, -3].forEach((t, i) => {
      expect(cauchy[i]).toBeCloseTo(-Math.log(Math.PI * (1 + t * t)), 5);
      expect(two[i]).toBeCloseTo(-1.5 * Math.log(2 + t * t), 5);
    });
  });
});
