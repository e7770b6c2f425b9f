import type { ConfusionMatrix } from "../../detection/measure/confusion.ts";
import type { DetectionCurve, DetectionCurves } from "../../detection/measure/precision-recall.ts";
import { type PlotLayer, PlotNames, renderSvg } from "../plots/plot.ts";
import { COLORS } from "../raster/palette.ts";
import { significant, thin } from "../statistics.ts";

/** More than a curve of the plot's width can show. */
export const MOST_POINTS = 400;
/** More classes than distinct colors: then they are all grey. */
const MOST_COLORS = 10;
export const SIZE = 380;

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Colors of as many classes. */
export const SCHEME = [
  "#e63946",
  "#1d78ec",
  "#ffb703",
  "#06a77d",
  "#b554d6",
  "#fb8500",
  "#00b4d8",
  "#9aab00",
  "#ff70a6",
  "#86603e",
];

/** The curves of the classes that have objects, thin, with that of all together over them; and the names of the legend. */
export function curveLayers(
  curves: DetectionCurves,
  names: readonly string[],
  points: (curve: DetectionCurve) => readonly Point[],
  axes: {
    readonly x: object;
    readonly y: object;
    readonly interpolate: "linear" | "step-before" | "step-after";
  },
): { readonly layers: readonly PlotLayer[]; readonly legend: PlotNames } {
  const { x, y, interpolate } = axes;
  const classes = curves.classes.flatMap((curve, i) =>
    curve.objects === 0 ? [] : [{ name: names[i] ?? `class ${i}`, curve }],
  );
  // One class alone is all classes.
  const shown = classes.length > 1 ? classes : [];
  const colored = shown.length <= MOST_COLORS;
  const line = { type: "line", clip: true, interpolate } as const;
  const encoding = {
    x: { field: "x", type: "quantitative", ...x },
    y: { field: "y", type: "quantitative", ...y },
  } as const;
  const legend = new PlotNames("classes", [
    ...(colored ? shown.map(({ name }) => name) : ["each class"]),
    "all classes",
  ]);
  const all = legend.positions.length - 1;
  const color = {
    field: "legend",
    type: "nominal",
    scale: {
      domain: legend.positions,
      range: [...(colored ? SCHEME.slice(0, shown.length) : [COLORS.data]), COLORS.ink],
    },
    legend: { labelExpr: legend.labelExpr },
  } as const;
  const layers: PlotLayer[] = [
    {
      data: {
        values: shown.flatMap(({ curve }, i) =>
          thin(points(curve), MOST_POINTS).map((point) => ({ ...point, curve: i, legend: colored ? i : 0 })),
        ),
      },
      mark: { ...line, strokeWidth: 1.5, opacity: colored ? 0.9 : 0.5 },
      encoding: { ...encoding, color, detail: { field: "curve", type: "nominal" } },
    },
    {
      data: { values: thin(points(curves.all), MOST_POINTS).map((point) => ({ ...point, legend: all })) },
      mark: { ...line, strokeWidth: 2.5 },
      encoding: { ...encoding, color },
    },
  ];
  return { layers, legend };
}

/** An axis of shares from 0 to 1. */
export const share = (title: string) => ({
  title,
  scale: { domain: [0, 1], nice: false },
  axis: { grid: true, tickCount: 6 },
});

/** A layer with a point and what it is. */
export function note(point: { readonly x: number; readonly y: number }, text: string): PlotLayer {
  const left = point.x > 0.6;
  const label = {
    type: "text",
    color: COLORS.ink,
    fontSize: 12,
    dx: left ? -9 : 9,
    dy: -9,
    align: left ? "right" : "left",
  } as const;
  return {
    data: { values: [{ ...point, text }] },
    encoding: { x: { field: "x", type: "quantitative" }, y: { field: "y", type: "quantitative" } },
    layer: [
      { mark: { type: "point", color: COLORS.ink, filled: true, opacity: 1, size: 50 } },
      { mark: { ...label, stroke: "white", strokeWidth: 4 }, encoding: { text: { field: "text" } } },
      { mark: label, encoding: { text: { field: "text" } } },
    ],
  };
}

/**
 * Precision against recall, of each class and of all together, as an SVG document. The point of the highest F₁ is marked.
 * @param names of the classes
 * @returns undefined where nothing was found that counts
 */
export async function precisionRecallPlot(
  curves: DetectionCurves,
  names: readonly string[],
  subtitle?: string,
): Promise<string | undefined> {
  const { best } = curves.all;
  if (best === undefined) return undefined;
  const points = ({ precision, recall }: DetectionCurve) => {
    const own = Array.from(recall, (x, i) => ({ x, y: precision[i] ?? 0 }));
    const [first] = own;
    return first === undefined ? [] : [{ x: 0, y: first.y }, ...own];
  };
  const { layers, legend } = curveLayers(curves, names, points, {
    x: share("recall"),
    y: share("precision"),
    interpolate: "linear",
  });
  return renderSvg({
    params: [legend.param],
    width: SIZE,
    height: SIZE,
    title: { text: "Precision and recall", ...(subtitle === undefined ? {} : { subtitle }) },
    layer: [...layers, note({ x: best.recall, y: best.precision }, `score ≥ ${significant(best.score, 3)}`)],
  });
}

