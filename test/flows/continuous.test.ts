import { beforeAll, describe, expect, it } from "vitest";
import { OptionError, SolverError } from "../../src/errors.ts";
import { type ContinuousFlow, continuousFlow, continuousFlowOptions } from "../../src/flows/index.ts";
import {
  ConcatSquashField,
  type ContinuousOptions,
  ContinuousTransform,
  type VelocityField,
} from "../../src/flows/transforms/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { namedTensors, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { compile, Session, type State } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { reachableNodes } from "../../src/tensor/graph.ts";
import { matmul, traceTraining } from "../../src/tensor/index.operations.ts";
import {
  constant,
  float32,
  grad,
  input,
  int64,
  jacobian,
  linear,
  type NdArray,
  stack,
  type Tensor,
} from "../../src/tensor/index.ts";
import { fittedOrder } from "../ode/fitted-order.ts";
import { numbers } from "../support.ts";
import { normals, withRandomParameters } from "./check-transform.ts";

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const differences = (a: NdArray | undefined, b: NdArray | undefined): number[] => {
  const [left, right] = [numbers(a), numbers(b)];
  expect(left.length).toBe(right.length);
  expect(left.length).toBeGreaterThan(0);
  return left.map((value, i) => value - (right[i] ?? Number.NaN));
};

const transformOf = (field: VelocityField, options: Partial<ContinuousOptions> = {}): ContinuousTransform =>
  new ContinuousTransform(field, { solver: "rk4", steps: 8, trace: "auto", probe: "rademacher", ...options });

const fieldOf = (
  dimensions: number,
  hidden: readonly number[],
  activation: "tanh" | "softplus" | "silu" = "tanh",
  contextSize = 0,
  timeFeatures = 3,
): ConcatSquashField => new ConcatSquashField({ dimensions, hidden, contextSize, activation, timeFeatures });

/** Runs a graph with random leaves once. */
async function drawn(outputs: readonly Tensor[], seed: number): Promise<NdArray[]> {
  const names = outputs.map((_, i) => `output ${i}`);
  const compiled = compile([], () => Object.fromEntries(outputs.map((output, i) => [names[i], output])), {
    runtime: await nodeRuntime(),
  });
  const results: Readonly<Record<string, NdArray>> = await compiled.run({}, { random: new Random(seed) });
  return names.flatMap((name) => results[name] ?? []);
}

/** Random values of all parameters of a module, wilder than its own starting values. */
function wildState(module: object, seed: number, deviation = 0.35): State {
  return new Map(
    [...namedTensors(module)].map(([name, { shape }], i) => [name, normals(seed + i, shape, deviation)]),
  );
}

describe("velocity field", () => {
  const points = normals(1, [4, 3]);
  const given = normals(2, [4, 2]);
  const probes = normals(3, [4, 3]);

  for (const activation of ["tanh", "softplus", "silu"] as const) {
    for (const hidden of [[8], [8, 6], [6, 5, 7]]) {
      it(`${activation}, ${hidden.length} hidden: trace and products are those of the autodiff Jacobian`, async () => {
        const field = fieldOf(3, hidden, activation, 2);
        const [x, context] = [input("x", [4, 3]), input("context", [4, 2])];
        const outputs = field.at(constant(float32([0.2, 0.9], [2])), context).flatMap((at) => {
          const { velocity, trace, product } = at.evaluate(x, { trace: true, probe: constant(probes) });
          // Rows do not depend on each other, so summing outputs over rows leaves each row's own derivatives.
          return [stack(jacobian(velocity.sum(0), x), 1), trace as Tensor, product as Tensor];
        });
        const feeds = new Map([
          [x, points],
          [context, given],
        ]);
        const found = await evaluate(withRandomParameters(field, outputs, 10), feeds);
        for (const k of [0, 1]) {
          const [jacobians, trace, product] = found.slice(3 * k, 3 * k + 3).map(numbers);
          for (let n = 0; n < 4; n++) {
            const at = (i: number, j: number): number => jacobians?.[(n * 3 + i) * 3 + j] ?? Number.NaN;
            expect(trace?.[n]).toBeCloseTo(at(0, 0) + at(1, 1) + at(2, 2), 4);
            for (let i = 0; i < 3; i++) {
              const expected = [0, 1, 2].reduce(
                (total, j) => total + at(i, j) * (probes.data[n * 3 + j] ?? 0),
                0,
              );
              expect(product?.[n * 3 + i]).toBeCloseTo(expected, 4);
            }
          }
        }
        // The field moves with time.
        expect(largest(differences(found[1], found[4]))).toBeGreaterThan(0.01);
      });
    }
  }
});

