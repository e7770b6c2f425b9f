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

/** An invertible, differentiable map of [n, …] with a tractable log-determinant. */
export interface Transform {
  forward(x: Tensor): Forward;
  inverse(y: Tensor): Inverse;
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

  forward(x: Tensor): Forward {
    return this.transforms.reduce<Forward>(
      (before, transform) => {
        const { y, logDet } = transform.forward(before.y);
        return { y, logDet: before.logDet.add(logDet) };
      },
      { y: x, logDet: noVolumeChange(x) },
    );
  }

  inverse(y: Tensor): Inverse {
    return this.transforms.reduceRight<Inverse>(
      (before, transform) => {
        const { x, logDet } = transform.inverse(before.x);
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

  forward(x: Tensor): Forward {
    const { x: y, logDet } = this.transform.inverse(x);
    return { y, logDet };
  }

  inverse(y: Tensor): Inverse {
    const { y: x, logDet } = this.transform.forward(y);
    return { x, logDet };
  }
}
