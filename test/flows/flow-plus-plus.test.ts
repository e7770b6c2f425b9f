import { describe, expect, it } from "vitest";
import { OptionError } from "../../src/errors.ts";
import {
  Composition,
  Coupling,
  ElementwiseBijection,
  FixedAffine,
  FlowModel,
  flowPlusPlus,
  gaussian,
  InvertibleLinear,
  LogisticMixtureBijection,
  ReluNetwork,
  Reshape,
  uniformDequantizer,
  VariationalDequantizer,
} from "../../src/flows/index.ts";
import type { DataInfo } from "../../src/model/data-info.ts";
import { initialState, nameParameters, parametersOf } from "../../src/nn/module.ts";
import { evaluate, nodeRuntime } from "../../src/program/node.ts";
import { compile, Session } from "../../src/program/program.ts";
import { Random } from "../../src/random.ts";
import { substitute } from "../../src/tensor/graph.ts";
import { constant, float32, grad, input, type NdArray, type Tensor } from "../../src/tensor/index.ts";
import { numbers, present } from "../support.ts";
import { normals, transformErrors, withRandomParameters } from "./check-transform.ts";

const IMAGE: DataInfo = { kind: "image", sampleShape: [1, 4, 6] };

/** The bijection at one element with the same parameters for many points, in float64 by the textbook's formulas. */
function textbook(x: number, raw: readonly number[], components: number) {
  const at = (i: number): number => raw[i] ?? Number.NaN;
  const weights = Array.from({ length: components }, (_, k) => Math.exp(at(k)));
  const total = weights.reduce((a, b) => a + b);
  let [cdf, rest, density] = [0, 0, 0];
  weights.forEach((weight, k) => {
    const start = components === 1 ? 0 : 1.5 * ((2 * k) / (components - 1) - 1);
    const scale = Math.exp(4 * Math.tanh(at(2 * components + k) / 4));
    const u = (x - at(components + k) - start) / scale;
    const sigmoid = 1 / (1 + Math.exp(-u));
    cdf += (weight / total) * sigmoid;
    rest += weight / total / (1 + Math.exp(u));
    density += ((weight / total) * sigmoid * (1 / (1 + Math.exp(u)))) / scale;
  });
  const factor = Math.exp(3 * Math.tanh(at(3 * components) / 3));
  return {
    value: Math.log(cdf / rest) * factor + at(3 * components + 1),
    logDerivative: Math.log((density * factor) / (cdf * rest)),
  };
}

/** Points [n, 1] under one row of raw parameters. */
function atPoints(points: readonly number[], raw: readonly number[]) {
  const x = input("x", [points.length, 1]);
  const parameters = constant(
    float32(
      points.flatMap(() => raw),
      [points.length, raw.length],
    ),
  );
  return { x, parameters, feeds: new Map([[x, float32(points, [points.length, 1])]]) };
}

const RAW = Array.from(normals(4, [17], 0.8).data); // five components

