export {
  type DetectionBatches,
  type DetectionBatchOptions,
  type DetectionRoom,
  detectionBatches,
  letterboxBatch,
  letterboxRoom,
  type StepSizes,
} from "./batches.ts";
export { type CopyOptions, copyable, drawCopies, type ObjectCopy, type Pasted } from "./copies.ts";
export {
  type Blend,
  type Canvas,
  type ColorChange,
  type ColorMap,
  colorMap,
  drawImage,
  type Placement,
  placeBox,
  placeBoxes,
  type VisibilityRule,
} from "./draw.ts";
export { type AugmentOptions, augmentSchema } from "./options.ts";
export { drawRecipe, drawRecipeImage, type Recipe, recipeObjects } from "./recipe.ts";
export {
  planSmallObjects,
  type SmallObjectOptions,
  type SmallObjectPlan,
  type SmallObjects,
  smallObjectSchema,
} from "./small-objects.ts";
