// The columns of tables, as they are stored with a model: how cells become numbers of a sample, and back.
export type { BinaryColumn, CategoricalColumn, Cell, Column, NumericColumn } from "../sources/columns.ts";
export { columnSchema, columnsSchema, columnWidth, tableWidth } from "../sources/columns.ts";
export { Clippings, decodeRow, decodeTable, logUnits } from "./codec/index.ts";
export { MISSING } from "./columns/missing.ts";
