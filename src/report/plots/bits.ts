import { ShapeError } from "../../errors.ts";
import type { NdArray } from "../../tensor/array.ts";
import { COLORS, rgb } from "../raster/palette.ts";
import { base64, blankRaster, encodePng } from "../raster/raster.ts";
import { thin } from "../statistics.ts";
import { type PlotPart, renderSvg } from "./plot.ts";

/** Zeros and ones that a model drew, or probabilities of ones, and data to compare them with: both `[count, columns]`. */
export interface BitRows {
  readonly data: NdArray<"float32">;
  readonly samples: NdArray<"float32">;
}

const SIZE = 230;
/** Rows are drawn in half pixels, which are whole ones in a PNG of a plot. */
const DOTS = 2 * SIZE;
const MOST_ROWS = 46;
const MOST_PAIRS = 1500;
/** Columns of which pairs are counted. */
const PAIRED = 512;

const ZERO = rgb("empty");
const ONES = { data: rgb("muted"), samples: rgb("samples") };

/** Shares of rows with a one in each column, and in both of each pair of columns (a before b, row by row). */
interface Shares {
  readonly single: readonly number[];
  readonly pairs: Float64Array;
}

function checkShape({ shape }: NdArray<"float32">, what: string, columns: number): void {
  const [rows = 0, width] = shape;
  if (shape.length === 2 && width === columns && rows > 0) return;
  throw new ShapeError(`bit plot: ${what} have shape [${shape}]; it must be [count, ${columns}]`);
}

function sharesOf({ data, shape }: NdArray<"float32">): Shares {
  const [rows = 0, width = 0] = shape;
  const single = new Array<number>(width).fill(0);
  const paired = Math.min(width, PAIRED);
  const pairs = new Float64Array((paired * (paired - 1)) / 2);
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * width, (row + 1) * width);
    for (let a = 0; a < width; a++) {
      const value = values[a] ?? 0;
      if (value === 0) continue;
      single[a] = (single[a] ?? 0) + value / rows;
      // Pairs of the columns before a come first.
      const start = a * paired - (a * (a + 1)) / 2;
      for (let b = a + 1; b < paired; b++) {
        const place = start + b - a - 1;
        pairs[place] = (pairs[place] ?? 0) + (value * (values[b] ?? 0)) / rows;
      }
    }
  }
  return { single, pairs };
}

/** The first rows as cells, colored where they are one. */
async function rowsPanel({ data, shape }: NdArray<"float32">, set: "data" | "samples"): Promise<PlotPart> {
  const [count = 0, width = 0] = shape;
  const rows = Math.min(count, MOST_ROWS);
  const columns = Math.min(width, DOTS);
  const wide = Math.max(1, Math.floor(DOTS / columns));
  const high = Math.floor(DOTS / MOST_ROWS);
  const raster = blankRaster(columns * wide, rows * high, ZERO);
  for (let y = 0; y < raster.height; y++) {
    for (let x = 0; x < raster.width; x++) {
      // A dot of background around cells that are large enough to tell them apart.
      if (wide > 4 && (x % wide === 0 || y % high === 0)) continue;
      const value = data[Math.floor(y / high) * width + Math.floor(x / wide)] ?? 0;
      const color = ONES[set].map((one, i) => Math.round((ZERO[i] ?? 0) + value * (one - (ZERO[i] ?? 0))));
      raster.data.set(color, (y * raster.width + x) * 3);
    }
  }
  const url = `data:image/png;base64,${base64(await encodePng(raster))}`;
  const size = { width: raster.width / 2, height: raster.height / 2 };
  return {
    ...size,
    title: panelTitle(set === "data" ? `the first ${rows} rows of data` : `the first ${rows} samples`),
    data: { values: [{ url }] },
    mark: { type: "image", ...size, aspect: false },
    encoding: { url: { field: "url" }, x: { value: size.width / 2 }, y: { value: size.height / 2 } },
  };
}

const panelTitle = (text: string) =>
  ({ text, fontSize: 11, fontWeight: "normal", color: COLORS.muted, offset: 6 }) as const;

/** Shares in data against those in samples: on the diagonal where they agree. */
function sharesPanel(title: string, places: readonly { readonly x: number; readonly y: number }[]): PlotPart {
  const top = Math.max(0.01, ...places.flatMap(({ x, y }) => [x, y]));
  const axis = (field: "x" | "y", name: string) => ({
    field,
    type: "quantitative" as const,
    title: name,
    scale: { domain: [0, top], nice: true },
    axis: { tickCount: 5, grid: true },
  });
  const encoding = { x: axis("x", "in data"), y: axis("y", "in samples") };
  return {
    width: SIZE,
    height: SIZE,
    title: panelTitle(title),
    layer: [
      {
        data: {
          values: [
            { x: 0, y: 0 },
            { x: top, y: top },
          ],
        },
        mark: { type: "line", color: COLORS.data, strokeWidth: 1 },
        encoding,
      },
      {
        data: { values: [...places] },
        mark: { type: "circle", size: 14, opacity: 1, fillOpacity: 0.55, color: COLORS.samples, clip: true },
        encoding,
      },
    ],
  };
}

/**
 * Zeros and ones of a model beside those of the data, as an SVG document: the first rows of each as cells, the share of
 * ones in each column, and of rows with a one in both of two columns (1,500 of the pairs of the first 512 columns).
 * @throws ShapeError where the arrays are not `[count, columns]`, of the same columns
 */
export async function bitPlot(
  { data, samples }: BitRows,
  title = "Zeros and ones: data and samples",
): Promise<string> {
  const [, columns = 0] = data.shape;
  checkShape(data, "data", columns);
  checkShape(samples, "samples", columns);
  const [inData, inSamples] = [sharesOf(data), sharesOf(samples)];
  const both = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a, (x, i) => ({ x, y: b[i] ?? 0 }));
  const pairs = both(inData.pairs, inSamples.pairs);
  return renderSvg({
    title: {
      text: title,
      subtitle: `${data.shape[0]} rows of data, ${samples.shape[0]} samples, ${columns} columns`,
    },
    columns: 4,
    concat: [
      await rowsPanel(data, "data"),
      await rowsPanel(samples, "samples"),
      sharesPanel("share of ones in each column", both(inData.single, inSamples.single)),
      ...(pairs.length === 0 ? [] : [sharesPanel("both ones, in pairs of columns", thin(pairs, MOST_PAIRS))]),
    ],
  });
}