describe("mixture-of-logistics bijection", () => {
  const bijection = new LogisticMixtureBijection(5);

  it("is the textbook's formula in float64", async () => {
    const points = [-12, -3, -1, -0.2, 0, 0.4, 1.7, 5, 12];
    const { x, parameters, feeds } = atPoints(points, RAW);
    const { value, logDerivative } = bijection.forward(x, parameters);
    const [values, slopes] = (await evaluate([value, logDerivative], feeds)).map(numbers);
    points.forEach((point, i) => {
      const expected = textbook(point, RAW, 5);
      expect(Math.abs((values?.[i] ?? 9) - expected.value)).toBeLessThan(
        1e-5 * (1 + Math.abs(expected.value)),
      );
      expect(slopes?.[i]).toBeCloseTo(expected.logDerivative, 4);
    });
  });

  it("its log-derivative is the logarithm of its derivative, by automatic and by finite differences", async () => {
    const points = Array.from({ length: 41 }, (_, i) => -10 + i / 2);
    const { x, parameters, feeds } = atPoints(points, RAW);
    const { value, logDerivative } = bijection.forward(x, parameters);
    const step = 1e-2;
    const [up, down] = [step, -step].map((h) => bijection.forward(x.add(h), parameters).value) as [
      Tensor,
      Tensor,
    ];
    const [found, automatic, finite] = (
      await evaluate(
        [
          logDerivative,
          grad(value.sum(), [x])[0].log(),
          up
            .sub(down)
            .div(2 * step)
            .log(),
        ],
        feeds,
      )
    ).map(numbers);
    points.forEach((_, i) => {
      expect(found?.[i]).toBeCloseTo(automatic?.[i] ?? Number.NaN, 4);
      expect(Math.abs((found?.[i] ?? 9) - (finite?.[i] ?? 0))).toBeLessThan(2e-2);
    });
  });

  it("is finite far out, where it grows by the widest component, and with far components", async () => {
    const far = [...RAW];
    [far[5], far[6], far[7]] = [-1e3, 1e3, 500]; // means: a gap of hundreds of deviations between components
    for (const raw of [RAW, far]) {
      const points = [-1e3, -700, -100, 0, 100, 700, 1e3];
      const { x, parameters, feeds } = atPoints(points, raw);
      const p = input("p", parameters.shape);
      const forward = bijection.forward(x, p);
      const back = bijection.inverse(forward.value, p);
      const loss = forward.value.square().mul(0.5).sub(forward.logDerivative).sum();
      const outputs = [
        forward.value,
        forward.logDerivative,
        back.value,
        back.logDerivative,
        ...grad(loss, [x, p]),
      ];
      const repeated = float32(
        points.flatMap(() => raw),
        [points.length, raw.length],
      );
      const [values = [], slopes = [], points2 = [], inverse = [], gx = [], gp = []] = (
        await evaluate(outputs, new Map([...feeds, [p, repeated]]))
      ).map(numbers);
      for (const list of [values, slopes, points2, inverse, gx, gp]) {
        expect(list.every(Number.isFinite)).toBe(true);
      }
      values.slice(1).forEach((value, i) => {
        expect(value).toBeGreaterThanOrEqual(values[i] ?? Number.NaN);
      });
      points.forEach((point, i) => {
        // In a gap between components the slope is e^(−hundreds): positions there are not to be had back from float32.
        if ((slopes[i] ?? 0) > -5)
          expect(Math.abs((points2[i] ?? 9) - point)).toBeLessThan(2e-6 * Math.abs(point) + 1e-4);
      });
      if (raw === RAW) {
        const widest = Math.max(...RAW.slice(10, 15).map((value) => 4 * Math.tanh(value / 4)));
        const factor = 3 * Math.tanh((RAW[15] ?? 0) / 3);
        expect(slopes[0]).toBeCloseTo(factor - widest, 2);
        expect(slopes.at(-1)).toBeCloseTo(factor - widest, 2);
      }
    }
  });

  it("is inverted to the precision of float32", async () => {
    const points = Array.from({ length: 2001 }, (_, i) => -10 + i / 100);
    const { x, parameters, feeds } = atPoints(points, RAW);
    const forward = bijection.forward(x, parameters);
    const back = bijection.inverse(forward.value, parameters);
    const [found, sums] = (
      await evaluate(
        [back.value.sub(x).abs().max(), back.logDerivative.add(forward.logDerivative).abs().max()],
        feeds,
      )
    ).map((array) => numbers(array)[0]);
    expect(found).toBeLessThan(1e-5);
    expect(sums).toBeLessThan(1e-5);
  });

  it("gradients flow through the inverse to the point and to the parameters", async () => {
    const points = [-2, 0.3, 4];
    const { x, feeds } = atPoints(points, RAW);
    const p = input("p", [3, 17]);
    const weighted = (at: Tensor, raw: Tensor): Tensor => {
      const { value, logDerivative } = bijection.inverse(at, raw);
      return value
        .mul(constant(float32([1, -2, 0.5], [3, 1])))
        .add(logDerivative)
        .sum();
    };
    const direction = constant(normals(8, [3, 17]));
    const [gx, gp] = grad(weighted(x, p), [x, p]);
    const step = 1e-2;
    const outputs = [
      gx.sum(),
      weighted(x.add(step), p)
        .sub(weighted(x.sub(step), p))
        .mul(0.5 / step),
      gp.mul(direction).sum(),
      weighted(x, p.add(direction.mul(step)))
        .sub(weighted(x, p.sub(direction.mul(step))))
        .mul(0.5 / step),
    ];
    const raw = float32([...RAW, ...RAW, ...RAW], [3, 17]);
    const [a = 0, b = 9, c = 0, d = 9] = (await evaluate(outputs, new Map([...feeds, [p, raw]]))).map(
      (array) => numbers(array)[0],
    );
    expect(Math.abs(a - b)).toBeLessThan(0.01 * (1 + Math.abs(b)));
    expect(Math.abs(c - d)).toBeLessThan(0.01 * (1 + Math.abs(d)));
    expect(Math.abs(c)).toBeGreaterThan(0.1);
  });

  it("with parameters of zero is near the identity, and one component is an affine map", async () => {
    const points = [-5, -1, 0, 1, 5];
    const { x, parameters, feeds } = atPoints(points, new Array<number>(17).fill(0));
    const one = new LogisticMixtureBijection(1);
    const single = constant(
      float32(
        points.flatMap(() => [3, 0.5, 1, -0.5, 2]),
        [5, 5],
      ),
    );
    const affine = one.forward(x, single);
    const [values, singles, slopes] = (
      await evaluate([bijection.forward(x, parameters).value, affine.value, affine.logDerivative], feeds)
    ).map(numbers);
    const [s, a] = [4 * Math.tanh(0.25), 3 * Math.tanh(-0.5 / 3)];
    points.forEach((point, i) => {
      expect(Math.abs((values?.[i] ?? 9) - point)).toBeLessThan(1);
      expect(singles?.[i]).toBeCloseTo((point - 0.5) * Math.exp(a - s) + 2, 4);
      expect(slopes?.[i]).toBeCloseTo(a - s, 4);
    });
  });

  for (const [name, dimensions, transform] of [
    ["coupling", 5, new Coupling([3, 2], "second", bijection, new ReluNetwork([3, 8, 2 * 17]))],
    ["element-wise", 3, new ElementwiseBijection(3, bijection)],
    [
      "whole flow",
      4,
      new Composition(
        flowPlusPlus(
          { couplings: 3, width: 8, components: 3 },
          {
            kind: "table",
            sampleShape: [4],
          },
        ).transforms,
      ),
    ],
  ] as const) {
    it(`${name}: log-determinant and inverse`, async () => {
      // Wilder parameters of several steps make Jacobians that float32 cannot tell from singular ones.
      const errors = await transformErrors(transform, dimensions, { deviation: 0.25 });
      expect(errors.logDet).toBeLessThan(2e-4);
      expect(errors.inverse).toBeLessThan(2e-4);
      expect(errors.inverseLogDet).toBeLessThan(2e-4);
      expect(errors.change).toBeGreaterThan(0.1);
    });
  }
});

