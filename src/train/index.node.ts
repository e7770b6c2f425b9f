export { type Fit, type FitProgress, type FitSummary, fitHere } from "./fit.node.ts";
export { fitInWorker } from "./fit-in-worker.node.ts";
export { resolveFitOptions } from "./fit-setup.ts";
export { type MetricRow, RunFolder, type RunProgress } from "./run-folder.node.ts";
