export {
  BASE_NAMES,
  BASES,
  type Base,
  type BaseName,
  GaussianMixture,
  gaussian,
  LearnedGaussian,
  logistic,
  StudentBase,
  UniformBase,
} from "./bases.ts";
export { Conditioning, type ConditioningOptions, conditioningOptions } from "./conditioning.ts";
export {
  type Energy,
  energyFunction,
  energyOf,
  type ObjectiveOptions,
  objectiveOptions,
} from "./objective.ts";
