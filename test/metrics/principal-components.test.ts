import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/errors.ts";
import { principalComponents } from "../../src/metrics/index.ts";
import { Random } from "../../src/random.ts";
import { float32 } from "../../src/tensor/array.ts";

describe("principal components", () => {
  it("are the axes that points were stretched along, with their shares of the variance", () => {
    const random = new Random(1);
    const count = 4000;
    const axis = [0.6, 0.8, 0] as const;
    const second = [-0.8, 0.6, 0] as const;
    const data = new Float32Array(3 * count);
    const places = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const [a, b, c] = [3 * random.normal(), random.normal(), 0.1 * random.normal()];
      places[i] = a;
      for (let d = 0; d < 3; d++) {
        data[3 * i + d] = 5 + a * (axis[d] ?? 0) + b * (second[d] ?? 0) + (d === 2 ? c : 0);
      }
    }
    const { scores, shares } = principalComponents(float32(data, [count, 3]), 2);
    expect(scores.shape).toEqual([count, 2]);
    expect(Math.abs((shares[0] ?? 0) - 9 / 10.01)).toBeLessThan(0.01);
    expect(Math.abs((shares[1] ?? 0) - 1 / 10.01)).toBeLessThan(0.01);
    const mean = places.reduce((sum, place) => sum + place, 0) / count;
    const errors = Array.from(places, (place, i) => Math.abs((scores.data[2 * i] ?? 0) - (place - mean)));
    expect(errors.reduce((sum, error) => sum + error, 0) / count).toBeLessThan(0.1);
    // Places along different axes are not correlated.
    const product = Array.from(places, (_, i) => (scores.data[2 * i] ?? 0) * (scores.data[2 * i + 1] ?? 0));
    expect(Math.abs(product.reduce((sum, value) => sum + value, 0) / count)).toBeLessThan(1e-3);
  });

  it("of rows that do not vary are 0", () => {
    const { scores, shares } = principalComponents(float32(new Float32Array(8).fill(3), [4, 2]), 2);
    expect([...scores.data].every((value) => value === 0)).toBe(true);
    expect(shares).toEqual([0, 0]);
  });

  it("refuse what is no matrix, or too narrow", () => {
    expect(() => principalComponents(float32([1, 2], [2]), 1)).toThrow(ShapeError);
    expect(() => principalComponents(float32([1, 2], [2, 1]), 2)).toThrow(/2 of rows of shape \[2,1\]/);
  });
});
