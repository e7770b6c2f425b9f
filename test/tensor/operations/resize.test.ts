import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import { input } from "../../../src/tensor/leaves.ts";
import { resizeBilinear, resizeNearest } from "../../../src/tensor/operations/resize.ts";
import {
  at,
  build,
  checkOperation,
  expectClose,
  generator,
  randomValues,
  runAll,
  toArray,
  type Values,
} from "../support.ts";

const sizes: readonly (readonly [readonly [number, number], readonly [number, number]])[] = [
  [
    [2, 3],
    [4, 9],
  ],
  [
    [5, 4],
    [3, 6],
  ],
  [
    [4, 6],
    [2, 3],
  ],
  [
    [1, 3],
    [4, 3],
  ],
  [
    [7, 5],
    [1, 2],
  ],
];

function nearest(x: Values, [height, width]: readonly [number, number]): Values {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  return build([n, c, height, width], ([i = 0, j = 0, r = 0, s = 0]) =>
    at(x, [i, j, Math.floor((r * h) / height), Math.floor((s * w) / width)]),
  );
}

/** Interpolates by the area of overlap of tents of width one pixel around pixel centers. */
function bilinear(x: Values, [height, width]: readonly [number, number]): Values {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  return build([n, c, height, width], ([i = 0, j = 0, r = 0, s = 0]) => {
    const center = (position: number, from: number, to: number): number =>
      Math.min(from - 1, Math.max(0, ((position + 0.5) * from) / to - 0.5));
    const [p, q] = [center(r, h, height), center(s, w, width)];
    let total = 0;
    for (let a = 0; a < h; a++) {
      for (let b = 0; b < w; b++) {
        const weight = Math.max(0, 1 - Math.abs(a - p)) * Math.max(0, 1 - Math.abs(b - q));
        total += weight * at(x, [i, j, a, b]);
      }
    }
    return total;
  });
}

for (const [name, apply, reference] of [
  ["resizeNearest", resizeNearest, nearest],
  ["resizeBilinear", resizeBilinear, bilinear],
] as const) {
  describe(name, () => {
    it("computes values and derivatives for enlarging and shrinking", async () => {
      let seed = 1;
      for (const [from, to] of sizes) {
        await checkOperation(
          {
            name: `${name} to ${to}`,
            // Enlarging by whole factors ends in a pooling kernel that knows no float64.
            float32Only: true,
            apply: (x) => apply(x, to),
            reference: (x) => reference(x, to),
          },
          [randomValues([2, 2, ...from], generator(seed++))],
        );
      }
    });

    it("takes a symbolic batch and rejects what cannot be resized", async () => {
      const x = randomValues([3, 2, 4, 5], generator(7));
      const y = apply(input("x", ["batch", 2, 4, 5]), [3, 7]);
      expect(y.shape).toEqual(["batch", 2, 3, 7]);
      const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
      expectClose(result?.y, reference(x, [3, 7]), 1e-5, "symbolic batch");
      expect(() => apply(input("x", [2, 4, 5]), [3, 7])).toThrow(ShapeError);
      expect(() => apply(input("x", [2, 4, 5, 5]), 0)).toThrow(OptionError);
    });
  });
}
