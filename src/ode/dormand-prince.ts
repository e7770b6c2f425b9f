import { OptionError, SolverError } from "../errors.ts";
import { type DataOf, type NdArray, zeros } from "../tensor/index.ts";
import { addScaled, type ButcherTableau, type FloatType, stageVelocities, type Velocity } from "./solver.ts";

/**
 * The seven stages and fifth-order weights of Dormand and Prince 1980, "A family of embedded Runge–Kutta formulae",
 * RK5(4)7M. The last stage is the velocity at the result, and so the first stage of the next step.
 */
export const dormandPrinceTableau: ButcherTableau = {
  nodes: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  stages: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  weights: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
};

/** Weights of the fifth-order result minus those of the embedded fourth-order one. */
export const errorWeights: readonly number[] = [
  71 / 57600,
  0,
  -71 / 16695,
  71 / 1920,
  -17253 / 339200,
  22 / 525,
  -1 / 40,
];

export interface AdaptiveOptions {
  /** Relative tolerance of one step. */
  readonly rtol: number;
  /** Absolute tolerance of one step, in units of the state. */
  readonly atol: number;
  /** Velocity evaluations after which the solver gives up. */
  readonly maxEvaluations: number;
  /**
   * Evaluates a step by the worst row (entry of the first axis) of the state, so that every row meets the tolerances
   * whatever rows are integrated with it; otherwise by all numbers together.
   */
  readonly everyRow?: boolean;
  /** Called after each accepted step with the time that is reached. */
  readonly onStep?: (time: number) => void;
}

export interface AdaptiveResult<D extends FloatType> {
  readonly state: NdArray<D>;
  /** Velocity evaluations that were made. */
  readonly evaluations: number;
  readonly accepted: number;
  readonly rejected: number;
}

/**
 * How the length of the next step is chosen. PI control for a method whose error estimate has order 5 (Hairer and Wanner, Solving ODEs II,
 * section IV.2): the exponents 0.7/5 and 0.4/5 give smooth step sizes where the plain controller oscillates.
 */
export const STEP_CONTROL = {
  safety: 0.9,
  slowest: 0.2,
  fastest: 5,
  proportional: 0.7 / 5,
  integral: 0.4 / 5,
  /** Of the error, after a step that was not accepted: one over its order. */
  rejected: 1 / 5,
  /** The least errors that are reckoned with. */
  leastError: 1e-10,
  leastPrevious: 1e-4,
} as const;

/** Numbers of the first step's length: Hairer, Nørsett and Wanner, Solving ODEs I, section II.4, "Starting Step Size". */
export const FIRST_STEP = {
  small: 1e-5,
  share: 0.01,
  least: 1e-6,
  flat: 1e-15,
  shorter: 1e-3,
  longer: 100,
} as const;

/**
 * Integrates dx/dt = velocity(x, t) from one time to another by the adaptive Dormand–Prince method of order 5 with PI
 * step-size control. A step is accepted where the root mean square of error / (atol + rtol · |x|), of the whole state or
 * of the worst row, is at most 1.
 * @throws SolverError where maxEvaluations do not suffice or the state stops being finite
 * @throws OptionError where rtol is negative or atol not positive
 */