/**
 * F₁ against the score from which on detections count, of each class and of all together, as an SVG document. The highest
 * is marked: the score at which to cut.
 * @param names of the classes
 * @returns undefined where nothing was found that counts
 */
export async function f1Plot(
  curves: DetectionCurves,
  names: readonly string[],
  subtitle?: string,
): Promise<string | undefined> {
  const { best, scores } = curves.all;
  if (best === undefined) return undefined;
  const points = ({ scores: own, f1 }: DetectionCurve) => {
    const all = Array.from(own, (x, i) => ({ x, y: f1[i] ?? 0 })).reverse();
    const [least] = all;
    // Below the lowest score everything counts, above the highest nothing.
    const last = all.at(-1);
    return least === undefined || last === undefined
      ? []
      : [{ x: Math.min(0, least.x), y: least.y }, ...all, { x: Math.max(1, last.x), y: 0 }];
  };
  const domain = [Math.min(0, scores.at(-1) ?? 0), Math.max(1, scores[0] ?? 1)];
  const x = { ...share("score from which on detections count"), scale: { domain, nice: false } };
  const { layers, legend } = curveLayers(curves, names, points, {
    x,
    y: share("F₁"),
    interpolate: "step-before",
  });
  return renderSvg({
    params: [legend.param],
    width: SIZE,
    height: SIZE,
    title: { text: "F₁ over the score", ...(subtitle === undefined ? {} : { subtitle }) },
    layer: [
      ...layers,
      note({ x: best.score, y: best.f1 }, `${significant(best.f1, 3)} at ${significant(best.score, 3)}`),
    ],
  });
}

/** From as many classes on there is no room for numbers in the cells. */
const MOST_NUMBERS = 25;

/**
 * A confusion matrix as an SVG document: a row for each class of objects, a column for what they were detected as, and one of each
 * for background. Colors are shares of the row, numbers are counts.
 * @param names of the classes
 */
export async function confusionPlot(
  { classCount, counts }: ConfusionMatrix,
  names: readonly string[],
  subtitle?: string,
): Promise<string> {
  const size = classCount + 1;
  const name = (i: number, background: string) =>
    i === classCount ? background : (names[i] ?? `class ${i}`);
  const [nothing, missed] = ["(nothing there)", "(not found)"];
  const cells = Array.from({ length: size * size }, (_, at) => {
    const [row, column] = [Math.floor(at / size), at % size];
    const total = counts.subarray(row * size, (row + 1) * size).reduce((sum, value) => sum + value, 0);
    const value = counts[at] ?? 0;
    return {
      truth: row,
      found: column,
      share: total === 0 ? 0 : value / total,
      // What lies in both backgrounds is not counted.
      text: row === classCount && column === classCount ? "" : value === 0 ? "·" : significant(value),
    };
  });
  const side = Math.max(8, Math.min(54, Math.floor(640 / size)));
  const indices = Array.from({ length: size }, (_, i) => i);
  const rows = new PlotNames(
    "truth",
    indices.map((i) => name(i, nothing)),
  );
  const columns = new PlotNames(
    "found",
    indices.map((i) => name(i, missed)),
  );
  const axis = { domain: false, ticks: false, labelLimit: 120, labelOverlap: side < 13 } as const;
  const y = {
    field: "truth",
    type: "ordinal",
    title: "object",
    axis: { ...axis, grid: false, labelExpr: rows.labelExpr },
  } as const;
  const x = {
    field: "found",
    type: "ordinal",
    title: "detected as",
    axis: { ...axis, orient: "top", labelAngle: -45, labelAlign: "left", labelExpr: columns.labelExpr },
  } as const;
  return renderSvg({
    params: [rows.param, columns.param],
    width: { step: side },
    height: { step: side },
    title: { text: "Confusion of classes", subtitle: subtitle ?? "colors are shares of each row" },
    data: { values: cells },
    layer: [
      {
        mark: { type: "rect", stroke: "white" },
        encoding: {
          x,
          y,
          color: {
            field: "share",
            type: "quantitative",
            scale: { domain: [0, 1], range: ["#f3f5f8", "#1d4f91"] },
            legend: null,
          },
        },
      },
      ...(size > MOST_NUMBERS
        ? []
        : [
            {
              mark: { type: "text" as const, fontSize: 11 },
              encoding: {
                x,
                y,
                text: { field: "text", type: "nominal" as const },
                color: {
                  condition: { test: "datum.share > 0.5", value: "white" },
                  value: COLORS.ink,
                },
              },
            },
          ]),
    ],
  });
}
