import { describe, expect, it } from "vitest";
import { DiscreteSchedule, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import {
  karrasLevels,
  levelsOf,
  type NoiseLevel,
  type NoiseLevels,
  ratioOf,
  thenClean,
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
import { evenTimes } from "../../../src/ode/index.ts";
import { Recovery } from "../recovery.ts";
import { exact, normals, plane, relativeDifference } from "../support.ts";

const names = Object.keys(PATHS) as PathName[];

const karras = (levels: NoiseLevels, steps: number): readonly NoiseLevel[] =>
  karrasLevels(levels, steps, { least: 0.01, largest: 80 });

/** Solvers that see a path by its noise levels alone. */
const byLevels: Readonly<Record<string, (levels: NoiseLevels) => SolverTable>> = {
  "ancestral, lower variance": (levels) => ddpm(karras(levels, 120)),
  "ancestral, upper variance": (levels) => ddpm(karras(levels, 150), { variance: "upper" }),
  DDIM: (levels) => ddim(karras(levels, 100)),
  "DDIM, eta 0.5": (levels) => ddim(karras(levels, 80), { eta: 0.5 }),
  "DDIM, eta 1": (levels) => ddim(karras(levels, 80), { eta: 1 }),
  "DPM-Solver++(2M)": (levels) => dpmSolver(karras(levels, 25)),
  "EDM, Heun": (levels) => edm(karras(levels, 20)),
  "EDM with churn": (levels) => edm(karras(levels, 40), { churn: { amount: 20, levels } }),
  "predictor–corrector": (levels) =>
    withLangevinCorrector(ddpm(karras(levels, 100)), karras(levels, 100), { steps: 2 }),
};

describe("samplers with the exact score of a mixture of the plane", () => {
  const recovery = new Recovery(plane);

  it.each(Object.entries(byLevels))("%s recovers it", (_, table) => {
    recovery.expectRecovered(table(PATHS.vp), exact(plane, PATHS.vp));
  });

  it.each(names)("the probability flow and the reverse SDE recover it on the %s path", (name) => {
    const path = PATHS[name];
    const points = (steps: number) =>
      thenClean(levelsOf(path, evenTimes(steps, path.span.noisy, path.span.clean)));
    const denoiser = exact(plane, path);
    recovery.expectRecovered(probabilityFlow(points(40)), denoiser);
    recovery.expectRecovered(reverseSde(points(200)), denoiser);
  });

  it("Euler's method and an equation with less noise recover it", () => {
    const points = thenClean(levelsOf(PATHS.vp, evenTimes(150, 1, 1e-3)));
    recovery.expectRecovered(probabilityFlow(points, { method: "euler" }), exact(plane, PATHS.vp));
    recovery.expectRecovered(reverseSde(points, { noiseScale: 0.5 }), exact(plane, PATHS.vp));
  });

  it("DDPM's chain recovers it, whole or in part", () => {
    for (const schedule of [
      DiscreteSchedule.of("cosine", { steps: 150 }),
      DiscreteSchedule.of("scaled-linear", { steps: 150, zeroTerminal: true }),
    ]) {
      const denoiser = exact(plane, schedule);
      const levels = (steps: number) => schedule.levels(selectSteps(150, steps));
      recovery.expectRecovered(ddpm(levels(150)), denoiser);
      recovery.expectRecovered(ddim(levels(75)), denoiser);
      recovery.expectRecovered(dpmSolver(levels(40)), denoiser);
    }
  });

  it("a wrong sampler is told from them", () => {
    const right = ddpm(karras(PATHS.vp, 120));
    const rows = right.rows.map((row) => ({ ...row, s: 0.8 * row.s }));
    expect(Math.max(...recovery.excess({ ...right, rows }, exact(plane, PATHS.vp)))).toBeGreaterThan(4);
    const shifted = right.rows.map((row) => ({ ...row, b: 0.9 * row.b }));
    expect(Math.max(...recovery.excess({ ...right, rows: shifted }, exact(plane, PATHS.vp)))).toBeGreaterThan(
      4,
    );
  });

  // The upper variance is β_t, which is another in units of α on every path.
  const alike = Object.entries(byLevels).filter(([name]) => !name.includes("upper"));
  it.each(alike)("%s makes the same samples on every path, in units of α", (_, table) => {
    const shape = [8, 2];
    const runOn = (name: PathName) => {
      const own = table(PATHS[name]);
      const start = {
        dtype: "float64",
        shape,
        data: Float64Array.from(normals(1, shape).data, (z) => own.deviation * z),
      } as const;
      const alphas = own.rows.map(({ next }) => (next === 0 ? 1 : PATHS[name].at(next).alpha));
      const states: number[] = [];
      interpretTable(own, exact(plane, PATHS[name]), start, {
        noise: (i) => normals(i, shape),
        onRow: (x, i) => states.push(...Array.from(x.data, (value) => value / (alphas[i] ?? 1))),
      });
      expect(ratioOf(PATHS[name].at(own.rows[0]?.time ?? 0))).toBeGreaterThan(79);
      return states;
    };
    const expected = runOn("trigonometric");
    for (const name of names) {
      // The time of VE at 0 is that of clean data.
      if (name === "ve") continue;
      expect(relativeDifference(runOn(name), expected)).toBeLessThan(1e-6);
    }
  });
});