export async function dormandPrince<D extends FloatType>(
  velocity: Velocity<D>,
  initial: NdArray<D>,
  from: number,
  to: number,
  options: AdaptiveOptions,
): Promise<AdaptiveResult<D>> {
  const { rtol, atol, maxEvaluations, everyRow = false, onStep } = options;
  if (!(rtol >= 0)) throw new OptionError(`rtol: must be 0 or more, not ${rtol}`);
  if (!(atol > 0)) throw new OptionError(`atol: must be above 0, not ${atol}`);
  if (from === to) return { state: initial, evaluations: 0, accepted: 0, rejected: 0 };
  const direction = Math.sign(to - from);
  const norm: ScaledNorm = (value, a, b) =>
    scaledNorm(value, a, b, { rtol, atol, groups: everyRow ? (value.shape[0] ?? 1) : 1 });
  let evaluations = 0;
  const counted: Velocity<D> = (state, time) => {
    if (evaluations >= maxEvaluations) {
      throw new SolverError(
        `Dormand–Prince: ${maxEvaluations} evaluations brought it from time ${from} to ${time.toPrecision(4)} only; ` +
          `raise rtol (${rtol}), atol (${atol}) or maxEvaluations`,
      );
    }
    evaluations++;
    return velocity(state, time);
  };

  const { safety, slowest, fastest, proportional, integral, leastError, leastPrevious } = STEP_CONTROL;
  let state = initial;
  let time = from;
  let first = await counted(state, time);
  let step = await startingStep(counted, state, first, from, to, norm);
  let accepted = 0;
  let rejected = 0;
  let previousError = 1;
  while (time !== to) {
    const last = step >= Math.abs(to - time) * (1 - 1e-12);
    const next = last ? to : time + direction * step;
    if (next === time)
      throw new SolverError(`Dormand–Prince: the step vanished at time ${time}; raise rtol or atol`);
    const length = next - time;
    const stages = await stageVelocities(dormandPrinceTableau, counted, state, time, next, first);
    const scaled = (weights: readonly number[]): number[] => weights.map((weight) => weight * length);
    const proposal = addScaled(state, scaled(dormandPrinceTableau.weights), stages);
    const errors = addScaled(zeros(state.dtype, state.shape), scaled(errorWeights), stages);
    const error = norm(errors, state, proposal);
    if (!Number.isFinite(error) && Math.abs(length) < 1e-10 * Math.abs(to - from)) {
      throw new SolverError(`Dormand–Prince: the velocity is not finite near time ${time.toPrecision(4)}`);
    }
    if (error <= 1) {
      accepted++;
      state = proposal;
      time = next;
      first = stages.at(-1) ?? first;
      onStep?.(time);
      const factor = safety * Math.max(error, leastError) ** -proportional * previousError ** integral;
      step = Math.abs(length) * Math.min(fastest, Math.max(slowest, factor));
      previousError = Math.max(error, leastPrevious);
    } else {
      rejected++;
      const factor = Number.isFinite(error) ? safety * error ** -STEP_CONTROL.rejected : slowest;
      step = Math.abs(length) * Math.max(slowest, factor);
    }
  }
  return { state, evaluations, accepted, rejected };
}

/** Size of a value in units of the tolerance, which depends on the states a and b. */
type ScaledNorm = (value: NdArray<FloatType>, a: NdArray<FloatType>, b: NdArray<FloatType>) => number;

/** Root mean square of value / (atol + rtol · max(|a|, |b|)): the largest of those of equal groups of numbers. */
function scaledNorm(
  value: NdArray<FloatType>,
  a: NdArray<FloatType>,
  b: NdArray<FloatType>,
  { rtol, atol, groups }: { readonly rtol: number; readonly atol: number; readonly groups: number },
): number {
  const values: DataOf[FloatType] = value.data;
  const length = Math.max(1, values.length / Math.max(1, groups));
  let worst = 0;
  for (let start = 0; start < values.length; start += length) {
    let total = 0;
    for (let i = start; i < start + length; i++) {
      const size = Math.max(Math.abs(Number(a.data[i])), Math.abs(Number(b.data[i])));
      total += ((values[i] ?? 0) / (atol + rtol * size)) ** 2;
    }
    // Not Math.max alone: a group that is not finite must not be passed over.
    if (!(total <= worst)) worst = total;
    if (Number.isNaN(worst)) break;
  }
  return Math.sqrt(worst / length);
}

/** A first step length; see `FIRST_STEP`. */
async function startingStep<D extends FloatType>(
  velocity: Velocity<D>,
  state: NdArray<D>,
  first: NdArray<D>,
  from: number,
  to: number,
  norm: ScaledNorm,
): Promise<number> {
  const { small, share, least, flat, shorter, longer } = FIRST_STEP;
  const span = Math.abs(to - from);
  const stateNorm = norm(state, state, state);
  const velocityNorm = norm(first, state, state);
  const guess = Math.min(
    span,
    stateNorm < small || velocityNorm < small ? least * span : (share * stateNorm) / velocityNorm,
  );
  const forward = Math.sign(to - from) * guess;
  const second = await velocity(addScaled(state, [forward], [first]), from + forward);
  const curvature = norm(addScaled(second, [-1], [first]), state, state) / guess;
  const steepest = Math.max(velocityNorm, curvature);
  const fitting =
    steepest <= flat ? Math.max(least * span, guess * shorter) : (share / steepest) ** STEP_CONTROL.rejected;
  return Math.min(span, longer * guess, fitting);
}
