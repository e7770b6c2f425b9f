export { type Conversion, convertDetections } from "./boxes/convert.node.ts";
export { readNpy, readPairs, writeNpy, writePairs } from "./files/arrays.node.ts";
export {
  fileError,
  isMissing,
  makeFolder,
  readBytes,
  replaceFile,
  writeFileAtomic,
} from "./files/files.node.ts";
export { optional } from "./files/optional.node.ts";
export type { ImageFormat } from "./image/folder.node.ts";
export { decodeImage, openImageFolder } from "./image/folder.node.ts";
export { type ImageBatch, streamImages } from "./image/stream.node.ts";
export * from "./index.ts";
export { isDetectionData, openData, openDetection } from "./open.node.ts";
export { openDigits } from "./sources/digits.node.ts";
export { isQuery, isTablePath, type TablePlace } from "./table/duckdb.node.ts";
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
