import { ShapeError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import type { NdArray } from "../../tensor/array.ts";
import { renderSvg } from "../plots/plot.ts";
import { type Frame, pointsOf, squareFrame, within } from "../points.ts";
import { VIRIDIS, viridis } from "../raster/heat.ts";
import { COLORS } from "../raster/palette.ts";
import { base64, blankRaster, encodePng } from "../raster/raster.ts";
import { quantile, sorted, thin } from "../statistics.ts";

/** Both axes of a plot of the plane: they end where the frame does. */
function planeAxes(frame: Frame, titles: readonly [x: string, y: string], grid: boolean) {
  const axis = (field: "x" | "y", title: string) => ({
    field,
    type: "quantitative" as const,
    title,
    scale: { domain: [...frame[field]], nice: false },
    axis: { grid, domain: false, tickCount: 6 },
  });
  return { x: axis("x", titles[0]), y: axis("y", titles[1]) };
}

const HEAT_MAP_SIZE = 420;
const HEAT_MAP_MOST_POINTS = 800;

/** A density at the points of a grid. */
export interface DensityGrid {
  /** Log-densities in nats, `[rows, columns]`, the first row at the lowest y; −∞ and NaN count as density 0. */
  readonly values: NdArray<"float32">;
  readonly frame: Frame;
  /** Samples to be drawn over the density, `[count, 2]`. */
  readonly samples?: NdArray<"float32">;
}

/**
 * A heat map of a density over the plane, with its color scale and samples over it, as an SVG document. The scale ends at the 99.5th
 * percentile: a single spike does not darken the rest.
 * @throws ShapeError where the values are not `[rows, columns]`, or the samples not `[count, 2]`.
 */
export async function densityHeatMap(
  { values, frame, samples }: DensityGrid,
  title = "Density",
): Promise<string> {
  const [rows, columns] = values.shape;
  if (values.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new ShapeError(`density heat map: values have shape [${values.shape}]; it must be [rows, columns]`);
  }
  const density = Float32Array.from(values.data, (value) => (Number.isFinite(value) ? Math.exp(value) : 0));
  const top = quantile(sorted(density), 0.995) || 1;
  const picture = blankRaster(columns, rows, viridis(0));
  for (const [i, value] of density.entries()) {
    const upsideDown = (rows - 1 - Math.floor(i / columns)) * columns + (i % columns);
    picture.data.set(viridis(value / top), upsideDown * 3);
  }
  const png = await encodePng(picture);
  const url = `data:image/png;base64,${base64(png)}`;
  const points = thin(samples === undefined ? [] : pointsOf(samples, "samples"), HEAT_MAP_MOST_POINTS);
  return renderSvg({
    width: HEAT_MAP_SIZE,
    height: HEAT_MAP_SIZE,
    title,
    layer: [
      {
        data: { values: [{ url }] },
        mark: { type: "image", width: HEAT_MAP_SIZE, height: HEAT_MAP_SIZE, aspect: false },
        encoding: { url: { field: "url" }, x: { value: HEAT_MAP_SIZE / 2 }, y: { value: HEAT_MAP_SIZE / 2 } },
      },
      {
        data: { values: points.filter((point) => within(frame, point)).map(([x, y]) => ({ x, y })) },
        mark: { type: "circle", size: 5, opacity: 1, color: "white", fillOpacity: 0.6, clip: true },
        encoding: { x: { field: "x", type: "quantitative" }, y: { field: "y", type: "quantitative" } },
      },
      {
        // Invisible: these two corners give the axes and the color scale.
        data: {
          values: [
            { x: frame.x[0], y: frame.y[0], density: 0 },
            { x: frame.x[1], y: frame.y[1], density: top },
          ],
        },
        mark: { type: "point", opacity: 0 },
        encoding: {
          ...planeAxes(frame, ["x₁", "x₂"], false),
          color: {
            field: "density",
            type: "quantitative",
            scale: {
              range: VIRIDIS.map(([red, green, blue]) => `rgb(${red},${green},${blue})`),
              domain: [0, top],
            },
            legend: {
              orient: "right",
              title: "per unit area",
              gradientLength: HEAT_MAP_SIZE - 40,
              gradientOpacity: 1,
              tickCount: 5,
            },
          },
        },
      },
    ],
  });
}

const LATENT_MAP_SIZE = 460;
/** The colors of more classes than these look alike. */
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
 * Where samples lie among the codes, colored by their class where there are at most 20, as an SVG document. Codes outside
 * the frame, the farthest two in a thousand on each side, are counted in the subtitle.
 * @throws ShapeError where the codes are not `[count, 2]`
 */
export async function latentMap(
  { codes, labels, classes = [], axes }: LatentCodes,
  title = "Codes",
): Promise<string> {
  const points = pointsOf(codes, "codes");
  const frame = squareFrame(points);
  const isColored = labels !== undefined && classes.length > 1 && classes.length <= MOST_CLASSES;
  const name = (i: number): string => (isColored ? (classes[labels[i] ?? -1] ?? "") : "");
  const shown = points.flatMap((point, i) =>
    within(frame, point) ? [{ x: point[0], y: point[1], name: name(i) }] : [],
  );
  const outside = points.length - shown.length;
  return renderSvg({
    width: LATENT_MAP_SIZE,
    height: LATENT_MAP_SIZE,
    title: {
      text: title,
      subtitle: `${counted(points.length, "sample")}${outside > 0 ? `, ${outside} of them outside the frame` : ""}`,
    },
    data: { values: shown },
    mark: { type: "circle", size: 22, opacity: 1, fillOpacity: 0.75, clip: true },
    encoding: {
      ...planeAxes(frame, axes, true),
      color: isColored
        ? {
            field: "name",
            type: "nominal",
            scale: { domain: [...classes], scheme: classes.length > 10 ? "tableau20" : "tableau10" },
            legend: { orient: "right", symbolSize: 80, symbolOpacity: 1 },
          }
        : { value: COLORS.samples },
    },
  });
}