describe("Flow++", () => {
  it("in the plane integrates to 1", async () => {
    const model = flowPlusPlus(
      { couplings: 3, width: 8, components: 3 },
      {
        kind: "points",
        sampleShape: [2],
      },
    );
    const [side, step] = [301, 0.1];
    const grid = Array.from({ length: side * side }, (_, i) => [
      ((i % side) - 150) * step,
      (Math.floor(i / side) - 150) * step,
    ]);
    const [logProb] = await evaluate(
      withRandomParameters(
        model,
        [model.continuousLogProb(constant(float32(grid.flat(), [side * side, 2])))],
        3,
        0.3,
      ),
    );
    const total = numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0) * step * step;
    expect(total).toBeGreaterThan(0.99);
    expect(total).toBeLessThan(1.01);
  });

  for (const [name, options] of [
    ["one level with attention", { levels: 1, attention: true }],
    ["two levels under a class", { conditional: true }],
    ["uniform noise", { dequantization: "uniform" }],
  ] as const) {
    it(`images, ${name}: encode and decode are inverse, and all parameters get gradients`, async () => {
      const data: DataInfo = { kind: "image", sampleShape: [2, 8, 4], classes: 3 };
      const model = flowPlusPlus({ couplings: 2, width: 8, components: 2, ...options }, data);
      nameParameters(model);
      const bytes = float32(
        Array.from({ length: 4 * 64 }, (_, i) => (i * 53) % 256),
        [4, 2, 8, 4],
      );
      const x = constant(bytes);
      const label = constant({ dtype: "int64", shape: [4], data: new BigInt64Array([0n, 1n, 2n, 1n]) });
      const parameters = parametersOf(model);
      const { context } = model.conditioning.divide(x, label);
      const loss = model.loss({ x, label }).total;
      const back = model.decode(model.encode(x, label), context);
      const outputs = withRandomParameters(model, [back, loss, ...grad(loss, parameters)], 2, 0.2);
      const program = compile([], () => Object.fromEntries(outputs.map((tensor, i) => [`o${i}`, tensor])), {
        runtime: await nodeRuntime(),
      });
      const found = (await program.run({}, { random: new Random(1) })) as Record<string, NdArray>;
      await program.release();
      numbers(found.o0).forEach((value, i) => {
        expect(Math.abs(value - (bytes.data[i] ?? 0))).toBeLessThan(0.05);
      });
      expect(Number.isFinite(found.o1?.data[0])).toBe(true);
      parameters.forEach((parameter, i) => {
        const gradient = numbers(found[`o${i + 2}`]);
        expect(gradient.every(Number.isFinite), parameter.name).toBe(true);
        expect(
          gradient.some((value) => value !== 0),
          parameter.name,
        ).toBe(true);
      });
    });
  }

  it("draws images of the right shape, and exports a graph", async () => {
    const model = nameParameters(flowPlusPlus({ couplings: 1, width: 8, components: 2 }, IMAGE));
    const session = new Session(await nodeRuntime(), initialState(model, 1));
    const samples = await model.sample(session, { count: 3, seed: 1, temperature: 0.7 });
    expect(samples.shape).toEqual([3, 1, 4, 6]);
    expect(numbers(samples).every((value) => value > -30 && value < 290)).toBe(true);
    expect(model.exported().outputs.logProb?.shape).toEqual(["batch"]);
    await session.release();
  });

  it("tells why images of odd size are refused", () => {
    const odd: DataInfo = { kind: "image", sampleShape: [1, 5, 4] };
    expect(() => flowPlusPlus({}, odd)).toThrow(OptionError);
    expect(() => new VariationalDequantizer([1, 5, 4])).toThrow(/even height and width, not 5×4/);
  });
});

