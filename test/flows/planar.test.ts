import { describe, expect, it } from "vitest";
import { InverseError, OptionError } from "../../src/errors.ts";
import { Inverted, NumericalInverse, Planar, planar, planarOptions } from "../../src/flows/index.ts";
import { initialState, namedTensors, nameParameters } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, grad, input, stack, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

const row = (values: readonly number[]): Tensor => constant(float32(values, [1, values.length]));
const KAPPA = Math.log(Math.E - 1);

/** Puts values in the places of w, u and b. */
function filled(
  map: Planar,
  outputs: readonly Tensor[],
  { w, u, b = 0 }: { readonly w: readonly number[]; readonly u: readonly number[]; readonly b?: number },
): readonly Tensor[] {
  const places: [Tensor, Tensor][] = [
    [map.w, row(w)],
    [map.u, row(u)],
    [map.b, row([b])],
  ];
  return substitute(outputs, new Map(places));
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, value, i) => total + value * (b[i] ?? 0), 0);

/** The paper's û from its w and u, in float64, with ‖w‖ to some power in the denominator. */
function paperU(w: readonly number[], u: readonly number[], power: 1 | 2): readonly number[] {
  const a = dot(w, u);
  const m = -1 + Math.log1p(Math.exp(a));
  const factor = (m - a) / Math.sqrt(dot(w, w)) ** power;
  return u.map((value, i) => value + factor * (w[i] ?? 0));
}

/** The paper's u for the parameter u: κ w / ‖w‖² more. */
const paperParameter = (w: readonly number[], u: readonly number[]): readonly number[] =>
  u.map((value, i) => value + (KAPPA * (w[i] ?? 0)) / dot(w, w));

