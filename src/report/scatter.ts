import { COLOURS, renderSvg } from "./plot.ts";
import { type Point, type PointSets, placePoints, within } from "./points.ts";
import { thin } from "./statistics.ts";

/** A circle a point is some 100 bytes of SVG. */
const MOST_POINTS = 2000;
const SIZE = 420;

/**
 * A scatter plot of samples over data as an SVG document, at most 2,000 points of each. The subtitle counts the samples
 * outside the frame.
 * @throws ShapeError where the arrays are not `[count, 2]`.
 */
export async function scatterPlot(sets: PointSets, title = "Samples over data"): Promise<string> {
  const { data, samples, frame } = placePoints(sets);
  const outside = samples.filter((point) => !within(frame, point)).length;
  const rows = (points: readonly Point[], name: string) =>
    thin(points, MOST_POINTS).flatMap((point) =>
      within(frame, point) ? [{ x: point[0], y: point[1], name }] : [],
    );
  const axis = { grid: true, domain: false, tickCount: 6 } as const;
  const names = data.length > 0 ? ["data", "samples"] : ["samples"];
  return renderSvg({
    width: SIZE,
    height: SIZE,
    title: {
      text: title,
      subtitle: `${samples.length} samples${outside > 0 ? `, ${outside} of them outside the frame` : ""}`,
    },
    data: { values: [...rows(data, "data"), ...rows(samples, "samples")] },
    mark: { type: "circle", size: 9, opacity: 1, fillOpacity: 0.55, clip: true },
    encoding: {
      x: {
        field: "x",
        type: "quantitative",
        title: "x₁",
        scale: { domain: [...frame.x], nice: false },
        axis,
      },
      y: {
        field: "y",
        type: "quantitative",
        title: "x₂",
        scale: { domain: [...frame.y], nice: false },
        axis,
      },
      color: {
        field: "name",
        type: "nominal",
        scale: {
          domain: names,
          range: names.map((name) => (name === "data" ? COLOURS.data : COLOURS.samples)),
        },
        legend: { symbolSize: 60 },
      },
    },
  });
}
