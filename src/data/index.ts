export type { DataKind } from "../model/data-info.ts";
export { DETECTION_FORMATS, type DetectionFormat } from "./boxes/check.ts";
export { type DetectionOptions, detectionOptionsSchema } from "./boxes/options.ts";
export type {
  Annotations,
  ByteImage,
  DetectionBatch,
  DetectionSample,
  DetectionSet,
  DetectionSplit,
} from "./boxes/set.ts";
export {
  countFaults,
  type DetectionFault,
  FAULTS,
  type FaultKind,
  faultLines,
  withClasses,
} from "./boxes/set.ts";
export { type DetectionStatistics, detectionStatistics } from "./boxes/statistics.ts";
export type { NamedData } from "./catalog.ts";
export { dataCatalog } from "./catalog.ts";
export { decodeNpy, encodeNpy } from "./files/npy.ts";
export { DIGIT_SCENES, digitScenes } from "./scenes/digit-scenes.ts";
export { binarized, binarizeImages, describeBinarization } from "./sources/binarize.ts";
export type { BinaryColumn, CategoricalColumn, Cell, Column, NumericColumn } from "./sources/columns.ts";
export {
  columnSchema,
  columnsSchema,
  columnWidth,
  decodeRow,
  decodeTable,
  logScale,
  tableWidth,
} from "./sources/columns.ts";
export type { Batch, Binarization, DataSet, Split, SplitName } from "./sources/data-set.ts";
export {
  batchesPerEpoch,
  batchIndices,
  describeSplits,
  epochOrder,
  Fingerprint,
  isPicture,
  randomSplit,
  range,
  storedSplit,
} from "./sources/data-set.ts";
export { loadDigits } from "./sources/digits.ts";
export type { EnergyDensity, EnergyName } from "./sources/energies.ts";
export { energyDensity, energyNames, energyPoints, isEnergyName } from "./sources/energies.ts";
export type { DataOptions, ResolvedDataOptions } from "./sources/options.ts";
export { dataOptionsSchema, resolveDataOptions } from "./sources/options.ts";
export type { PlaneDensity, PlaneName } from "./sources/toy.ts";
export { drawnPoints, isPlaneName, planeDensity, planeNames, planePoints } from "./sources/toy.ts";
export { onlyClasses, type Pairs, withPairs, withSource } from "./sources/views.ts";
