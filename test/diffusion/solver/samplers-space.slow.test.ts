import { describe, it } from "vitest";
import { PATHS, type PathName } from "../../../src/diffusion/index.ts";
import { karrasLevels, levelsOf, thenClean } from "../../../src/diffusion/path/index.ts";
import {
  ddim,
  ddpm,
  dpmSolver,
  edm,
  probabilityFlow,
  reverseSde,
  withLangevinCorrector,
} from "../../../src/diffusion/solver/index.ts";
import { evenTimes } from "../../../src/ode/index.ts";
import { Recovery } from "../recovery.ts";
import { exact, space } from "../support.ts";

describe("samplers with the exact score of a mixture of sixteen dimensions", () => {
  const recovery = new Recovery(space);
  const path = PATHS.edm;
  const karras = (steps: number) => karrasLevels(path, steps, { least: 0.01, largest: 80 });

  it.each([
    ["ancestral, lower variance", ddpm(karras(120))],
    ["ancestral, upper variance", ddpm(karras(110), { variance: "upper" })],
    ["DDIM", ddim(karras(100))],
    ["DDIM, eta 0.5", ddim(karras(80), { eta: 0.5 })],
    ["DPM-Solver++(2M)", dpmSolver(karras(25))],
    ["EDM, Heun", edm(karras(20))],
    ["EDM with churn", edm(karras(60), { churn: { amount: 15, levels: path } })],
    ["predictor–corrector", withLangevinCorrector(ddpm(karras(60)), karras(60))],
  ] as const)("%s recovers it", (_, table) => {
    recovery.expectRecovered(table, exact(space, path));
  });

  it.each(["linear", "vp", "ve"] as const satisfies readonly PathName[])(
    "the probability flow and the reverse SDE recover it on the %s path",
    (name) => {
      const own = PATHS[name];
      const points = (steps: number) =>
        thenClean(levelsOf(own, evenTimes(steps, own.span.noisy, own.span.clean)));
      recovery.expectRecovered(probabilityFlow(points(40)), exact(space, own));
      recovery.expectRecovered(reverseSde(points(150)), exact(space, own));
    },
  );
});
