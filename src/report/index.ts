export { type BoxPictureOptions, boxColor, drawBoxes, type MarkedBox } from "./boxes/boxes.ts";
export { contactSheet, type SheetPicture } from "./boxes/contact-sheet.ts";
export { confusionPlot, f1Plot, precisionRecallPlot } from "./boxes/plots.ts";
export { facePlot, freeResponsePlot, recallBySizePlot, rocPlot } from "./boxes/rate-plots.ts";
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
} from "./leaderboard/input.ts";
export { renderLeaderboard } from "./leaderboard/leaderboard.ts";
export {
  type LeaderboardCells,
  leaderboardCells,
  leaderboardLines,
  leaderboardMarkdown,
} from "./leaderboard/text.ts";
export type { Picture } from "./page/page.ts";
export {
  type OddRows,
  type ReportCommand,
  type ReportFigure,
  type ReportInput,
  type ReportOption,
  type ReportResult,
  renderReport,
  type SamplePicture,
} from "./page/report.ts";
export { type PlanePanel, planePanel, scatterRaster } from "./plane/panel.ts";
export { type PathState, pathPanels, type Trajectories, trajectoryRaster } from "./plane/paths.ts";
export { type DensityGrid, densityHeatMap, type LatentCodes, latentMap } from "./plane/plots.ts";
export { type BitRows, bitPlot } from "./plots/bits.ts";
export {
  gradientNormCurve,
  learningRateCurve,
  lossCurves,
  lossPartCurves,
  type MetricRow,
  measureCurves,
} from "./plots/curves.ts";
export { type InformationCurve, informationCurve } from "./plots/information.ts";
export { boundTermsPlot, type TermOfBound } from "./plots/likelihood.ts";
export { type PlotSpec, renderSvg } from "./plots/plot.ts";
export { type TableRows, tableMarginals } from "./plots/tables.ts";
export { type Frame, type PointSets, squareFrame } from "./points.ts";
export { type GridOptions, imageGrid, labeledRow, titled } from "./raster/grid.ts";
export type { Raster } from "./raster/raster.ts";
export { encodePng, pngSize, rasterOfBytes } from "./raster/raster.ts";
