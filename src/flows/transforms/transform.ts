import { asTensor } from "../../tensor/core.ts";
import { any } from "../../tensor/index.operations.ts";
import { constant, logicalOr, type Tensor, type TensorLike, where, whileLoop } from "../../tensor/index.ts";

/** The image of a point and the logarithm of |det ∂y/∂x|, shape [n], in nats. */
export interface Forward {
  readonly y: Tensor;
  readonly logDet: Tensor;
}

/** The preimage of a point and the logarithm of |det ∂x/∂y|, shape [n]: the negative of the forward one there. */
export interface Inverse {
  readonly x: Tensor;
  readonly logDet: Tensor;
}

/**
 * An invertible, differentiable map of [n, …] with a tractable log-determinant. Where a flow is conditional, the map
 * depends on a context as well: [n, c], one row for each of x. Transforms without parameters for it pass it by.
 */
export interface Transform {
  forward(x: Tensor, context?: Tensor): Forward;
  /** @throws InverseError where the inverse has no formula; `NumericalInverse` finds it by iteration */
  inverse(y: Tensor, context?: Tensor): Inverse;
}

/** The log-determinant of a map that preserves volume: zeros, one for each row of x. */
export function noVolumeChange(x: Tensor): Tensor {
  const rows = x.shape[0] ?? 1;
  return constant(0).broadcastTo([rows]);
}

/** One transform after the other; log-determinants add up. An empty list is the identity. */
export class Composition implements Transform {
  readonly transforms: readonly Transform[];

  constructor(transforms: readonly Transform[]) {
    this.transforms = transforms;
  }

  forward(x: Tensor, context?: Tensor): Forward {
    return this.transforms.reduce<Forward>(
      (before, transform) => {
        const { y, logDet } = transform.forward(before.y, context);
        return { y, logDet: before.logDet.add(logDet) };
      },
      { y: x, logDet: noVolumeChange(x) },
    );
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    return this.transforms.reduceRight<Inverse>(
      (before, transform) => {
        const { x, logDet } = transform.inverse(before.x, context);
        return { x, logDet: before.logDet.add(logDet) };
      },
      { x: y, logDet: noVolumeChange(y) },
    );
  }
}

/** The inverse of a transform, as a transform. */
export class Inverted implements Transform {
  readonly transform: Transform;

  constructor(transform: Transform) {
    this.transform = transform;
  }

  forward(x: Tensor, context?: Tensor): Forward {
    const { x: y, logDet } = this.transform.inverse(x, context);
    return { y, logDet };
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    const { y: x, logDet } = this.transform.forward(y, context);
    return { x, logDet };
  }
}

/** A transform whose inverse has no formula but can be found by iteration. */
export interface NumericallyInvertible extends Transform {
  /** The inverse to the precision of float32, by iteration inside the graph. */
  numericalInverse(y: Tensor, context?: Tensor): Inverse;
}

/** A transform without an analytic inverse, inverted by iteration. */
export class NumericalInverse implements Transform {
  readonly transform: NumericallyInvertible;

  constructor(transform: NumericallyInvertible) {
    this.transform = transform;
  }

  forward(x: Tensor, context?: Tensor): Forward {
    return this.transform.forward(x, context);
  }

  inverse(y: Tensor, context?: Tensor): Inverse {
    return this.transform.numericalInverse(y, context);
  }
}

/** Gives samples another shape of as many numbers: images become rows. Volume is preserved. */
export class Reshape implements Transform {
  readonly from: readonly number[];
  readonly to: readonly number[];

  /** @param from shape of a sample before, without the batch axis */
  constructor(from: readonly number[], to: readonly number[]) {
    this.from = from;
    this.to = to;
  }

  forward(x: Tensor): Forward {
    return { y: x.reshape([x.shape[0] ?? 1, ...this.to]), logDet: noVolumeChange(x) };
  }

  inverse(y: Tensor): Inverse {
    return { x: y.reshape([y.shape[0] ?? 1, ...this.from]), logDet: noVolumeChange(y) };
  }
}

/** A function at a point and its derivative there, both of the shape of the point. */
export interface Slope {
  readonly value: Tensor;
  readonly derivative: Tensor;
}

export interface RootOptions {
  /** Where the search begins, between the bounds (default: their middle). */
  readonly start?: TensorLike;
  /** Rounds at most; about ten are usual, and the loop ends as soon as all elements are found. */
  readonly maximum?: number;
}

/** Two units in the last digit of a float32 number, relative to it. */
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
