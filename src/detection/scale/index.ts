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
export { mergeTiles } from "./tile-merge.ts";
export { type TileOptions, type Tiling, tilingOf } from "./tile-options.ts";
export {
  bandedParts,
  directParts,
  type TilePlace,
  type TileSplit,
  type TileSplitOptions,
  tileSplit,
} from "./tile-split.ts";
export { type TileTraining, type TileTrainingOptions, tileEpochs, tileTraining } from "./tile-training.ts";
export { sharedPixels, type Tile, type TileCut, type TileGrid, tileGrid } from "./tiles.ts";
export { scaledSize, scaledSizes, sizesOfSteps, trainingScaleOptions } from "./training-sizes.ts";
