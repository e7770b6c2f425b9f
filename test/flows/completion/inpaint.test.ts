import { describe, expect, it } from "vitest";
import { InverseError } from "../../../src/errors.ts";
import { hamiltonianMonteCarlo } from "../../../src/flows/completion/hamiltonian.ts";
import { gaussian } from "../../../src/flows/densities/bases.ts";
import { maf } from "../../../src/flows/maf.ts";
import { FlowModel } from "../../../src/flows/model.ts";
import { nice } from "../../../src/flows/nice.ts";
import {
  type Forward,
  type Inverse,
  noVolumeChange,
  type Transform,
} from "../../../src/flows/transforms/transform.ts";
import type { DataInfo } from "../../../src/model/data-info.ts";
import { initialState, namedTensors, nameParameters } from "../../../src/nn/module.ts";
import { nodeRuntime } from "../../../src/program/node.ts";
import { Session } from "../../../src/program/program.ts";
import { Random } from "../../../src/random.ts";
import { concat, constant, float32, slice, type Tensor } from "../../../src/tensor/index.ts";
import { normals } from "../check-transform.ts";

/** The bijection of the test below needs rows of L in z = L x: lower triangular, so that order 0, 1, 2 is triangular. */
const PRECISION_ROOT = [
  [1.5, 0, 0],
  [-1.2, 2, 0],
  [0.7, -0.5, 0.8],
] as const;

/** z = L x with L as above: its density is a Gaussian of precision LᵀL. */
class TriangularMap implements Transform {
  forward(x: Tensor): Forward {
    const l = constant(float32(PRECISION_ROOT.flat(), [3, 3]));
    return {
      y: x.matmul(l.transpose()),
      logDet: noVolumeChange(x).add(Math.log(1.5 * 2 * 0.8)),
    };
  }

  inverse(y: Tensor): Inverse {
    const part = (i: number): Tensor => slice(y, 1, i, i + 1);
    const a = part(0).mul(1 / 1.5);
    const b = part(1)
      .add(a.mul(1.2))
      .mul(1 / 2);
    const c = part(2)
      .sub(a.mul(0.7))
      .add(b.mul(0.5))
      .mul(1 / 0.8);
    return { x: concat([a, b, c], 1), logDet: noVolumeChange(y).sub(Math.log(1.5 * 2 * 0.8)) };
  }
}

const TABLE: DataInfo = { kind: "table", sampleShape: [3] };

function gaussianModel(triangularOrder?: readonly number[]): FlowModel {
  return new FlowModel(TABLE, {
    base: gaussian,
    transforms: [new TriangularMap()],
    ...(triangularOrder && { triangularOrder }),
  });
}

/** Precision LᵀL of x. */
const precision = (i: number, j: number): number =>
  PRECISION_ROOT.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0);

/** Mean and covariance of coordinates 1 and 2 given coordinate 0: from the blocks of the precision matrix. */
function conditional(first: number) {
  const [a, b, d] = [precision(1, 1), precision(1, 2), precision(2, 2)];
  const det = a * d - b * b;
  const covariance = [d / det, -b / det, a / det] as const;
  const pull = [-precision(1, 0) * first, -precision(2, 0) * first] as const;
  return {
    mean: [
      covariance[0] * pull[0] + covariance[1] * pull[1],
      covariance[1] * pull[0] + covariance[2] * pull[1],
    ] as const,
    covariance,
  };
}

function moments(data: ArrayLike<number>, count: number) {
  let [m1, m2, c11, c12, c22] = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    m1 += (data[3 * i + 1] ?? 0) / count;
    m2 += (data[3 * i + 2] ?? 0) / count;
  }
  for (let i = 0; i < count; i++) {
    const [u, v] = [(data[3 * i + 1] ?? 0) - m1, (data[3 * i + 2] ?? 0) - m2];
    c11 += (u * u) / count;
    c12 += (u * v) / count;
    c22 += (v * v) / count;
  }
  return { mean: [m1, m2] as const, covariance: [c11, c12, c22] as const };
}

async function sessionOf(model: object): Promise<Session> {
  return new Session(await nodeRuntime(), initialState(nameParameters(model), 0));
}

