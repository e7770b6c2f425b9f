import type { Cell, Column } from "../../data/sources/columns.ts";
import { DataError } from "../../errors.ts";
import { counted } from "../../memory.ts";
import { COLORS } from "../raster/palette.ts";
import { binEdges, finite, histogram, quantile, sorted } from "../statistics.ts";
import { PlotNames, type PlotPart, renderSvg, SHORT_LABELS, short } from "./plot.ts";

/** Rows of a table as a person writes them, and rows that a model drew, both with the given columns. */
export interface TableRows {
  readonly columns: readonly Column[];
  readonly data: readonly (readonly (Cell | null)[])[];
  readonly samples: readonly (readonly (Cell | null)[])[];
}

const MOST_COLUMNS = 24;
const MOST_CATEGORIES = 12;
const BINS = 28;

const SETS = ["data", "samples"];
const color = {
  field: "name",
  type: "nominal",
  scale: { domain: SETS, range: [COLORS.data, COLORS.samples] },
} as const;

const numbers = (rows: TableRows["data"], column: number): number[] =>
  finite(rows.map((row) => Number(row[column] ?? Number.NaN)));

/**
 * Edges of the bins of a numeric column: one bin a value where the data has few whole numbers. Samples widen the range
 * of the data by at most its own width on either side.
 */
function edgesOf(data: readonly number[], samples: readonly number[]): number[] {
  const [a, b] = [sorted(data.length > 0 ? data : samples), sorted(samples.length > 0 ? samples : data)];
  if (a.length === 0) return binEdges(0, 1, BINS);
  const [least, most] = [quantile(a, 0.002), quantile(a, 0.998)];
  const low = Math.min(least, Math.max(quantile(b, 0.01), 2 * least - most));
  const high = Math.max(most, Math.min(quantile(b, 0.99), 2 * most - least));
  if (new Set(data).size <= BINS && data.every(Number.isInteger) && high - low < 2 * BINS) {
    const [first, last] = [Math.floor(low), Math.ceil(high)];
    return binEdges(first - 0.5, last + 0.5, last - first + 1);
  }
  return binEdges(low, high, BINS);
}

/** Large numbers are written short: 20k. Smaller ones are written as they are: 2007 may be a year. */
const numberAxis = (edges: readonly number[]) => ({
  tickCount: 4,
  labelSeparation: 8,
  labelOverlap: "greedy" as const,
  ...(Math.max(...edges.map(Math.abs)) >= 10_000 ? { labelExpr: SHORT_LABELS } : { format: "~r" }),
});

/** Data as filled bars, samples as an outline over them. */
function numericMarginal(name: string, data: readonly number[], samples: readonly number[]): PlotPart {
  const edges = edgesOf(data, samples);
  const bars = (values: readonly number[], set: string) =>
    histogram(values, edges).map((density, i) => ({ low: edges[i], high: edges[i + 1], density, name: set }));
  const outline = bars(samples, "samples");
  const last = outline.at(-1);
  const zero = (at: number | undefined) => ({ low: at, density: 0, name: "samples" });
  const y = {
    field: "density",
    type: "quantitative",
    title: null,
    axis: { labels: false, grid: false, minExtent: 0, maxExtent: 0 },
  } as const;
  const x = { field: "low", type: "quantitative", title: short(name) } as const;
  const scale = { domain: [edges[0] ?? 0, edges.at(-1) ?? 1], nice: false, zero: false };
  return {
    width: 170,
    height: 90,
    layer: [
      {
        data: { values: bars(data, "data") },
        mark: { type: "bar", opacity: 0.55, binSpacing: 0 },
        encoding: {
          x: { ...x, bin: "binned", scale, axis: numberAxis(edges) },
          x2: { field: "high" },
          y,
          color,
        },
      },
      {
        data: { values: [zero(edges[0]), ...outline, { ...last, low: edges.at(-1) }, zero(edges.at(-1))] },
        mark: { type: "line", interpolate: "step-after", strokeWidth: 1.8 },
        encoding: { x, y, color },
      },
    ],
  };
}

/** Shares of categories, side by side; the rarest beyond a dozen as one. */
function categoricalMarginal(
  name: string,
  data: readonly Cell[],
  samples: readonly Cell[],
  position: number,
): { readonly plot: PlotPart; readonly names: PlotNames } {
  const count = (cells: readonly Cell[]) => {
    const counts = new Map<string, number>();
    for (const cell of cells) counts.set(String(cell), (counts.get(String(cell)) ?? 0) + 1);
    return counts;
  };
  const [inData, inSamples] = [count(data), count(samples)];
  const common = [...new Set([...inData.keys(), ...inSamples.keys()])].sort(
    (a, b) => (inData.get(b) ?? 0) - (inData.get(a) ?? 0) || (a < b ? -1 : 1),
  );
  const shown = common.slice(0, MOST_CATEGORIES);
  const rest = common.slice(MOST_CATEGORIES);
  const share = (counts: ReadonlyMap<string, number>, categories: readonly string[], all: number) =>
    categories.reduce((sum, category) => sum + (counts.get(category) ?? 0), 0) / Math.max(1, all);
  const groups: [string, string[]][] = shown.map((category) => [category, [category]]);
  if (rest.length > 0) groups.push([`${rest.length} others`, rest]);
  const values = groups.flatMap(([, members], category) => [
    { category, name: "data", share: share(inData, members, data.length) },
    { category, name: "samples", share: share(inSamples, members, samples.length) },
  ]);
  const names = new PlotNames(
    `column${position}`,
    groups.map(([category]) => category),
    12,
  );
  const plot: PlotPart = {
    width: 170,
    height: 90,
    data: { values },
    mark: { type: "bar", opacity: 0.8 },
    encoding: {
      x: {
        field: "category",
        type: "nominal",
        title: short(name),
        sort: null,
        axis: { labelAngle: -40, labelExpr: names.labelExpr },
      },
      xOffset: { field: "name", sort: SETS },
      y: {
        field: "share",
        type: "quantitative",
        title: null,
        axis: { labels: false, grid: false, minExtent: 0, maxExtent: 0 },
      },
      color,
    },
  };
  return { plot, names };
}

/**
 * A histogram of each column, data against samples, as an SVG document; the first 24 columns of a wider table. Numeric
 * axes are in the column's own units and end at the outermost two in a thousand rows of the data.
 * @throws DataError where the table has no columns.
 */
export async function tableMarginals(
  { columns, data, samples }: TableRows,
  title = "Each column: data and samples",
): Promise<string> {
  if (columns.length === 0) throw new DataError("table plot: the table has no columns");
  const shown = columns.slice(0, MOST_COLUMNS);
  const left = columns.length - shown.length;
  const plots = shown.map((column, i): { readonly plot: PlotPart; readonly names?: PlotNames } =>
    column.kind === "numeric"
      ? { plot: numericMarginal(column.name, numbers(data, i), numbers(samples, i)) }
      : categoricalMarginal(
          column.name,
          data.map((row) => row[i] ?? ""),
          samples.map((row) => row[i] ?? ""),
          i,
        ),
  );
  return renderSvg({
    params: plots.flatMap(({ names }) => (names === undefined ? [] : [names.param])),
    title: {
      text: title,
      subtitle: `${counted(data.length, "row")} of data, ${counted(samples.length, "sample")}; densities${
        left > 0 ? `; ${counted(left, "further column")} not shown` : ""
      }`,
    },
    columns: 4,
    concat: plots.map(({ plot }) => plot),
  });
}
