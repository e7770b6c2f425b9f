import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../src/errors.ts";
import type { Tensor } from "../../../src/tensor/graph.ts";
import { input } from "../../../src/tensor/leaves.ts";
import {
  batchNorm,
  batchNormWith,
  groupNorm,
  instanceNorm,
  layerNorm,
} from "../../../src/tensor/operations/normalization.ts";
import {
  at,
  build,
  cases,
  checkOperation,
  expectClose,
  few,
  generator,
  positions,
  randomValues,
  runAll,
  toArray,
  type Values,
} from "../support.ts";

const EPSILON = 1e-2;

/** Normalizes elements that fall together, then applies a factor and a shift that depend on the position. */
function normalized(
  x: Values,
  together: (position: readonly number[]) => string,
  parameters: (position: readonly number[]) => readonly [number, number],
): Values {
  const sets = new Map<string, number[]>();
  for (const position of positions(x.shape)) {
    const key = together(position);
    sets.set(key, [...(sets.get(key) ?? []), at(x, position)]);
  }
  const statistics = new Map(
    [...sets].map(([key, items]) => {
      const mean = items.reduce((a, b) => a + b, 0) / items.length;
      return [
        key,
        { mean, variance: items.reduce((a, b) => a + (b - mean) ** 2, 0) / items.length },
      ] as const;
    }),
  );
  return build(x.shape, (position) => {
    const { mean, variance } = statistics.get(together(position)) ?? { mean: 0, variance: 0 };
    const [factor, shift] = parameters(position);
    return ((at(x, position) - mean) / Math.sqrt(variance + EPSILON)) * factor + shift;
  });
}

const channelParameters = (weight?: Values, bias?: Values) => (position: readonly number[]) =>
  [
    weight === undefined ? 1 : at(weight, [position[1] ?? 0]),
    bias === undefined ? 0 : at(bias, [position[1] ?? 0]),
  ] as const;

function groupReference(x: Values, groups: number, weight?: Values, bias?: Values): Values {
  const each = (x.shape[1] ?? 1) / groups;
  return normalized(x, ([n = 0, c = 0]) => `${n} ${Math.floor(c / each)}`, channelParameters(weight, bias));
}

function batchReference(x: Values, weight?: Values, bias?: Values): Values {
  return normalized(x, ([, c = 0]) => `${c}`, channelParameters(weight, bias));
}

const affine = (weight?: Tensor, bias?: Tensor) => ({
  ...(weight && { weight }),
  ...(bias && { bias }),
  epsilon: EPSILON,
});

describe("groupNorm", () => {
  it("computes values, gradients and second derivatives", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<readonly [number[], number]>(
          [[2, 4, 2, 3], 2],
          [[1, 6, 3], 3],
          [[2, 4], 1],
          [[3, 2, 2, 2], 2],
          [[2, 3, 1, 2], 1],
        ),
        fc.boolean(),
        cases,
        async ([shape, groups], withParameters, { seed, dtype }) => {
          const random = generator(seed);
          const parameters = withParameters ? [0, 1].map(() => randomValues([shape[1] ?? 1], random)) : [];
          await checkOperation(
            {
              name: `groupNorm ${groups}`,
              apply: (x, w, b) => groupNorm(x, groups, affine(w, b)),
              reference: (x, w, b) => groupReference(x, groups, w, b),
            },
            [randomValues(shape, random), ...parameters],
            { seed, dtype },
          );
        },
      ),
      few(8),
    );
  });

  it("takes a weight and a bias for every sample", async () => {
    const random = generator(12);
    await checkOperation(
      {
        name: "groupNorm with a weight a sample",
        apply: (x, w, b) => groupNorm(x, 2, affine(w, b)),
        reference: (x, w, b) => {
          const y = groupReference(x, 2);
          return build(x.shape, (position) => {
            const own = position.slice(0, 2);
            return at(y, position) * at(w, own) + at(b, own);
          });
        },
      },
      [randomValues([3, 4, 2, 2], random), randomValues([3, 4], random), randomValues([3, 4], random)],
    );
  });

  it("stays accurate where the mean is far from 0", async () => {
    const x = randomValues([2, 4, 5, 5], generator(2), { low: 9, high: 11 });
    const y = groupNorm(input("x", x.shape), 2, { epsilon: EPSILON });
    const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
    expectClose(result?.y, groupReference(x, 2), 1e-3, "offset");
  });

  it("takes a symbolic batch and rejects what does not fit", async () => {
    const x = randomValues([3, 4, 2, 2], generator(3));
    const y = groupNorm(input("x", ["batch", 4, 2, 2]), 2, { epsilon: EPSILON });
    const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
    expectClose(result?.y, groupReference(x, 2), 1e-5, "symbolic batch");
    expect(() => groupNorm(input("x", [2, 4, 3]), 3)).toThrow(OptionError);
    expect(() => groupNorm(input("x", [2, 4, 3]), 2, { weight: input("w", [3]) })).toThrow(
      /groupNorm: \[2, 4, 3\] and \[3\].*must be \[4\]/,
    );
    expect(() => groupNorm(input("x", [2]), 1)).toThrow(ShapeError);
  });
});

describe("instanceNorm", () => {
  it("normalizes every channel of every sample", async () => {
    const random = generator(4);
    await checkOperation(
      {
        name: "instanceNorm",
        apply: (x, w, b) => instanceNorm(x, affine(w, b)),
        reference: (x, w, b) => groupReference(x, x.shape[1] ?? 1, w, b),
      },
      [randomValues([2, 3, 2, 3], random), randomValues([3], random), randomValues([3], random)],
    );
  });
});

