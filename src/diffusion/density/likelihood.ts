import { OptionError } from "../../errors.ts";
import {
  type AdaptiveOptions,
  dormandPrince,
  FIXED_STEP_METHODS,
  type FixedStepMethod,
  type FloatType,
  integrate,
  type Velocity,
} from "../../ode/index.ts";
import { elementCount, type NdArray, zeros } from "../../tensor/index.ts";
import { type NoiseLevel, startingDeviation } from "../path/noise-level.ts";

/** A velocity of states [n, …] together with its divergence Σ_i ∂v_i / ∂x_i, [n]. */
export type TracedVelocity<D extends FloatType> = (
  x: NdArray<D>,
  time: number,
) => Promise<{ readonly velocity: NdArray<D>; readonly divergence: ArrayLike<number> }>;

/** How an equation is integrated: with fixed steps over a list of times, or by tolerances. */
export type Integration =
  | { readonly method: FixedStepMethod; readonly times: readonly number[] }
  | ({ readonly method: "dormand-prince"; readonly from: number; readonly to: number } & AdaptiveOptions);

/** The end of a course, and the change of log-density along it: log p_from(x) − log p_to(end), [n]. */
export interface TracedCourse<D extends FloatType> {
  readonly end: NdArray<D>;
  readonly logDeterminant: Float64Array;
}

/**
 * Follows a velocity and integrates its divergence beside it: the instantaneous change of variables (Chen et al. 2018,
 * "Neural ordinary differential equations", theorem 1; Song et al. 2021, equation 39). State and integral are integrated as
 * one, so that an adaptive solver chooses its steps by both.
 * @throws SolverError as `dormandPrince`
 */
export async function tracedCourse<D extends FloatType>(
  traced: TracedVelocity<D>,
  x: NdArray<D>,
  integration: Integration,
): Promise<TracedCourse<D>> {
  const [rows = 0, ...sampleShape] = x.shape;
  const size = elementCount(sampleShape);
  const field: Velocity<D> = async (state, time) => {
    const { velocity, divergence } = await traced(parted(state, x.shape, size), time);
    return joined(velocity, divergence, rows, size);
  };
  const start = joined(x, new Float64Array(rows), rows, size);
  const state =
    integration.method === "dormand-prince"
      ? (await dormandPrince(field, start, integration.from, integration.to, integration)).state
      : await integrate(FIXED_STEP_METHODS[integration.method], field, start, integration.times);
  const logDeterminant = Float64Array.from(
    { length: rows },
    (_, i) => state.data[i * (size + 1) + size] ?? 0,
  );
  return { end: parted(state, x.shape, size), logDeterminant };
}

/** Rows with one number more. */
function joined<D extends FloatType>(
  x: NdArray<D>,
  more: ArrayLike<number>,
  rows: number,
  size: number,
): NdArray<D> {
  const array = zeros(x.dtype, [rows, size + 1]);
  for (let i = 0; i < rows; i++) {
    array.data.set(x.data.subarray(i * size, (i + 1) * size), i * (size + 1));
    array.data[i * (size + 1) + size] = more[i] ?? 0;
  }
  return array;
}

/** Rows without their last number. */
function parted<D extends FloatType>(state: NdArray<D>, shape: readonly number[], size: number): NdArray<D> {
  const array = zeros(state.dtype, shape);
  for (let i = 0; i * size < array.data.length; i++) {
    array.data.set(state.data.subarray(i * (size + 1), i * (size + 1) + size), i * size);
  }
  return array;
}

/** log-density of states at the noisy end, nats. */
export type EndDensity = (x: NdArray<FloatType>) => ArrayLike<number>;

/**
 * The log-density of data by the probability flow, nats, [n]: log p(x) = log p_T(x_T) + ∫ ∇·v dt along the course from data
 * (or a little noise) to noise.
 * @param end the density of noise; `gaussianEnd` unless another is known
 * @throws SolverError as `dormandPrince`
 */
export async function flowLogDensity<D extends FloatType>(
  traced: TracedVelocity<D>,
  x: NdArray<D>,
  integration: Integration,
  end: EndDensity,
): Promise<Float64Array> {
  const course = await tracedCourse(traced, x, integration);
  const base = end(course.end);
  return course.logDeterminant.map((value, i) => value + (base[i] ?? 0));
}

/** The density of noise at a level for data of zero mean and unit variance: N(0, α² + σ²) in every coordinate. */
export function gaussianEnd(level: NoiseLevel): EndDensity {
  const variance = startingDeviation(level) ** 2;
  return ({ data, shape: [rows = 0] }) => {
    const size = rows === 0 ? 0 : data.length / rows;
    return Float64Array.from({ length: rows }, (_, i) => {
      let squares = 0;
      for (let k = 0; k < size; k++) squares += (data[i * size + k] ?? 0) ** 2;
      return -(size * Math.log(2 * Math.PI * variance) + squares / variance) / 2;
    });
  };
}

/**
 * A velocity with its divergence by central differences, two evaluations a dimension: for few dimensions, in float64.
 * @param step half the distance of the differences
 * @throws OptionError where the step is not above 0
 */
export function withDifferenceDivergence(
  velocity: Velocity<"float64">,
  step = 1e-5,
): TracedVelocity<"float64"> {
  if (!(step > 0)) throw new OptionError(`difference step: must be above 0, not ${step}`);
  return async (x, time) => {
    const rows = x.shape[0] ?? 0;
    const size = rows === 0 ? 0 : x.data.length / rows;
    const divergence = new Float64Array(rows);
    for (let k = 0; k < size; k++) {
      const moved = async (by: number): Promise<Float64Array> => {
        const data = x.data.slice();
        for (let i = k; i < data.length; i += size) data[i] = (data[i] ?? 0) + by;
        return (await velocity({ ...x, data }, time)).data;
      };
      const [ahead, behind] = [await moved(step), await moved(-step)];
      for (let i = 0; i < rows; i++) {
        const at = i * size + k;
        divergence[i] = (divergence[i] ?? 0) + ((ahead[at] ?? 0) - (behind[at] ?? 0)) / (2 * step);
      }
    }
    return { velocity: await velocity(x, time), divergence };
  };
}
