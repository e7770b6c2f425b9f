import { type NoiseLevel, startingDeviation } from "./noise-level.ts";
import { cleanRow, row, type SolverTable, tableOf } from "./solver-table.ts";

/** A level on the unit circle: x̃ = x / ρ = cos θ x₀ + sin θ ε. */
interface Place {
  readonly angle: number;
  readonly radius: number;
}

function placeOf(level: NoiseLevel): Place {
  return { angle: Math.atan2(level.sigma, level.alpha), radius: startingDeviation(level) };
}

/** dx̃/dθ = cos θ ε̂ − sin θ D as a combination of x̃ (`state`) and D (`output`). */
function slope({ angle }: Place): { readonly state: number; readonly output: number } {
  return { state: Math.cos(angle) / Math.sin(angle), output: -1 / Math.sin(angle) };
}

/**
 * Heun's method for the probability flow by the angle θ = arctan(σ / α). In units of ρ = √(α² + σ²) every Gaussian path is
 * the quarter circle x̃ = cos θ x₀ + sin θ ε, whose flow
 *
 *     dx̃/dθ = cos θ ε̂ − sin θ D
 *
 * (Salimans and Ho 2022, "Progressive distillation for fast sampling of diffusion models", appendix D, there for DDIM) bends
 * little and is finite from data to pure noise. The same steps serve continuous paths and chains, and lead back the way
 * they came up to an error of third order. Two evaluations a step, one in the step to clean data.
 * @param levels from noise to data, or from data to noise
 * @throws OptionError as `checkLevels`
 */
export function angularFlow(levels: readonly NoiseLevel[]): SolverTable {
  return tableOf("angular flow", levels, (from, to) => {
    if (to.sigma === 0) return [cleanRow(from, to)];
    const [here, there] = [placeOf(from), placeOf(to)];
    const step = there.angle - here.angle;
    const scale = there.radius / here.radius;
    const [first, second] = [slope(here), slope(there)];
    return [
      row({
        time: from.time,
        next: to.time,
        a: scale * (1 + step * first.state),
        b: there.radius * step * first.output,
        // The memory holds half of the step; the slope at its end brings the other half.
        e: scale * (1 + (step / 2) * first.state),
        f: there.radius * (step / 2) * first.output,
      }),
      row({
        time: to.time,
        next: to.time,
        a: (step / 2) * second.state,
        b: there.radius * (step / 2) * second.output,
        c: 1,
      }),
    ];
  });
}
