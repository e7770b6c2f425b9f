import type { NdArray } from "../tensor/array.ts";
import { COLOURS, renderSvg } from "./plot.ts";
import { pointsOf, squareFrame, within } from "./points.ts";

const SIZE = 460;
/** Of more classes than these the colours are not told apart. */
const MOST_CLASSES = 20;

/** Codes of samples in the plane. */
export interface LatentCodes {
  /** [count, 2]. */
  readonly codes: NdArray<"float32">;
  /** The class of each sample, and the names of classes, where samples have some. */
  readonly labels?: readonly number[] | undefined;
  readonly classes?: readonly string[] | undefined;
  /** What the axes are. */
  readonly axes: readonly [string, string];
}

/**
 * Where samples lie among the codes, coloured by their class where there are at most 20, as an SVG document. Codes outside
 * the frame, the farthest two in a thousand on each side, are counted in the subtitle.
 * @throws ShapeError where the codes are not `[count, 2]`
 */
export async function latentMap(
  { codes, labels, classes = [], axes }: LatentCodes,
  title = "Codes",
): Promise<string> {
  const points = pointsOf(codes, "codes");
  const frame = squareFrame(points);
  const isColoured = labels !== undefined && classes.length > 1 && classes.length <= MOST_CLASSES;
  const name = (i: number): string => (isColoured ? (classes[labels[i] ?? -1] ?? "") : "");
  const shown = points.flatMap((point, i) =>
    within(frame, point) ? [{ x: point[0], y: point[1], name: name(i) }] : [],
  );
  const outside = points.length - shown.length;
  const [x, y] = (["x", "y"] as const).map((field, i) => ({
    field,
    type: "quantitative" as const,
    title: axes[i] ?? field,
    scale: { domain: [...frame[field]], nice: false },
    axis: { grid: true, domain: false, tickCount: 6 },
  }));
  return renderSvg({
    width: SIZE,
    height: SIZE,
    title: {
      text: title,
      subtitle: `${points.length} samples${outside > 0 ? `, ${outside} of them outside the frame` : ""}`,
    },
    data: { values: shown },
    mark: { type: "circle", size: 22, opacity: 1, fillOpacity: 0.75, clip: true },
    encoding: {
      ...(x && { x }),
      ...(y && { y }),
      color: isColoured
        ? {
            field: "name",
            type: "nominal",
            scale: { domain: [...classes], scheme: classes.length > 10 ? "tableau20" : "tableau10" },
            legend: { orient: "right", symbolSize: 80, symbolOpacity: 1 },
          }
        : { value: COLOURS.samples },
    },
  });
}
