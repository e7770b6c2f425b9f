import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { nodeRuntime } from "../../../src/program/node.ts";
import { compile } from "../../../src/program/program.ts";
import type { Runtime } from "../../../src/program/runtime.ts";
import { Random } from "../../../src/random.ts";
import { spreadOf } from "../../../src/representation/models/agreement.ts";
import { barlowLoss } from "../../../src/representation/models/barlow-twins.ts";
import { ntXent } from "../../../src/representation/models/simclr.ts";
import { vicRegLoss } from "../../../src/representation/models/vicreg.ts";
import { float32, grad, type Tensor } from "../../../src/tensor/index.ts";
import { largestDifference, numbers } from "../../support.ts";

interface Expected {
  readonly loss: number;
  readonly gradients: readonly (readonly number[])[];
}

interface Fixture {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly simclr: Expected;
  readonly vicreg: Expected;
  readonly barlow: Expected;
}

type Loss = (a: Tensor, b: Tensor) => Tensor;

let runtime: Runtime;
let fixture: Fixture;
beforeAll(async () => {
  runtime = await nodeRuntime({ threads: 1 });
  const file = new URL("../../fixtures/representation/pretext.json", import.meta.url);
  fixture = (JSON.parse(await readFile(file, "utf8")) as { losses: Fixture }).losses;
});

/** A loss of two views' vectors [n, d], and its gradients. */
async function computed(loss: Loss, a: readonly number[], b: readonly number[], d: number) {
  const program = compile(
    ["a", "b"],
    ({ a, b }) => {
      const value = loss(a, b);
      const [first, second] = grad(value, [a, b]) as [Tensor, Tensor];
      return { value, first, second };
    },
    { runtime, weights: new Map() },
  );
  try {
    const shape = [a.length / d, d];
    const result = await program.run({ a: float32([...a], shape), b: float32([...b], shape) });
    return {
      loss: numbers(result.value)[0] ?? Number.NaN,
      gradients: [numbers(result.first), numbers(result.second)],
    };
  } finally {
    await program.release();
  }
}

const WEIGHTS = { invariance: 25, variance: 25, covariance: 1 };
const LOSSES: Readonly<Record<"simclr" | "vicreg" | "barlow", Loss>> = {
  simclr: (a, b) => ntXent(a, b, 0.5),
  vicreg: (a, b) => vicRegLoss(a, b, WEIGHTS).total,
  barlow: (a, b) => barlowLoss(a, b, 0.0051).total,
};

/** Random vectors of two views, [n, d] each. */
function pair(n: number, d: number, seed: number): readonly [number[], number[]] {
  const random = new Random(seed);
  const draw = (): number[] => Array.from({ length: n * d }, () => random.normal());
  return [draw(), draw()];
}

describe.each(["simclr", "vicreg", "barlow"] as const)("%s", (name) => {
  const loss = LOSSES[name];

  test("loss and gradients are PyTorch's", async () => {
    const { loss: value, gradients } = await computed(loss, fixture.a, fixture.b, 5);
    const expected = fixture[name];
    expect(value).toBeCloseTo(expected.loss, 4);
    gradients.forEach((gradient, i) => {
      expect(largestDifference(gradient, expected.gradients[i] ?? [])).toBeLessThan(3e-5);
    });
  });

  test("gradients are finite differences", async () => {
    const [a, b] = pair(4, 3, 8);
    const { gradients } = await computed(loss, a, b, 3);
    const step = 1e-2;
    for (const at of [0, 4, 11]) {
      const moved = (by: number) =>
        computed(
          loss,
          a.map((value, i) => (i === at ? value + by : value)),
          b,
          3,
        );
      const slope = ((await moved(step)).loss - (await moved(-step)).loss) / (2 * step);
      expect(gradients[0]?.[at]).toBeCloseTo(slope, 1);
    }
  });

  test("is finite where all vectors are equal, and with its gradients for a single sample", async () => {
    for (const n of [1, 3]) {
      const same = Array.from({ length: n * 4 }, (_, i) => (i % 4) - 1.5);
      const { loss: value, gradients } = await computed(loss, same, same, 4);
      expect([value, ...gradients.flat()].every(Number.isFinite)).toBe(true);
    }
  });
});

