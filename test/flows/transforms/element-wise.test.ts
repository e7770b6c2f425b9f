import { describe, expect, it } from "vitest";
import { OptionError } from "../../../src/errors.ts";
import type { Transform } from "../../../src/flows/index.ts";
import {
  AffineBijection,
  Composition,
  ElementwiseAffine,
  ElementwiseBijection,
  ExpTransform,
  FixedAffine,
  LeakyReluTransform,
  LogitTransform,
  LogTransform,
  SigmoidTransform,
  SoftplusTransform,
  TanhTransform,
} from "../../../src/flows/transforms/index.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, float32, grad, input } from "../../../src/tensor/index.ts";
import { numbers } from "../../support.ts";
import { normals, transformErrors, withRandomParameters } from "../check-transform.ts";

// Each maps all reals, so that normal test points will do; those with other domains come behind one that leads there.
const cases: readonly (readonly [string, Transform])[] = [
  ["sigmoid", new SigmoidTransform()],
  ["logit", new Composition([new SigmoidTransform(), new LogitTransform()])],
  ["tanh", new TanhTransform()],
  ["softplus", new SoftplusTransform()],
  ["exponential", new ExpTransform()],
  ["logarithm", new Composition([new SoftplusTransform(), new LogTransform()])],
  ["leaky ReLU", new LeakyReluTransform(0.3)],
  ["fixed affine", new FixedAffine([2, -0.5, 3], [1, 2, 3])],
  ["learned affine", new ElementwiseAffine(3)],
  ["learned bijection", new ElementwiseBijection(3, new AffineBijection())],
];

/** Outputs at single numbers, as rows of one component. */
async function at(transform: Transform, points: readonly number[], way: "forward" | "inverse") {
  const x = input("x", [points.length, 1]);
  const { logDet, ...rest } = way === "forward" ? transform.forward(x) : transform.inverse(x);
  const value = "y" in rest ? rest.y : rest.x;
  const slope = grad(value.add(logDet.unsqueeze(1)).sum(), [x])[0];
  const outputs = withRandomParameters(transform, [value, logDet, slope], 1);
  const found = await evaluate(outputs, new Map([[x, float32(points, [points.length, 1])]]));
  const [values, logDets, slopes] = found.map(numbers);
  return { values: values ?? [], logDets: logDets ?? [], slopes: slopes ?? [] };
}

