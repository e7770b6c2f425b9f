import { OptionError } from "../errors.ts";
import {
  concat,
  constant,
  float32,
  full,
  gather,
  oneHot,
  slice,
  type Tensor,
  where,
  whileLoop,
} from "../tensor/index.ts";
import {
  type AdaptiveOptions,
  dormandPrinceTableau,
  errorWeights,
  FIRST_STEP,
  STEP_CONTROL,
} from "./dormand-prince.ts";

/** The velocity of a state [n, width] at a time, a float64 scalar; of the state's shape. */
export type GraphVelocity = (state: Tensor, time: Tensor) => Tensor;

/** What a reader must know of a file in which `dormandPrinceGraph` scores rows. */
export const SOLVED_INSIDE =
  "A differential equation is solved inside, by steps that are as long as the most difficult of the rows allows: a row has the same score among other rows to the tolerance of the solver. Where the solver gives up, all rows have the score NaN.";

const STAGES = dormandPrinceTableau.nodes.length;

/** Evaluations of a step: its first stage is the last one of the step before. */
const EVALUATIONS = STAGES - 1;

/** A number in float64, as times and lengths of steps are. */
const real = (value: number): Tensor => constant(value, "float64");

/** Σᵢ weightsᵢ · stagesᵢ, of stages [s, n, width]. @param weights float32 [s] */
const combined = (stages: Tensor, weights: Tensor): Tensor =>
  stages.mul(weights.reshape([STAGES, 1, 1])).sum(0);

const column = (values: readonly number[]): Tensor => constant(float32(values, [values.length]));

/** a_ij of the stages, a row of s for each. */
const COEFFICIENTS = dormandPrinceTableau.stages.flatMap((row) => [
  ...row,
  ...new Array<number>(STAGES - row.length).fill(0),
]);

/**
 * `dormandPrince` with `everyRow` as one graph, for models that are run elsewhere: a loop whose rounds are steps, with the same choice of
 * steps. Where the evaluations do not suffice the result is NaN. A loop, through which no gradient flows.
 * @param initial float32 [n, width]
 * @returns the state at time `to`
 * @throws OptionError where rtol is negative, atol not positive, or evaluations do not suffice for one step
 */
export function dormandPrinceGraph(
  velocity: GraphVelocity,
  initial: Tensor,
  from: number,
  to: number,
  { rtol, atol, maxEvaluations }: Pick<AdaptiveOptions, "rtol" | "atol" | "maxEvaluations">,
): Tensor {
  if (!(rtol >= 0)) throw new OptionError(`rtol: must be 0 or more, not ${rtol}`);
  if (!(atol > 0)) throw new OptionError(`atol: must be above 0, not ${atol}`);
  const rounds = Math.floor((maxEvaluations - 2) / EVALUATIONS);
  if (!(rounds >= 1)) {
    throw new OptionError(`maxEvaluations: must be ${2 + EVALUATIONS} or more, not ${maxEvaluations}`);
  }
  const { safety, slowest, fastest, proportional, integral, rejected, leastError, leastPrevious } =
    STEP_CONTROL;
  const direction = Math.sign(to - from);
  const span = Math.abs(to - from);
  const norm = (value: Tensor, a: Tensor, b: Tensor): Tensor => {
    const sizes = a.abs().maximum(b.abs()).mul(rtol).add(atol);
    const squares = value.div(sizes).square().mean(1);
    // Runtimes differ in what the largest of numbers and NaN is. A step with NaN is too long, like one of infinite error.
    const infinite = constant(Number.POSITIVE_INFINITY);
    const worst = where(squares.sum().less(infinite), squares.max(), infinite);
    return worst.cast("float64").sqrt();
  };
  const first = velocity(initial, real(from));
  const startingStep = (): Tensor => {
    const [stateNorm, velocityNorm] = [norm(initial, initial, initial), norm(first, initial, initial)];
    const { small, share, least, flat, shorter, longer } = FIRST_STEP;
    const few = stateNorm.minimum(velocityNorm).less(small);
    const guess = where(few, real(least * span), stateNorm.div(velocityNorm).mul(share)).minimum(span);
    const forward = guess.mul(direction);
    const second = velocity(initial.add(first.mul(forward.cast("float32"))), forward.add(from));
    const curvature = norm(second.sub(first), initial, initial).div(guess);
    const steepest = velocityNorm.maximum(curvature);
    const fitting = where(
      steepest.lessEqual(flat),
      guess.mul(shorter).maximum(least * span),
      steepest.pow(-1).mul(share).pow(STEP_CONTROL.rejected),
    );
    return guess.mul(longer).minimum(fitting).minimum(span);
  };

  /** The velocities of all stages of a step, [stages, n, width]. */
  const stagesOf = (state: Tensor, known: Tensor, time: Tensor, length: Tensor): Tensor => {
    const width = state.shape[1] ?? 1;
    const rest = full([1], 0)
      .reshape([1, 1, 1])
      .broadcastTo([EVALUATIONS, state.shape[0] ?? 1, width]);
    const [all] = whileLoop(
      [concat([known.unsqueeze(0), rest], 0)],
      ([stages], round) => {
        const stage = round.add(1);
        const weights = gather(constant(float32(COEFFICIENTS, [STAGES, STAGES])), stage, 0);
        const moved = state.add(combined(stages, weights.mul(length.cast("float32"))));
        const node = gather(column(dormandPrinceTableau.nodes), stage, 0).cast("float64");
        const here = oneHot(stage.reshape([1]), STAGES, "bool").reshape([STAGES, 1, 1]);
        return { state: [where(here, velocity(moved, node.mul(length).add(time)).unsqueeze(0), stages)] };
      },
      { maximum: EVALUATIONS },
    );
    return all;
  };

  const [end, , reached] = whileLoop(
    [initial, first, real(from), startingStep(), real(1)],
    ([state, known, time, wanted, previous]) => {
      const left = time.sub(to).abs();
      const isLast = wanted.greaterEqual(left.mul(1 - 1e-12));
      const next = where(isLast, real(to), wanted.mul(direction).add(time));
      const length = next.sub(time);
      const stages = stagesOf(state, known, time, length);
      const short = length.cast("float32");
      const proposal = state.add(combined(stages, column(dormandPrinceTableau.weights).mul(short)));
      const error = norm(combined(stages, column(errorWeights).mul(short)), state, proposal);
      const accepted = error.lessEqual(1);
      const after = error.maximum(leastError).pow(-proportional).mul(previous.pow(integral));
      const factor = where(accepted, after, error.pow(-rejected)).mul(safety);
      const reachedTime = where(accepted, next, time);
      return {
        state: [
          where(accepted, proposal, state),
          where(accepted, slice(stages, 0, STAGES - 1, STAGES).squeeze(0), known),
          reachedTime,
          length.abs().mul(factor.maximum(slowest).minimum(fastest)),
          where(accepted, error.maximum(leastPrevious), previous),
        ],
        again: reachedTime.sub(to).abs().greater(0),
      };
    },
    { maximum: rounds },
  );
  return where(reached.sub(to).abs().greater(0), constant(Number.NaN), end);
}
