export { openBinaryTable } from "./binary-table.node.ts";
export { type Conversion, convertDetections } from "./detection-convert.node.ts";
export { isDetectionData, openDetection } from "./detection-open.node.ts";
export { openDigits } from "./digits.node.ts";
export { isQuery, isTablePath, type TablePlace } from "./duckdb.node.ts";
export { fileError, isMissing, makeFolder, readBytes, replaceFile, writeFileAtomic } from "./files.node.ts";
export type { ImageFormat } from "./image-folder.node.ts";
export { decodeImage, openImageFolder } from "./image-folder.node.ts";
export { type ImageBatch, streamImages } from "./image-stream.node.ts";
export * from "./index.ts";
export { readNpy, writeNpy } from "./npy.node.ts";
export { openData } from "./open.node.ts";
export { optional } from "./optional.node.ts";
export { readPairs, writePairs } from "./pair-file.node.ts";
export { openTable } from "./table.node.ts";
export { type GappedBatch, streamGappedTable, tableColumns } from "./table-gaps.node.ts";
export { findSplitTables, type SplitTables, type TableData } from "./table-parts.node.ts";
export {
  columnNames,
  findMarks,
  type StreamOptions,
  streamTable,
  type TableBatch,
} from "./table-stream.node.ts";
export { writeTable } from "./table-write.node.ts";
