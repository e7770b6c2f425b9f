import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import { CircularSpline, RationalQuadraticSpline } from "../../../src/flows/transforms/rational-quadratic.ts";
import { evaluate } from "../../../src/program/node.ts";
import { Random } from "../../../src/random.ts";
import { constant, float32, grad, type Tensor } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";

const LEAST = 1e-3;

/** Unnormalized log-widths and log-heights of the bins and unconstrained derivatives, as the spline takes them. */
interface Raw {
  readonly widths: readonly number[];
  readonly heights: readonly number[];
  readonly derivatives: readonly number[];
}

const packed = ({ widths, heights, derivatives }: Raw): readonly number[] => [
  ...widths,
  ...heights,
  ...derivatives,
];

/** What an unconstrained number must be for a derivative to have this value. */
const rawDerivative = (value: number): number => Math.log(Math.expm1(value - LEAST) / Math.expm1(1 - LEAST));

function knots(raw: readonly number[], bound: number): readonly number[] {
  const top = Math.max(...raw);
  const e = raw.map((value) => Math.exp(value - top));
  const total = e.reduce((a, b) => a + b, 0);
  const shares = e.map((value) => LEAST + (1 - raw.length * LEAST) * (value / total));
  const ends = shares.map((_, i) => shares.slice(0, i + 1).reduce((a, b) => a + b, 0));
  return [-bound, ...ends.map((end, i) => (i === raw.length - 1 ? bound : bound * (2 * end - 1)))];
}

/** Durkan et al. 2019, equations 4 and 5 as they stand there, in float64. */
function reference(x: number, raw: Raw, bound: number): { readonly y: number; readonly derivative: number } {
  if (Math.abs(x) >= bound) return { y: x, derivative: 1 };
  const xs = knots(raw.widths, bound);
  const ys = knots(raw.heights, bound);
  const inner = raw.derivatives.map(
    (value) => LEAST + Math.log1p(Math.exp(value + Math.log(Math.expm1(1 - LEAST)))),
  );
  const ds = [1, ...inner, 1];
  const k = xs.findLastIndex((knot) => knot <= x);
  const [x0 = 0, x1 = 0] = xs.slice(k);
  const [y0 = 0, y1 = 0] = ys.slice(k);
  const [d0 = 0, d1 = 0] = ds.slice(k);
  const s = (y1 - y0) / (x1 - x0);
  const xi = (x - x0) / (x1 - x0);
  const denominator = s + (d1 + d0 - 2 * s) * xi * (1 - xi);
  return {
    y: y0 + ((y1 - y0) * (s * xi * xi + d0 * xi * (1 - xi))) / denominator,
    derivative: (s * s * (d1 * xi * xi + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2)) / denominator ** 2,
  };
}

/** One element a row: values x [n] with parameters [n, P]. */
function tensors(
  x: readonly number[],
  parameters: readonly (readonly number[])[],
): readonly [Tensor, Tensor] {
  const width = parameters[0]?.length ?? 0;
  return [
    constant(float32(x, [x.length, 1])),
    constant(float32(parameters.flat(), [parameters.length, width])),
  ];
}

function randomRaw(random: Random, bins: number, scale: number): Raw {
  const draw = (length: number) => Array.from({ length }, () => scale * random.normal());
  return { widths: draw(bins), heights: draw(bins), derivatives: draw(bins - 1) };
}

