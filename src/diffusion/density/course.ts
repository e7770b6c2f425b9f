import { inputAt } from "../../tensor/index.operations.ts";
import { elementCount, grad, split, type Tensor } from "../../tensor/index.ts";
import type { ConditionedCall } from "../objective/condition.ts";
import { type NoiseLevel, startingDeviation } from "../path/noise-level.ts";
import type { DiffusionCore } from "../solver/follow.ts";
import { flowSpan } from "../solver/levels.ts";

// The probability flow of a model from data to noise and its divergence: what a log-density is integrated from.

/** How the divergence of the flow is found. */
export const TRACES = ["exact", "hutchinson"] as const;

/** Dimensions up to which the exact trace is worth a reverse pass for each of them. */
const EXACT_TRACE_DIMENSIONS = 16;

/** How the trace is found, by default. */
export function usualTrace(sampleShape: readonly number[]): (typeof TRACES)[number] {
  return elementCount(sampleShape) <= EXACT_TRACE_DIMENSIONS ? "exact" : "hutchinson";
}

/** Velocity of the flow and its divergence [n], inside a graph. */
export interface SymbolicCourse {
  readonly velocity: Tensor;
  readonly divergence: Tensor;
}

type VelocityOf = (x: Tensor) => Tensor;

/** Σ_i ∂v_i / ∂x_i by a reverse pass for each dimension, all of one evaluation. */
function exactCourse(velocityOf: VelocityOf, x: Tensor): SymbolicCourse {
  const velocity = velocityOf(x);
  const size = elementCount(x.shape.slice(1).map(Number));
  const columns = (tensor: Tensor): readonly Tensor[] =>
    split(tensor.reshape([x.shape[0] ?? 1, size]), 1, size);
  const slopes = columns(velocity).map((column, i) => {
    const [gradient] = grad(column.sum(), [x]);
    return inputAt(columns(gradient), i);
  });
  return { velocity, divergence: slopes.reduce((sum, slope) => sum.add(slope)).squeeze(1) };
}

/** Hutchinson's estimate vᵀ (∂f/∂x) v with a probe of the shape of x (Grathwohl et al. 2019, "FFJORD", equation 7). */
function estimatedCourse(velocityOf: VelocityOf, x: Tensor, probe: Tensor): SymbolicCourse {
  const velocity = velocityOf(x);
  const [product] = grad(velocity.mul(probe).sum(), [x]);
  const axes = x.shape.slice(1).map((_, axis) => axis + 1);
  return { velocity, divergence: product.mul(probe).sum(axes) };
}

/** A moment of the flow inside a graph: the time that the network is given and √(α² + σ²), [1] each. */
export interface SymbolicMoment {
  readonly time: Tensor;
  readonly scale: Tensor;
}

/**
 * The flow of a model under a condition with its divergence, inside a graph. In units of √(α² + σ²) and by the angle
 * θ = arctan(σ / α) every path is the quarter circle, x̃ = cos θ x₀ + sin θ ε, whose flow cos θ ε̂ − sin θ D bends little and is
 * finite everywhere: `v` over √(α² + σ²).
 */
export function symbolicCourse(
  model: DiffusionCore,
  call: ConditionedCall["call"],
  x: Tensor,
  { time, scale }: SymbolicMoment,
  { probe, ...given }: Readonly<Record<string, Tensor>>,
): SymbolicCourse {
  const velocityOf = (state: Tensor): Tensor => {
    const t = time.broadcastTo([state.shape[0] ?? 1]);
    const own = state.mul(scale);
    return model.convert(own, call(own, t, given).output, t, "v").div(scale);
  };
  return probe === undefined ? exactCourse(velocityOf, x) : estimatedCourse(velocityOf, x, probe);
}

/** The angles of a model's flow from data to noise, and the level at each. */
export function flowAngles({ process, subject }: Pick<DiffusionCore, "process" | "subject">) {
  const { clean, noisy } = flowSpan(subject);
  const angleOf = ({ alpha, sigma }: NoiseLevel): number => Math.atan2(sigma, alpha);
  const first = process.at(clean);
  const last = process.at(noisy);
  const [from, to] = [angleOf(first), angleOf(last)];
  return {
    from,
    to,
    /** Data is divided by this. */
    scale: startingDeviation(first),
    levelAt: (angle: number): NoiseLevel =>
      angle <= from ? first : angle >= to ? last : process.levelAt(Math.tan(angle)),
  };
}

/** Tolerance of a score, by default. */
export function usualTolerance({ data: { kind } }: DiffusionCore): number {
  return kind === "image" ? 1e-2 : 1e-5;
}

/** Velocity evaluations before a solver gives up, by default. */
export const MOST_EVALUATIONS = 2000;