/** f(x, t) = A x: x(1) = e^A x(0), with log-determinant tr A. */
function linearField(a: NdArray<"float32">): VelocityField {
  const dimensions = a.shape[0] ?? 0;
  const matrix = constant(a);
  const trace = Array.from({ length: dimensions }, (_, i) => a.data[i * dimensions + i] ?? 0);
  const total = trace.reduce((sum, value) => sum + value, 0);
  return {
    dimensions,
    hasCheapTrace: true,
    at: (times) =>
      Array.from({ length: Number(times.shape[0]) }, () => ({
        evaluate: (x, { probe } = {}) => ({
          velocity: linear(x, matrix),
          trace: constant(total).broadcastTo([x.shape[0] ?? 1]),
          ...(probe && { product: matmul(probe, matrix, { transposeB: true }) }),
        }),
      })),
  };
}

describe("continuous transform", () => {
  it("of a linear field is the matrix exponential, with log-determinant tr A", async () => {
    // A = scaling by 0.3 and rotation by 1.2: e^A = e^0.3 · rotation by 1.2 rad.
    const transform = transformOf(linearField(float32([0.3, -1.2, 1.2, 0.3], [2, 2])), { steps: 16 });
    const x = constant(float32([1, 0, 2, -3], [2, 2]));
    const { y, logDet } = transform.forward(x);
    const back = transform.inverse(y);
    const found = await evaluate([y, logDet, back.x, back.logDet]);
    const [end, determinant, start, inverse] = found.map(numbers);
    const [c, s] = [Math.exp(0.3) * Math.cos(1.2), Math.exp(0.3) * Math.sin(1.2)];
    [c, s, 2 * c + 3 * s, 2 * s - 3 * c].forEach((value, i) => {
      expect(end?.[i]).toBeCloseTo(value, 4);
    });
    for (const value of determinant ?? []) expect(value).toBeCloseTo(0.6, 5);
    for (const value of inverse ?? []) expect(value).toBeCloseTo(-0.6, 5);
    [1, 0, 2, -3].forEach((value, i) => {
      expect(start?.[i]).toBeCloseTo(value, 4);
    });
  });

  it.each([
    ["midpoint", 2],
    ["rk4", 4],
  ] as const)(
    "%s: the error of the inverse and of the log-determinant falls with its order",
    async (solver, order) => {
      const field = fieldOf(2, [16], "tanh", 0, 1);
      const points = constant(normals(4, [32, 2]));
      const counts = solver === "rk4" ? [6, 12] : [8, 16];
      const outputs = counts.flatMap((steps) => {
        const transform = transformOf(field, { solver, steps });
        const { y, logDet } = transform.forward(points);
        // The determinant of the discrete map itself, from its Jacobian.
        const rows = jacobian(y.sum(0), points) as [Tensor, Tensor];
        const column = (row: Tensor, j: number): Tensor =>
          row.mul(constant(float32(j === 0 ? [1, 0] : [0, 1], [1, 2]))).sum(1);
        const det = column(rows[0], 0)
          .mul(column(rows[1], 1))
          .sub(column(rows[0], 1).mul(column(rows[1], 0)));
        return [transform.inverse(y).x.sub(points), logDet.sub(det.abs().log())];
      });
      const found = await evaluate(withRandomParameters(field, outputs, 20, 0.6));
      const rootMeanSquare = (array: NdArray | undefined): number =>
        Math.sqrt(mean(numbers(array).map((value) => value ** 2)));
      const inverse = counts.map((_, i) => rootMeanSquare(found[2 * i]));
      const logDet = counts.map((_, i) => rootMeanSquare(found[2 * i + 1]));
      // Errors of a step there and back partly cancel, so the inverse may do better than the order.
      expect(fittedOrder(counts, inverse)).toBeGreaterThan(order - 0.25);
      expect(fittedOrder(counts, logDet)).toBeGreaterThan(order - 0.25);
    },
  );

  it("Hutchinson's estimate is the exact log-determinant on average, for both probes", async () => {
    const field = fieldOf(4, [12, 12]);
    const rows = 1500;
    // One point, many probes: every row has its own.
    const x = constant(normals(5, [1, 4])).broadcastTo([rows, 4]);
    const outputs = (["rademacher", "gaussian"] as const).map(
      (probe) => transformOf(field, { trace: "hutchinson", probe, steps: 4 }).forward(x).logDet,
    );
    const exact = transformOf(field, { trace: "exact", steps: 4 }).forward(x).logDet;
    const found = await drawn(withRandomParameters(field, [...outputs, exact], 30, 0.6), 1);
    const truth = numbers(found[2])[0] ?? Number.NaN;
    for (const estimates of found.slice(0, 2).map(numbers)) {
      const deviation = Math.sqrt(mean(estimates.map((value) => (value - mean(estimates)) ** 2)));
      expect(deviation).toBeGreaterThan(0.01);
      expect(Math.abs(mean(estimates) - truth)).toBeLessThan((4 * deviation) / Math.sqrt(rows));
    }
  });

  it("chooses the exact trace where it is cheap", () => {
    expect(transformOf(fieldOf(100, [8, 8])).isExact).toBe(true);
    expect(transformOf(fieldOf(16, [8, 8, 8])).isExact).toBe(true);
    expect(transformOf(fieldOf(17, [8, 8, 8])).isExact).toBe(false);
    expect(transformOf(fieldOf(2, [8]), { trace: "hutchinson" }).isExact).toBe(false);
  });

  it("stays finite far in the tails, with gradients", async () => {
    const field = fieldOf(3, [16, 16]);
    const x = constant(float32([1e3, -1e3, 1e3, -1e3, 0, 0, 1e3, 1e3, 1e3], [3, 3]));
    const { y, logDet } = transformOf(field).forward(x);
    const outputs = [
      y,
      logDet,
      ...grad(y.square().sum().add(logDet.sum()), parametersOf(nameParameters(field))),
    ];
    for (const value of await evaluate(withRandomParameters(field, outputs, 40))) {
      expect(numbers(value).every(Number.isFinite)).toBe(true);
    }
  });
});

