import { describe, expect, it } from "vitest";
import { DiscreteSchedule, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import {
  CLEAN,
  edmPath,
  karrasLevels,
  karrasRatios,
  levelsOf,
  linearPath,
  type NoiseLevel,
  type PathPoint,
  thenClean,
  towardsNoise,
} from "../../../src/diffusion/path/index.ts";
import {
  ddim,
  ddpm,
  dpmSolver,
  edm,
  interpretTable,
  probabilityFlow,
  reverseSde,
  type SolverTable,
  selectSteps,
  withLangevinCorrector,
} from "../../../src/diffusion/solver/index.ts";
import { OptionError } from "../../../src/errors.ts";
import { evenTimes } from "../../../src/ode/index.ts";
import { Random } from "../../../src/random.ts";
import type { NdArray } from "../../../src/tensor/index.ts";
import { exact, inFloat32, normals, plane, relativeDifference, space, triangle } from "../support.ts";

const names = Object.keys(PATHS) as PathName[];

/** Coefficients of a table, row by row. */
const numbersOf = ({ rows }: SolverTable): number[] => rows.flatMap((row) => Object.values(row));

describe("deterministic solvers", () => {
  it("encode and decode: the end of a course, followed back, is its start", () => {
    for (const [mixture, path] of [
      [triangle, PATHS.vp],
      [space, PATHS.linear],
      [plane, PATHS.edm],
    ] as const) {
      const start = mixture.sample(50, new Random(8));
      const levels = karrasLevels(path, 101, { least: 0.01, largest: 60 });
      const range = Math.max(...start.data) - Math.min(...start.data);
      for (const solver of [ddim, dpmSolver, edm, (l: readonly PathPoint[]) => probabilityFlow(l)]) {
        const noise = interpretTable(solver(towardsNoise(levels)), exact(mixture, path), start);
        const back = interpretTable(solver(levels), exact(mixture, path), noise);
        const square = back.data.reduce((sum, value, i) => sum + (value - (start.data[i] ?? 0)) ** 2, 0);
        const psnr = 10 * Math.log10(range ** 2 / (square / start.data.length));
        expect(psnr).toBeGreaterThan(30);
      }
    }
  });
});

describe("methods that are the same", () => {
  const schedule = DiscreteSchedule.of("linear", { steps: 1000 });

  it("DDIM with η = 1 on all steps is DDPM", () => {
    const all = schedule.levels(selectSteps(1000, 1000));
    expect(relativeDifference(numbersOf(ddim(all, { eta: 1 })), numbersOf(ddpm(all)))).toBeLessThan(1e-12);
    const denoiser = exact(plane, schedule);
    const start = { ...plane.sample(5, new Random(1)), data: Float64Array.from(normals(0, [5, 2]).data) };
    const noise = (i: number) => normals(i, [5, 2]);
    const one = interpretTable(ddim(all, { eta: 1 }), denoiser, start, { noise });
    const other = interpretTable(ddpm(all), denoiser, start, { noise });
    expect(relativeDifference(one.data, other.data)).toBeLessThan(1e-12);
  });

  it.each(names)("DDIM with η = 1 is ancestral sampling on the %s path too", (name) => {
    const levels = karrasLevels(PATHS[name], 12, { least: 0.02, largest: 40 });
    expect(relativeDifference(numbersOf(ddim(levels, { eta: 1 })), numbersOf(ddpm(levels)))).toBeLessThan(
      1e-12,
    );
  });

  it.each(names)(
    "DDIM, DPM-Solver++ of first order and EDM's Euler steps are one method on the %s path",
    (name) => {
      const levels = karrasLevels(PATHS[name], 12, { least: 0.02, largest: 40 });
      const withoutMemory = ({ rows, deviation }: SolverTable): SolverTable => ({
        rows: rows.map((row) => ({ ...row, e: 0, f: 0 })),
        deviation,
      });
      const own = numbersOf(ddim(levels));
      expect(relativeDifference(numbersOf(withoutMemory(dpmSolver(levels, { order: 1 }))), own)).toBeLessThan(
        1e-12,
      );
      expect(relativeDifference(numbersOf(edm(levels, { order: 1 })), own)).toBeLessThan(1e-12);
    },
  );

  it("Euler's method for the straight path is DDIM, and the reverse SDE without noise is the probability flow", () => {
    const points = levelsOf(linearPath, evenTimes(9));
    const own = numbersOf(probabilityFlow(points, { method: "euler" }));
    expect(relativeDifference(numbersOf(ddim(points)), own)).toBeLessThan(1e-12);
    const inside = levelsOf(PATHS.vp, evenTimes(9, 1, 0.1));
    expect(
      relativeDifference(
        numbersOf(reverseSde(inside, { noiseScale: 0 })),
        numbersOf(probabilityFlow(inside, { method: "euler" })),
      ),
    ).toBeLessThan(1e-9);
  });

  it("the upper variance is β, the learned one between both", () => {
    const levels = schedule.levels([600, 599, 598]);
    const [lower, upper, learned] = (["lower", "upper", "learned"] as const).map(
      (variance) => ddpm(levels, { variance }).rows[0],
    );
    const beta = 1 - (schedule.alphaBars[600] ?? 0) / (schedule.alphaBars[599] ?? 1);
    expect((upper?.s ?? 0) ** 2).toBeCloseTo(beta, 12);
    const share = (1 - (schedule.alphaBars[599] ?? 0)) / (1 - (schedule.alphaBars[600] ?? 0));
    expect((lower?.s ?? 0) ** 2).toBeCloseTo(beta * share, 12);
    expect((learned?.s ?? 0) * Math.exp(learned?.range ?? 0)).toBeCloseTo(upper?.s ?? 0, 12);
    // Half of the way, in logarithms (Nichol and Dhariwal 2021, equation 15).
    const x: NdArray<"float64"> = { dtype: "float64", shape: [1], data: Float64Array.of(0.3) };
    const half = interpretTable(
      ddpm(levels.slice(0, 2), { variance: "learned" }),
      () => ({
        denoised: { ...x, data: Float64Array.of(0) },
        variance: { ...x, data: Float64Array.of(0.5) },
      }),
      x,
      { noise: () => inFloat32({ ...x, data: Float64Array.of(1) }) },
    );
    const expected = 0.3 * (lower?.a ?? 0) + Math.exp((Math.log(beta) + Math.log(beta * share)) / 4);
    expect(half.data[0]).toBeCloseTo(expected, 12);
  });
});

describe("EDM's stochastic sampler", () => {
  /** Algorithm 2 of Karras et al. 2022, line by line. `noise(i)` is what step i adds. */
  function algorithm2(
    denoise: (x: Float64Array, sigma: number) => Float64Array,
    start: Float64Array,
    sigmas: readonly number[],
    { churn, least, largest, scale }: Record<"churn" | "least" | "largest" | "scale", number>,
    noise: (i: number) => ArrayLike<number>,
  ): Float64Array {
    let x = start;
    const steps = sigmas.length - 1;
    for (let i = 0; i < steps; i++) {
      const [t = 0, next = 0] = [sigmas[i], sigmas[i + 1]];
      const gamma = t >= least && t <= largest ? Math.min(churn / steps, Math.SQRT2 - 1) : 0;
      const raised = t + gamma * t;
      const eps = noise(i);
      const hat = x.map((value, k) => value + Math.sqrt(raised ** 2 - t ** 2) * scale * (eps[k] ?? 0));
      const first = denoise(hat, raised);
      const d = hat.map((value, k) => (value - (first[k] ?? 0)) / raised);
      x = hat.map((value, k) => value + (next - raised) * (d[k] ?? 0));
      if (next === 0) continue;
      const second = denoise(x, next);
      const end = x.map((value, k) => (value - (second[k] ?? 0)) / next);
      x = hat.map((value, k) => value + (next - raised) * (((d[k] ?? 0) + (end[k] ?? 0)) / 2));
    }
    return x;
  }

  it.each([
    { churn: 10, least: 0.05, largest: 50, scale: 1.003 },
    { churn: 100, least: 0, largest: 1e9, scale: 1 },
    { churn: 0, least: 0, largest: 1e9, scale: 1 },
  ])("is algorithm 2 with S_churn $churn", (options) => {
    const path = edmPath();
    const sigmas = [...karrasRatios(9, { least: 0.002, largest: 80 }), 0];
    const levels = thenClean(sigmas.slice(0, -1).map((sigma) => path.levelAt(sigma)));
    const table = edm(levels, {
      churn: {
        amount: options.churn,
        least: options.least,
        largest: options.largest,
        noise: options.scale,
        levels: path,
      },
    });
    const shape = [6, 2];
    const eps = (i: number) => normals(50 + i, shape).data;
    const start = Float64Array.from(normals(1, shape).data, (value) => 80 * value);
    const denoise = (x: Float64Array, sigma: number) =>
      plane.denoise({ dtype: "float64", shape, data: x }, { time: 0, alpha: 1, sigma }).data;
    const expected = algorithm2(denoise, start, sigmas, options, eps);
    // Ours begins at the level that the first step raises the noise to, and draws the noise of a step one step before.
    expect(table.rows.length).toBe(2 * 9 - 1);
    const first = path.at(table.rows[0]?.time ?? 0).sigma;
    const raised = Math.sqrt(Math.max(0, first ** 2 - 80 ** 2)) * options.scale;
    const begin = start.map((value, k) => value + raised * (eps(0)[k] ?? 0));
    const found = interpretTable(
      table,
      exact(plane, path),
      { dtype: "float64", shape, data: begin },
      { noise: (row) => normals(50 + (row + 1) / 2, shape) },
    );
    expect(relativeDifference(found.data, expected)).toBeLessThan(1e-9);
    expect(table.deviation).toBeCloseTo(Math.sqrt(80 ** 2 + 1 + raised ** 2), 9);
  });

  it("raises no noise beyond the last step of a discrete chain", () => {
    const schedule = DiscreteSchedule.of("linear", { steps: 100 });
    const levels = karrasLevels(schedule, 5, { least: 0.05, largest: 100 });
    const table = edm(levels, { churn: { amount: 2, levels: schedule } });
    expect(Math.max(...table.rows.map(({ time }) => time))).toBeLessThanOrEqual(1);
    expect(table.rows.some(({ s }) => s > 0)).toBe(true);
  });
});

describe("predictor–corrector", () => {
  it("adds Langevin steps after each step but the last", () => {
    const levels = thenClean(levelsOf(PATHS.ve, evenTimes(4, 1, 0)));
    const table = withLangevinCorrector(ddpm(levels), levels, { ratio: 0.2, steps: 2 });
    expect(table.rows.length).toBe(5 + 2 * 4);
    const [, corrector] = table.rows;
    const { sigma = 0 } = levels[1] ?? CLEAN;
    // ε = 2 r² σ², x + ε (D − x) / σ² + √(2 ε) z.
    const epsilon = 2 * 0.04 * sigma ** 2;
    expect(corrector?.a).toBeCloseTo(1 - epsilon / sigma ** 2, 12);
    expect(corrector?.b).toBeCloseTo(epsilon / sigma ** 2, 12);
    expect(corrector?.s).toBeCloseTo(Math.sqrt(2 * epsilon), 12);
    expect(corrector?.time).toBe(corrector?.next);
  });
});

describe("what solvers refuse", () => {
  const levels: readonly NoiseLevel[] = thenClean(levelsOf(PATHS.vp, [0.9, 0.5, 0.1]));
  const up = towardsNoise(levels);
  const points = levelsOf(PATHS.linear, [1, 0.5, 0.1]);

  it.each([
    [() => ddim([CLEAN]), "two noise levels"],
    [() => ddim([CLEAN, ...up]), "level 0 (time 0) is clean"],
    [() => ddim([...levels.slice(0, 2), ...levels]), "level 2 (time 0.9)"],
    [() => dpmSolver([{ time: 1, alpha: Number.NaN, sigma: 1 }, CLEAN]), "alpha NaN"],
    [() => ddim(levels, { eta: 1.2 }), "eta"],
    [() => ddim(up, { eta: 0.5 }), "encoding"],
    [() => ddpm(up), "from noise to data"],
    [() => reverseSde(towardsNoise(points)), "from noise to data"],
    [() => reverseSde(points), "begin below time 1"],
    [() => reverseSde(points.slice(1), { noiseScale: -1 }), "noise scale"],
    [() => edm(points), "begin below time 1"],
    [() => edm(levels, { churn: { amount: -1, levels: PATHS.vp } }), "churn"],
    [() => edm(up, { churn: { amount: 1, levels: PATHS.vp } }), "encoding"],
    [() => withLangevinCorrector(edm(levels), levels), "one row"],
    [() => withLangevinCorrector(dpmSolver(levels), levels), "memory"],
    [() => withLangevinCorrector(ddpm(levels), levels, { ratio: 2 }), "ratio"],
    [() => withLangevinCorrector(ddpm(levels), levels, { steps: 0 }), "corrector steps"],
    [() => interpretTable(ddpm(levels), exact(plane, PATHS.vp), plane.sample(1, new Random(0))), "no noise"],
  ] as const)("case %#", (attempt, message) => {
    expect(attempt).toThrow(OptionError);
    expect(attempt).toThrow(message);
  });

  it("steps that are none", () => {
    expect(() => selectSteps(10, 11)).toThrow("1 to 10");
    expect(selectSteps(10, 10, "quadratic")).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    expect(selectSteps(1000, 5, "quadratic")).toEqual([1000, 562, 250, 63, 1, 0]);
    expect(selectSteps(1000, 1, "quadratic")).toEqual([1000, 0]);
  });
});