describe("variational dequantization", () => {
  const shape = [1, 2, 2];
  // A density with much structure inside a cell of bytes: Gaussian of deviation about half a byte, rotated.
  const flow = (dequantizer: VariationalDequantizer | undefined): FlowModel =>
    new FlowModel(
      { kind: "image", sampleShape: shape },
      {
        base: gaussian,
        transforms: [
          new FixedAffine([500], [-500 * (101 / 256)]),
          new Reshape(shape, [4]),
          new InvertibleLinear(4),
        ],
        ...(dequantizer && { dequantizer }),
      },
    );
  const BYTES = [100, 101, 100, 101];

  /** log P(bytes) by the midpoint rule over the cell, 20 places an axis. */
  async function exact(model: FlowModel, side: number): Promise<number> {
    const cells = Array.from({ length: side ** 4 }, (_, i) =>
      BYTES.map((byte, axis) => byte + ((Math.floor(i / side ** axis) % side) + 0.5) / side),
    );
    const x = constant(float32(cells.flat(), [side ** 4, ...shape]));
    const weights = initialState(nameParameters(model), 3);
    const program = compile([], () => ({ logProb: model.continuousLogProb(x) }), {
      runtime: await nodeRuntime(),
      weights,
    });
    const { logProb } = await program.run({});
    await program.release();
    return Math.log(numbers(logProb).reduce((sum, value) => sum + Math.exp(value), 0) / side ** 4);
  }

  async function draws(model: FlowModel, deviation: number): Promise<number[]> {
    const rows = 8_000;
    const x = constant(float32(Array.from({ length: rows }, () => BYTES).flat(), [rows, ...shape]));
    nameParameters(model);
    const state = new Map(initialState(model, 3));
    for (const [name, array] of state) {
      if (name.startsWith("dequantiser.")) state.set(name, normals(name.length, array.shape, deviation));
    }
    const program = compile([], () => ({ logProb: model.logProb(x) }), {
      runtime: await nodeRuntime(),
      weights: state,
    });
    const { logProb } = await program.run({}, { random: new Random(4) });
    await program.release();
    return numbers(logProb);
  }

  it("its terms are a lower bound of log P, and P itself in the mean of their exponentials, for any parameters", async () => {
    const model = flow(new VariationalDequantizer(shape, { width: 4 }));
    const truth = await exact(model, 16);
    expect(Math.abs(truth - (await exact(model, 12)))).toBeLessThan(2e-3);
    for (const deviation of [0, 0.15, 0.4]) {
      const terms = await draws(model, deviation);
      const bound = terms.reduce((a, b) => a + b) / terms.length;
      expect(bound).toBeLessThan(truth - 0.01);
      // E_q[p(bytes + u) / q(u | bytes)] = ∫ p(bytes + u) du holds only if log q is the density of the noise.
      const weights = terms.map((term) => Math.exp(term - truth));
      const mean = weights.reduce((a, b) => a + b) / terms.length;
      const error = Math.sqrt(weights.reduce((sum, w) => sum + (w - mean) ** 2, 0)) / terms.length;
      expect(error).toBeLessThan(0.05);
      expect(Math.abs(mean - 1)).toBeLessThan(4 * error + 5e-3);
    }
  });

  it("starts as uniform noise", async () => {
    const dequantizer = nameParameters(new VariationalDequantizer([1, 4, 4]));
    const bytes = constant(float32(new Float32Array(200 * 16).fill(7), [200, 1, 4, 4]));
    const program = compile(
      [],
      () => {
        const { x, logNoise } = dequantizer.dequantize(bytes);
        return { x, logNoise, uniform: uniformDequantizer.dequantize(bytes).x };
      },
      { runtime: await nodeRuntime(), weights: initialState(dequantizer, 0) },
    );
    const { x, logNoise } = await program.run({}, { random: new Random(0) });
    await program.release();
    for (const value of numbers(logNoise)) expect(value).toBeCloseTo(0, 4);
    const noise = numbers(x)
      .map((value) => value - 7)
      .sort((a, b) => a - b);
    // Kolmogorov–Smirnov distance to the uniform distribution; 3200 draws: 1 % are above 0.029.
    const distance = Math.max(...noise.map((value, i) => Math.abs(value - (i + 0.5) / noise.length)));
    expect(distance).toBeLessThan(0.029);
  });

  it("training the noise tightens the bound", async () => {
    const model = nameParameters(flow(new VariationalDequantizer(shape, { width: 4, couplings: 2 })));
    const truth = await exact(model, 12);
    const uniform = await draws(flow(undefined), 0);
    const before = uniform.reduce((a, b) => a + b) / uniform.length;
    const state = new Map(initialState(model, 3));
    const x = constant(float32(Array.from({ length: 256 }, () => BYTES).flat(), [256, ...shape]));
    const noise = parametersOf(model).filter(({ name }) => name.startsWith("dequantiser."));
    const fixed = new Map([...state].filter(([name]) => !name.startsWith("dequantiser.")));
    const step = compile(
      noise.map(({ name }) => name),
      (inputs) => {
        const fixedBound = model.logProb(x).mean();
        const moving = new Map<Tensor, Tensor>(noise.map((own) => [own, present(inputs[own.name])]));
        const [bound, ...slopes] = substitute([fixedBound, ...grad(fixedBound, noise)], moving) as [
          Tensor,
          ...Tensor[],
        ];
        return { bound, ...Object.fromEntries(noise.map(({ name }, i) => [name, slopes[i] as Tensor])) };
      },
      { runtime: await nodeRuntime(), weights: fixed },
    );
    const random = new Random(6);
    const seconds = new Map(
      noise.map(({ name, shape }) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
    );
    const bounds: number[] = [];
    for (let i = 0; i < 150; i++) {
      const moving = Object.fromEntries([...state].filter(([name]) => !fixed.has(name)));
      const found = (await step.run(moving, { random: random.split(i) })) as Record<string, NdArray>;
      bounds.push(Number(found.bound?.data[0]));
      // RMSprop, ascending.
      for (const { name, shape } of noise) {
        const [values, second] = [state.get(name), seconds.get(name)];
        const next = numbers(values).map((value, j) => {
          const slope = Number(found[name]?.data[j]);
          const average = 0.9 * (second?.[j] ?? 0) + 0.1 * slope * slope;
          if (second) second[j] = average;
          return value + (0.01 * slope) / (Math.sqrt(average) + 1e-6);
        });
        state.set(name, float32(next, shape));
      }
    }
    await step.release();
    const after = bounds.slice(-30).reduce((a, b) => a + b) / 30;
    expect(after).toBeLessThan(truth + 0.02);
    expect(truth - after).toBeLessThan(0.6 * (truth - before));
  });
});
