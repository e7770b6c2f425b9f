import { asTensor } from "../tensor/core.ts";
import { any, logicalOr, type Tensor, type TensorLike, where, whileLoop } from "../tensor/index.ts";

/** A function at a point and its derivative there, both of the shape of the point. */
export interface Slope {
  readonly value: Tensor;
  readonly derivative: Tensor;
}

export interface RootOptions {
  /** Where the search begins, between the bounds; their middle unless told. */
  readonly start?: TensorLike;
  /** Rounds at most; about ten are usual, and the loop ends as soon as all elements are found. */
  readonly maximum?: number;
}

/** Two units in the last place of a float32 number, relative to it. */
const PRECISION = 2 ** -22;

/** Keeps quotients finite where a function is flat. */
const SMALLEST_DERIVATIVE = 1e-12;

/**
 * The x with f(x) = target of a strictly increasing function, for every element by itself and to the precision of
 * float32: Newton's method inside a bracket that shrinks, with bisection wherever Newton's step leaves the bracket or
 * does not halve the step before. It runs as a loop inside the graph.
 *
 * Gradients of first order flow to the target and to whatever f depends on, by the implicit function theorem:
 * ∂x/∂target = 1/f′(x) and ∂x/∂θ = −(∂f/∂θ)/f′(x) at the root.
 *
 * @param f increasing, traced for points of the shape of `target`; its derivative is not differentiated
 * @param lower a number, or a tensor that broadcasts to the shape of the target, with f(lower) ≤ target
 * @param upper likewise with f(upper) ≥ target. Where a bound does not hold, the result is that bound
 */
export function monotoneRoot(
  f: (x: Tensor) => Slope,
  target: Tensor,
  lower: TensorLike,
  upper: TensorLike,
  { start, maximum = 100 }: RootOptions = {},
): Tensor {
  const like = (value: TensorLike): Tensor => asTensor(value).stopGradient().broadcastTo(target.shape);
  const [low, high] = [like(lower), like(upper)];
  const first = start === undefined ? low.add(high).mul(0.5) : like(start);
  // A residual below that is rounding of the target itself; steps after it would be noise.
  const unit = target.abs().mul(PRECISION / 2);
  // The last of the state is the length of the step before, for a bisection the width of what it divided; 0 for elements
  // that are found.
  const [found = target] = whileLoop(
    [first, low, high, high.sub(low)],
    ([x = target, from = target, to = target, before = target]) => {
      const { value, derivative } = f(x);
      const residual = value.sub(target);
      const below = residual.less(0);
      const [bottom, top] = [where(below, x, from), where(below, to, x)];
      const width = top.sub(bottom);
      const newton = residual.div(derivative.maximum(SMALLEST_DERIVATIVE));
      const [reached, size] = [x.sub(newton), newton.abs()];
      const leaves = logicalOr(reached.less(bottom), reached.greater(top));
      const bisects = logicalOr(leaves, size.greater(before.mul(0.5)));
      const isFound = logicalOr(
        size.minimum(width).lessEqual(x.abs().mul(PRECISION)),
        residual.abs().lessEqual(unit),
      );
      const stays = logicalOr(isFound, before.equal(0));
      const next = where(stays, x, where(bisects, bottom.add(top).mul(0.5), reached));
      const step = where(stays, 0, where(bisects, width, size));
      return { state: [next, bottom, top, step], again: any(step.greater(0)) };
    },
    { maximum },
  );
  const root = found.stopGradient();
  const { value, derivative } = f(root);
  const correction = target.sub(value).div(derivative.stopGradient().maximum(SMALLEST_DERIVATIVE));
  // Nothing is added to the value but its derivative.
  return root.add(correction.sub(correction.stopGradient()));
}