describe("element-wise transforms", () => {
  for (const [name, transform] of cases) {
    it(`${name}: log-determinant and inverse`, async () => {
      const errors = await transformErrors(transform, 3);
      expect(errors.logDet).toBeLessThan(1e-4);
      expect(errors.inverse).toBeLessThan(1e-4);
      expect(errors.inverseLogDet).toBeLessThan(1e-4);
      expect(errors.change).toBeGreaterThan(0.05);
    });
  }

  for (const [name, transform] of [
    ["sigmoid", new SigmoidTransform()],
    ["logit", new LogitTransform()],
    ["logit without margin", new LogitTransform(0)],
    ["tanh", new TanhTransform()],
    ["softplus", new SoftplusTransform()],
    ["exponential", new ExpTransform()],
    ["logarithm", new LogTransform()],
    ["leaky ReLU", new LeakyReluTransform()],
    ["learned affine", new ElementwiseAffine(1)],
  ] as const) {
    it(`${name}: finite with finite gradients far out, at edges and beyond its domain`, async () => {
      for (const way of ["forward", "inverse"] as const) {
        const points = [-1e3, -90, -1, -1e-8, 0, 1e-8, 1, 1 + 1e-6, 90, 1e3];
        const { values, logDets, slopes } = await at(transform, points, way);
        expect(
          [...values, ...logDets, ...slopes].every(Number.isFinite),
          `${values} ${logDets} ${slopes}`,
        ).toBe(true);
      }
    });
  }

  it("logit: hand-worked values of RealNVP section 4.1, with the scaling in the determinant", async () => {
    const { values, logDets } = await at(new LogitTransform(0.05), [0, 0.25, 0.5, 1], "forward");
    [0.05, 0.275, 0.5, 0.95].forEach((u, i) => {
      expect(values[i]).toBeCloseTo(Math.log(u / (1 - u)), 5);
      expect(logDets[i]).toBeCloseTo(Math.log(0.9 / (u * (1 - u))), 5);
    });
    const back = await at(new LogitTransform(0.05), values, "inverse");
    [0, 0.25, 0.5, 1].forEach((x, i) => {
      expect(back.values[i]).toBeCloseTo(x, 6);
    });
  });

  it("log-derivatives stay exact in the tails, where the derivatives vanish in float32", async () => {
    const points = [-200, -20, 20, 200];
    const sigmoid = await at(new SigmoidTransform(), points, "forward");
    const tanh = await at(new TanhTransform(), points, "forward");
    points.forEach((x, i) => {
      expect((sigmoid.logDets[i] ?? 0) / -Math.abs(x)).toBeCloseTo(1, 6);
      expect((tanh.logDets[i] ?? 0) / (2 * Math.LN2 - 2 * Math.abs(x))).toBeCloseTo(1, 6);
    });
    const softplus = await at(new SoftplusTransform(), [-80, -20, 0, 15, 30], "forward");
    [-80, -20, 0, 15, 30].forEach((x, i) => {
      expect((softplus.values[i] ?? 0) / (Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))))).toBeCloseTo(
        1,
        6,
      );
    });
    const back = await at(new SoftplusTransform(), softplus.values, "inverse");
    [-80, -20, 0, 15, 30].forEach((x, i) => {
      expect(back.values[i]).toBeCloseTo(x, 4);
    });
  });

  it("images: determinants count every place, and affine maps go along channels", async () => {
    const x = constant(normals(3, [2, 2, 3, 4]));
    const fixed = new FixedAffine([2, 4], [1, -1]).forward(x);
    const affine = new ElementwiseAffine(2);
    const learned = affine.forward(x);
    const general = new ElementwiseBijection(2, new AffineBijection(5));
    const back = affine.inverse(learned.y);
    const bijection = general.forward(x);
    const [points, y, logDet, learnedY, learnedLogDet, preimage] = (
      await evaluate(
        withRandomParameters(affine, [x, fixed.y, fixed.logDet, learned.y, learned.logDet, back.x], 7),
      )
    ).map(numbers);
    points?.forEach((value, i) => {
      const channel = Math.floor(i / 12) % 2;
      expect(y?.[i]).toBeCloseTo(channel === 0 ? 2 * value + 1 : 4 * value - 1, 4);
      expect(preimage?.[i]).toBeCloseTo(value, 4);
    });
    for (const value of logDet ?? []) expect(value).toBeCloseTo(12 * Math.log(8), 4);
    // The map is the same at all places of a channel: its slope there, between two places, gives the determinant.
    const slope = (channel: number): number => {
      const [a, b] = [channel * 12, channel * 12 + 1];
      return ((learnedY?.[a] ?? 0) - (learnedY?.[b] ?? 0)) / ((points?.[a] ?? 0) - (points?.[b] ?? 0));
    };
    for (const value of learnedLogDet ?? []) {
      expect(value).toBeCloseTo(12 * (Math.log(slope(0)) + Math.log(slope(1))), 3);
    }
    // The same parameters through the general form: scales of both channels first, then shifts.
    const [parameters] = (await evaluate(withRandomParameters(general, [general.parameters], 7))).map(
      numbers,
    );
    const [values, sums] = (
      await evaluate(withRandomParameters(general, [bijection.y, bijection.logDet], 7))
    ).map(numbers);
    const bounded = (raw: number): number => 5 * Math.tanh(raw / 5);
    const [s0 = 0, s1 = 0, t0 = 0] = parameters ?? [];
    expect(values?.[0]).toBeCloseTo((points?.[0] ?? 0) * Math.exp(bounded(s0)) + t0, 4);
    for (const value of sums ?? []) expect(value).toBeCloseTo(12 * (bounded(s0) + bounded(s1)), 3);
  });

  it("a context moves scale and shift of each row", async () => {
    for (const transform of [
      new ElementwiseAffine(2, 3),
      new ElementwiseBijection(2, new AffineBijection(), 3),
    ]) {
      const x = constant(float32([1, 2, 1, 2], [2, 2]));
      const context = constant(float32([1, 0, 0, 0, 1, 0], [2, 3]));
      const { y, logDet } = transform.forward(x, context);
      const { x: back } = transform.inverse(y, context);
      const [values, changes, preimage] = (
        await evaluate(withRandomParameters(transform, [y, logDet, back], 5))
      ).map(numbers);
      expect(values?.[0]).not.toBeCloseTo(values?.[2] ?? 0, 2);
      expect(changes?.[0]).not.toBeCloseTo(changes?.[1] ?? 0, 2);
      [1, 2, 1, 2].forEach((value, i) => {
        expect(preimage?.[i]).toBeCloseTo(value, 4);
      });
    }
  });

  it("refuses options that make no bijection", () => {
    expect(() => new LogitTransform(0.5)).toThrow(OptionError);
    expect(() => new LeakyReluTransform(0)).toThrow(OptionError);
    expect(() => new FixedAffine([1, 0], [0, 0])).toThrow(OptionError);
    expect(() => new FixedAffine([1], [0, 0])).toThrow(OptionError);
  });
});
