// What the columns of tables are, in Node and in a browser: kinds, and dates as numbers.
export { type DateWriting, dateNumber, dateText } from "./dates.ts";
export {
  type ColumnKind,
  type ColumnOf,
  type ColumnScale,
  columnScales,
  type DatePrecision,
  datePrecisions,
  isLearned,
  type LearnedColumn,
  type LeftOutKind,
  leftOutKinds,
  type TableColumn,
  tableColumnSchema,
  tableColumnsSchema,
} from "./schema.ts";
