// The package's front door in Node: fit a model by name, open a run, sample, score, evaluate and export it. The rooms
// themselves (eidos/tensor, eidos/nn, eidos/flows, …) have entrances of their own, which also work in a browser.

export { type AbilityOf, type ModelName, type ModelOptions, models } from "./catalog.ts";
export {
  convertDetections,
  type DataSet,
  type DataSource,
  type DetectionSet,
  images,
  openData,
  openDetection,
  photos,
  points,
  rows,
} from "./data/index.node.ts";
export * from "./errors.ts";
export { defineModel } from "./model/definition.ts";
export { nodeRuntime } from "./program/node.ts";
export { Session } from "./program/program.ts";
export { Random } from "./random.ts";
export * from "./tasks/index.node.ts";
export type { FitProgress, FitSummary } from "./train/fit-request.node.ts";
export { version } from "./version.ts";
