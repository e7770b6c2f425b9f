// Data in Node and in a browser: named data sets, data in memory, and what every data set is made of. Files are read by
// eidos/data/node; the parts of tables are in eidos/data/table, those of annotated images in eidos/data/boxes.
export type { DataKind } from "../model/data-info.ts";
export { type DetectionOptions, detectionOptionsSchema } from "./boxes/options.ts";
export type {
  Annotations,
  ByteImage,
  DetectionBatch,
  DetectionFault,
  DetectionSample,
  DetectionSet,
  DetectionSplit,
} from "./boxes/set.ts";
export { withClasses } from "./boxes/set.ts";
export { type DetectionStatistics, detectionStatistics } from "./boxes/statistics.ts";
export { dataCatalog, type NamedData } from "./catalog.ts";
export { decodeNpy, encodeNpy } from "./files/npy.ts";
export { DIGIT_SCENES, digitScenes } from "./scenes/digit-scenes.ts";
export { binarized, binarizeImages, describeBinarization } from "./sources/binarize.ts";
export type { Column } from "./sources/columns.ts";
export type { Batch, Binarization, DataSet, Origin, Split, SplitName } from "./sources/data-set.ts";
export {
  batchesPerEpoch,
  batchIndices,
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
export { gatherSource } from "./sources/gather.ts";
export type {
  DataSource,
  ImagesSource,
  Photo,
  PhotoBox,
  PhotoImage,
  PhotosSource,
  PlainSource,
  PointsSource,
  RgbaImage,
  Row,
  RowsSource,
} from "./sources/memory.ts";
export { describeSource, images, photos, points, rows } from "./sources/memory.ts";
export type { DataOptions, ResolvedDataOptions } from "./sources/options.ts";
export { dataOptionsSchema } from "./sources/options.ts";
export { parseShard, type Shard } from "./sources/shard.ts";
export { type Stroke, strokesDensity } from "./sources/strokes.ts";
export type { PlaneDensity, PlaneName } from "./sources/toy.ts";
export { drawnPoints, isPlaneName, planeDensity, planeNames, planePoints } from "./sources/toy.ts";
export { onlyClasses, type Pairs, withPairs, withSource } from "./sources/views.ts";
