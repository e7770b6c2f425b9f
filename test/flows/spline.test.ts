import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import {
  Composition,
  Coupling,
  gaussian,
  MaskedAutoregressive,
  RationalQuadraticSpline,
  ReluNetwork,
  splineFlow,
  splineFlowOptions,
} from "../../src/flows/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate } from "../../src/program/node.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, grad, type Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

interface Layer {
  readonly weight: readonly number[];
  readonly bias: readonly number[];
}

interface Fixture {
  readonly bins: number;
  readonly bound: number;
  readonly cases: readonly {
    readonly kind: "coupling" | "autoregressive";
    readonly features: number;
    readonly context: number;
    readonly hidden: readonly number[];
    readonly blocks: readonly (readonly Layer[])[];
    readonly x: readonly number[];
    readonly z: readonly number[];
    readonly c: readonly number[];
    readonly logProb: readonly number[];
    readonly code: readonly number[];
    readonly sample: readonly number[];
  }[];
}

const fixture = JSON.parse(
  await readFile(new URL("../fixtures/flows/spline.json", import.meta.url), "utf8"),
) as Fixture;

const upTo = (count: number, start = 0): number[] => Array.from({ length: count }, (_, i) => start + i);

/** Collects the values of parameters, taken from rows and columns of a matrix that is written row by row. */
class Replacements {
  readonly values = new Map<Tensor, Tensor>();

  put(
    to: Tensor | undefined,
    flat: readonly number[],
    width: number,
    rows: readonly number[],
    columns: readonly number[],
  ) {
    if (to === undefined) return;
    const picked = rows.flatMap((row) => columns.map((column) => flat[row * width + column] ?? Number.NaN));
    this.values.set(to, constant(float32(picked, to.shape.map(Number))));
  }
}

type Case = Fixture["cases"][number];

function couplings({ features, context, hidden, blocks }: Case, replacements: Replacements): Coupling[] {
  const spline = new RationalQuadraticSpline(fixture);
  const halves = [Math.ceil(features / 2), Math.floor(features / 2)] as const;
  return blocks.map((layers, block) => {
    const [from, to] = block % 2 === 0 ? halves : [halves[1], halves[0]];
    const sizes = [from, ...hidden, to * spline.parameterCount];
    const network = new ReluNetwork(sizes, context);
    layers.forEach(({ weight, bias }, l) => {
      const own = network.layers[l];
      const [inputs = 0, outputs = 0] = [sizes[l], sizes[l + 1]];
      const width = l === 0 ? inputs + context : inputs;
      replacements.put(own?.weight, weight, width, upTo(outputs), upTo(inputs));
      replacements.put(own?.bias, bias, 1, upTo(outputs), [0]);
      if (l === 0)
        replacements.put(network.context?.weight, weight, width, upTo(outputs), upTo(context, inputs));
    });
    return new Coupling(halves, block % 2 === 0 ? "second" : "first", spline, network);
  });
}

function autoregressive(told: Case, replacements: Replacements): MaskedAutoregressive[] {
  const { features, context, hidden, blocks } = told;
  const spline = new RationalQuadraticSpline(fixture);
  const degrees = features - (context > 0 ? 0 : 1);
  // zuko's hidden units have the degrees in turn, ours are sorted by them.
  const [first = [], second = []] = hidden.map((width) =>
    upTo(width).sort((a, b) => (a % degrees) - (b % degrees) || a - b),
  );
  return blocks.map(([l0, l1, l2], block) => {
    const order = block % 2 === 0 ? upTo(features) : upTo(features).toReversed();
    const transform = new MaskedAutoregressive(features, spline, { hidden, order, contextSize: context });
    const { network } = transform;
    if (!l0 || !l1 || !l2) throw new Error("the fixture has three layers a block");
    const inputs = features + context;
    const outputs = upTo(features * spline.parameterCount);
    replacements.put(network.input.weight, l0.weight, inputs, first, upTo(features));
    replacements.put(network.context?.weight, l0.weight, inputs, first, upTo(context, features));
    replacements.put(network.hidden[0]?.weight, l1.weight, first.length, second, first);
    replacements.put(network.output.weight, l2.weight, second.length, outputs, second);
    replacements.put(network.input.bias, l0.bias, 1, first, [0]);
    replacements.put(network.hidden[0]?.bias, l1.bias, 1, second, [0]);
    replacements.put(network.output.bias, l2.bias, 1, outputs, [0]);
    return transform;
  });
}

