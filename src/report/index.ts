export { type BitRows, bitPlot } from "./bits.ts";
export { boundTermsPlot, type TermOfBound } from "./bound-terms.ts";
export { type BoxPictureOptions, boxColour, drawBoxes, type MarkedBox } from "./boxes.ts";
export { rasterOfBytes } from "./byte-image.ts";
export { contactSheet, type SheetPicture } from "./contact-sheet.ts";
export {
  gradientNormCurve,
  learningRateCurve,
  lossCurves,
  lossPartCurves,
  type MetricRow,
  measureCurves,
} from "./curves.ts";
export { confusionPlot, f1Plot, precisionRecallPlot } from "./detection-plots.ts";
export { type GridGeometry, type GridOptions, gridGeometry, imageGrid } from "./grid.ts";
export { type DensityGrid, densityHeatMap } from "./heat-map.ts";
export { labelledRow } from "./labelled-row.ts";
export { type LatentCodes, latentMap } from "./latent-map.ts";
export { renderLeaderboard } from "./leaderboard.ts";
export type {
  Better,
  Leaderboard,
  LeaderboardControl,
  LeaderboardGallery,
  LeaderboardMeasure,
  LeaderboardPanel,
  LeaderboardRow,
  MeasureValues,
  SamplingTime,
} from "./leaderboard-input.ts";
export {
  type LeaderboardCells,
  leaderboardCells,
  leaderboardLines,
  leaderboardMarkdown,
} from "./leaderboard-text.ts";
export { type LikelihoodSet, likelihoodHistogram } from "./likelihood.ts";
export type { Picture } from "./page.ts";
export { type PathState, pathPanels } from "./path-panels.ts";
export { type PlanePanel, planePanel } from "./plane-panel.ts";
export { type PlotSpec, renderSvg } from "./plot.ts";
export { encodePng, pngSize } from "./png.ts";
export { type Frame, type PointSets, squareFrame } from "./points.ts";
export type { Raster } from "./raster.ts";
export {
  type ReportCommand,
  type ReportFigure,
  type ReportInput,
  type ReportOption,
  type ReportResult,
  renderReport,
  type SamplePicture,
} from "./report.ts";
export { scatterPlot } from "./scatter.ts";
export { scatterRaster } from "./scatter-raster.ts";
export { type TableRows, tableMarginals, tablePairs } from "./tables.ts";
export { type Trajectories, trajectoryRaster } from "./trajectories.ts";
