import fc from "fast-check";
import { expect, test } from "vitest";
import { Random } from "../src/random.ts";

const big = fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 2 ** 32 - 2, max: 2 ** 40 }));

test("rows filled together are those of the children filled one by one", () => {
  fc.assert(
    fc.property(
      fc.integer(),
      big,
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 1, max: 7 }),
      fc.constantFrom("normal" as const, "uniform" as const),
      (seed, first, rows, size, distribution) => {
        const parent = new Random(seed);
        const together = new Float32Array(rows * size);
        parent.fillRows(together, rows, first, distribution);
        const apart = new Float32Array(rows * size);
        for (let row = 0; row < rows; row++) {
          const child = parent.split(first + row);
          const target = apart.subarray(row * size, (row + 1) * size);
          if (distribution === "normal") child.fillNormal(target);
          else child.fillUniform(target);
        }
        expect(together).toEqual(apart);
      },
    ),
  );
});

test("rows have the moments of their distribution, and are not those of their neighbors", () => {
  const count = 20_000;
  const normal = new Float32Array(3 * count);
  new Random(1).fillRows(normal, count, 0, "normal");
  const uniform = new Float32Array(3 * count);
  new Random(1).fillRows(uniform, count, 0, "uniform");
  const mean = (values: Float32Array, of: (value: number, i: number) => number): number =>
    values.reduce((sum, value, i) => sum + of(value, i), 0) / values.length;
  expect(mean(normal, (value) => value)).toBeCloseTo(0, 1);
  expect(mean(normal, (value) => value ** 2)).toBeCloseTo(1, 1);
  expect(mean(normal, (value) => value ** 4)).toBeCloseTo(3, 0);
  expect(mean(normal, (value, i) => value * (normal[i + 3] ?? 0))).toBeCloseTo(0, 1);
  expect(mean(uniform, (value) => value)).toBeCloseTo(0.5, 2);
  expect(mean(uniform, (value) => (value - 0.5) ** 2)).toBeCloseTo(1 / 12, 2);
});