describe("Hamiltonian Monte Carlo", () => {
  it("alone leaves a badly scaled, correlated Gaussian invariant, and adapts to it", async () => {
    // Precision [[1, 0.9·100], …]: deviations 1 and 0.01, correlation −0.9.
    const [a, b] = [1 / (1 - 0.81), 1e4 / (1 - 0.81)];
    const c = (0.9 * 100) / (1 - 0.81);
    const chains = 200;
    const result = await hamiltonianMonteCarlo(
      async (x) => {
        const logDensity = new Float64Array(chains);
        const gradient = new Float64Array(2 * chains);
        for (let i = 0; i < chains; i++) {
          const [u, v] = [x[2 * i] ?? 0, x[2 * i + 1] ?? 0];
          logDensity[i] = -0.5 * (a * u * u + 2 * c * u * v + b * v * v);
          gradient[2 * i] = -(a * u + c * v);
          gradient[2 * i + 1] = -(c * u + b * v);
        }
        return { logDensity, gradient };
      },
      normals(1, [chains, 2], 3).data,
      {
        dimensions: 2,
        randoms: Array.from({ length: chains }, (_, i) => new Random(2).split(i)),
        groupSize: 40,
        iterations: 80,
        startPower: 0.1,
      },
    );
    let [uu, uv, vv] = [0, 0, 0];
    for (let i = 0; i < chains; i++) {
      const [u, v] = [result.states[2 * i] ?? 0, 100 * (result.states[2 * i + 1] ?? 0)];
      uu += (u * u) / chains;
      uv += (u * v) / chains;
      vv += (v * v) / chains;
    }
    // Sampling errors of second moments: √(2/200) = 0.1.
    expect(Math.abs(uu - 1)).toBeLessThan(0.22);
    expect(Math.abs(vv - 1)).toBeLessThan(0.22);
    expect(Math.abs(uv + 0.9)).toBeLessThan(0.22);
    const accepted = result.acceptance.reduce((sum, p) => sum + p, 0) / chains;
    expect(accepted).toBeGreaterThan(0.6);
    expect(accepted).toBeLessThan(0.97);
  });

  it("keeps what does not move, and stays where there is density", async () => {
    const chains = 300;
    // Uniform on [0, 1) in the second coordinate.
    const result = await hamiltonianMonteCarlo(
      async (x) => ({
        logDensity: Array.from({ length: chains }, (_, i) => {
          const v = x[2 * i + 1] ?? 0;
          return v >= 0 && v < 1 ? 0 : Number.NEGATIVE_INFINITY;
        }),
        gradient: new Float64Array(2 * chains),
      }),
      Array.from({ length: 2 * chains }, (_, i) => (i % 2 === 0 ? 7 : 0.01)),
      {
        dimensions: 2,
        randoms: Array.from({ length: chains }, (_, i) => new Random(3).split(i)),
        movable: Array.from({ length: 2 * chains }, (_, i) => i % 2),
        iterations: 60,
      },
    );
    const free = result.states.filter((_, i) => i % 2 === 1);
    expect(result.states.filter((_, i) => i % 2 === 0).every((value) => value === 7)).toBe(true);
    expect(Math.min(...free)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...free)).toBeLessThan(1);
    const mean = free.reduce((sum, value) => sum + value, 0) / chains;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / chains));
  });
});