describe("the planar map", () => {
  it("is the paper's, worked by hand", async () => {
    const [w, u, b, z] = [[0.6, -1.1, 0.4], [-1.2, 0.3, 0.7], 0.25, [0.5, 1.5, -2]];
    const map = new Planar(3);
    const { y, logDet } = map.forward(row(z));
    const [values, change] = await evaluate(filled(map, [y, logDet], { w, u, b }));
    const constrained = paperU(w, paperParameter(w, u), 2);
    const t = Math.tanh(dot(w, z) + b);
    numbers(values).forEach((value, i) => {
      expect(value).toBeCloseTo((z[i] ?? 0) + (constrained[i] ?? 0) * t, 5);
    });
    expect(numbers(change)[0]).toBeCloseTo(Math.log(Math.abs(1 + (1 - t * t) * dot(w, constrained))), 5);
  });

  it("keeps wᵀû at −1 or above for any w and u, which dividing by ‖w‖ would not", async () => {
    const count = 200;
    let worstWithNorm = 0;
    const outputs: Tensor[] = [];
    const drawn: { w: readonly number[]; u: readonly number[] }[] = [];
    for (let k = 0; k < count; k++) {
      const scale = 10 ** (((k % 8) - 4) / 2);
      const w = Array.from(normals(k, [3], scale).data);
      const u = Array.from(normals(k + 1000, [3], 5).data);
      drawn.push({ w, u });
      const map = new Planar(3);
      outputs.push(...filled(map, [map.numbers().u], { w, u }));
      worstWithNorm = Math.min(worstWithNorm, dot(w, paperU(w, paperParameter(w, u), 1)));
    }
    const constrained = (await evaluate(outputs)).map(numbers);
    drawn.forEach(({ w }, k) => {
      // Of the size of float32's rounding of û.
      const rounding = 1e-6 * Math.sqrt(dot(w, w) * dot(constrained[k] ?? [], constrained[k] ?? []));
      expect(dot(w, constrained[k] ?? [])).toBeGreaterThanOrEqual(-1 - rounding);
    });
    expect(worstWithNorm).toBeLessThan(-1.5);
  });

  it("at ‖w‖ and not ‖w‖² is not one to one", () => {
    // w = (0.2, 0), u = (−20, 0): wᵀu = −4. With ‖w‖ two points have one image; with ‖w‖² the map rises everywhere.
    const [w, u] = [
      [0.2, 0],
      [-20, 0],
    ];
    const image = (power: 1 | 2) => (x: number) => x + (paperU(w, u, power)[0] ?? 0) * Math.tanh(0.2 * x);
    const rises = (f: (x: number) => number) =>
      Array.from({ length: 100 }, (_, i) => -5 + 0.1 * i).every((x) => f(x + 0.1) > f(x));
    expect(rises(image(1))).toBe(false);
    expect(rises(image(2))).toBe(true);
  });

  it("matches its Jacobian and is inverted by iteration, with and without a context", async () => {
    for (const contextSize of [0, 3]) {
      for (const seed of [1, 2, 3]) {
        const map = new NumericalInverse(new Planar(4, contextSize));
        const errors = await transformErrors(map, 4, { seed, contextSize, deviation: 1.5 });
        expect(errors.logDet).toBeLessThan(1e-4);
        expect(errors.inverse).toBeLessThan(1e-4);
        expect(errors.inverseLogDet).toBeLessThan(1e-3);
        expect(errors.change).toBeGreaterThan(0.1);
      }
    }
  });

  it("throws a typed error for the inverse and names what to use", () => {
    expect(() => new Planar(2).inverse()).toThrow(InverseError);
    expect(() => new Planar(2).inverse()).toThrow(/NumericalInverse/);
  });

  it("is the identity for u = 0, however small w is", async () => {
    const z = normals(1, [5, 2]);
    for (const size of [1, 1e-4, 1e-8, 0]) {
      const map = new Planar(2);
      const { y, logDet } = map.forward(constant(z));
      const [values, change] = await evaluate(filled(map, [y, logDet], { w: [size, 0], u: [0, 0], b: 1 }));
      numbers(values).forEach((value, i) => {
        expect(Math.abs(value - (z.data[i] ?? 0))).toBeLessThan(
          size === 0 ? 1e-12 : 2e-7 / Math.min(size, 1) + 1e-6,
        );
        expect(Number.isFinite(value)).toBe(true);
      });
      for (const value of numbers(change)) expect(Math.abs(value)).toBeLessThan(1e-5);
    }
  });

  // y at ±1e3, and wᵀû from 1e-6 above −1 to 300.
  const hard = [
    { name: "wᵀû near −1", w: [1, 0.5], u: [-16, -9], b: 0.3 },
    { name: "wᵀû at 0.2", w: [0.3, -2], u: [0.4, -0.1], b: -1 },
    { name: "wᵀû large", w: [10, -2], u: [30, 5], b: 2 },
    { name: "b large", w: [1, 1], u: [2, 1], b: 500 },
  ];
  it.each(hard)("is inverted to float32 anywhere: $name", async ({ w, u, b }) => {
    // Rounding errors of x are stretched by the map, by up to 1 + ‖û‖‖w‖.
    const tolerance = 5e-7 * (5 + Math.sqrt(dot(w, w) * dot(u, u)));
    const map = new Planar(2);
    const points = [0, 0, 1e-3, -1e-3, 0.5, -2, 3, 4, 1e3, -1e3, -1e3, -1e3, 1e3, 0, -0.4, 0.2];
    const y = input("y", [8, 2]);
    const { x, logDet } = map.numericalInverse(y);
    const again = map.forward(x);
    const [gradient] = grad(logDet.sum().add(x.sum()), [y]);
    const feeds = new Map([[y, float32(points, [8, 2])]]);
    const outputs = filled(map, [again.y, again.logDet, logDet, gradient], { w, u, b });
    const [back, forward, inverse, slope] = (await evaluate(outputs, feeds)).map(numbers);
    back?.forEach((value, i) => {
      expect(Math.abs(value - (points[i] ?? 0))).toBeLessThan(
        tolerance * Math.max(1, Math.abs(points[i] ?? 0)),
      );
    });
    inverse?.forEach((value, i) => {
      expect(Math.abs(value + (forward?.[i] ?? Number.NaN))).toBeLessThan(1e-3);
    });
    for (const value of [...(inverse ?? []), ...(slope ?? [])]) expect(Number.isFinite(value)).toBe(true);
  });

  it("has gradients through the root that finite differences confirm, for parameters and input", async () => {
    const map = nameParameters(new Planar(2));
    const y = constant(float32([0.3, -0.8, 1.5, 0.2, -2, 1], [3, 2]));
    const { x, logDet } = map.numericalInverse(y);
    const total = x.square().sum().add(logDet.sum());
    const leaves = [map.w, map.u, map.b];
    const start = [[0.9, -0.7], [-0.8, 0.6], [0.4]];
    const at = (values: readonly (readonly number[])[], outputs: readonly Tensor[]) =>
      evaluate(substitute(outputs, new Map(leaves.map((leaf, i) => [leaf as Tensor, row(values[i] ?? [])]))));
    const gradients = (await at(start, grad(total, leaves))).map(numbers);
    for (const [i, values] of start.entries()) {
      for (const k of values.keys()) {
        const moved = async (step: number) => {
          const changed = start.map((list, j) => list.map((v, l) => (i === j && l === k ? v + step : v)));
          return numbers((await at(changed, [total]))[0])[0] ?? Number.NaN;
        };
        const difference = ((await moved(0.01)) - (await moved(-0.01))) / 0.02;
        expect(Math.abs((gradients[i]?.[k] ?? Number.NaN) - difference)).toBeLessThan(
          0.01 * (1 + Math.abs(difference)),
        );
      }
    }
  });
});

