import { describeBinarization } from "../data/sources/binarize.ts";
import type { Model } from "../model/capabilities.ts";
import type { RunConfig } from "../train/run-config.ts";

/**
 * What the number that stands for a log-likelihood is of, beside whether it is exact: what the model tells of it, and how
 * images became zeros and ones. Undefined where there is nothing to tell.
 */
export function likelihoodDetail(
  { likelihoodDetail: own }: Model,
  { binarization }: RunConfig["dataInfo"],
): string | undefined {
  const parts = [own, binarization && describeBinarization(binarization)];
  return parts.filter((part) => part !== undefined).join("; ") || undefined;
}