describe("batchNorm", () => {
  it("computes values, gradients and second derivatives", async () => {
    for (const [seed, shape] of [
      [3, 2, 2, 2],
      [5, 3],
      [2, 2, 4],
    ].entries()) {
      const random = generator(seed + 1);
      const parameters = [0, 1].map(() => randomValues([shape[1] ?? 1], random));
      for (const dtype of ["float32", "float64"] as const) {
        await checkOperation(
          {
            name: "batchNorm",
            apply: (x, w, b) => batchNorm(x, affine(w, b)).y,
            reference: (x, w, b) => batchReference(x, w, b),
          },
          [randomValues(shape, random), ...parameters],
          { seed, dtype },
        );
      }
    }
  });

  it("returns the statistics of the batch, accurate also for means far from 0", async () => {
    const x = randomValues([6, 2, 3], generator(5), { low: 1000, high: 1001 });
    const { y, mean, variance } = batchNorm(input("x", x.shape), { epsilon: EPSILON });
    const [result] = await runAll({ y, mean, variance }, [{ x: toArray(x, "float32") }]);
    const of = (c: number): number[] =>
      positions([6, 3]).map(([n = 0, i = 0]) => Math.fround(at(x, [n, c, i])));
    const average = (items: readonly number[]): number => items.reduce((a, b) => a + b, 0) / items.length;
    const means = build([2], ([c = 0]) => average(of(c)));
    const variances = build([2], ([c = 0]) => average(of(c).map((value) => (value - at(means, [c])) ** 2)));
    expectClose(result?.mean, means, 1e-6, "mean");
    expectClose(result?.variance, variances, 1e-4, "variance");
    const rounded = { shape: x.shape, data: x.data.map(Math.fround) };
    expectClose(result?.y, batchReference(rounded), 2e-3, "y");
  });

  it("with given statistics is an affine map", async () => {
    const random = generator(6);
    const shape = [2, 3, 2, 2];
    const vectors = [0, 1, 2].map(() => randomValues([3], random));
    await checkOperation(
      {
        name: "batchNormWith",
        apply: (x, mean, weight, bias, variance) =>
          batchNormWith(x, { mean, variance }, { weight, bias, epsilon: EPSILON }),
        reference: (x, mean, weight, bias, variance) =>
          build(shape, (position) => {
            const c = [position[1] ?? 0];
            return (
              ((at(x, position) - at(mean, c)) / Math.sqrt(at(variance, c) + EPSILON)) * at(weight, c) +
              at(bias, c)
            );
          }),
      },
      [randomValues(shape, random), ...vectors, randomValues([3], random, { low: 0.5, high: 2 })],
    );
  });

  it("with given statistics takes a symbolic batch", async () => {
    const x = randomValues([3, 2, 2, 2], generator(7));
    const [mean, variance] = [input("m", [2]), input("v", [2])];
    const y = batchNormWith(input("x", ["batch", 2, 2, 2]), { mean, variance }, { epsilon: 0 });
    const feed = {
      x: toArray(x, "float32"),
      m: toArray({ shape: [2], data: [1, 2] }, "float32"),
      v: toArray({ shape: [2], data: [4, 9] }, "float32"),
    };
    const [result] = await runAll({ y }, [feed]);
    const expected = build(x.shape, (position) => {
      const c = position[1] ?? 0;
      return (at(x, position) - (c + 1)) / (c + 2);
    });
    expectClose(result?.y, expected, 1e-5, "symbolic batch");
  });
});

describe("layerNorm", () => {
  const reference = (x: Values, axes: number, weight?: Values, bias?: Values): Values => {
    const lead = x.shape.length - axes;
    return normalized(
      x,
      (position) => position.slice(0, lead).join(),
      (position) => {
        const own = position.slice(lead);
        return [weight === undefined ? 1 : at(weight, own), bias === undefined ? 0 : at(bias, own)];
      },
    );
  };

  it("computes values, gradients and second derivatives over trailing axes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<readonly [number[], number]>([[3, 4], 1], [[2, 2, 3], 1], [[2, 2, 3], 2], [[5], 1]),
        fc.boolean(),
        cases,
        async ([shape, axes], withParameters, { seed, dtype }) => {
          const random = generator(seed);
          const trailing = shape.slice(shape.length - axes);
          const parameters = withParameters ? [0, 1].map(() => randomValues(trailing, random)) : [];
          await checkOperation(
            {
              name: `layerNorm ${axes}`,
              apply: (x, w, b) => layerNorm(x, { ...affine(w, b), axes }),
              reference: (x, w, b) => reference(x, axes, w, b),
            },
            [randomValues(shape, random), ...parameters],
            { seed, dtype },
          );
        },
      ),
      few(8),
    );
  });

  it("takes a symbolic batch and rejects what does not fit", async () => {
    const x = randomValues([3, 2, 4], generator(8));
    const y = layerNorm(input("x", ["batch", 2, 4]), { epsilon: EPSILON });
    const [result] = await runAll({ y }, [{ x: toArray(x, "float32") }]);
    expectClose(result?.y, reference(x, 1), 1e-5, "symbolic batch");
    expect(() => layerNorm(input("x", [2, 4]), { weight: input("w", [3]) })).toThrow(
      /layerNorm: \[2, 4\] and \[3\].*must be \[4\]/,
    );
    expect(() => layerNorm(input("x", [2, 4]), { axes: 3 })).toThrow(ShapeError);
  });
});
