export * from "./capabilities.ts";
export * from "./codes.ts";
export * from "./data-info.ts";
export * from "./definition.ts";
export { type IncompleteRow, incompleteRows, type SamplePart, sampleInParts } from "./sampling.ts";
