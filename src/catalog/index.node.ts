export { loadDefinition } from "./definition.node.ts";
export { type Evaluation, evaluateRun } from "./eval.node.ts";
export { type ExportSummary, exportRun } from "./export.node.ts";
export { type FitHooks, type FitRequest, fit, resumeFit } from "./fit.node.ts";
export { type OpenRun, type OpenRunOptions, openRun, runData } from "./run.node.ts";
export { sampleRun, writeSamples } from "./sample.node.ts";
export { type ScoreBatch, type ScoreOptions, score } from "./score.node.ts";
