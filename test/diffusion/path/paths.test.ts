import { describe, expect, it } from "vitest";
import { DiscreteSchedule, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import {
  CLEAN,
  cosinePath,
  edmPath,
  karrasLevels,
  karrasRatios,
  levelsOf,
  linearPath,
  logSnrLevels,
  ratioOf,
  signalToNoise,
  startingDeviation,
  stochasticEquation,
  subVariancePreservingPath,
  thenClean,
  towardsNoise,
  trigonometricPath,
  varianceExplodingPath,
  variancePreservingPath,
} from "../../../src/diffusion/path/index.ts";
import { OptionError } from "../../../src/errors.ts";
import { evaluate } from "../../../src/program/node.ts";
import { constant, grad, input, type NdArray } from "../../../src/tensor/index.ts";
import { relativeDifference } from "../support.ts";

const names = Object.keys(PATHS) as PathName[];
const TIMES = [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999];

const float64 = (values: readonly number[]): NdArray<"float64"> => ({
  dtype: "float64",
  shape: [values.length],
  data: Float64Array.from(values),
});

describe.each(names)("the %s path", (name) => {
  const path = PATHS[name];

  it("has the derivatives of finite differences", () => {
    for (const t of TIMES) {
      const h = 1e-6 * t;
      const [before, here, after] = [path.at(t - h), path.at(t), path.at(t + h)];
      const slope = (key: "alpha" | "sigma") => (after[key] - before[key]) / (2 * h);
      expect(Math.abs(here.alphaRate - slope("alpha"))).toBeLessThan(
        1e-6 * Math.max(1, Math.abs(here.alphaRate)),
      );
      expect(Math.abs(here.sigmaRate - slope("sigma"))).toBeLessThan(
        1e-6 * Math.max(1, Math.abs(here.sigmaRate)),
      );
    }
  });

  it("is the same inside a graph", async () => {
    const t = input("t", [TIMES.length], "float64");
    const { alpha, sigma, alphaRate, sigmaRate } = path.symbolic(t);
    const { drift, diffusionSquared } = stochasticEquation(path.symbolic(t));
    const { logSnr, snr } = signalToNoise(path.symbolic(t));
    const outputs = [alpha, sigma, alphaRate, sigmaRate, drift, diffusionSquared, logSnr, snr].map((x) =>
      x.cast("float32").broadcastTo([TIMES.length]),
    );
    const found = await evaluate(outputs, new Map([[t, float64(TIMES)]]));
    const expected = TIMES.map((time) => {
      const point = path.at(time);
      return { ...point, ...stochasticEquation(point), ...signalToNoise(point) };
    });
    (
      ["alpha", "sigma", "alphaRate", "sigmaRate", "drift", "diffusionSquared", "logSnr", "snr"] as const
    ).forEach((key, i) => {
      Array.from(found[i]?.data ?? [], Number).forEach((value, k) => {
        const wanted = expected[k]?.[key] ?? Number.NaN;
        expect(Math.abs(value - wanted), `${key} at ${TIMES[k]}`).toBeLessThan(
          1e-6 * Math.max(1, Math.abs(wanted)),
        );
      });
    });
  });

  it("in float32 goes from data to noise", async () => {
    const t = input("t", [3]);
    const { alpha, sigma } = path.symbolic(t);
    const [a, s] = await evaluate(
      [alpha.broadcastTo([3]), sigma],
      new Map([[t, { dtype: "float32", shape: [3], data: Float32Array.of(0, 0.5, 1) }]]),
    );
    expect(a?.data[0]).toBeCloseTo(1, 6);
    expect(Number(a?.data[2])).toBeGreaterThanOrEqual(0);
    expect(Number(s?.data[2]) / Math.max(1, Number(s?.data[2]))).toBeCloseTo(1, 4);
    expect(ratioOf({ time: 1, alpha: Number(a?.data[2]), sigma: Number(s?.data[2]) })).toBeGreaterThan(40);
  });

  it("finds the time of a ratio", () => {
    for (const t of TIMES) {
      const point = path.at(t);
      expect(path.timeOf(ratioOf(point))).toBeCloseTo(t, 9);
      expect(path.levelAt(ratioOf(point)).sigma / point.sigma).toBeCloseTo(1, 9);
    }
    expect(() => path.timeOf(0)).toThrow(OptionError);
    expect(() => path.at(-0.1)).toThrow("time -0.1");
  });

  it("has a state and a velocity that is its derivative", async () => {
    const t = input("t", [3], "float64");
    const [data, noise] = [constant(float64([1, -2, 3])), constant(float64([0.5, 4, -1]))];
    const state = path.state(data, noise, t);
    const [slope] = grad(state.sum(), [t]);
    if (slope === undefined) throw new Error("no derivative");
    const times = [0.1, 0.4, 0.8];
    const [found, velocity, states] = await evaluate(
      [slope, path.velocity(data, noise, t), state],
      new Map([[t, float64(times)]]),
    );
    expect(
      relativeDifference(Array.from(found?.data ?? [], Number), Array.from(velocity?.data ?? [], Number)),
    ).toBeLessThan(1e-12);
    const expected = times.map((time, i) => {
      const { alpha, sigma } = path.at(time);
      return alpha * ([1, -2, 3][i] ?? 0) + sigma * ([0.5, 4, -1][i] ?? 0);
    });
    expect(relativeDifference(Array.from(states?.data ?? [], Number), expected)).toBeLessThan(1e-12);
  });
});

describe("the equation of a path", () => {
  const betaAt = (t: number) => 0.1 + 19.9 * t;
  const integral = (t: number) => 0.1 * t + (19.9 * t * t) / 2;

  it.each(TIMES)("is that of Song et al. 2021 at time %s", (t) => {
    const vp = stochasticEquation(variancePreservingPath().at(t));
    expect(vp.drift).toBeCloseTo(-betaAt(t) / 2, 9);
    expect(vp.diffusionSquared / betaAt(t)).toBeCloseTo(1, 9);
    const sub = stochasticEquation(subVariancePreservingPath().at(t));
    expect(sub.drift).toBeCloseTo(-betaAt(t) / 2, 9);
    expect(sub.diffusionSquared / (betaAt(t) * -Math.expm1(-2 * integral(t)))).toBeCloseTo(1, 9);
    const ve = stochasticEquation(varianceExplodingPath({ sigmaMin: 0.1, sigmaMax: 10 }).at(t));
    const sigma = 0.1 * 100 ** t;
    expect(ve.drift).toBe(0);
    expect(ve.diffusionSquared / (sigma * sigma * 2 * Math.log(100))).toBeCloseTo(1, 9);
    const linear = stochasticEquation(linearPath.at(t));
    expect(linear.drift * (1 - t)).toBeCloseTo(-1, 9);
    expect((linear.diffusionSquared * (1 - t)) / (2 * t)).toBeCloseTo(1, 9);
  });

  it("keeps unit variance on the paths that do", () => {
    for (const path of [variancePreservingPath(), trigonometricPath, cosinePath()]) {
      for (const t of [0, ...TIMES, 1]) expect(startingDeviation(path.at(t))).toBeCloseTo(1, 12);
    }
    expect(cosinePath().at(1).alpha).toBe(0);
    expect(trigonometricPath.at(1).alpha).toBe(0);
    // Equation 17 as it stands there.
    const f = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
    for (const t of TIMES) expect(cosinePath().at(t).alpha ** 2).toBeCloseTo(f(t) / f(0), 12);
  });

  it("refuses bounds that make no path", () => {
    expect(() => variancePreservingPath({ betaMin: 0 })).toThrow("betaMin");
    expect(() => subVariancePreservingPath({ betaMax: 0.01 })).toThrow("betaMax");
    expect(() => varianceExplodingPath({ sigmaMin: 2, sigmaMax: 1 })).toThrow("sigmaMin");
    expect(() => edmPath({ rho: 0 })).toThrow("rho");
    expect(() => cosinePath({ offset: -1 })).toThrow("offset");
    expect(() => varianceExplodingPath().timeOf(1e-4)).toThrow("0.01 everywhere");
  });
});

describe("lists of noise levels", () => {
  it("are Karras's ratios, of which EDM's path makes even times", () => {
    const ratios = karrasRatios(5, { least: 0.002, largest: 80 });
    const root = (x: number) => x ** (1 / 7);
    ratios.forEach((ratio, i) => {
      expect(ratio).toBeCloseTo((root(80) + (i / 4) * (root(0.002) - root(80))) ** 7, 9);
      expect(edmPath().at(1 - i / 4).sigma / ratio).toBeCloseTo(1, 9);
    });
    const levels = karrasLevels(linearPath, 4, { least: 0.01, largest: 50 });
    expect(levels.length).toBe(5);
    expect(levels.at(-1)).toEqual(CLEAN);
    expect(ratioOf(levels[0])).toBeCloseTo(50, 9);
    expect(karrasRatios(1, { least: 0.1, largest: 3 })).toEqual([3]);
    expect(() => karrasRatios(0, { least: 0.1, largest: 3 })).toThrow("steps");
    expect(() => karrasRatios(3, { least: 3, largest: 0.1 })).toThrow("in order");
    expect(() => karrasRatios(3, { least: 1, largest: 2, rho: -1 })).toThrow("rho");
  });

  it("are even in log-SNR", () => {
    const levels = logSnrLevels(variancePreservingPath(), 5, { least: 0.01, largest: 100 });
    levels.slice(0, -1).forEach((level, i) => {
      expect(signalToNoise(level).logSnr).toBeCloseTo(-2 * Math.log(100 ** (1 - i / 2)), 9);
    });
    expect(() => logSnrLevels(linearPath, 0, { least: 0.1, largest: 1 })).toThrow("steps");
  });

  it("end in data once, and turn around for encoding", () => {
    const points = levelsOf(linearPath, [1, 0.5, 0]);
    expect(thenClean(points)).toBe(points);
    const open = levelsOf(edmPath(), [1, 0.5, 0]);
    expect(thenClean(open).length).toBe(4);
    expect(towardsNoise(thenClean(open)).map(({ time }) => time)).toEqual([0, 0.5, 1]);
    expect(towardsNoise(points).map(({ time }) => time)).toEqual([0.5, 1]);
  });

  it("of a discrete chain hold its steps, and levels between them", () => {
    for (const zeroTerminal of [false, true]) {
      const schedule = DiscreteSchedule.of("linear", { steps: 50, zeroTerminal });
      for (const t of [0, 1, 7, 49, 50]) expect(schedule.at(t / 50)).toEqual(schedule.level(t));
      for (const time of [0.003, 0.011, 0.5, 0.777, 0.993]) {
        const level = schedule.at(time);
        expect(schedule.levelAt(ratioOf(level)).time).toBeCloseTo(time, 9);
        expect(Math.hypot(level.alpha, level.sigma)).toBeCloseTo(1, 12);
      }
    }
    const schedule = DiscreteSchedule.of("cosine", { steps: 10 });
    expect(schedule.levelAt(1e9)).toEqual(schedule.level(10));
    expect(() => schedule.level(11)).toThrow("step 11");
    expect(() => schedule.at(1.5)).toThrow("time 1.5");
    expect(() => schedule.levelAt(0)).toThrow("ratio");
    expect(() => new DiscreteSchedule([0.9, 0.5])).toThrow("begin with 1");
    expect(() => new DiscreteSchedule([1, 0.5, 0.6])).toThrow("step 2");
    expect(() => DiscreteSchedule.of("linear", { steps: 10 })).toThrow("between 0 and 1");
    expect(() => DiscreteSchedule.of("linear", { steps: 0 })).toThrow("noise steps");
  });

  it("of a long chain are those of the continuous path", () => {
    const schedule = DiscreteSchedule.of("linear", { steps: 10_000 });
    const path = variancePreservingPath();
    for (const time of [0.1, 0.5, 0.9]) {
      expect(schedule.at(time).alpha).toBeCloseTo(path.at(time).alpha, 3);
    }
  });
});
