import { describe, expect, it } from "vitest";
import { PATHS, type PathName } from "../../../src/diffusion/index.ts";
import { stochasticEquation, varianceExplodingPath } from "../../../src/diffusion/path/index.ts";
import { probabilityFlowVelocity } from "../../../src/diffusion/solver/index.ts";
import { integrate, rk4 } from "../../../src/ode/index.ts";
import { Random } from "../../../src/random.ts";
import { exact, float64, plane, space } from "../support.ts";

// The diffusion equation and what follows from it, on a mixture whose density is known at every time. All derivatives are
// finite differences of the density itself.

const names = Object.keys(PATHS) as PathName[];
const TIMES = [0.1, 0.35, 0.6, 0.85];

type Point = readonly [x: number, y: number];

/** p_t(x) on a path. */
const density =
  (name: PathName) =>
  (t: number, [x, y]: Point): number =>
    Math.exp(plane.posterior([x, y], PATHS[name].at(t)).logDensity);

/** Places where there is some density at a time. */
function placesOf(name: PathName, t: number): readonly Point[] {
  const { data } = plane.sample(6, new Random(4), PATHS[name].at(t));
  return Array.from({ length: 6 }, (_, i) => [data[2 * i] ?? 0, data[2 * i + 1] ?? 0] as const);
}

/** A length over which the density at a time changes by a part. */
const lengthAt = (name: PathName, t: number): number =>
  Math.hypot(0.14 * PATHS[name].at(t).alpha, PATHS[name].at(t).sigma);

