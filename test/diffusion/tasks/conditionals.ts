import { expect } from "vitest";
import { DiscreteSchedule, PATHS, type Process } from "../../../src/diffusion/index.ts";
import type { InpaintOptions } from "../../../src/model/capabilities.ts";
import { float32 } from "../../../src/tensor/index.ts";
import { CLOUDS, exactModel } from "./exact-model.ts";

// Completions of clouds of points by a denoiser that is exact, and the distribution that they must have.

/** The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series =
    ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

/** The distribution function of the second coordinate of the clouds where the first is `known`. */
export function conditional(known: number): (value: number) => number {
  const weights = CLOUDS.map(({ weight, mean: [mean = 0], variance: [variance = 1] }) => {
    return (weight * Math.exp(-((known - mean) ** 2) / (2 * variance))) / Math.sqrt(variance);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return (value) =>
    CLOUDS.reduce((sum, { mean: [, mean = 0], variance: [, variance = 1] }, k) => {
      const below = (1 + erf((value - mean) / Math.sqrt(2 * variance))) / 2;
      return sum + ((weights[k] ?? 0) / total) * below;
    }, 0);
}

/** Kolmogorov and Smirnov's distance of values to a distribution. */
export function distance(values: readonly number[], distribution: (value: number) => number): number {
  const ordered = values.toSorted((a, b) => a - b);
  return ordered.reduce((largest, value, i) => {
    const place = distribution(value);
    const ends = [i / ordered.length, (i + 1) / ordered.length];
    return Math.max(largest, ...ends.map((end) => Math.abs(place - end)));
  }, 0);
}

export const DRAWS = 300;
/** What the distance of true draws is below in 99 of 100 cases. */
export const CRITICAL = 1.63 / Math.sqrt(DRAWS);

export const processes: Readonly<Record<string, Process>> = {
  chain: DiscreteSchedule.of("linear", { steps: 1000 }),
  vp: PATHS.vp,
  linear: PATHS.linear,
  edm: PATHS.edm,
};

/** Draws of the second coordinate given the first, and what came back of the first. */
export async function drawn(process: Process, known: number, options: Partial<InpaintOptions>) {
  const { model, session } = await exactModel(CLOUDS, process);
  const { data, shape } = await model.inpaint(session, {
    x: float32([known, Number.NaN], [1, 2]),
    known: float32([1, 0], [1, 2]),
    draws: DRAWS,
    seed: 2,
    ...options,
  });
  await session.release();
  expect(shape).toEqual([1, DRAWS, 2]);
  const column = (k: number) => Array.from({ length: DRAWS }, (_, i) => data[2 * i + k] ?? Number.NaN);
  expect(new Set(column(0))).toEqual(new Set([Math.fround(known)]));
  return column(1);
}

/** That repaint draws the second coordinate from its distribution given the first. */
export async function expectConditional(
  process: Process,
  given: readonly number[] = [0.5, -0.6],
): Promise<void> {
  for (const known of given) {
    const values = await drawn(process, known, { method: "repaint", steps: 60, resamplings: 30 });
    expect(distance(values, conditional(known))).toBeLessThan(CRITICAL);
  }
}