describe("continuous flow", () => {
  const build = (options: Record<string, unknown> = {}, data: DataInfo = POINTS): ContinuousFlow =>
    nameParameters(continuousFlow({ width: 16, ...options }, data));
  const sessionOf = async (model: object, seed = 0): Promise<Session> =>
    new Session(await nodeRuntime(), wildState(model, seed));
  const logProbOf = async (model: ContinuousFlow, session: Session, x: NdArray<"float32">) => {
    const compiled = session.compiled(model, "logProb", ["x"], ({ x }) => ({
      logProb: model.logProb(x),
    }));
    return (await compiled.run({ x })).logProb;
  };

  it("starts as the identity: the density is that of the base", async () => {
    const model = build();
    const session = new Session(
      await nodeRuntime(),
      new Map(
        [...namedTensors(model)].map(([name, tensor]) => {
          const data = new Float32Array(tensor.shape.reduce((a, b) => a * b, 1));
          tensor.initialize(data, tensor.shape, new Random(1).split(name));
          return [name, float32(data, tensor.shape)];
        }),
      ),
    );
    const logProb = numbers(await logProbOf(model, session, float32([0.5, -2, 1, 1], [2, 2])));
    expect(logProb[0]).toBeCloseTo(-Math.log(2 * Math.PI) - 4.25 / 2, 5);
    expect(logProb[1]).toBeCloseTo(-Math.log(2 * Math.PI) - 1, 5);
  });

  describe("on the plane, with random weights", () => {
    // Midpoints of a grid over [−8, 8]², where nearly all of the mass is.
    const size = 80;
    const cell = 16 / size;
    const grid = float32(
      Array.from({ length: size * size }, (_, i) => [
        -8 + cell * ((i % size) + 0.5),
        -8 + cell * (Math.floor(i / size) + 0.5),
      ]).flat(),
      [size * size, 2],
    );
    const mass = (logProb: NdArray): number =>
      numbers(logProb).reduce((total, value) => total + Math.exp(value), 0) * cell ** 2;
    const model = build({ evaluationSteps: 16 });
    let session: Session;
    beforeAll(async () => {
      session = await sessionOf(model, 50);
    });

    it("integrates to 1, by fixed steps and by the adaptive solver, which agree", async () => {
      const fixed = await logProbOf(model, session, grid);
      const adaptive = await model.score(session, grid, { tolerance: 1e-5 });
      expect(Math.abs(mass(fixed) - 1)).toBeLessThan(0.01);
      expect(Math.abs(mass(adaptive) - 1)).toBeLessThan(0.01);
      expect(mean(differences(fixed, adaptive).map(Math.abs))).toBeLessThan(2e-3);
      // The random weights made something else of the Gaussian.
      const plain = numbers(fixed).map((value, i) => {
        const [x = 0, y = 0] = grid.data.subarray(2 * i, 2 * i + 2);
        return Math.exp(value) * Math.abs(value + Math.log(2 * Math.PI) + (x * x + y * y) / 2) * cell ** 2;
      });
      expect(plain.reduce((a, b) => a + b, 0)).toBeGreaterThan(0.1);
    });

    it("a smaller tolerance comes closer to the answer", async () => {
      const few = normals(60, [64, 2]);
      const truth = await model.score(session, few, { solver: "rk4", steps: 60 });
      const errors: number[] = [];
      for (const tolerance of [1e-2, 1e-3, 1e-5]) {
        errors.push(largest(differences(await model.score(session, few, { tolerance }), truth)));
      }
      expect(errors[1]).toBeLessThan(errors[0] ?? 0);
      expect(errors[2]).toBeLessThan(2e-4);
    });

    it("samples agree whatever the solver, and encoding finds the codes again", async () => {
      const draw = (options: object): Promise<NdArray<"float32">> =>
        model.sample(session, { count: 50, seed: 3, ...options });
      const adaptive = await draw({ tolerance: 1e-5 });
      expect(adaptive.shape).toEqual([50, 2]);
      expect(largest(differences(adaptive, await draw({ solver: "rk4", steps: 40 })))).toBeLessThan(1e-3);
      expect(largest(differences(adaptive, await draw({ solver: "midpoint", steps: 5 })))).toBeGreaterThan(
        1e-3,
      );
      // By the graph: decode(encode(x)) is x.
      const both = session.compiled(model, "codec", ["x"], ({ x }) => ({
        back: model.decode(model.encode(x)),
        end: model.path(model.encode(x)).at(-1) as Tensor,
      }));
      const { back, end } = await both.run({ x: adaptive });
      expect(largest(differences(back, adaptive))).toBeLessThan(2e-3);
      expect(largest(differences(end, adaptive))).toBeLessThan(2e-3);
    });

    it("colder samples are closer together", async () => {
      const spread = async (temperature: number): Promise<number> =>
        mean(
          numbers(await model.sample(session, { count: 200, seed: 1, temperature })).map(
            (value) => value ** 2,
          ),
        );
      expect(await spread(0.3)).toBeLessThan(await spread(1));
    });
  });

  it("gradients of all parameters are finite and none is zero, with penalties too", async () => {
    const data: DataInfo = { kind: "table", sampleShape: [3], classes: 2 };
    for (const options of [
      { conditional: true, jacobianPenalty: 0 },
      { conditional: true, kineticPenalty: 0.1, jacobianPenalty: 0.1 },
    ]) {
      const model = build({ ...options, solverSteps: 1, evaluationSteps: 2 }, data);
      const x = constant(normals(70, [8, 3]));
      const { total } = model.loss({ x, label: constant(int64([0, 1, 0, 1, 1, 0, 0, 1], [8])) });
      const parameters = parametersOf(model);
      const gradients = await drawn(withRandomParameters(model, grad(total, parameters), 80), 1);
      gradients.forEach((gradient, i) => {
        const values = numbers(gradient);
        expect(values.every(Number.isFinite), parameters[i]?.name).toBe(true);
        expect(largest(values), parameters[i]?.name).toBeGreaterThan(1e-5);
      });
    }
  });

  it("the penalties are the integrals of the squared velocity and of the squared Jacobian", async () => {
    // f(x) = A x with A = diag(0.5, −1) from x = (1, 2): ∫ |A x(t)|² dt = 0.25 (e − 1) + 4 (1 − e⁻²) / 2, |A|² = 1.25.
    const transform = transformOf(linearField(float32([0.5, 0, 0, -1], [2, 2])), { steps: 16 });
    const { y, logDet, kinetic, jacobian: stiffness } = transform.course(constant(float32([1, 2], [1, 2])));
    const found = (await drawn([y, logDet, kinetic, stiffness], 1)).map(numbers);
    expect(found[0]?.[1]).toBeCloseTo(2 * Math.exp(-1), 5);
    expect(found[1]?.[0]).toBeCloseTo(-0.5, 5);
    // ∫ (0.5 e^{t/2})² = (e − 1)/4 and ∫ (2 e^{−t})² = 2 (1 − e⁻²).
    expect(found[2]?.[0]).toBeCloseTo((Math.E - 1) / 4 + 2 * (1 - Math.exp(-2)), 4);
    // A diagonal Jacobian and a probe of ±1: the squared norm exactly.
    expect(found[3]?.[0]).toBeCloseTo(1.25, 5);
  });

  it("takes more steps outside of training, where they cost little", () => {
    const model = build({ solverSteps: 2, evaluationSteps: 9 });
    const nodes = (loss: Tensor): number => reachableNodes([loss]).length;
    const x = input("x", [8, 2]);
    const training = traceTraining(() => model.loss({ x })).result;
    expect(Object.keys(training)).toEqual(["total", "nats", "jacobian"]);
    expect(nodes(model.logProb(x))).toBeGreaterThan(3 * nodes(training.nats as Tensor));
  });

  it("weighs classes by their shares where none is given, as the graph does", async () => {
    const data: DataInfo = { kind: "points", sampleShape: [2], classes: 2, classShares: [0.25, 0.75] };
    const model = build({ conditional: true, evaluationSteps: 10 }, data);
    const session = await sessionOf(model, 90);
    const x = normals(91, [16, 2]);
    const mixed = await model.score(session, x, { tolerance: 1e-5 });
    expect(largest(differences(mixed, await logProbOf(model, session, x)))).toBeLessThan(5e-3);
    const [first, second] = [
      await model.score(session, x, { label: int64(new Array(16).fill(0), [16]), tolerance: 1e-5 }),
      await model.score(session, x, { label: int64(new Array(16).fill(1), [16]), tolerance: 1e-5 }),
    ];
    expect(largest(differences(first, second))).toBeGreaterThan(0.1);
    numbers(mixed).forEach((value, i) => {
      const expected = 0.25 * Math.exp(first.data[i] ?? 0) + 0.75 * Math.exp(second.data[i] ?? 0);
      expect(Math.exp(value)).toBeCloseTo(expected, 5);
    });
    const samples = await model.sample(session, { count: 8, seed: 0, label: 1 });
    expect(numbers(samples).every(Number.isFinite)).toBe(true);
  });

  it("conditions on columns: samples keep what is given", async () => {
    const columns = ["a", "b", "c"].map((name) => ({ name, size: 1 }));
    const data: DataInfo = { kind: "table", sampleShape: [3], columns };
    const model = build({ given: ["b"] }, data);
    const session = await sessionOf(model, 95);
    const samples = await model.sample(session, { count: 5, seed: 0, given: float32([1.5], [1, 1]) });
    expect(Array.from({ length: 5 }, (_, i) => samples.data[3 * i + 1])).toEqual(new Array(5).fill(1.5));
    const x = normals(96, [4, 3]);
    expect(
      largest(differences(await model.score(session, x), await logProbOf(model, session, x))),
    ).toBeLessThan(0.01);
  });

  it("scores with Hutchinson's estimate by the seed alone", async () => {
    const model = build({ trace: "hutchinson" });
    const session = await sessionOf(model, 97);
    const x = normals(98, [32, 2]);
    const first = await model.score(session, x, { seed: 1 });
    expect(numbers(await model.score(session, x, { seed: 1 }))).toEqual(numbers(first));
    expect(largest(differences(await model.score(session, x, { seed: 2 }), first))).toBeGreaterThan(1e-3);
  });

  it("exports an exact log-density for batches of any size, also where training estimates the trace", async () => {
    const options = { hiddenLayers: 3, width: 8, solverSteps: 2, evaluationSteps: 3 };
    const model = build({ ...options, trace: "hutchinson" });
    const state = wildState(model, 99);
    const x = normals(100, [5, 2]);
    const { outputs } = model.exported();
    const logProb = outputs.logProb as Tensor;
    expect(logProb.shape).toEqual(["batch"]);
    const exact = build({ ...options, trace: "exact" }).exported().outputs.logProb as Tensor;
    const runtime = await nodeRuntime();
    const [found, expected] = await Promise.all(
      [logProb, exact].map(
        async (y) => (await compile(["x"], () => ({ y }), { runtime, weights: state }).run({ x })).y,
      ),
    );
    expect(largest(differences(found, expected))).toBeLessThan(1e-5);
    const label = build({ ...options, trace: "exact" });
    const direct = await logProbOf(label, new Session(runtime, state), x);
    expect(largest(differences(found, direct))).toBeLessThan(1e-5);
  });

  it("the training program stays small, in any number of dimensions", () => {
    const nodes = (size: number): number => {
      const model = build({ width: 64 }, { kind: "table", sampleShape: [size] });
      const { total } = traceTraining(() => model.loss({ x: input("x", [64, size]) })).result;
      return reachableNodes(grad(total, parametersOf(model))).length;
    };
    expect(nodes(2)).toBeLessThan(2500);
    expect(nodes(40)).toBe(nodes(2));
  });

  it("names options that are wrong", async () => {
    const model = build();
    const session = await sessionOf(model);
    await expect(model.sample(session, { count: 1, seed: 0, steps: 0 })).rejects.toThrow(OptionError);
    await expect(model.sample(session, { count: 1, seed: 0, temperature: 0 })).rejects.toThrow("temperature");
    await expect(
      model.sample(session, { count: 1, seed: 0, tolerance: 1e-7, maxEvaluations: 8 }),
    ).rejects.toThrow(SolverError);
    expect(() => build({ objective: "reverse-kl" })).toThrow("energy");
    expect(() => continuousFlowOptions.parse({ solver: "dormand-prince" })).toThrow();
  });
});
