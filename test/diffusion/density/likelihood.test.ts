import { describe, expect, it } from "vitest";
import {
  flowLogDensity,
  gaussianEnd,
  type Integration,
  type TracedVelocity,
  tracedCourse,
  withDifferenceDivergence,
} from "../../../src/diffusion/density/index.ts";
import { type GaussianMixture, PATHS, type PathName } from "../../../src/diffusion/index.ts";
import { levelsOf, varianceExplodingPath } from "../../../src/diffusion/path/index.ts";
import { probabilityFlowVelocity } from "../../../src/diffusion/solver/index.ts";
import { SolverError } from "../../../src/errors.ts";
import { evenTimes } from "../../../src/ode/index.ts";
import { Random } from "../../../src/random.ts";
import { exact, plane, space, triangle } from "../support.ts";

const names = Object.keys(PATHS) as PathName[];

const traced =
  (mixture: GaussianMixture, path: (typeof PATHS)[PathName]): TracedVelocity<"float64"> =>
  async (x, time) =>
    mixture.velocity(x, path.at(time));

const adaptive = { method: "dormand-prince", rtol: 1e-6, atol: 1e-6, maxEvaluations: 20_000 } as const;

const largestGap = (found: ArrayLike<number>, expected: ArrayLike<number>): number =>
  Math.max(...Array.from(found, (value, i) => Math.abs(value - (expected[i] ?? Number.NaN))));

const MIXTURES = { plane, space } as const;
const MIXTURE_NAMES = ["plane", "space"] as const;

/** Almost no noise: straight paths scale data by 1 − σ, which also counts. */
const LEAST = 2e-5;

describe("log-likelihood by the probability flow", () => {
  it.each(names.flatMap((name) => MIXTURE_NAMES.map((of) => [name, of] as const)))(
    "on the %s path is the exact log-density of the %s",
    async (name, of) => {
      const [path, mixture] = [PATHS[name], MIXTURES[of]];
      const from = path.at(0).sigma > LEAST ? 0 : path.timeOf(LEAST);
      const x = mixture.sample(6, new Random(2), path.at(from));
      const found = await flowLogDensity(traced(mixture, path), x, { ...adaptive, from, to: 1 }, (end) =>
        mixture.logDensity({ ...x, data: Float64Array.from(end.data) }, path.at(1)),
      );
      expect(largestGap(found, mixture.logDensity(x, path.at(from)))).toBeLessThan(1e-4);
      // Exploding paths begin with the noise σ_min: their density there is not that of data.
      if (from > 0) expect(largestGap(found, mixture.logDensity(x))).toBeLessThan(1e-3);
    },
  );

  it.each(["linear", "trigonometric", "vp", "sub-vp", "cosine"] as const)(
    "with the Gaussian that samplers begin with is exact to 1e-3 on the %s path",
    async (name) => {
      const path = PATHS[name];
      const from = path.timeOf(LEAST);
      const x = triangle.sample(20, new Random(3));
      const found = await flowLogDensity(
        traced(triangle, path),
        x,
        { ...adaptive, from, to: 1 },
        gaussianEnd(path.at(1)),
      );
      expect(largestGap(found, triangle.logDensity(x))).toBeLessThan(1e-3);
    },
  );

  it("on exploding paths is exact to 1e-3 where the noise is large enough", async () => {
    const path = varianceExplodingPath({ sigmaMin: 0.002, sigmaMax: 80 });
    const x = triangle.sample(20, new Random(3));
    const found = await flowLogDensity(
      traced(triangle, path),
      x,
      { ...adaptive, from: 0, to: 1 },
      gaussianEnd(path.at(1)),
    );
    expect(largestGap(found, triangle.logDensity(x))).toBeLessThan(1e-3);
  });

  it("is the same with fixed steps, and with a divergence by differences of a denoiser", async () => {
    const path = PATHS.linear;
    const x = plane.sample(5, new Random(4));
    const times = levelsOf(
      path,
      evenTimes(200, 0, 1).map((u) => path.timeOf(LEAST * 5e6 ** u)),
    ).map(({ time }) => time);
    const integration: Integration = { method: "rk4", times };
    const end = (state: { readonly data: ArrayLike<number> }) =>
      plane.logDensity({ ...x, data: Float64Array.from(state.data) }, path.at(times.at(-1) ?? 1));
    const found = await flowLogDensity(traced(plane, path), x, integration, end);
    expect(largestGap(found, plane.logDensity(x))).toBeLessThan(1e-3);
    const differences = withDifferenceDivergence(probabilityFlowVelocity(path, exact(plane, path)));
    const other = await flowLogDensity(differences, x, integration, end);
    expect(largestGap(other, found)).toBeLessThan(1e-4);
    expect(() => withDifferenceDivergence(probabilityFlowVelocity(path, exact(plane, path)), 0)).toThrow(
      "step",
    );
  });

  it("comes with the code, which a course back turns into data again, in float32 too", async () => {
    const path = PATHS.vp;
    const x = plane.sample(5, new Random(4));
    const there = await tracedCourse(traced(plane, path), x, { ...adaptive, from: 0.01, to: 1 });
    const back = await tracedCourse(traced(plane, path), there.end, { ...adaptive, from: 1, to: 0.01 });
    expect(largestGap(back.end.data, x.data)).toBeLessThan(1e-4);
    expect(
      largestGap(
        back.logDeterminant,
        there.logDeterminant.map((value) => -value),
      ),
    ).toBeLessThan(1e-4);
    const single: TracedVelocity<"float32"> = async (state, time) => {
      const { velocity, divergence } = plane.velocity(
        { ...state, dtype: "float64", data: Float64Array.from(state.data) },
        path.at(time),
      );
      return { velocity: { ...state, data: Float32Array.from(velocity.data) }, divergence };
    };
    const course = await tracedCourse(
      single,
      { dtype: "float32", shape: x.shape, data: Float32Array.from(x.data) },
      { ...adaptive, rtol: 1e-5, atol: 1e-5, from: 0.01, to: 1 },
    );
    expect(course.end.dtype).toBe("float32");
    expect(largestGap(course.end.data, there.end.data)).toBeLessThan(1e-3);
  });

  it("gives up where evaluations run out", async () => {
    const x = plane.sample(2, new Random(4));
    const stingy = { ...adaptive, maxEvaluations: 10, from: 0.01, to: 1 };
    await expect(tracedCourse(traced(plane, PATHS.vp), x, stingy)).rejects.toThrow(SolverError);
  });
});
