import { PlotNames, renderSvg } from "../plots/plot.ts";

/** Anchors that a rule gives objects of several sizes, on average. */
export interface AnchorCurve {
  readonly name: string;
  /** The size of objects in pixels, and their anchors. */
  readonly points: readonly { readonly size: number; readonly anchors: number }[];
}

type CurveStyle = readonly [color: string, dash: readonly number[]];

/** Colors of the curves, and which of them are dashed: what is compared with the curve of the same color. */
const STYLES: readonly CurveStyle[] = [
  ["#8b93a1", [5, 4]],
  ["#8b93a1", [1, 0]],
  ["#1d78ec", [5, 4]],
  ["#1d78ec", [1, 0]],
  ["#06a77d", [1, 0]],
  ["#fb8500", [5, 4]],
  ["#fb8500", [1, 0]],
];

/**
 * How many anchors rules give an object by its size, as an SVG document: both axes are logarithmic, and an object without anchors stands
 * below them, at a half.
 */
export async function anchorSizePlot(curves: readonly AnchorCurve[], subtitle: string): Promise<string> {
  const names = new PlotNames(
    "rules",
    curves.map(({ name }) => name),
  );
  const styles = curves.flatMap((_, i) => STYLES.slice(i % STYLES.length).slice(0, 1));
  const legend = { labelExpr: names.labelExpr, columns: 4, symbolSize: 400, symbolType: "stroke" } as const;
  return renderSvg({
    params: [names.param],
    width: 620,
    height: 340,
    title: { text: "Anchors of an object by its size", subtitle },
    data: {
      values: curves.flatMap(({ points }, rule) =>
        points.map(({ size, anchors }) => ({ size, anchors: Math.max(0.5, anchors), rule })),
      ),
    },
    mark: { type: "line", strokeWidth: 2.2, point: { size: 26, filled: true } },
    encoding: {
      x: {
        field: "size",
        type: "quantitative",
        title: "size of the object, √(width · height), in pixels",
        scale: { type: "log", base: 2, nice: false },
        axis: { values: [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] },
      },
      y: {
        field: "anchors",
        type: "quantitative",
        title: "anchors assigned to it, on average",
        scale: { type: "log", base: 10, nice: false, domainMin: 0.5 },
        axis: { values: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
      },
      color: {
        field: "rule",
        type: "nominal",
        scale: { domain: names.positions, range: styles.map(([color]) => color) },
        legend,
      },
      strokeDash: {
        field: "rule",
        type: "nominal",
        scale: { domain: names.positions, range: styles.map(([, dash]) => [...dash]) },
        legend,
      },
    },
  });
}
