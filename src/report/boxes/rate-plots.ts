import { FACE_SUBSETS, type FaceSubset } from "../../data/boxes/set.ts";
import type { RocCurve } from "../../detection/measure/fddb.ts";
import type { DetectionCurve, DetectionCurves } from "../../detection/measure/precision-recall.ts";
import type { SizeRecall } from "../../detection/measure/sizes.ts";
import type { FaceAccuracy } from "../../detection/measure/wider.ts";
import { type PlotLayer, PlotNames, renderSvg } from "../plots/plot.ts";
import { COLORS } from "../raster/palette.ts";
import { significant, thin } from "../statistics.ts";
import { curveLayers, MOST_POINTS, note, type Point, SCHEME, SIZE, share } from "./plots.ts";

// How many objects are found: by their size, and for how many wrong detections.

const titled = (text: string, subtitle: string | undefined) => ({
  text,
  ...(subtitle === undefined ? {} : { subtitle }),
});

/** Width of a range of sizes in a plot, in pixels. */
const STEP = 62;

/** Recall by size at two scores: that of all detections, and that from which on detections count. */
export interface SizePlotInput {
  /** Of all detections. */
  readonly all: readonly SizeRecall[];
  /** Of those that count, in the same ranges. */
  readonly counted: readonly SizeRecall[];
  /** The score from which on they count. */
  readonly score: number;
}

/**
 * Recall by size as bars, an SVG document: dark the objects that are found by detections that count, light behind them those that are found
 * by detections of a lower score. Numbers of objects stand above; ranges without objects are left out.
 * @returns undefined where there is no object
 */
export async function recallBySizePlot(
  { all, counted, score }: SizePlotInput,
  subtitle?: string,
): Promise<string | undefined> {
  const ranges = counted.flatMap((range, i) => {
    const any = all[i];
    return range.objects === 0 || any === undefined ? [] : [{ range, any }];
  });
  if (ranges.length === 0) return undefined;
  const sizes = new PlotNames(
    "sizes",
    ranges.map(({ range: { from, to } }) => (Number.isFinite(to) ? `${from} – ${to}` : `from ${from}`)),
  );
  const legend = new PlotNames("scores", ["of any score", `score ≥ ${significant(score, 3)}`]);
  const rows = ranges.flatMap(({ range, any }, size) => [
    { size, kind: 0, recall: any.recall },
    { size, kind: 1, recall: range.recall },
  ]);
  const x = {
    field: "size",
    type: "ordinal",
    title: "size of objects: √(width · height), in pixels of the image",
    axis: { labelExpr: sizes.labelExpr, labelAngle: 0 },
  } as const;
  const y = {
    field: "recall" as const,
    type: "quantitative" as const,
    stack: null,
    title: "recall",
    // With room for a number above a bar of 1.
    scale: { domain: [0, 1.08], nice: false },
    axis: { grid: true, values: [0, 0.2, 0.4, 0.6, 0.8, 1] },
  };
  const texts = ranges.map(({ range, any }, size) => ({
    size,
    recall: any.recall,
    text: `${significant(range.found)} of ${significant(range.objects)}`,
  }));
  return renderSvg({
    params: [sizes.param, legend.param],
    width: { step: STEP },
    height: SIZE - 100,
    title: titled("Recall by size", subtitle),
    layer: [
      {
        data: { values: rows },
        mark: { type: "bar", width: { band: 0.7 } },
        encoding: {
          x,
          y,
          color: {
            field: "kind",
            type: "nominal",
            scale: { domain: legend.positions, range: ["#b9cbe6", "#1d4f91"] },
            legend: { labelExpr: legend.labelExpr },
          },
        },
      },
      {
        data: { values: texts },
        mark: { type: "text", dy: -8, fontSize: 11, color: COLORS.ink },
        encoding: {
          x,
          y,
          text: { field: "text", type: "nominal" },
        },
      },
    ],
  });
}

/**
 * Recall against wrong detections an image, of each class and of all together, as an SVG document (free-response curves). The axis of wrong
 * detections is logarithmic; what is found without any stands at its left end. The point of the highest F₁ is marked.
 * @param names of the classes
 * @returns undefined where nothing was found that counts
 */