describe("rational-quadratic spline", () => {
  it("has the value of equation 4 worked out by hand", async () => {
    // Two bins of width and height 1 on [−1, 1], derivative 3 at 0. At 0.5: ξ = 1/2, s = 1, δ = 3, 1, so that
    // y = (1/4 + 3/4) / (1 + 2/4) = 2/3 and dy/dx = (1/4 + 2/4 + 3/4) / (3/2)² = 2/3.
    const spline = new RationalQuadraticSpline({ bins: 2, bound: 1 });
    const [x, parameters] = tensors([0.5], [[0, 0, 0, 0, rawDerivative(3)]]);
    const { value, logDerivative } = spline.forward(x, parameters);
    const back = spline.inverse(constant(float32([2 / 3], [1, 1])), parameters);
    const [y, log, preimage] = await evaluate([value, logDerivative, back.value]);
    expect(numbers(y)[0]).toBeCloseTo(2 / 3, 6);
    expect(numbers(log)[0]).toBeCloseTo(Math.log(2 / 3), 6);
    expect(numbers(preimage)[0]).toBeCloseTo(0.5, 6);
  });

  it("is the identity where all parameters are 0", async () => {
    const spline = new RationalQuadraticSpline({ bins: 5, bound: 3 });
    const points = Array.from({ length: 81 }, (_, i) => -4 + i / 10);
    const [x, parameters] = tensors(
      points,
      points.map(() => new Array<number>(14).fill(0)),
    );
    const forward = spline.forward(x, parameters);
    const [y, log] = await evaluate([forward.value, forward.logDerivative]);
    numbers(y).forEach((value, i) => {
      expect(Math.abs(value - (points[i] ?? 0))).toBeLessThan(2e-6);
    });
    for (const value of numbers(log)) expect(Math.abs(value)).toBeLessThan(1e-5);
  });

  it("agrees with the paper's formulas in float64", async () => {
    const [bins, bound] = [8, 4];
    const random = new Random(3);
    const raws = Array.from({ length: 2000 }, () => randomRaw(random, bins, 1.5));
    const points = raws.map(() => 10 * random.uniform() - 5);
    const spline = new RationalQuadraticSpline({ bins, bound });
    const [x, parameters] = tensors(points, raws.map(packed));
    const { value, logDerivative } = spline.forward(x, parameters);
    const results = await evaluate([value, logDerivative, grad(value.sum(), [x])[0]]);
    const [y, log, slope] = results.map(numbers);
    points.forEach((point, i) => {
      const raw = raws[i];
      if (raw === undefined) return;
      const at = (shift: number) => reference(point + shift, raw, bound);
      const expected = at(0);
      // The place in a bin is known to about 1e-6, from roundings of x and of knots.
      expect(Math.abs((y?.[i] ?? Number.NaN) - expected.y)).toBeLessThan(3e-6 * (1 + expected.derivative));
      const h = 1e-6;
      const bend = Math.abs(Math.log(at(h).derivative / at(-h).derivative)) / (2 * h);
      const tolerance = 1e-3 + 3e-6 * bend;
      expect(Math.abs((log?.[i] ?? Number.NaN) - Math.log(expected.derivative))).toBeLessThan(tolerance);
      // The derivative by the graph's own differentiation, whose quotient rule loses a digit or two of small ones, and by
      // differences of the formula.
      const error = Math.abs((slope?.[i] ?? Number.NaN) - expected.derivative);
      expect(error).toBeLessThan(3 * tolerance * (1 + expected.derivative));
      const difference = (at(h).y - at(-h).y) / (2 * h);
      expect(Math.abs(difference / expected.derivative - 1)).toBeLessThan(1e-4 + h * bend);
    });
  });

  it("is undone by its inverse for any parameters, extreme ones too", async () => {
    const [bins, bound, count] = [8, 3, 2000];
    const spline = new RationalQuadraticSpline({ bins, bound });
    const property = fc.asyncProperty(
      fc.integer({ min: 0, max: 1 << 20 }),
      fc.constantFrom(0.3, 1, 3, 10, 20),
      async (seed, scale) => {
        const random = new Random(seed);
        const raws = Array.from({ length: count }, () => {
          const raw = randomRaw(random, bins, scale);
          // every fourth at the corners of the range
          return random.integer(4) > 0 ? packed(raw) : packed(raw).map((value) => 20 * Math.sign(value));
        });
        const [x, parameters] = tensors(
          raws.map(() => 8 * random.uniform() - 4),
          raws,
        );
        const forward = spline.forward(x, parameters);
        const back = spline.inverse(forward.value, parameters);
        const there = spline.inverse(x, parameters);
        const again = spline.forward(there.value, parameters);
        const results = await evaluate([
          x,
          forward.logDerivative,
          back.value,
          back.logDerivative,
          there.value,
          there.logDerivative,
          again.value,
        ]);
        const [points, log, preimage, inverseLog, inverse, thereLog, image] = results.map(numbers);
        // One assertion of all samples: so many would take longer than the spline.
        const wrong = points?.filter((point, i) => {
          const [a = 0, b = 0] = [Math.exp(log?.[i] ?? Number.NaN), Math.exp(thereLog?.[i] ?? Number.NaN)];
          const right =
            Number.isFinite(a) &&
            Number.isFinite(b) &&
            // Rounding of the value in between is stretched by the derivative of the way back.
            Math.abs((preimage?.[i] ?? Number.NaN) - point) < 4e-6 * (1 + 1 / a) &&
            Math.abs((image?.[i] ?? Number.NaN) - point) < 4e-6 * (1 + 1 / b) &&
            Number.isFinite(inverseLog?.[i]) &&
            Math.abs(inverse?.[i] ?? Number.NaN) < 4.1;
          return !right;
        });
        expect(points).toHaveLength(count);
        expect(wrong).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 8, seed: 1 });
  });

  it("is continuous with a continuous derivative at knots", async () => {
    const [bins, bound] = [6, 2];
    const random = new Random(11);
    const raws = Array.from({ length: 40 }, () => randomRaw(random, bins, 0.5));
    const cases = raws.flatMap((raw) => knots(raw.widths, bound).map((knot) => ({ knot, raw })));
    const spline = new RationalQuadraticSpline({ bins, bound });
    const at = (shift: number) => {
      const [x, parameters] = tensors(
        cases.map(({ knot }) => knot + shift),
        cases.map(({ raw }) => packed(raw)),
      );
      const { value, logDerivative } = spline.forward(x, parameters);
      return [value, logDerivative];
    };
    const results = await evaluate([...at(-1e-5), ...at(0), ...at(1e-5)]);
    const [below, logBelow, exact, logExact, above, logAbove] = results.map(numbers);
    cases.forEach(({ knot, raw }, i) => {
      const [a = Number.NaN, b = Number.NaN, c = Number.NaN] = [below?.[i], exact?.[i], above?.[i]];
      const slope = Math.exp(logExact?.[i] ?? Number.NaN);
      expect(Math.abs(b - a)).toBeLessThan(2e-5 * slope + 4e-6);
      expect(Math.abs(c - b)).toBeLessThan(2e-5 * slope + 4e-6);
      expect(b - a).toBeGreaterThan(-1e-6);
      expect(Math.abs((logAbove?.[i] ?? Number.NaN) - (logBelow?.[i] ?? Number.NaN))).toBeLessThan(0.02);
      expect(Math.abs(b - reference(knot, raw, bound).y)).toBeLessThan(1e-5 * (1 + slope));
    });
  });

  it("leaves the tails alone, with finite gradients, also where all inputs are there", async () => {
    const [bins, bound] = [8, 3];
    const random = new Random(5);
    const inputs = [-1e3, -50, -3.0001, -3, 3, 3.0001, 77.7, 1e3];
    const raws = inputs.map((_, i) => packed(randomRaw(random, bins, i % 2 === 0 ? 2 : 20)));
    const spline = new RationalQuadraticSpline({ bins, bound });
    const [x, parameters] = tensors(inputs, raws);
    const forward = spline.forward(x, parameters);
    const inverse = spline.inverse(x, parameters);
    const loss = (e: { readonly value: Tensor; readonly logDerivative: Tensor }) =>
      e.value.square().sub(e.logDerivative).sum();
    const results = await evaluate([
      forward.value,
      forward.logDerivative,
      inverse.value,
      inverse.logDerivative,
      ...grad(loss(forward), [x, parameters]),
      ...grad(loss(inverse), [x, parameters]),
    ]);
    const [y, log, back, backLog, dx, dp, dy, dq] = results.map(numbers);
    inputs.forEach((value, i) => {
      expect(Math.abs((y?.[i] ?? Number.NaN) - value)).toBeLessThan(1e-6 * Math.max(3, Math.abs(value)));
      expect(Math.abs((back?.[i] ?? Number.NaN) - value)).toBeLessThan(1e-6 * Math.max(3, Math.abs(value)));
      if (Math.abs(value) <= 3) return;
      expect(Math.abs(log?.[i] ?? Number.NaN)).toBe(0);
      expect(Math.abs(backLog?.[i] ?? Number.NaN)).toBe(0);
      expect(dx?.[i]).toBeCloseTo(2 * value, 2);
      expect(dy?.[i]).toBeCloseTo(2 * value, 2);
    });
    for (const value of [...(dp ?? []), ...(dq ?? [])]) expect(Number.isFinite(value)).toBe(true);
  });

  it("has finite gradients for parameters of ±20 and ±1000", async () => {
    const spline = new RationalQuadraticSpline({ bins: 8, bound: 3 });
    const random = new Random(8);
    const raws = Array.from({ length: 400 }, (_, i) =>
      Array.from({ length: 23 }, () => (random.integer(2) === 0 ? -1 : 1) * (i % 2 === 0 ? 20 : 1000)),
    );
    const [x, parameters] = tensors(
      raws.map(() => 6 * random.uniform() - 3),
      raws,
    );
    const forward = spline.forward(x, parameters);
    const inverse = spline.inverse(x, parameters);
    const results = await evaluate([
      forward.value,
      inverse.value,
      ...grad(forward.value.sub(forward.logDerivative).sum(), [x, parameters]),
      ...grad(inverse.value.sub(inverse.logDerivative).sum(), [x, parameters]),
    ]);
    expect(results.flatMap(numbers).every(Number.isFinite)).toBe(true);
  });

  it("does to the channels of maps what it does to rows", async () => {
    const spline = new RationalQuadraticSpline({ bins: 4, bound: 2 });
    const random = new Random(9);
    const [n, c, h, w] = [2, 3, 2, 2];
    const each = spline.parameterCount;
    const x = Array.from({ length: n * c * h * w }, () => 2 * random.normal());
    const parameters = Array.from({ length: n * c * each * h * w }, () => random.normal());
    const maps = spline.forward(
      constant(float32(x, [n, c, h, w])),
      constant(float32(parameters, [n, c * each, h, w])),
    );
    const rows = parameters.map((_, i) => {
      const [element, parameter] = [Math.floor(i / each), i % each];
      const [map, position] = [Math.floor(element / (h * w)), element % (h * w)];
      return parameters[(map * each + parameter) * h * w + position] ?? 0;
    });
    const flat = spline.forward(
      constant(float32(x, [x.length, 1])),
      constant(float32(rows, [x.length, each])),
    );
    const [a, b] = await evaluate([maps.value, flat.value]);
    expect(numbers(a)).toEqual(numbers(b));
    expect(a?.shape).toEqual([n, c, h, w]);
  });

  it("says which option is wrong", () => {
    expect(() => new RationalQuadraticSpline({ bins: 1, bound: 1 })).toThrow(OptionError);
    expect(() => new RationalQuadraticSpline({ bins: 8, bound: 0 })).toThrow(/bound/);
    expect(() => new RationalQuadraticSpline({ bins: 8, bound: 1, minimumBin: 0.2 })).toThrow(/minimumBin/);
  });
});

