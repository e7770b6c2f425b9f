import { OptionError } from "../errors.ts";
import type { Velocity } from "../ode/index.ts";
import type { NoiseLevels, PathPoint } from "./noise-level.ts";
import { predictionChange } from "./prediction.ts";
import { cleanRow, type Denoiser, row, type SolverTable, tableOf } from "./solver-table.ts";

export interface ProbabilityFlowOptions {
  /** heun unless told. */
  readonly method?: "euler" | "heun";
}

/**
 * Fixed steps of the probability-flow equation (Song et al. 2021, equation 13)
 *
 *     dx/dt = f x − ½ g² ∇log p_t(x) = α′ D + σ′ (x − α D) / σ
 *
 * by Euler's or Heun's method in time. On the straight path it is dx/dt = ε̂ − D, the flow of rectified flow and flow matching,
 * and Euler's method is theirs. Heun's method evaluates twice a step.
 * @param points from noise to data, or from data to noise
 * @throws OptionError as `checkLevels`
 */
export function probabilityFlow(
  points: readonly PathPoint[],
  { method = "heun" }: ProbabilityFlowOptions = {},
): SolverTable {
  if (method !== "euler" && method !== "heun") {
    throw new OptionError(`method: must be euler or heun, not ${method}`);
  }
  return tableOf("probability flow", points, (from, to) => {
    if (to.sigma === 0) return [cleanRow(from, to)];
    const step = to.time - from.time;
    const [here, there] = [slope(from), slope(to)];
    const euler = row({
      time: from.time,
      next: to.time,
      a: 1 + step * here.state,
      b: step * here.output,
    });
    if (method === "euler") return [euler];
    return [
      { ...euler, e: 1 + (step / 2) * here.state, f: (step / 2) * here.output },
      row({
        time: to.time,
        next: to.time,
        a: (step / 2) * there.state,
        b: (step / 2) * there.output,
        c: 1,
      }),
    ];
  });
}

/** The velocity as a combination of x (`state`) and D (`output`). */
function slope(point: PathPoint): { readonly state: number; readonly output: number } {
  return predictionChange(point, "data", "velocity");
}

/** The velocity of the probability flow of a denoiser, for the solvers of `eidos/ode`. */
export function probabilityFlowVelocity(
  path: NoiseLevels<PathPoint>,
  denoiser: Denoiser,
): Velocity<"float64"> {
  return async (x, time) => {
    const { state, output } = slope(path.at(time));
    const { data } = denoiser(x, time).denoised;
    return { ...x, data: x.data.map((value, i) => state * value + output * (data[i] ?? 0)) };
  };
}
