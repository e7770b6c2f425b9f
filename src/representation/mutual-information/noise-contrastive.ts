import { OptionError } from "../../errors.ts";
import type { Tensor } from "../../tensor/index.ts";

/** What noise-contrastive estimation compares: log-densities of data and of noise, under the model and under the noise. */
export interface ContrastedDensities {
  /** Under the model, without or with a learnt constant: of the data [n], and of noise [m]. */
  readonly model: { readonly data: Tensor; readonly noise: Tensor };
  /** Under the distribution that the noise is drawn from: of the data [n], and of noise [m]. */
  readonly noise: { readonly data: Tensor; readonly noise: Tensor };
}

/**
 * Noise-contrastive estimation (Gutmann and Hyvärinen 2010 and 2012, "Noise-contrastive estimation of unnormalized statistical models, with
 * applications to natural image statistics", equations 8 and 9): a logistic regression of data against noise, whose log-odds are
 * log p(x) − log p_noise(x) − log ν with ν noise samples to each of the data. Its minimum over all functions is the density of the data itself, so that
 * an unnormalized model may have its constant as one more parameter.
 *
 *     const { x } = batch;                                  // [n, size]
 *     const model = (x: Tensor) => energy.forward(x).neg().add(constant);
 *     noiseContrastiveLoss({ model: { data: model(x), noise: model(noise) }, noise: { data: logNoise(x), noise: logNoise(noise) } });
 *
 * @returns the mean over the data of both parts of the cross-entropy, a scalar
 * @throws OptionError where numbers of data or noise are not known while tracing
 */
export function noiseContrastiveLoss({ model, noise }: ContrastedDensities): Tensor {
  const [data, drawn] = [Number(model.data.shape[0]), Number(model.noise.shape[0])];
  if (!(data > 0 && drawn > 0)) {
    throw new OptionError("noiseContrastiveLoss: give at least one sample of the data, and one of noise");
  }
  const ratio = drawn / data;
  const ofData = model.data.sub(noise.data).sub(Math.log(ratio));
  const ofNoise = model.noise.sub(noise.noise).sub(Math.log(ratio));
  return ofData.neg().softplus().mean().add(ofNoise.softplus().mean().mul(ratio));
}

/**
 * Negative sampling (Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality", equation 4), as word2vec is
 * trained: noise-contrastive estimation in which scores stand for log p − log ν p_noise themselves, so that neither has to be known. What the scores
 * learn is then the pointwise mutual information less log ν (Levy and Goldberg 2014).
 * @param right scores of pairs that belong together, [n]
 * @param wrong scores of each first one with its ν negatives, [n, ν]
 * @returns a scalar
 */
export function negativeSamplingLoss(right: Tensor, wrong: Tensor): Tensor {
  return right.neg().softplus().add(wrong.softplus().sum(1)).mean();
}