describe("splines of nflows in flows of zuko", () => {
  it.each(fixture.cases)(
    "with the same weights, $kind with a context of $context: the same densities, codes and samples",
    async (told) => {
      const replacements = new Replacements();
      const parts =
        told.kind === "coupling" ? couplings(told, replacements) : autoregressive(told, replacements);
      const flow = new Composition(parts);
      const row = (values: readonly number[], width: number) => constant(float32(values, [12, width]));
      const context = told.context === 0 ? undefined : row(told.c, told.context);
      const { y, logDet } = flow.forward(row(told.x, told.features), context);
      const { x } = flow.inverse(row(told.z, told.features), context);
      const outputs = [gaussian.logProb(y).add(logDet), y, x];
      const results = await evaluate(substitute(outputs, replacements.values));
      for (const [i, expected] of [told.logProb, told.code, told.sample].entries()) {
        expect(results[i]?.data).toHaveLength(expected.length);
        numbers(results[i]).forEach((value, k) => {
          const other = expected[k] ?? Number.NaN;
          expect(Math.abs(value - other)).toBeLessThan(1e-4 * Math.max(1, Math.abs(other)));
        });
      }
    },
  );
});

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };
const table = (columns: number): DataInfo => ({ kind: "table", sampleShape: [columns] });
const SMALL = { transforms: 3, width: 16, bins: 5 };

