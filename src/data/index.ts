export type { DataKind } from "../nn/model.ts";
export type { Binarisation } from "./binarise.ts";
export { binarised, binariseImages, describeBinarisation } from "./binarise.ts";
export type { NamedData } from "./catalog.ts";
export { dataCatalog } from "./catalog.ts";
export { onlyClasses } from "./class-subset.ts";
export type { BinaryColumn, CategoricalColumn, Cell, Column, NumericColumn } from "./columns.ts";
export {
  columnSchema,
  columnsSchema,
  columnWidth,
  decodeRow,
  decodeTable,
  logScale,
  tableWidth,
} from "./columns.ts";
export type { Batch, DataSet, Split, SplitName } from "./data-set.ts";
export { describeSplits, isPicture, range, storedSplit } from "./data-set.ts";
export { withClasses } from "./detection-classes.ts";
export { countFaults, type DetectionFault, FAULTS, type FaultKind, faultLines } from "./detection-faults.ts";
export { type DetectionOptions, detectionOptionsSchema } from "./detection-options.ts";
export { DETECTION_FORMATS, type DetectionFormat } from "./detection-raw.ts";
export type {
  Annotations,
  ByteImage,
  DetectionBatch,
  DetectionSample,
  DetectionSet,
  DetectionSplit,
} from "./detection-set.ts";
export { type DetectionStatistics, detectionStatistics } from "./detection-statistics.ts";
export { DIGIT_SCENES, digitScenes } from "./digit-scenes.ts";
export { loadDigits } from "./digits.ts";
export type { EnergyDensity, EnergyName } from "./energies.ts";
export { energyDensity, energyNames, energyPoints, isEnergyName } from "./energies.ts";
export { Fingerprint } from "./fingerprint.ts";
export { decodeNpy, encodeNpy } from "./npy.ts";
export type { DataOptions, ResolvedDataOptions } from "./options.ts";
export { dataOptionsSchema, resolveDataOptions } from "./options.ts";
export { batchesPerEpoch, batchIndices, epochOrder, randomSplit } from "./order.ts";
export { type Pairs, withPairs, withSource } from "./pairs.ts";
export type { PlaneDensity, PlaneName } from "./toy.ts";
export { drawnPoints, isPlaneName, planeDensity, planeNames, planePoints } from "./toy.ts";