describe("the planar flow", () => {
  const grid = (side: number, extent: number) => {
    const data = new Float32Array(2 * side * side);
    const step = (2 * extent) / side;
    for (let i = 0; i < side * side; i++) {
      data.set(
        [(i % side) * step - extent + step / 2, Math.floor(i / side) * step - extent + step / 2],
        2 * i,
      );
    }
    return { x: constant(float32(data, [side * side, 2])), area: step * step };
  };

  it.each(["maximum-likelihood", "reverse-kl"] as const)("integrates to 1: %s", async (objective) => {
    const data = { kind: "points", sampleShape: [2], energy: "energy-u2" } as const;
    const model = planar({ layers: 4, objective }, data);
    const { x, area } = grid(300, 15);
    const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 5, 0.7));
    const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0) * area;
    expect(Math.abs(total - 1)).toBeLessThan(0.005);
  });

  it("decodes what it encodes, both ways round", async () => {
    for (const objective of ["maximum-likelihood", "reverse-kl"] as const) {
      const data = { kind: "points", sampleShape: [2], energy: "energy-u1" } as const;
      const model = planar({ layers: 6, objective }, data);
      const x = normals(3, [20, 2], 2);
      const z = model.encode(constant(x));
      const [back] = await evaluate(withRandomParameters(model, [model.decode(z)], 7));
      numbers(back).forEach((value, i) => {
        expect(Math.abs(value - (x.data[i] ?? 0))).toBeLessThan(1e-3);
      });
    }
  });

  it("begins near the identity, with a map for each layer", async () => {
    const model = nameParameters(planar({}, { kind: "table", sampleShape: [5] }));
    expect(model.transforms).toHaveLength(32);
    const x = normals(4, [10, 5]);
    const weights = initialState(model, 0);
    const values = new Map<Tensor, Tensor>(
      [...namedTensors(model)].map(([name, leaf]) => [
        leaf,
        constant(weights.get(name) ?? float32([0], [1])),
      ]),
    );
    const [z] = await evaluate(substitute([model.encode(constant(x))], values));
    const change = numbers(z).map((value, i) => Math.abs(value - (x.data[i] ?? 0)));
    expect(Math.max(...change)).toBeLessThan(0.5);
  });

  it("takes classes and given columns as context", async () => {
    const model = planar(
      { layers: 2, conditional: true, given: ["a"] },
      {
        kind: "table",
        sampleShape: [3],
        classes: 2,
        columns: ["a", "b", "c"].map((name) => ({ name, size: 1 })),
      },
    );
    const x = constant(normals(5, [4, 3]));
    const label = (value: bigint) =>
      ({ dtype: "int64", shape: [4], data: new BigInt64Array(4).fill(value) }) as const;
    const both = stack([model.logProb(x, constant(label(0n))), model.logProb(x, constant(label(1n)))]);
    const [values] = (await evaluate(withRandomParameters(model, [both], 2))).map(numbers);
    for (let i = 0; i < 4; i++) {
      expect(Math.abs((values?.[i] ?? 0) - (values?.[4 + i] ?? 0))).toBeGreaterThan(1e-3);
    }
  });

  it("by reverse-kl needs an energy, and its maps lead the other way", () => {
    const reverse = planarOptions.parse({ objective: "reverse-kl" });
    expect(() => planar(reverse, { kind: "points", sampleShape: [2] })).toThrow(OptionError);
    expect(() => planar(reverse, { kind: "points", sampleShape: [2] })).toThrow(/energy-u1, .*energy-u4/);
    const { transforms } = planar(reverse, { kind: "points", sampleShape: [2], energy: "energy-u3" });
    for (const transform of transforms) expect(transform).toBeInstanceOf(Inverted);
  });
});
