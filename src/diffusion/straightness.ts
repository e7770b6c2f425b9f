import type { PathMeasures } from "../nn/model.ts";
import { addScaled, evenTimes, type Velocity } from "../ode/index.ts";
import type { NdArray } from "../tensor/index.ts";

/**
 * How straight the paths of a flow are, and how far they lead (Liu et al. 2022, sections 2.2 and 3.2), as means over samples:
 *
 *     S = ∫₀¹ E ‖(Z₁ − Z₀) − dZ_t/dt‖² dt,   cost = E ‖Z₁ − Z₀‖²
 *
 * with states by Heun's method and the integral by the trapezoidal rule. S is 0 where all paths are straight lines that are
 * gone at even speed: one step of Euler's method is then exact.
 * @param start states [n, …] at t = 1
 */
export async function measureStraightness(
  velocity: Velocity<"float32">,
  start: NdArray<"float32">,
  steps: number,
): Promise<PathMeasures> {
  const times = evenTimes(steps, 1, 0);
  const velocities: NdArray<"float32">[] = [];
  let state = start;
  for (const [i, time] of times.entries()) {
    const here = await velocity(state, time);
    velocities.push(here);
    const next = times[i + 1];
    if (next === undefined) break;
    const step = next - time;
    const there = await velocity(addScaled(state, [step], [here]), next);
    state = addScaled(state, [step / 2, step / 2], [here, there]);
  }
  const rows = start.shape[0] ?? 1;
  const chord = start.data.map((value, i) => value - (state.data[i] ?? 0));
  let [cost, bend] = [0, 0];
  for (let i = 0; i < chord.length; i++) {
    const own = chord[i] ?? 0;
    cost += own * own;
    velocities.forEach(({ data }, k) => {
      const weight = (k === 0 || k === steps ? 0.5 : 1) / steps;
      bend += weight * (own - (data[i] ?? 0)) ** 2;
    });
  }
  return { straightness: bend / rows, transportCost: cost / rows };
}