describe("spline-flow", () => {
  it.each([
    { kind: "coupling" },
    { kind: "autoregressive" },
    { kind: "coupling", mixing: "permutation" },
    { kind: "autoregressive", mixing: "none" },
  ] as const)("$kind $mixing: Jacobian and inverse in five dimensions", async (options) => {
    const model = splineFlow({ ...SMALL, ...options }, table(5));
    const errors = await transformErrors(new Composition(model.transforms), 5, {
      seed: 3,
      deviation: 0.2,
    });
    expect(errors.logDet).toBeLessThan(2e-3);
    expect(errors.inverse).toBeLessThan(2e-3);
    expect(errors.inverseLogDet).toBeLessThan(2e-3);
    expect(errors.change).toBeGreaterThan(0.1);
  });

  it.each(["coupling", "autoregressive"] as const)("%s: integrates to 1 in the plane", async (kind) => {
    const [side, step] = [301, 0.06];
    const grid = new Float32Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      grid[2 * i] = (Math.floor(i / side) - (side - 1) / 2) * step;
      grid[2 * i + 1] = ((i % side) - (side - 1) / 2) * step;
    }
    const model = splineFlow({ ...SMALL, kind }, POINTS);
    const x = constant(float32(grid, [side * side, 2]));
    const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 5, 0.3));
    const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0) * step * step;
    expect(total).toBeGreaterThan(0.99);
    expect(total).toBeLessThan(1.01);
  });

  it("of angles integrates to 1 over the torus, and has no seam", async () => {
    const side = 300;
    const step = (2 * Math.PI) / side;
    const grid = new Float32Array(2 * side * side);
    for (let i = 0; i < side * side; i++) {
      grid[2 * i] = -Math.PI + (Math.floor(i / side) + 0.5) * step;
      grid[2 * i + 1] = -Math.PI + ((i % side) + 0.5) * step;
    }
    const model = splineFlow({ ...SMALL, circular: true }, POINTS);
    const x = constant(float32(grid, [side * side, 2]));
    const seam = [0.3, 1.2, -2].flatMap((a) =>
      [-Math.PI + 1e-4, Math.PI - 1e-4].flatMap((b) => [
        [a, b],
        [b, a],
      ]),
    );
    const ends = constant(float32(seam.flat(), [seam.length, 2]));
    const z = constant(normals(4, [50, 2]));
    const code = model.encode(model.decode(z));
    const outputs = [model.logProb(x), model.logProb(ends), code];
    const results = await evaluate(withRandomParameters(model, outputs, 9, 0.3));
    const [all = [], edges = [], again = []] = results.map(numbers);
    const total = all.reduce((sum, value) => sum + Math.exp(value), 0) * step * step;
    expect(total).toBeGreaterThan(0.99);
    expect(total).toBeLessThan(1.01);
    expect(Math.max(...all) - Math.min(...all)).toBeGreaterThan(1);
    for (let i = 0; i < edges.length; i += 4) {
      expect(edges[i]).toBeCloseTo(edges[i + 2] ?? Number.NaN, 1);
      expect(edges[i + 1]).toBeCloseTo(edges[i + 3] ?? Number.NaN, 1);
    }
    again.forEach((value, i) => {
      expect(Math.abs(2 * Math.sin((value - (normals(4, [50, 2]).data[i] ?? 0)) / 2))).toBeLessThan(1e-3);
    });
  });

  it.each(["coupling", "autoregressive"] as const)("%s: survives inputs far in the tails", async (kind) => {
    const model = nameParameters(splineFlow({ ...SMALL, kind }, table(4)));
    const far = [1e3, -1e3, 500, -20, -1e3, -1e3, -1e3, -1e3];
    const x = constant(float32(far, [2, 4]));
    const logProb = model.logProb(x);
    const gradients = grad(logProb.mean(), parametersOf(model));
    const results = await evaluate(
      withRandomParameters(model, [logProb, model.encode(x), ...gradients], 7, 0.3),
    );
    for (const value of results.flatMap(numbers)) expect(Number.isFinite(value)).toBe(true);
  });

  it("is conditional on classes and on columns", async () => {
    const data: DataInfo = {
      kind: "table",
      sampleShape: [3],
      classes: 2,
      columns: ["a", "b", "c"].map((name) => ({ name, size: 1 })),
    };
    for (const kind of ["coupling", "autoregressive"]) {
      const options = splineFlowOptions.parse({ ...SMALL, kind, conditional: true, given: ["b"] });
      const model = splineFlow(options, data);
      const x = constant(float32([0.1, 0.2, 0.3, 0.1, 1.2, 0.3, 0.1, 0.2, 0.3], [3, 3]));
      const label = constant({ dtype: "int64", shape: [3], data: BigInt64Array.from([0n, 0n, 1n]) });
      const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x, label)], 2, 0.5));
      const [own = 0, otherColumn = 0, otherClass = 0] = numbers(logProb);
      expect(Math.abs(own - otherColumn)).toBeGreaterThan(1e-3);
      expect(Math.abs(own - otherClass)).toBeGreaterThan(1e-3);
    }
  });

  it("takes single columns and single angles", async () => {
    for (const circular of [false, true]) {
      const model = splineFlow({ ...SMALL, circular }, table(1));
      const count = 2000;
      const width = circular ? 2 * Math.PI : 30;
      const x = Array.from({ length: count }, (_, i) => ((i + 0.5) / count - 0.5) * width);
      const outputs = [model.logProb(constant(float32(x, [count, 1])))];
      const [logProb] = await evaluate(withRandomParameters(model, outputs, 3, 0.5));
      const total = numbers(logProb).reduce((sum, value) => sum + (Math.exp(value) * width) / count, 0);
      expect(total).toBeGreaterThan(0.99);
      expect(total).toBeLessThan(1.01);
    }
  });

  it("takes angles out of the standardized columns of a table", async () => {
    const columns = [
      { name: "phi", size: 1, mean: 0.5, deviation: 1.5 },
      { name: "psi", size: 1, mean: -1, deviation: 0.8 },
    ];
    const data: DataInfo = { kind: "table", sampleShape: [2], columns };
    const options = splineFlowOptions.parse({ ...SMALL, circular: true });
    const standardized = (phi: number, psi: number) => [(phi - 0.5) / 1.5, (psi + 1) / 0.8];
    const x = constant(float32([standardized(1, 3.1), standardized(1, 3.1 - 2 * Math.PI)].flat(), [2, 2]));
    const points = splineFlow(options, POINTS);
    const y = constant(float32([1, 3.1], [1, 2]));
    const model = splineFlow(options, data);
    const [logProb] = await evaluate(withRandomParameters(model, [model.logProb(x)], 6, 0.3));
    const [angles] = await evaluate(withRandomParameters(points, [points.logProb(y)], 6, 0.3));
    const [here = Number.NaN, around = Number.NaN] = numbers(logProb);
    expect(here).toBeCloseTo(around, 4);
    expect(here).toBeCloseTo((numbers(angles)[0] ?? Number.NaN) + Math.log(1.5 * 0.8), 4);
  });

  it("says which options contradict each other", () => {
    const make = (options: object) => () => splineFlow(options, table(3));
    expect(make({ circular: true, kind: "autoregressive" })).toThrow(OptionError);
    expect(make({ circular: true, mixing: "linear" })).toThrow(/mixing/);
    expect(make({ circular: true, base: "logistic" })).toThrow(/base/);
  });
});
