export {
  type ChipBatches,
  type ChipBatchOptions,
  type ChipOptions,
  type ChipPlan,
  chipBatches,
  type ImageChip,
  planChips,
} from "./chip-batches.ts";
export { type Chip, type CoveringChips, coverByChips, negativeChips } from "./chips.ts";
export { chooseRanges, inRange, objectSize, parseRanges, rangeTexts, type ValidRange } from "./ranges.ts";
export {
  looksByScale,
  type MergeOptions,
  mergeDetections,
  mirrorBoxes,
  mirrorImages,
  type TestTimeOptions,
  testTimeSchema,
  type View,
  type Views,
  viewsOf,
} from "./test-time.ts";
export { scaledSize, scaledSizes, sizesOfSteps, trainingScaleOptions } from "./training-sizes.ts";
