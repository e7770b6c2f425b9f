import type { Random } from "../random.ts";
import type { Tensor } from "../tensor/index.ts";

/** A distribution of independent components that a flow maps data to. */
export interface Base {
  /** Log-density in nats of each row of z [n, d], shape [n]. */
  logProb(z: Tensor): Tensor;
  /** Fills an array with independent draws of one component. */
  draw(target: Float32Array, random: Random): void;
}

/** Standard Gaussian: log p(z_i) = −(z_i² + log 2π) / 2. */
export const gaussian: Base = {
  logProb: (z) =>
    z
      .square()
      .add(Math.log(2 * Math.PI))
      .mul(-0.5)
      .sum(1),
  draw: (target, random) => random.fillNormal(target),
};

/** Standard logistic: log p(z_i) = −log(1 + exp(z_i)) − log(1 + exp(−z_i)), of deviation π/√3. */
export const logistic: Base = {
  // softplus(−z) = softplus(z) − z, so that one softplus does.
  logProb: (z) => z.sub(z.softplus().mul(2)).sum(1),
  draw(target, random) {
    for (let i = 0; i < target.length; i++) {
      const u = random.uniform();
      target[i] = Math.log(u) - Math.log1p(-u);
    }
  },
};

/** Base distributions by name. */
export const BASES = { logistic, gaussian } as const satisfies Record<string, Base>;

export type BaseName = keyof typeof BASES;
