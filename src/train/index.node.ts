export { type Fit, type FitProgress, type FitSummary, fitHere, resolveFitOptions } from "./fit.node.ts";
export { fitInWorker } from "./fit-in-worker.node.ts";
export { type MetricRow, RunFolder, type RunProgress } from "./run-folder.node.ts";
