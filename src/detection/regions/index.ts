export { type Matches, type MatchingOptions, matchBoxes, nearestObjects } from "./matching.ts";
export {
  type AnchorPredictions,
  clipped,
  type ProposalOptions,
  type Proposals,
  proposalsOf,
} from "./proposals.ts";
export { readRegions } from "./region-read.ts";
export {
  type LevelRule,
  PYRAMID_RULE,
  type RoiAlignOptions,
  regionFeatures,
  regionLevels,
  roiAlign,
} from "./roi-align.ts";
export { roiMaxPool } from "./roi-pool.ts";
export { type SampledRows, type SamplingOptions, sampleRows } from "./sampling.ts";
