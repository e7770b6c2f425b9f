import { describe, expect, it } from "vitest";
import { GaussianMixture, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import { karrasLevels, levelsOf, logSnrLevels, type PathPoint } from "../../../src/diffusion/path/index.ts";
import {
  ddim,
  dpmSolver,
  edm,
  interpretTable,
  probabilityFlow,
  probabilityFlowVelocity,
} from "../../../src/diffusion/solver/index.ts";
import { dormandPrince, evenTimes, FIXED_STEP_METHODS, integrate } from "../../../src/ode/index.ts";
import { Random } from "../../../src/random.ts";
import type { NdArray } from "../../../src/tensor/index.ts";
import { fittedOrder } from "../../ode/fitted-order.ts";
import { exact } from "../support.ts";

const names = Object.keys(PATHS) as PathName[];

const mildest = { least: 0.15, largest: 8 };

describe("solvers of the ODE", () => {
  // From some noise to less, evenly in time: a test of the method, not of its ends.
  const span = (name: PathName): readonly [number, number] => {
    const path = PATHS[name];
    return [path.timeOf(mildest.largest), path.timeOf(mildest.least)];
  };
  const points = (name: PathName, steps: number): readonly PathPoint[] =>
    levelsOf(PATHS[name], evenTimes(steps, ...span(name)));

  const solvers = {
    ddim: [1, (p: readonly PathPoint[]) => ddim(p)],
    "dpm-solver++, order 1": [1, (p: readonly PathPoint[]) => dpmSolver(p, { order: 1 })],
    "dpm-solver++(2M)": [2, (p: readonly PathPoint[]) => dpmSolver(p)],
    "edm, Euler": [1, (p: readonly PathPoint[]) => edm(p, { order: 1 })],
    "edm, Heun": [2, (p: readonly PathPoint[]) => edm(p)],
    "probability flow, Euler": [1, (p: readonly PathPoint[]) => probabilityFlow(p, { method: "euler" })],
    "probability flow, Heun": [2, (p: readonly PathPoint[]) => probabilityFlow(p)],
  } as const;

  /** The end of the exact course, by an adaptive solver. */
  async function reference(name: PathName, mixture: GaussianMixture, start: NdArray<"float64">) {
    const options = { rtol: 1e-11, atol: 1e-11, maxEvaluations: 100_000 };
    const field = probabilityFlowVelocity(PATHS[name], exact(mixture, PATHS[name]));
    return (await dormandPrince(field, start, ...span(name), options)).state;
  }

  const error = (found: NdArray<"float64">, wanted: NdArray<"float64">): number =>
    Math.sqrt(found.data.reduce((sum, value, i) => sum + (value - (wanted.data[i] ?? 0)) ** 2, 0));

  // Smooth enough for orders to show at few steps.
  const wide = new GaussianMixture([
    { weight: 2, mean: [-0.8, 0.3], variance: [0.5, 0.8] },
    { weight: 1, mean: [0.9, -0.5], variance: 0.6 },
  ]);
  const wideSpace = new GaussianMixture(
    [1, 2].map((k) => ({
      weight: k,
      mean: Array.from({ length: 16 }, (_, i) => 0.5 * Math.sin(5 * k + 2.3 * i * k)),
      variance: Array.from({ length: 16 }, (_, i) => 0.4 + 0.4 * Math.abs(Math.cos(k + i))),
    })),
  );

  it.each(names.flatMap((name) => [[name, "plane", wide] as const, [name, "space", wideSpace] as const]))(
    "show their order on the %s path, of the %s",
    async (name, _, mixture) => {
      const start = mixture.sample(4, new Random(3), PATHS[name].levelAt(mildest.largest));
      const wanted = await reference(name, mixture, start);
      const denoiser = exact(mixture, PATHS[name]);
      const counts = [48, 96, 192];
      for (const [solver, [order, table]] of Object.entries(solvers)) {
        const errors = counts.map((steps) =>
          error(interpretTable(table(points(name, steps)), denoiser, start), wanted),
        );
        expect(Math.abs(fittedOrder(counts, errors) - order), `${solver}: ${errors}`).toBeLessThan(0.25);
      }
      const field = probabilityFlowVelocity(PATHS[name], denoiser);
      for (const [method, order] of [
        ["midpoint", 2],
        ["heun", 2],
        ["rk4", 4],
      ] as const) {
        const errors: number[] = [];
        // With more steps RK4 is as exact as the reference.
        const fewer = counts.map((steps) => steps / 2);
        for (const steps of fewer) {
          const end = await integrate(
            FIXED_STEP_METHODS[method],
            field,
            start,
            evenTimes(steps, ...span(name)),
          );
          errors.push(error(end, wanted));
        }
        expect(Math.abs(fittedOrder(fewer, errors) - order), `${method}: ${errors}`).toBeLessThan(0.25);
      }
    },
  );

  it("keep their order on steps that are even in log-SNR or Karras's", async () => {
    const path = PATHS.vp;
    const start = wide.sample(4, new Random(3), path.levelAt(mildest.largest));
    const wanted = await reference("vp", wide, start);
    const counts = [20, 40, 80, 160];
    for (const [solver, [order, table]] of Object.entries(solvers)) {
      for (const levels of [
        (steps: number) => logSnrLevels(path, steps + 1, mildest).slice(0, -1),
        (steps: number) => karrasLevels(path, steps + 1, mildest).slice(0, -1),
      ]) {
        const errors = counts.map((steps) =>
          error(interpretTable(table(levels(steps)), exact(wide, path), start), wanted),
        );
        expect(Math.abs(fittedOrder(counts, errors) - order), `${solver}: ${errors}`).toBeLessThan(0.25);
      }
    }
  });
});