export async function freeResponsePlot(
  curves: DetectionCurves,
  names: readonly string[],
  subtitle?: string,
): Promise<string | undefined> {
  const { best, falsePositives } = curves.all;
  if (best === undefined) return undefined;
  const most = Math.max(...falsePositives.slice(-1));
  const least = falsePositives.find((wrong) => wrong > 0);
  // Without any wrong detection there is a single place.
  const domain = least === undefined ? [0.01, 1] : [least / 2, Math.max(most, 2 * least)];
  const [left = 0] = domain;
  const points = ({ falsePositives: wrong, recall }: DetectionCurve): readonly Point[] => {
    const own = Array.from(wrong, (x, i) => ({ x: Math.max(left, x), y: recall[i] ?? 0 }));
    return own.length === 0 ? [] : [{ x: left, y: 0 }, ...own];
  };
  const { layers, legend } = curveLayers(curves, names, points, {
    x: {
      title: "wrong detections an image",
      scale: { type: "log", domain, nice: false },
      axis: { grid: true, tickCount: 5 },
    },
    y: share("recall"),
    interpolate: "step-after",
  });
  const at = curves.all.scores.indexOf(best.score);
  const mark = { x: Math.max(left, falsePositives[at] ?? left), y: best.recall };
  return renderSvg({
    params: [legend.param],
    width: SIZE,
    height: SIZE,
    title: titled("Recall for wrong detections", subtitle),
    layer: [...layers, note(mark, `score ≥ ${significant(best.score, 3)}`)],
  });
}

/** Lines with names of their own. */
function lineLayer(
  lines: readonly (readonly Point[])[],
  legend: PlotNames,
  axes: { readonly x: object; readonly y: object; readonly interpolate: "linear" | "step-after" },
): PlotLayer {
  return {
    data: {
      values: lines.flatMap((points, line) => thin(points, MOST_POINTS).map((point) => ({ ...point, line }))),
    },
    mark: { type: "line", clip: true, interpolate: axes.interpolate, strokeWidth: 2 },
    encoding: {
      x: { field: "x", type: "quantitative", ...axes.x },
      y: { field: "y", type: "quantitative", ...axes.y },
      color: {
        field: "line",
        type: "nominal",
        scale: { domain: legend.positions, range: SCHEME.slice(0, lines.length) },
        legend: { labelExpr: legend.labelExpr },
      },
    },
  };
}

/**
 * FDDB's ROC curves as an SVG document: true positive rates, discrete and continuous, against wrong detections in all.
 * @returns undefined where there is no object, or nothing was found
 */
export async function rocPlot(roc: RocCurve, subtitle?: string): Promise<string | undefined> {
  if (roc.objects === 0 || roc.scores.length === 0) return undefined;
  const legend = new PlotNames("rates", ["discrete", "continuous"]);
  const line = (rates: Float64Array): readonly Point[] => [
    { x: 0, y: 0 },
    ...Array.from(rates, (y, i) => ({ x: roc.falsePositives[i] ?? 0, y })),
  ];
  const layer = lineLayer([line(roc.discrete), line(roc.continuous)], legend, {
    x: { title: "wrong detections in all", scale: { nice: false }, axis: { grid: true, tickCount: 6 } },
    y: share("true positive rate"),
    interpolate: "linear",
  });
  return renderSvg({
    params: [legend.param],
    width: SIZE,
    height: SIZE,
    title: titled("ROC as FDDB has it", subtitle),
    layer: [layer],
  });
}

/**
 * WIDER FACE's curves of precision and recall of easy, medium and hard faces as an SVG document.
 * @returns undefined where no subset has a face
 */
export async function facePlot(
  faces: Readonly<Record<FaceSubset, FaceAccuracy>>,
  subtitle?: string,
): Promise<string | undefined> {
  const shown = FACE_SUBSETS.filter((subset) => faces[subset].faces > 0);
  if (shown.length === 0) return undefined;
  const legend = new PlotNames(
    "subsets",
    shown.map((subset) => `${subset}: ${faces[subset].ap.toFixed(3)}`),
  );
  const lines = shown.map((subset) =>
    faces[subset].curve
      .filter(({ precision }) => precision > 0)
      .map(({ recall, precision }) => ({ x: recall, y: precision })),
  );
  return renderSvg({
    params: [legend.param],
    width: SIZE,
    height: SIZE,
    title: titled("Faces by difficulty: WIDER FACE", subtitle),
    layer: [lineLayer(lines, legend, { x: share("recall"), y: share("precision"), interpolate: "linear" })],
  });
}
