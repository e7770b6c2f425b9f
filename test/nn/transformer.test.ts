import { describe, expect, it } from "vitest";
import { causalAttention } from "../../src/nn/transformer.ts";
import { evaluate } from "../../src/program/node.ts";
import { Random } from "../../src/random.ts";
import { constant, float32, grad, scaledDotProductAttention } from "../../src/tensor/index.ts";

describe("causalAttention", () => {
  it("in blocks is attention with a mask, with its derivatives", async () => {
    for (const [length, window] of [
      [5, undefined],
      [230, undefined],
      [230, 60],
      [150, 3],
      [7, 1],
    ] as const) {
      const shape = [2, 3, length, 4];
      const random = new Random(length);
      const normals = () => {
        const data = new Float32Array(24 * length);
        random.fillNormal(data);
        return constant(float32(data, shape));
      };
      const [q, k, v, cotangent] = [normals(), normals(), normals(), normals()];
      const mask = Float32Array.from({ length: length * length }, (_, i) => {
        const distance = Math.floor(i / length) - (i % length);
        return distance < 0 || distance >= (window ?? length) ? -1e9 : 0;
      });
      const whole = scaledDotProductAttention(q, k, v, { mask: constant(float32(mask, [length, length])) });
      const blocks = causalAttention(q, k, v, window);
      const [expected = [], found = []] = [whole, blocks].map((y) => [
        y,
        ...grad(y.mul(cotangent).sum(), [q, k, v]),
      ]);
      const values = await evaluate([...expected, ...found]);
      for (let i = 0; i < 4; i++) {
        const [a, b] = [values[i]?.data as Float32Array, values[i + 4]?.data as Float32Array];
        const difference = a.reduce(
          (most, value, j) => Math.max(most, Math.abs(value - (b[j] ?? Infinity))),
          0,
        );
        expect(difference, `length ${length}, output ${i}`).toBeLessThan(2e-5);
      }
    }
  });
});
