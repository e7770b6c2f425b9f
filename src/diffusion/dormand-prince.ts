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
const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

export interface AdaptiveOptions {
  /** Relative tolerance of one step. */
  readonly rtol: number;
  /** Absolute tolerance of one step, in units of the state. */
  readonly atol: number;
  /** Velocity evaluations after which the solver gives up. */
  readonly maxEvaluations: number;
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

const SAFETY = 0.9;
const SLOWEST = 0.2;
const FASTEST = 5;
// PI control for a method whose error estimate has order 5 (Hairer and Wanner, Solving ODEs II, section IV.2): the
// exponents 0.7/5 and 0.4/5 give smooth step sizes where the plain controller oscillates.
const PROPORTIONAL = 0.7 / 5;
const INTEGRAL = 0.4 / 5;

/**
 * Integrates dx/dt = velocity(x, t) from one time to another by the adaptive Dormand–Prince method of order 5 with PI
 * step-size control. A step is accepted where the root mean square of error / (atol + rtol · |x|) is at most 1.
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
  const { rtol, atol, maxEvaluations, onStep } = options;
  if (!(rtol >= 0)) throw new OptionError(`rtol: must be 0 or more, not ${rtol}`);
  if (!(atol > 0)) throw new OptionError(`atol: must be above 0, not ${atol}`);
  if (from === to) return { state: initial, evaluations: 0, accepted: 0, rejected: 0 };
  const direction = Math.sign(to - from);
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

  let state = initial;
  let time = from;
  let first = await counted(state, time);
  let step = await startingStep(counted, state, first, from, to, rtol, atol);
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
    const error = scaledNorm(errors, state, proposal, rtol, atol);
    if (!Number.isFinite(error) && Math.abs(length) < 1e-10 * Math.abs(to - from)) {
      throw new SolverError(`Dormand–Prince: the velocity is not finite near time ${time.toPrecision(4)}`);
    }
    if (error <= 1) {
      accepted++;
      state = proposal;
      time = next;
      first = stages.at(-1) ?? first;
      onStep?.(time);
      const bounded = Math.max(error, 1e-10);
      const factor = SAFETY * bounded ** -PROPORTIONAL * previousError ** INTEGRAL;
      step = Math.abs(length) * Math.min(FASTEST, Math.max(SLOWEST, factor));
      previousError = Math.max(error, 1e-4);
    } else {
      rejected++;
      const factor = Number.isFinite(error) ? SAFETY * error ** (-1 / 5) : SLOWEST;
      step = Math.abs(length) * Math.max(SLOWEST, factor);
    }
  }
  return { state, evaluations, accepted, rejected };
}

/** Root mean square of value / (atol + rtol · max(|a|, |b|)). */
function scaledNorm<D extends FloatType>(
  value: NdArray<D>,
  a: NdArray<D>,
  b: NdArray<D>,
  rtol: number,
  atol: number,
): number {
  const values: DataOf[FloatType] = value.data;
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.max(Math.abs(Number(a.data[i])), Math.abs(Number(b.data[i])));
    total += ((values[i] ?? 0) / (atol + rtol * size)) ** 2;
  }
  return Math.sqrt(total / Math.max(1, values.length));
}

/** A first step length (Hairer, Nørsett and Wanner, Solving ODEs I, section II.4, "Starting Step Size"). */
async function startingStep<D extends FloatType>(
  velocity: Velocity<D>,
  state: NdArray<D>,
  first: NdArray<D>,
  from: number,
  to: number,
  rtol: number,
  atol: number,
): Promise<number> {
  const span = Math.abs(to - from);
  const stateNorm = scaledNorm(state, state, state, rtol, atol);
  const velocityNorm = scaledNorm(first, state, state, rtol, atol);
  const guess = Math.min(
    span,
    stateNorm < 1e-5 || velocityNorm < 1e-5 ? 1e-6 * span : (0.01 * stateNorm) / velocityNorm,
  );
  const forward = Math.sign(to - from) * guess;
  const second = await velocity(addScaled(state, [forward], [first]), from + forward);
  const curvature = scaledNorm(addScaled(second, [-1], [first]), state, state, rtol, atol) / guess;
  const steepest = Math.max(velocityNorm, curvature);
  const fitting = steepest <= 1e-15 ? Math.max(1e-6 * span, guess * 1e-3) : (0.01 / steepest) ** (1 / 5);
  return Math.min(span, 100 * guess, fitting);
}
