export type { Mark, MarkedPhoto, PhotoToMark, Saving } from "../data/boxes/marking.node.ts";
export type { OddRow, ServedAbility, ServedColumn, ServedModel } from "./abilities.ts";
export { type ServeOptions, serveOptions } from "./options.ts";
export { type EidosServer, serve } from "./server.node.ts";
export type {
  AskedExport,
  AskedFit,
  ExportedRun,
  FitForm,
  FormField,
  ListedRun,
  MetricRows,
  OfferedData,
  OfferedModel,
  RunDetails,
  RunList,
  RunNotes,
  RunPicture,
  StudioFit,
} from "./studio/answers.node.ts";
export type { AskedMarks, MarkFolder, MarkFolders, MarkStatistics } from "./studio/mark-answers.node.ts";
export { type StudioOptions, studioOptions } from "./studio/options.ts";
export { type Studio, startStudio } from "./studio.node.ts";
export type { UsableModel } from "./studio-use.node.ts";
