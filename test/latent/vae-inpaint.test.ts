import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { float32, type NdArray } from "../../src/tensor/index.ts";
import { COLUMNS, linearVae, OFFSET, VARIANCE } from "./linear-vae.ts";
import { buildVae, DATA, mean, numbers, samplesOf, VARIANTS, withVae } from "./vae-cases.ts";

/** Covariance of elements i and j of the linear model's samples. */
const covariance = (i: number, j: number): number =>
  COLUMNS.reduce((sum, column) => sum + (column[i] ?? 0) * (column[j] ?? 0), i === j ? VARIANCE : 0);

/** Mean and variance of the last element given the first two. */
function conditional(x: readonly number[]): { readonly mean: number; readonly variance: number } {
  const [a, b, d] = [covariance(0, 0), covariance(0, 1), covariance(1, 1)];
  const [p, q] = [covariance(2, 0), covariance(2, 1)];
  const determinant = a * d - b * b;
  const weights = [(p * d - q * b) / determinant, (q * a - p * b) / determinant];
  return {
    mean: weights.reduce((sum, w, i) => sum + w * ((x[i] ?? 0) - (OFFSET[i] ?? 0)), OFFSET[2]),
    variance: covariance(2, 2) - (weights[0] ?? 0) * p - (weights[1] ?? 0) * q,
  };
}

const firstTwo = float32([1, 1, 0], [1, 3]);

describe("completion by Metropolis within Gibbs", () => {
  it("draws from the conditional of a linear Gaussian model, though the encoder is off", async () => {
    const built = linearVae({ shift: 0.25, logVariance: 0.6 });
    const known = [1.4, -0.9] as const;
    await withVae(built, async (session) => {
      const draws = 1500;
      const drawn = await built.model.inpaint(session, {
        x: float32([...known, Number.NaN], [1, 3]),
        known: firstTwo,
        draws,
        seed: 1,
        steps: 25,
      });
      expect(drawn.shape).toEqual([1, draws, 3]);
      const values = numbers(drawn).filter((_, i) => i % 3 === 2);
      const expected = conditional(known);
      const center = mean(values);
      const variance = mean(values.map((value) => (value - center) ** 2));
      expect(Math.abs(center - expected.mean)).toBeLessThan(4 * Math.sqrt(expected.variance / draws));
      expect(Math.abs(variance / expected.variance - 1)).toBeLessThan(0.1);
      // Proposals that are always taken would not do: their chain is that of another distribution.
      const gibbs = await built.model.inpaint(session, {
        x: float32([...known, 0], [1, 3]),
        known: firstTwo,
        draws,
        seed: 1,
        steps: 1,
      });
      const first = numbers(gibbs).filter((_, i) => i % 3 === 2);
      expect(Math.abs(mean(first) - expected.mean)).toBeGreaterThan(4 * Math.sqrt(expected.variance / draws));
    });
  });

  it("keeps what is known, is decided by the seed, and does not depend on the other samples", async () => {
    const built = buildVae({}, DATA.points);
    const x = samplesOf(DATA.points, 3);
    const known = float32([1, 0, 0, 1, 1, 1], [3, 2]);
    await withVae(built, async (session) => {
      const shares: number[] = [];
      const options = { draws: 3, seed: 5, steps: 4 };
      const drawn = await built.model.inpaint(session, {
        ...options,
        x,
        known,
        onProgress: (share) => shares.push(share),
      });
      expect(drawn.shape).toEqual([3, 3, 2]);
      for (let i = 0; i < 9; i++) {
        const row = Math.floor(i / 3);
        for (const d of [0, 1]) {
          if (known.data[2 * row + d] === 1) expect(drawn.data[2 * i + d]).toBe(x.data[2 * row + d]);
        }
      }
      expect(shares.at(-1)).toBe(1);
      const again = await built.model.inpaint(session, { ...options, x, known });
      expect(again.data).toEqual(drawn.data);
      const alone = await built.model.inpaint(session, {
        ...options,
        x: float32(x.data.slice(0, 2), [1, 2]),
        known: float32([1, 0], [1, 2]),
      });
      numbers(alone).forEach((value, i) => {
        expect(value).toBeCloseTo(drawn.data[i] ?? Number.NaN, 4);
      });
    });
  });

  for (const [name, data, options] of VARIANTS) {
    it(`${name}: completes samples in the units of the data`, async () => {
      const built = buildVae(options, data);
      const size = data.sampleShape.reduce<number>((product, side) => product * side, 1);
      const x = samplesOf(data, 2);
      // Columns that are given must be known.
      const known = float32(
        Array.from({ length: size }, (_, i) => Number(i < size - 1)),
        [1, ...data.sampleShape],
      );
      await withVae(built, async (session) => {
        const unknown = (array: NdArray): number[] => numbers(array).filter((_, i) => i % size === size - 1);
        const complete = (label?: number) =>
          built.model.inpaint(session, {
            x,
            known,
            draws: 2,
            seed: 1,
            steps: 5,
            ...(label !== undefined && { label }),
          });
        const drawn = await complete();
        expect(drawn.shape).toEqual([2, 2, ...data.sampleShape]);
        expect(numbers(drawn).every(Number.isFinite)).toBe(true);
        if (data.kind === "binary") expect(unknown(drawn).every((bit) => bit === 0 || bit === 1)).toBe(true);
        if (data.kind === "image")
          expect(unknown(drawn).every((byte) => byte >= 0 && byte <= 255)).toBe(true);
        if (built.model.conditioning.classes > 0) {
          expect(numbers(await complete(1)).every(Number.isFinite)).toBe(true);
        } else await expect(complete(1)).rejects.toThrow(/not conditional on classes/);
      });
    });
  }

  it("refuses what it cannot do", async () => {
    const built = buildVae({ given: ["kind"] }, DATA.table);
    const x = samplesOf(DATA.table, 1);
    await withVae(built, async (session) => {
      const known = float32([0, 1, 1, 1, 1], [1, 5]);
      const ask = (options: object) =>
        built.model.inpaint(session, { x, known, draws: 1, seed: 0, ...options });
      await expect(ask({ exact: true })).rejects.toThrow(/no exact conditional draw/);
      await expect(ask({ known: float32([1, 1, 0, 1, 1], [1, 5]) })).rejects.toThrow(/must be known/);
      await expect(ask({ draws: 0 })).rejects.toThrow(OptionError);
    });
  });
});