describe("circular spline", () => {
  const spline = new CircularSpline({ bins: 6 });
  const turns = 2 * Math.PI;

  function circular(points: readonly number[], seed: number, scale = 1): readonly [Tensor, Tensor] {
    const random = new Random(seed);
    const own = Array.from({ length: spline.parameterCount }, () => scale * random.normal());
    return tensors(
      points,
      points.map(() => own),
    );
  }

  it("is periodic and keeps to the circle", async () => {
    const points = Array.from({ length: 60 }, (_, i) => -3.1 + i / 10);
    const at = (shift: number) =>
      spline.forward(
        ...circular(
          points.map((x) => x + shift),
          2,
        ),
      );
    const [a, b, c] = [at(0), at(turns), at(-2 * turns)];
    const results = await evaluate([a.value, b.value, c.value, a.logDerivative, b.logDerivative]);
    const [own, next, before, log, nextLog] = results.map(numbers);
    points.forEach((_, i) => {
      const value = own?.[i] ?? Number.NaN;
      expect(Math.abs(value)).toBeLessThanOrEqual(3.1415928);
      for (const other of [next?.[i], before?.[i]]) {
        expect(Math.abs(Math.sin(((other ?? Number.NaN) - value) / 2))).toBeLessThan(1e-5);
      }
      expect(nextLog?.[i]).toBeCloseTo(log?.[i] ?? Number.NaN, 3);
    });
  });

  it("has no seam: value and derivative agree at both ends, and the derivative need not be 1", async () => {
    const { value, logDerivative } = spline.forward(...circular([-Math.PI + 1e-5, Math.PI - 1e-5], 4));
    const [y, log] = (await evaluate([value, logDerivative])).map(numbers);
    expect(Math.abs(Math.sin(((y?.[0] ?? Number.NaN) - (y?.[1] ?? Number.NaN)) / 2))).toBeLessThan(1e-4);
    expect(log?.[0]).toBeCloseTo(log?.[1] ?? Number.NaN, 2);
    expect(Math.abs(log?.[0] ?? 0)).toBeGreaterThan(0.05);
  });

  it("turns once around: the derivative integrates to 2π", async () => {
    const count = 20_000;
    const points = Array.from({ length: count }, (_, i) => -Math.PI + ((i + 0.5) * turns) / count);
    const [log] = await evaluate([spline.forward(...circular(points, 6)).logDerivative]);
    const total = numbers(log).reduce((sum, value) => sum + Math.exp(value), 0);
    expect((total * turns) / count).toBeCloseTo(turns, 3);
  });

  it("is undone by its inverse, and starts as the identity", async () => {
    const points = Array.from({ length: 200 }, (_, i) => -Math.PI + (i * turns) / 200);
    const [x, parameters] = circular(points, 7, 2);
    const forward = spline.forward(x, parameters);
    const back = spline.inverse(forward.value, parameters);
    const still = spline.forward(...circular(points, 7, 0));
    const results = await evaluate([back.value, forward.logDerivative, back.logDerivative, still.value]);
    const [preimage, log, inverseLog, same] = results.map(numbers);
    points.forEach((point, i) => {
      const slope = Math.exp(log?.[i] ?? Number.NaN);
      const distance = (other: number | undefined) =>
        Math.abs(2 * Math.sin(((other ?? Number.NaN) - point) / 2));
      expect(distance(preimage?.[i])).toBeLessThan(4e-6 * (1 + 1 / slope));
      expect(Math.abs((log?.[i] ?? Number.NaN) + (inverseLog?.[i] ?? Number.NaN))).toBeLessThan(0.02);
      expect(distance(same?.[i])).toBeLessThan(2e-6);
    });
  });
});