describe("completions of a Gaussian flow", () => {
  const draws = 400;
  const firsts = [1.3, -0.4];
  const x = float32([1.3, 99, 99, -0.4, 99, 99], [2, 3]);
  const known = float32([1, 0, 0], [1, 3]);

  it.each([
    ["by HMC", false],
    ["exactly", true],
  ] as const)("%s have the conditional's mean and covariance", async (_, exact) => {
    const model = gaussianModel([0, 1, 2]);
    const session = await sessionOf(model);
    const result = await model.inpaint(session, { x, known, draws, seed: 5, exact });
    await session.release();
    expect(result.shape).toEqual([2, draws, 3]);
    firsts.forEach((first, row) => {
      const own = result.data.subarray(row * draws * 3, (row + 1) * draws * 3);
      expect(own.filter((_, i) => i % 3 === 0).every((value) => value === Math.fround(first))).toBe(true);
      const { mean, covariance } = conditional(first);
      const found = moments(own, draws);
      for (const k of [0, 1] as const) {
        const variance = covariance[2 * k] ?? 1;
        expect(Math.abs(found.mean[k] - mean[k])).toBeLessThan(4 * Math.sqrt(variance / draws));
      }
      const size = Math.sqrt(covariance[0] * covariance[2]);
      for (const k of [0, 1, 2] as const) {
        const spread = k === 1 ? size : (covariance[k] ?? 1);
        expect(Math.abs(found.covariance[k] - covariance[k])).toBeLessThan(5 * spread * Math.sqrt(2 / draws));
      }
    });
  });

  it("are exact only where the known elements come first; auto falls back row by row", async () => {
    const model = gaussianModel([0, 1, 2]);
    const session = await sessionOf(model);
    const options = { x, draws: 3, seed: 1, steps: 10 };
    const mixed = float32([1, 0, 0, 0, 1, 0], [2, 3]);
    await expect(model.inpaint(session, { ...options, known: mixed, exact: true })).rejects.toThrow(
      /sample 1: its known elements do not come first/,
    );
    await expect(gaussianModel().inpaint(session, { ...options, known: mixed, exact: true })).rejects.toThrow(
      /not autoregressive in one order/,
    );
    const result = await model.inpaint(session, { ...options, known: mixed });
    expect(result.data[0]).toBeCloseTo(1.3, 6);
    expect(result.data[9 + 1]).toBe(99);
    const all = await model.inpaint(session, { ...options, known: float32([1, 1, 1], [1, 3]) });
    expect([...all.data.subarray(0, 3)]).toEqual([...x.data.subarray(0, 3)]);
    await session.release();
  });

  it("do not depend on the samples beside them where they are exact, and follow the seed", async () => {
    const model = gaussianModel([0, 1, 2]);
    const session = await sessionOf(model);
    const both = await model.inpaint(session, { x, known, draws: 4, seed: 3 });
    const one = await model.inpaint(session, {
      x: float32(x.data.subarray(0, 3), [1, 3]),
      known,
      draws: 4,
      seed: 3,
    });
    const other = await model.inpaint(session, { x, known, draws: 4, seed: 4 });
    expect([...one.data]).toEqual([...both.data.subarray(0, 12)]);
    expect([...other.data]).not.toEqual([...both.data]);
    await session.release();
  });
});

/** Slopes of h below: that between and outside its two steps, and the height and steepness of these. */
const [FLAT, HEIGHT, STEEP] = [0.3, 0.9, 4];

/**
 * (x, y) → (x, h(y − x / 2)) with h(v) = 0.3 v + 0.9 (tanh 4(v + 2) + tanh 4(v − 2)) − 0.4: given x, y has two modes of
 * unequal weight, about 4 apart.
 */
class TwoSteps implements Transform {
  forward(point: Tensor): Forward {
    const x = slice(point, 1, 0, 1);
    const v = slice(point, 1, 1, 2).sub(x.mul(0.5));
    const steps = [v.add(2).mul(STEEP).tanh(), v.sub(2).mul(STEEP).tanh()] as const;
    const slope = steps[0]
      .square()
      .add(steps[1].square())
      .neg()
      .add(2)
      .mul(HEIGHT * STEEP)
      .add(FLAT);
    const h = v.mul(FLAT).add(steps[0].add(steps[1]).mul(HEIGHT)).sub(0.4);
    return { y: concat([x, h], 1), logDet: slope.log().sum(1) };
  }

  inverse(): Inverse {
    throw new InverseError("TwoSteps has no formula for its inverse");
  }
}

const POINTS: DataInfo = { kind: "points", sampleShape: [2] };

/** Compares draws of y given x with quadrature of the flow's own density along y. */
async function expectConditional(model: FlowModel, session: Session, x: number, bounds: readonly number[]) {
  const draws = 500;
  const drawn = await model.inpaint(session, {
    x: float32([x, 0], [1, 2]),
    known: float32([1, 0], [1, 2]),
    draws,
    seed: 1,
  });
  const density = session.compiled(model, "density", ["x"], ({ x }) => ({
    p: model.continuousLogProb(x).exp(),
  }));
  const grid = Array.from({ length: 2001 }, (_, i) => -20 + 0.02 * i);
  const { p } = await density.run({
    x: float32(
      grid.flatMap((y) => [x, y]),
      [grid.length, 2],
    ),
  });
  const mass = (from: number, to: number): number =>
    grid.reduce((sum, y, i) => sum + (y >= from && y < to ? Number(p.data[i]) : 0), 0);
  const ys = drawn.data.filter((_, i) => i % 2 === 1);
  for (let k = 0; k + 1 < bounds.length; k++) {
    const [from = 0, to = 0] = [bounds[k], bounds[k + 1]];
    const expected = mass(from, to) / mass(-20, 20);
    const found = ys.filter((y) => y >= from && y < to).length / draws;
    expect(Math.abs(found - expected), `[${from}, ${to}): ${found} for ${expected}`).toBeLessThan(
      4 * Math.sqrt((expected * (1 - expected)) / draws) + 2e-3,
    );
  }
}

