import { describe, expect, it } from "vitest";
import { gaussianDivergence, Posterior, priorOf } from "../../src/latent/index.ts";
import { initialState, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { Program, type State } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, input, jacobian, type NdArray, stack } from "../../src/tensor/index.ts";
import { logAbsDeterminant, normals, withRandomParameters } from "../flows/check-transform.ts";
import { numbers } from "../support.ts";

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

describe("divergence of Gaussians", () => {
  it("is the integral of q log (q / p)", async () => {
    const cases = [
      [0, 0],
      [1.3, -2],
      [-0.4, 1.1],
      [2.5, 0.3],
    ] as const;
    const column = (i: 0 | 1) =>
      constant(
        float32(
          cases.map((pair) => pair[i]),
          [1, cases.length],
        ),
      );
    const [divergence] = await evaluate([gaussianDivergence(column(0), column(1))]);
    cases.forEach(([mean, logVariance], i) => {
      const deviation = Math.exp(logVariance / 2);
      const step = deviation / 200;
      let integral = 0;
      for (let k = -2000; k <= 2000; k++) {
        const z = mean + k * step;
        const logQ = -0.5 * ((z - mean) / deviation) ** 2 - Math.log(deviation) - 0.5 * Math.log(2 * Math.PI);
        const logP = -0.5 * z * z - 0.5 * Math.log(2 * Math.PI);
        integral += Math.exp(logQ) * (logQ - logP) * step;
      }
      expect(Number(divergence?.data[i])).toBeCloseTo(integral, 4);
    });
  });
});

/** Numbers of an encoder whose Gaussians are neither standard nor far from it. */
const encoderNumbers = (posterior: Posterior, rows: number) =>
  constant(normals(7, [rows, posterior.inputs], 0.6));

describe("posterior", () => {
  for (const steps of [0, 3]) {
    const name = steps === 0 ? "Gaussian" : "with autoregressive steps";
    const size = 4;
    const make = () => new Posterior({ latentSize: size, steps, width: 12, contextSize: 5 });

    it(`${name}: log q of its draws follows from the Jacobian of draw to noise`, async () => {
      const posterior = make();
      const noise = input("noise", [3, 2, size]);
      const encoded = posterior.divide(encoderNumbers(posterior, 3));
      const { z, logProb } = posterior.draw(encoded, noise);
      // Rows do not depend on each other: summed over rows, outputs leave each row's own derivatives.
      const derivatives = stack(
        jacobian(z.sum(0), noise).map((each) => each.reshape([6, size])),
        1,
      );
      const values = normals(1, [3, 2, size]);
      const outputs = withRandomParameters(posterior, [logProb, derivatives], 2, 0.4);
      const [log, matrices] = await evaluate(outputs, new Map([[noise, values]]));
      expect(log?.shape).toEqual([3, 2]);
      const entries = numbers(matrices);
      for (let row = 0; row < 6; row++) {
        const rows = Array.from({ length: size }, (_, i) =>
          entries.slice((row * size + i) * size, (row * size + i + 1) * size),
        );
        const epsilon = Array.from(values.data.slice(row * size, (row + 1) * size));
        const logNoise = epsilon.reduce((sum, e) => sum - 0.5 * e * e - 0.5 * Math.log(2 * Math.PI), 0);
        expect(Number(log?.data[row])).toBeCloseTo(logNoise - logAbsDeterminant(rows), 3);
      }
    });

    it(`${name}: log q of any code is that of the draw that led to it`, async () => {
      const posterior = make();
      const encoded = posterior.divide(encoderNumbers(posterior, 5));
      const noise = constant(normals(3, [5, 1, size]));
      const { z, logProb } = posterior.draw(encoded, noise);
      const [direct, found] = await evaluate(
        withRandomParameters(posterior, [logProb, posterior.logProb(encoded, z)], 4, 0.4),
      );
      numbers(direct).forEach((value, i) => {
        expect(Number(found?.data[i])).toBeCloseTo(value, 3);
      });
    });

    it(`${name}: its center is the code of no noise`, async () => {
      const posterior = make();
      const encoded = posterior.divide(encoderNumbers(posterior, 5));
      const still = posterior.draw(encoded, constant(0).broadcastTo([5, 1, size])).z;
      const [center, code] = await evaluate(
        withRandomParameters(posterior, [posterior.center(encoded), still], 4, 0.4),
      );
      expect(center?.data).toEqual(code?.data);
    });
  }

  it("bounds log-variances, so that no encoder makes a density infinite", async () => {
    const posterior = new Posterior({ latentSize: 1, steps: 0, width: 1, contextSize: 1 });
    const encoded = posterior.divide(constant(float32([0, 1e6, 0, -1e6], [2, 2])));
    const { z, logProb } = posterior.draw(encoded, constant(float32([1, 1], [2, 1, 1])));
    for (const value of await evaluate([z, logProb])) {
      expect(numbers(value).every(Number.isFinite)).toBe(true);
    }
  });
});

describe("prior", () => {
  const size = 3;
  for (const name of ["real-nvp", "maf"] as const) {
    it(`${name}: log p of its draws follows from the Jacobian of draw to noise`, async () => {
      const prior = nameParameters(priorOf(name, { latentSize: size, transforms: 3, width: 8 }));
      const noise = input("noise", [4, size]);
      const z = prior.fromNoise(noise);
      const outputs = { z, logProb: prior.logProb(z), jacobian: stack(jacobian(z.sum(0), noise), 1) };
      const weights = new Map<string, NdArray>(initialState(prior, 0));
      parametersOf(prior).forEach(({ name, shape }, i) => {
        weights.set(name, normals(i, shape, 0.3));
      });
      const program = await Program.build(outputs, await nodeRuntime({ threads: 1 }), weights as State);
      const values = normals(11, [4, size]);
      const found = await program.run({ noise: values }, { random: new Random(0) });
      const entries = numbers(found.jacobian);
      for (let row = 0; row < 4; row++) {
        const rows = Array.from({ length: size }, (_, i) =>
          entries.slice((row * size + i) * size, (row * size + i + 1) * size),
        );
        const epsilon = Array.from(values.data.slice(row * size, (row + 1) * size));
        const logNoise = epsilon.reduce((sum, e) => sum - 0.5 * e * e - 0.5 * Math.log(2 * Math.PI), 0);
        expect(Number(found.logProb?.data[row])).toBeCloseTo(logNoise - logAbsDeterminant(rows), 3);
      }
      expect(largest(numbers(found.z).map((value, i) => value - (values.data[i] ?? 0)))).toBeGreaterThan(
        0.05,
      );
      await program.release();
    });
  }
});