describe("NT-Xent", () => {
  test("is the mean over 2n views of a plain loop, for any shape and temperature", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.double({ min: 0.1, max: 2, noNaN: true }),
        fc.integer({ min: 0, max: 1000 }),
        async (n, d, temperature, seed) => {
          const [a, b] = pair(n, d, seed);
          const all = [...a, ...b];
          const row = (i: number): number[] => all.slice(i * d, (i + 1) * d);
          const dot = (x: number[], y: number[]): number => x.reduce((s, v, k) => s + v * (y[k] ?? 0), 0);
          const score = (i: number, j: number): number =>
            dot(row(i), row(j)) / Math.sqrt(dot(row(i), row(i)) * dot(row(j), row(j))) / temperature;
          let expected = 0;
          for (let i = 0; i < 2 * n; i++) {
            let sum = 0;
            for (let k = 0; k < 2 * n; k++) if (k !== i) sum += Math.exp(score(i, k));
            expected += (Math.log(sum) - score(i, (i + n) % (2 * n))) / (2 * n);
          }
          const { loss } = await computed((x, y) => ntXent(x, y, temperature), a, b, d);
          expect(loss).toBeCloseTo(expected, 3);
        },
      ),
      { numRuns: 15 },
    );
  });

  test("is log(2n − 1) where all vectors are equal", async () => {
    const same = Array.from({ length: 12 }, (_, i) => (i % 3) + 1);
    expect((await computed(LOSSES.simclr, same, same, 3)).loss).toBeCloseTo(Math.log(7), 5);
  });
});

test("VICReg's terms are those of its equations", async () => {
  // Two numbers of which one is twice the other: deviations 1 and 2, covariance 2.
  const z = [-1, -2, 1, 2].map((value) => value / Math.SQRT2);
  const shifted = z.map((value) => value + 1);
  for (const [term, expected] of [
    ["invariance", 1],
    ["variance", 0],
    ["covariance", 2 * ((2 * 2 * 2) / 2)],
  ] as const) {
    const { loss } = await computed((a, b) => vicRegLoss(a, b, WEIGHTS)[term], z, shifted, 2);
    expect(loss, term).toBeCloseTo(expected, 4);
  }
  const { loss } = await computed((a, b) => vicRegLoss(a, b, WEIGHTS).variance, [0, 0], [0, 0], 1);
  expect(loss).toBeCloseTo(0.99, 5);
});

test("Barlow Twins' loss is 0 for equal views whose numbers do not correlate", async () => {
  const z = [1, 1, 1, -1, -1, 1, -1, -1];
  expect((await computed(LOSSES.barlow, z, z, 2)).loss).toBeCloseTo(0, 4);
  // The second number is the first one again: two correlations of 1.
  const twice = [1, 1, -1, -1];
  expect((await computed(LOSSES.barlow, twice, twice, 2)).loss).toBeCloseTo(2 * 0.0051, 4);
});

test("the spread of codes is 0 for one direction and about 1 for even ones", async () => {
  const spread = async (z: readonly number[], d: number): Promise<number> => {
    const program = compile(["z"], ({ z }) => ({ spread: spreadOf(z) }), { runtime, weights: new Map() });
    const result = await program.run({ z: float32([...z], [z.length / d, d]) });
    await program.release();
    return numbers(result.spread)[0] ?? Number.NaN;
  };
  expect(await spread([1, 2, 2, 4, 3, 6], 2)).toBeLessThan(1e-5);
  expect(await spread(pair(2000, 8, 3)[0], 8)).toBeCloseTo(1, 1);
});
