// How cells of tables become numbers of samples, and numbers of samples cells, in Node and in a browser.
export { columnOf } from "./build.ts";
export {
  type Clipped,
  Clippings,
  decodeNumber,
  decodeRow,
  decodeTable,
  encodeGap,
  encodeUnknown,
  encodeValue,
  isMissing,
  isNoisy,
  logUnits,
  plottedTable,
  sampleValue,
  Unclipped,
  valueOfCell,
} from "./codec.ts";
export { atomsOf, fitScale, fromScale, logSlopeAt, statistics, toScale } from "./scales.ts";
export { type EncodedRows, tableSplit } from "./split.ts";
