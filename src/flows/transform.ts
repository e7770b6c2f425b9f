import { constant, type Tensor } from "../tensor/index.ts";

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
