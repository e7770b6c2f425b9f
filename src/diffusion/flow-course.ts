import { constant, elementCount, float32, grad, type Tensor } from "../tensor/index.ts";
import type { ConditionedCall } from "./condition.ts";
import type { DiffusionModel } from "./diffusion-model.ts";
import { type NoiseLevel, startingDeviation } from "./noise-level.ts";
import { flowSpan } from "./solver-subject.ts";

/** How the divergence of the flow is found. */
export const TRACES = ["exact", "hutchinson"] as const;

/** Dimensions up to which the exact trace is worth a row of the batch for each of them. */
const EXACT_TRACE_DIMENSIONS = 16;

/** How the trace is found unless told. */
export function usualTrace(sampleShape: readonly number[]): (typeof TRACES)[number] {
  return elementCount(sampleShape) <= EXACT_TRACE_DIMENSIONS ? "exact" : "hutchinson";
}

/** Velocity of the flow and its divergence [n], inside a graph. */
export interface SymbolicCourse {
  readonly velocity: Tensor;
  readonly divergence: Tensor;
}

type VelocityOf = (x: Tensor) => Tensor;

/** Σ_i ∂v_i / ∂x_i by a copy of the batch for each dimension, which all go through the network at once. */
function exactCourse(velocityOf: (x: Tensor, copies: number) => Tensor, x: Tensor): SymbolicCourse {
  const [rows = 1, ...sampleShape] = x.shape.map(Number);
  const size = elementCount(sampleShape);
  const flat = x.reshape([1, rows, size]);
  const copies = flat.broadcastTo([size, rows, size]).reshape([size * rows, ...sampleShape]);
  const unit = new Float32Array(size * size);
  for (let i = 0; i < size; i++) unit[i * size + i] = 1;
  const own = constant(float32(unit, [size, 1, size]));
  const velocity = velocityOf(copies, size);
  const all = velocity.reshape([size, rows, size]);
  const [slopes] = grad(all.mul(own).sum(), [copies]);
  return {
    velocity: all.mul(own).sum(0).reshape(x.shape),
    divergence: slopes.reshape([size, rows, size]).mul(own).sum([0, 2]),
  };
}

/** Hutchinson's estimate vᵀ (∂f/∂x) v with a probe of the shape of x (Grathwohl et al. 2019, "FFJORD", equation 7). */
function estimatedCourse(velocityOf: VelocityOf, x: Tensor, probe: Tensor): SymbolicCourse {
  const velocity = velocityOf(x);
  const [product] = grad(velocity.mul(probe).sum(), [x]);
  const axes = x.shape.slice(1).map((_, axis) => axis + 1);
  return { velocity, divergence: product.mul(probe).sum(axes) };
}

/** A moment of the flow inside a graph: the time that the network is told and √(α² + σ²), [1] each. */
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
  model: DiffusionModel,
  call: ConditionedCall["call"],
  x: Tensor,
  { time, scale }: SymbolicMoment,
  { probe, ...given }: Readonly<Record<string, Tensor>>,
): SymbolicCourse {
  const velocityOf = (state: Tensor, copies = 1): Tensor => {
    const t = time.broadcastTo([state.shape[0] ?? 1]);
    const told = Object.fromEntries(
      Object.entries(given).map(([name, tensor]) => [name, repeated(tensor, copies)]),
    );
    const own = state.mul(scale);
    return model.convert(own, call(own, t, told).output, t, "v").div(scale);
  };
  return probe === undefined ? exactCourse(velocityOf, x) : estimatedCourse(velocityOf, x, probe);
}

/** The angles of a model's flow from data to noise, and the level at each. */
export function flowAngles({ process, subject }: DiffusionModel) {
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

/** Rows [n] repeated as the copies of a batch are. */
function repeated(rows: Tensor, copies: number): Tensor {
  if (copies === 1) return rows;
  return rows
    .unsqueeze(0)
    .broadcastTo([copies, ...rows.shape])
    .reshape([-1]);
}