describe("conditionals of points", () => {
  it("with two modes have the weights that quadrature of the density gives, without an inverse", async () => {
    const model = new FlowModel(POINTS, { base: gaussian, transforms: [new TwoSteps()] });
    const session = await sessionOf(model);
    await expectConditional(model, session, 0.8, [-20, -1.8, -1.6, -1, 1.5, 2.3, 2.5, 20]);
    await session.release();
  });

  it("of NICE with wild weights are those of its density", async () => {
    const model = nameParameters(nice({ couplings: 4, hiddenLayers: 1, width: 16 }, POINTS));
    let seed = 7;
    const weights = new Map(
      [...namedTensors(model)].map(([name, { shape }]) => [name, normals(seed++, shape, 0.7)] as const),
    );
    const session = new Session(await nodeRuntime(), weights);
    await expectConditional(model, session, 0.5, [-20, -2, -1, -0.5, 0, 0.5, 1, 2, 20]);
    await session.release();
  });
});

describe("images", () => {
  it("keep known bytes, stay within bytes, and follow the flow's density", async () => {
    const data: DataInfo = { kind: "image", sampleShape: [1, 2, 2] };
    const model = nice({ couplings: 2, hiddenLayers: 1, width: 8 }, data);
    const session = await sessionOf(model);
    const x = float32([3, 250, 7, 100], [1, 1, 2, 2]);
    const known = float32([1, 1, 0, 0], [1, 1, 2, 2]);
    const draws = 300;
    const result = await model.inpaint(session, { x, known, draws, seed: 0, steps: 60 });
    await session.release();
    expect(result.shape).toEqual([1, draws, 1, 2, 2]);
    const unknown: number[] = [];
    for (let i = 0; i < draws; i++) {
      expect([...result.data.subarray(4 * i, 4 * i + 2)]).toEqual([3, 250]);
      unknown.push(...result.data.subarray(4 * i + 2, 4 * i + 4));
    }
    expect(Math.min(...unknown)).toBeGreaterThanOrEqual(-0.5);
    expect(Math.max(...unknown)).toBeLessThanOrEqual(255.5);
    // The untrained flow is independent logistics of x / 256, of which bytes see [0, 1): P(x < 128) in closed form.
    const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
    const below = (sigmoid(0.5) - 0.5) / (sigmoid(1) - 0.5);
    const found = unknown.filter((value) => value < 127.5).length / unknown.length;
    expect(Math.abs(found - below)).toBeLessThan(4 * Math.sqrt(0.25 / unknown.length));
  });
});

describe("an autoregressive flow", () => {
  it("draws the same distribution exactly and by HMC", async () => {
    const model = nameParameters(maf({ blocks: 2, order: "same", width: 12 }, TABLE));
    expect(model.triangularOrder).toEqual([0, 1, 2]);
    let seed = 40;
    const weights = new Map(
      [...namedTensors(model)].map(([name, { shape }]) => [name, normals(seed++, shape, 0.4)] as const),
    );
    const session = new Session(await nodeRuntime(), weights);
    const draws = 400;
    const options = {
      x: float32([0.4, -0.8, 0], [1, 3]),
      known: float32([1, 1, 0], [1, 3]),
      draws,
      seed: 2,
    };
    const last = async (exact: boolean) => {
      const { data } = await model.inpaint(session, { ...options, exact });
      return Array.from(data.filter((_, i) => i % 3 === 2)).sort((a, b) => a - b);
    };
    const [a, b] = [await last(true), await last(false)];
    await session.release();
    expect(a).not.toEqual(b);
    // Kolmogorov–Smirnov statistic of two samples; 2.0 is passed by chance once in 1500.
    const below = (sorted: readonly number[], value: number) =>
      sorted.filter((x) => x <= value).length / draws;
    const distance = Math.max(...a.map((value) => Math.abs(below(a, value) - below(b, value))));
    expect(distance * Math.sqrt(draws / 2)).toBeLessThan(2);
  });
});