/** Fourth-order central differences: of f by its argument, and twice. */
const slope = (f: (h: number) => number, h: number): number =>
  (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
const curvature = (f: (h: number) => number, h: number): number =>
  (16 * (f(h) + f(-h)) - (f(2 * h) + f(-2 * h)) - 30 * f(0)) / (12 * h * h);

const laplacian = (p: (at: Point) => number, [x, y]: Point, h: number): number =>
  curvature((d) => p([x + d, y]), h) + curvature((d) => p([x, y + d]), h);

/** ∇ · (u p) for a field u. */
const divergence = (flux: (at: Point) => Point, [x, y]: Point, h: number): number =>
  slope((d) => flux([x + d, y])[0], h) + slope((d) => flux([x, y + d])[1], h);

function expectEqual(found: number, expected: number, scale: number): void {
  expect(Math.abs(found - expected) / scale).toBeLessThan(1e-5);
}

describe("diffusion", () => {
  it("without a drift obeys the heat equation ∂p/∂t = ½ (dσ²/dt) Δp", () => {
    for (const path of [varianceExplodingPath({ sigmaMin: 0.05, sigmaMax: 3 }), PATHS.ve, PATHS.edm]) {
      for (const t of TIMES) {
        const point = path.at(t);
        const rate = 2 * point.sigma * point.sigmaRate;
        const h = 0.01 * Math.hypot(0.14, point.sigma);
        const p = (time: number, at: Point) => Math.exp(plane.posterior(at, path.at(time)).logDensity);
        const { data } = plane.sample(6, new Random(4), point);
        for (let i = 0; i < 12; i += 2) {
          const place = [data[i] ?? 0, data[i + 1] ?? 0] as const;
          const change = slope((d) => p(t + d, place), 1e-4);
          const spread = (rate / 2) * laplacian((at) => p(t, at), place, h);
          expectEqual(change, spread, (rate * p(t, place)) / (0.02 + point.sigma ** 2));
        }
      }
    }
  });

  it.each(names)("on the %s path obeys its Fokker–Planck equation ∂p/∂t = −∇·(f x p) + ½ g² Δp", (name) => {
    const p = density(name);
    for (const t of TIMES) {
      const { drift, diffusionSquared } = stochasticEquation(PATHS[name].at(t));
      const h = 0.01 * lengthAt(name, t);
      for (const place of placesOf(name, t)) {
        const change = slope((d) => p(t + d, place), 1e-4);
        const carried = divergence(
          ([x, y]) => [drift * x * p(t, [x, y]), drift * y * p(t, [x, y])],
          place,
          h,
        );
        const spread = (diffusionSquared / 2) * laplacian((at) => p(t, at), place, h);
        expectEqual(change, spread - carried, (diffusionSquared * p(t, place)) / lengthAt(name, t) ** 2);
      }
    }
  });

  it.each(names)("on the %s path is transported by the ODE's velocity: ∂p/∂t = −∇·(v p)", (name) => {
    const p = density(name);
    for (const t of TIMES) {
      const point = PATHS[name].at(t);
      const h = 0.01 * lengthAt(name, t);
      const flux = (at: Point): Point => {
        const [vx = 0, vy = 0] = plane.velocity(float64([at]), point).velocity.data;
        return [vx * p(t, at), vy * p(t, at)];
      };
      for (const place of placesOf(name, t)) {
        const change = slope((d) => p(t + d, place), 1e-4);
        const { diffusionSquared } = stochasticEquation(point);
        expectEqual(
          change,
          -divergence(flux, place, h),
          (diffusionSquared * p(t, place)) / lengthAt(name, t) ** 2,
        );
      }
    }
  });

  it.each(names)("on the %s path has that velocity as f x − ½ g² ∇ log p", async (name) => {
    for (const t of TIMES) {
      const point = PATHS[name].at(t);
      const { drift, diffusionSquared } = stochasticEquation(point);
      const x = plane.sample(3, new Random(5), point);
      const velocity = await probabilityFlowVelocity(PATHS[name], exact(plane, PATHS[name]))(x, t);
      const score = plane.score(x, point);
      velocity.data.forEach((value, i) => {
        const expected = drift * (x.data[i] ?? 0) - (diffusionSquared / 2) * (score.data[i] ?? 0);
        expect(Math.abs(value - expected)).toBeLessThan(
          1e-8 * (1 + Math.abs(expected)) * (1 + Math.abs(drift)),
        );
      });
    }
  });
});

describe("along a trajectory of the ODE", () => {
  const h = 1e-3;
  /** One small step. */
  const moved = async (name: PathName, x: ReturnType<typeof float64>, t: number, mixture = plane) =>
    integrate(rk4, probabilityFlowVelocity(PATHS[name], exact(mixture, PATHS[name])), x, [t, t + h]);

  it.each(names)("of the %s path log-density changes by minus the divergence", async (name) => {
    for (const mixture of [plane, space]) {
      for (const t of TIMES) {
        const x = mixture.sample(4, new Random(6), PATHS[name].at(t));
        const end = await moved(name, x, t, mixture);
        const before = mixture.logDensity(x, PATHS[name].at(t));
        const after = mixture.logDensity(end, PATHS[name].at(t + h));
        // The divergence at both ends and in the middle, by Simpson's rule.
        const middle = await integrate(
          rk4,
          probabilityFlowVelocity(PATHS[name], exact(mixture, PATHS[name])),
          x,
          [t, t + h / 2],
        );
        const at = (y: typeof x, time: number) => mixture.velocity(y, PATHS[name].at(time)).divergence;
        const [first, half, last] = [at(x, t), at(middle, t + h / 2), at(end, t + h)];
        before.forEach((value, i) => {
          const integral = (h / 6) * ((first[i] ?? 0) + 4 * (half[i] ?? 0) + (last[i] ?? 0));
          expect(Math.abs((after[i] ?? 0) - value + integral)).toBeLessThan(
            1e-6 * Math.max(1, Math.abs(integral)),
          );
        });
      }
    }
  });

  it.each(names)("of the %s path that is the log-determinant of the Jacobian of the step", async (name) => {
    for (const t of TIMES) {
      const point = PATHS[name].at(t);
      const { data } = plane.sample(3, new Random(7), point);
      const d = 1e-4 * Math.hypot(0.14 * point.alpha, point.sigma);
      for (let i = 0; i < 6; i += 2) {
        const [x, y] = [data[i] ?? 0, data[i + 1] ?? 0];
        const around = float64([
          [x, y],
          [x + d, y],
          [x - d, y],
          [x, y + d],
          [x, y - d],
        ]);
        const end = (await moved(name, around, t)).data;
        const by = (ahead: number, behind: number, k: number) =>
          ((end[2 * ahead + k] ?? 0) - (end[2 * behind + k] ?? 0)) / (2 * d);
        const determinant = by(1, 2, 0) * by(3, 4, 1) - by(1, 2, 1) * by(3, 4, 0);
        const before = plane.posterior([x, y], point).logDensity;
        const after = plane.posterior(end.subarray(0, 2), PATHS[name].at(t + h)).logDensity;
        expect(Math.abs(after - before + Math.log(determinant))).toBeLessThan(1e-6);
      }
    }
  });
});
