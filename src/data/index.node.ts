// Data in Node: by name, path or query, or in memory. Named data and the parts of data sets are in eidos/data.
export { type Conversion, convertDetections } from "./boxes/convert.node.ts";
export { type OpenPhoto, openPhoto } from "./boxes/image.node.ts";
export type { DetectionOptions } from "./boxes/options.ts";
export type { DetectionSet } from "./boxes/set.ts";
export { dataCatalog, type NamedData } from "./catalog.ts";
export { readNpy, readPairs, writeNpy, writePairs } from "./files/arrays.node.ts";
export { decodeImage } from "./image/decode.node.ts";
export { openImageFolder } from "./image/folder.node.ts";
export type { ImageFormat } from "./image/format.ts";
export { type ImageBatch, streamImages } from "./image/stream.node.ts";
export type { VideoFrame } from "./image/video.node.ts";
export { isDetectionData, openData, openDetection, plainKind } from "./open.node.ts";
export type { Batch, DataSet, Split, SplitName } from "./sources/data-set.ts";
export { openDigits } from "./sources/digits.node.ts";
export { gatherSource } from "./sources/gather.ts";
export type { DataSource, PlainSource } from "./sources/memory.ts";
export { asRows, describeSource, images, memoryName, photos, points, rows } from "./sources/memory.ts";
export type { DataOptions } from "./sources/options.ts";
export { isQuery, isTablePath, type TablePlace } from "./table/duckdb.node.ts";
export type { TableInput } from "./table/input.node.ts";
export { findSplitTables, type SplitTables, type TableData } from "./table/parts.node.ts";
export {
  columnNames,
  findMarks,
  type GappedBatch,
  type StreamOptions,
  streamGappedTable,
  streamTable,
  type TableBatch,
  tableColumns,
} from "./table/stream.node.ts";
export { openBinaryTable, openTable } from "./table/table.node.ts";
export { writeTable } from "./table/write.node.ts";
