import { z } from "zod";
import { amount, unitCount } from "../../bounds.ts";
import { OptionError } from "../../errors.ts";
import { viewOptions } from "../augment/index.ts";
import { encoderOptions } from "../encoders/index.ts";
import { PART_ESTIMATORS } from "./losses.ts";
import { PRIORS } from "./prior.ts";
import { SCORERS } from "./scorers.ts";

/** Options of Deep InfoMax. Defaults of optional ones depend on other options: see their descriptions. */
export const deepInfoMaxOptions = z.strictObject({
  ...encoderOptions.shape,
  objective: z
    .enum(["local", "global"])
    .default("local")
    .describe(
      "what shares information with the code: local, each location of the local features; global, all of them together. It decides alpha, beta and gamma",
    ),
  estimator: z
    .enum(PART_ESTIMATORS)
    .default("infonce")
    .describe("the bound on mutual information that is maximized"),
  scorer: z
    .enum(SCORERS)
    .default("encode-and-dot-product")
    .describe(
      "encode-and-dot-product: a product of embeddings, for all pairs of a batch; concat-and-convolve: one network that sees both, for fewer pairs",
    ),
  scorerUnits: unitCount()
    .default(128)
    .describe("units of the scorer's layers and embeddings; the paper has 512 to 2048"),
  negatives: unitCount()
    .optional()
    .describe("concat-and-convolve: other images of the batch that each code is compared with (default: 1)"),
  alpha: amount()
    .optional()
    .describe("weight of the global objective (default: with objective global 1, otherwise 0)"),
  beta: amount()
    .optional()
    .describe("weight of the local objective (default: with objective local 1, otherwise 0)"),
  gamma: amount()
    .optional()
    .describe(
      "weight of the prior in what the encoder minimizes; 0 for none (default: with objective local 0.1, with global 1)",
    ),
  prior: z
    .enum(PRIORS)
    .default("uniform")
    .describe(
      "what codes are distributed like: uniform on [0, 1] after the logistic function, or standard normal as they are",
    ),
  priorUnits: unitCount()
    .default(200)
    .describe("units of the two hidden layers of the prior's discriminator"),
  priorPenalty: amount()
    .default(1)
    .describe(
      "weight of half the squared slope of that discriminator at draws of the prior (R1); 0 for none, as in the paper",
    ),
  views: z
    .enum(["one", "two"])
    .default("one")
    .describe(
      "one: code and local features of the same image; two: the code of one random view of it and the local features of another (AMDIM)",
    ),
  ...viewOptions.shape,
});

export type DeepInfoMaxOptions = z.output<typeof deepInfoMaxOptions>;

/** Options with what depends on others filled in. */
export interface SettledDeepInfoMax extends DeepInfoMaxOptions {
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
  readonly negatives: number;
}

/**
 * Fills in what was left open: the paper's weights.
 * @throws OptionError where options do not go together
 */
export function settleDeepInfoMax(options: DeepInfoMaxOptions): SettledDeepInfoMax {
  const isLocal = options.objective === "local";
  const { alpha = isLocal ? 0 : 1, beta = isLocal ? 1 : 0, gamma = isLocal ? 0.1 : 1, scorer } = options;
  if (alpha === 0 && beta === 0) {
    throw new OptionError(
      "options alpha and beta: one of them must be above 0, or no information is maximized",
    );
  }
  if (scorer === "encode-and-dot-product" && options.negatives !== undefined) {
    throw new OptionError(
      "option negatives: encode-and-dot-product compares each code with all images of a batch; leave it out, or choose batchSize",
    );
  }
  if (options.views === "one") {
    const unused = (Object.keys(viewOptions.shape) as (keyof typeof viewOptions.shape)[]).find(
      (name) => options[name] !== undefined,
    );
    if (unused !== undefined) {
      throw new OptionError(
        `option ${unused}: is without effect with views one; choose views two, or leave it out`,
      );
    }
  }
  return { ...options, alpha, beta, gamma, negatives: options.negatives ?? 1 };
}
