import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import { Radial, radial, radialOptions } from "../../src/flows/index.ts";
import { evaluate } from "../../src/program/node.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, grad, input, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

const row = (values: readonly number[]): Tensor => constant(float32(values, [1, values.length]));
const softplus = (x: number): number => Math.log1p(Math.exp(x));

/** Puts values in the places of z₀, a and β. */
function filled(
  map: Radial,
  outputs: readonly Tensor[],
  { center, a, beta }: { readonly center: readonly number[]; readonly a: number; readonly beta: number },
): readonly Tensor[] {
  const places: [Tensor, Tensor][] = [
    [map.centre, row(center)],
    [map.alpha, row([a])],
    [map.beta, row([beta])],
  ];
  return substitute(outputs, new Map(places));
}

describe("the radial map", () => {
  it("is the paper's, worked by hand", async () => {
    const [center, a, beta, z] = [[0.5, -1, 0.2], 0.4, -1.3, [1.5, 0.3, -0.6]];
    const map = new Radial(3);
    const { y, logDet } = map.forward(row(z));
    const [values, change] = await evaluate(filled(map, [y, logDet], { center, a, beta }));
    const alpha = softplus(a);
    const betaHat = -alpha + softplus(beta);
    const r = Math.hypot(...z.map((value, i) => value - (center[i] ?? 0)));
    const h = 1 / (alpha + r);
    const slope = -1 / (alpha + r) ** 2;
    numbers(values).forEach((value, i) => {
      expect(value).toBeCloseTo((z[i] ?? 0) + betaHat * h * ((z[i] ?? 0) - (center[i] ?? 0)), 5);
    });
    // Equation 14 of the paper in d = 3 dimensions.
    const expected = 2 * Math.log(1 + betaHat * h) + Math.log(1 + betaHat * h + betaHat * slope * r);
    expect(numbers(change)[0]).toBeCloseTo(expected, 5);
  });

  it.each([1, 2, 5])("matches its Jacobian and its analytic inverse in %d dimensions", async (dimensions) => {
    for (const contextSize of [0, 3]) {
      for (const seed of [1, 2, 3]) {
        const map = new Radial(dimensions, contextSize);
        const errors = await transformErrors(map, dimensions, { seed, contextSize, deviation: 1.5 });
        expect(errors.logDet).toBeLessThan(1e-4);
        expect(errors.inverse).toBeLessThan(1e-4);
        expect(errors.inverseLogDet).toBeLessThan(1e-4);
        expect(errors.change).toBeGreaterThan(1e-3);
      }
    }
  });

  it.each([
    { name: "a collapse", a: 3, beta: -12 },
    { name: "an explosion", a: -6, beta: 8 },
    { name: "neither", a: 0.5, beta: 0.6 },
  ])("is inverted with finite gradients anywhere: $name", async ({ a, beta }) => {
    const map = new Radial(2);
    const center = [0.5, -0.25];
    const points = [0.5, -0.25, 0.5001, -0.25, 0, 0, 1, 2, -3, 1, 1e3, -1e3, -1e3, -1e3, 1e3, 0];
    const y = input("y", [8, 2]);
    const { x, logDet } = map.inverse(y);
    const again = map.forward(x);
    const forward = map.forward(y);
    const gradients = [
      ...grad(logDet.sum().add(x.sum()), [y]),
      ...grad(forward.logDet.sum().add(forward.y.sum()), [y]),
    ];
    const outputs = filled(map, [again.y, again.logDet, logDet, ...gradients], { center, a, beta });
    const values = (await evaluate(outputs, new Map([[y, float32(points, [8, 2])]]))).map(numbers);
    values[0]?.forEach((value, i) => {
      // Rounding errors of x are stretched by up to (α + β̂) / α.
      const stretch = Math.max(1, softplus(beta) / softplus(a));
      const tolerance = 1e-6 * (5 + stretch) * Math.max(1, Math.abs(points[i] ?? 0));
      expect(Math.abs(value - (points[i] ?? 0))).toBeLessThan(tolerance);
    });
    // At the center itself the distance is rounded up to 1e-6.
    values[2]?.slice(1).forEach((value, i) => {
      expect(Math.abs(value + (values[1]?.[i + 1] ?? Number.NaN))).toBeLessThan(5e-3);
    });
    for (const value of values.flat()) expect(Number.isFinite(value)).toBe(true);
  });
});

describe("the radial flow", () => {
  it.each(["maximum-likelihood", "reverse-kl"] as const)("integrates to 1: %s", async (objective) => {
    const data = { kind: "points", sampleShape: [2], energy: "energy-u2" } as const;
    const model = radial({ layers: 4, objective }, data);
    const [side, extent] = [300, 15];
    const step = (2 * extent) / side;
    const points = new Float32Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      points.set(
        [(i % side) * step - extent + step / 2, Math.floor(i / side) * step - extent + step / 2],
        2 * i,
      );
    }
    const x = constant(float32(points, [side * side, 2]));
    const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 5, 0.7));
    const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0) * step * step;
    expect(Math.abs(total - 1)).toBeLessThan(0.005);
  });

  it("decodes what it encodes, both ways round, and has no energy unless the data has", async () => {
    for (const objective of ["maximum-likelihood", "reverse-kl"] as const) {
      const data = { kind: "points", sampleShape: [2], energy: "energy-u1" } as const;
      const model = radial({ layers: 6, objective }, data);
      const x = normals(3, [20, 2], 2);
      const [back] = await evaluate(
        withRandomParameters(model, [model.decode(model.encode(constant(x)))], 7),
      );
      numbers(back).forEach((value, i) => {
        expect(Math.abs(value - (x.data[i] ?? 0))).toBeLessThan(1e-3);
      });
    }
    const reverse = radialOptions.parse({ objective: "reverse-kl" });
    expect(() => radial(reverse, { kind: "points", sampleShape: [2] })).toThrow(OptionError);
  });
});
