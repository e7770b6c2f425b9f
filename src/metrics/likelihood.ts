import { bitsPerDimension } from "./bits-per-dimension.ts";

/**
 * What a model says of a set of samples: the mean of its log-likelihoods, in nats a sample, or a lower bound on that
 * mean, which the true one may exceed by any amount. For images in bytes, bits per dimension besides. The fields of the
 * two have different names, so that a bound is not taken for a likelihood by mistake. A model without a density has
 * neither: there the value is undefined.
 */
export type MeanLikelihood =
  | {
      readonly kind: "exact";
      readonly nats: number;
      readonly bitsPerDimension?: number;
    }
  | {
      readonly kind: "bound";
      readonly atLeastNats: number;
      readonly atMostBitsPerDimension?: number;
    };

/**
 * A mean log-likelihood with its kind.
 * @param nats the mean of what the model's `logProb` tells, a sample
 * @param dimensions numbers of an image in bytes; left out for other data, which has no bits per dimension
 */
export function meanLikelihood(
  kind: MeanLikelihood["kind"],
  nats: number,
  dimensions?: number,
): MeanLikelihood {
  const bits = dimensions === undefined ? undefined : bitsPerDimension(nats, dimensions);
  return kind === "exact"
    ? { kind, nats, ...(bits !== undefined && { bitsPerDimension: bits }) }
    : { kind, atLeastNats: nats, ...(bits !== undefined && { atMostBitsPerDimension: bits }) };
}
