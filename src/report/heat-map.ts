import { ShapeError } from "../errors.ts";
import type { NdArray } from "../tensor/array.ts";
import { base64 } from "./base64.ts";
import { renderSvg } from "./plot.ts";
import { encodePng } from "./png.ts";
import { type Frame, pointsOf, within } from "./points.ts";
import { blankRaster } from "./raster.ts";
import { quantile, sorted, thin } from "./statistics.ts";
import { VIRIDIS, viridis } from "./viridis.ts";

const SIZE = 420;
const MOST_POINTS = 800;

/** A density at the places of a grid. */
export interface DensityGrid {
  /** Log-densities in nats, `[rows, columns]`, the first row at the lowest y; −∞ and NaN count as density 0. */
  readonly values: NdArray<"float32">;
  readonly frame: Frame;
  /** Samples to be drawn over the density, `[count, 2]`. */
  readonly samples?: NdArray<"float32">;
}

/**
 * A heat map of a density over the plane, with its colour scale and samples over it, as an SVG document. The scale ends at the 99.5th
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
  const points = thin(samples === undefined ? [] : pointsOf(samples, "samples"), MOST_POINTS);
  const axis = { grid: false, domain: false, tickCount: 6 } as const;
  return renderSvg({
    width: SIZE,
    height: SIZE,
    title,
    layer: [
      {
        data: { values: [{ url }] },
        mark: { type: "image", width: SIZE, height: SIZE, aspect: false },
        encoding: { url: { field: "url" }, x: { value: SIZE / 2 }, y: { value: SIZE / 2 } },
      },
      {
        data: { values: points.filter((point) => within(frame, point)).map(([x, y]) => ({ x, y })) },
        mark: { type: "circle", size: 5, opacity: 1, color: "white", fillOpacity: 0.6, clip: true },
        encoding: { x: { field: "x", type: "quantitative" }, y: { field: "y", type: "quantitative" } },
      },
      {
        // Invisible: these two corners give the axes and the colour scale.
        data: {
          values: [
            { x: frame.x[0], y: frame.y[0], density: 0 },
            { x: frame.x[1], y: frame.y[1], density: top },
          ],
        },
        mark: { type: "point", opacity: 0 },
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
            field: "density",
            type: "quantitative",
            scale: {
              range: VIRIDIS.map(([red, green, blue]) => `rgb(${red},${green},${blue})`),
              domain: [0, top],
            },
            legend: {
              orient: "right",
              title: "per unit area",
              gradientLength: SIZE - 40,
              gradientOpacity: 1,
              tickCount: 5,
            },
          },
        },
      },
    ],
  });
}
